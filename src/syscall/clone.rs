//! clone3(2) (`kernel/fork.c`): the checks in Linux's order, then a child that cannot fail any more.

use std::sync::Arc;

use super::cgroup::{Moved, check_clone_into, kill_if_stale};
use super::fd::{free_fd, install_pidfd};
use super::kthread::check_has_mm;
use super::{CloneArgs, CloneFlags, Numbers, Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::change::Change;
use crate::kernel::cred::{Cred, GLOBAL_ROOT_UID};
use crate::kernel::file::OpenFlags;
use crate::kernel::file::{Descriptor, FilesStruct, FsStruct};
use crate::kernel::ns::NsType;
use crate::kernel::nsproxy::{NSPROXY_FLAGS, NsProxy};
use crate::kernel::pid::{Pid, PidPlan};
use crate::kernel::refcount::Held;
use crate::kernel::signal::{SIGCHLD, SIGNAL_MAX, Sighand, SignalStruct};
use crate::kernel::table::Cyclic;
use crate::kernel::task::{Live, Mm, NewTask, Task};
use crate::kernel::trace::Step;
use crate::kernel::ucounts::UcountRlimit;
use crate::kernel::{Current, Kernel, PidNsId, SignalId, TaskId, UserNsId};

/// `MAX_PID_NS_LEVEL`: most numbers set_tid may have.
const SET_TID_MAX: usize = 32;

/// Creates a child or a thread of `me`; with CLONE_PIDFD the caller's lowest free descriptor becomes a pidfd of it.
///
/// # Errors
/// EINVAL, EPERM, ENOSPC, EAGAIN, EEXIST, ENOMEM, EMFILE as clone(2) has them; EBADF for a cgroup descriptor that is none.
/// EINVAL too: the caller is a kernel thread.
pub fn sys_clone(k: &mut Kernel, me: Current, args: &CloneArgs) -> Outcome {
    let flags = CloneFlags::from_bits_retain(args.flags);
    check_arguments(args, flags)?;
    check_has_mm(k, me)?;
    check_combinations(k, me, flags)?;
    let new_user = flags.contains(CloneFlags::NEWUSER);
    if new_user {
        k.check_create_user_ns(*me)?;
    }
    check_nproc(k, me, new_user)?;
    // The child has been copied already, with the mark of who went over the limit; the caller loses it, come what may.
    let nproc_exceeded = std::mem::take(&mut k.tasks[*me].nproc_exceeded);
    if k.tasks.len() >= k.threads_max as usize {
        bail!(EAGAIN, "threads-max is {}", k.threads_max);
    }
    let owner = (!new_user).then(|| k.cred_of(*me).user_ns.id());
    if let Err(refusal) = check_namespaces(k, me, flags, owner) {
        drop_copies(k, me, flags);
        return Err(refusal.into());
    }
    let pid = plan_pid(k, me, flags, &args.set_tid);
    let plan = match check_numbered(k, me, &pid, args, flags) {
        Ok(plan) => plan,
        Err(refusal) => {
            k.waste_numbers(&pid);
            drop_copies(k, me, flags);
            freeze_offsets(k, me, flags);
            return Err(refusal.into());
        }
    };
    let child = copy_process(k, me, args, &plan);
    k.tasks[child].nproc_exceeded = nproc_exceeded;
    // After the child's copy of the descriptors, which has no pidfd.
    if let Some(fd) = plan.pidfd {
        let thread = if flags.contains(CloneFlags::THREAD) { OpenFlags::THREAD } else { OpenFlags::empty() };
        install_pidfd(k, me, fd, k.pid_of(child), thread);
    }
    let numbers = Numbers::of(k, *me, k.pid_of(child));
    if flags.contains(CloneFlags::INTO_CGROUP) {
        kill_if_stale(k, me, child);
    }
    Ok(Return::Pid(numbers))
}

/// `clone3_args_valid`.
fn check_arguments(args: &CloneArgs, flags: CloneFlags) -> Result<()> {
    if args.set_tid.len() > SET_TID_MAX {
        bail!(EINVAL, "set_tid has {} numbers, at most {} are possible", args.set_tid.len(), SET_TID_MAX);
    }
    if let Some(signo) = args.exit_signal.filter(|&signo| signo > SIGNAL_MAX as u64) {
        bail!(EINVAL, "exit_signal {} is no signal", signo);
    }
    if flags.contains(CloneFlags::INTO_CGROUP)
        && let Some(fd) = args.cgroup.filter(|&fd| fd < 0)
    {
        bail!(EINVAL, "cgroup {} is no descriptor", fd);
    }
    let unknown =
        flags.bits() & !(u64::from(u32::MAX) | CloneFlags::CLEAR_SIGHAND.bits() | CloneFlags::INTO_CGROUP.bits());
    if unknown != 0 {
        bail!(EINVAL, "flags {} are unknown", format!("{unknown:#x}"));
    }
    if flags.contains(CloneFlags::DETACHED) {
        bail!(EINVAL, "CLONE_DETACHED is not for clone3");
    }
    let low = flags.bits() & 0xff & !CloneFlags::NEWTIME.bits();
    if low != 0 {
        bail!(EINVAL, "flags {} are the exit signal of the old clone", format!("{low:#x}"));
    }
    if flags.contains(CloneFlags::SIGHAND | CloneFlags::CLEAR_SIGHAND) {
        bail!(EINVAL, "CLONE_SIGHAND and CLONE_CLEAR_SIGHAND exclude each other");
    }
    if flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) && args.exit_signal.is_some_and(|signo| signo != 0) {
        bail!(EINVAL, "a thread or a sibling (CLONE_THREAD, CLONE_PARENT) has no exit_signal of its own");
    }
    Ok(())
}

/// The combinations `copy_process` refuses.
fn check_combinations(k: &Kernel, me: Current, flags: CloneFlags) -> Result<()> {
    use CloneFlags as F;
    if flags.contains(F::NEWNS | F::FS) {
        bail!(EINVAL, "CLONE_NEWNS with CLONE_FS: root and working directory cannot be shared across mount namespaces");
    }
    if flags.contains(F::NEWUSER | F::FS) {
        bail!(
            EINVAL,
            "CLONE_NEWUSER with CLONE_FS: root and working directory cannot be shared across user namespaces"
        );
    }
    if flags.contains(F::THREAD) && !flags.contains(F::SIGHAND) {
        bail!(EINVAL, "CLONE_THREAD needs CLONE_SIGHAND");
    }
    if flags.contains(F::SIGHAND) && !flags.contains(F::VM) {
        bail!(EINVAL, "CLONE_SIGHAND needs CLONE_VM");
    }
    if flags.contains(F::PARENT) && k.signal_of(*me).unkillable {
        bail!(EINVAL, "CLONE_PARENT by the init of a pid namespace");
    }
    if flags.contains(F::THREAD) {
        if flags.intersects(F::NEWUSER | F::NEWPID) {
            bail!(EINVAL, "threads of a group are in one user and one pid namespace");
        }
        let (active, next) = (Some(k.task_active_pid_ns(*me)), k.nsproxy_of(*me).map(NsProxy::pid_ns_for_children));
        if active != next {
            bail!(EINVAL, "CLONE_THREAD while pid_for_children is not the active pid namespace");
        }
    }
    Ok(())
}

/// Whether the caller's user may have one more process.
fn check_nproc(k: &Kernel, me: Current, new_user: bool) -> Result<()> {
    let cred = k.cred_of(*me);
    let limit = k.signal_of(*me).rlimits.nproc.soft;
    let is_over = |uid, limit| k.is_rlimit_overlimit(cred.user_ns.id(), uid, UcountRlimit::Nproc, limit, 1);
    // In a user namespace of its own the child is the first. That namespace is charged to the creator's euid, and its limit
    // is the creator's.
    let over = match new_user {
        true => limit < 1 || is_over(cred.ids.euid, k.enforced_nproc_rlimit(*me)),
        false => is_over(cred.ids.uid, limit),
    };
    let init_ns = k.init.user_ns;
    if over
        && cred.ids.uid != GLOBAL_ROOT_UID
        && !k.ns_capable(*me, init_ns, Cap::SYS_RESOURCE)
        && !k.ns_capable(*me, init_ns, Cap::SYS_ADMIN)
    {
        bail!(EAGAIN, "RLIMIT_NPROC is {} and uid {} has that many processes", limit, cred.ids.uid.0);
    }
    Ok(())
}

fn check_namespaces(k: &Kernel, me: Current, flags: CloneFlags, owner: Option<UserNsId>) -> Result<()> {
    let asked = flags.bits() & NSPROXY_FLAGS;
    if asked == 0 {
        return Ok(());
    }
    if let Some(owner) = owner {
        k.check_admin(*me, owner)?;
    }
    if flags.contains(CloneFlags::SYSVSEM) && asked & NsType::Ipc.ops().clone_flag != 0 {
        bail!(EINVAL, "CLONE_SYSVSEM with a new IPC namespace: semaphore undo lists end at its border");
    }
    k.check_new_namespaces(me, asked, owner)
}

/// The side effects of a clone that fails late. Linux has copied descriptors and memory by then, and drops the copies as if
/// the caller did (`bad_fork_cleanup_files`, `bad_fork_cleanup_mm`).
fn drop_copies(k: &mut Kernel, me: Current, flags: CloneFlags) {
    if !flags.contains(CloneFlags::FILES) {
        k.flush_mqueues(*me);
    }
    if !flags.contains(CloneFlags::VM) {
        k.drop_attachment_copies(me);
    }
}

/// The child was in the time namespace for children already when its number was refused (`timens_on_fork`).
fn freeze_offsets(k: &mut Kernel, me: Current, flags: CloneFlags) {
    let is_there = !flags.contains(CloneFlags::VM) && flags.bits() & NsType::Time.ops().clone_flag == 0;
    if let Some(ns) =
        k.nsproxy_of(*me).map(NsProxy::time_ns_for_children).filter(|_| is_there && k.is_time_switch_due(*me))
    {
        k.namespaces[ns].frozen_offsets = true;
    }
}

fn plan_pid(k: &Kernel, me: Current, flags: CloneFlags, set_tid: &[i64]) -> PidPlan {
    let innermost = k.current_nsproxy(me).pid_ns_for_children();
    k.plan_pid(*me, innermost, flags.contains(CloneFlags::NEWPID), set_tid)
}

/// What a child needs and may be missing, found before the child exists: from here on nothing fails.
struct ClonePlan<'a> {
    pid: &'a PidPlan,
    cgroup: CgroupId,
    /// The descriptor of the caller that the pidfd will have.
    pidfd: Option<i32>,
}

/// What may fail after numbers were chosen: room for a pidfd, the cgroup the child will be in.
fn check_numbered<'a>(
    k: &Kernel,
    me: Current,
    pid: &'a PidPlan,
    args: &CloneArgs,
    flags: CloneFlags,
) -> Result<ClonePlan<'a>> {
    pid.outcome.clone()?;
    let pidfd = flags.contains(CloneFlags::PIDFD).then(|| free_fd(k, me)).transpose()?;
    let moved = if flags.contains(CloneFlags::THREAD) { Moved::Thread } else { Moved::Process };
    let cgroup = match flags.contains(CloneFlags::INTO_CGROUP) {
        true => check_clone_into(k, me, args.cgroup.unwrap_or(-1), moved)?,
        false => k.cgroup_of(*me),
    };
    Ok(ClonePlan { pid, cgroup, pidfd })
}

/// Makes the child. Nothing here can fail.
fn copy_process(k: &mut Kernel, me: Current, args: &CloneArgs, plan: &ClonePlan) -> TaskId {
    let flags = CloneFlags::from_bits_retain(args.flags);
    let ClonePlan { pid, cgroup, .. } = *plan;
    let cred = copy_creds(k, me, flags);
    let nsproxy = copy_namespaces(k, me, flags, k.creds[cred.id()].user_ns.id());
    if flags.bits() & NsType::Cgroup.ops().clone_flag != 0 {
        k.set_cgroup_ns_root(k.nsproxies[nsproxy.id()].cgroup_ns(), cgroup);
    }
    let new_pid_ns = pid.in_new_ns.then(|| k.nsproxies[nsproxy.id()].pid_ns_for_children());
    let thread_pid = k.alloc_pid(pid, new_pid_ns);
    let new = NewTask {
        comm: k.tasks[*me].comm,
        argv: Arc::clone(&k.tasks[*me].argv),
        thread_pid,
        signal: k.tasks[*me].signal,
        sighand: copy_sighand(k, me, flags),
        cred,
        live: Live {
            mm: Some(copy_mm(k, me, flags)),
            fs: copy_fs(k, me, flags, &nsproxy),
            files: copy_files(k, me, flags),
            nsproxy,
        },
        cgroup: k.cgroup.table.hold(cgroup),
        real_parent: *me,
        exit_signal: exit_signal(k, me, args, flags),
        start_time: k.clock.now(),
    };
    let task = Task {
        undo_list: flags.contains(CloneFlags::SYSVSEM).then(|| k.share_undo_list(me)),
        blocked: k.tasks[*me].blocked,
        no_new_privs: k.tasks[*me].no_new_privs,
        self_exec_id: k.tasks[*me].self_exec_id,
        parent_exec_id: parent_exec_id(k, me, flags),
        ..Task::new(new)
    };
    let child = k.tasks.insert(task);
    join_group(k, me, child, flags);
    k.cgroup_post_fork(child);
    k.changes.note(Change::Born(child));
    child
}

/// `copy_creds`: a thread shares the cred object, a process gets its own, in a new user namespace with CLONE_NEWUSER.
fn copy_creds(k: &mut Kernel, me: Current, flags: CloneFlags) -> Held<Cred> {
    if flags.contains(CloneFlags::THREAD) {
        return k.copy_creds_for_thread(*me);
    }
    if !flags.contains(CloneFlags::NEWUSER) {
        return k.copy_creds_for_process(k.cred_of(*me).values());
    }
    let user_ns = k.create_user_ns(me);
    let new = k.prepare_creds(*me).in_user_ns(user_ns.id());
    let cred = k.copy_creds_for_process(Arc::new(new));
    k.put_ns(user_ns);
    cred
}

fn exit_signal(k: &Kernel, me: Current, args: &CloneArgs, flags: CloneFlags) -> i32 {
    if flags.contains(CloneFlags::THREAD) {
        -1
    } else if flags.contains(CloneFlags::PARENT) {
        k.tasks[k.leader_of(*me)].exit_signal
    } else {
        args.exit_signal.map_or(SIGCHLD, |signo| signo as i32)
    }
}

fn parent_exec_id(k: &Kernel, me: Current, flags: CloneFlags) -> u64 {
    let this = &k.tasks[*me];
    if flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) { this.parent_exec_id } else { this.self_exec_id }
}

/// `copy_namespaces`: shares the parent's nsproxy unless something new is asked for or the time namespace for children
/// is another one.
fn copy_namespaces(k: &mut Kernel, me: Current, flags: CloneFlags, owner: UserNsId) -> Held<NsProxy> {
    let asked = flags.bits() & NSPROXY_FLAGS;
    let moves_in_time = !flags.contains(CloneFlags::VM);
    if asked == 0 && !(moves_in_time && k.is_time_switch_due(*me)) {
        let shared = k.live(me).nsproxy.id();
        k.record(|_| Step::CopyNamespaces { flags: 0, shared: true });
        return k.get_nsproxy(shared);
    }
    k.record(|_| Step::CopyNamespaces { flags: asked, shared: false });
    let nsproxy = k.create_new_namespaces(me, asked, owner);
    if moves_in_time {
        k.enter_time_for_children(&nsproxy);
    }
    nsproxy
}

fn copy_sighand(k: &mut Kernel, me: Current, flags: CloneFlags) -> Held<Sighand> {
    let current = k.tasks[*me].sighand.id();
    if flags.contains(CloneFlags::SIGHAND) {
        return k.sighands.hold(current);
    }
    let Sighand { ignored, handled, .. } = k.sighands[current];
    let handled = if flags.contains(CloneFlags::CLEAR_SIGHAND) { 0 } else { handled };
    k.sighands.insert_held(Sighand { ignored, handled, ..Sighand::default() })
}

fn copy_mm(k: &mut Kernel, me: Current, flags: CloneFlags) -> Held<Mm> {
    let current = k.own_mm(me);
    if flags.contains(CloneFlags::VM) {
        return k.mms.hold(current);
    }
    let (dumpable, user_ns) = (k.mms[current].dumpable, k.mms[current].user_ns.id());
    let user_ns = k.get_ns(user_ns);
    let attachments = k.copy_attachments(me);
    k.mms.insert_held(Mm { users: 0, dumpable, user_ns, attachments })
}

/// With CLONE_NEWNS the copy moves into the copied tree.
fn copy_fs(k: &mut Kernel, me: Current, flags: CloneFlags, nsproxy: &Held<NsProxy>) -> Held<FsStruct> {
    let current = k.live(me).fs.id();
    if flags.contains(CloneFlags::FS) {
        return k.fs.hold(current);
    }
    let copy = k.copy_fs_struct(me);
    if flags.contains(CloneFlags::NEWNS)
        && let Some(old) = k.mnt_ns_of(*me)
    {
        let new = k.nsproxies[nsproxy.id()].mnt_ns();
        k.enter_copied_tree(copy.id(), k.tree_of(old), k.tree_of(new));
    }
    copy
}

fn copy_files(k: &mut Kernel, me: Current, flags: CloneFlags) -> Held<FilesStruct> {
    let current = k.live(me).files.id();
    if flags.contains(CloneFlags::FILES) { k.files.hold(current) } else { k.copy_files_struct(me) }
}

impl Kernel {
    /// A private copy of a task's root, working directory and umask (`copy_fs_struct`).
    pub(crate) fn copy_fs_struct(&mut self, task: Current) -> Held<FsStruct> {
        let current = self.live(task).fs.id();
        let FsStruct { umask, root, pwd, .. } = &self.fs[current];
        let (umask, root, pwd) = (*umask, root.path(), pwd.path());
        let copy = FsStruct { users: 0, umask, root: self.hold_path(root), pwd: self.hold_path(pwd) };
        self.fs.insert_held(copy)
    }

    /// A private copy of a task's descriptor table; both refer to the same open files (`dup_fd`).
    pub(crate) fn copy_files_struct(&mut self, task: Current) -> Held<FilesStruct> {
        let current = self.live(task).files.id();
        let entries: Vec<_> = self.files[current].fds.entries().map(|(fd, d)| (fd, d.file.id(), d.cloexec)).collect();
        let mut fds = Cyclic::default();
        for (fd, file, cloexec) in entries {
            fds.insert(fd, Descriptor { file: self.open_files.hold(file), cloexec });
        }
        self.files.insert_held(FilesStruct { count: 0, fds })
    }
}

/// Makes the child a thread of its parent's process or a process of its own, and the first of a pid namespace its init.
fn join_group(k: &mut Kernel, me: Current, child: TaskId, flags: CloneFlags) {
    let thread_pid = k.pid_of(child);
    k.pids[thread_pid].attached.task = Some(child);
    if flags.contains(CloneFlags::THREAD) {
        k.link_thread(child);
        let signal = k.tasks[*me].signal;
        k.signals[signal].live += 1;
        return;
    }
    let signal = new_signal(k, me, child);
    k.tasks[child].signal = signal;
    k.link_thread(child);
    k.pids[thread_pid].attached.process = Some(signal);
    let parent = if flags.contains(CloneFlags::PARENT) { k.real_parent_of(*me) } else { *me };
    k.link_child(child, parent);
    let ns = k.task_active_pid_ns(child);
    if is_first_of_namespace(&k.pids[thread_pid], ns) {
        k.namespaces[ns].child_reaper = Some(child);
        k.signals[signal].unkillable = true;
    }
}

/// Number 1 of its own pid namespace (`is_child_reaper`).
fn is_first_of_namespace(pid: &Pid, ns: PidNsId) -> bool {
    pid.nr_in(ns) == Some(1)
}

/// `copy_signal`: group and session are inherited, also into a new pid namespace.
fn new_signal(k: &mut Kernel, me: Current, child: TaskId) -> SignalId {
    let parent = k.signal_of(*me);
    let (pgrp, session) = (parent.pgrp.id(), parent.session.id());
    let has_child_subreaper = parent.has_child_subreaper || parent.is_child_subreaper;
    let (rlimits, oom, autogroup) = (Arc::clone(&parent.rlimits), parent.oom, parent.autogroup);
    let (pgrp_held, session_held) = (k.pids.hold(pgrp), k.pids.hold(session));
    let signal = k.signals.insert(SignalStruct {
        has_child_subreaper,
        oom,
        autogroup,
        ..SignalStruct::new(child, pgrp_held, session_held, rlimits)
    });
    k.pids[pgrp].attached.group.insert(signal);
    k.pids[session].attached.session += 1;
    signal
}
