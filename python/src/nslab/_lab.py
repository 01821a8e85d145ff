"""A mounted lab."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
from types import TracebackType
from typing import Iterator, Optional, Sequence, Type, Union

StrPath = Union[str, "os.PathLike[str]"]

_KEEPER = pathlib.Path(__file__).with_name("keeper.sh")


class LabError(Exception):
    """A lab could not be made or taken down. The text says why."""


class CannotMount(LabError, unittest.SkipTest):
    """This machine can mount no lab. The text says what is missing and what mends it, as `nslab doctor` does.

    A test that raises this is skipped, by unittest and by pytest.
    """


class CallError(OSError):
    """A call of a task, or a write to a file of the lab, was refused.

    `errno` is Linux's number. `reason` names the check that failed: "CAP_SYS_ADMIN missing in user:[4026531837]".
    """

    def __init__(self, number: Optional[int], reason: str) -> None:
        super().__init__(number, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{_name(self.errno)}: {self.reason}"


class Lab:
    """A lab on a temporary directory. It ends with its `with` block, at `close()`, or with this process.

    It boots with `script`, text in the .lab language, or with `file`, a file of that language. `options` are mount
    options, such as "links=linux". `journal` is a new file that notes all calls, `max_tasks` bounds the tasks and
    `max_memory`, in bytes or as "512M", what the objects of the lab take: see `nslab mount --help`. With `procfs` the
    lab's proc is a mount of its own as well.

    Raises CannotMount if this machine can mount no lab, LabError if a line of the script fails or there is no `nslab`.
    """

    def __init__(
        self,
        script: Optional[str] = None,
        *,
        file: Optional[StrPath] = None,
        options: Sequence[str] = (),
        journal: Optional[StrPath] = None,
        max_tasks: Optional[int] = None,
        max_memory: Union[int, str, None] = None,
        procfs: bool = False,
    ) -> None:
        if script is not None and file is not None:
            raise ValueError("a lab boots with a script or a file: write `include FILE` into the script to have both")
        nslab = _find_nslab()
        files = pathlib.Path(tempfile.mkdtemp(prefix="nslab-"))
        if script is not None:
            file = files / "boot.lab"
            file.write_text(script, encoding="utf-8")
        self._path = files / "lab"
        self._procfs = files / "proc" if procfs else None
        named = (("boot", file), ("journal", journal), ("max-tasks", max_tasks), ("max-memory", max_memory))
        arguments = [f"--{name}={value}" for name, value in named if value is not None]
        arguments += [f"-o{option}" for option in options]
        # In a session of its own, so that an interrupt from the terminal ends the lab only after its user.
        self._keeper = subprocess.Popen(
            ["/bin/sh", str(_KEEPER), nslab, str(files), "proc" if procfs else "", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert self._keeper.stdout is not None
        said = self._keeper.stdout.readline()
        if said != "mounted\n":
            raise _failure(nslab, said + self._keeper.communicate()[0])

    @property
    def path(self) -> pathlib.Path:
        """The top of the lab."""
        return self._path

    def at(self, file: StrPath) -> pathlib.Path:
        """Where `file`, a path of the lab such as "proc/1/status", is on the host."""
        return self._path / file

    def procfs(self) -> pathlib.Path:
        """The lab's proc as a mount of its own, for programs that insist on a mount point.

        Raises ValueError for a lab that was not made with `procfs=True`.
        """
        if self._procfs is None:
            raise ValueError("this lab has no such mount: make it with Lab(procfs=True)")
        return self._procfs

    def read(self, file: StrPath) -> str:
        """The text of a file of the lab. Bytes that are not UTF-8 become surrogates, as in names of files.

        Raises OSError as open() and read() do.
        """
        return os.fsdecode(self.at(file).read_bytes())

    def read_link(self, file: StrPath) -> str:
        """The text of a symbolic link of the lab, such as "proc/1/ns/net". Raises OSError as os.readlink() does."""
        return os.readlink(self.at(file))

    def write(self, file: StrPath, text: str) -> None:
        """Writes to a file of the lab, such as "ctl/batch", "kernel/faults" or "proc/sys/kernel/hostname".

        Raises CallError if that is refused.
        """
        with self._written(file, text):
            pass

    def call(self, pid: int, call: str) -> str:
        """Makes task `pid` do `call`, a verb and its arguments: "clone newnet". Gives the result.

        Raises CallError if the call fails or there is no such control file.
        """
        verb, _, arguments = call.partition(" ")
        with self._written(f"ctl/{pid}/{verb}", f"{arguments}\n") as descriptor:
            return _answer(descriptor)

    def attach(self, pid: int, process: Optional[int] = None) -> None:
        """Makes a process of the host, this one by default, and those it starts see the lab as task `pid` does.

        Raises CallError if there is no such task or process.
        """
        self.call(pid, f"attach {os.getpid() if process is None else process}")

    def trace(self) -> list[str]:
        """What the kernel has done since the lab was mounted, a line for each step; of many steps only the last."""
        return self.read("kernel/trace").splitlines()

    def close(self) -> None:
        """Takes the lab off its directory. Files that are still open keep working. Closing twice does no harm.

        Raises LabError if something is in the way; standard error has what.
        """
        if self._keeper.returncode is None:
            # A line, as a process that was forked meanwhile has the pipe too and would hold its end off.
            self._keeper.communicate("\n")
            if self._keeper.returncode != 0:
                raise LabError(f"{self._path}: the lab was not taken down cleanly: see `nslab doctor {self._path}`")

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<nslab.Lab on {self._path}>"

    @contextlib.contextmanager
    def _written(self, file: StrPath, text: str) -> Iterator[int]:
        """A file that `text` was written to, still open: the files of ctl give the result to the descriptor that asked."""
        path = self.at(file)
        try:
            descriptor = os.open(path, os.O_RDWR if os.access(path, os.R_OK) else os.O_WRONLY)
        except OSError as error:
            raise CallError(error.errno, f"{file}: {error.strerror}") from None
        try:
            left = os.fsencode(text)
            try:
                while left:
                    left = left[os.write(descriptor, left) :]
            except OSError as error:
                raise CallError(error.errno, _reason(descriptor, error)) from None
            yield descriptor
        finally:
            os.close(descriptor)


def _answer(descriptor: int) -> str:
    text = b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))
    return os.fsdecode(text).removesuffix("\n")


def _reason(descriptor: int, error: OSError) -> str:
    """Why a write failed. The files that say so have it after the name of the errno."""
    try:
        name, _, reason = _answer(descriptor).partition(": ")
    except OSError:
        name = ""
    return reason if name == _name(error.errno) else str(error.strerror)


def _name(number: Optional[int]) -> str:
    return errno.errorcode.get(number or 0, f"errno {number}")


def _find_nslab() -> str:
    name = os.environ.get("NSLAB", "nslab")
    found = shutil.which(name)
    if found is None:
        raise LabError(f"there is no program {name}: put nslab on the PATH, or set NSLAB to where it is")
    return os.path.abspath(found)


def _failure(nslab: str, said: str) -> LabError:
    """Why `nslab mount` failed, as it has said, and whether that is for want of something on this machine."""
    reason = said.strip().removeprefix("nslab: ")
    doctor = subprocess.run([nslab, "doctor"], stdout=subprocess.PIPE, text=True, check=False)
    is_machine = doctor.returncode != 0 and reason in doctor.stdout
    return CannotMount(reason) if is_machine else LabError(reason)
