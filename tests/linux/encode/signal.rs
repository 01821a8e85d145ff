//! Signals and waiting for children.

use super::*;

/// In the initial pid namespace -1 is the whole machine, and the task that stands for init is not protected as init is.
pub(super) fn is_kill_safe(c: &Context<'_>, pid: i32, signo: i32) -> bool {
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

pub(super) fn encode_waitid(c: &Context<'_>, which: WaitidWhich, options: u32) -> Job {
    let number = |nr| int(c.numbers.of_caller(c.k, c.me, nr));
    // A non-blocking pidfd does not block anyway, and says EAGAIN only if it was not told so once more.
    let nonblocking = matches!(which, WaitidWhich::Pidfd(fd) if pidfd_at(c, fd).is_some_and(|(_, f)| f.contains(OpenFlags::NONBLOCK)));
    let options = if nonblocking { options } else { options | WNOHANG };
    let (idtype, id) = match which {
        WaitidWhich::All => (0, NULL),
        WaitidWhich::Pid(pid) => (1, number(pid)),
        WaitidWhich::Pgid(pgid) => (2, number(pgid)),
        WaitidWhich::Pidfd(fd) => (3, int(fd)),
        WaitidWhich::Unknown(idtype) => (idtype, NULL),
    };
    let mut wait = call(libc::SYS_waitid, &[int(idtype), id, OUT_ARG, Arg::Value(u64::from(options)), NULL]);
    wait.data.push((OUT as usize, vec![0; 128]));
    Job::Call(wait)
}

fn is_signal(signo: i32) -> bool {
    (1..=64).contains(&signo)
}

pub(super) fn encode_sigaction(c: &Context<'_>, signo: i32, action: Option<SigAction>) -> (Job, Answer) {
    let Some(action) = action else {
        let args = [int(signo), NULL, OUT_ARG, Arg::Value(8)];
        return (Job::Call(call(libc::SYS_rt_sigaction, &args)), Answer::Action(signo));
    };
    let handler = match action {
        SigAction::Default => 0,
        SigAction::Ignore => 1,
        SigAction::Handler => c.handler.handler,
    };
    const SA_RESTORER: u64 = 0x0400_0000;
    let action = [handler, SA_RESTORER, c.handler.restorer, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let args = [int(signo), IN_ARG, NULL, Arg::Value(8)];
    (
        Job::Call(with_data(libc::SYS_rt_sigaction, &args, action)),
        if is_signal(signo) { Answer::NewAction(signo) } else { Answer::Number },
    )
}

fn mask(signo: i32) -> Vec<u8> {
    (1u64 << (signo - 1)).to_ne_bytes().to_vec()
}

pub(super) fn encode_sigprocmask(block: bool, signo: i32) -> (Job, Answer) {
    if !is_signal(signo) {
        return (Job::Refused(libc::EINVAL), Answer::Number);
    }
    let how = if block { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    let args = [int(how), IN_ARG, NULL, Arg::Value(8)];
    (Job::Call(with_data(libc::SYS_rt_sigprocmask, &args, mask(signo))), Answer::Number)
}

pub(super) fn encode_sigwaitinfo(signo: i32) -> (Job, Answer) {
    if !is_signal(signo) {
        return (Job::Refused(libc::EINVAL), Answer::Siginfo);
    }
    let timeout = Arg::Data(IN as u64 + 8);
    let args = [IN_ARG, OUT_ARG, timeout, Arg::Value(8)];
    let mut wait = with_data(libc::SYS_rt_sigtimedwait, &args, [mask(signo), vec![0; 16]].concat());
    wait.data.push((OUT as usize, vec![0; 128]));
    (Job::Call(wait), Answer::Siginfo)
}
