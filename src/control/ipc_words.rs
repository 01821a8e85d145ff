//! The words for calls on System V objects, as programs make them.

use super::lex::quote;
use crate::kernel::ipc::IPC_PRIVATE;
use crate::kernel::ipc::sem::{SemFlags, SemOp};
use crate::kernel::ipc::shm::ShmFlags;
use crate::syscall::Syscall;
use crate::syscall::ipc::{IpcCtl, IpcFlags, Payload, SetArgs};
use crate::syscall::msg::MsgFlags;
use crate::syscall::sem::{SemCtl, SemGet};
use crate::syscall::shm::ShmCtl;

/// The verb and its arguments; `None` of other calls.
pub(super) fn words(call: &Syscall) -> Option<String> {
    if let Syscall::Msgget { key, flags } = call {
        return Some(format!("msgget {}{}", key_word(*key), get_flags(*flags)));
    }
    if let Syscall::Semget { key, nsems, flags } = call {
        return Some(format!("semget {} {nsems}{}", key_word(*key), get_flags(*flags)));
    }
    if let Syscall::Shmget { key, size, flags } = call {
        return Some(format!("shmget {} {size}{}", key_word(*key), get_flags(*flags)));
    }
    // Whether it was to wait, the journal says by what came of it.
    if let Syscall::Msgsnd { id, mtype, text, flags: _ } = call {
        return Some(format!("msgsnd {id} {mtype} {}", payload(text)));
    }
    if let Syscall::Msgrcv { id, mtype, size, flags } = call {
        let words = [
            (MsgFlags::NOWAIT, " nowait"),
            (MsgFlags::NOERROR, " noerror"),
            (MsgFlags::EXCEPT, " except"),
            (MsgFlags::COPY, " copy"),
        ];
        let flags: String = words.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| *word).collect();
        return Some(format!("msgrcv {id} {mtype} size={size}{flags}"));
    }
    if let Syscall::Msgctl { id, op } = call {
        return Some(format!("msgctl {id} {}", ctl(*op, "msg")));
    }
    if let Syscall::Semop { id, ops } = call {
        return Some(format!("semop {id}{}", ops.iter().map(sem_op).collect::<String>()));
    }
    if let Syscall::Semctl { id, op } = call {
        return Some(format!("semctl {id} {}", sem_ctl(op)));
    }
    if let Syscall::Shmat { id, addr, flags } = call {
        let addr = if *addr == 0 { String::new() } else { format!(" addr={addr:#x}") };
        let words = [(ShmFlags::RDONLY, " rdonly"), (ShmFlags::REMAP, " remap")];
        let flags: String = words.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| *word).collect();
        return Some(format!("shmat {id}{addr}{flags}"));
    }
    if let Syscall::Shmdt { addr } = call {
        return Some(format!("shmdt {addr:#x}"));
    }
    let Syscall::Shmctl { id, op } = call else { return None };
    let op = match op {
        ShmCtl::Ipc(op) => ctl(*op, "shm"),
        ShmCtl::Lock => "lock".to_owned(),
        ShmCtl::Unlock => "unlock".to_owned(),
    };
    Some(format!("shmctl {id} {op}"))
}

fn key_word(key: i32) -> String {
    if key == IPC_PRIVATE { "private".to_owned() } else { format!("{key}") }
}

/// Other flags change nothing.
fn get_flags(flags: IpcFlags) -> String {
    let words = [(IpcFlags::CREAT, " create"), (IpcFlags::EXCL, " excl")];
    let words: String = words.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| *word).collect();
    format!("{words} {:04o}", flags.bits() & 0o777)
}

pub(super) fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) if text.starts_with(b"size=") || text.starts_with(b"text=") => {
            quote(&[b"text=", text.as_slice()].concat())
        }
        Payload::Text(text) => quote(text),
        Payload::Size(size) => format!("size={size}"),
    }
}

/// A command that all three families have.
fn ctl(op: IpcCtl, family: &str) -> String {
    match op {
        IpcCtl::Rmid => "rmid".to_owned(),
        IpcCtl::Stat => "stat".to_owned(),
        IpcCtl::StatIndex => format!("{family}_stat"),
        IpcCtl::StatAny => format!("{family}_stat_any"),
        IpcCtl::Info => "info".to_owned(),
        IpcCtl::UsageInfo => format!("{family}_info"),
        IpcCtl::Unknown(command) => command.to_string(),
        IpcCtl::Set(SetArgs { uid, gid, mode, qbytes }) => {
            let number =
                |name: &str, value: Option<u64>| value.map_or(String::new(), |value| format!(" {name}={value}"));
            let mode = mode.map_or(String::new(), |mode| format!(" mode={mode:04o}"));
            let ids = [number("uid", uid.map(u64::from)), number("gid", gid.map(u64::from))].concat();
            format!("set{ids}{mode}{}", number("qbytes", qbytes))
        }
    }
}

fn sem_op(op: &SemOp) -> String {
    let words = [(SemFlags::UNDO, ",undo"), (SemFlags::NOWAIT, ",nowait")];
    let flags: String = words.iter().filter(|(flag, _)| op.flags.contains(*flag)).map(|(_, word)| *word).collect();
    format!(" {},{}{flags}", op.num, op.delta)
}

fn sem_ctl(op: &SemCtl) -> String {
    match op {
        SemCtl::Ipc(IpcCtl::Unknown(command)) => format!("0 {command}"),
        SemCtl::Ipc(op) => ctl(*op, "sem"),
        SemCtl::Setval { num, value } => format!("{num} setval {value}"),
        SemCtl::Get { num, what } => {
            let what = match what {
                SemGet::Value => "getval",
                SemGet::Pid => "getpid",
                SemGet::Growing => "getncnt",
                SemGet::Zero => "getzcnt",
            };
            format!("{num} {what}")
        }
        SemCtl::Getall => "getall".to_owned(),
        SemCtl::Setall(values) => {
            format!("setall{}", values.iter().map(|value| format!(" {value}")).collect::<String>())
        }
    }
}
