//! POSIX message queues (`ipc/mqueue.c`). Names come without the slash that the C library takes off.

use super::ipc::{at_real_time, payload};
use super::{Asked, Decoded, Host, Interrupted, Sleep};
use crate::abi::{Answer, Call, Memory, Registers};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ipc::mqueue::{Cookie, NOTIFY_COOKIE_LEN, NotifyMethod};
use crate::syscall::Syscall;
use crate::syscall::mqueue::{MqOpen, QueueFd};

fn fd(a: &Asked<'_>) -> QueueFd {
    QueueFd::Own(a.int(0))
}

/// The arguments of mq_open. Of `struct mq_attr` the flags do not count.
///
/// # Errors
/// EFAULT; ENAMETOOLONG
pub fn mq_open(registers: &Registers, memory: &dyn Memory) -> Result<MqOpen> {
    const O_CREAT: u32 = 0o100;
    let [name, flags, mode, attr, ..] = registers.args;
    let attr = match attr {
        0 => None,
        at => Some([memory.u64(at.wrapping_add(8))?, memory.u64(at.wrapping_add(16))?].map(u64::cast_signed)),
    };
    let flags = flags as u32;
    let mode = if flags & O_CREAT == 0 { 0 } else { mode as u16 & 0o7777 };
    Ok(MqOpen { name: memory.path(name)?, flags, attr: attr.map(|[maxmsg, msgsize]| (maxmsg, msgsize)), mode })
}

pub(in crate::abi) fn mq_unlink(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::MqUnlink { name: a.memory.path(a.args[0])? })
}

/// The time is looked at before anything else.
fn sleep(a: &Asked<'_>) -> Result<Host> {
    let until = at_real_time(a, a.args[4])?;
    Ok(Host::Sleep(Sleep { interrupted: Interrupted::UnlessRestarted, until }))
}

pub(in crate::abi) fn mq_timedsend(a: &Asked<'_>) -> Result<Decoded> {
    let host = sleep(a)?;
    let call = Syscall::MqSend { fd: fd(a), prio: a.uint(3), text: payload(a, a.args[1], a.args[2])? };
    Ok(Decoded::Call { call, answer: Answer::Number, host })
}

pub(in crate::abi) fn mq_timedreceive(a: &Asked<'_>) -> Result<Decoded> {
    let host = sleep(a)?;
    let [_, to, size, prio, ..] = a.args;
    let call = Syscall::MqReceive { fd: fd(a), size: size.cast_signed() };
    Ok(Decoded::Call { call, answer: Answer::MqMessage { to, prio }, host })
}

/// `struct sigevent`: a value, the signal, the method.
pub(in crate::abi) fn mq_notify(a: &Asked<'_>) -> Result<Decoded> {
    const SIGEVENT: usize = 64;
    const SIGEV_SIGNAL: u32 = 0;
    const SIGEV_NONE: u32 = 1;
    const SIGEV_THREAD: u32 = 2;
    let at = a.args[1];
    let method = if at == 0 {
        None
    } else {
        a.memory.bytes(at, SIGEVENT)?;
        let signo = a.memory.u32(at.wrapping_add(8))?.cast_signed();
        match a.memory.u32(at.wrapping_add(12))? {
            SIGEV_SIGNAL => Some(NotifyMethod::Signal { signo, value: a.memory.u64(at)? }),
            SIGEV_NONE => Some(NotifyMethod::None),
            // Who has the descriptor knows which socket it is.
            SIGEV_THREAD => {
                let bytes = a.memory.bytes(a.memory.u64(at)?, NOTIFY_COOKIE_LEN)?;
                let bytes = bytes.try_into().unwrap_or([0; NOTIFY_COOKIE_LEN]);
                Some(NotifyMethod::Thread(Cookie { socket: u64::from(signo.cast_unsigned()), bytes }))
            }
            method => bail!(EINVAL, "{} is not a way to be notified", method),
        }
    };
    Decoded::call(Syscall::MqNotify { fd: fd(a), method })
}

/// The real descriptor has the flag: fcntl(2) sets it once the lab has agreed.
pub(in crate::abi) fn mq_getsetattr(a: &Asked<'_>) -> Result<Decoded> {
    const F_SETFL: u64 = 4;
    const ATTR: usize = 64;
    let [real, new, to, ..] = a.args;
    let flags = if new == 0 {
        None
    } else {
        a.memory.bytes(new, ATTR)?;
        Some(a.memory.u64(new)?)
    };
    let host = match flags {
        Some(flags) => Host::Instead { call: Call::Fcntl, args: [real, F_SETFL, flags, 0, 0, 0] },
        None => Host::Skip,
    };
    let call = Syscall::MqGetsetattr { fd: fd(a), flags: flags.map(u64::cast_signed) };
    Ok(Decoded::Call { call, answer: Answer::Mqattr { to }, host })
}
