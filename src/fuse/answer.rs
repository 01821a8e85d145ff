//! What the lab answers to each request of the host's kernel, as values: no replies here, and nothing that waits.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{AccessFlags, FileAttr, INodeNo};

use super::handle::{Answer, Handle, Handles, Results, State, lock, slice};
use super::inode::{Identity, Inodes, Name, Told};
use super::ioctl;
use super::notify::Notices;
use super::stream::Stream;
use crate::errno::Result;
use crate::host::Lab;
use crate::host::fault::Op;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::file::{Bound, OpenFlags};
use crate::kernel::node::{Node, Place, View};
use crate::kernel::{Kernel, TaskId};
use crate::lab::{self, Control};
use crate::tree::{self, Attr, DirEntry, FileType, Rendering, Special, Viewer};
use crate::{bail, err};

/// Steps that `kernel/trace` keeps. A step costs far less than the request that made it.
const TRACE_STEPS: usize = 1 << 14;
/// How long the kernel may keep what stays true until it is told otherwise.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// The lab as the threads that serve it share it. The order of locks is that of [`crate::host`].
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lab: Arc<Lab>,
    /// The task whose eyes serve those who have no others.
    pub(super) init: TaskId,
    pub(super) inodes: Arc<Inodes>,
    pub(super) notices: Notices,
    pub(super) handles: Handles,
    pub(super) results: Results,
    /// The text of `kernel/trace`.
    trace: Mutex<Stream>,
    /// Counts the lookups of links that have faults.
    salts: AtomicU64,
    /// The host user who mounted: besides root the only one who may write.
    pub(super) owner: u32,
}

/// The host process that asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) uid: u32,
    /// Its thread's id, 0 when it is in a pid namespace from which it cannot be seen.
    pub(super) tid: u32,
}

/// The answer to a lookup.
#[derive(Debug)]
pub(super) struct Entry {
    /// What the kernel calls the inode; its number for users is in `attr`.
    pub(super) nodeid: u64,
    pub(super) attr: FileAttr,
    pub(super) generation: u64,
    pub(super) name_ttl: Duration,
    pub(super) attr_ttl: Duration,
}

impl Shared {
    pub(super) fn new(mut lab: Lab, owner: u32, notices: Notices) -> Result<Shared> {
        let kernel = lab.kernel_mut()?;
        let init = kernel.init.task;
        kernel.changes.start();
        kernel.trace.start(TRACE_STEPS);
        Ok(Shared {
            lab: Arc::new(lab),
            init,
            inodes: Arc::new(Inodes::new()),
            notices,
            handles: Handles::default(),
            results: Results::default(),
            trace: Mutex::default(),
            salts: AtomicU64::default(),
            owner,
        })
    }

    /// Whether the host lets this user change the lab.
    pub(super) fn may_write(&self, caller: Caller) -> bool {
        caller.uid == self.owner || caller.uid == 0
    }

    /// The file called `name` in directory `parent`.
    ///
    /// # Errors
    /// ENOENT, and what the tree says.
    pub(super) fn lookup(&self, caller: Caller, parent: u64, name: &OsStr) -> Result<Entry> {
        let dir = self.node(parent)?;
        let is_viewed = lab::is_viewed(dir, name.as_bytes());
        let attached = if is_viewed { self.lab.viewers.viewer(caller.tid) } else { None };
        let found = self.lab.read(|k| {
            let dir = match attached.filter(|task| k.tasks.contains(*task)) {
                Some(task) => Node { view: View::Attached(task), ..dir },
                None => dir,
            };
            let viewer = viewer(k, dir).map_err(|_| err!(ENOENT, "the task is gone"))?;
            let node = lab::lookup(k, viewer, dir, name.as_bytes())?;
            let kind = if is_viewed && self.lab.viewers.is_any() { Name::Viewed } else { name_kind(dir, node) };
            self.entry(k, node, (parent, name, kind))
        })?;
        match found {
            Err(_) if self.is_own_number(caller, name) => self.lab.read(|k| {
                let node = lab::lookup(k, viewer(k, dir)?, dir, b"self")?;
                self.entry(k, node, (parent, name, Name::Passing))
            })?,
            found => found,
        }
    }

    /// A program that looks itself up by its own number, as `ps` does, finds the viewer where no simulated task has
    /// that number: what `self` leads to.
    fn is_own_number(&self, caller: Caller, name: &OsStr) -> bool {
        let number: Option<u32> = name.to_str().and_then(|name| name.parse().ok()).filter(|number| *number != 0);
        number.is_some_and(|number| number == caller.tid || Some(number) == self.lab.viewers.tgid(caller.tid))
    }

    /// Whether there is a file called `name` in directory `parent`.
    ///
    /// # Errors
    /// ENOENT, and what the tree says.
    pub(super) fn find(&self, parent: u64, name: &OsStr) -> Result<Node> {
        let dir = self.node(parent)?;
        self.lab.read(|k| lab::lookup(k, viewer(k, dir)?, dir, name.as_bytes()))?
    }

    /// Describes `node` and writes down that the kernel now knows it.
    fn entry(&self, k: &Kernel, node: Node, name: (u64, &OsStr, Name)) -> Result<Entry> {
        let node = shared(node);
        let viewer = viewer(k, node)?;
        let attr = lab::attr(k, viewer, node)?;
        let file_type = attr.file_type;
        let cacheable = lab::cacheable(node);
        let floating = attr.file_type == FileType::Symlink && !cacheable.attr;
        let has_fault = self.lab.faults.is_active(node.task(), || path_in(&self.inodes.full_path(name.0), name.1));
        let is_salted = has_fault && attr.file_type == FileType::Symlink;
        let salt = if is_salted { self.salts.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        let keeps_name = match name.2 {
            Name::Own => cacheable.name && !floating,
            Name::Linked => true,
            Name::Viewed | Name::Passing => false,
        } && self.inodes.keeps_names();
        let attr = FileAttr { size: self.size(k, node), ..host_attr(k, viewer, &attr) };
        let (nodeid, generation) = self.inodes.insert(Identity { node, salt }, told(file_type, &attr), name);
        Ok(Entry {
            nodeid,
            attr,
            generation,
            name_ttl: ttl(keeps_name && !has_fault),
            attr_ttl: ttl(cacheable.attr && !has_fault),
        })
    }

    /// A file whose task is gone stays what it was for those who have it open; its directories belong to root then.
    ///
    /// # Errors
    /// ENOENT: it is gone. ESTALE: a number the kernel should not have.
    pub(super) fn getattr(&self, ino: u64) -> Result<(FileAttr, Duration)> {
        let node = self.node(ino)?;
        self.lab.faults.check(Op::Stat, || self.inodes.full_path(ino))?;
        self.lab.read(|k| {
            let viewer = viewer(k, node)?;
            let is_gone = node.task().is_some_and(|task| !k.tasks.contains(task));
            let attr = match (lab::attr(k, viewer, node), self.inodes.told(ino)) {
                (Ok(attr), Some(told)) if is_gone && attr.file_type != FileType::Directory => {
                    FileAttr { perm: told.mode, uid: told.uid, gid: told.gid, ..host_attr(k, viewer, &attr) }
                }
                (Ok(attr), _) => {
                    let file_type = attr.file_type;
                    let attr = FileAttr { size: self.size(k, node), ..host_attr(k, viewer, &attr) };
                    self.inodes.tell(ino, told(file_type, &attr));
                    attr
                }
                (Err(_), Some(told)) if tree::is_descriptor(node) => told_attr(told),
                (Err(error), _) => return Err(error),
            };
            let has_fault = self.lab.faults.is_active(node.task(), || self.inodes.full_path(ino));
            Ok((attr, ttl(lab::cacheable(node).attr && !has_fault && !is_gone)))
        })?
    }

    /// What `stat` says of a file's size: 0 of all but the trace, whose growth tells `tail -f` to read on.
    fn size(&self, k: &Kernel, node: Node) -> u64 {
        if tree::special(node) == Some(Special::Trace) { lock(&self.trace).update(k).end() } else { 0 }
    }

    /// # Errors
    /// What the tree says.
    pub(super) fn readlink(&self, ino: u64) -> Result<Vec<u8>> {
        let node = self.node(ino)?;
        self.lab.faults.check(Op::Readlink, || self.inodes.full_path(ino))?;
        self.lab.read(|k| {
            if !lab::cacheable(node).attr {
                self.inodes.link_is_read(ino);
            }
            lab::readlink(k, viewer(k, node)?, node)
        })?
    }

    /// Whether `caller` may change the lab.
    ///
    /// # Errors
    /// EACCES
    pub(super) fn check_writer(&self, caller: Caller) -> Result<()> {
        if !self.may_write(caller) {
            bail!(EACCES, "only root and the user who mounted the lab may write, not uid {}", caller.uid);
        }
        Ok(())
    }

    /// Opens a file for `caller`, as the viewer; the number is of the lines that the journal had then.
    ///
    /// # Errors
    /// EACCES: the caller may not write here, or the viewer may not open the file.
    fn bind(&self, caller: Caller, node: Node, flags: OpenFlags) -> Result<(Bound, u64)> {
        if flags.contains(OpenFlags::WRITE) {
            self.check_writer(caller)?;
        }
        self.lab.read(|k| Ok((lab::open(k, viewer(k, node)?, node, flags)?, self.lab.noted())))?
    }

    /// access(2): what the viewer and the caller may both do.
    ///
    /// # Errors
    /// As [`Shared::bind`].
    pub(super) fn access(&self, caller: Caller, ino: u64, mask: AccessFlags) -> Result<()> {
        let mut flags = OpenFlags::empty();
        flags.set(OpenFlags::READ, mask.contains(AccessFlags::R_OK));
        flags.set(OpenFlags::WRITE, mask.contains(AccessFlags::W_OK));
        if flags.is_empty() { Ok(()) } else { self.bind(caller, self.node(ino)?, flags).map(drop) }
    }

    /// Opens a file for `caller`; gives the handle's number.
    ///
    /// # Errors
    /// As [`Shared::bind`].
    pub(super) fn open(&self, caller: Caller, ino: u64, flags: i32) -> Result<u64> {
        let node = self.node(ino)?;
        self.lab.faults.check(Op::Open, || self.inodes.full_path(ino))?;
        let (file, opened) = self.bind(caller, node, open_flags(flags))?;
        let answer = || Mutex::new(Answer::new(0, self.results.get(node.place)));
        let state = match (Control::of(node.place), tree::special(node)) {
            (Some(Control::Verb(..)), _) => State::Control(answer()),
            (Some(Control::Batch), _) => State::Batch(answer(), Mutex::default()),
            (_, Some(Special::Faults)) => State::Faults(Mutex::default()),
            (_, Some(Special::Trace)) => State::Stream(Mutex::default()),
            (_, None) => State::Content(Mutex::default()),
        };
        Ok(self.handles.insert(Handle { ino, file, opened, appends: flags & libc::O_APPEND != 0, state }))
    }

    /// # Errors
    /// What the tree says.
    pub(super) fn opendir(&self, caller: Caller, ino: u64) -> Result<u64> {
        let node = self.node(ino)?;
        self.lab.faults.check(Op::Open, || self.inodes.full_path(ino))?;
        let (file, opened) = self.bind(caller, node, OpenFlags::READ | OpenFlags::DIRECTORY)?;
        Ok(self.handles.insert(Handle { ino, file, opened, appends: false, state: State::Listing(Mutex::default()) }))
    }

    /// A read from the start takes a new picture of the file; the reads that follow get the rest of the same one.
    ///
    /// # Errors
    /// What the tree says.
    pub(super) fn read(&self, fh: u64, offset: u64, size: u32) -> Result<Vec<u8>> {
        let handle = self.handle(fh)?;
        if offset == 0 {
            self.lab.faults.check(Op::Read, || self.inodes.full_path(handle.ino))?;
        }
        match &handle.state {
            State::Control(answer) | State::Batch(answer, _) => Ok(lock(answer).read(offset, size)),
            State::Faults(refusal) => match &mut *lock(refusal) {
                Some(reason) => Ok(reason.read(offset, size)),
                None => Ok(slice(self.lab.faults.text().as_bytes(), offset, size).to_vec()),
            },
            State::Content(content) => {
                let take = |k: &Kernel, viewer| lab::take(k, viewer, &handle.file);
                let picture = self.picture(content, offset, take, Rendering::into_text, &handle)?;
                Ok(slice(&picture, offset, size).to_vec())
            }
            State::Stream(start) => {
                self.lab.read(|k| Ok(lock(&self.trace).update(k).read(&mut lock(start), offset, size)))?
            }
            State::Listing(_) => bail!(EISDIR, "a directory"),
        }
    }

    /// The entries from the one with number `offset` on.
    ///
    /// # Errors
    /// What the tree says.
    pub(super) fn readdir(&self, fh: u64, offset: u64) -> Result<Arc<[DirEntry]>> {
        let handle = self.handle(fh)?;
        if offset == 0 {
            self.lab.faults.check(Op::Readdir, || self.inodes.full_path(handle.ino))?;
        }
        match &handle.state {
            State::Listing(listing) => {
                let take = |k: &Kernel, viewer| lab::readdir(k, viewer, handle.file.node);
                self.picture(listing, offset, take, |entries| entries, &handle)
            }
            State::Content(_) | State::Stream(_) | State::Control(_) | State::Batch(..) | State::Faults(_) => {
                bail!(ENOTDIR, "not a directory")
            }
        }
    }

    /// `take` needs the state, `finish` may take its time.
    fn picture<T, P>(
        &self,
        kept: &Mutex<Option<Arc<[T]>>>,
        offset: u64,
        take: impl FnOnce(&Kernel, Viewer) -> Result<P>,
        finish: impl FnOnce(P) -> Vec<T>,
        handle: &Handle,
    ) -> Result<Arc<[T]>> {
        let old = lock(kept).clone();
        match old {
            Some(old) if offset > 0 => Ok(old),
            _ => {
                let new: Arc<[T]> = finish(self.lab.read(|k| take(k, viewer(k, handle.file.node)?))??).into();
                *lock(kept) = Some(Arc::clone(&new));
                Ok(new)
            }
        }
    }

    /// # Errors
    /// ENOTTY, and what nsfs gives.
    pub(super) fn ioctl(&self, ino: u64, request: u32) -> Result<ioctl::Answer> {
        let node = self.node(ino)?;
        self.lab.read(|k| {
            viewer(k, node)?;
            match node.place {
                Place::NsFile(ns) => ioctl::answer(&k.namespaces[ns], request),
                _ => bail!(ENOTTY, "not a namespace file"),
            }
        })?
    }

    pub(super) fn handle(&self, fh: u64) -> Result<Arc<Handle>> {
        self.handles.get(fh).ok_or_else(|| err!(EBADF, "no such open file"))
    }

    pub(super) fn identity(&self, ino: u64) -> Result<Identity> {
        self.inodes.get(ino).ok_or_else(|| err!(ESTALE, "no such inode"))
    }

    fn node(&self, ino: u64) -> Result<Node> {
        self.identity(ino).map(|identity| identity.node)
    }
}

/// The path of `name` in the directory at `dir`.
fn path_in(dir: &[u8], name: &OsStr) -> Vec<u8> {
    let separator: &[u8] = if dir.is_empty() { b"" } else { b"/" };
    [dir, separator, name.as_bytes()].concat()
}

/// The task whose eyes `node` is seen with.
///
/// # Errors
/// ESRCH: that task is gone. ESTALE: the namespace whose file it is.
pub(super) fn viewer(k: &Kernel, node: Node) -> Result<Viewer> {
    let viewer = node.view.viewer().unwrap_or(k.init.task);
    let namespace = match node.place {
        Place::NsFile(ns) => Some(ns),
        _ => None,
    };
    if !k.tasks.contains(viewer) {
        bail!(ESRCH, "who looks is gone");
    }
    // Its name may lead to another one with this number now: the host's kernel asks for the name anew.
    if !namespace.is_none_or(|ns| k.namespaces.contains(ns)) {
        bail!(ESTALE, "the namespace of this file is gone");
    }
    Ok(Viewer(viewer))
}

/// A namespace file is one file for all who look with the eyes of init.
fn shared(node: Node) -> Node {
    match node.place {
        Place::NsFile(_) if node.view.viewer().is_none() => Node { view: View::Caller, place: node.place },
        _ => node,
    }
}

/// What a name that leads from `dir` to `node` is for it.
fn name_kind(dir: Node, node: Node) -> Name {
    match node.place {
        Place::NsFile(_) if dir.task().is_some() => Name::Linked,
        Place::NsFile(_) => Name::Passing,
        _ => Name::Own,
    }
}

fn ttl(keep: bool) -> Duration {
    if keep { LONG } else { Duration::ZERO }
}

/// The access mode alone: the host's kernel does the rest of what the flags ask for.
fn open_flags(flags: i32) -> OpenFlags {
    OpenFlags::of_open((flags & libc::O_ACCMODE).cast_unsigned())
}

/// `attr` as the host shows it: owners as the viewer sees them. All times are the start of the lab's clock, so that
/// nothing a cache holds grows old.
fn host_attr(k: &Kernel, viewer: Viewer, attr: &Attr) -> FileAttr {
    let user_ns = &k.namespaces[k.cred_of(viewer.0).user_ns.id()];
    let uid = user_ns.from_kuid(attr.uid).unwrap_or(OVERFLOW_ID);
    let gid = user_ns.from_kgid(attr.gid).unwrap_or(OVERFLOW_ID);
    let told = Told { file_type: attr.file_type, mode: attr.mode, uid, gid, ino: attr.ino };
    FileAttr { nlink: attr.nlink, ..told_attr(told) }
}

fn told(file_type: FileType, attr: &FileAttr) -> Told {
    Told { file_type, mode: attr.perm, uid: attr.uid, gid: attr.gid, ino: attr.ino.0 }
}

fn told_attr(told: Told) -> FileAttr {
    FileAttr {
        ino: INodeNo(told.ino),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: host_type(told.file_type),
        perm: told.mode,
        nlink: 1,
        uid: told.uid,
        gid: told.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

pub(super) fn host_type(file_type: FileType) -> fuser::FileType {
    match file_type {
        FileType::Directory => fuser::FileType::Directory,
        FileType::File => fuser::FileType::RegularFile,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Socket => fuser::FileType::Socket,
    }
}
