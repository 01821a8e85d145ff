"""Labs of nslab, a simulated Linux kernel that is mounted as a file system, for tests.

>>> from nslab import Lab
>>> with Lab() as lab:
...     child = lab.call(1, "clone newnet")
...     lab.read_link("proc/1/ns/net") == lab.read_link(f"proc/{child}/ns/net")
False

Each lab has a directory of its own, so any number of them may be used at once. The command `nslab` has to be on the
PATH, or named by the environment variable NSLAB.
"""

from nslab._lab import CallError, CannotMount, Lab, LabError

__all__ = ["CallError", "CannotMount", "Lab", "LabError"]
