//! What an open decides: who may, what is meant, and whether reads ask the lab or the host's pages.

use std::sync::{Arc, Mutex};

use fuser::{AccessFlags, FopenFlags};

use super::answer::{Caller, Connection, Shared, viewer};
use super::handle::{Answer, Handle, Pin, State};
use super::inode::Identity;
use super::poll::{Seen, polled_at};
use super::text;
use crate::control;
use crate::errno::Result;
use crate::host::fault::Op;
use crate::kernel::file::{Bound, OpenFlags};
use crate::kernel::node::{Node, View};
use crate::kernel::{Kernel, TaskId};
use crate::lab::{self, FILES};
use crate::syscall::LabCall;
use crate::syscall::program::Program;
use crate::tree::{self, Content, DirUse, FileType, Special, Viewer};
use crate::{bail, err};

impl Connection {
    /// Opens a file for `caller`, as the viewer; the number is of the lines that the journal had then.
    ///
    /// # Errors
    /// EACCES: the caller may not write here, or the viewer may not open the file.
    fn bind(&self, caller: Caller, node: Node, flags: OpenFlags) -> Result<(Bound, u64)> {
        if flags.contains(OpenFlags::WRITE) {
            self.check_writer(caller)?;
        }
        // A program is a task, which may change the files of its own tree.
        let queue = FILES.ask(node.place, |file| file.queue());
        let open = match self.is_program(caller) {
            // The lab has let it open this queue.
            true if queue.is_some_and(|queue| self.shared.lab.programs.opens(caller.tid, queue)) => tree::bind,
            true => tree::open,
            false => lab::open,
        };
        self.shared.lab.read(|k| Ok((open(k, viewer(k, node)?, node, flags)?, self.shared.lab.noted())))?
    }

    /// Whether who asks is a real process that is a task of the lab.
    pub(super) fn is_program(&self, caller: Caller) -> bool {
        self.shared.lab.programs.task(caller.tid).is_some()
    }

    /// access(2): what the viewer and the caller may both do.
    ///
    /// # Errors
    /// As [`Connection::bind`].
    pub(super) fn access(&self, caller: Caller, ino: u64, mask: AccessFlags) -> Result<()> {
        let mut flags = OpenFlags::empty();
        flags.set(OpenFlags::READ, mask.contains(AccessFlags::R_OK));
        flags.set(OpenFlags::WRITE, mask.contains(AccessFlags::W_OK));
        let node = self.node(ino)?;
        if mask.contains(AccessFlags::X_OK) {
            self.shared.lab.read(|k| check_executes(k, node, self.shared.lab.programs.task(caller.tid)))??;
        }
        if flags.is_empty() { Ok(()) } else { self.bind(caller, node, flags).map(drop) }
    }

    /// Opens a file for `caller`; gives the handle's number and how the host's kernel reads it.
    ///
    /// # Errors
    /// EINVAL: O_DIRECT. As [`Connection::bind`], [`Connection::version`] and [`Handles::insert`](super::handle::Handles::insert).
    pub(super) fn open(&self, caller: Caller, ino: u64, flags: i32) -> Result<(u64, FopenFlags)> {
        let Identity { node, version } = self.identity(ino)?;
        self.shared.lab.check_fault(Op::Open, || self.inodes.full_path(ino))?;
        let (file, opened) = self.bind(caller, node, open_flags(flags))?;
        if flags & libc::O_DIRECT != 0 && node.path().is_none() {
            bail!(EINVAL, "no file of this kind is read past the cache");
        }
        let answer = || Mutex::new(Answer::new(0, self.shared.results.get(node.place)));
        let is_read = flags & libc::O_ACCMODE == libc::O_RDONLY;
        let state = match FILES.special(node) {
            Some(Special::Call(task, row)) => State::Control { task, row, answer: answer() },
            Some(Special::Batch) => State::Batch(answer(), Mutex::default()),
            Some(Special::Faults) => State::Faults(Mutex::default()),
            Some(Special::Trace) => State::Stream(Mutex::default()),
            None => match self.version(&file, ino, if is_read { version } else { 0 })? {
                Some(text) => State::Version { _charge: self.purse(self.may_write(caller)).charge(text.len())?, text },
                None => State::Content(Mutex::default()),
            },
        };
        let how = match state {
            // The host's kernel asks for no byte of a file without any, and what is empty may be an error later.
            State::Version { ref text, .. }
                if !text.is_empty() || !FILES.ask(node.place, |file| file.fails_when_gone()) =>
            {
                FopenFlags::FOPEN_KEEP_CACHE
            }
            _ if FILES.is_unseekable(node) => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NONSEEKABLE,
            _ => FopenFlags::FOPEN_DIRECT_IO,
        };
        // Whether a descriptor is closed that is not the last one concerns queues alone.
        let is_queue = FILES.ask(node.place, |file| file.queue()).is_some();
        let how = if is_queue { how } else { how | FopenFlags::FOPEN_NOFLUSH };
        let (uid, may_write) = (caller.uid, self.may_write(caller));
        let seen = match state {
            State::Version { .. } | State::Content(_) => {
                self.shared.lab.read(|k| polled_at(k, &file))?.map_or_else(|_| Seen::default(), Seen::at_open)
            }
            // They are always ready.
            State::Control { .. } | State::Batch(..) | State::Faults(_) | State::Stream(_) | State::Listing(_) => {
                Seen::default()
            }
        };
        let appends = flags & libc::O_APPEND != 0;
        let pin = if self.is_program(caller) { self.shared.pin(node)? } else { None };
        // A queue is there for all who have it open, also when who has opened it is gone.
        let file = match pin {
            Some(Pin::Queue(_)) => Bound { node: Node { view: View::Caller, ..file.node }, ..file },
            Some(Pin::Ns(..)) | None => file,
        };
        Ok((
            self.shared.handles.insert(Handle {
                mount: Arc::clone(&self.notifier),
                ino,
                file,
                opened,
                appends,
                uid,
                may_write,
                state,
                seen,
                pin,
            })?,
            how,
        ))
    }

    /// The text of the version of a file that is opened; `None` if it is read as it is then.
    ///
    /// # Errors
    /// ESTALE: it was not kept, and is another by now. The host's kernel looks the name up once more.
    fn version(&self, file: &Bound, ino: u64, version: u64) -> Result<Option<Arc<[u8]>>> {
        let node = file.node;
        if version == 0 || FILES.content(node) != Content::Version || self.has_fault(node, ino) {
            return Ok(None);
        }
        if let Some(text) = self.inodes.text(ino) {
            return Ok(Some(text));
        }
        let text = self.shared.lab.read(|k| tree::read_open(k, viewer(k, file.node)?, file))??;
        if text::version(&text) != version {
            bail!(ESTALE, "this file reads as another text by now");
        }
        Ok(Some(text.into()))
    }

    /// Whether anything is to go wrong with a file: then nobody else may answer for it.
    pub(super) fn has_fault(&self, node: Node, ino: u64) -> bool {
        self.shared.lab.faults.is_active(node.task(), || self.inodes.full_path(ino))
    }

    /// The same of a directory.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(super) fn opendir(&self, caller: Caller, ino: u64) -> Result<(u64, FopenFlags)> {
        let node = self.node_for(caller, ino)?;
        self.shared.lab.check_fault(Op::Open, || self.inodes.full_path(ino))?;
        let (file, opened) = self.bind(caller, node, OpenFlags::READ | OpenFlags::DIRECTORY)?;
        let is_dead = |k: &Kernel| node.task().is_some_and(|task| k.tasks.get(task).is_none_or(|task| task.is_dead()));
        let how = if FILES.keeps_names(node) && !self.has_fault(node, ino) && !self.shared.lab.read(is_dead)? {
            FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE
        } else {
            FopenFlags::empty()
        };
        let (uid, may_write) = (caller.uid, self.may_write(caller));
        let (state, seen) = (State::Listing(Mutex::default()), Seen::default());
        Ok((
            self.shared.handles.insert(Handle {
                mount: Arc::clone(&self.notifier),
                ino,
                file,
                opened,
                appends: false,
                uid,
                may_write,
                state,
                seen,
                pin: None,
            })?,
            how,
        ))
    }
}

impl Shared {
    /// A program holds a namespace or a message queue open from now on, if a file is one.
    fn pin(&self, node: Node) -> Result<Option<Pin>> {
        if let Some(queue) = FILES.ask(node.place, |file| file.queue()) {
            self.program(self.init, Program::PinsQueue(queue.serial()))?;
            return Ok(Some(Pin::Queue(queue.serial())));
        }
        let Some(ns) = FILES.ask(node.place, |file| file.ns()) else { return Ok(None) };
        let name = |k: &Kernel| k.namespaces.get(ns).map(|ns| (ns.ns_type(), ns.common.inum));
        let (ns_type, inum) = self.lab.read(name)?.ok_or_else(|| err!(ESTALE, "the namespace is gone"))?;
        self.program(self.init, Program::Pins { ns_type, inum })?;
        Ok(Some(Pin::Ns(ns_type, inum)))
    }

    /// A thread of a program has closed a descriptor of an open file.
    pub(super) fn flush(&self, caller: Caller, fh: u64) {
        let Some(Pin::Queue(serial)) = self.handles.get(fh).and_then(|handle| handle.pin) else { return };
        let Some(task) = self.lab.programs.task(caller.tid) else { return };
        let is_told = |k: &Kernel| {
            let notify = k.find_mqueue(serial).and_then(|queue| k.mqueues[queue].notify.as_ref());
            notify.is_some_and(|notify| k.tasks.contains(task) && notify.owner.id() == k.pid_of(k.leader_of(task)))
        };
        if self.lab.read(is_told).unwrap_or(false) {
            // It may be dead by now: then nobody is told either.
            let _ = self.program(task, Program::ClosesQueue(serial));
        }
    }

    /// Nobody uses an open file any more.
    pub(super) fn close(&self, fh: u64) {
        self.pollers.forget(fh);
        let told = match self.handles.remove(fh).and_then(|handle| handle.pin) {
            Some(Pin::Ns(ns_type, inum)) => Program::Unpins { ns_type, inum },
            Some(Pin::Queue(serial)) => Program::UnpinsQueue(serial),
            None => return,
        };
        // It was pinned: only a lab that is broken says no.
        let _ = self.program(self.init, told);
    }

    /// Tells the lab what programs do with its files.
    fn program(&self, task: TaskId, told: Program) -> Result<()> {
        let line = |k: &Kernel, task| format!("{} program {}", k.task_nr(task), control::program::words(told));
        let call = LabCall::Program(told).into();
        self.change(|lab| lab.perform(|_| Ok(task), &call, line)).map(drop).map_err(|stop| stop.error().clone())
    }
}

/// Whether a file may be executed, and a directory be searched by a program.
///
/// # Errors
/// EACCES
fn check_executes(k: &Kernel, node: Node, program: Option<TaskId>) -> Result<()> {
    let attr = tree::attr(k, viewer(k, node)?, node)?;
    match (attr.file_type, program) {
        (FileType::Directory, Some(program)) => tree::may_access_dir(k, Viewer(program), node, DirUse::Search),
        (FileType::Directory | FileType::Symlink, _) => Ok(()),
        _ if attr.mode & 0o111 == 0 => bail!(EACCES, "nobody may execute this file"),
        _ => Ok(()),
    }
}

fn open_flags(flags: i32) -> OpenFlags {
    match flags & libc::O_ACCMODE {
        libc::O_RDONLY => OpenFlags::READ,
        libc::O_WRONLY => OpenFlags::WRITE,
        _ => OpenFlags::READ | OpenFlags::WRITE,
    }
}
