//! The words for calls on POSIX message queues, as programs make them.

use super::ipc::QUEUE_FLAGS;
use super::ipc_words::payload;
use super::lex::quote;
use super::program::QUEUE;
use crate::kernel::file::{O_ACCMODE, OpenFlags};
use crate::kernel::ipc::mqueue::{Cookie, NotifyMethod};
use crate::syscall::Syscall;
use crate::syscall::mqueue::{MqOpen, QueueFd};

/// The verb and its arguments; `None` of other calls.
pub(super) fn words(call: &Syscall) -> Option<String> {
    if let Syscall::MqOpen(args) = call {
        return Some(open(args));
    }
    if let Syscall::MqUnlink { name } = call {
        return Some(format!("mq_unlink {}", quote(name)));
    }
    if let Syscall::MqSend { fd, prio, text } = call {
        return Some(format!("mq_send {} {prio} {}", fd_word(*fd), payload(text)));
    }
    if let Syscall::MqReceive { fd, size } = call {
        return Some(format!("mq_receive {} size={size}", fd_word(*fd)));
    }
    if let Syscall::MqNotify { fd, method } = call {
        let method = match method {
            Some(NotifyMethod::Signal { signo, value: 0 }) => format!("signal {signo}"),
            Some(NotifyMethod::Signal { signo, value }) => format!("signal {signo} value={value}"),
            Some(NotifyMethod::None) => "none".to_owned(),
            Some(NotifyMethod::Thread(Cookie { socket, bytes })) => {
                let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("thread socket={socket} cookie={bytes}")
            }
            None => "off".to_owned(),
        };
        return Some(format!("mq_notify {} {method}", fd_word(*fd)));
    }
    let Syscall::MqGetsetattr { fd, flags } = call else { return None };
    Some(format!("mq_getsetattr {}{}", fd_word(*fd), flags.map_or(String::new(), |flags| format!(" flags={flags}"))))
}

fn fd_word(fd: QueueFd) -> String {
    match fd {
        QueueFd::Own(fd) => fd.to_string(),
        QueueFd::Real { queue, flags } => {
            let words = QUEUE_FLAGS.iter().filter(|(_, flag)| flags.contains(*flag));
            format!("{QUEUE}{queue}{}", words.map(|(word, _)| format!(",{word}")).collect::<String>())
        }
    }
}

/// Other flags change nothing.
pub(super) fn open(MqOpen { name, flags, attr, mode }: &MqOpen) -> String {
    let access = match flags & O_ACCMODE {
        0 => " rdonly",
        1 => " wronly",
        2 => " rdwr",
        _ => " wronly rdwr",
    };
    let words = [(OpenFlags::CREAT, " create"), (OpenFlags::EXCL, " excl"), (OpenFlags::NONBLOCK, " nonblock")];
    let words: String = words.iter().filter(|(flag, _)| flags & flag.bits() != 0).map(|(_, word)| *word).collect();
    let attr = attr.map_or(String::new(), |(maxmsg, msgsize)| format!(" maxmsg={maxmsg} msgsize={msgsize}"));
    format!("mq_open {}{access}{words}{attr} {mode:04o}", quote(name))
}
