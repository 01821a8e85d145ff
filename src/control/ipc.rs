//! Arguments of the calls on System V objects and POSIX message queues, and of the clocks.

use super::args::Args;
use super::parse::ACCESS_MODES;
use super::program::QUEUE;
use super::signal;
use super::word::{choose, id, mode, number, unexpected};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::{O_RDWR, OpenFlags};
use crate::kernel::ipc::IPC_PRIVATE;
use crate::kernel::ipc::mqueue::{Cookie, NOTIFY_COOKIE_LEN, NotifyMethod};
use crate::kernel::ipc::sem::{SemFlags, SemOp};
use crate::kernel::ipc::shm::ShmFlags;
use crate::syscall::clock::CLOCKS;
use crate::syscall::ipc::{IpcCtl, IpcFlags, Payload, SetArgs};
use crate::syscall::mqueue::{MqOpen, QueueFd};
use crate::syscall::msg::MsgFlags;
use crate::syscall::sem::{SemCtl, SemGet};
use crate::syscall::shm::ShmCtl;
use crate::syscall::{AnyCall, LabCall, Syscall};

/// `private`, or a number of 32 bits with or without sign.
fn key(args: &mut Args<'_>) -> Result<i32> {
    let word = args.text("KEY")?;
    if word == "private" {
        return Ok(IPC_PRIVATE);
    }
    number::<i32>(word, "KEY").or_else(|error| number::<u32>(word, "KEY").map(u32::cast_signed).map_err(|_| error))
}

fn get_flags(args: &mut Args<'_>) -> Result<IpcFlags> {
    let (mut flags, mut permissions) = (IpcFlags::empty(), 0);
    while let Some(word) = args.optional_text()? {
        match word {
            "create" => flags |= IpcFlags::CREAT,
            "excl" => flags |= IpcFlags::EXCL,
            _ => permissions = mode(word)?,
        }
    }
    Ok(flags | IpcFlags::from_mode(permissions))
}

/// `size=N`, or the text itself, with `text=` in front where it begins like one of the two.
fn payload(args: &mut Args<'_>) -> Result<Payload> {
    let word = args.bytes("TEXT or size=N")?;
    match word.strip_prefix(b"size=") {
        Some(size) => Ok(Payload::Size(number(&String::from_utf8_lossy(size), "size")?)),
        None => Ok(Payload::Text(word.strip_prefix(b"text=").unwrap_or(word).to_vec())),
    }
}

pub(super) fn msgget(args: &mut Args<'_>) -> Result<Syscall> {
    Ok(Syscall::Msgget { key: key(args)?, flags: get_flags(args)? })
}

pub(super) fn msgsnd(args: &mut Args<'_>) -> Result<Syscall> {
    let (id, mtype) = (args.number("ID")?, args.number("TYPE")?);
    Ok(Syscall::Msgsnd { id, mtype, text: payload(args)?, flags: MsgFlags::empty() })
}

const MSG_FLAGS: &[(&str, MsgFlags)] = &[
    ("nowait", MsgFlags::NOWAIT),
    ("noerror", MsgFlags::NOERROR),
    ("except", MsgFlags::EXCEPT),
    ("copy", MsgFlags::COPY),
];

/// Without a size the buffer is as large as a message can be.
pub(super) fn msgrcv(args: &mut Args<'_>) -> Result<Syscall> {
    let (id, mtype) = (args.number("ID")?, args.number("TYPE")?);
    let (mut size, mut flags) = (i64::MAX, MsgFlags::empty());
    while let Some(word) = args.optional_text()? {
        match word.strip_prefix("size=") {
            Some(bytes) => size = number(bytes, "size")?,
            None => flags |= choose(word, MSG_FLAGS).ok_or_else(|| unexpected("a flag of msgrcv", word))?,
        }
    }
    Ok(Syscall::Msgrcv { id, mtype, size, flags })
}

/// The commands all three families have; those about an index and about what is in use have the family in their names.
fn ipc_ctl(args: &mut Args<'_>, family: &str, word: &str) -> Result<Option<IpcCtl>> {
    Ok(Some(match word {
        "rmid" => IpcCtl::Rmid,
        "stat" => IpcCtl::Stat,
        "info" => IpcCtl::Info,
        "set" => IpcCtl::Set(set_args(args)?),
        _ if is_number(word) => IpcCtl::Unknown(number(word, "COMMAND")?),
        _ => match word.strip_prefix(family) {
            Some("_stat") => IpcCtl::StatIndex,
            Some("_stat_any") => IpcCtl::StatAny,
            Some("_info") => IpcCtl::UsageInfo,
            _ => return Ok(None),
        },
    }))
}

/// Commands by number are those Linux does not know: all others have names.
fn is_number(word: &str) -> bool {
    word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
}

fn set_args(args: &mut Args<'_>) -> Result<SetArgs> {
    let mut set = SetArgs::default();
    while let Some(word) = args.optional_text()? {
        match word.split_once('=') {
            Some(("uid", uid)) => set.uid = Some(id(uid, "uid")?),
            Some(("gid", gid)) => set.gid = Some(id(gid, "gid")?),
            Some(("mode", bits)) => set.mode = Some(mode(bits)?),
            Some(("qbytes", bytes)) => set.qbytes = Some(number(bytes, "qbytes")?),
            _ => return Err(unexpected("uid=, gid=, mode= or qbytes=", word)),
        }
    }
    Ok(set)
}

pub(super) fn msgctl(args: &mut Args<'_>) -> Result<Syscall> {
    let (id, word) = (args.number("ID")?, args.text("COMMAND")?);
    let op = ipc_ctl(args, "msg", word)?.ok_or_else(|| unexpected("COMMAND", word))?;
    Ok(Syscall::Msgctl { id, op })
}

pub(super) fn semget(args: &mut Args<'_>) -> Result<Syscall> {
    let (key, nsems) = (key(args)?, args.number("NSEMS")?);
    Ok(Syscall::Semget { key, nsems, flags: get_flags(args)? })
}

pub(super) fn semop(args: &mut Args<'_>) -> Result<Syscall> {
    let id = args.number("ID")?;
    let mut ops = Vec::new();
    while let Some(word) = args.optional_text()? {
        ops.push(sem_op(word)?);
    }
    Ok(Syscall::Semop { id, ops })
}

/// `NUM,DELTA[,undo][,nowait]`
fn sem_op(word: &str) -> Result<SemOp> {
    let mut parts = word.split(',');
    let (Some(num), Some(delta)) = (parts.next(), parts.next()) else { return Err(unexpected("NUM,DELTA", word)) };
    let mut op = SemOp { num: number(num, "NUM")?, delta: number(delta, "DELTA")?, flags: SemFlags::empty() };
    for flag in parts {
        match flag {
            "undo" => op.flags |= SemFlags::UNDO,
            "nowait" => op.flags |= SemFlags::NOWAIT,
            _ => return Err(unexpected("undo or nowait", word)),
        }
    }
    Ok(op)
}

pub(super) fn semctl(args: &mut Args<'_>) -> Result<Syscall> {
    let (id, word) = (args.number("ID")?, args.text("NUM or COMMAND")?);
    let op = match word {
        "getall" => SemCtl::Getall,
        "setall" => SemCtl::Setall(values(args)?),
        num if is_number(num) => one_sem_ctl(args, number(num, "NUM")?)?,
        _ => match ipc_ctl(args, "sem", word)? {
            Some(op) => SemCtl::Ipc(op),
            None => return Err(unexpected("NUM or COMMAND", word)),
        },
    };
    Ok(Syscall::Semctl { id, op })
}

fn values(args: &mut Args<'_>) -> Result<Vec<i32>> {
    let mut values = Vec::new();
    while let Some(word) = args.optional_text()? {
        values.push(number(word, "V")?);
    }
    Ok(values)
}

/// A command about one semaphore.
fn one_sem_ctl(args: &mut Args<'_>, num: i32) -> Result<SemCtl> {
    let what = match args.text("COMMAND")? {
        "setval" => return Ok(SemCtl::Setval { num, value: args.number("V")? }),
        "getval" => SemGet::Value,
        "getpid" => SemGet::Pid,
        "getncnt" => SemGet::Growing,
        "getzcnt" => SemGet::Zero,
        word if is_number(word) => return Ok(SemCtl::Ipc(IpcCtl::Unknown(number(word, "COMMAND")?))),
        word => return Err(unexpected("COMMAND", word)),
    };
    Ok(SemCtl::Get { num, what })
}

pub(super) fn shmget(args: &mut Args<'_>) -> Result<Syscall> {
    let (key, size) = (key(args)?, args.number("SIZE")?);
    Ok(Syscall::Shmget { key, size, flags: get_flags(args)? })
}

pub(super) fn shmat(args: &mut Args<'_>) -> Result<Syscall> {
    let id = args.number("ID")?;
    let (mut addr, mut flags) = (0, ShmFlags::empty());
    while let Some(word) = args.optional_text()? {
        match (word, word.strip_prefix("addr=")) {
            ("rdonly", _) => flags |= ShmFlags::RDONLY,
            ("remap", _) => flags |= ShmFlags::REMAP,
            (_, Some(address)) => addr = number(address, "addr")?,
            _ => return Err(unexpected("addr=0x…, rdonly or remap", word)),
        }
    }
    Ok(Syscall::Shmat { id, addr, flags })
}

pub(super) fn shmdt(args: &mut Args<'_>) -> Result<Syscall> {
    Ok(Syscall::Shmdt { addr: args.number("ADDR")? })
}

pub(super) fn shmctl(args: &mut Args<'_>) -> Result<Syscall> {
    let (id, word) = (args.number("ID")?, args.text("COMMAND")?);
    let op = match word {
        "lock" => ShmCtl::Lock,
        "unlock" => ShmCtl::Unlock,
        _ => ShmCtl::Ipc(ipc_ctl(args, "shm", word)?.ok_or_else(|| unexpected("COMMAND", word))?),
    };
    Ok(Syscall::Shmctl { id, op })
}

/// Without an access mode a queue that is created is opened for both; `wronly rdwr` is the mode that is none.
pub(super) fn mq_open(args: &mut Args<'_>) -> Result<AnyCall> {
    let name = args.bytes("NAME")?.to_vec();
    let mut open = MqOpen { name, flags: 0, attr: None, mode: 0 };
    let (mut access, mut maxmsg, mut msgsize, mut is_real) = (None, None, None, false);
    while let Some(word) = args.optional_text()? {
        match (word, word.split_once('=')) {
            ("real", _) => is_real = true,
            ("create", _) => open.flags |= OpenFlags::CREAT.bits(),
            ("excl", _) => open.flags |= OpenFlags::EXCL.bits(),
            ("nonblock", _) => open.flags |= OpenFlags::NONBLOCK.bits(),
            (_, Some(("maxmsg", value))) => maxmsg = Some(number(value, "maxmsg")?),
            (_, Some(("msgsize", value))) => msgsize = Some(number(value, "msgsize")?),
            _ => match choose(word, ACCESS_MODES) {
                Some(bits) => access = Some(access.unwrap_or_default() | bits),
                None => open.mode = mode(word)?,
            },
        }
    }
    open.flags |= access.unwrap_or(O_RDWR);
    open.attr = match (maxmsg, msgsize) {
        (Some(maxmsg), Some(msgsize)) => Some((maxmsg, msgsize)),
        (None, None) => None,
        _ => bail!(EINVAL, "maxmsg and msgsize go together"),
    };
    Ok(if is_real { LabCall::MqMake(open).into() } else { Syscall::MqOpen(open).into() })
}

pub(super) fn mq_unlink(args: &mut Args<'_>) -> Result<Syscall> {
    Ok(Syscall::MqUnlink { name: args.bytes("NAME")?.to_vec() })
}

/// A number, or `mqueue:N` with how it is open.
fn queue_fd(args: &mut Args<'_>) -> Result<QueueFd> {
    let word = args.text("FD")?;
    let Some(open) = word.strip_prefix(QUEUE) else { return number(word, "FD").map(QueueFd::Own) };
    let mut words = open.split(',');
    let queue = number(words.next().unwrap_or_default(), "the number of mqueue:N")?;
    let mut flags = OpenFlags::empty();
    for word in words {
        flags |= choose(word, QUEUE_FLAGS).ok_or_else(|| unexpected("read, write or nonblock", word))?;
    }
    Ok(QueueFd::Real { queue, flags })
}

/// How a real descriptor of a queue is open.
pub(super) const QUEUE_FLAGS: &[(&str, OpenFlags)] =
    &[("read", OpenFlags::READ), ("write", OpenFlags::WRITE), ("nonblock", OpenFlags::NONBLOCK)];

pub(super) fn mq_send(args: &mut Args<'_>) -> Result<Syscall> {
    let (fd, prio) = (queue_fd(args)?, args.number("PRIO")?);
    Ok(Syscall::MqSend { fd, prio, text: payload(args)? })
}

/// Without a size the buffer is as large as any queue asks for.
pub(super) fn mq_receive(args: &mut Args<'_>) -> Result<Syscall> {
    let fd = queue_fd(args)?;
    let size = match args.optional_text()? {
        Some(word) => match word.strip_prefix("size=") {
            Some(size) => number(size, "size")?,
            None => return Err(unexpected("size=N", word)),
        },
        None => i64::MAX,
    };
    Ok(Syscall::MqReceive { fd, size })
}

pub(super) fn mq_notify(args: &mut Args<'_>) -> Result<Syscall> {
    let fd = queue_fd(args)?;
    let method = match args.text("signal SIG, thread, none or off")? {
        "signal" => {
            let signo = signal::parse(args.text("SIG")?)?;
            let value = match args.optional_text()? {
                Some(word) => match word.strip_prefix("value=") {
                    Some(value) => number(value, "value")?,
                    None => return Err(unexpected("value=N", word)),
                },
                None => 0,
            };
            Some(NotifyMethod::Signal { signo, value })
        }
        "none" => Some(NotifyMethod::None),
        "thread" => Some(NotifyMethod::Thread(cookie(args)?)),
        "off" => None,
        word => return Err(unexpected("signal SIG, thread, none or off", word)),
    };
    Ok(Syscall::MqNotify { fd, method })
}

/// `[socket=N] [cookie=BYTES]`, bytes as two digits of base 16 each.
fn cookie(args: &mut Args<'_>) -> Result<Cookie> {
    let mut cookie = Cookie { socket: 0, bytes: [0; NOTIFY_COOKIE_LEN] };
    while let Some(word) = args.optional_text()? {
        let wrong = || unexpected("socket=N or cookie=BYTES", word);
        if let Some(socket) = word.strip_prefix("socket=") {
            cookie.socket = number(socket, "socket")?;
            continue;
        }
        let digits = word.strip_prefix("cookie=").ok_or_else(wrong)?;
        if digits.len() != 2 * NOTIFY_COOKIE_LEN || !digits.is_ascii() {
            return Err(wrong());
        }
        for (index, byte) in cookie.bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
    }
    Ok(cookie)
}

pub(super) fn mq_getsetattr(args: &mut Args<'_>) -> Result<Syscall> {
    /// `O_NONBLOCK`
    const NONBLOCK: i64 = 0o4000;
    let fd = queue_fd(args)?;
    let flags = match args.optional_text()? {
        Some("nonblock") => Some(NONBLOCK),
        Some(word) => match word.strip_prefix("flags=") {
            Some(flags) => Some(number(flags, "flags")?),
            None => return Err(unexpected("nonblock or flags=N", word)),
        },
        None => None,
    };
    Ok(Syscall::MqGetsetattr { fd, flags })
}

pub(super) fn clock_gettime(args: &mut Args<'_>) -> Result<Syscall> {
    let word = args.text("CLOCK")?;
    let clock = choose(word, CLOCKS).map_or_else(|| number(word, "CLOCK"), Ok)?;
    Ok(Syscall::ClockGettime { clock })
}

/// Units of a duration, nanoseconds each.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// `+DURATION`: a number and a unit.
pub(super) fn clock(args: &mut Args<'_>) -> Result<LabCall> {
    let word = args.text("+DURATION")?;
    let duration = word.strip_prefix('+').and_then(|duration| {
        let digits = duration.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = duration.split_at(digits);
        count.parse::<u64>().ok()?.checked_mul(choose(unit, UNITS)?)
    });
    match duration {
        Some(advance) => Ok(LabCall::Clock { advance }),
        None => Err(unexpected("+ a number and ns, us, ms, s, min, h or d", word)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse_write, verb};
    use super::*;

    fn call(line: &str) -> Result<Syscall> {
        match any_call(line)? {
            AnyCall::Linux(call) => Ok(call),
            other => panic!("{other:?}"),
        }
    }

    fn any_call(line: &str) -> Result<AnyCall> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        parse_write(verb(name).unwrap(), rest.as_bytes())
    }

    #[test]
    fn keys_are_32_bits_and_modes_octal() {
        let get = |line: &str| match call(line).unwrap() {
            Syscall::Msgget { key, flags } => (key, flags),
            other => panic!("{other:?}"),
        };
        assert_eq!(get("msgget 0xffffffff create 0644"), (-1, IpcFlags::CREAT | IpcFlags::from_mode(0o644)));
        assert_eq!(get("msgget -5 600"), (-5, IpcFlags::from_mode(0o600)));
        assert_eq!(get("msgget private"), (0, IpcFlags::empty()));
        // Of a mode only the nine permission bits count: the sticky bit does not become a flag of msgget.
        assert_eq!(get("msgget 1 1600"), (1, IpcFlags::from_mode(0o600)));
        for line in ["msgget", "msgget 0x100000000", "msgget 1 0x1ff", "msgget 1 8", "msgget 1 17777", "msgget x"] {
            assert!(call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn messages_are_a_word_or_a_size() {
        let text = |line: &str| match call(line).unwrap() {
            Syscall::Msgsnd { text, .. } => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text("msgsnd 0 1 \"a b\""), Payload::Text(b"a b".to_vec()));
        assert_eq!(text("msgsnd 0 1 \"\""), Payload::Text(Vec::new()));
        assert_eq!(text("msgsnd 0 1 size=-1"), Payload::Size(-1));
        assert!(call("msgsnd 0 1").is_err() && call("msgsnd 0 1 size=x").is_err());
    }

    #[test]
    fn operations_have_two_numbers_and_flags() {
        let op = SemOp { num: 3, delta: -1, flags: SemFlags::UNDO | SemFlags::NOWAIT };
        assert_eq!(call("semop 0 3,-1,nowait,undo").unwrap(), Syscall::Semop { id: 0, ops: vec![op] });
        for line in ["semop 0 1", "semop 0 65536,1", "semop 0 0,32768", "semop 0 0,1,x"] {
            assert!(call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn commands_about_an_index_carry_the_family() {
        let ctl = |op| Syscall::Shmctl { id: 0, op: ShmCtl::Ipc(op) };
        assert_eq!(call("shmctl 0 shm_stat_any").unwrap(), ctl(IpcCtl::StatAny));
        assert_eq!(call("shmctl 0 shm_info").unwrap(), ctl(IpcCtl::UsageInfo));
        assert!(call("shmctl 0 msg_stat").is_err() && call("semctl 0 sem").is_err());
        assert_eq!(call("shmctl 0 99").unwrap(), ctl(IpcCtl::Unknown(99)));
    }

    #[test]
    fn queues_take_both_attributes_or_none() {
        let open = |line: &str| match call(line) {
            Ok(Syscall::MqOpen(open)) => (open.flags, open.attr, open.mode),
            other => panic!("{other:?}"),
        };
        assert_eq!(open("mq_open q rdwr wronly 0600"), (3, None, 0o600));
        assert_eq!(open("mq_open q create maxmsg=-1 msgsize=10"), (0o100 | O_RDWR, Some((-1, 10)), 0));
        assert!(call("mq_open q maxmsg=1").is_err());
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(any_call("clock +5s").unwrap(), LabCall::Clock { advance: 5_000_000_000 }.into());
        assert_eq!(any_call("clock +2d").unwrap(), LabCall::Clock { advance: 172_800_000_000_000 }.into());
        for line in ["clock 5s", "clock +s", "clock +5", "clock -5s", "clock +999999999999999d", "clock +1.5s"] {
            assert!(any_call(line).is_err(), "{line}");
        }
    }
}
