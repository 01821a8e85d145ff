//! [`dispatch`]: the one way into a kernel.

use super::{AnyCall, Outcome, lab, memory, table, trace};
use crate::bail;
use crate::errno::Result;
use crate::kernel::task::TaskState;
use crate::kernel::{Kernel, TaskId};

/// Executes one call made by `task`; nobody makes a tick. All or nothing: an error changes nothing, except where Linux
/// itself uses up a pid number on the way.
///
/// # Errors
/// What Linux gives, ESRCH if `task` is a zombie or gone; what it would wait for, where it would.
pub fn dispatch(k: &mut Kernel, task: TaskId, call: &AnyCall) -> Outcome {
    check_caller(k, task, call)?;
    trace::enter(k, task, call);
    let outcome = perform(k, task, call);
    k.run_work();
    trace::exit(k, call, &outcome);
    debug_assert_eq!(crate::kernel::audit::audit(k), Ok(()), "after {call:?}");
    outcome
}

fn perform(k: &mut Kernel, task: TaskId, call: &AnyCall) -> Outcome {
    memory::check_room(k, task, call)?;
    match call {
        AnyCall::Linux(call) => table::perform(k, task, call),
        AnyCall::Lab(call) => table::perform_lab(k, task, call),
        AnyCall::Tick { nanos } => Ok(lab::tick(k, *nanos)),
    }
}

/// # Errors
/// EAGAIN: the task runs no code now; ESRCH: it never will again.
fn check_caller(k: &Kernel, task: TaskId, call: &AnyCall) -> Result<()> {
    let state = k.tasks.get(task).map(|t| t.state);
    match state {
        _ if matches!(call, AnyCall::Tick { .. }) => Ok(()),
        Some(TaskState::Running | TaskState::Stopped) if matches!(call, AnyCall::Lab(call) if call.frees()) => Ok(()),
        Some(TaskState::Running) if k.is_cgroup_frozen(k.cgroup_of(task)) => {
            bail!(EAGAIN, "pid {} is frozen: it runs again when cgroup.freeze is 0", k.task_nr(task))
        }
        Some(TaskState::Running) => Ok(()),
        Some(TaskState::Stopped) => bail!(EAGAIN, "pid {} is stopped: it runs again after SIGCONT", k.task_nr(task)),
        Some(TaskState::Zapping | TaskState::Zombie) => bail!(ESRCH, "pid {} is dead", k.task_nr(task)),
        None => bail!(ESRCH, "the task is gone"),
    }
}
