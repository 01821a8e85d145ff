//! wait4 and waitid (`kernel/exit.c`).

use super::{Asked, Decoded, Host};
use crate::abi::Answer;
use crate::errno::Result;
use crate::syscall::{PidArg, Syscall, WaitidWhich};

pub(in crate::abi) fn wait4(a: &Asked<'_>) -> Result<Decoded> {
    let call = Syscall::Wait { pid: a.pid(0), options: a.uint(2) };
    Ok(Decoded::Call { call, answer: Answer::Wait { status: a.args[1], rusage: a.args[3] }, host: Host::Skip })
}

pub(in crate::abi) fn waitid(a: &Asked<'_>) -> Result<Decoded> {
    let id = a.int(1);
    let which = match a.int(0) {
        0 => WaitidWhich::All,
        1 => WaitidWhich::Pid(PidArg::Own(id)),
        2 => WaitidWhich::Pgid(PidArg::Own(id)),
        3 => WaitidWhich::Pidfd(id),
        idtype => WaitidWhich::Unknown(idtype),
    };
    let call = Syscall::Waitid { which, options: a.uint(3) };
    Ok(Decoded::Call { call, answer: Answer::Waitid { siginfo: a.args[2], rusage: a.args[4] }, host: Host::Skip })
}
