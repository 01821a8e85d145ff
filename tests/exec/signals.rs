//! Signals between programs: what belongs to them, who may, who is protected; stops.

use super::{python, says};

#[test]
fn a_signal_comes_with_its_sender() {
    let script = "
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGCHLD, signal.SIGUSR2])
os.kill(os.getpid(), signal.SIGUSR1)
info = signal.sigwaitinfo([signal.SIGUSR1])
print(info.si_code, info.si_pid == os.getpid(), info.si_uid)
pid = os.fork()
if pid == 0:
    os.kill(os.getppid(), signal.SIGUSR2)
    os._exit(4)
info = signal.sigwaitinfo([signal.SIGUSR2])
print(info.si_code, info.si_pid == pid)
info = signal.sigwaitinfo([signal.SIGCHLD])
print(info.si_code, info.si_pid == pid, info.si_status)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "0 True 0\n0 True\n1 True 4\n");
    }
}

#[test]
fn the_init_of_a_pid_namespace_is_protected_from_its_own() {
    let script = "unshare --pid --fork sh -c 'sh -c \"kill -KILL 1; kill -TERM 1; kill -STOP 1\"; echo alive'";
    says(script, "alive\n");
    // From above it is not.
    let script = "
import ctypes, os, signal
ctypes.CDLL(None).unshare(0x20000000)
pid = os.fork()
if pid == 0:
    while True: signal.pause()
os.kill(pid, signal.SIGTERM)
os.kill(pid, signal.SIGKILL)
print(os.waitpid(pid, 0)[1])
";
    if let Some(text) = python(script) {
        assert_eq!(text, "9\n");
    }
}

#[test]
fn a_stop_and_a_continue_are_told_to_who_waits() {
    let script = "
import os, signal
pid = os.fork()
if pid == 0:
    while True: signal.pause()
os.kill(pid, signal.SIGSTOP)
print(os.waitpid(pid, os.WUNTRACED)[1] == signal.SIGSTOP << 8 | 0x7f)
print(open(f'/proc/{pid}/stat').read().split()[2])
os.kill(pid, signal.SIGCONT)
print(os.waitpid(pid, os.WCONTINUED)[1] == 0xffff)
os.kill(pid, signal.SIGTERM)
print(os.waitpid(pid, 0)[1])
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True\nT\nTrue\n15\n");
    }
}

#[test]
fn groups_and_sessions_are_the_labs() {
    let script = "
import os, signal
print(os.getpgrp() == os.getpgid(0), os.getsid(0))
pid = os.fork()
if pid == 0:
    os.setsid()
    print(os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
r, w = os.pipe()
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, children[0] if children else 0)
        os.write(w, b'x')
        signal.pause()
    children.append(pid)
    os.read(r, 1)
os.killpg(children[0], signal.SIGTERM)
print([os.waitpid(pid, 0)[1] for pid in children])
try: os.killpg(children[0], 0)
except ProcessLookupError: print('gone')
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True 1\nTrue True\n[15, 15, 15]\ngone\n");
    }
}

#[test]
fn ignored_children_need_no_wait_and_orphans_go_to_the_subreaper() {
    let script = "
import ctypes, os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pid = os.fork()
if pid == 0: os._exit(0)
try: os.waitpid(pid, 0)
except ChildProcessError: print('nobody')
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
ctypes.CDLL(None).prctl(36, 1)
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(r, 1)
        os._exit(os.getppid())
    os._exit(0)
os.wait()
os.write(w, b'x')
print(os.wait()[1] >> 8)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "nobody\n2\n");
    }
}
