//! System V IPC (`ipc/msg.c`, `ipc/sem.c`, `ipc/shm.c`, `ipc/util.c`).

use super::{Asked, Decoded, Host, Interrupted, Sleep, TIMER_ABSTIME, Until};
use crate::abi::{Answer, CtlAnswer, IPC_SET_BYTES};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::kernel::ipc::sem::{SemFlags, SemOp};
use crate::syscall::Syscall;
use crate::syscall::ipc::{IpcCtl, IpcFlags, Payload, SetArgs};
use crate::syscall::msg::MsgFlags;
use crate::syscall::sem::{SemCtl, SemGet};
use crate::syscall::shm::ShmCtl;

fn flags(a: &Asked<'_>, index: usize) -> IpcFlags {
    IpcFlags::from_bits_retain(a.uint(index))
}

pub(in crate::abi) fn msgget(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Msgget { key: a.int(0), flags: flags(a, 1) })
}

pub(in crate::abi) fn semget(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Semget { key: a.int(0), nsems: a.int(1), flags: flags(a, 2) })
}

pub(in crate::abi) fn shmget(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Shmget { key: a.int(0), size: a.args[1], flags: flags(a, 2) })
}

/// Bytes of a message that are read. Larger ones the lab has no room for, or the queue no right to.
const MESSAGE_MAX: u64 = 1 << 20;

/// The text of a message.
///
/// # Errors
/// EFAULT
pub(super) fn payload(a: &Asked<'_>, addr: u64, size: u64) -> Result<Payload> {
    match usize::try_from(size) {
        Ok(length) if size <= MESSAGE_MAX => a.memory.bytes(addr, length).map(Payload::Text),
        _ => Ok(Payload::Size(size.cast_signed())),
    }
}

/// A signal ends the wait, and the call begins anew where no handler runs (ERESTARTNOHAND).
const UNLESS_HANDLED: Host = Host::Sleep(Sleep { interrupted: Interrupted::UnlessHandled, until: None });

/// Of `struct msgbuf` the type comes first.
pub(in crate::abi) fn msgsnd(a: &Asked<'_>) -> Result<Decoded> {
    let [_, buffer, size, flags, ..] = a.args;
    let mtype = a.memory.u64(buffer)?.cast_signed();
    let text = payload(a, buffer.wrapping_add(8), size)?;
    let flags = MsgFlags::from_bits_retain(flags as u32);
    let call = Syscall::Msgsnd { id: a.int(0), mtype, text, flags };
    Ok(Decoded::Call { call, answer: Answer::Number, host: UNLESS_HANDLED })
}

pub(in crate::abi) fn msgrcv(a: &Asked<'_>) -> Result<Decoded> {
    let [_, buffer, size, mtype, flags, _] = a.args.map(u64::cast_signed);
    let flags = MsgFlags::from_bits_retain(flags as u32);
    let call = Syscall::Msgrcv { id: a.int(0), mtype, size, flags };
    Ok(Decoded::Call { call, answer: Answer::Message { to: buffer.cast_unsigned() }, host: UNLESS_HANDLED })
}

/// Commands that all three families have.
const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;

/// A command and where its struct is. `own` are the numbers of stat by index, of info and of stat by index with no right
/// (`MSG_STAT`, `MSG_INFO`, `MSG_STAT_ANY` and their like).
///
/// # Errors
/// EINVAL: a negative number, which is asked before any memory; EFAULT.
fn ctl(a: &Asked<'_>, command: i32, own: [i32; 3], addr: u64, set_bytes: usize) -> Result<IpcCtl> {
    if a.int(0) < 0 || command < 0 {
        bail!(EINVAL, "identifier {} and command {} have to be 0 or more", a.int(0), command);
    }
    let [stat_index, usage, stat_any] = own;
    Ok(match command {
        IPC_RMID => IpcCtl::Rmid,
        IPC_STAT => IpcCtl::Stat,
        IPC_INFO => IpcCtl::Info,
        IPC_SET => IpcCtl::Set(set_args(&a.memory.bytes(addr, set_bytes)?)),
        _ if command == stat_index => IpcCtl::StatIndex,
        _ if command == usage => IpcCtl::UsageInfo,
        _ if command == stat_any => IpcCtl::StatAny,
        _ => IpcCtl::Unknown(command),
    })
}

/// What IPC_SET takes of a struct that begins with `struct ipc64_perm`.
fn set_args(raw: &[u8]) -> SetArgs {
    let word = |at: usize| raw.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes);
    SetArgs { uid: Some(word(4)), gid: Some(word(8)), mode: Some(word(20) as u16), qbytes: None }
}

fn answer(to: u64) -> Answer {
    Answer::Ctl(CtlAnswer { to })
}

pub(in crate::abi) fn msgctl(a: &Asked<'_>) -> Result<Decoded> {
    /// Of the limit of bytes in `struct msqid64_ds`.
    const QBYTES_AT: u64 = 88;
    let to = a.args[2];
    let mut op = ctl(a, a.int(1), [11, 12, 13], to, IPC_SET_BYTES.msg)?;
    if let IpcCtl::Set(set) = &mut op {
        set.qbytes = Some(a.memory.u64(to.wrapping_add(QBYTES_AT))?);
    }
    Ok(Decoded::Call { call: Syscall::Msgctl { id: a.int(0), op }, answer: answer(to), host: Host::Skip })
}

pub(in crate::abi) fn shmctl(a: &Asked<'_>) -> Result<Decoded> {
    const SHM_LOCK: i32 = 11;
    const SHM_UNLOCK: i32 = 12;
    let to = a.args[2];
    let op = match a.int(1) {
        SHM_LOCK => ShmCtl::Lock,
        SHM_UNLOCK => ShmCtl::Unlock,
        command => ShmCtl::Ipc(ctl(a, command, [13, 14, 15], to, IPC_SET_BYTES.shm)?),
    };
    Ok(Decoded::Call { call: Syscall::Shmctl { id: a.int(0), op }, answer: answer(to), host: Host::Skip })
}

/// The values of SETALL are read by who knows how many there are: [`Asked`] does not.
pub(in crate::abi) fn semctl(a: &Asked<'_>) -> Result<Decoded> {
    const GETPID: i32 = 11;
    const GETVAL: i32 = 12;
    const GETALL: i32 = 13;
    const GETNCNT: i32 = 14;
    const GETZCNT: i32 = 15;
    const SETVAL: i32 = 16;
    const SETALL: i32 = 17;
    let (num, arg) = (a.int(1), a.args[3]);
    let get = |what| SemCtl::Get { num, what };
    let op = match a.int(2) {
        GETPID => get(SemGet::Pid),
        GETVAL => get(SemGet::Value),
        GETNCNT => get(SemGet::Growing),
        GETZCNT => get(SemGet::Zero),
        GETALL => SemCtl::Getall,
        SETVAL => SemCtl::Setval { num, value: arg as i32 },
        SETALL => SemCtl::Setall(Vec::new()),
        command => SemCtl::Ipc(ctl(a, command, [18, 19, 20], arg, IPC_SET_BYTES.sem)?),
    };
    Ok(Decoded::Call { call: Syscall::Semctl { id: a.int(0), op }, answer: answer(arg), host: Host::Skip })
}

/// Bytes of `struct sembuf`.
const SEMBUF: usize = 6;
/// Operations that are read; no limit of a lab is as high in practice.
const OPERATIONS_MAX: u32 = 1 << 16;

/// # Errors
/// E2BIG; EFAULT
fn operations(a: &Asked<'_>) -> Result<Vec<SemOp>> {
    let count = a.uint(2);
    if count > OPERATIONS_MAX {
        bail!(E2BIG, "{} operations, of which SEMOPM allows fewer", count);
    }
    let raw = a.memory.bytes(a.args[1], SEMBUF * count as usize)?;
    let half = |op: &[u8], at: usize| u16::from_ne_bytes([op[at], op[at + 1]]);
    let op = |op: &[u8]| SemOp {
        num: half(op, 0),
        delta: half(op, 2).cast_signed(),
        flags: SemFlags::from_bits_retain(half(op, 4)),
    };
    Ok(raw.chunks_exact(SEMBUF).map(op).collect())
}

/// A signal ends the wait, whatever its handler was set with.
fn semop_until(a: &Asked<'_>, until: Option<Until>) -> Result<Decoded> {
    let call = Syscall::Semop { id: a.int(0), ops: operations(a)? };
    let host = Host::Sleep(Sleep { interrupted: Interrupted::Always, until });
    Ok(Decoded::Call { call, answer: Answer::Number, host })
}

pub(in crate::abi) fn semop(a: &Asked<'_>) -> Result<Decoded> {
    semop_until(a, None)
}

pub(in crate::abi) fn semtimedop(a: &Asked<'_>) -> Result<Decoded> {
    const CLOCK_MONOTONIC: u64 = 1;
    let at = a.args[3];
    let until = match at {
        0 => None,
        _ => {
            a.check_time(at)?;
            Some(Until { clock: CLOCK_MONOTONIC, flags: 0, at, errno: Errno::EAGAIN })
        }
    };
    semop_until(a, until)
}

/// What the clock of the real kernel is set to for an absolute time.
pub(super) fn at_real_time(a: &Asked<'_>, at: u64) -> Result<Option<Until>> {
    const CLOCK_REALTIME: u64 = 0;
    if at == 0 {
        return Ok(None);
    }
    a.check_time(at)?;
    Ok(Some(Until { clock: CLOCK_REALTIME, flags: TIMER_ABSTIME, at, errno: Errno::ETIMEDOUT }))
}
