//! Results of calls to registers and memory.

use super::{CtlAnswer, Memory};
use crate::errno::Result;
use crate::kernel::signal::Rlimit;
use crate::syscall::Return;
use crate::syscall::outcome::{ChildInfo, Mqattr, Rusage, Siginfo};

/// Where the result of a call goes besides the register. An address of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nowhere.
    Number,
    /// wait4: an `int`, a `struct rusage`.
    Wait { status: u64, rusage: u64 },
    /// waitid: a `siginfo_t`, a `struct rusage`.
    Waitid { siginfo: u64, rusage: u64 },
    /// prlimit: the limit as it was before the call.
    OldLimit { to: u64 },
    /// msgrcv: a `struct msgbuf`.
    Message { to: u64 },
    /// mq_timedreceive: the text, and an `unsigned` if that is asked for.
    MqMessage { to: u64, prio: u64 },
    /// mq_getsetattr: the `struct mq_attr` as it was before the call.
    Mqattr { to: u64 },
    /// msgctl, semctl, shmctl: a struct, or the values of semaphores.
    Ctl(CtlAnswer),
}

impl Answer {
    /// Writes what a call gave; its result for the register.
    ///
    /// # Errors
    /// EFAULT: what was done is done, as on Linux.
    pub fn write(&self, given: &Return, memory: &mut dyn Memory) -> Result<i64> {
        match (*self, given) {
            (Answer::Wait { status, rusage }, Return::Wait(Some(waited))) => {
                if status != 0 {
                    memory.put_u32(status, waited.status as u32)?;
                }
                put_rusage(rusage, &waited.rusage, memory)?;
                Ok(i64::from(waited.pid.own()))
            }
            (Answer::Waitid { siginfo, rusage }, Return::Waitid(found)) => {
                if let Some(ChildInfo { rusage: used, .. }) = found {
                    put_rusage(rusage, used, memory)?;
                }
                put_child_siginfo(siginfo, found.as_ref().map(|child| &child.siginfo), memory)?;
                Ok(0)
            }
            (Answer::OldLimit { to }, Return::Rlimit(Rlimit { soft, hard })) => {
                if to != 0 {
                    memory.write(to, &[soft.to_ne_bytes(), hard.to_ne_bytes()].concat())?;
                }
                Ok(0)
            }
            (Answer::Message { to }, Return::Message { mtype, text }) => {
                memory.write(to, &mtype.to_ne_bytes())?;
                memory.write(to.wrapping_add(8), text)?;
                Ok(text.len() as i64)
            }
            (Answer::MqMessage { to, prio: to_prio }, Return::MqMessage { prio, text }) => {
                if to_prio != 0 {
                    memory.put_u32(to_prio, *prio)?;
                }
                memory.write(to, text)?;
                Ok(text.len() as i64)
            }
            (Answer::Mqattr { to }, Return::Mqattr(Mqattr { flags, maxmsg, msgsize, curmsgs })) => {
                let words = [*flags, *maxmsg, *msgsize, *curmsgs, 0, 0, 0, 0];
                if to != 0 {
                    memory.write(to, &words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())?;
                }
                Ok(0)
            }
            (Answer::Ctl(ctl), given) => ctl.write(given, memory),
            (_, given) => Ok(number(given)),
        }
    }

    /// Writes what a failed call stores in the program's memory: waitid stores a `siginfo_t` without a child.
    ///
    /// # Errors
    /// EFAULT, instead of what the call failed with.
    pub fn write_failure(&self, memory: &mut dyn Memory) -> Result<()> {
        match *self {
            Answer::Waitid { siginfo, .. } => put_child_siginfo(siginfo, None, memory),
            Answer::Number
            | Answer::Wait { .. }
            | Answer::OldLimit { .. }
            | Answer::Message { .. }
            | Answer::MqMessage { .. }
            | Answer::Mqattr { .. }
            | Answer::Ctl(_) => Ok(()),
        }
    }
}

/// The result in the register.
pub(super) fn number(given: &Return) -> i64 {
    match given {
        Return::Num(number) => *number,
        Return::Fd(fd) => i64::from(*fd),
        Return::Pid(numbers) => i64::from(numbers.own()),
        Return::Address(address) => *address as i64,
        _ => 0,
    }
}

/// `struct rusage`: two `struct timeval`, then 14 numbers of which Linux fills eight.
fn put_rusage(addr: u64, used: &Rusage, memory: &mut dyn Memory) -> Result<()> {
    if addr == 0 {
        return Ok(());
    }
    let time = |nanos: u64| [nanos / 1_000_000_000, nanos / 1000 % 1_000_000];
    let Rusage { utime, stime, maxrss, minflt, majflt, inblock, oublock, nvcsw, nivcsw } = *used;
    let [times, more] = [[time(utime), time(stime)].concat(), vec![maxrss, 0, 0, 0, minflt, majflt, 0]];
    let words = [times, more, vec![inblock, oublock, 0, 0, 0, nvcsw, nivcsw]].concat();
    memory.write(addr, &words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())
}

/// The fields of `siginfo_t` that waitid(2) writes; no others.
fn put_child_siginfo(addr: u64, info: Option<&Siginfo>, memory: &mut dyn Memory) -> Result<()> {
    if addr == 0 {
        return Ok(());
    }
    let (pid, uid) = info.map_or((0, 0), |info| (info.pid.own() as u32, info.uid));
    let [signo, code, status] = info.map_or([0; 3], |info| [info.signo, info.code, info.status]).map(|n| n as u32);
    let at = |addr: u64, words: &[u32], memory: &mut dyn Memory| {
        memory.write(addr, &words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())
    };
    at(addr, &[signo, 0, code], memory)?;
    at(addr.wrapping_add(16), &[pid, uid, status], memory)
}
