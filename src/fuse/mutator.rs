//! The one thread that changes the lab. It applies a write, lets go of the state, makes the host's kernel drop what
//! became stale, and only then answers the writer: a read that starts after a write has returned shows it. The
//! session's threads only answer from the state, so whatever this thread waits for in the kernel goes on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use fuser::{ReplyEmpty, ReplyEntry, ReplyWrite};

use super::answer::{Caller, Entry, Shared, viewer};
use super::handle::{Answer, Batch, Handle, State, lock};
use super::inode::Stale;
use super::notify::Notifier;
use super::{caught, host_errno, reply_entry};
use crate::control::{self, lex::quote};
use crate::errno::{Error, Result};
use crate::journal::Journal;
use crate::kernel::change::Change;
use crate::kernel::node::Node;
use crate::kernel::{Kernel, TaskId};
use crate::script::{self, Call};
use crate::syscall::namei::{mkdir_at, rmdir_at};
use crate::syscall::write::write_open;
use crate::syscall::{Syscall, dispatch};
use crate::{bail, err};

/// Programs that write through a buffer of this many bytes, or a multiple, cut lines where it is full.
const BUFFER: usize = 4096;
/// The longest line of `ctl/batch`, in bytes.
const LINE_MAX: usize = 1 << 20;

/// A change that waits for its turn.
#[derive(Debug)]
pub(super) enum Job {
    Write(Write),
    /// Tasks have exited by `kernel/faults`: the lines of the journal for that, and what changed.
    Exited(Vec<String>, Vec<Change>),
    Mkdir(InDir, u16, ReplyEntry),
    Rmdir(InDir, ReplyEmpty),
}

/// A name in a directory, and who uses it.
#[derive(Debug)]
pub(super) struct InDir {
    pub(super) caller: Caller,
    /// The number of the directory.
    pub(super) dir: u64,
    pub(super) name: OsString,
}

/// A write to an open file.
#[derive(Debug)]
pub(super) struct Write {
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
            match job {
                Job::Write(write) => self.write(write),
                Job::Exited(lines, changes) => {
                    if let Some(journal) = &mut self.journal {
                        lines.iter().for_each(|line| journal.note(line, None));
                    }
                    self.forget(&changes);
                }
                Job::Mkdir(at, mode, reply) => match self.mkdir(&at, mode) {
                    Ok(entry) => reply_entry(reply, &entry),
                    Err(error) => reply.error(host_errno(&error)),
                },
                Job::Rmdir(at, reply) => match self.change_dir(&at, "rmdir", rmdir_at) {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(host_errno(&error)),
                },
            }
        }
    }

    fn mkdir(&mut self, at: &InDir, mode: u16) -> Result<Entry> {
        self.change_dir(at, "mkdir", |k, me, dir, name| mkdir_at(k, me, dir, name, mode))?;
        caught(|| self.shared.lookup(at.caller, at.dir, &at.name))
    }

    /// The host's kernel holds the directory until it has the answer. No change that is made here makes a name in it
    /// stale, so that nothing waits for that.
    fn change_dir(
        &mut self,
        at: &InDir,
        verb: &str,
        change: impl FnOnce(&mut Kernel, TaskId, Node, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut calls = Calls::new(&self.shared, self.journal.as_mut());
        let result = caught(|| {
            let node = calls.shared.identity(at.dir)?.node;
            let path = [&calls.shared.inodes.path(at.dir)[..], b"/", at.name.as_bytes()].concat();
            let line = |k: &Kernel| {
                let pid = viewer(k, node).map_or(0, |viewer| k.task_nr(viewer.0));
                Some(format!("{pid} {verb} {}", quote(&path)))
            };
            calls.perform(line, |k| change(k, viewer(k, node)?.0, node, at.name.as_bytes()))
        });
        let changes = calls.changes;
        self.forget(&changes);
        result
    }

    fn write(&mut self, job: Write) {
        let Write { handle, offset, length, work, reply } = job;
        if let Work::Content(bytes) = &work
            && let State::Faults(refusal) = &handle.state
        {
            return self.set_faults(bytes, offset, &mut lock(refusal), reply);
        }
        let mut calls = Calls::new(&self.shared, self.journal.as_mut());
        let outcome = caught(|| Ok(calls.apply(&handle, offset, length, work)));
        let outcome = outcome.unwrap_or_else(|error| Outcome::of(length, Err(error)));
        let Calls { changes, attached, .. } = calls;
        let mut stale = self.shared.inodes.stale(&changes, self.shared.init);
        if attached {
            stale.names = true;
        }
        self.notifier.drop_stale(&self.shared.inodes, &stale);
        self.keep_answer(&handle, offset, &outcome);
        self.forget_gone(&changes);
        let Some(reply) = reply else { return };
        match &outcome.error {
            Some(error) if outcome.written == 0 => reply.error(host_errno(error)),
            _ => reply.written(u32::try_from(outcome.written).unwrap_or(u32::MAX)),
        }
    }

    /// Makes the host's kernel and the lab itself forget what changes made stale.
    fn forget(&self, changes: &[Change]) {
        self.notifier.drop_stale(&self.shared.inodes, &self.shared.inodes.stale(changes, self.shared.init));
        self.forget_gone(changes);
    }

    fn forget_gone(&self, changes: &[Change]) {
        for change in changes {
            if let Change::Gone(task) = change {
                self.shared.results.forget(*task);
                self.shared.viewers.forget(*task);
            }
        }
    }

    /// Faults hold from the moment the write returns: nothing they are about is cached then.
    fn set_faults(&self, bytes: &[u8], offset: u64, refusal: &mut Option<Answer>, reply: Option<ReplyWrite>) {
        let outcome = self.shared.host.read(|k| {
            let find = |nr| k.find_pid_ns(nr, k.init.pid_ns).and_then(|pid| k.pids[pid].attached.task);
            self.shared.faults.write(bytes, find)
        });
        let outcome = outcome.flatten().map(|uncached| {
            uncached
                .paths
                .iter()
                .for_each(|path| self.notifier.drop_stale(&self.shared.inodes, &self.shared.inodes.stale_at(path)));
            let doomed: Vec<_> = uncached.tasks.into_iter().map(Change::Attrs).collect();
            let stale = Stale { names: true, ..self.shared.inodes.stale(&doomed, self.shared.init) };
            self.notifier.drop_stale(&self.shared.inodes, &stale);
        });
        let reason = outcome.as_ref().err().map(|error| line(error.to_string().into_bytes()));
        *refusal = reason.map(|reason| Answer::new(offset, reason.into()));
        let Some(reply) = reply else { return };
        match outcome {
            Ok(()) => reply.written(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    /// Makes the answer readable on this open file and on those that are opened later.
    fn keep_answer(&self, handle: &Handle, offset: u64, outcome: &Outcome) {
        let answer = match &handle.state {
            State::Control(answer) | State::Batch(answer, _) => answer,
            State::Content(_) | State::Stream(_) | State::Listing(_) | State::Faults(_) => return,
        };
        let text: Arc<[u8]> = outcome.answer.as_slice().into();
        self.shared.results.set(handle.file.node.place, Arc::clone(&text));
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
    /// A host process got other eyes.
    attached: bool,
}

impl<'a> Calls<'a> {
    fn new(shared: &'a Shared, journal: Option<&'a mut Journal>) -> Calls<'a> {
        Calls { shared, journal, changes: Vec::new(), attached: false }
    }

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
        if let Syscall::Attach { host_pid } = call.syscall {
            return self.attach(task, host_pid);
        }
        let pid = |k: &Kernel| if k.tasks.contains(task) { k.task_nr(task) } else { 0 };
        self.perform(|k| Some(call.script_line(pid(k))), |k| control::answer(dispatch(k, task, &call.syscall)))
    }

    /// Host processes have no place in the journal, which is to give the same lab on any host.
    fn attach(&mut self, task: TaskId, host_pid: u32) -> Result<Vec<u8>> {
        let (result, _) = self.shared.host.write(|k| match k.tasks.get(task) {
            Some(viewer) if !viewer.is_dead() => self.shared.viewers.attach(host_pid, task),
            _ => bail!(ESRCH, "the task is dead"),
        })?;
        self.attached = result.is_ok();
        result.map(|()| b"0".to_vec())
    }

    /// A write to a file below `proc` by its viewer. Only one at the start of the file is a line of the language; the
    /// others, which Linux refuses or ignores nearly everywhere, are not in the journal.
    fn content(&mut self, handle: &Handle, offset: u64, bytes: &[u8]) -> Result<usize> {
        let position = if handle.appends { 0 } else { offset };
        let path = self.shared.inodes.path(handle.ino);
        let line = |k: &Kernel| {
            let pid = viewer(k, handle.file.node).map_or(0, |viewer| k.task_nr(viewer.0));
            (position == 0).then(|| format!("{pid} write {} {}", quote(&path), quote(bytes)))
        };
        self.perform(line, |k| write_open(k, viewer(k, handle.file.node)?.0, &handle.file, position, bytes))
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
        if let Syscall::Attach { host_pid } = call.syscall {
            let found = self.shared.host.read(|k| k.find_task(pid))?;
            return self.attach(found.ok_or_else(|| err!(ESRCH, "no task has the number {}", pid))?, host_pid);
        }
        self.perform(|_| Some(call.script_line(pid)), |kernel| kernel.call(pid, call))
    }
}
