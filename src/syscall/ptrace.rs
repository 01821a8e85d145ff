//! ptrace(2), the attaching (`ptrace_attach` in `kernel/ptrace.c`).

use crate::bail;
use crate::kernel::ptrace::PtraceMode;
use crate::kernel::task::TaskState;
use crate::kernel::{Current, Kernel};
use crate::syscall::{Outcome, PidArg, Return};

/// PTRACE_SEIZE of a thread.
///
/// # Errors
/// ESRCH: no such task in the caller's pid namespace; EPERM: a kernel thread, a thread of the caller's own process, no
/// access, dead, or traced already.
pub fn sys_ptrace_seize(k: &mut Kernel, task: Current, pid: PidArg) -> Outcome {
    let number = pid.number();
    let Some(target) = pid.find_task(k, task) else {
        bail!(ESRCH, "no task {} in {}", number, k.ns_arg(k.task_active_pid_ns(*task)));
    };
    if k.is_kthread(target) {
        bail!(EPERM, "task {} is a kernel thread", number);
    }
    if k.is_same_thread_group(*task, target) {
        bail!(EPERM, "task {} is of the caller's own process", number);
    }
    k.ptrace_may_access(*task, target, PtraceMode::AttachRealCreds)?;
    if k.tasks[target].state == TaskState::Zombie {
        bail!(EPERM, "task {} is a zombie", number);
    }
    if let Some(tracer) = k.tasks[target].tracer {
        bail!(EPERM, "task {} is traced by {} already", number, k.task_nr(tracer));
    }
    k.tasks[target].tracer = Some(*task);
    k.ptraced.entry(*task).or_default().insert(target);
    Ok(Return::DONE)
}
