//! Sending signals and arranging for them: kill, tgkill, pidfd_send_signal, sigaction, sigprocmask, sigwaitinfo.

use super::fd::{Opened, opened, usable_file_at};
use super::{
    Outcome, PIDFD_SIGNAL_PROCESS_GROUP, PIDFD_SIGNAL_THREAD, PIDFD_SIGNAL_THREAD_GROUP, PidArg, Return, SigAction,
    Stop, WaitFor,
};
use crate::errno::{Error, Result};
use crate::kernel::node::{ITSELF, Node, TaskDir};
use crate::kernel::signal::{GivenInfo, SI_TKILL, SIGKILL, SIGNAL_MAX, SIGSTOP, Sender, sigmask};
use crate::kernel::{Current, Kernel, PidId, TaskId};
use crate::{bail, err};

/// kill(2) (`kill_something_info`).
///
/// # Errors
/// ESRCH: nobody there; EINVAL: no signal; EPERM: the caller may signal none of the targets.
pub fn sys_kill(k: &mut Kernel, me: Current, pid: PidArg, signo: i32) -> Outcome {
    if pid.number() == i32::MIN {
        bail!(ESRCH, "{} names no process group", pid.number());
    }
    match pid.number() {
        -1 => kill_all(k, me, signo)?,
        0 => k.kill_pgrp(*me, k.signal_of(*me).pgrp.id(), signo)?,
        group @ ..-1 => match pid.negated().find(k, me) {
            Some(pgrp) => k.kill_pgrp(*me, pgrp, signo)?,
            None => bail!(ESRCH, "process group {} does not exist or is not visible", -group),
        },
        number @ 1.. => match pid.find_task(k, me) {
            Some(target) => k.kill_task(*me, target, signo)?,
            None => bail!(ESRCH, "pid {} does not exist or is not visible", number),
        },
    }
    Ok(Return::DONE)
}

/// Everybody visible but number 1 of the namespace and the caller's own process. Refusals are not reported.
fn kill_all(k: &mut Kernel, me: Current, signo: i32) -> Result<()> {
    let ns = k.task_active_pid_ns(*me);
    let numbers: Vec<_> = k.namespaces[ns].idr.iter().filter(|(nr, _)| *nr > 1).collect();
    let processes = numbers.into_iter().filter_map(|(_, pid)| k.pids[pid].attached.process);
    let targets: Vec<TaskId> =
        processes.map(|s| k.signals[s].leader).filter(|&t| !k.is_same_thread_group(t, *me)).collect();
    if targets.is_empty() {
        bail!(ESRCH, "nobody else is in {}", k.ns_arg(ns));
    }
    let mut outcome = Ok(());
    for target in targets {
        match k.kill_task(*me, target, signo) {
            Err(Error { errno: crate::errno::Errno::EPERM, .. }) => {}
            other => outcome = other,
        }
    }
    outcome
}

/// tkill(2): whose thread it is does not matter.
///
/// # Errors
/// EINVAL: a number below 1, no signal; ESRCH: no such thread; EPERM.
pub fn sys_tkill(k: &mut Kernel, me: Current, tid: PidArg, signo: i32) -> Outcome {
    if tid.number() <= 0 {
        bail!(EINVAL, "{} has to be the number of a thread", tid.number());
    }
    let Some(thread) = tid.find_task(k, me) else {
        bail!(ESRCH, "thread {} does not exist or is not visible", tid.number());
    };
    send_to_thread(k, me, thread, signo)
}

/// tgkill(2).
///
/// # Errors
/// EINVAL: numbers below 1, no signal; ESRCH: no such thread in that process; EPERM.
pub fn sys_tgkill(k: &mut Kernel, me: Current, tgid: PidArg, tid: PidArg, signo: i32) -> Outcome {
    let thread = find_thread(k, me, tgid, tid)?;
    send_to_thread(k, me, thread, signo)
}

/// # Errors
/// EINVAL: numbers below 1; ESRCH: no such thread in that process.
fn find_thread(k: &Kernel, me: Current, tgid: PidArg, tid: PidArg) -> Result<TaskId> {
    let (tgid_nr, tid_nr) = (tgid.number(), tid.number());
    if tgid_nr <= 0 || tid_nr <= 0 {
        bail!(EINVAL, "{} and {} have to be thread group and thread numbers", tgid_nr, tid_nr);
    }
    let group = tgid.find(k, me);
    let thread = tid.find_task(k, me).filter(|&t| Some(k.pid_of(k.leader_of(t))) == group);
    thread.ok_or_else(|| err!(ESRCH, "{} is no visible thread of process {}", tid_nr, tgid_nr))
}

fn send_to_thread(k: &mut Kernel, me: Current, thread: TaskId, signo: i32) -> Outcome {
    k.check_kill(*me, thread, signo)?;
    if signo != 0 {
        k.send_signal(Sender::Task(*me), thread, false, signo);
    }
    Ok(Return::DONE)
}

/// rt_sigqueueinfo(2): kill(2) of one process with what the sender gives along.
///
/// # Errors
/// EPERM: it pretends to be the kernel's, kill's or tkill's and is not for the caller; ESRCH: no such process; EINVAL: no
/// signal; EPERM.
pub fn sys_rt_sigqueueinfo(k: &mut Kernel, me: Current, tgid: PidArg, signo: i32, info: GivenInfo) -> Outcome {
    let target = tgid.find_task(k, me);
    check_given(info, target == Some(*me))?;
    let Some(target) = target else { bail!(ESRCH, "pid {} does not exist or is not visible", tgid.number()) };
    queue_given(k, me, target, true, signo, info)
}

/// rt_tgsigqueueinfo(2): tgkill(2) with what the sender gives along. `numbers` are the process and the thread.
///
/// # Errors
/// EINVAL: numbers below 1; otherwise as [`sys_rt_sigqueueinfo`].
pub fn sys_rt_tgsigqueueinfo(
    k: &mut Kernel,
    me: Current,
    numbers: [PidArg; 2],
    signo: i32,
    info: GivenInfo,
) -> Outcome {
    let [tgid, tid] = numbers;
    if tgid.number() > 0 && tid.number() > 0 {
        check_given(info, tid.find_task(k, me) == Some(*me))?;
    }
    let thread = find_thread(k, me, tgid, tid)?;
    queue_given(k, me, thread, false, signo, info)
}

/// # Errors
/// EPERM
fn check_given(info: GivenInfo, is_for_caller: bool) -> Result<()> {
    if !is_for_caller && (info.code >= 0 || info.code == SI_TKILL) {
        bail!(EPERM, "code {} is for signals of the kernel, of kill and of tkill, unless sent to oneself", info.code);
    }
    Ok(())
}

/// Permission is not asked for what is the kernel's (`check_kill_permission`).
fn queue_given(k: &mut Kernel, me: Current, target: TaskId, to_group: bool, signo: i32, info: GivenInfo) -> Outcome {
    if info.code <= 0 || !(0..=SIGNAL_MAX).contains(&signo) {
        k.check_kill(*me, target, signo)?;
    }
    if signo != 0 {
        k.send_given(*me, target, to_group, signo, info);
    }
    Ok(Return::DONE)
}

/// pidfd_send_signal(2): to what the flags say; without them to the process, or to the thread of a PIDFD_THREAD descriptor.
///
/// # Errors
/// EINVAL: unknown flags, or more than one; EBADF: neither a pidfd nor `/proc/<pid>`; EINVAL: of a pid namespace that is not the caller's nor below
/// it; EPERM: as [`sys_rt_sigqueueinfo`]; ESRCH: gone, or leads no process group; EINVAL: no signal; EPERM.
pub fn sys_pidfd_send_signal(
    k: &mut Kernel,
    me: Current,
    fd: i32,
    signo: i32,
    info: Option<GivenInfo>,
    flags: u32,
) -> Outcome {
    let known = PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP;
    if flags & !known != 0 || flags.count_ones() > 1 {
        bail!(EINVAL, "flags {} are unknown or more than one", format!("{flags:#x}"));
    }
    let (pid, task, thread) = signalled(k, me, fd)?;
    if k.pids[pid].nr_in(k.task_active_pid_ns(*me)).is_none() {
        bail!(EINVAL, "the pidfd is of a pid namespace out of view");
    }
    if let Some(info) = info {
        check_given(info, task == Some(*me))?;
    }
    if flags == PIDFD_SIGNAL_PROCESS_GROUP {
        return send_to_group(k, me, pid, signo, info);
    }
    let to_group = if flags == 0 { !thread } else { flags == PIDFD_SIGNAL_THREAD_GROUP };
    let Some(target) = task else { bail!(ESRCH, "the task of the pidfd is gone") };
    if let Some(info) = info {
        return queue_given(k, me, target, to_group, signo, info);
    }
    k.check_kill(*me, target, signo)?;
    if signo != 0 {
        k.send_signal(Sender::Task(*me), target, to_group, signo);
    }
    Ok(Return::DONE)
}

/// Stand for a descriptor of the caller's thread, and of its process (`include/uapi/linux/pidfd.h`).
const PIDFD_SELF_THREAD: i32 = -10_000;
const PIDFD_SELF_THREAD_GROUP: i32 = -10_001;

/// Whom a descriptor is of, and whether it means a thread: a pidfd, or `/proc/<pid>`.
///
/// # Errors
/// EBADF: neither; ESRCH: the process of the directory is gone.
fn signalled(k: &Kernel, me: Current, fd: i32) -> Result<(PidId, Option<TaskId>, bool)> {
    let of = |task, thread| (k.pid_of(task), Some(task), thread);
    match fd {
        PIDFD_SELF_THREAD => return Ok(of(*me, true)),
        PIDFD_SELF_THREAD_GROUP => return Ok(of(k.leader_of(*me), false)),
        _ => {}
    }
    match opened(k, usable_file_at(k, me, fd)?) {
        Opened::Pidfd { pid, task, thread } => Ok((pid, task, thread)),
        Opened::Node(node) => match process_of_dir(node) {
            Some(task) if k.tasks.contains(task) => Ok(of(task, false)),
            Some(_) => bail!(ESRCH, "the process of the directory is gone"),
            None => bail!(EBADF, "descriptor {} is no pidfd", fd),
        },
        Opened::Ns(_) | Opened::Socket(_) => bail!(EBADF, "descriptor {} is no pidfd", fd),
    }
}

/// The process whose `/proc/<pid>` a file is (`tgid_pidfd_to_pid`).
fn process_of_dir(node: Node) -> Option<TaskId> {
    node.place.task().filter(|task| node.place == TaskDir::process(*task).entry(ITSELF))
}

/// As a signal to a negative number: it succeeds if it reaches anybody.
fn send_to_group(k: &mut Kernel, me: Current, pgrp: PidId, signo: i32, info: Option<GivenInfo>) -> Outcome {
    let Some(info) = info else {
        k.kill_pgrp(*me, pgrp, signo)?;
        return Ok(Return::DONE);
    };
    let mut outcome = Err(err!(ESRCH, "the process group has no members").into());
    for member in k.pgrp_members(pgrp).collect::<Vec<_>>() {
        let sent = queue_given(k, me, member, true, signo, info);
        if outcome.is_err() {
            outcome = sent;
        }
    }
    outcome
}

fn check_signal(signo: i32) -> Result<()> {
    if !(1..=SIGNAL_MAX).contains(&signo) {
        bail!(EINVAL, "{} is no signal: 1 to {}", signo, SIGNAL_MAX);
    }
    Ok(())
}

/// sigaction(2): sets an action, or tells the current one.
///
/// # Errors
/// EINVAL: no signal, or an action for SIGKILL or SIGSTOP.
pub fn sys_sigaction(k: &mut Kernel, me: Current, signo: i32, action: Option<SigAction>) -> Outcome {
    check_signal(signo)?;
    let bit = sigmask(signo);
    let sighand = k.tasks[*me].sighand.id();
    let actions = &mut k.sighands[sighand];
    let Some(action) = action else {
        let action = match (actions.ignored & bit != 0, actions.handled & bit != 0) {
            (true, _) => SigAction::Ignore,
            (_, true) => SigAction::Handler,
            (false, false) => SigAction::Default,
        };
        return Ok(Return::Sigaction { action, runs: actions.runs.get(&signo).copied().unwrap_or(0) });
    };
    if matches!(signo, SIGKILL | SIGSTOP) {
        bail!(EINVAL, "SIGKILL and SIGSTOP have no other action");
    }
    actions.ignored &= !bit;
    actions.handled &= !bit;
    match action {
        SigAction::Ignore => actions.ignored |= bit,
        SigAction::Default => {}
        SigAction::Handler => {
            actions.handled |= bit;
            actions.runs.insert(signo, 0);
        }
    }
    if action != SigAction::Handler {
        k.discard_if_ignored(*me, signo);
    }
    Ok(Return::DONE)
}

/// sigprocmask(2) for one signal. What is unblocked is delivered at once.
///
/// # Errors
/// EINVAL: no signal.
pub fn sys_sigprocmask(k: &mut Kernel, me: Current, block: bool, signo: i32) -> Outcome {
    check_signal(signo)?;
    let bit = sigmask(signo) & !(sigmask(SIGKILL) | sigmask(SIGSTOP));
    if block {
        k.tasks[*me].blocked |= bit;
    } else {
        k.tasks[*me].blocked &= !bit;
        k.deliver(*me);
    }
    Ok(Return::DONE)
}

/// sigwaitinfo(2): takes one pending signal.
///
/// # Errors
/// EINVAL: no signal. Blocks: none is pending.
pub fn sys_sigwaitinfo(k: &mut Kernel, me: Current, signo: i32) -> Outcome {
    check_signal(signo)?;
    match k.take_pending(*me, signo) {
        Some(info) => Ok(Return::Siginfo(info)),
        None => Err(Stop::Blocked {
            on: WaitFor::Signal(signo),
            why: err!(EAGAIN, "signal {} is not pending: sigwaitinfo would block", signo),
        }),
    }
}
