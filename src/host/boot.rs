//! What is done to a lab in the words of the language: before it is mounted, so that its journal needs no other file, and
//! by the files of the mount.

use super::Lab;
use super::fault::{Op, Uncached};
use crate::errno::Result;
use crate::journal::Journal;
use crate::kernel::change::Change;
use crate::kernel::trace::Step;
use crate::kernel::{Kernel, TaskId};
use crate::script::{Call, Machine, Opened, Setup, setup};
use crate::syscall::{Maker, Outcome};
use crate::{control, err};

/// A lab at which nobody looks yet, as what scripts are run on.
#[derive(Debug)]
pub struct Booting<'a>(pub &'a Lab);

impl Machine for Booting<'_> {
    fn repeats(&mut self, repeats: bool) {
        self.0.faults.repeat(repeats);
    }

    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        let Booting(lab) = self;
        match call.syscall.maker() {
            Maker::Server(host_pid) => lab.attach(|k| find_caller(k, pid), host_pid, None).map(|()| b"0".to_vec()),
            Maker::Anyone | Maker::File(_) => control::answer(lab.call(|k| find_caller(k, pid), call).0),
        }
    }

    fn open(&mut self, path: &[u8]) -> Result<Opened> {
        self.0.read(|k| Ok(Opened { line: self.0.noted(), file: Some(setup::open(k, path)?) }))?
    }

    fn set(&mut self, setup: &Setup) -> Result<Vec<u8>> {
        let Booting(lab) = self;
        match setup {
            Setup::Faults { text } => lab.set_faults(text).map(drop)?,
            Setup::Limits { .. } | Setup::Boot(_) => lab.set(setup, |k| k.set(setup)).map(drop)?,
            Setup::Attach { pid, host_pid, start } => lab.attach(|k| find_caller(k, *pid), *host_pid, *start)?,
            Setup::Mkdir { .. }
            | Setup::Rmdir { .. }
            | Setup::Write { .. }
            | Setup::Tick { .. }
            | Setup::Become { .. } => {
                let (task, call) = lab.read(|k| setup.host_call(k))??;
                return control::answer(lab.perform(|_| Ok(task), &call, |_, _| setup.to_string()).0);
            }
        }
        Ok(b"0".to_vec())
    }
}

impl Lab {
    /// A call in words, by the task that `caller` finds.
    ///
    /// # Errors
    /// As [`Lab::perform`]; that of a fault in the call.
    pub fn call(&self, caller: impl FnOnce(&Kernel) -> Result<TaskId>, call: &Call) -> (Outcome, Vec<Change>) {
        let line = |k: &Kernel, task: TaskId| call.script_line(number(k, task));
        if !self.faults.has_calls() {
            return self.perform(caller, &call.syscall, line);
        }
        let found = self.read(caller).and_then(|found| found);
        let checked = found.and_then(|task| self.check_call(task, || call.syscall.step()).map(|()| task));
        match checked {
            Ok(task) => self.perform(|_| Ok(task), &call.syscall, line),
            Err(error) => (Err(error.into()), Vec::new()),
        }
    }

    /// Lets the next fault for a call of a task happen, if there is one. The trace and the journal say so, which has no line for
    /// the call then. All calls are counted here, by whomever they are made.
    ///
    /// # Errors
    /// That of the fault.
    pub fn check_call(&self, task: TaskId, step: impl FnOnce() -> Step) -> Result<()> {
        if !self.faults.has_calls() {
            return Ok(());
        }
        let Step::Enter { call, args, flags } = step() else { return Ok(()) };
        let mut result = Ok(());
        let (_noted, _) = self.writer(|k, journal| -> Result<()> {
            if k.tasks.get(task).is_none_or(|task| task.is_dead()) {
                return Ok(());
            }
            let Some(met) = self.faults.check_call(k, task, call) else { return Ok(()) };
            result = met;
            if let Err(error) = &result {
                k.record_enter(task, || Step::Enter { call, args, flags });
                k.record(|_| Step::Exit { call, result: Err(error.clone()) });
            }
            let (Some(journal), Err(error)) = (journal, &result) else { return Ok(()) };
            note(journal, &format!("# {} {call} fails: {error}", number(k, task)))?;
            self.note_counts(Some(journal))
        });
        result
    }

    /// Lets process `host_pid` of the host, and those that descend from it, see with the eyes of a task. With `start` it is
    /// a process of the past: one that started at another time, or is gone, is left alone.
    ///
    /// # Errors
    /// ESRCH: there is no such process, or the task is dead; as [`Lab::set`].
    pub fn attach(
        &self,
        task: impl FnOnce(&Kernel) -> Result<TaskId>,
        host_pid: u32,
        start: Option<u64>,
    ) -> Result<()> {
        let (task, pid) = self.read(|k| task(k).map(|task| (task, number(k, task))))??;
        let setup = Setup::Attach { pid, host_pid, start: start.or_else(|| self.viewers.start(host_pid)) };
        self.set(&setup, |k| match k.tasks.get(task) {
            Some(viewer) if !viewer.is_dead() => self.viewers.attach(host_pid, task, start),
            _ => Err(err!(ESRCH, "the task is dead")),
        })
    }

    /// Does what was written to `kernel/faults`; gives what must not be answered from caches any more.
    ///
    /// # Errors
    /// Those of [`super::fault::Faults::write`]; as [`Lab::set`].
    pub fn set_faults(&self, text: &[u8]) -> Result<Uncached> {
        self.set(&Setup::Faults { text: text.to_vec() }, |k| self.faults.write(text, |nr| k.find_task(nr)))
    }
}

impl Lab {
    /// Lets the next fault for this operation happen, if there is one.
    ///
    /// Who only reads, and may be anybody, makes the journal no longer: counts are noted with the next change of the lab. That a
    /// fault has happened for the last time is noted at once, so that it does not happen again whatever becomes of the lab.
    ///
    /// # Errors
    /// Its errno.
    pub fn check_fault(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> Result<()> {
        let result = self.faults.check(op, path);
        if self.faults.has_ended() {
            self.note_faults();
        }
        result
    }

    /// The tasks that exit now that this is done. That the fault has happened is noted when they do.
    pub fn exits_by_fault(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> Vec<TaskId> {
        self.faults.exits_after(op, path)
    }

    /// Notes how often faults have happened. Who met them has met them whether that can be noted or not.
    pub fn note_faults(&self) {
        if self.faults.has_news() {
            // Whoever is the writer notes them first.
            let (_noted, _) = self.writer(|_, _| -> Result<()> { Ok(()) });
        }
    }

    /// Notes the counts of faults that changed since they were noted last.
    ///
    /// # Errors
    /// As [`Lab::set`].
    pub(super) fn note_counts(&self, journal: Option<&mut Journal>) -> Result<()> {
        self.faults.note_counts(|lines| {
            let Some(journal) = journal else { return Ok(()) };
            note(journal, &Setup::Faults { text: lines.as_bytes().to_vec() }.to_string())
        })
    }
}

fn note(journal: &mut Journal, line: &str) -> Result<()> {
    journal.reserve(line)?;
    journal.note(line, "")
}

/// The task with a number.
///
/// # Errors
/// ESRCH
pub fn find_caller(k: &Kernel, pid: i32) -> Result<TaskId> {
    k.find_task(pid).ok_or_else(|| err!(ESRCH, "no task has the number {}", pid))
}

/// The number of a task, 0 if it is gone.
fn number(k: &Kernel, task: TaskId) -> i32 {
    if k.tasks.contains(task) { k.task_nr(task) } else { 0 }
}
