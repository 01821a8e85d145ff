"""The pytest plugin, by pytest on files of tests that use it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from typing import Sequence

from nslab import Lab

TESTS = '''
import pytest

labs = []

def test_a_lab_is_fresh(nslab_lab):
    labs.append(nslab_lab.path)
    assert nslab_lab.call(1, "clone") == "2"

@pytest.mark.nslab_lab("1 clone")
def test_a_lab_boots_with_the_text_of_the_marker(nslab_lab):
    assert nslab_lab.call(1, "clone") == "3"
    assert not labs[0].exists()

@pytest.mark.nslab_lab(file="web.lab", procfs=True)
class TestClass:
    def test_a_lab_boots_with_a_file_beside_the_test(self, nslab_lab):
        assert (nslab_lab.procfs() / "2/comm").read_text() == "web\\n"

    def test_another_one(self, nslab_lab):
        assert nslab_lab.call(1, "clone") == "3"

def test_a_failure_is_one(nslab_lab):
    labs.append(nslab_lab.path)
    nslab_lab.call(1, "unshare 1")

def test_a_failure_leaves_no_lab():
    assert not labs[-1].exists()
'''

# A machine without /dev/fuse, for the command that follows.
WITHOUT_FUSE = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"', "sh"]


@unittest.skipUnless(importlib.util.find_spec("pytest"), "pytest is not installed")
class Plugin(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "web.lab").write_text("1 clone\n2 prctl name web\n")

    def pytest(self, tests: str, *options: str, within: Sequence[str] = ()) -> str:
        """What pytest prints of a file of tests."""
        (self.folder / "test_it.py").write_text(tests)
        command = [sys.executable, "-B", "-m", "pytest", "-ra", "-p", "no:cacheprovider", "--strict-markers", *options]
        if not is_installed():
            command += ["-p", "nslab.pytest_plugin"]
        environment = {**os.environ, "NSLAB": os.path.abspath(shutil.which(os.environ.get("NSLAB", "nslab")) or "")}
        run = [*within, *command, str(self.folder)]
        done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        return done.stdout

    def test_the_fixture_gives_the_lab_of_the_marker(self) -> None:
        Lab().close()  # Where that cannot be, this is skipped.
        said = self.pytest(TESTS, "--nslab-required")
        self.assertIn("1 failed, 5 passed", said)
        self.assertIn("CallError: EINVAL: flags 0x1 cannot be unshared", said)

    def test_a_script_that_fails_is_an_error_and_no_skip(self) -> None:
        said = self.pytest('import pytest\n@pytest.mark.nslab_lab("nonsense")\ndef test(nslab_lab): pass\n')
        self.assertIn("1 error", said)
        self.assertIn("boot.lab:1: usage: ", said)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "this needs root, and unshare")
    def test_without_a_device_tests_are_skipped_unless_labs_are_required(self) -> None:
        test = "def test(nslab_lab): pass\ndef test_other(): import nslab; nslab.Lab()\ndef test_third(): pass\n"
        missing = "/dev/fuse is missing: run `modprobe fuse`"
        said = self.pytest(test, within=WITHOUT_FUSE)
        self.assertIn("1 passed, 2 skipped", said)
        self.assertIn(missing, said)
        said = self.pytest(test, "--nslab-required", within=WITHOUT_FUSE)
        self.assertIn(f"ERROR: nslab: {missing}", said)
        self.assertNotIn("passed", said)


def is_installed() -> bool:
    """Whether pytest finds the plugin by itself."""
    try:
        importlib.metadata.distribution("nslab")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    unittest.main()
