//! `kthread_create` (`kernel/kthread.c`): kernel threads. The kernel makes them, no task asks for them by a call of Linux's;
//! a file of lines that describes a machine has a word for them.

use std::sync::Arc;

use super::recorded::{check_start, set_start};
use super::{Numbers, Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::change::Change;
use crate::kernel::file::{FilesStruct, FsStruct};
use crate::kernel::kthread::Kthread;
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::pid::PidPlan;
use crate::kernel::refcount::Held;
use crate::kernel::signal::{SIGCHLD, Sighand, SignalStruct};
use crate::kernel::task::{Comm, Live, NewTask, Task};
use crate::kernel::{Current, Kernel, TaskId};

/// The name of one that is given none.
const NAME: &[u8] = b"kthread";

/// Makes a kernel thread, called `name`. The first is kthreadd; the others are its children.
///
/// # Errors
/// EAGAIN: `threads-max`, or no number is free; EINVAL, EEXIST, EPERM: `set_tid`, as clone(2) has them;
/// EINVAL: it would start later than now.
pub(super) fn sys_kthread(
    k: &mut Kernel,
    me: Current,
    name: Option<&[u8]>,
    idle: bool,
    set_tid: Option<i64>,
    start: Option<u64>,
) -> Outcome {
    check_start(k, start)?;
    if k.tasks.len() >= k.threads_max as usize {
        bail!(EAGAIN, "threads-max is {}", k.threads_max);
    }
    let set_tid: Vec<i64> = set_tid.into_iter().collect();
    let plan = k.plan_pid(*me, k.init.pid_ns, false, &set_tid);
    if let Err(refusal) = plan.outcome.clone() {
        k.waste_numbers(&plan);
        return Err(refusal.into());
    }
    let first: &[u8] = if k.kthreads.kthreadd.is_some() { NAME } else { b"kthreadd" };
    let made = create(k, &plan, name.unwrap_or(first), idle);
    set_start(k, made, start.unwrap_or(k.clock.now()));
    Ok(Return::Pid(Numbers::of(k, *me, k.pid_of(made))))
}

/// # Errors
/// EINVAL: the caller is a kernel thread, which has no memory that a call like this could be about.
pub(super) fn check_has_mm(k: &Kernel, me: Current) -> Result<()> {
    if k.live(me).mm.is_none() {
        bail!(EINVAL, "pid {} is a kernel thread and has no memory", k.task_nr(*me));
    }
    Ok(())
}

/// Nothing here can fail.
fn create(k: &mut Kernel, plan: &PidPlan, name: &[u8], idle: bool) -> TaskId {
    let thread_pid = k.alloc_pid(plan, None);
    let live = Live { mm: None, fs: fs(k), files: files(k), nsproxy: nsproxy(k) };
    let (made, parent) = (k.tasks.next_id(), k.kthreads.kthreadd);
    let new = NewTask {
        comm: Comm::new(name),
        argv: Arc::from([]),
        thread_pid,
        signal: k.signals.next_id(),
        // They ignore all signals, SIGKILL too (`ignore_signals`).
        sighand: k.sighands.insert_held(Sighand { ignored: u64::MAX, ..Sighand::default() }),
        cred: k.init_cred(),
        live,
        cgroup: k.cgroup.table.hold(k.cgroup.root()),
        real_parent: parent.unwrap_or(made),
        exit_signal: if parent.is_some() { SIGCHLD } else { 0 },
        start_time: k.clock.now(),
    };
    k.tasks.insert(Task::new(new));
    join(k, made);
    k.kthreads.table.insert(made, Kthread::new(name, idle));
    match parent {
        Some(kthreadd) => k.link_child(made, kthreadd),
        None => k.kthreads.kthreadd = Some(made),
    }
    k.cgroup_post_fork(made);
    k.changes.note(Change::Born(made));
    made
}

/// A process of its own, in group and session of the idle task.
fn join(k: &mut Kernel, made: TaskId) {
    let (pgrp, thread_pid) = (k.idle_pid(), k.pid_of(made));
    let (idle, session) = (pgrp.id(), k.pids.hold(pgrp.id()));
    let like = k.kthreads.kthreadd.unwrap_or(k.init.task);
    let rlimits = Arc::clone(&k.signal_of(like).rlimits);
    let signal = k.signals.insert(SignalStruct::new(made, pgrp, session, rlimits));
    k.pids[idle].attached.group.insert(signal);
    k.pids[idle].attached.session += 1;
    k.pids[thread_pid].attached.task = Some(made);
    k.pids[thread_pid].attached.process = Some(signal);
    k.link_thread(made);
}

/// kthreadd's root directory is the one init has by then; the others share it with kthreadd (CLONE_FS).
fn fs(k: &mut Kernel) -> Held<FsStruct> {
    if let Some(fs) = k.kthreads.kthreadd.and_then(|kthreadd| k.tasks[kthreadd].live.as_ref()).map(|live| live.fs.id())
    {
        return k.fs.hold(fs);
    }
    let root = k.fs_of(k.init.task).expect("init is alive").root.path();
    let fs = FsStruct { users: 0, umask: 0o022, root: k.hold_path(root), pwd: k.hold_path(root) };
    k.fs.insert_held(fs)
}

/// Shared by all of them (CLONE_FILES).
fn files(k: &mut Kernel) -> Held<FilesStruct> {
    let files = k.kthreads.kthreadd.and_then(|kthreadd| k.tasks[kthreadd].live.as_ref()).map(|live| live.files.id());
    match files {
        Some(files) => k.files.hold(files),
        None => k.files.insert_held(FilesStruct::default()),
    }
}

/// That of boot, which is made again if nobody has it any more.
fn nsproxy(k: &mut Kernel) -> Held<NsProxy> {
    let shared = k.kthreads.kthreadd.and_then(|kthreadd| k.nsproxy_id_of(kthreadd));
    let boot = shared.or_else(|| k.nsproxies.get(k.init.nsproxy).map(|_| k.init.nsproxy));
    match boot {
        Some(boot) => k.get_nsproxy(boot),
        None => k.boot_nsproxy(),
    }
}
