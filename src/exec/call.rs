//! The start and the end of calls that the filter stops.

use std::io;

use super::clock::{Hours, hours};
use super::mqueue::is_stale;
use super::path::is_of_host;
use super::regs::Regs;
use super::shape;
use super::sys::{Resume, Tid};
use super::tracee::{Detour, Doing, Then, refusal};
use crate::abi::{self, Answer, Call, Decoded, Host, Interrupted, Memory, Rewrite, Sleep, Translate, Treatment};
use crate::control;
use crate::errno::{Arg, Error};
use crate::kernel::pid::PID_MAX_LIMIT;
use crate::kernel::signal::{SIGNAL_MAX, sigmask};
use crate::kernel::task::TaskState;
use crate::kernel::trace::Step;
use crate::kernel::{Kernel, TaskId};
use crate::syscall::program::Program;
use crate::syscall::{AnyCall, LabCall, PidArg, Return, SigAction, Stop, Syscall, WNOHANG, WaitidWhich};

use super::Supervisor;

/// What the journal says of a call. Its numbers are those of the initial pid namespace; one that names nobody is one that
/// nobody can have.
pub(super) fn line(k: &Kernel, task: TaskId, call: &AnyCall) -> String {
    let own = if k.tasks.contains(task) { k.task_nr(task) } else { 0 };
    let number = |pid: PidArg| match pid {
        PidArg::Own(number) if k.tasks.contains(task) && !matches!(number, 0 | -1 | i32::MIN) => {
            let found = k.find_pid_ns(number.abs(), k.task_active_pid_ns(task));
            number.signum() * found.map_or(PID_MAX_LIMIT, |pid| k.pids[pid].nr())
        }
        PidArg::Own(number) | PidArg::Initial(number) | PidArg::Held(number) => number,
    };
    match control::words(call, &number) {
        Some(words) => format!("{own} {words}"),
        // No program makes it.
        None => format!("# {own} {call:?}"),
    }
}

fn can_run(k: &Kernel, task: TaskId) -> bool {
    let can = |state| state != TaskState::Stopped && !k.is_cgroup_frozen(k.cgroup_of(task));
    k.tasks.get(task).is_none_or(|found| can(found.state))
}

impl Supervisor {
    /// A thread is at a call that the filter stops, which nothing has happened of yet.
    pub(super) fn call_begins(&mut self, tid: Tid) -> io::Result<()> {
        let regs = Regs(self.host.registers(tid)?);
        let task = self.task(tid)?;
        let told = self.lab.read(|k| (can_run(k, task), hours(k, task, &regs.call())));
        let (may_run, hours) = told.unwrap_or((true, Hours::Same));
        if !may_run {
            self.held.insert(tid);
            return Ok(());
        }
        if hours != Hours::Same && self.prepare_clock(tid, &regs, hours)? {
            return Ok(());
        }
        let decoded = abi::decode(&regs.call(), &self.memory(tid));
        if let Err(error) = self.check_fault(tid, task, &regs, &decoded) {
            return self.refuse(tid, regs, &error);
        }
        match decoded {
            Ok(Decoded::Question { question, to }) => {
                let reply = self.lab.read(|k| question.answer(k, task)).and_then(|reply| reply);
                let written = reply.and_then(|reply| reply.write(to, &mut self.memory(tid)));
                match written {
                    Ok(result) => self.skip(tid, regs, result),
                    Err(error) => self.refuse(tid, regs, &error),
                }
            }
            Ok(Decoded::Call { call: Syscall::Sigaction { signo, action: Some(action) }, .. })
                if self.has_action(task, signo, action) =>
            {
                self.host.resume(tid, Resume::Cont, 0)
            }
            Ok(Decoded::Call { call, answer, host }) => match self.with_values(tid, task, call, &regs) {
                Ok(call) => self.lab_call(tid, regs, call, answer, host),
                Err(error) => self.refuse(tid, regs, &error),
            },
            Ok(Decoded::Birth(birth)) => self.birth(tid, regs, birth),
            Ok(Decoded::Rewrite(Rewrite::Paths(paths))) => self.rewrite_paths(tid, regs, paths),
            Ok(Decoded::Rewrite(Rewrite::Queue)) => self.mq_open(tid, regs),
            Ok(Decoded::Rewrite(Rewrite::Ioctl)) => self.ioctl(tid, regs),
            Ok(Decoded::Translate(translate)) => self.translate(tid, regs, translate),
            Ok(Decoded::Pass) => self.host.resume(tid, Resume::Cont, 0),
            Err(error) => self.refuse_call(tid, regs, &error),
        }
    }

    /// Lets the next fault for a call happen, if there is one; a call that we have begin anew was asked for before.
    fn check_fault(
        &mut self,
        tid: Tid,
        task: TaskId,
        regs: &Regs,
        decoded: &crate::errno::Result<Decoded>,
    ) -> crate::errno::Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let is_step = matches!(tracee.doing, Doing::Making(_) | Doing::Telling(_));
        if std::mem::take(&mut tracee.is_again) || is_step || !self.lab.faults.has_calls() {
            return Ok(());
        }
        // Who has the processes of a mounted lab asks us nothing about files of the host.
        let call = abi::call(regs.number());
        if let Ok(Decoded::Rewrite(Rewrite::Paths(paths))) = decoded
            && !matches!(call, Some(Call::Execve | Call::Execveat))
            && paths.iter().all(|at| {
                (&self.memory(tid) as &dyn Memory).path(regs.args()[at.path]).is_ok_and(|path| is_of_host(&path))
            })
        {
            return Ok(());
        }
        self.lab.check_call(task, || match decoded {
            Ok(Decoded::Call { call, .. }) => AnyCall::from(call.clone()).step(),
            _ => self.raw_step(regs),
        })
    }

    /// The first step of a call as it stands in the registers.
    fn raw_step(&self, regs: &Regs) -> Step {
        let call = abi::call(regs.number()).map_or("syscall", Call::name);
        let args = regs.args().map(|arg| Arg::from(format!("{arg:#x}"))).to_vec();
        Step::Enter { call, args, flags: 0 }
    }

    /// Whether the lab has been told of an action already. What starts a program sets all of them, most to what they are.
    fn has_action(&self, task: TaskId, signo: i32, action: SigAction) -> bool {
        let is_known = |k: &Kernel| {
            let (actions, bit) = (k.sighand_of(task), sigmask(signo));
            match action {
                SigAction::Ignore => actions.ignored & bit != 0,
                SigAction::Handler => actions.handled & bit != 0,
                SigAction::Default => (actions.ignored | actions.handled) & bit == 0,
            }
        };
        (1..=SIGNAL_MAX).contains(&signo) && self.lab.read(|k| k.tasks.contains(task) && is_known(k)).unwrap_or(false)
    }

    /// Whether a task can make calls now: it is neither stopped nor frozen.
    pub(super) fn may_run(&self, task: TaskId) -> bool {
        self.lab.read(|k| can_run(k, task)).unwrap_or(true)
    }

    /// Those that could not make their calls try again.
    pub(super) fn release_held(&mut self) {
        for tid in std::mem::take(&mut self.held) {
            let waits = self.tracees.get(&tid).is_some_and(|tracee| matches!(tracee.doing, Doing::Waiting(_)));
            // It may be gone.
            let _ = if waits { self.ask_again(tid) } else { self.call_begins(tid) };
        }
    }

    /// The lab answers; the real kernel does its part where there is one.
    fn lab_call(&mut self, tid: Tid, regs: Regs, call: Syscall, answer: Answer, host: Host) -> io::Result<()> {
        let task = self.task(tid)?;
        // Nobody waits for the process of a pidfd that does not block.
        let may_wait = !matches!(call, Syscall::Waitid { which: WaitidWhich::Pidfd(fd), options }
            if options & WNOHANG == 0 && self.is_nonblocking(tid, fd));
        let call = self.with_mountpoint(tid, task, call);
        let (call, opened) = match self.with_descriptors(tid, task, call) {
            Ok(call) => call,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        self.tracee(tid)?.is_woken = false;
        let (call, sleep) = match host {
            Host::Sleep(sleep) => (call.by_program(), sleep),
            _ => (call, Sleep { interrupted: Interrupted::UnlessRestarted, until: None }),
        };
        let outcome = self.perform(task, &call);
        if let Some(fd) = opened {
            self.close(task, fd);
        }
        if matches!(call, AnyCall::Linux(Syscall::Setns { .. })) {
            self.keep_time(tid)?;
        }
        match outcome {
            Ok(given) => self.answered(tid, regs, (&call, &given), answer, host),
            Err(Stop::Blocked { .. }) if may_wait => self.park(tid, regs, call, answer, sleep),
            Err(Stop::Blocked { why: error, .. } | Stop::Failed(error)) => {
                let left = answer.write_failure(&mut self.memory(tid));
                let error = left.as_ref().err().unwrap_or(&error);
                self.explain(tid, &regs, error);
                self.skip(tid, regs, refusal(error))
            }
        }
    }

    fn answered(
        &mut self,
        tid: Tid,
        regs: Regs,
        (call, given): (&AnyCall, &Return),
        answer: Answer,
        host: Host,
    ) -> io::Result<()> {
        let result = match answer.write(given, &mut self.memory(tid)) {
            Ok(result) => result,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        if let AnyCall::Linux(Syscall::Setpgid { pid, .. }) = call {
            return self.move_to_group(tid, regs, *pid);
        }
        match host {
            Host::Skip | Host::Sleep(_) => self.skip(tid, regs, result),
            Host::First => self.host.resume(tid, Resume::Cont, 0),
            Host::Same if result == 0 => self.host.resume(tid, Resume::Cont, 0),
            Host::Same => {
                if *call == Syscall::Setsid.into() {
                    self.leads_session(tid)?;
                }
                self.detour(tid, regs, regs, Then::Always(result))
            }
            Host::Instead { call, args } => self.detour(tid, regs, regs.with(abi::number(call), args), Then::Keep),
        }
    }

    /// The real kernel answers, asked about others.
    fn translate(&mut self, tid: Tid, regs: Regs, translate: Translate) -> io::Result<()> {
        match translate {
            Translate::OwnTid => self.set_tid_address(tid, regs),
            Translate::Pids(args) => self.with_pids(tid, regs, args),
            Translate::Who => self.with_who(tid, regs),
            Translate::FileSystem => self.statfs(tid, regs),
            Translate::Directory => self.detour(tid, regs, regs, Then::Path),
            Translate::Siginfo => self.detour(tid, regs, regs, Then::Siginfo(regs.args()[1])),
            Translate::Owner => self.with_owner(tid, regs),
            Translate::Peer => self.with_peer(tid, regs),
            Translate::Exit => self.exit(tid, regs),
            Translate::Pidfd => self.getfd(tid, regs),
            Translate::PidfdOpen => self.pidfd_open(tid, regs),
            Translate::Sigevent => self.with_sigevent(tid, regs),
            Translate::Socket => self.socket(tid, regs),
            Translate::Attach => self.attach(tid, regs),
            Translate::Detach => self.detach(tid, regs),
            Translate::Listener => {
                let error = crate::err!(EINVAL, "who answers for a filter can have calls made that nobody else sees");
                self.refuse(tid, regs, &error)
            }
            Translate::Netlink => self.on_netlink(tid, regs),
            Translate::Signalfd => self.signalfd(tid, regs),
            Translate::Signals => self.reads_signals(tid, regs),
            // Those that compare numbers of threads are refused by now.
            Translate::Clock(_) | Translate::Futex => self.on_clock(tid, regs),
        }
    }

    /// What the first thread of a process asks for is done when it ends before others: each program asks for it when it starts.
    fn set_tid_address(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let task = self.task(tid)?;
        let number = self.lab.read(|k| k.task_nr_ns(task, k.task_active_pid_ns(task))).unwrap_or(0).into();
        let tracee = self.tracee(tid)?;
        if tracee.tid != tracee.tgid {
            return self.detour(tid, regs, regs, Then::Always(number));
        }
        tracee.clear_child_tid = regs.args()[0];
        self.skip(tid, regs, number)
    }

    /// exit of a thread. The real kernel tells of the end of a process's first thread once that of the last has come.
    fn exit(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let (task, tgid) = (self.task(tid)?, self.tracee(tid)?.tgid);
        let is_first_of_many = tid == tgid && self.tracees.values().filter(|tracee| tracee.tgid == tgid).count() > 1;
        if is_first_of_many {
            match std::mem::take(&mut self.tracee(tid)?.clear_child_tid) {
                0 => {}
                addr => {
                    let other = regs.with(abi::number(Call::SetTidAddress), [addr, 0, 0, 0, 0, 0]);
                    return self.detour(tid, regs, other, Then::Again);
                }
            }
            let status = (regs.args()[0] as i32 & 0xff) << 8;
            // The lab may have ended the task before, by the hand of another.
            let _ = self.perform(task, &LabCall::Program(Program::Ended { status }).into());
        }
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// No real call, and this result.
    pub(super) fn skip(&mut self, tid: Tid, regs: Regs, result: i64) -> io::Result<()> {
        self.host.set_registers(tid, regs.skipped(result).0)?;
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// No real call, and this error.
    pub(super) fn refuse(&mut self, tid: Tid, regs: Regs, error: &Error) -> io::Result<()> {
        self.explain(tid, &regs, error);
        self.skip(tid, regs, refusal(error))
    }

    /// The real call, perhaps with other arguments, to its end.
    pub(super) fn detour(&mut self, tid: Tid, regs: Regs, other: Regs, then: Then) -> io::Result<()> {
        self.tracee(tid)?.doing = Doing::Call(Box::new(Detour { regs, then }));
        if other.call() != regs.call() {
            self.host.set_registers(tid, other.0)?;
        }
        self.host.resume(tid, Resume::ToExit, 0)
    }

    /// A thread is at the end of a call whose end we wanted to see.
    pub(super) fn call_ends(&mut self, tid: Tid) -> io::Result<()> {
        let regs = Regs(self.host.registers(tid)?);
        match self.take_doing(tid)? {
            Doing::Birth(parent) => self.birth_ends(tid, regs, *parent),
            // For a queue, somebody has taken the name away meanwhile.
            Doing::Call(detour)
                if detour.then == Then::Again || detour.then == Then::Queue && is_stale(regs.result()) =>
            {
                self.tracee(tid)?.is_again = true;
                self.host.set_registers(tid, detour.regs.again().0)?;
                self.host.resume(tid, Resume::Cont, 0)
            }
            Doing::Call(detour) => {
                let regs = regs.as_wanted(&detour.regs);
                let result = self.result(tid, &detour, regs.result());
                self.host.set_registers(tid, regs.with_result(result).0)?;
                self.host.resume(tid, Resume::Cont, 0)
            }
            Doing::Mapping(wanted) => self.has_scratch(tid, regs, *wanted),
            Doing::Filtering(wanted) => self.has_clock_filter(tid, regs, *wanted),
            Doing::Waiting(waiting) => self.sleep_ends(tid, regs, *waiting),
            Doing::Making(making) => self.netlink_step_ends(tid, regs, *making),
            Doing::Telling(telling) => self.telling_ends(tid, regs, *telling),
            Doing::Heeding(heeding) => self.heeding_ends(tid, regs, *heeding),
            Doing::Watching(wanted) => self.watching_ends(tid, *wanted),
            Doing::Filling(filling) => self.filling_ends(tid, regs, *filling),
            doing @ (Doing::Running | Doing::Newborn(_)) => {
                self.tracee(tid)?.doing = doing;
                self.host.resume(tid, Resume::Cont, 0)
            }
        }
    }

    fn result(&mut self, tid: Tid, detour: &Detour, result: i64) -> i64 {
        match detour.then {
            Then::Always(number) => number,
            Then::StandIn { task, host } => {
                self.opened_stand_in(tid, result, task, host);
                result
            }
            Then::Owner if (-4095..0).contains(&result) => result,
            Then::Owner => self.own_owner(tid, result as i32).into(),
            _ if result < 0 => result,
            Then::Path => self.own_text(tid, detour.regs.args()[0], detour.regs.args()[1], result, true),
            Then::Link => {
                let [_, second, third, fourth, ..] = detour.regs.args();
                let is_at = abi::call(detour.regs.number()) == Some(Call::Readlinkat);
                let (addr, room) = if is_at { (third, fourth) } else { (second, third) };
                self.own_text(tid, addr, room, result, false)
            }
            Then::Attached { id, flags } => self.attached(tid, id, result, flags),
            _ => {
                self.translate_answer(tid, detour.then, result);
                result
            }
        }
    }

    /// What the real kernel has written becomes what the lab would have.
    fn translate_answer(&mut self, tid: Tid, then: Then, result: i64) {
        match then {
            Then::Pidfd(task) => self.note_pidfd(tid, result as i32, task),
            Then::PidfdAt(addr) => self.note_pidfd_at(tid, addr),
            Then::FileSystem { addr, magic } => {
                // It could be written a moment ago.
                let _ = self.memory(tid).write(addr, &magic.to_ne_bytes());
            }
            Then::Siginfo(addr) => self.own_siginfo(tid, addr),
            Then::PidAt(addr) => self.own_number_at(tid, addr),
            Then::ProcessAt(addr) => self.own_process_at(tid, addr),
            Then::OwnerAt(addr) => self.own_owner_at(tid, addr),
            Then::Credentials(addr) => self.own_credentials(tid, addr, true),
            Then::Message(header) => self.came_with_message(tid, header),
            Then::Signals(addr) => self.own_signals(tid, addr, result),
            Then::Time { addr, offset } => self.shift_time(tid, addr, offset),
            Then::Uptime(addr) => self.own_uptime(tid, addr),
            Then::Kernel { addr, room, length_at } => self.came_from_kernel(tid, addr, room, length_at),
            Then::Keep
            | Then::Queue
            | Then::Again
            | Then::Always(_)
            | Then::StandIn { .. }
            | Then::Owner
            | Then::Path
            | Then::Link
            | Then::Attached { .. } => {}
        }
    }

    /// A call that no program of a lab gets: the trace has it, and who runs the program is told once.
    fn refuse_call(&mut self, tid: Tid, regs: Regs, error: &Error) -> io::Result<()> {
        let call = abi::call(regs.number());
        let is_refused = call.is_none_or(|call| matches!(call.treatment(), Treatment::Refused { .. }));
        let name = call.map_or(if abi::is_x32(regs.number()) { "x32" } else { "syscall" }, Call::name);
        self.note_refusal(tid, &regs, (name, is_refused), error)?;
        self.refuse(tid, regs, error)
    }

    fn note_refusal(
        &mut self,
        tid: Tid,
        regs: &Regs,
        (name, tells): (&'static str, bool),
        error: &Error,
    ) -> io::Result<()> {
        let task = self.task(tid)?;
        let args = regs.args().map(|arg| Arg::from(format!("{arg:#x}"))).to_vec();
        // Of a lab that is broken everything fails.
        let _ = self.lab.note_refusal(task, name, args, error);
        if tells && !self.options.explain && self.told.insert(name) {
            self.host.say(&format!("{name} is refused: {error}"));
        }
        Ok(())
    }

    /// A thread has made a call of another interface, which the filter has taken from it with SIGSYS: the kernel made none.
    pub(super) fn refuse_foreign(&mut self, tid: Tid, number: i32) -> io::Result<()> {
        let regs = Regs(self.host.registers(tid)?);
        let error = crate::err!(ENOSYS, "a lab has no calls of 32-bit programs");
        self.note_refusal(tid, &regs, ("int80", true), &error)?;
        if self.options.explain {
            self.say_refusal(tid, &format!("int80({number})"), &error);
        }
        self.skip(tid, regs, refusal(&error))
    }

    /// `CALL(ARGS) = ERRNO: REASON`, as strace(1) writes calls, for who wants to know.
    fn explain(&self, tid: Tid, regs: &Regs, error: &Error) {
        if self.options.explain {
            self.say_refusal(tid, &shape::text(&regs.call(), &self.memory(tid)), error);
        }
    }

    pub(super) fn say_refusal(&self, tid: Tid, call: &str, error: &Error) {
        let number = self.tracees.get(&tid).and_then(|tracee| self.lab.read(|k| k.task_nr(tracee.task)).ok());
        self.host.say(&format!("[{}] {call} = {error}", number.unwrap_or(0)));
    }
}
