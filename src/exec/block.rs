//! Calls that wait for something of the lab. The thread waits in pause(2) meanwhile, where the real kernel's signals reach it
//! as they would in the call itself.

use std::io;

use super::Supervisor;
use super::regs::{ERESTARTSYS, PAUSE, Regs};
use super::sys::{Resume, Tid};
use super::tracee::{Doing, Waiting, refusal};
use crate::abi::Answer;
use crate::kernel::TaskId;
use crate::syscall::{AnyCall, Stop};

impl Supervisor {
    /// The thread waits.
    pub(super) fn park(&mut self, tid: Tid, regs: Regs, call: AnyCall, answer: Answer) -> io::Result<()> {
        self.tracee(tid)?.doing = Doing::Waiting(Box::new(Waiting { regs, call, answer, result: None }));
        self.host.set_registers(tid, regs.with(PAUSE, regs.args()).0)?;
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// The threads of a task's process that wait ask again.
    pub(super) fn wake(&mut self, task: TaskId) {
        if !self.held.is_empty() {
            self.release_held();
        }
        let Some(tgid) = self.of_task(task).map(|tracee| tracee.tgid) else { return };
        let waits = |doing: &Doing| matches!(doing, Doing::Waiting(waiting) if waiting.result.is_none());
        let waiting = self.tracees.values().filter(|tracee| tracee.tgid == tgid && waits(&tracee.doing));
        for tid in waiting.map(|tracee| tracee.tid).collect::<Vec<_>>() {
            // It may be gone.
            let _ = self.ask_again(tid);
        }
    }

    fn ask_again(&mut self, tid: Tid) -> io::Result<()> {
        let tracee = self.tracee(tid)?;
        let Doing::Waiting(waiting) = &tracee.doing else { return Ok(()) };
        let (task, call, answer) = (tracee.task, waiting.call.clone(), waiting.answer);
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
    /// signal; otherwise the call is interrupted, and begins anew if the signal says so.
    pub(super) fn wait_ends(&mut self, tid: Tid, is_signal: bool) -> io::Result<()> {
        let Doing::Waiting(waiting) = &self.tracee(tid)?.doing else { return Ok(()) };
        let (result, wanted) = (waiting.result, waiting.regs);
        let regs = Regs(self.host.registers(tid)?);
        if regs.number() != PAUSE {
            return Ok(());
        }
        let regs = match result {
            Some(result) => regs.skipped(result),
            None if is_signal => regs.with(wanted.number(), regs.args()).with_result(ERESTARTSYS),
            None => return Ok(()),
        };
        self.tracee(tid)?.doing = Doing::Running;
        self.host.set_registers(tid, regs.0)
    }
}
