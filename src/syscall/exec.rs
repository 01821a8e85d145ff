//! execve(2) as far as namespaces and credentials go (`fs/exec.c`, `begin_new_exec`).

use super::kthread::check_has_mm;
use super::{Outcome, Return};
use crate::bail;
use crate::kernel::change::Change;
use crate::kernel::exec::ExecCreds;
use crate::kernel::ipc::shm::Attachments;
use crate::kernel::signal::{SIGCHLD, Sighand};
use crate::kernel::task::{Mm, TaskState};
use crate::kernel::ucounts::UcountRlimit;
use crate::kernel::{Current, Kernel, TaskId};

/// Becomes another program: `comm` names it, `argv` is what follows it on the command line.
///
/// # Errors
/// EAGAIN: a set*id call went over RLIMIT_NPROC and the user still is. EINVAL: a kernel thread (`kernel_execve`).
pub fn sys_exec(k: &mut Kernel, me: Current, comm: &[u8], argv: &[Vec<u8>]) -> Outcome {
    check_has_mm(k, me)?;
    let limit = k.signal_of(*me).rlimits.nproc.soft;
    let cred = k.cred_of(*me);
    let is_over = k.is_rlimit_overlimit(cred.user_ns.id(), cred.ids.uid, UcountRlimit::Nproc, limit, 0);
    if k.tasks[*me].nproc_exceeded && is_over {
        bail!(EAGAIN, "RLIMIT_NPROC is {} and the set*id call before went over it", limit);
    }
    de_thread(k, me);
    k.unshare_files(me);
    close_on_exec(k, me);
    let ExecCreds { cred, dumpable, is_elevated } = k.exec_creds(me);
    // As in begin_new_exec: credentials that can do more than before take the dumpability of the new memory away again.
    new_mm(k, me);
    k.set_dumpable(*me, dumpable);
    k.commit_creds(*me, cred);
    if is_elevated {
        k.tasks[*me].pdeath_signal = 0;
    }
    own_handlers(k, me);
    if k.is_time_switch_due(*me) {
        enter_time(k, me);
    }
    k.set_task_comm(*me, comm);
    let task = &mut k.tasks[*me];
    task.argv = std::iter::once(comm.to_vec()).chain(argv.iter().cloned()).collect();
    task.self_exec_id += 1;
    task.forked_no_exec = false;
    task.nproc_exceeded = false;
    task.exit_signal = SIGCHLD;
    k.changes.note(Change::Attrs(*me));
    Ok(Return::DONE)
}

/// All other threads are gone afterwards, and the caller is the leader with the leader's number.
fn de_thread(k: &mut Kernel, me: Current) {
    let signal = k.tasks[*me].signal;
    let leader = k.signals[signal].leader;
    let others: Vec<TaskId> = k.threads_of(signal).filter(|&t| t != *me).collect();
    for &thread in others.iter().filter(|&&t| t != leader) {
        k.exit_thread(thread);
    }
    if leader == *me {
        return;
    }
    if k.tasks[leader].state != TaskState::Zombie {
        k.exit_thread(leader);
    }
    k.take_over_leader(*me, leader);
}

fn close_on_exec(k: &mut Kernel, me: Current) {
    let files = k.live(me).files.id();
    let closing: Vec<i32> = k.files[files].fds.entries().filter(|(_, d)| d.cloexec).map(|(fd, _)| fd).collect();
    for fd in closing {
        if let Some(closed) = k.files[files].fds.remove(fd) {
            k.filp_close(*me, closed.file);
        }
    }
}

fn new_mm(k: &mut Kernel, me: Current) {
    let user_ns = k.get_ns(k.cred_of(*me).user_ns.id());
    let mm = k.mms.insert_held(Mm { users: 0, dumpable: true, user_ns, attachments: Attachments::new() });
    if let Some(old) = k.live_mut(me).mm.replace(mm) {
        k.put_mm(*me, old);
    }
}

/// Handlers go back to the default, ignored signals stay ignored; the table is no longer shared.
fn own_handlers(k: &mut Kernel, me: Current) {
    let ignored = k.sighand_of(*me).ignored;
    let fresh = k.sighands.insert_held(Sighand { ignored, ..Sighand::default() });
    let old = std::mem::replace(&mut k.tasks[*me].sighand, fresh);
    drop(k.sighands.release(old));
}

/// `exec_task_namespaces`: the task moves into the time namespace its children were to get.
fn enter_time(k: &mut Kernel, me: Current) {
    let slots = k.hold_slots(me);
    let nsproxy = k.new_nsproxy(slots);
    k.enter_time_for_children(&nsproxy);
    k.switch_task_namespaces(me, nsproxy);
}
