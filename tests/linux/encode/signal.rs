//! Signals and waiting for children.

use nslab::kernel::file::{FileKind, OpenFlags};
use nslab::kernel::signal::GivenInfo;
use nslab::syscall::{PidArg, SigAction, WNOHANG, WaitidWhich};

use super::*;

/// In the initial pid namespace -1 is the whole machine, and the task that stands for init is not protected as init is.
fn is_kill_safe(c: &Context<'_>, pid: i32, signo: i32) -> bool {
    let in_initial = c.k.task_active_pid_ns(c.me) == c.k.init.pid_ns;
    let group_of_init = || {
        let group = if pid == 0 {
            c.k.signal_of(c.me).pgrp.id()
        } else {
            c.k.find_pid_ns(-pid, c.k.init.pid_ns).unwrap_or(c.k.pid_of(c.me))
        };
        c.k.pgrp_members(group).any(|member| member == c.k.init.task)
    };
    match pid {
        -1 => !in_initial,
        1 => signo == 0,
        i32::MIN | 2.. => true,
        ..=0 => signo == 0 || !group_of_init(),
    }
}

/// A group whose number is 1 for the caller cannot be named with a minus sign: -1 is everybody.
fn is_group_one(c: &Context<'_>, pid: PidArg) -> bool {
    pid.number() < -1 && c.number(pid) == int(-1)
}

/// A call that sends a signal.
pub(super) fn encode_sending(c: &Context<'_>, call: &Syscall) -> Option<Encoded> {
    match call {
        Syscall::Kill { pid, signo } => encode_kill(c, *pid, *signo),
        Syscall::Tkill { tid, signo } => encode_tkill(c, *tid, *signo),
        Syscall::Tgkill { tgid, tid, signo } => encode_tgkill(c, *tgid, *tid, *signo),
        Syscall::RtSigqueueinfo { tgid, signo, info } => encode_rt_sigqueueinfo(c, *tgid, *signo, *info),
        Syscall::RtTgsigqueueinfo { tgid, tid, signo, info } => {
            encode_rt_tgsigqueueinfo(c, [*tgid, *tid], *signo, *info)
        }
        Syscall::PidfdSendSignal { fd, signo, info, flags } => encode_pidfd_send_signal(c, *fd, *signo, *info, *flags),
        _ => None,
    }
}

fn encode_kill(c: &Context<'_>, pid: PidArg, signo: i32) -> Option<Encoded> {
    let may_be_made = !is_group_one(c, pid) && is_kill_safe(c, pid.number(), signo);
    may_be_made.then(|| number(libc::SYS_kill, &[c.number(pid), int(signo)])).flatten()
}

fn encode_tkill(c: &Context<'_>, tid: PidArg, signo: i32) -> Option<Encoded> {
    let is_safe = tid.number() != 1 || signo == 0;
    is_safe.then(|| number(libc::SYS_tkill, &[c.number(tid), int(signo)])).flatten()
}

fn encode_tgkill(c: &Context<'_>, tgid: PidArg, tid: PidArg, signo: i32) -> Option<Encoded> {
    let is_safe = tid.number() != 1 || signo == 0;
    is_safe.then(|| number(libc::SYS_tgkill, &[c.number(tgid), c.number(tid), int(signo)])).flatten()
}

/// `siginfo_t` at [`IN`].
fn siginfo(signo: i32, info: GivenInfo) -> Vec<u8> {
    let words = [signo as u32, 0, info.code as u32, 0, info.pid as u32, info.uid];
    let mut raw: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    raw.extend(info.value.to_ne_bytes());
    raw.resize(128, 0);
    raw
}

fn encode_rt_sigqueueinfo(c: &Context<'_>, tgid: PidArg, signo: i32, info: GivenInfo) -> Option<Encoded> {
    let args = [c.number(tgid), int(signo), IN_ARG];
    let call = with_data(libc::SYS_rt_sigqueueinfo, &args, siginfo(signo, info));
    (tgid.number() > 1 || signo == 0).then_some((Job::Call(call), Answer::Number))
}

fn encode_rt_tgsigqueueinfo(c: &Context<'_>, [tgid, tid]: [PidArg; 2], signo: i32, info: GivenInfo) -> Option<Encoded> {
    let args = [c.number(tgid), c.number(tid), int(signo), IN_ARG];
    let call = with_data(libc::SYS_rt_tgsigqueueinfo, &args, siginfo(signo, info));
    (tid.number() != 1 || signo == 0).then_some((Job::Call(call), Answer::Number))
}

fn encode_pidfd_send_signal(
    c: &Context<'_>,
    fd: i32,
    signo: i32,
    info: Option<GivenInfo>,
    flags: u32,
) -> Option<Encoded> {
    let targets_init = matches!(pidfd_at(c, fd), Some((1, _)));
    if targets_init && signo != 0 {
        return None;
    }
    let args = |info| [int(fd), int(signo), info, Arg::Value(u64::from(flags))];
    let call = match info {
        Some(info) => with_data(libc::SYS_pidfd_send_signal, &args(IN_ARG), siginfo(signo, info)),
        None => call(libc::SYS_pidfd_send_signal, &args(NULL)),
    };
    Some((Job::Call(call), Answer::Number))
}

pub(super) fn encode_wait(c: &Context<'_>, pid: PidArg, options: u32) -> Option<Encoded> {
    if is_group_one(c, pid) {
        return None;
    }
    let args = [c.number(pid), OUT_ARG, Arg::Value(u64::from(options | WNOHANG)), NULL];
    Some((Job::Call(call(libc::SYS_wait4, &args)), Answer::Wait))
}

pub(super) fn encode_waitid(c: &Context<'_>, which: WaitidWhich, options: u32) -> Option<Encoded> {
    // A non-blocking pidfd does not block anyway, and says EAGAIN only if it was not told so once more.
    let nonblocking = matches!(which, WaitidWhich::Pidfd(fd) if pidfd_at(c, fd).is_some_and(|(_, f)| f.contains(OpenFlags::NONBLOCK)));
    let options = if nonblocking { options } else { options | WNOHANG };
    let (idtype, id) = match which {
        WaitidWhich::All => (0, NULL),
        WaitidWhich::Pid(pid) => (1, c.number(pid)),
        WaitidWhich::Pgid(pgid) => (2, c.number(pgid)),
        WaitidWhich::Pidfd(fd) => (3, int(fd)),
        WaitidWhich::Unknown(idtype) => (idtype, NULL),
    };
    let mut wait = call(libc::SYS_waitid, &[int(idtype), id, OUT_ARG, Arg::Value(u64::from(options)), NULL]);
    wait.data.push((OUT as usize, vec![0; 128]));
    Some((Job::Call(wait), Answer::Waitid))
}

fn is_signal(signo: i32) -> bool {
    (1..=64).contains(&signo)
}

pub(super) fn encode_sigaction(c: &Context<'_>, signo: i32, action: Option<SigAction>) -> Option<Encoded> {
    let Some(action) = action else {
        let args = [int(signo), NULL, OUT_ARG, Arg::Value(8)];
        return Some((Job::Call(call(libc::SYS_rt_sigaction, &args)), Answer::Action(signo)));
    };
    let handler = match action {
        SigAction::Default => 0,
        SigAction::Ignore => 1,
        SigAction::Handler => c.handler.handler,
    };
    const SA_RESTORER: u64 = 0x0400_0000;
    let action = [handler, SA_RESTORER, c.handler.restorer, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let args = [int(signo), IN_ARG, NULL, Arg::Value(8)];
    let answer = if is_signal(signo) { Answer::NewAction(signo) } else { Answer::Number };
    Some((Job::Call(with_data(libc::SYS_rt_sigaction, &args, action)), answer))
}

fn mask(signo: i32) -> Vec<u8> {
    (1u64 << (signo - 1)).to_ne_bytes().to_vec()
}

pub(super) fn encode_sigprocmask(block: bool, signo: i32) -> Option<Encoded> {
    if !is_signal(signo) {
        return Some((Job::Refused(libc::EINVAL), Answer::Number));
    }
    let how = if block { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    let args = [int(how), IN_ARG, NULL, Arg::Value(8)];
    Some((Job::Call(with_data(libc::SYS_rt_sigprocmask, &args, mask(signo))), Answer::Number))
}

pub(super) fn encode_sigwaitinfo(signo: i32) -> Option<Encoded> {
    if !is_signal(signo) {
        return Some((Job::Refused(libc::EINVAL), Answer::Siginfo));
    }
    let timeout = Arg::Data(IN as u64 + 8);
    let args = [IN_ARG, OUT_ARG, timeout, Arg::Value(8)];
    let mut wait = with_data(libc::SYS_rt_sigtimedwait, &args, [mask(signo), vec![0; 16]].concat());
    wait.data.push((OUT as usize, vec![0; 128]));
    Some((Job::Call(wait), Answer::Siginfo))
}

/// The number and the flags of what a pidfd of the caller stands for.
fn pidfd_at(c: &Context<'_>, fd: i32) -> Option<(i32, OpenFlags)> {
    let file = &c.k.open_files[c.k.file_at(c.me, fd)?];
    match &file.kind {
        FileKind::Pidfd { pid, .. } => Some((c.k.pids[pid.id()].nr(), file.flags)),
        _ => None,
    }
}
