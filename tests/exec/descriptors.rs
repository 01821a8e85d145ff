//! Descriptors that know processes: locks, owners, pidfds.

use super::native::{Ways, compare};
use super::python;

/// Whether the host's kernel is at least of this version.
fn is_host_since(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.trim().parse().ok());
    numbers.next().zip(numbers.next()) >= Some((major, minor))
}

/// Others may have objects in a lab that stays, and on a machine.
const APART: Ways = Ways { apart: &["unshare", "-i"], ..Ways::PLAIN };

#[test]
fn calls_on_pidfds_give_what_they_do_on_linux() {
    if is_host_since(6, 15) {
        compare(&APART, "pidfd.c", "end\n");
    }
}

#[test]
fn senders_of_signals_and_messages_are_who_they_are_on_linux() {
    compare(&APART, "senders.c", "end\n");
}

#[test]
fn who_holds_a_lock_and_who_gets_a_signal_have_the_programs_numbers() {
    let script = "
import fcntl, os, struct, tempfile
F_SETOWN_EX, F_GETOWN_EX, F_OWNER_PID, F_OWNER_PGRP = 15, 16, 1, 2
flock = 'hhqqi4x'
with tempfile.TemporaryFile() as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    pid = os.fork()
    if pid == 0:
        asked = struct.pack(flock, fcntl.F_WRLCK, 0, 0, 0, 0)
        print(struct.unpack(flock, fcntl.fcntl(file, fcntl.F_GETLK, asked))[4] == os.getppid(), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
ends = os.pipe()
fcntl.fcntl(ends[0], fcntl.F_SETOWN, os.getpid())
print(fcntl.fcntl(ends[0], fcntl.F_GETOWN) == os.getpid())
# The group that it begins in has processes of the host in it.
os.setpgid(0, 0)
for kind, number in (F_OWNER_PID, os.getpid()), (F_OWNER_PGRP, os.getpgid(0)):
    fcntl.fcntl(ends[0], F_SETOWN_EX, struct.pack('ii', kind, number))
    owner = fcntl.fcntl(ends[0], F_GETOWN_EX, struct.pack('ii', 0, 0))
    print(struct.unpack('ii', owner) == (kind, number))
try:
    fcntl.fcntl(ends[0], fcntl.F_SETOWN, 77)
except ProcessLookupError:
    print('nobody')
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True\nTrue\nTrue\nTrue\nnobody\n");
    }
}

#[test]
fn a_pidfd_that_does_not_block_says_so_and_one_of_who_may_not_be_looked_at_gives_nothing() {
    let script = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD, PR_SET_DUMPABLE, P_PIDFD = 438, 4, 3
told, go = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    libc.prctl(PR_SET_DUMPABLE, 0)
    os.write(told[1], b'x')
    os.read(go[0], 1)
    os._exit(3)
os.read(told[0], 1)
pidfd = os.pidfd_open(pid, os.O_NONBLOCK)
try:
    os.waitid(P_PIDFD, pidfd, os.WEXITED)
except BlockingIOError:
    print('again')
libc.setuid(5)
print(libc.syscall(PIDFD_GETFD, pidfd, 0, 0), ctypes.get_errno())
os.write(go[1], b'x')
os.set_blocking(pidfd, True)
print(os.waitid(P_PIDFD, pidfd, os.WEXITED).si_status)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "again\n-1 1\n3\n");
    }
}
