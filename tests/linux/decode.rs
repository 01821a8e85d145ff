//! What `abi` makes of the registers and the memory of a worker's call: the call that was to be made. The encoder here and
//! the decoder there are each other's inverse.

use nslab::abi::{Decoded, Memory, Registers, decode};
use nslab::errno::{Errno, Result};
use nslab::kernel::ipc::mqueue::NotifyMethod;
use nslab::syscall::ipc::{IpcCtl, Payload};
use nslab::syscall::msg::MsgFlags;
use nslab::syscall::sem::SemCtl;
use nslab::syscall::shm::ShmCtl;
use nslab::syscall::{AnyCall, CloneArgs, CloneFlags, PidArg, Prctl, Syscall, WNOHANG, WaitidWhich};
use nslab::{bail, err};

use crate::encode::{Arg, Context, Job, Raw};
use crate::ipc::decode::ROOM;

/// Where the data of a worker are.
const DATA: u64 = 0x10_0000;

/// Bytes of the longest text that a worker sends.
const MOST: i64 = ROOM as i64;

/// The data of a worker.
struct Data(Vec<u8>);

impl Memory for Data {
    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<()> {
        let start = addr.checked_sub(DATA).ok_or_else(|| err!(EFAULT, "{}", addr))? as usize;
        let Some(found) = self.0.get(start..start + bytes.len()) else { bail!(EFAULT, "{}", addr) };
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn write(&mut self, addr: u64, _: &[u8]) -> Result<()> {
        bail!(EFAULT, "{} is only read", addr)
    }
}

/// Calls that a program makes and the lab does not decode: the real kernel answers, or the lab does not yet.
const NOT_DECODED: &[&str] = &[
    "exit",
    "exit_group",
    "sigprocmask",
    "sigwaitinfo",
    "open",
    "close",
    "dup",
    "pidfd_open",
    "pidfd_getfd",
    "ioctl",
    "mkdir",
    "rmdir",
    "unlink",
    "rename",
    "symlink",
    "chown",
    "chdir",
    "fchdir",
    "getcwd",
    "chroot",
    "pivot_root",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "reboot",
    "clock_gettime",
    "mq_open",
    "shmat",
    "shmdt",
];

/// What differs between a call and what `abi` makes of it, if anything does.
pub fn difference(c: &Context<'_>, call: &AnyCall, job: &Job) -> Option<String> {
    let AnyCall::Linux(call) = call else { return None };
    let decoded = match job {
        Job::Call(raw) => decode_raw(raw),
        Job::Clone { args, set_tid } => decode_clone(*args, set_tid),
        _ => return None,
    };
    let expected = as_made(c, call, job);
    let is_same = match &decoded {
        Ok(Decoded::Call { call, .. }) => is_same(call, &expected),
        Ok(Decoded::Birth(birth)) => matches!(&expected, Syscall::Clone(args) if *args == birth.call),
        Ok(Decoded::Question { .. }) => false,
        Ok(Decoded::Pass | Decoded::Rewrite(_) | Decoded::Translate(_)) => NOT_DECODED.contains(&call.name()),
        Err(error) => is_refused(&expected, error.errno),
    };
    // A look at an action is the real kernel's.
    let is_look = matches!((&decoded, &expected), (Ok(Decoded::Pass), Syscall::Sigaction { action: None, .. }));
    (!is_same && !is_look).then(|| format!("abi: {expected:?} became {decoded:?}"))
}

/// Paths of a sandbox are other ones than the lab's.
fn is_same(made: &Syscall, expected: &Syscall) -> bool {
    match (made, expected) {
        (Syscall::Mount(made), Syscall::Mount(expected)) => {
            (made.flags, &made.fs_type, &made.data) == (expected.flags, &expected.fs_type, &expected.data)
        }
        (Syscall::Umount { flags: made, .. }, Syscall::Umount { flags: expected, .. }) => made == expected,
        (
            Syscall::Msgsnd { text: made_text, .. } | Syscall::MqSend { text: made_text, .. },
            Syscall::Msgsnd { text: Payload::Size(size), .. } | Syscall::MqSend { text: Payload::Size(size), .. },
        ) => made_text.size() == *size && with_text(made, Payload::Size(*size)) == *expected,
        (made, expected) => made == expected,
    }
}

fn with_text(call: &Syscall, other: Payload) -> Syscall {
    let mut call = call.clone();
    if let Syscall::Msgsnd { text, .. } | Syscall::MqSend { text, .. } = &mut call {
        *text = other;
    }
    call
}

/// What `abi` refuses itself.
fn is_refused(call: &Syscall, errno: Errno) -> bool {
    match call {
        Syscall::Clone(args) => {
            errno == Errno::EINVAL
                && (args.set_tid.len() > 32 || args.exit_signal > Some(64) || args.cgroup.is_some_and(|fd| fd < 0))
        }
        // A text that the worker has no room for.
        Syscall::Msgsnd { text: Payload::Size(_), .. } | Syscall::MqSend { text: Payload::Size(_), .. } => {
            errno == Errno::EFAULT
        }
        Syscall::Msgctl { id, op } | Syscall::Shmctl { id, op: ShmCtl::Ipc(op) } => is_negative(*id, *op, errno),
        Syscall::Semctl { id, op: SemCtl::Ipc(op) } => is_negative(*id, *op, errno),
        call => NOT_DECODED.contains(&call.name()),
    }
}

fn is_negative(id: i32, op: IpcCtl, errno: Errno) -> bool {
    errno == Errno::EINVAL && (id < 0 || matches!(op, IpcCtl::Unknown(command) if command < 0))
}

fn decode_raw(raw: &Raw) -> Result<Decoded> {
    let mut data = vec![0; 16384];
    for (offset, bytes) in &raw.data {
        data[*offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    let mut args = [0; 6];
    for (to, from) in args.iter_mut().zip(&raw.args) {
        *to = match from {
            Arg::Value(value) => *value,
            Arg::Data(offset) => DATA + offset,
            Arg::Opened => u64::from(u32::MAX),
        };
    }
    decode(&Registers { number: raw.number as u64, args }, &Data(data))
}

fn decode_clone(mut args: [u64; 11], set_tid: &[i32]) -> Result<Decoded> {
    let mut data = vec![0; 4096];
    let numbers: Vec<u8> = set_tid.iter().flat_map(|tid| tid.to_ne_bytes()).collect();
    data[2048..2048 + numbers.len()].copy_from_slice(&numbers);
    if !set_tid.is_empty() {
        args[8] = DATA + 2048;
    }
    let words: Vec<u8> = args.iter().flat_map(|word| word.to_ne_bytes()).collect();
    data[..words.len()].copy_from_slice(&words);
    let registers = Registers { number: libc::SYS_clone3 as u64, args: [DATA, words.len() as u64, 0, 0, 0, 0] };
    decode(&registers, &Data(data))
}

/// A call as a worker makes it: with numbers of its own, never one that waits, and with all that may be left out.
fn as_made(c: &Context<'_>, call: &Syscall, job: &Job) -> Syscall {
    let own = |pid: &PidArg| PidArg::Own(c.numbers.of_caller(c.k, c.me, pid.number()));
    let mut call = call.clone();
    match &mut call {
        Syscall::Kill { pid, .. }
        | Syscall::Tkill { tid: pid, .. }
        | Syscall::RtSigqueueinfo { tgid: pid, .. }
        | Syscall::Getsid { pid }
        | Syscall::Getpgid { pid } => *pid = own(pid),
        Syscall::Tgkill { tgid: first, tid: second, .. }
        | Syscall::RtTgsigqueueinfo { tgid: first, tid: second, .. }
        | Syscall::Setpgid { pid: first, pgid: second } => (*first, *second) = (own(first), own(second)),
        Syscall::Wait { pid, options } => (*pid, *options) = (own(pid), *options | WNOHANG),
        Syscall::Waitid { which, options } => {
            *options |= waitid_options(job);
            match which {
                WaitidWhich::Pid(pid) | WaitidWhich::Pgid(pid) => *pid = own(pid),
                WaitidWhich::All | WaitidWhich::Pidfd(_) | WaitidWhich::Unknown(_) => {}
            }
        }
        Syscall::Capset { pid, effective, permitted, inheritable } => {
            *pid = own(pid);
            let current = (c.capabilities)();
            for (set, current) in [effective, permitted, inheritable].into_iter().zip(current) {
                *set = set.or(Some(current));
            }
        }
        Syscall::Prlimit { pid, resource, hard, .. } => {
            *pid = own(pid);
            *hard = hard.or(Some((c.limit)(crate::encode::cred::number_of(*resource)).1));
        }
        Syscall::Setns { flags, .. } => *flags &= u64::from(u32::MAX),
        Syscall::Prctl(Prctl::SetName(name)) => {
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            name.truncate(end.min(15));
        }
        Syscall::Sethostname { name } | Syscall::Setdomainname { name } if name.len() > 64 => *name = vec![0; 65],
        Syscall::Clone(args) => {
            if let Job::Clone { args: made, set_tid } = job {
                let into_cgroup = CloneFlags::from_bits_retain(made[0]).contains(CloneFlags::INTO_CGROUP);
                let cgroup = into_cgroup.then_some(made[10] as i32);
                let set_tid = set_tid.iter().map(|&tid| i64::from(tid)).collect();
                *args = CloneArgs { flags: made[0], set_tid, exit_signal: Some(made[4]), cgroup };
            }
        }
        _ => ipc_as_made(c, &mut call),
    }
    call
}

fn ipc_as_made(c: &Context<'_>, call: &mut Syscall) {
    match call {
        Syscall::Msgsnd { text, flags, .. } => {
            *flags = MsgFlags::NOWAIT;
            *text = text_as_made(text);
        }
        Syscall::MqSend { text, .. } => *text = text_as_made(text),
        Syscall::Msgrcv { size, flags, .. } => {
            *size = (*size).min(ROOM as i64);
            flags.set(MsgFlags::NOWAIT, flags.contains(MsgFlags::NOWAIT) || !flags.contains(MsgFlags::COPY));
        }
        Syscall::Msgctl { id, op: IpcCtl::Set(set) } => {
            set.qbytes.get_or_insert_with(|| crate::ipc::encode::queue_bytes(c, *id));
        }
        // Who knows how many there are reads the values.
        Syscall::Semctl { op: SemCtl::Setall(values), .. } => values.clear(),
        Syscall::MqNotify { method: Some(NotifyMethod::Signal { value, .. }), .. } => *value = 0,
        _ => {}
    }
}

/// The bytes that a worker sends; of a text that it has no room for only the size counts.
fn text_as_made(text: &Payload) -> Payload {
    match (text, text.size()) {
        (Payload::Size(_), size @ 0..=MOST) => Payload::Text(vec![b'x'; size as usize]),
        (Payload::Text(_), size) if size > MOST => Payload::Size(size),
        (text, _) => text.clone(),
    }
}

/// A wait with a non-blocking pidfd is made as it is.
fn waitid_options(job: &Job) -> u32 {
    match job {
        Job::Call(Raw { args, .. }) => match args.get(3) {
            Some(Arg::Value(options)) => *options as u32 & WNOHANG,
            _ => 0,
        },
        _ => 0,
    }
}
