#!/usr/bin/env python3
"""Tests of a program that reads /proc, on topologies of nslab. They take the package in `python/`, and `nslab` on the PATH:

pip install ./python
pytest examples/test_namespaces.py      or, without pytest:      python3 examples/test_namespaces.py
"""

import contextlib
import errno
import pathlib

from nslab import CallError, Lab

SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def shared_namespaces(procfs, kind):
    """The program under test: which processes are in one namespace of this kind? {inum: [pid, ...]}"""
    found = {}
    for entry in pathlib.Path(procfs).iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # It ended meanwhile, or is a zombie.
                found.setdefault((entry / "ns" / kind).stat().st_ino, []).append(int(entry.name))
    return {inum: sorted(pids) for inum, pids in found.items()}


def test_the_containers_of_a_pod_share_their_network():
    with Lab(file=SCENARIOS / "pod.lab") as lab:
        groups = list(shared_namespaces(lab.at("proc"), "net").values())
        pause = next(pids for pids in groups if 3 in pids)
        assert len(pause) == 3, groups


def test_a_zombie_is_in_no_namespace():
    with Lab(file=SCENARIOS / "init-gone.lab") as lab:
        assert "State:\tZ" in lab.read("proc/3/status")
        assert all(3 not in pids for pids in shared_namespaces(lab.at("proc"), "net").values())


def test_a_container_that_comes_is_seen_at_once():
    with Lab(file=SCENARIOS / "docker.lab") as lab:
        before = shared_namespaces(lab.at("proc"), "ipc")
        child = int(lab.call(1, "clone ipc,net"))
        after = shared_namespaces(lab.at("proc"), "ipc")
        assert [after[inum] for inum in after.keys() - before.keys()] == [[child]]


def test_a_refused_call_has_the_errno_of_linux():
    with Lab(file=SCENARIOS / "rootless-podman.lab") as lab:
        try:
            lab.call(2, "unshare net")
        except CallError as error:
            assert error.errno == errno.EPERM, error
        else:
            raise AssertionError("user 1000 got a net namespace")


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
