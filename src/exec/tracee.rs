//! A thread of a program, as the supervisor knows it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::netlink::Making;
use super::pidfd::Filling;
use super::processes::Processes;
use super::regs::Regs;
use super::signalfd::Heeding;
use super::sys::{RawSiginfo, Tid};
use super::telling::Telling;
use crate::abi::{Answer, Memory, Sleep};
use crate::err;
use crate::errno::{Errno, Error, Result};
use crate::kernel::TaskId;
use crate::kernel::ipc::shm::ShmFlags;
use crate::kernel::ns::time::Offset;
use crate::syscall::AnyCall;

/// A thread of a program.
#[derive(Debug)]
pub struct Tracee {
    pub tid: Tid,
    /// Its process.
    pub tgid: Tid,
    pub task: TaskId,
    pub space: Rc<Space>,
    /// Memory of the program that is ours, if it has any yet: [`SCRATCH`] bytes.
    pub scratch: Option<u64>,
    pub doing: Doing,
    /// Its process is stopped, and it with it.
    pub is_stopped: bool,
    /// It is frozen, and kept stopped; when it goes on it gets this signal, or 0.
    pub kept: Option<i32>,
    /// What it may be about to wait for has happened.
    pub is_woken: bool,
    /// The call that it begins next was begun before, and we have it begin anew: its faults were asked then.
    pub is_again: bool,
    /// Its calls about sockets stop: it, or who has made it, has made a netlink socket or wants credentials with messages.
    pub has_netlink: bool,
    /// Blocks of descriptors from which its reads stop: it, or who has made it, has made one of signalfd there.
    pub heeds: Vec<i32>,
    /// Its calls about the time stop: it, or who has made it, is or may be in a time namespace with offsets.
    pub has_clock: bool,
    /// Where the real kernel is to write 0 when the first thread of a process ends before others, if it has not been told yet.
    pub clear_child_tid: u64,
}

/// Bytes of a piece of memory that is ours in a program: room for two paths, and a struct.
pub const SCRATCH: u64 = 3 * 4096;

/// What is ours in an address space. Threads that end leave their piece to others.
#[derive(Debug, Default)]
pub struct Space {
    free: RefCell<Vec<u64>>,
    /// The vDSO makes calls to tell the time: those can be answered.
    pub asks_time: Cell<bool>,
}

impl Space {
    pub fn take(&self) -> Option<u64> {
        self.free.borrow_mut().pop()
    }

    pub fn leave(&self, piece: u64) {
        self.free.borrow_mut().push(piece);
    }

    /// The same pieces, in a copy of the memory.
    pub fn copy(&self) -> Space {
        Space { free: self.free.clone(), asks_time: self.asks_time.clone() }
    }
}

/// What a thread is in the midst of when it stops next.
#[derive(Debug)]
pub enum Doing {
    /// Its own business.
    Running,
    /// Its first stop is yet to come, after which these registers are its arguments again.
    Newborn(Box<Newborn>),
    /// It makes a child.
    Birth(Box<Parent>),
    /// It makes a call of the real kernel with other arguments, or whose result is not the real kernel's.
    Call(Box<Detour>),
    /// It makes a call that gives us memory; the one it wanted to make comes afterwards.
    Mapping(Box<Regs>),
    /// It gets a filter that stops its calls about the time; the one it wanted to make comes afterwards.
    Filtering(Box<Regs>),
    /// It makes a netlink socket, a step at a time; each step begins as the call that it wanted to make.
    Making(Box<Making>),
    /// It sends itself what a netlink socket answers; each datagram begins as the call that it wanted to make.
    Telling(Box<Telling>),
    /// It makes a file with a text in place of the one that it wanted to open, a step at a time.
    Filling(Box<Filling>),
    /// It makes a descriptor of signalfd, a step at a time.
    Heeding(Box<Heeding>),
    /// It gets a filter that stops its calls about sockets; the one that it wanted to make comes afterwards.
    Watching(Box<Regs>),
    /// It waits for something of the lab, in a call of the real kernel.
    Waiting(Box<Waiting>),
}

#[derive(Debug)]
pub struct Newborn {
    pub regs: Regs,
    /// Where its number goes in its memory.
    pub child_tid: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub struct Parent {
    pub regs: Regs,
    pub child: TaskId,
    pub is_born: bool,
    pub flags: u64,
    pub parent_tid: Option<u64>,
    pub child_tid: Option<u64>,
    /// Where the real kernel puts a pidfd.
    pub pidfd: Option<u64>,
    /// The child's number, as the parent sees it.
    pub number: i32,
}

/// A call whose end is looked at.
#[derive(Debug)]
pub struct Detour {
    pub regs: Regs,
    pub then: Then,
}

/// What becomes of the result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It stays.
    Keep,
    /// A pidfd of this task.
    Pidfd(TaskId),
    /// A pidfd of a process of the host that stands in for this task.
    StandIn { task: TaskId, host: Tid },
    /// The pidfd that the call wrote to this address.
    PidfdAt(u64),
    /// It is this, whatever the real kernel says.
    Always(i64),
    /// A process of the host, or a group if the number is negative, whose number the program gets.
    Owner,
    /// `struct statfs` at this address is of a file system with this number.
    FileSystem { addr: u64, magic: u64 },
    /// The path of the working directory.
    Path,
    /// The text of a link.
    Link,
    /// `siginfo_t` at this address is made what the lab said.
    Siginfo(u64),
    /// The process, group or session that the call wrote to this address.
    PidAt(u64),
    /// The process or thread that the call wrote to this address.
    ProcessAt(u64),
    /// `struct f_owner_ex` at this address.
    OwnerAt(u64),
    /// `struct ucred` at this address.
    Credentials(u64),
    /// `struct msghdr` at this address, with what goes with a message.
    Message(u64),
    /// `struct signalfd_siginfo`s at this address.
    Signals(u64),
    /// The call that was wanted is made now.
    Again,
    /// A descriptor of a message queue, for which the lab has agreed.
    Queue,
    /// The address where memory is attached.
    Attached { id: i32, flags: ShmFlags },
    /// `struct timespec` at this address, of a clock that is shifted so.
    Time { addr: u64, offset: Offset },
    /// `struct sysinfo` at this address.
    Uptime(u64),
    /// The sender of a datagram, at an address with so much room, and how long that is.
    Kernel { addr: u64, room: u32, length_at: u64 },
}

/// A call that waits for something.
#[derive(Debug)]
pub struct Waiting {
    pub regs: Regs,
    pub call: AnyCall,
    pub answer: Answer,
    pub sleep: Sleep,
    /// What came of it, once something did.
    pub result: Option<i64>,
}

/// The memory of a thread.
#[derive(Clone, Debug)]
pub struct ProgramMemory {
    pub host: Rc<dyn Processes>,
    pub tid: Tid,
}

fn fault(addr: u64) -> Error {
    err!(EFAULT, "address {} is not in the program's memory", format!("{addr:#x}"))
}

impl Memory for ProgramMemory {
    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.host.read_memory(self.tid, addr, bytes).map_err(|_| fault(addr))
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.host.write_memory(self.tid, addr, bytes).map_err(|_| fault(addr))
    }
}

/// The status word of wait4(2), taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is gone; the word says how.
    Ended(i32),
    /// At a call that the filter stops.
    Filter,
    Exec,
    /// By its process's stop, by us, or as a newborn.
    Event(i32),
    /// At the end of a call.
    Exit,
    /// At a signal.
    Signal(i32),
}

impl Stop {
    pub fn of(status: i32) -> Stop {
        let (low, signal, event) = (status & 0x7f, status >> 8 & 0xff, status >> 16);
        if low != 0x7f {
            return Stop::Ended(status);
        }
        match event {
            libc::PTRACE_EVENT_SECCOMP => Stop::Filter,
            libc::PTRACE_EVENT_EXEC => Stop::Exec,
            libc::PTRACE_EVENT_STOP => Stop::Event(signal),
            _ if signal == libc::SIGTRAP | 0x80 => Stop::Exit,
            _ => Stop::Signal(signal),
        }
    }
}

/// The number behind a word at the start of a line, such as `Tgid:`; of the second form in base 16.
pub fn field(text: &[u8], key: &str) -> Option<i64> {
    String::from_utf8_lossy(text).lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

pub fn mask(text: &[u8], key: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    let digits = text.lines().find_map(|line| line.strip_prefix(key))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// What a call failed with, as a register has it.
pub fn refusal(error: &Error) -> i64 {
    let errno = if error.errno == Errno::UnknownErrno { Errno::EIO } else { error.errno };
    -i64::from(errno as i32)
}

impl RawSiginfo {
    pub fn code(&self) -> i32 {
        self.0[2]
    }
}
