//! Numbers of processes among the arguments of calls.

use crate::kernel::{Current, Kernel, PidId, TaskId};

/// A number of a process, thread, process group or session as a call is given it, and whose number it is. Calls resolve
/// it where Linux does; 0, -1 and other negative numbers mean what they mean to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidArg {
    /// Of the caller's pid namespace, as a program gives it.
    Own(i32),
    /// Of the initial pid namespace, whatever the caller sees. It names nobody whom the caller cannot see.
    Initial(i32),
    /// Of the initial pid namespace. The caller got a pidfd of the process from another task, and may not see the process.
    Held(i32),
}

impl PidArg {
    /// The number as it was given.
    pub fn number(self) -> i32 {
        match self {
            PidArg::Own(nr) | PidArg::Initial(nr) | PidArg::Held(nr) => nr,
        }
    }

    /// The process group that a negative number means.
    pub(super) fn negated(self) -> PidArg {
        match self {
            PidArg::Own(nr) => PidArg::Own(nr.wrapping_neg()),
            PidArg::Initial(nr) | PidArg::Held(nr) => PidArg::Initial(nr.wrapping_neg()),
        }
    }

    /// The struct pid that `me` means (`find_vpid`).
    pub(super) fn find(self, k: &Kernel, me: Current) -> Option<PidId> {
        let own = k.task_active_pid_ns(*me);
        match self {
            PidArg::Own(nr) => k.find_pid_ns(nr, own),
            PidArg::Initial(nr) => k.find_pid_ns(nr, k.init.pid_ns).filter(|pid| k.pids[*pid].nr_in(own).is_some()),
            PidArg::Held(nr) => k.find_pid_ns(nr, k.init.pid_ns),
        }
    }

    /// The task, thread or not, that `me` means (`find_task_by_vpid`).
    pub(super) fn find_task(self, k: &Kernel, me: Current) -> Option<TaskId> {
        k.pids[self.find(k, me)?].attached.task
    }
}

#[cfg(test)]
mod tests {
    use super::PidArg::{Held, Initial, Own};
    use super::*;
    use crate::errno::Errno;
    use crate::kernel::signal::SIGCHLD;
    use crate::script::Session;
    use crate::syscall::{Return, Syscall, WEXITED, WNOWAIT, WaitidWhich, dispatch};

    /// Task 2 is number 1 of a pid namespace, 3 its child and 2 there, 4 a thread of 3 and 3 there. 5 is outside.
    fn nested() -> Kernel {
        let mut k = Kernel::boot();
        let lines = b"1 clone pid\n2 clone\n3 clone thread sighand vm\n1 clone\n";
        Session::default().batch(&mut k, lines).1.unwrap();
        k
    }

    fn call(k: &mut Kernel, nr: i32, call: Syscall) -> Result<Return, Errno> {
        let task = k.find_task(nr).unwrap();
        dispatch(k, task, &call.into()).map_err(|stop| stop.errno())
    }

    /// What getpgid, which asks no rights, finds for a number: the group, as the caller sees it and as init does.
    fn group(k: &mut Kernel, nr: i32, pid: PidArg) -> Result<(i32, i32), Errno> {
        match call(k, nr, Syscall::Getpgid { pid })? {
            Return::Pid(numbers) => Ok((numbers.own(), numbers.initial())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn own_numbers_are_those_of_the_callers_namespace() {
        let mut k = nested();
        assert_eq!(call(&mut k, 2, Syscall::Setpgid { pid: Own(2), pgid: Own(0) }), Ok(Return::DONE));
        for same in [Own(2), Initial(3), Own(3), Initial(4)] {
            assert_eq!(group(&mut k, 2, same), Ok((2, 3)), "{same:?}");
        }
        assert_eq!(group(&mut k, 3, Own(0)), Ok((2, 3)));
        // From outside the same group has another number of its own.
        assert_eq!(group(&mut k, 1, Own(3)), Ok((3, 3)));
    }

    #[test]
    fn who_is_out_of_sight_is_nobody() {
        let mut k = nested();
        for nobody in [Own(4), Own(5), Initial(1), Initial(5), Initial(99), Own(-2), Initial(-3)] {
            assert_eq!(group(&mut k, 2, nobody), Err(Errno::ESRCH), "{nobody:?}");
        }
        assert_eq!(call(&mut k, 2, Syscall::Kill { pid: Initial(5), signo: 0 }), Err(Errno::ESRCH));
        // A group without a number here is shown as 0, and 0 is never what was asked for.
        assert_eq!(group(&mut k, 2, Own(0)), Ok((0, 0)));
    }

    #[test]
    fn who_is_out_of_sight_can_be_meant_by_a_pidfd_that_was_handed_over() {
        let mut k = nested();
        let open = |pid| Syscall::PidfdOpen { pid, flags: Default::default() };
        assert_eq!(call(&mut k, 2, open(Initial(5))), Err(Errno::ESRCH));
        assert_eq!(call(&mut k, 2, open(Held(5))), Ok(Return::Fd(0)));
        assert_eq!(call(&mut k, 2, open(Held(99))), Err(Errno::ESRCH));
        // What Linux says of a pid namespace that is neither the caller's nor below it.
        let send = Syscall::PidfdSendSignal { fd: 0, signo: 0, info: None, flags: 0 };
        assert_eq!(call(&mut k, 2, send), Err(Errno::EINVAL));
    }

    #[test]
    fn the_sign_says_group_whosever_the_number_is() {
        let mut k = nested();
        assert_eq!(call(&mut k, 2, Syscall::Setpgid { pid: Own(2), pgid: Own(2) }), Ok(Return::DONE));
        for (pid, expected) in [
            (Own(-2), Ok(Return::DONE)),
            (Initial(-3), Ok(Return::DONE)),
            (Own(-3), Err(Errno::ESRCH)),
            (Own(i32::MIN), Err(Errno::ESRCH)),
            (Initial(-5), Err(Errno::ESRCH)),
        ] {
            assert_eq!(call(&mut k, 2, Syscall::Kill { pid, signo: 0 }), expected, "{pid:?}");
        }
        let waitid = |which| Syscall::Waitid { which, options: WEXITED };
        assert_eq!(call(&mut k, 2, waitid(WaitidWhich::Pgid(Own(-2)))), Err(Errno::EINVAL));
        assert_eq!(call(&mut k, 2, waitid(WaitidWhich::Pgid(Own(2)))), Err(Errno::EAGAIN));
        assert_eq!(call(&mut k, 2, waitid(WaitidWhich::Pid(Own(3)))), Err(Errno::ECHILD));
    }

    #[test]
    fn threads_are_told_from_processes() {
        let mut k = nested();
        let tgkill = |tgid, tid| Syscall::Tgkill { tgid, tid, signo: 0 };
        assert_eq!(call(&mut k, 2, tgkill(Own(2), Own(3))), Ok(Return::DONE));
        assert_eq!(call(&mut k, 2, tgkill(Initial(3), Own(3))), Ok(Return::DONE));
        assert_eq!(call(&mut k, 2, tgkill(Own(3), Own(3))), Err(Errno::ESRCH));
        assert_eq!(call(&mut k, 2, tgkill(Own(0), Own(3))), Err(Errno::EINVAL));
        let open = |pid| Syscall::PidfdOpen { pid, flags: Default::default() };
        assert_eq!(call(&mut k, 2, open(Own(2))), Ok(Return::Fd(0)));
        assert_eq!(call(&mut k, 2, open(Own(3))), Err(Errno::ENOENT));
        assert_eq!(call(&mut k, 2, open(Own(0))), Err(Errno::EINVAL));
    }

    #[test]
    fn a_wait_gives_the_numbers_of_all_levels() {
        let mut k = nested();
        assert!(call(&mut k, 2, Syscall::Sigprocmask { block: true, signo: SIGCHLD }).is_ok());
        assert!(call(&mut k, 3, Syscall::ExitGroup { code: 7 }).is_ok());
        let waitid = Syscall::Waitid { which: WaitidWhich::All, options: WEXITED | WNOWAIT };
        match call(&mut k, 2, waitid) {
            Ok(Return::Waitid(Some(child))) => {
                let info = child.siginfo;
                assert_eq!((info.pid.levels(), info.signo, info.status), (vec![3, 2], SIGCHLD, 7));
            }
            other => panic!("{other:?}"),
        }
        match call(&mut k, 2, Syscall::Wait { pid: Own(2), options: 0 }) {
            Ok(Return::Wait(Some(waited))) => {
                assert_eq!((waited.pid.levels(), waited.pid.own(), waited.status), (vec![3, 2], 2, 0x700));
                assert_eq!(waited.rusage, Default::default());
            }
            other => panic!("{other:?}"),
        }
        // The signal that told of it is there for who blocked it.
        match call(&mut k, 2, Syscall::Sigwaitinfo { signo: SIGCHLD }) {
            Ok(Return::Siginfo(info)) => {
                assert_eq!((info.pid.levels(), info.pid.own(), info.status), (vec![3, 2], 2, 7));
            }
            other => panic!("{other:?}"),
        }
    }
}
