//! Resource limits (`kernel/sys.c`). The lab has those that count processes, queues and descriptors; the others are those of
//! the program's process.

use super::{Asked, Decoded, Host};
use crate::abi::treatment::FIRST_PID;
use crate::abi::{Answer, Question};
use crate::errno::Result;
use crate::syscall::{PidArg, Resource, Syscall};

fn resource(a: &Asked<'_>, index: usize) -> Option<Resource> {
    match a.uint(index) {
        6 => Some(Resource::Nproc),
        7 => Some(Resource::Nofile),
        12 => Some(Resource::Msgqueue),
        _ => None,
    }
}

/// A limit that the lab has; of descriptors, which are real, only a change. Others are those of the program's process.
fn limit(a: &Asked<'_>, pid: PidArg, resource: Resource, new: u64, old: u64) -> Result<Decoded> {
    if new == 0 {
        let question = Question::Getrlimit { pid, resource };
        return Ok(Decoded::Question { question, to: [old, 0, 0] });
    }
    let (soft, hard) = (a.memory.u64(new)?, a.memory.u64(new.wrapping_add(8))?);
    let call = Syscall::Prlimit { pid, resource, soft, hard: Some(hard) };
    let host = match resource {
        Resource::Nofile => Host::First,
        Resource::Nproc | Resource::Msgqueue => Host::Skip,
    };
    Ok(Decoded::Call { call, answer: Answer::OldLimit { to: old }, host })
}

pub(in crate::abi) fn getrlimit(a: &Asked<'_>) -> Result<Decoded> {
    match resource(a, 0) {
        Some(resource @ (Resource::Nproc | Resource::Msgqueue)) => limit(a, PidArg::Own(0), resource, 0, a.args[1]),
        Some(Resource::Nofile) | None => Ok(Decoded::Pass),
    }
}

pub(in crate::abi) fn setrlimit(a: &Asked<'_>) -> Result<Decoded> {
    match resource(a, 0) {
        Some(resource) if a.args[1] != 0 => limit(a, PidArg::Own(0), resource, a.args[1], 0),
        Some(_) | None => Ok(Decoded::Pass),
    }
}

pub(in crate::abi) fn prlimit64(a: &Asked<'_>) -> Result<Decoded> {
    let [_, _, new, old, ..] = a.args;
    match resource(a, 1) {
        Some(Resource::Nofile) if new == 0 => Ok(Decoded::Translate(FIRST_PID)),
        Some(resource) => limit(a, a.pid(0), resource, new, old),
        None => Ok(Decoded::Translate(FIRST_PID)),
    }
}
