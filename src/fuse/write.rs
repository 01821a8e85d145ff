//! What writes to open files, and making and removing directories, do to the lab. All is done by the thread that was
//! asked; what the host's kernel keeps that became stale goes to the [notifier](super::notify), with what is to be done
//! when it is dropped.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::answer::{Caller, Connection, Entry, Shared, viewer};
use super::bounds::BUFFER;
use super::handle::{Answer, Batch, Handle, State, lock};
use super::inode::{Inodes, Stale};
use crate::control::{self, VERBS};
use crate::errno::{Error, Result};
use crate::host::fault::Op;
use crate::host::{Lab, find_caller};
use crate::kernel::change::Change;
use crate::kernel::file::Bound;
use crate::kernel::node::{Node, View};
use crate::kernel::{Kernel, TaskId};
use crate::script::{Call, Machine, Opened, Setup, setup};
use crate::syscall::{AnyCall, LabCall, Maker, Outcome, Return};
use crate::{bail, err};

/// The longest line of `ctl/batch`, in bytes.
const LINE_MAX: usize = 1 << 20;

/// What a write did: how many bytes of it, the text that a read then gives, the error if there was one.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) written: usize,
    answer: Vec<u8>,
    pub(super) error: Option<Error>,
}

impl Written {
    /// Of a write that is done whole or not at all.
    fn of(length: usize, result: Result<Vec<u8>>) -> Written {
        match result {
            Ok(answer) => Written { written: length, answer: line(answer), error: None },
            Err(error) => Written { written: 0, answer: line(error.to_string().into_bytes()), error: Some(error) },
        }
    }
}

fn line(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    text
}

impl Connection {
    /// Does what was written to an open file, and makes the answer readable on it and on those that are opened later.
    pub(super) fn write(&self, handle: &Handle, offset: u64, bytes: &[u8]) -> Written {
        let mut calls = Calls { connection: self };
        let outcome = match &handle.state {
            State::Faults(refusal) => {
                let outcome = Written::of(bytes.len(), calls.faults(bytes).map(|()| Vec::new()));
                let reason = outcome.error.as_ref().map(|_| Answer::new(offset, outcome.answer.as_slice().into()));
                *lock(refusal) = reason;
                return outcome;
            }
            State::Batch(_, batch) => calls.lines(&mut lock(batch), bytes, handle.may_write),
            State::Control { task, row, .. } => {
                let call = Call::from_write(&VERBS[usize::from(*row)], bytes);
                Written::of(bytes.len(), call.and_then(|call| calls.by(|_| Ok(*task), &call)))
            }
            State::Version { .. } | State::Content(_) | State::Stream(_) | State::Listing(_) => {
                calls.content(handle, offset, bytes)
            }
        };
        if let State::Control { answer, .. } | State::Batch(answer, _) = &handle.state {
            let text: Arc<[u8]> = outcome.answer.as_slice().into();
            // Not for a task that is gone by this very call.
            if handle
                .file
                .node
                .task()
                .is_none_or(|task| self.shared.lab.read(|k| k.tasks.contains(task)).unwrap_or(false))
            {
                self.shared.results.set(handle.file.node.place, Arc::clone(&text));
            }
            *lock(answer) = Answer::new(offset + outcome.written as u64, text);
        }
        outcome
    }

    /// Makes a directory of a mode.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) fn mkdir(&self, caller: Caller, parent: u64, name: &OsStr, mode: u16) -> Result<Entry> {
        let make = |dir| LabCall::MkdirAt { dir, name: name.as_bytes().to_vec(), mode };
        self.change_dir(parent, name, make, |path| Setup::Mkdir { path, mode })?;
        self.lookup(caller, parent, name)
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) fn rmdir(&self, parent: u64, name: &OsStr) -> Result<()> {
        let remove = |dir| LabCall::RmdirAt { dir, name: name.as_bytes().to_vec() };
        self.change_dir(parent, name, remove, |path| Setup::Rmdir { path })
    }

    fn change_dir(
        &self,
        parent: u64,
        name: &OsStr,
        call: impl FnOnce(Node) -> LabCall,
        setup: impl FnOnce(Vec<u8>) -> Setup,
    ) -> Result<()> {
        let mut calls = Calls { connection: self };
        let result = self.identity(parent).and_then(|identity| {
            let dir = identity.node;
            let path = [&self.path_of(dir, parent)[..], b"/", name.as_bytes()].concat();
            let setup = setup(path.clone());
            let caller = |k: &Kernel| {
                if setup::parent(k, &path).is_ok_and(|there| there.place != dir.place) {
                    bail!(ENOENT, "the directory has been removed, and another one made in its place");
                }
                viewer(k, dir).map(|viewer| viewer.task)
            };
            control::answer(calls.perform(caller, &call(dir).into(), |_| setup.to_string()))
        });
        result.map(drop)
    }

    /// Lets those tasks exit that are to do so after this operation.
    ///
    /// # Errors
    /// EIO: what was done could not be noted.
    pub(super) fn exits_after(&self, op: Op, ino: u64) -> Result<()> {
        let tasks = self.shared.lab.exits_by_fault(op, || self.inodes.full_path(ino));
        if tasks.is_empty() {
            return Ok(());
        }
        let mut calls = Calls { connection: self };
        let exit = Call::new("exit", Vec::new())?;
        for task in tasks {
            let live = |k: &Kernel| match k.tasks.get(task) {
                Some(found) if !found.is_dead() => Ok(task),
                _ => Err(err!(ESRCH, "the task is dead")),
            };
            // Who asked gets an answer whether the task could exit or not.
            let _ = calls.by(live, &exit);
        }
        self.shared.lab.settle()
    }

    /// A file's path from the top of the lab, `as/<pid>` in front where it is seen with the eyes of a task.
    fn path_of(&self, node: Node, ino: u64) -> Vec<u8> {
        let path = self.inodes.path(ino);
        let nr = |task| self.shared.lab.read(|k| if k.tasks.contains(task) { k.task_nr(task) } else { 0 }).unwrap_or(0);
        match node.view.viewer() {
            Some(task) => [format!("as/{}/", nr(task)).as_bytes(), &path].concat(),
            None => path,
        }
    }
}

impl Shared {
    /// Makes a call; the lab itself forgets what it made stale, and the host's kernel has to.
    pub(super) fn change<T>(&self, call: impl FnOnce(&Lab) -> (T, Vec<Change>)) -> T {
        let Shared { lab, notices, init, results, .. } = self;
        let done = notices.change(|| {
            let (result, changes) = call(lab);
            for change in &changes {
                if let Change::Gone(task) = change {
                    results.forget(*task);
                    lab.viewers.forget(*task);
                }
            }
            (result, move |inodes: &Inodes| inodes.stale(&changes, *init))
        });
        self.ring_pollers();
        done
    }
}

/// Calls on the lab. What they make stale is on its way to the notifier when they return.
struct Calls<'a> {
    connection: &'a Connection,
}

impl Calls<'_> {
    /// A call in words, by the task that `caller` finds.
    fn by(&mut self, caller: impl FnOnce(&Kernel) -> Result<TaskId>, call: &Call) -> Result<Vec<u8>> {
        let caller = |k: &Kernel| caller(k).and_then(|task| check_hand(k, task, call).map(|()| task));
        match call.syscall.maker() {
            Maker::File(reason) => bail!(EINVAL, "{}", reason),
            Maker::Server(host_pid) => self.attach(caller, host_pid),
            Maker::Anyone => control::answer(self.connection.shared.change(|lab| lab.call(caller, call))),
        }
    }

    fn perform(
        &mut self,
        caller: impl FnOnce(&Kernel) -> Result<TaskId>,
        call: &AnyCall,
        line: impl FnOnce(&Kernel) -> String,
    ) -> Outcome {
        self.connection.shared.change(|lab| lab.perform(caller, call, |k, _| line(k)))
    }

    fn attach(&mut self, task: impl FnOnce(&Kernel) -> Result<TaskId>, host_pid: u32) -> Result<Vec<u8>> {
        let names = |_: &Inodes| Stale { names: true, ..Stale::default() };
        self.connection.shared.notices.change(|| (self.connection.shared.lab.attach(task, host_pid, None), names))?;
        Ok(b"0".to_vec())
    }

    /// A write to a file below `proc` or `cgroup`.
    fn content(&mut self, handle: &Handle, offset: u64, bytes: &[u8]) -> Written {
        let (file, pos) = (&handle.file, if handle.appends { 0 } else { offset });
        let path = self.connection.path_of(file.node, handle.ino);
        let call = LabCall::WriteAt { file: file.clone(), pos, bytes: bytes.to_vec() }.into();
        let line = |k: &Kernel| {
            let again = setup::open(k, &path).is_ok_and(|again| is_same(&again, file));
            let opened = (!again).then_some(Opened { line: handle.opened, file: None });
            Setup::Write { path, opened, pos, bytes: bytes.to_vec() }.to_string()
        };
        let caller = |k: &Kernel| viewer(k, file.node).map(|viewer| viewer.task);
        match self.perform(caller, &call, line) {
            Ok(Return::Num(written)) => {
                Written { written: usize::try_from(written).unwrap_or(0), answer: Vec::new(), error: None }
            }
            Ok(_) => Written { written: bytes.len(), answer: Vec::new(), error: None },
            Err(stop) => Written::of(bytes.len(), Err(stop.error().clone())),
        }
    }

    /// Faults hold from the moment the write returns: nothing they are about is cached then.
    fn faults(&mut self, bytes: &[u8]) -> Result<()> {
        let Shared { lab, notices, init, .. } = &*self.connection.shared;
        notices.change(|| {
            let (result, uncached) = match lab.set_faults(bytes) {
                Ok(uncached) => (Ok(()), Some(uncached)),
                Err(error) => (Err(error), None),
            };
            let stale = move |inodes: &Inodes| {
                let Some(uncached) = &uncached else { return Stale::default() };
                let doomed: Vec<_> = uncached.tasks.iter().copied().map(Change::Attrs).collect();
                let mut stale = Stale { names: true, ..inodes.stale(&doomed, *init) };
                uncached.paths.iter().for_each(|path| stale.extend(inodes.stale_at(path)));
                stale
            };
            (result, stale)
        })
    }

    /// Executes the whole lines of what was written so far. A last line without its end is one too, unless the writer
    /// seems to have been cut by a full buffer. Of a long text the start is taken, which the writer is told.
    fn lines(&mut self, batch: &mut Batch, bytes: &[u8], may_write: bool) -> Written {
        let end = usize::try_from(self.connection.shared.bounds.batch).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = &bytes[..end];
        let held = batch.tail.len();
        let mut text = std::mem::take(&mut batch.tail);
        text.extend(bytes);
        if bytes.len().is_multiple_of(BUFFER as usize) {
            let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            batch.tail = text.split_off(end);
        }
        if batch.tail.len() > LINE_MAX {
            batch.tail.clear();
            return Written::of(0, Err(err!(E2BIG, "a line of more than {} bytes", LINE_MAX)));
        }
        batch.charge = None;
        match self.connection.purse(may_write).charge(batch.tail.len()) {
            Ok(charge) => batch.charge = Some(charge),
            Err(error) => {
                batch.tail.clear();
                return Written::of(0, Err(error));
            }
        }
        match batch.session.batch(self, &text) {
            (_, Ok(answer)) => Written { written: bytes.len(), ..Written::of(0, Ok(answer)) },
            (done, Err(error)) => {
                batch.tail.clear();
                Written { written: done.saturating_sub(held), ..Written::of(0, Err(error)) }
            }
        }
    }
}

/// What only its own process does, where the task is a real one: it has the descriptors and the memory.
const OF_PROCESS: [&str; 4] = ["open", "close", "dup", "exec"];

/// Whether somebody else may make a task do this.
///
/// # Errors
/// EBUSY: it is a real process.
fn check_hand(k: &Kernel, task: TaskId, call: &Call) -> Result<()> {
    if k.is_program(task) && OF_PROCESS.contains(&call.verb.name) {
        bail!(EBUSY, "pid {} is a real process: its descriptors and its memory are its own", k.task_nr(task));
    }
    Ok(())
}

/// Whether a file that is opened now would be the same as one that is open. A path has no word for who is attached to a
/// task: below `as/<pid>` it is seen with the same eyes.
fn is_same(now: &Bound, open: &Bound) -> bool {
    let view = match open.node.view {
        View::Attached(task) => View::As(task),
        view => view,
    };
    *now == Bound { node: Node { view, ..open.node }, ..open.clone() }
}

impl Machine for Calls<'_> {
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        self.by(|k| find_caller(k, pid), call)
    }
}
