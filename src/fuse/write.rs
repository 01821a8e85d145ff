//! What writes to open files, and making and removing directories, do to the lab. All is done by the thread that was
//! asked; what the host's kernel keeps that became stale goes to the [notifier](super::notify), with what is to be done
//! when it is dropped.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::answer::{Caller, Entry, Shared, viewer};
use super::handle::{Answer, Batch, Handle, State, lock};
use super::inode::Stale;
use crate::control::{self, VERBS};
use crate::err;
use crate::errno::{Error, Result};
use crate::host::fault::Op;
use crate::host::find_caller;
use crate::kernel::change::Change;
use crate::kernel::file::Bound;
use crate::kernel::node::{Node, View};
use crate::kernel::{Kernel, TaskId};
use crate::lab::Control;
use crate::script::{Call, Machine, Opened, Setup, setup};
use crate::syscall::host::HostCall;
use crate::syscall::{Outcome, Return, Syscall};

/// Programs that write through a buffer of this many bytes, or a multiple, cut lines where it is full.
const BUFFER: usize = 4096;
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

impl Shared {
    /// Does what was written to an open file, and makes the answer readable on it and on those that are opened later.
    pub(super) fn write(&self, handle: &Handle, offset: u64, bytes: &[u8]) -> (Written, Stale) {
        let mut calls = Calls { shared: self, stale: Stale::default() };
        let outcome = match (&handle.state, Control::of(handle.file.node.place)) {
            (State::Faults(refusal), _) => {
                let outcome = Written::of(bytes.len(), calls.faults(bytes).map(|()| Vec::new()));
                let reason = outcome.error.as_ref().map(|_| Answer::new(offset, outcome.answer.as_slice().into()));
                *lock(refusal) = reason;
                return (outcome, calls.stale);
            }
            (State::Batch(_, batch), _) => calls.lines(&mut lock(batch), bytes),
            (State::Control(_), Some(Control::Verb(task, row))) => {
                let call = Call::from_write(&VERBS[usize::from(row)], bytes);
                Written::of(bytes.len(), call.and_then(|call| calls.control(task, &call)))
            }
            _ => calls.content(handle, offset, bytes),
        };
        if let State::Control(answer) | State::Batch(answer, _) = &handle.state {
            let text: Arc<[u8]> = outcome.answer.as_slice().into();
            // Not for a task that is gone by this very call.
            if handle.file.node.task().is_none_or(|task| self.lab.read(|k| k.tasks.contains(task)).unwrap_or(false)) {
                self.results.set(handle.file.node.place, Arc::clone(&text));
            }
            *lock(answer) = Answer::new(offset + outcome.written as u64, text);
        }
        (outcome, calls.stale)
    }

    /// Makes a directory of a mode.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) fn mkdir(&self, caller: Caller, parent: u64, name: &OsStr, mode: u16) -> (Result<Entry>, Stale) {
        let make = |dir| HostCall::MkdirAt { dir, name: name.as_bytes().to_vec(), mode };
        let (made, stale) = self.change_dir(parent, name, make, |path| Setup::Mkdir { path, mode });
        (made.and_then(|()| self.lookup(caller, parent, name)), stale)
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) fn rmdir(&self, parent: u64, name: &OsStr) -> (Result<()>, Stale) {
        let remove = |dir| HostCall::RmdirAt { dir, name: name.as_bytes().to_vec() };
        self.change_dir(parent, name, remove, |path| Setup::Rmdir { path })
    }

    fn change_dir(
        &self,
        parent: u64,
        name: &OsStr,
        call: impl FnOnce(Node) -> HostCall,
        setup: impl FnOnce(Vec<u8>) -> Setup,
    ) -> (Result<()>, Stale) {
        let mut calls = Calls { shared: self, stale: Stale::default() };
        let result = self.identity(parent).and_then(|identity| {
            let dir = identity.node;
            let path = [&self.path_of(dir, parent)[..], b"/", name.as_bytes()].concat();
            let setup = setup(path);
            let caller = |k: &Kernel| match setup.host_call(k) {
                Ok((_, HostCall::MkdirAt { dir: there, .. } | HostCall::RmdirAt { dir: there, .. }))
                    if there.place != dir.place =>
                {
                    Err(err!(ENOENT, "the directory has been removed, and another one made in its place"))
                }
                _ => viewer(k, dir).map(|viewer| viewer.0),
            };
            control::answer(calls.perform(caller, &Syscall::Host(call(dir)), |_| setup.to_string()))
        });
        (result.map(drop), calls.stale)
    }

    /// Lets those tasks exit that are to do so after this operation; `None`: there are none.
    pub(super) fn exits_after(&self, op: Op, ino: u64) -> Option<Stale> {
        let tasks = self.lab.faults.exits_after(op, || self.inodes.full_path(ino));
        if tasks.is_empty() {
            return None;
        }
        let mut calls = Calls { shared: self, stale: Stale::default() };
        let exit = Call::new("exit", Vec::new()).ok()?;
        for task in tasks {
            let live = |k: &Kernel| match k.tasks.get(task) {
                Some(found) if !found.is_dead() => Ok(task),
                _ => Err(err!(ESRCH, "the task is dead")),
            };
            // Who asked gets an answer whether the task could exit or not.
            let _ = calls.by(live, &exit);
        }
        Some(calls.stale)
    }

    /// A file's path from the top of the lab, `as/<pid>` in front where it is seen with the eyes of a task.
    fn path_of(&self, node: Node, ino: u64) -> Vec<u8> {
        let path = self.inodes.path(ino);
        let nr = |task| self.lab.read(|k| if k.tasks.contains(task) { k.task_nr(task) } else { 0 }).unwrap_or(0);
        match node.view.viewer() {
            Some(task) => [format!("as/{}/", nr(task)).as_bytes(), &path].concat(),
            None => path,
        }
    }
}

/// Calls on the lab, and what they made stale.
struct Calls<'a> {
    shared: &'a Shared,
    stale: Stale,
}

impl Calls<'_> {
    /// A call of the task a control file belongs to.
    fn control(&mut self, task: TaskId, call: &Call) -> Result<Vec<u8>> {
        match call.syscall {
            Syscall::Attach { host_pid } => self.attach(|_| Ok(task), host_pid),
            _ => self.by(|_| Ok(task), call),
        }
    }

    fn by(&mut self, caller: impl FnOnce(&Kernel) -> Result<TaskId>, call: &Call) -> Result<Vec<u8>> {
        let (result, changes) = self.shared.lab.call(caller, call);
        self.forget(&changes);
        control::answer(result)
    }

    fn perform(
        &mut self,
        caller: impl FnOnce(&Kernel) -> Result<TaskId>,
        call: &Syscall,
        line: impl FnOnce(&Kernel) -> String,
    ) -> Outcome {
        let (result, changes) = self.shared.lab.perform(caller, call, |k, _| line(k));
        self.forget(&changes);
        result
    }

    fn attach(&mut self, task: impl FnOnce(&Kernel) -> Result<TaskId>, host_pid: u32) -> Result<Vec<u8>> {
        self.shared.lab.attach(task, host_pid, None)?;
        self.stale.names = true;
        Ok(b"0".to_vec())
    }

    /// A write to a file below `proc` or `cgroup`.
    fn content(&mut self, handle: &Handle, offset: u64, bytes: &[u8]) -> Written {
        let (file, pos) = (&handle.file, if handle.appends { 0 } else { offset });
        let path = self.shared.path_of(file.node, handle.ino);
        let call = Syscall::Host(HostCall::WriteAt { file: file.clone(), pos, bytes: bytes.to_vec() });
        let line = |k: &Kernel| {
            let again = setup::open(k, &path).is_ok_and(|again| is_same(&again, file));
            let opened = (!again).then_some(Opened { line: handle.opened, file: None });
            Setup::Write { path, opened, pos, bytes: bytes.to_vec() }.to_string()
        };
        let caller = |k: &Kernel| viewer(k, file.node).map(|viewer| viewer.0);
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
        let uncached = self.shared.lab.set_faults(bytes)?;
        for path in &uncached.paths {
            self.stale.extend(self.shared.inodes.stale_at(path));
        }
        let doomed: Vec<_> = uncached.tasks.into_iter().map(Change::Attrs).collect();
        self.stale.extend(Stale { names: true, ..self.shared.inodes.stale(&doomed, self.shared.init) });
        Ok(())
    }

    /// Makes the lab itself forget what changes made stale, and notes what the host's kernel has to.
    fn forget(&mut self, changes: &[Change]) {
        self.stale.extend(self.shared.inodes.stale(changes, self.shared.init));
        for change in changes {
            if let Change::Gone(task) = change {
                self.shared.results.forget(*task);
                self.shared.lab.viewers.forget(*task);
            }
        }
    }

    /// Executes the whole lines of what was written so far. A last line without its end is one too, unless the writer
    /// seems to have been cut by a full buffer.
    fn lines(&mut self, batch: &mut Batch, bytes: &[u8]) -> Written {
        let held = batch.tail.len();
        let mut text = std::mem::take(&mut batch.tail);
        text.extend(bytes);
        if bytes.len().is_multiple_of(BUFFER) {
            let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            batch.tail = text.split_off(end);
        }
        if batch.tail.len() > LINE_MAX {
            batch.tail.clear();
            return Written::of(0, Err(err!(E2BIG, "a line of more than {} bytes", LINE_MAX)));
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
        match call.syscall {
            Syscall::Attach { host_pid } => self.attach(|k| find_caller(k, pid), host_pid),
            _ => self.by(|k| find_caller(k, pid), call),
        }
    }
}
