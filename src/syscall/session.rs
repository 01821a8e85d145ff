//! Sessions and process groups (`kernel/sys.c`).

use super::{Numbers, Outcome, PidArg, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::{Current, Kernel, TaskId};

/// setsid(2): a new session and process group, named by the caller's number.
///
/// # Errors
/// EPERM: the caller leads its session, or a process group has its number.
pub fn sys_setsid(k: &mut Kernel, me: Current) -> Outcome {
    let own = k.pid_of(k.leader_of(*me));
    let signal = k.signal_of(*me);
    if signal.session.id() == own {
        bail!(EPERM, "pid {} already leads its session", k.pids[own].nr());
    }
    if !k.pids[own].attached.group.is_empty() {
        bail!(EPERM, "a process group {} exists", k.pids[own].nr());
    }
    let signal = k.tasks[*me].signal;
    k.change_session(signal, own);
    k.change_pgrp(signal, own);
    k.signals[signal].autogroup = k.next_autogroup;
    k.next_autogroup += 1;
    Ok(Return::Pid(Numbers::of(k, *me, own)))
}

/// setpgid(2). `pid` 0 is the caller's process, `pgid` 0 the process itself.
///
/// # Errors
/// EINVAL: negative group, or `pid` is a thread; ESRCH: neither the caller nor a child; EPERM: another session, a session
/// leader, or no such group in the session; EACCES: the child has called exec.
pub fn sys_setpgid(k: &mut Kernel, me: Current, pid: PidArg, pgid: PidArg) -> Outcome {
    let leader = k.leader_of(*me);
    let group = if pgid.number() == 0 { pid.number() } else { pgid.number() };
    if group < 0 {
        bail!(EINVAL, "{} is no process group", group);
    }
    let target = if pid.number() == 0 { Some(leader) } else { pid.find_task(k, me) };
    let Some(target) = target else { bail!(ESRCH, "pid {} does not exist or is not visible", pid.number()) };
    if !k.is_leader(target) {
        bail!(EINVAL, "{} is a thread, not the leader of its group", pid.number());
    }
    check_setpgid_target(k, leader, target, pid.number())?;
    let own = k.pid_of(target);
    if k.signal_of(target).session.id() == own {
        bail!(EPERM, "pid {} leads its session", k.task_nr(target));
    }
    let group = if pgid.number() == 0 { Some(own) } else { pgid.find(k, me) };
    let session = k.signal_of(leader).session.id();
    let in_session = |group| k.pgrp_members(group).any(|m| k.signal_of(m).session.id() == session);
    let group = match group {
        Some(group) if group == own || in_session(group) => group,
        _ => bail!(EPERM, "no process group {} in the session", pgid.number()),
    };
    k.change_pgrp(k.tasks[target].signal, group);
    Ok(Return::DONE)
}

fn check_setpgid_target(k: &Kernel, leader: TaskId, target: TaskId, pid: i32) -> Result<()> {
    let is_child = k.is_same_thread_group(k.real_parent_of(target), leader);
    if is_child && target != leader {
        if k.signal_of(target).session.id() != k.signal_of(leader).session.id() {
            bail!(EPERM, "pid {} is in another session", pid);
        }
        if !k.tasks[target].forked_no_exec {
            bail!(EACCES, "pid {} has called exec", pid);
        }
    } else if target != leader {
        bail!(ESRCH, "pid {} is neither the caller nor a child of it", pid);
    }
    Ok(())
}

/// getpgid(2) and getsid(2): the number of the group or session; 0 if the caller cannot see it.
///
/// # Errors
/// ESRCH
pub fn sys_getpgid(k: &Kernel, me: Current, pid: PidArg) -> Outcome {
    let signal = k.signal_of(process(k, me, pid)?);
    Ok(Return::Pid(Numbers::of(k, *me, signal.pgrp.id())))
}

/// See [`sys_getpgid`].
///
/// # Errors
/// ESRCH
pub fn sys_getsid(k: &Kernel, me: Current, pid: PidArg) -> Outcome {
    let signal = k.signal_of(process(k, me, pid)?);
    Ok(Return::Pid(Numbers::of(k, *me, signal.session.id())))
}

fn process(k: &Kernel, me: Current, pid: PidArg) -> Result<TaskId> {
    match if pid.number() == 0 { Some(*me) } else { pid.find_task(k, me) } {
        Some(task) => Ok(task),
        None => bail!(ESRCH, "pid {} does not exist or is not visible", pid.number()),
    }
}
