//! Sending signals and their actions (`kernel/signal.c`).

use super::{Asked, Decoded, Host};
use crate::abi::Answer;
use crate::bail;
use crate::errno::Result;
use crate::syscall::{SigAction, Syscall};

pub(in crate::abi) fn kill(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Kill { pid: a.pid(0), signo: a.int(1) })
}

pub(in crate::abi) fn tkill(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Tkill { tid: a.pid(0), signo: a.int(1) })
}

pub(in crate::abi) fn tgkill(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Tgkill { tgid: a.pid(0), tid: a.pid(1), signo: a.int(2) })
}

/// The masks of both kernels have 64 signals.
const SIGSET_BYTES: u64 = 8;

/// The program's process has the handler; the lab is told what kind it is.
pub(in crate::abi) fn rt_sigaction(a: &Asked<'_>) -> Result<Decoded> {
    let [_, new, _, size, ..] = a.args;
    if size != SIGSET_BYTES {
        bail!(EINVAL, "a set of signals has {} bytes, not {}", SIGSET_BYTES, size);
    }
    if new == 0 {
        return Ok(Decoded::Pass);
    }
    let action = match a.memory.u64(new)? {
        0 => SigAction::Default,
        1 => SigAction::Ignore,
        _ => SigAction::Handler,
    };
    let call = Syscall::Sigaction { signo: a.int(0), action: Some(action) };
    Ok(Decoded::Call { call, answer: Answer::Number, host: Host::First })
}

/// pidfd_send_signal(2) without `siginfo_t`.
pub(in crate::abi) fn pidfd_send_signal(a: &Asked<'_>) -> Result<Decoded> {
    const PIDFD_SIGNAL_FLAGS: u32 = 0b111;
    let (info, flags) = (a.args[2], a.uint(3));
    if flags & !PIDFD_SIGNAL_FLAGS != 0 || flags.count_ones() > 1 {
        bail!(EINVAL, "flags {} are unknown, or more than one", format!("{flags:#x}"));
    }
    if flags != 0 || info != 0 {
        bail!(EINVAL, "a lab does not take the flags and the siginfo_t of pidfd_send_signal yet");
    }
    Decoded::call(Syscall::PidfdSendSignal { fd: a.int(0), signo: a.int(1) })
}
