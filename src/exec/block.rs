//! Calls that wait for something of the lab. The thread waits in pause(2) meanwhile, or in clock_nanosleep(2) where its time is
//! limited: there the real kernel's signals reach it as they would in the call itself.

use std::io;

use super::Supervisor;
use super::regs::{CLOCK_NANOSLEEP, ERESTARTNOHAND, ERESTARTSYS, PAUSE, RESTART_SYSCALL, Regs};
use super::sys::{Resume, Tid};
use super::tracee::{Doing, Waiting, refusal};
use crate::abi::{Answer, Interrupted, Sleep, Until};
use crate::kernel::{Kernel, TaskId};
use crate::syscall::program::Program;
use crate::syscall::{AnyCall, LabCall, Stop};

impl Supervisor {
    /// The thread waits.
    pub(super) fn park(&mut self, tid: Tid, regs: Regs, call: AnyCall, answer: Answer, sleep: Sleep) -> io::Result<()> {
        let tracee = self.tracee(tid)?;
        let is_woken = std::mem::take(&mut tracee.is_woken);
        let task = tracee.task;
        tracee.doing = Doing::Waiting(Box::new(Waiting { regs, call, answer, sleep, result: None }));
        let real = match sleep.until {
            Some(Until { clock, flags, at, .. }) => regs.with(CLOCK_NANOSLEEP, [clock, flags, at, 0, 0, 0]),
            None => regs.with(PAUSE, regs.args()),
        };
        self.host.set_registers(tid, real.0)?;
        self.go_on(tid)?;
        // Somebody else may have been faster than we were to note that it waits.
        if is_woken || self.is_ready(task) { self.ask_again(tid) } else { Ok(()) }
    }

    /// Lets a thread go on, to the end of its call if that is one to wait in for some time.
    pub(super) fn go_on(&mut self, tid: Tid) -> io::Result<()> {
        let is_timed = matches!(&self.tracee(tid)?.doing, Doing::Waiting(waiting) if waiting.sleep.until.is_some());
        self.host.resume(tid, if is_timed { Resume::ToExit } else { Resume::Cont }, 0)
    }

    /// Whether what a task waits for, as the lab knows, is there.
    fn is_ready(&self, task: TaskId) -> bool {
        let ready = |k: &Kernel| k.programs.waiting.of(task).is_some_and(|on| k.is_there(&on));
        self.lab.read(ready).unwrap_or(false)
    }

    /// The threads of a task's process that wait ask again; one that is about to wait will.
    pub(super) fn wake(&mut self, task: TaskId) {
        if !self.held.is_empty() {
            self.release_held();
        }
        let Some(tgid) = self.of_task(task).map(|tracee| tracee.tgid) else { return };
        let mut waiting = Vec::new();
        for tracee in self.tracees.values_mut().filter(|tracee| tracee.tgid == tgid) {
            match &tracee.doing {
                Doing::Waiting(_) => waiting.push(tracee.tid),
                _ => tracee.is_woken = true,
            }
        }
        for tid in waiting {
            // It may be gone.
            let _ = self.ask_again(tid);
        }
    }

    /// What one thread waits for was there a moment ago.
    pub(super) fn ready(&mut self, task: TaskId) {
        if let Some(tid) = self.of_task(task).map(|tracee| tracee.tid)
            && self.is_ready(task)
        {
            // It may be gone.
            let _ = self.ask_again(tid);
        }
    }

    /// A thread that waits makes its call again, if it does not have its result yet. One that is stopped does so once it goes on.
    pub(super) fn ask_again(&mut self, tid: Tid) -> io::Result<()> {
        let tracee = self.tracee(tid)?;
        let Doing::Waiting(waiting) = &tracee.doing else { return Ok(()) };
        if waiting.result.is_some() {
            return Ok(());
        }
        let (task, call, answer) = (tracee.task, waiting.call.clone(), waiting.answer);
        if !self.may_run(task) {
            self.held.insert(tid);
            return Ok(());
        }
        let memory = &mut self.memory(tid);
        let result = match self.perform(task, &call) {
            Err(Stop::Blocked { .. }) => return Ok(()),
            Ok(given) => answer.write(&given, memory),
            Err(Stop::Failed(error)) => answer.write_failure(memory).and(Err(error)),
        };
        let result = result.unwrap_or_else(|error| refusal(&error));
        if let Doing::Waiting(waiting) = &mut self.tracee(tid)?.doing {
            waiting.result = Some(result);
        }
        self.host.interrupt(tid)
    }

    /// A thread that waits has stopped, at a signal if `is_signal`. What it waited for, if it is there, comes before the
    /// signal; otherwise the call is interrupted.
    pub(super) fn wait_ends(&mut self, tid: Tid, is_signal: bool) -> io::Result<()> {
        let Doing::Waiting(waiting) = &self.tracee(tid)?.doing else { return Ok(()) };
        let (result, wanted, interrupted) = (waiting.result, waiting.regs, waiting.sleep.interrupted);
        let regs = Regs(self.host.registers(tid)?);
        if ![PAUSE, CLOCK_NANOSLEEP, RESTART_SYSCALL].contains(&regs.number()) {
            return Ok(());
        }
        let regs = match (result, interrupted) {
            (Some(result), _) => regs.as_wanted(&wanted).skipped(result),
            (None, _) if !is_signal => return Ok(()),
            (None, Interrupted::Always) => regs.as_wanted(&wanted).skipped(-i64::from(libc::EINTR)),
            (None, Interrupted::UnlessRestarted) => regs.as_wanted(&wanted).with_result(ERESTARTSYS),
            (None, Interrupted::UnlessHandled) => regs.as_wanted(&wanted).with_result(ERESTARTNOHAND),
        };
        self.waits_no_more(tid, result.is_some())?;
        self.host.set_registers(tid, regs.0)
    }

    /// A thread is at the end of the call that it waits in, or, where it has gone on after a stop, at its start.
    pub(super) fn sleep_ends(&mut self, tid: Tid, regs: Regs, waiting: Waiting) -> io::Result<()> {
        let is_over = regs.result() == 0;
        let result = match (waiting.result, waiting.sleep.until) {
            (Some(result), _) => result,
            (None, Some(until)) if is_over => -i64::from(until.errno as i32),
            (None, _) => {
                self.tracee(tid)?.doing = Doing::Waiting(Box::new(waiting));
                return self.go_on(tid);
            }
        };
        let (has_result, wanted) = (waiting.result.is_some(), waiting.regs);
        self.tracee(tid)?.doing = Doing::Waiting(Box::new(waiting));
        self.waits_no_more(tid, has_result)?;
        self.host.set_registers(tid, regs.as_wanted(&wanted).skipped(result).0)?;
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// The wait of a thread is over: the lab hears so where the call has had no result.
    fn waits_no_more(&mut self, tid: Tid, has_result: bool) -> io::Result<()> {
        let task = self.task(tid)?;
        self.held.remove(&tid);
        if let Doing::Waiting(waiting) = self.take_doing(tid)?
            && matches!(waiting.call, AnyCall::Waiting(_))
            && !has_result
        {
            // The lab may have ended the task, by the hand of another.
            let _ = self.perform(task, &LabCall::Program(Program::Wakes).into());
        }
        Ok(())
    }
}
