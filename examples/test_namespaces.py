#!/usr/bin/env python3
"""Tests of a program that reads /proc, on topologies of nslab. Needs nothing but `nslab` on the PATH.

pytest examples/test_namespaces.py      or, without pytest:      python3 examples/test_namespaces.py
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def shared_namespaces(procfs, kind):
    """The program under test: which processes are in one namespace of this kind? {inum: [pid, ...]}"""
    found = {}
    for entry in pathlib.Path(procfs).iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # It ended meanwhile, or is a zombie.
                found.setdefault((entry / "ns" / kind).stat().st_ino, []).append(int(entry.name))
    return {inum: sorted(pids) for inum, pids in found.items()}


@contextlib.contextmanager
def lab(scenario):
    """A mounted lab that has run a scenario."""
    if not shutil.which("nslab"):
        sys.exit("nslab is not on the PATH: cargo install --path .")
    with tempfile.TemporaryDirectory(prefix="nslab-") as directory:
        mount = ["nslab", "mount", directory, "--boot", str(SCENARIOS / scenario)]
        subprocess.run(mount, check=True, stdout=subprocess.DEVNULL)
        try:
            yield pathlib.Path(directory)
        finally:
            subprocess.run(["nslab", "umount", directory], check=True)


def call(root, pid, syscall, arguments=""):
    """Makes a task of the lab do a system call. A refused one is an OSError with Linux's errno."""
    control = os.open(root / "ctl" / str(pid) / syscall, os.O_RDWR)
    try:
        os.write(control, f"{arguments}\n".encode())
        return os.read(control, 4096).decode().rstrip("\n")
    finally:
        os.close(control)


def test_the_containers_of_a_pod_share_their_network():
    with lab("pod.lab") as root:
        groups = list(shared_namespaces(root / "proc", "net").values())
        pause = next(pids for pids in groups if 3 in pids)
        assert len(pause) == 3, groups


def test_a_zombie_is_in_no_namespace():
    with lab("init-gone.lab") as root:
        assert "State:\tZ" in (root / "proc/3/status").read_text()
        assert all(3 not in pids for pids in shared_namespaces(root / "proc", "net").values())


def test_a_container_that_comes_is_seen_at_once():
    with lab("docker.lab") as root:
        before = shared_namespaces(root / "proc", "ipc")
        child = int(call(root, 1, "clone", "ipc,net"))
        after = shared_namespaces(root / "proc", "ipc")
        assert [after[inum] for inum in after.keys() - before.keys()] == [[child]]


def test_a_refused_call_has_the_errno_of_linux():
    with lab("rootless-podman.lab") as root:
        try:
            call(root, 2, "unshare", "net")
        except PermissionError as error:
            assert error.errno == 1
        else:
            raise AssertionError("user 1000 got a net namespace")


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
