//! Registers and memory to what the lab is asked, a file per family of calls.

pub(super) mod birth;
pub(super) mod cred;
pub(super) mod ipc;
pub(super) mod limit;
pub(super) mod mount;
pub(super) mod mqueue;
pub(super) mod prctl;
pub(super) mod signal;
pub(super) mod task;
pub(super) mod translate;
pub(super) mod wait;

pub use birth::Birth;
pub use mqueue::mq_open;

use super::{Answer, Call, Memory, Question, Rewrite, Translate};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::syscall::{PidArg, Syscall};

/// What a program's call asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A call of the lab, which may block; where its result goes; what the program's own process does besides.
    Call { call: Syscall, answer: Answer, host: Host },
    /// Something that changes nothing, and the addresses where the reply goes; 0 where there is none.
    Question { question: Question, to: [u64; 3] },
    /// A new task.
    Birth(Birth),
    /// The real kernel answers, with other paths or descriptors.
    Rewrite(Rewrite),
    /// The real kernel answers, with other numbers.
    Translate(Translate),
    /// The real kernel answers.
    Pass,
}

/// What the real kernel is asked besides the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Nothing.
    Skip,
    /// The same, once the lab has agreed.
    Same,
    /// The same, and the lab only hears of it where the real kernel has agreed. The result is the real kernel's.
    First,
    /// This instead, once the lab has agreed.
    Instead { call: Call, args: [u64; 6] },
    /// To let the program sleep as long as the lab's call would block.
    Sleep(Sleep),
}

/// How a program sleeps in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    pub interrupted: Interrupted,
    pub until: Option<Until>,
}

/// What becomes of a call that a signal interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// It fails with EINTR.
    Always,
    /// It begins anew, unless a handler runs that was set without SA_RESTART (ERESTARTSYS).
    UnlessRestarted,
    /// It begins anew, unless a handler runs (ERESTARTNOHAND).
    UnlessHandled,
}

/// The end of a wait, as clock_nanosleep(2) takes it: the clock, the flags, and the address of a time in the program's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    pub clock: u64,
    pub flags: u64,
    pub at: u64,
    /// What the call fails with then.
    pub errno: Errno,
}

/// The time is one of the clock, and not from now on.
pub(super) const TIMER_ABSTIME: u64 = 1;

impl Decoded {
    /// A call that gives a number and that the program's own process does not make.
    fn call(call: Syscall) -> Result<Decoded> {
        Ok(Decoded::Call { call, answer: Answer::Number, host: Host::Skip })
    }

    /// A question whose reply is a number.
    fn question(question: Question) -> Result<Decoded> {
        Ok(Decoded::Question { question, to: [0; 3] })
    }
}

/// The arguments of a call and the memory of who makes it.
pub struct Asked<'a> {
    pub args: [u64; 6],
    pub memory: &'a dyn Memory,
}

impl Asked<'_> {
    fn int(&self, index: usize) -> i32 {
        self.args[index] as i32
    }

    fn uint(&self, index: usize) -> u32 {
        self.args[index] as u32
    }

    fn pid(&self, index: usize) -> PidArg {
        PidArg::Own(self.int(index))
    }

    /// # Errors
    /// EFAULT; EINVAL: a `struct timespec` with a negative or too large field (`timespec64_valid`).
    fn check_time(&self, addr: u64) -> Result<()> {
        let [seconds, nanos] = [self.memory.u64(addr)?, self.memory.u64(addr.wrapping_add(8))?].map(u64::cast_signed);
        if seconds < 0 || !(0..1_000_000_000).contains(&nanos) {
            bail!(EINVAL, "{} seconds and {} nanoseconds cannot be a time", seconds, nanos);
        }
        Ok(())
    }

    /// A user or group; -1 is none.
    fn id(&self, index: usize) -> Option<u32> {
        Some(self.uint(index)).filter(|&id| id != u32::MAX)
    }
}
