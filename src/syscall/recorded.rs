//! What a file of lines that describes a machine can ask for besides what Linux gives: the numbers of new namespaces, when a
//! task was born.

use super::{CloneArgs, Outcome, Return, clone, unshare};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::NsType;
use crate::kernel::{Current, Kernel, TaskId};

/// clone3(2); the new namespaces have the numbers asked for, the child is as old as asked for.
///
/// # Errors
/// EINVAL: a number for a namespace that is not made, a birth in the future; EEXIST: a number is taken; otherwise those of
/// [`clone::sys_clone`].
pub(super) fn sys_clone_as(
    k: &mut Kernel,
    me: Current,
    args: &CloneArgs,
    inums: &[(NsType, u32)],
    start: Option<u64>,
) -> Outcome {
    k.check_inums(args.flags, inums)?;
    check_start(k, start)?;
    let made = k.with_inums(inums, |k| clone::sys_clone(k, me, args))?;
    if let (Return::Pid(numbers), Some(start)) = (&made, start)
        && let Some(child) = k.find_task(numbers.initial())
    {
        set_start(k, child, start);
    }
    Ok(made)
}

/// unshare(2); the new namespaces have the numbers asked for.
///
/// # Errors
/// EINVAL: a number for a namespace that is not made; EEXIST: a number is taken; otherwise those of
/// [`unshare::sys_unshare`].
pub(super) fn sys_unshare_as(k: &mut Kernel, me: Current, flags: u64, inums: &[(NsType, u32)]) -> Outcome {
    k.check_inums(flags, inums)?;
    k.with_inums(inums, |k| unshare::sys_unshare(k, me, flags))
}

/// # Errors
/// EINVAL
pub(super) fn check_start(k: &Kernel, start: Option<u64>) -> Result<()> {
    if start.is_some_and(|start| start > k.clock.moved()) {
        bail!(EINVAL, "start= is later than now, {} ns after boot", k.clock.moved());
    }
    Ok(())
}

/// Makes a new task as old as that.
pub(super) fn set_start(k: &mut Kernel, task: TaskId, start: u64) {
    k.tasks[task].start_time = start;
}
