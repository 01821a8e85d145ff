//! exit(2) and exit_group(2) (`kernel/exit.c`).

use super::{Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::work::Work;
use crate::kernel::{Current, Kernel};

/// Ends the calling thread; with the last one the process.
///
/// # Errors
/// EPERM for the init of the lab, whose end would be a kernel panic, and for kthreadd.
pub fn sys_exit(k: &mut Kernel, me: Current, code: i32) -> Outcome {
    refuse_panic(k, me)?;
    k.work.push_back(Work::Exit(*me, status_word(code)));
    Ok(Return::DONE)
}

/// Ends the whole process.
///
/// # Errors
/// As [`sys_exit`].
pub fn sys_exit_group(k: &mut Kernel, me: Current, code: i32) -> Outcome {
    refuse_panic(k, me)?;
    k.group_exit(k.tasks[*me].signal, status_word(code), Some(*me));
    Ok(Return::DONE)
}

/// The wait status of an exit: only the low 8 bits of the code count.
fn status_word(code: i32) -> i32 {
    (code & 0xff) << 8
}

fn refuse_panic(k: &Kernel, me: Current) -> Result<()> {
    if k.is_same_thread_group(*me, k.init.task) {
        bail!(EPERM, "pid 1 is the init of the lab: Linux panics when it exits");
    }
    if k.kthreads.kthreadd == Some(*me) {
        bail!(EPERM, "kthreadd never ends");
    }
    Ok(())
}
