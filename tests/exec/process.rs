//! Births, exec, deaths, waits, numbers and ids.

use super::{exec, python, says};

#[test]
fn the_exit_status_is_the_programs() {
    for (program, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
    ] {
        let Some(output) = exec(program) else { return };
        assert_eq!(output.status.code(), Some(code), "{program:?}: {output:?}");
    }
}

#[test]
fn numbers_and_ids_are_the_labs() {
    says("true | cat; echo $$ $PPID; id -u; (exit 3); echo $?; hostname", "2 1\n0\n3\nnslab\n");
    says("sh -c 'echo $$ $PPID; sh -c \"echo \\$PPID; true\"; true'; true", "3 2\n3\n");
}

#[test]
fn a_thousand_children_and_many_threads_are_not_lost() {
    let script = "
import os, threading
for i in range(1000):
    pid = os.fork()
    if pid == 0:
        os._exit(i & 127)
    if i == 0: first = pid
    assert os.waitpid(pid, 0) == (pid, (i & 127) << 8)
gate = threading.Event()
threads = [threading.Thread(target=gate.wait) for _ in range(200)]
for thread in threads: thread.start()
assert len(os.listdir('/proc/self/task')) == 201
gate.set()
for thread in threads: thread.join()
# No number is given to anybody else: each process and thread has the next one.
print(os.getpid(), threading.get_native_id(), os.getppid(), os.posix_spawn('/bin/true', ['true'], {}) - first)
os.wait()
";
    if let Some(text) = python(script) {
        assert_eq!(text, "2 2 1 1200\n");
    }
}

/// A signal that comes while a child is made has the call begin anew: fork(2), which the real kernel makes as another one, too.
#[test]
fn signals_while_children_are_made_lose_none() {
    let script = "
import ctypes, os, signal
libc = ctypes.CDLL(None)
args = (ctypes.c_uint64 * 11)(0, 0, 0, 0, signal.SIGCHLD)
calls = [lambda: libc.syscall(57), lambda: libc.syscall(435, args, 88)]
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
for i in range(400):
    pid = calls[i % 2]()
    if pid == 0: os._exit(i & 127)
    assert pid > 0 and os.waitpid(pid, 0) == (pid, (i & 127) << 8), (i, pid)
signal.setitimer(signal.ITIMER_REAL, 0)
print('all')
";
    if let Some(text) = python(script) {
        assert_eq!(text, "all\n");
    }
}

#[test]
fn pools_of_processes_work() {
    let script = "
import multiprocessing, subprocess
def square(x): return x * x
if __name__ == '__main__':
    with multiprocessing.Pool(3) as pool: print(pool.map(square, range(5)))
    print(subprocess.run(['sh', '-c', 'echo out; exit 3'], capture_output=True).returncode)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "[0, 1, 4, 9, 16]\n3\n");
    }
}

#[test]
fn waits_block_are_interrupted_and_begin_anew() {
    let script = "
import os, signal, time
def child(seconds, code):
    pid = os.fork()
    if pid == 0:
        time.sleep(seconds)
        os._exit(code)
    return pid
signal.signal(signal.SIGALRM, lambda *_: print('alarm'))
signal.siginterrupt(signal.SIGALRM, False)
pid = child(0.4, 5)
signal.setitimer(signal.ITIMER_REAL, 0.1)
print(os.waitpid(pid, 0) == (pid, 5 << 8))
pid = child(0, 6)
found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(found.si_pid == pid, found.si_status, found.si_code == os.CLD_EXITED)
print(os.waitpid(-1, 0) == (pid, 6 << 8))
try: os.wait()
except ChildProcessError as error: print(error.errno)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "alarm\nTrue\nTrue 6 True\nTrue\n10\n");
    }
}

#[test]
fn a_pidfd_finds_its_process_after_its_death() {
    let script = "
import os, signal
pid = os.fork()
if pid == 0: signal.pause()
pidfd = os.pidfd_open(pid)
signal.pidfd_send_signal(pidfd, signal.SIGTERM)
found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
print(found.si_pid == pid, found.si_status)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True 15\n");
    }
}

#[test]
fn a_thread_that_is_not_the_first_may_exec() {
    let script = "
import os, threading
threading.Thread(target=lambda: os.execv('/bin/sh', ['sh', '-c', 'echo $$; ls /proc/self/task | wc -l; true'])).start()
threading.Event().wait()
";
    if let Some(text) = python(script) {
        assert_eq!(text, "2\n1\n");
    }
}
