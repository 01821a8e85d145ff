//! Sending signals and their actions (`kernel/signal.c`).

use super::{Asked, Decoded, Host};
use crate::abi::Answer;
use crate::bail;
use crate::errno::Result;
use crate::kernel::signal::GivenInfo;
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

/// Bytes of `siginfo_t`, and of those that Linux knows (`struct kernel_siginfo`).
const SIGINFO_BYTES: usize = 128;
const KNOWN_BYTES: usize = 48;

/// `siginfo_t` as it is given (`copy_siginfo_from_user`), and the number of the signal in it.
fn given(a: &Asked<'_>, addr: u64, signo: Option<i32>) -> Result<(i32, GivenInfo)> {
    let raw = a.memory.bytes(addr, KNOWN_BYTES)?;
    let word = |at: usize| raw.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let in_struct = word(0) as i32;
    let (signo, code) = (signo.unwrap_or(in_struct), word(8) as i32);
    let value = u64::from(word(24)) | u64::from(word(28)) << 32;
    let info = GivenInfo { code, pid: word(16) as i32, uid: word(20), value };
    if !is_known(signo, code) {
        let rest = a.memory.bytes(addr.wrapping_add(KNOWN_BYTES as u64), SIGINFO_BYTES - KNOWN_BYTES)?;
        if rest.iter().any(|&byte| byte != 0) {
            bail!(E2BIG, "siginfo_t of code {} has more fields than Linux 6.18 knows", code);
        }
    }
    Ok((in_struct, info))
}

/// Whether Linux knows what else `siginfo_t` has (`known_siginfo_layout`).
fn is_known(signo: i32, code: i32) -> bool {
    const SI_KERNEL: i32 = 0x80;
    const SI_DETHREAD: i32 = -7;
    const SI_ASYNCNL: i32 = -60;
    /// The last code of each signal that has its own, and of all others (SIGPOLL's).
    const LAST: [(i32, i32); 6] = [(4, 11), (8, 15), (11, 10), (7, 5), (5, 6), (17, 6)];
    const LAST_OF_SIGSYS: (i32, i32) = (31, 2);
    const NSIGPOLL: i32 = 6;
    if code <= 0 {
        return code >= SI_DETHREAD || code == SI_ASYNCNL;
    }
    let last = LAST.into_iter().chain([LAST_OF_SIGSYS]).find(|(of, _)| *of == signo).map_or(NSIGPOLL, |(_, last)| last);
    code == SI_KERNEL || code <= last
}

pub(in crate::abi) fn rt_sigqueueinfo(a: &Asked<'_>) -> Result<Decoded> {
    let signo = a.int(1);
    let (_, info) = given(a, a.args[2], Some(signo))?;
    Decoded::call(Syscall::RtSigqueueinfo { tgid: a.pid(0), signo, info })
}

pub(in crate::abi) fn rt_tgsigqueueinfo(a: &Asked<'_>) -> Result<Decoded> {
    let signo = a.int(2);
    let (_, info) = given(a, a.args[3], Some(signo))?;
    Decoded::call(Syscall::RtTgsigqueueinfo { tgid: a.pid(0), tid: a.pid(1), signo, info })
}

/// Linux looks at the flags and the descriptor before it reads memory.
pub(in crate::abi) fn pidfd_send_signal(a: &Asked<'_>) -> Result<Decoded> {
    let (fd, signo, flags) = (a.int(0), a.int(1), a.uint(3));
    let info = match a.args[2] {
        0 => None,
        addr => {
            let (in_struct, info) = given(a, addr, None)?;
            if in_struct != signo {
                bail!(EINVAL, "signal {} in siginfo_t, {} in the call", in_struct, signo);
            }
            Some(info)
        }
    };
    Decoded::call(Syscall::PidfdSendSignal { fd, signo, info, flags })
}
