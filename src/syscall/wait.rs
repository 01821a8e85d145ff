//! wait4(2) and waitid(2) (`kernel/exit.c`).

use super::fd::{Opened, file_at, opened};
use super::outcome::{ChildInfo, Rusage, Siginfo, Waited};
use super::{
    Numbers, Outcome, PidArg, Return, Stop, WALL, WCLONE, WCONTINUED, WEXITED, WNOHANG, WNOTHREAD, WNOWAIT, WUNTRACED,
    WaitFor, WaitidWhich,
};
use crate::errno::Result;
use crate::kernel::cred::{Kuid, OVERFLOW_ID};
use crate::kernel::file::OpenFlags;
use crate::kernel::signal::{CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SIGCHLD, SIGCONT};
use crate::kernel::{Current, Kernel, PidId, TaskId};
use crate::{bail, err};

/// Which children a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    Pid(Option<PidId>),
    Group(Option<PidId>),
}

/// What a wait found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    pid: Numbers,
    uid: Kuid,
    event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The status word of a dead process.
    Dead(i32),
    Stopped(i32),
    Continued,
}

/// wait4(2).
///
/// # Errors
/// EINVAL: unknown options; ESRCH: pid INT_MIN; ECHILD: no such child. Blocks: nothing to report.
pub fn sys_wait(k: &mut Kernel, me: Current, pid: PidArg, options: u32) -> Outcome {
    let known = WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WCLONE | WALL;
    if options & !known != 0 {
        bail!(EINVAL, "options {} are unknown", format!("{:#x}", options & !known));
    }
    if pid.number() == i32::MIN {
        bail!(ESRCH, "{} names no process group", pid.number());
    }
    let which = match pid.number() {
        -1 => Which::All,
        0 => Which::Group(Some(k.signal_of(*me).pgrp.id())),
        ..-1 => Which::Group(pid.negated().find(k, me)),
        1.. => Which::Pid(pid.find(k, me)),
    };
    let report = do_wait(k, me, which, options | WEXITED)?;
    let waited = report.map(|Report { pid, event, .. }| {
        let status = match event {
            Event::Dead(status) => status,
            Event::Stopped(signo) => signo << 8 | 0x7f,
            Event::Continued => 0xffff,
        };
        Waited { pid, status, rusage: Rusage::default() }
    });
    if waited.is_none() && options & WNOHANG == 0 {
        return Err(no_report_yet());
    }
    Ok(Return::Wait(waited))
}

/// waitid(2).
///
/// # Errors
/// EINVAL: unknown options, none of WEXITED, WSTOPPED, WCONTINUED, a bad id; EBADF: no pidfd; ECHILD: no such child;
/// EAGAIN: a non-blocking pidfd and nothing to report. Blocks: nothing to report.
pub fn sys_waitid(k: &mut Kernel, me: Current, which: WaitidWhich, options: u32) -> Outcome {
    let known = WNOHANG | WNOWAIT | WEXITED | WUNTRACED | WCONTINUED | WNOTHREAD | WCLONE | WALL;
    if options & !known != 0 {
        bail!(EINVAL, "options {} are unknown", format!("{:#x}", options & !known));
    }
    if options & (WEXITED | WUNTRACED | WCONTINUED) == 0 {
        bail!(EINVAL, "one of exited, stopped, continued has to be asked for");
    }
    let (which, nonblocking) = waitid_target(k, me, which)?;
    match do_wait(k, me, which, options)? {
        None if nonblocking => bail!(EAGAIN, "nothing to report and the pidfd is non-blocking"),
        None if options & WNOHANG == 0 => Err(no_report_yet()),
        None => Ok(Return::Waitid(None)),
        Some(Report { pid, uid, event }) => {
            let (code, status) = match event {
                Event::Dead(status) if status & 0x7f == 0 => (CLD_EXITED, status >> 8 & 0xff),
                Event::Dead(status) => (CLD_KILLED, status & 0x7f),
                Event::Stopped(signo) => (CLD_STOPPED, signo),
                Event::Continued => (CLD_CONTINUED, SIGCONT),
            };
            let user = &k.namespaces[k.cred_of(*me).user_ns.id()];
            let uid = user.from_kuid(uid).unwrap_or(OVERFLOW_ID);
            let siginfo = Siginfo { signo: SIGCHLD, code, pid, uid, status };
            Ok(Return::Waitid(Some(ChildInfo { siginfo, rusage: Rusage::default() })))
        }
    }
}

fn no_report_yet() -> Stop {
    Stop::Blocked { on: WaitFor::Child, why: err!(EAGAIN, "no child has anything to report yet: the call would block") }
}

fn waitid_target(k: &Kernel, me: Current, which: WaitidWhich) -> Result<(Which, bool)> {
    Ok(match which {
        WaitidWhich::All => (Which::All, false),
        WaitidWhich::Pid(pid) if pid.number() > 0 => (Which::Pid(pid.find(k, me)), false),
        WaitidWhich::Pgid(pgid) if pgid.number() == 0 => (Which::Group(Some(k.signal_of(*me).pgrp.id())), false),
        WaitidWhich::Pgid(pgid) if pgid.number() > 0 => (Which::Group(pgid.find(k, me)), false),
        WaitidWhich::Pidfd(fd) if fd >= 0 => {
            let file = file_at(k, *me, fd)?;
            let Opened::Pidfd { pid, .. } = opened(k, file) else { bail!(EBADF, "descriptor {} is no pidfd", fd) };
            (Which::Pid(Some(pid)), k.open_files[file].flags.contains(OpenFlags::NONBLOCK))
        }
        WaitidWhich::Pid(id) | WaitidWhich::Pgid(id) => bail!(EINVAL, "id {} is out of range", id.number()),
        WaitidWhich::Pidfd(fd) => bail!(EINVAL, "id {} is out of range", fd),
        WaitidWhich::Unknown(idtype) => bail!(EINVAL, "idtype {} is unknown", idtype),
    })
}

/// Looks at the children of the calling thread and, without WNOTHREAD, of the other threads of its process in turn, of
/// each oldest first (`__do_wait`).
fn do_wait(k: &mut Kernel, me: Current, which: Which, options: u32) -> Result<Option<Report>> {
    let first = k.signal_of(*me).threads.first;
    let mut any = false;
    // The round begins with the caller.
    let mut round = Some(*me);
    while let Some(thread) = round {
        let follower = k.tasks[thread].thread_node.next.or(first);
        round = follower.filter(|&thread| thread != *me && options & WNOTHREAD == 0);
        // A certain process needs no search (`do_wait_pid`).
        let asked = match which {
            Which::Pid(pid) => Some(pid.and_then(|pid| child_with(k, thread, pid))),
            Which::All | Which::Group(_) => None,
        };
        let mut next = asked.unwrap_or(k.tasks[thread].children.first);
        while let Some(child) = next {
            next = if asked.is_some() { None } else { k.tasks[child].sibling.next };
            if !is_eligible(k, child, which, options) {
                continue;
            }
            if let Some(report) = consider(k, me, child, options) {
                return Ok(Some(report));
            }
            // One that only waits to be reaped has nothing else to report any more (`wait_consider_task`).
            any |= !k.is_reapable(child);
        }
    }
    if !any {
        bail!(ECHILD, "the caller has no such child");
    }
    Ok(None)
}

/// The process with this struct pid, if it is a child of the thread.
fn child_with(k: &Kernel, thread: TaskId, pid: PidId) -> Option<TaskId> {
    let child = k.pids[pid].attached.task?;
    (k.is_leader(child) && !k.is_of_idle_task(child) && k.tasks[child].real_parent == thread).then_some(child)
}

fn is_eligible(k: &Kernel, child: TaskId, which: Which, options: u32) -> bool {
    let matches = match which {
        Which::All => true,
        Which::Pid(pid) => Some(k.pid_of(child)) == pid,
        Which::Group(group) => Some(k.signal_of(child).pgrp.id()) == group,
    };
    // A "clone child" does not send SIGCHLD; __WCLONE sees only these.
    let is_clone_child = k.tasks[child].exit_signal != SIGCHLD;
    matches && (options & WALL != 0 || is_clone_child == (options & WCLONE != 0))
}

/// What there is to report of one child; reports it once unless WNOWAIT.
fn consider(k: &mut Kernel, me: Current, child: TaskId, options: u32) -> Option<Report> {
    let keep = options & WNOWAIT != 0;
    let pid = Numbers::of(k, *me, k.pid_of(child));
    let uid = k.cred_of(child).ids.uid;
    if k.is_reapable(child) {
        if options & WEXITED == 0 {
            return None;
        }
        let event = Event::Dead(k.exit_status(child));
        if !keep {
            k.release_task(child);
        }
        return Some(Report { pid, uid, event });
    }
    let signal = k.tasks[child].signal;
    let group = &mut k.signals[signal];
    if options & WUNTRACED != 0 && group.stop_unreported {
        group.stop_unreported = keep;
        return group.stop_signal.map(|signo| Report { pid, uid, event: Event::Stopped(signo) });
    }
    if options & WCONTINUED != 0 && group.continued {
        group.continued = keep;
        return Some(Report { pid, uid, event: Event::Continued });
    }
    None
}
