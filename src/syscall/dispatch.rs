//! [`dispatch`]: the one way into a kernel.

use super::{AnyCall, LabCall, Outcome, Stop, Syscall, lab, memory, table, trace};
use crate::bail;
use crate::errno::Result;
use crate::kernel::task::TaskState;
use crate::kernel::{Current, Kernel, TaskId};

/// Executes one call made by `task`; nobody makes a tick. All or nothing: an error changes nothing, except where Linux
/// itself uses up a pid number on the way.
///
/// # Errors
/// What Linux gives, ESRCH if `task` is a zombie or gone; what it would wait for, where it would.
pub fn dispatch(k: &mut Kernel, task: TaskId, call: &AnyCall) -> Outcome {
    let made = match call {
        AnyCall::Linux(linux) => Made::Linux(check_caller(k, task, call)?, linux),
        AnyCall::Waiting(linux) => Made::Waiting(check_caller(k, task, call)?, linux),
        AnyCall::Lab(lab) => Made::Lab(check_caller(k, task, call)?, lab),
        AnyCall::Tick { nanos } => Made::Tick(*nanos),
    };
    trace::enter(k, task, call);
    let outcome = perform(k, made);
    k.run_work();
    trace::exit(k, call, &outcome);
    // Real time changes no count, and comes before each call of a lab that goes with it.
    if !matches!(call, AnyCall::Tick { .. }) {
        debug_assert_eq!(crate::kernel::audit::audit(k), Ok(()), "after {call:?}");
    }
    outcome
}

/// A call with who makes it.
enum Made<'a> {
    Linux(Current, &'a Syscall),
    Waiting(Current, &'a Syscall),
    Lab(Current, &'a LabCall),
    Tick(u64),
}

fn perform(k: &mut Kernel, made: Made<'_>) -> Outcome {
    match made {
        Made::Linux(me, call) => linux(k, me, call),
        Made::Waiting(me, call) => waiting(k, me, call),
        Made::Lab(me, call) => {
            memory::check_room(k, call.growth(k, me))?;
            table::perform_lab(k, me, call)
        }
        Made::Tick(nanos) => Ok(lab::tick(k, nanos)),
    }
}

fn linux(k: &mut Kernel, me: Current, call: &Syscall) -> Outcome {
    memory::check_room(k, call.growth(k, me))?;
    table::perform(k, me, call)
}

/// A call of a program, which waits where it blocks, and makes the call again when it is told that it can go on.
///
/// # Errors
/// EINVAL: the task is no program; EIDRM: what it waited for was removed.
fn waiting(k: &mut Kernel, me: Current, call: &Syscall) -> Outcome {
    if !k.is_program(*me) {
        bail!(EINVAL, "pid {} is no program", k.task_nr(*me));
    }
    if k.programs.waiting.of(*me).is_some_and(|on| k.is_removed(&on)) {
        k.programs.waiting.ends(*me);
        bail!(EIDRM, "it was removed while the call waited");
    }
    let outcome = linux(k, me, call);
    match &outcome {
        Err(Stop::Blocked { on, .. }) => k.programs.waiting.begins(*me, *on),
        Ok(_) => k.programs.waiting.ends(*me),
        Err(Stop::Failed(_)) => k.stops_waiting(*me),
    }
    outcome
}

/// # Errors
/// EAGAIN: the task runs no code now; ESRCH: it never will again.
fn check_caller(k: &Kernel, task: TaskId, call: &AnyCall) -> Result<Current> {
    let state = k.tasks.get(task).map(|t| t.state);
    let current = Current::new(k, task).filter(|_| state != Some(TaskState::Zapping));
    let Some(current) = current else {
        match state {
            Some(_) => bail!(ESRCH, "pid {} is dead", k.task_nr(task)),
            None => bail!(ESRCH, "the task is gone"),
        }
    };
    if matches!(call, AnyCall::Lab(call) if call.needs_no_running()) {
        return Ok(current);
    }
    if state == Some(TaskState::Stopped) {
        bail!(EAGAIN, "pid {} is stopped: it runs again after SIGCONT", k.task_nr(task));
    }
    if k.is_cgroup_frozen(k.cgroup_of(task)) && !k.is_kthread(task) {
        bail!(EAGAIN, "pid {} is frozen: it runs again when cgroup.freeze is 0", k.task_nr(task));
    }
    Ok(current)
}
