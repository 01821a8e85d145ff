"""Labs, made with the command that NSLAB or the PATH names: python3 -m unittest discover python/tests"""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from typing import Callable
from unittest import mock

from nslab import CallError, CannotMount, Lab, LabError

# In seconds; only a failure takes so long.
PATIENCE = 60


def setUpModule() -> None:
    Lab().close()  # Where that cannot be, all is skipped.


def temporary(test: unittest.TestCase) -> pathlib.Path:
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    return pathlib.Path(folder.name)


class Files(unittest.TestCase):
    def setUp(self) -> None:
        self.lab = Lab("A = 1 clone newnet newpid\n$A prctl name web\n")
        self.addCleanup(self.lab.close)

    def refused(self, act: Callable[[], object]) -> CallError:
        with self.assertRaises(CallError) as caught:
            act()
        return caught.exception

    def test_what_is_read_is_of_the_lab(self) -> None:
        self.assertEqual(self.lab.read("proc/2/comm"), "web\n")
        self.assertEqual(self.lab.at("proc/2/comm").read_text(), "web\n")
        self.assertEqual(self.lab.read_link("as/2/proc/self"), "1")
        self.assertNotEqual(self.lab.read_link("proc/1/ns/net"), self.lab.read_link("proc/2/ns/net"))
        with self.assertRaises(FileNotFoundError):
            self.lab.read("proc/9/comm")

    def test_bytes_that_are_no_text_are_kept(self) -> None:
        self.lab.write("proc/1/comm", "\udcff")
        self.assertEqual(self.lab.read("proc/1/comm"), "\udcff\n")

    def test_a_call_gives_its_result(self) -> None:
        self.assertEqual(self.lab.call(1, "clone newuts"), "3")
        self.assertEqual(self.lab.call(3, "sethostname inside"), "0")
        self.assertEqual(self.lab.read("as/3/proc/sys/kernel/hostname"), "inside\n")

    def test_a_refused_call_has_errno_and_reason(self) -> None:
        self.lab.call(2, "setuid 1000")
        error = self.refused(lambda: self.lab.call(2, "unshare net"))
        self.assertEqual(error.errno, errno.EPERM)
        self.assertRegex(error.reason, r"^CAP_SYS_ADMIN missing in user:\[\d+\]")
        self.assertEqual(str(error), f"EPERM: {error.reason}")

    def test_a_call_of_nobody_is_refused_alike(self) -> None:
        for call in ["clone", "no_such_call"]:
            error = self.refused(lambda: self.lab.call(99, call))
            self.assertEqual(error.errno, errno.ENOENT)
            self.assertIn(f"ctl/99/{call}", error.reason)

    def test_a_write_says_why_it_is_refused_where_the_file_does(self) -> None:
        self.assertIn("usage: ", self.refused(lambda: self.lab.write("kernel/faults", "no fault\n")).reason)
        script = "1 clone\n! EPERM 1 unshare net\n"
        error = self.refused(lambda: self.lab.write("ctl/batch", script))
        self.assertEqual((error.errno, error.reason), (errno.EBADMSG, "line 2: expected EPERM, got 0"))
        error = self.refused(lambda: self.lab.write("proc/1/uid_map", "0 0 1"))
        self.assertEqual((error.errno, error.reason), (errno.EPERM, os.strerror(errno.EPERM)))

    def test_faults_happen_to_readers(self) -> None:
        self.lab.write("kernel/faults", "EIO read proc/2/status times=1\n")
        with self.assertRaises(OSError) as caught:
            self.lab.read("proc/2/status")
        self.assertEqual(caught.exception.errno, errno.EIO)
        self.assertIn("web", self.lab.read("proc/2/status"))

    def test_a_file_that_can_only_be_written_is_written(self) -> None:
        self.lab.at("cgroup/web").mkdir()
        self.lab.write("cgroup/web/cgroup.procs", "2\n")
        self.lab.write("cgroup/web/cgroup.kill", "1\n")
        self.assertIn("State:\tZ", self.lab.read("proc/2/status"))

    def test_the_trace_has_the_steps_of_a_call(self) -> None:
        self.lab.call(2, "unshare uts")
        steps = self.lab.trace()
        self.assertTrue(steps[-1].endswith("unshare = 0"), steps[-1])
        self.assertTrue(any("create_new_namespaces" in step for step in steps), steps)

    def test_who_is_attached_sees_what_the_task_sees(self) -> None:
        self.assertEqual(self.lab.read_link("proc/self"), "1")
        self.assertEqual([self.lab.call(1, "clone") for _ in range(2)], ["3", "4"])
        look = ["sh", "-c", 'read _; readlink "$1"', "look", str(self.lab.at("proc/self"))]
        with subprocess.Popen(look, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            self.lab.attach(3, other.pid)
            self.assertEqual(other.communicate("\n")[0], "3\n")
        self.assertEqual(self.lab.read_link("proc/self"), "1")
        self.lab.attach(4)
        self.assertEqual(self.lab.read_link("proc/self"), "4")
        self.assertEqual(subprocess.check_output(look, input="\n", text=True), "4\n")
        self.assertEqual(self.refused(lambda: self.lab.attach(99)).errno, errno.ENOENT)


class Boot(unittest.TestCase):
    def test_a_lab_boots_with_a_file(self) -> None:
        folder = temporary(self)
        (folder / "part.lab").write_text("1 clone\n2 prctl name part\n")
        (folder / "whole.lab").write_text("include part.lab\n1 clone\n3 prctl name whole\n")
        with Lab(file=folder / "whole.lab") as lab:
            self.assertEqual([lab.read(f"proc/{pid}/comm") for pid in (2, 3)], ["part\n", "whole\n"])
        with Lab(f"include {folder}/part.lab") as lab:
            self.assertEqual(lab.read("proc/2/comm"), "part\n")
        with self.assertRaises(ValueError):
            Lab("1 clone", file=folder / "part.lab")

    def test_a_line_that_fails_is_named_and_nothing_is_left(self) -> None:
        folder = temporary(self)
        with mock.patch("tempfile.tempdir", str(folder)):
            with self.assertRaisesRegex(LabError, r"boot.lab:2: .*EINVAL: flags 0x1 cannot be unshared") as caught:
                Lab("1 clone\n1 unshare 1\n")
        self.assertNotIsInstance(caught.exception, CannotMount)
        self.assertEqual(list(folder.iterdir()), [])

    def test_options_are_those_of_the_command(self) -> None:
        journal = temporary(self) / "journal.lab"
        with Lab(options=["links=linux"], journal=journal, max_tasks=2, max_memory="8M", procfs=True) as lab:
            self.assertEqual(lab.read_link("proc/1/root"), "/")
            self.assertEqual(lab.call(1, "clone"), "2")
            with self.assertRaises(CallError):
                lab.call(1, "clone")
            self.assertTrue(os.path.ismount(lab.procfs()))
            self.assertEqual((lab.procfs() / "2/status").read_text(), lab.read("proc/2/status"))
        self.assertIn("= 2 1 clone", journal.read_text())
        with self.assertRaisesRegex(LabError, "there is no mount option nonsense"):
            Lab(options=["nonsense"])
        with Lab() as lab, self.assertRaises(ValueError):
            lab.procfs()

    def test_a_program_that_is_not_there_is_named(self) -> None:
        with mock.patch.dict(os.environ, NSLAB="/nonexistent/nslab"):
            with self.assertRaisesRegex(LabError, "/nonexistent/nslab") as caught:
                Lab()
        self.assertNotIsInstance(caught.exception, CannotMount)


class End(unittest.TestCase):
    def test_labs_live_side_by_side_and_leave_nothing(self) -> None:
        folder = temporary(self)
        with mock.patch("tempfile.tempdir", str(folder)):
            labs = [Lab() for _ in range(3)]
            for count, lab in enumerate(labs):
                for _ in range(count):
                    lab.call(1, "clone")
            self.assertEqual([lab.call(1, "clone") for lab in labs], ["2", "3", "4"])
            for lab in labs:
                lab.close()
                lab.close()
        self.assertEqual(list(folder.iterdir()), [])

    def test_an_exception_takes_the_lab_down_and_goes_on(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            with Lab() as lab:
                raise ZeroDivisionError
        self.assertFalse(lab.path.parent.exists())

    def test_a_file_that_is_open_keeps_working(self) -> None:
        with Lab() as lab:
            comm = open(lab.at("proc/1/comm"))
        with comm:
            self.assertFalse(lab.path.exists())
            self.assertEqual(comm.read(), "init\n")

    def test_a_forked_process_does_not_hold_the_lab(self) -> None:
        lab = Lab()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(reader, 1)
            os._exit(0)
        lab.close()
        self.assertFalse(lab.path.parent.exists())
        os.write(writer, b"\n")
        os.waitpid(child, 0)
        for end in (reader, writer):
            os.close(end)

    def test_a_lab_whose_daemon_was_killed_is_taken_down(self) -> None:
        with Lab() as lab:
            daemon = next(pid for pid in processes() if f"{lab.path}" in command(pid) and "--detached" in command(pid))
            os.kill(daemon, signal.SIGKILL)
            wait_until(lambda: not command(daemon))
            with self.assertRaises(OSError):
                lab.read("proc/1/comm")
        self.assertFalse(lab.path.parent.exists())

    def test_an_interpreter_that_dies_leaves_nothing(self) -> None:
        deaths = {
            "signal.raise_signal(signal.SIGKILL)": -signal.SIGKILL,
            "signal.raise_signal(signal.SIGTERM)": -signal.SIGTERM,
            "os._exit(3)": 3,
            "sys.exit(4)": 4,
        }
        for death, status in deaths.items():
            with self.subTest(death):
                program = f"import os, signal, sys, nslab; lab = nslab.Lab(procfs=True); print(lab.path, flush=True); {death}"
                done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, status)
                wait_until(lambda: not os.path.lexists(os.path.dirname(done.stdout.strip())))

    def test_an_interrupt_from_the_terminal_does_not_end_the_lab_under_its_user(self) -> None:
        program = (
            "import os, signal, nslab\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "with nslab.Lab() as lab:\n"
            "    os.killpg(0, signal.SIGINT)\n"
            "    print(lab.call(1, 'clone'))\n"
        )
        run = [sys.executable, "-c", program]
        self.assertEqual(subprocess.run(run, stdout=subprocess.PIPE, start_new_session=True).stdout, b"2\n")


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command(pid: int) -> str:
    """The command line of a process; nothing when it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 100):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


if __name__ == "__main__":
    unittest.main()
