//! The one thread that changes the lab. It applies a write, lets go of the state, makes the host's kernel drop what
//! became stale, and only then answers the writer: a read that starts after a write has returned shows it. The
//! session's threads only answer from the state, so whatever this thread waits for in the kernel goes on.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use fuser::ReplyWrite;

use super::answer::{Shared, viewer};
use super::handle::{Answer, Batch, Handle, State, lock};
use super::notify::Notifier;
use super::{caught, host_errno};
use crate::control::lex::quote;
use crate::err;
use crate::errno::{Error, Result};
use crate::journal::Journal;
use crate::kernel::change::Change;
use crate::kernel::{Kernel, TaskId};
use crate::script::{self, Call};
use crate::syscall::write::write_node;
use crate::syscall::{Return, dispatch};

/// Programs that write through a buffer of this many bytes, or a multiple, cut lines where it is full.
const BUFFER: usize = 4096;
/// The longest line of `ctl/batch`, in bytes.
const LINE_MAX: usize = 1 << 20;

/// A write that waits for its turn.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) handle: Arc<Handle>,
    pub(super) offset: u64,
    pub(super) length: usize,
    pub(super) work: Work,
    /// `None` when nobody waits for the result.
    pub(super) reply: Option<ReplyWrite>,
}

#[derive(Debug)]
pub(super) enum Work {
    /// A control file's call, or why what was written is none.
    Call(TaskId, Result<Call>),
    /// Lines for `ctl/batch`.
    Lines(Vec<u8>),
    /// Bytes for a file below `proc`.
    Content(Vec<u8>),
}

/// What a write did: how many bytes of it, the text that a read then gives, the error if there was one.
struct Outcome {
    written: usize,
    answer: Vec<u8>,
    error: Option<Error>,
}

/// What the mutator needs to work.
#[derive(Debug)]
pub(super) struct Mutator {
    shared: Arc<Shared>,
    notifier: Notifier,
    journal: Option<Journal>,
}

impl Mutator {
    pub(super) fn new(shared: Arc<Shared>, notifier: Notifier, journal: Option<Journal>) -> Mutator {
        Mutator { shared, notifier, journal }
    }

    /// Works until the last sender of jobs is gone.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            self.perform(job);
        }
    }

    fn perform(&mut self, job: Job) {
        let Job { handle, offset, length, work, reply } = job;
        let mut calls = Calls { shared: &self.shared, journal: self.journal.as_mut(), changes: Vec::new() };
        let outcome = caught(|| Ok(calls.apply(&handle, offset, length, work)));
        let outcome = outcome.unwrap_or_else(|error| Outcome::of(length, Err(error)));
        let changes = calls.changes;
        self.notifier.drop_stale(&self.shared.inodes.stale(&changes, self.shared.init));
        self.keep_answer(&handle, offset, &outcome);
        for change in &changes {
            if let Change::Gone(task) = change {
                self.shared.results.forget(*task);
            }
        }
        let Some(reply) = reply else { return };
        match &outcome.error {
            Some(error) if outcome.written == 0 => reply.error(host_errno(error)),
            _ => reply.written(u32::try_from(outcome.written).unwrap_or(u32::MAX)),
        }
    }

    /// Makes the answer readable on this open file and on those that are opened later.
    fn keep_answer(&self, handle: &Handle, offset: u64, outcome: &Outcome) {
        let answer = match &handle.state {
            State::Control(answer) | State::Batch(answer, _) => answer,
            State::Content(_) | State::Listing(_) => return,
        };
        let text: Arc<[u8]> = outcome.answer.as_slice().into();
        self.shared.results.set(handle.node.place, Arc::clone(&text));
        *lock(answer) = Answer::new(offset + outcome.written as u64, text);
    }
}

impl Outcome {
    /// Of a write that is done whole or not at all.
    fn of(length: usize, result: Result<Vec<u8>>) -> Outcome {
        match result {
            Ok(answer) => Outcome { written: length, answer: line(answer), error: None },
            Err(error) => Outcome { written: 0, answer: line(error.to_string().into_bytes()), error: Some(error) },
        }
    }
}

fn line(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    text
}

/// Calls on the shared kernel, and all that they changed.
struct Calls<'a> {
    shared: &'a Shared,
    journal: Option<&'a mut Journal>,
    changes: Vec<Change>,
}

impl Calls<'_> {
    fn apply(&mut self, handle: &Handle, offset: u64, length: usize, work: Work) -> Outcome {
        match (work, &handle.state) {
            (Work::Lines(bytes), State::Batch(_, batch)) => self.lines(&mut lock(batch), &bytes),
            (Work::Call(task, call), _) => Outcome::of(length, call.and_then(|call| self.control(task, &call))),
            (Work::Content(bytes) | Work::Lines(bytes), _) => match self.content(handle, offset, &bytes) {
                Ok(written) => Outcome { written, answer: Vec::new(), error: None },
                Err(error) => Outcome::of(length, Err(error)),
            },
        }
    }

    /// A call of the task a control file belongs to.
    fn control(&mut self, task: TaskId, call: &Call) -> Result<Vec<u8>> {
        let pid = |k: &Kernel| if k.tasks.contains(task) { k.task_nr(task) } else { 0 };
        self.perform(|k| Some(call.script_line(pid(k))), |k| dispatch(k, task, &call.syscall)).map(Return::into_bytes)
    }

    /// A write to a file below `proc` by its viewer. Only one at the start of the file is a line of the language; the
    /// others, which Linux refuses or ignores nearly everywhere, are not in the journal.
    fn content(&mut self, handle: &Handle, offset: u64, bytes: &[u8]) -> Result<usize> {
        let position = if handle.appends { 0 } else { offset };
        let path = self.shared.inodes.path(handle.ino);
        let line = |k: &Kernel| {
            let pid = viewer(k, handle.node).map_or(0, |viewer| k.task_nr(viewer.0));
            (position == 0).then(|| format!("{pid} write {} {}", quote(&path), quote(bytes)))
        };
        self.perform(line, |k| write_node(k, viewer(k, handle.node)?.0, handle.node, position, bytes))
    }

    /// Makes one call; `line` is what the journal notes of it.
    fn perform<T>(
        &mut self,
        line: impl FnOnce(&Kernel) -> Option<String>,
        call: impl FnOnce(&mut Kernel) -> Result<T>,
    ) -> Result<T> {
        let Some(journal) = &mut self.journal else {
            let (result, changes) = self.shared.host.write(call)?;
            self.changes.extend(changes);
            return result;
        };
        journal.check()?;
        let ((line, result), changes) = self.shared.host.write(|k| (line(k), call(k)))?;
        if let Some(line) = line {
            journal.note(&line, result.as_ref().err());
        }
        self.changes.extend(changes);
        result
    }

    /// Executes the whole lines of what was written so far. A last line without its end is one too, unless the writer
    /// seems to have been cut by a full buffer.
    fn lines(&mut self, batch: &mut Batch, bytes: &[u8]) -> Outcome {
        let held = batch.tail.len();
        let mut text = std::mem::take(&mut batch.tail);
        text.extend(bytes);
        if bytes.len().is_multiple_of(BUFFER) {
            let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            batch.tail = text.split_off(end);
        }
        if batch.tail.len() > LINE_MAX {
            batch.tail.clear();
            return Outcome::of(0, Err(err!(E2BIG, "a line of more than {} bytes", LINE_MAX)));
        }
        match batch.session.batch(self, &text) {
            (_, Ok(answer)) => Outcome { written: bytes.len(), ..Outcome::of(0, Ok(answer)) },
            (done, Err(error)) => {
                batch.tail.clear();
                Outcome { written: done.saturating_sub(held), ..Outcome::of(0, Err(error)) }
            }
        }
    }
}

impl script::Lab for Calls<'_> {
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        self.perform(|_| Some(call.script_line(pid)), |kernel| kernel.call(pid, call))
    }
}
