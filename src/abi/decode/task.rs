//! Numbers of tasks, sessions, namespaces and their names (`kernel/sys.c`, `kernel/fork.c`, `kernel/nsproxy.c`).

use super::{Asked, Decoded, Host};
use crate::abi::{Answer, Call, Question};
use crate::errno::Result;
use crate::syscall::{CloneFlags, PidArg, Syscall};

pub(in crate::abi) fn getpid(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::question(Question::Getpid)
}

pub(in crate::abi) fn gettid(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::question(Question::Gettid)
}

pub(in crate::abi) fn getppid(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::question(Question::Getppid)
}

pub(in crate::abi) fn uname(a: &Asked<'_>) -> Result<Decoded> {
    Ok(Decoded::Question { question: Question::Uname, to: [a.args[0], 0, 0] })
}

pub(in crate::abi) fn getpgrp(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Getpgid { pid: PidArg::Own(0) })
}

pub(in crate::abi) fn getpgid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Getpgid { pid: a.pid(0) })
}

pub(in crate::abi) fn getsid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Getsid { pid: a.pid(0) })
}

pub(in crate::abi) fn setpgid(a: &Asked<'_>) -> Result<Decoded> {
    let call = Syscall::Setpgid { pid: a.pid(0), pgid: a.pid(1) };
    Ok(Decoded::Call { call, answer: Answer::Number, host: Host::Same })
}

pub(in crate::abi) fn setsid(_: &Asked<'_>) -> Result<Decoded> {
    Ok(Decoded::Call { call: Syscall::Setsid, answer: Answer::Number, host: Host::Same })
}

const NAME_MAX: usize = 64;

/// A name as sethostname(2) and setdomainname(2) take it: what is too long is refused by its length, whatever it is.
fn name(a: &Asked<'_>) -> Result<Vec<u8>> {
    match usize::try_from(a.int(1)) {
        Ok(length @ ..=NAME_MAX) => a.memory.bytes(a.args[0], length),
        Ok(_) | Err(_) => Ok(vec![0; NAME_MAX + 1]),
    }
}

pub(in crate::abi) fn sethostname(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Sethostname { name: name(a)? })
}

pub(in crate::abi) fn setdomainname(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setdomainname { name: name(a)? })
}

/// Descriptors and the directories that a process has are the real kernel's: it parts them too.
pub(in crate::abi) fn unshare(a: &Asked<'_>) -> Result<Decoded> {
    let flags = CloneFlags::from_bits_retain(a.args[0]);
    let mut real = flags & (CloneFlags::FS | CloneFlags::FILES);
    if flags.intersects(CloneFlags::NEWNS | CloneFlags::NEWUSER) {
        real |= CloneFlags::FS;
    }
    let args = [real.bits(), 0, 0, 0, 0, 0];
    let host = if real.is_empty() { Host::Skip } else { Host::Instead { call: Call::Unshare, args } };
    Ok(Decoded::Call { call: Syscall::Unshare { flags: flags.bits() }, answer: Answer::Number, host })
}

pub(in crate::abi) fn setns(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setns { fd: a.int(0), flags: u64::from(a.uint(1)) })
}
