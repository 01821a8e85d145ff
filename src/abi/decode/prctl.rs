//! prctl (`kernel/sys.c`, `security/commoncap.c`).

use super::{Asked, Decoded, Host};
use crate::abi::{Answer, Question};
use crate::bail;
use crate::errno::Result;
use crate::syscall::{Prctl, Syscall};

// Options that a lab answers (`include/uapi/linux/prctl.h`).
const PR_SET_PDEATHSIG: i32 = 1;
const PR_GET_PDEATHSIG: i32 = 2;
const PR_GET_DUMPABLE: i32 = 3;
const PR_SET_DUMPABLE: i32 = 4;
const PR_GET_KEEPCAPS: i32 = 7;
const PR_SET_KEEPCAPS: i32 = 8;
const PR_SET_NAME: i32 = 15;
const PR_GET_NAME: i32 = 16;
const PR_CAPBSET_READ: i32 = 23;
const PR_CAPBSET_DROP: i32 = 24;
const PR_GET_SECUREBITS: i32 = 27;
const PR_SET_SECUREBITS: i32 = 28;
const PR_SET_CHILD_SUBREAPER: i32 = 36;
const PR_GET_CHILD_SUBREAPER: i32 = 37;
const PR_SET_NO_NEW_PRIVS: i32 = 38;
const PR_GET_NO_NEW_PRIVS: i32 = 39;
const PR_CAP_AMBIENT: i32 = 47;
const PR_SCHED_CORE: i32 = 62;
const PR_SET_PTRACER: i32 = 0x5961_6d61;

/// Bytes of a name with the 0 at its end (`TASK_COMM_LEN`).
const TASK_COMM_LEN: usize = 16;

/// What a lab does not have of a process is the real kernel's.
pub(in crate::abi) fn prctl(a: &Asked<'_>) -> Result<Decoded> {
    let arg = a.args[1];
    let question = |question, to| Ok(Decoded::Question { question, to: [to, 0, 0] });
    let set = |call| Decoded::call(Syscall::Prctl(call));
    match a.int(0) {
        PR_SET_PDEATHSIG => set(Prctl::SetPdeathsig(arg)),
        PR_GET_PDEATHSIG => question(Question::Pdeathsig, arg),
        PR_GET_DUMPABLE => set(Prctl::GetDumpable),
        PR_SET_DUMPABLE => set(Prctl::SetDumpable(arg)),
        PR_GET_KEEPCAPS => Decoded::question(Question::Keepcaps),
        PR_SET_KEEPCAPS => set(Prctl::SetKeepcaps(arg)),
        PR_SET_NAME => {
            let name = a.memory.string(arg, TASK_COMM_LEN - 1)?;
            let call = Syscall::Prctl(Prctl::SetName(name));
            Ok(Decoded::Call { call, answer: Answer::Number, host: Host::Same })
        }
        PR_GET_NAME => question(Question::Name, arg),
        PR_CAPBSET_READ => set(Prctl::CapbsetRead(arg)),
        PR_CAPBSET_DROP => set(Prctl::CapbsetDrop(arg)),
        PR_GET_SECUREBITS => set(Prctl::GetSecurebits),
        PR_SET_SECUREBITS => set(Prctl::SetSecurebits(arg)),
        PR_SET_CHILD_SUBREAPER => set(Prctl::SetChildSubreaper(arg)),
        PR_GET_CHILD_SUBREAPER => question(Question::ChildSubreaper, arg),
        PR_SET_NO_NEW_PRIVS => {
            check_unused(a, 2)?;
            set(Prctl::SetNoNewPrivs(arg))
        }
        PR_GET_NO_NEW_PRIVS => {
            check_unused(a, 1)?;
            Decoded::question(Question::NoNewPrivs)
        }
        PR_CAP_AMBIENT => ambient(a),
        PR_SCHED_CORE => bail!(EINVAL, "core scheduling names tasks of the host"),
        PR_SET_PTRACER => bail!(EINVAL, "Yama names tasks of the host"),
        _ => Ok(Decoded::Pass),
    }
}

/// # Errors
/// EINVAL: an argument from the one at `first` on is not 0.
fn check_unused(a: &Asked<'_>, first: usize) -> Result<()> {
    match a.args[first..5].iter().any(|&arg| arg != 0) {
        true => bail!(EINVAL, "arguments of prctl that are not used have to be 0"),
        false => Ok(()),
    }
}

/// PR_CAP_AMBIENT
fn ambient(a: &Asked<'_>) -> Result<Decoded> {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    let [_, what, cap, ..] = a.args;
    if what == CLEAR_ALL {
        check_unused(a, 2)?;
        return Decoded::call(Syscall::Prctl(Prctl::CapAmbientClearAll));
    }
    check_unused(a, 3)?;
    match what {
        IS_SET => Decoded::question(Question::Ambient { cap }),
        RAISE => Decoded::call(Syscall::Prctl(Prctl::CapAmbientRaise(cap))),
        LOWER => Decoded::call(Syscall::Prctl(Prctl::CapAmbientLower(cap))),
        // Linux looks at the capability first; both are EINVAL.
        _ => bail!(EINVAL, "PR_CAP_AMBIENT does not know {}", what),
    }
}
