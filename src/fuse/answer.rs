//! What the lab answers to each request of the host's kernel, as values: no replies here, and nothing that waits.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{FileAttr, INodeNo};

use super::barrier::Barrier;
use super::bounds::{Bounds, Purse};
use super::drawer::Drawers;
use super::handle::{Handle, Handles, Results, lock};
use super::inode::{Identity, Inodes, Name, ROOT_INO, Told};
use super::ioctl;
use super::kept::Shelves;
use super::notify::{Notices, Notifier};
use super::poll::Pollers;
use super::requests::Requests;
use super::stream::Stream;
use super::text;
use crate::errno::Result;
use crate::host::Lab;
use crate::host::fault::Op;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::file::OpenFlags;
use crate::kernel::node::{Node, Top, View};
use crate::kernel::{Kernel, TaskId};
use crate::lab::{self, FILES};
use crate::tree::{self, Attr, Content, Eyes, FileType, Special, Style};
use crate::{bail, err};

/// Steps that `kernel/trace` keeps. A step costs far less than the request that made it.
const TRACE_STEPS: usize = 1 << 14;
/// How long the kernel may keep what stays true until it is told otherwise.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// The lab as the threads that serve it share it, whatever mount of it they are asked through. The order of locks is that of
/// [`crate::host`].
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lab: Arc<Lab>,
    /// The viewer of processes that are attached to no task.
    pub(super) init: TaskId,
    pub(super) notices: Notices,
    pub(super) drawers: Drawers,
    pub(super) bounds: Bounds,
    /// For what open files keep: those of who may write, and of all others.
    pub(super) purses: [Arc<Purse>; 2],
    pub(super) shelves: Shelves,
    pub(super) handles: Handles,
    pub(super) results: Results,
    pub(super) pollers: Pollers,
    /// The text of `kernel/trace`.
    trace: Mutex<Stream>,
    /// The host user who mounted. Only this user and root may write.
    pub(super) owner: u32,
}

/// A mount of the lab: what it shows, and what the host's kernel knows through it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) inodes: Arc<Inodes>,
    pub(super) barrier: Arc<Barrier>,
    /// The way to its caches.
    pub(super) notifier: Arc<Notifier>,
    pub(super) requests: Requests,
    /// What the links of tasks to files show.
    links: Style,
    /// Counts the lookups of links that have faults.
    salts: AtomicU64,
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
    pub(super) fn new(
        mut lab: Lab,
        owner: u32,
        bounds: Bounds,
        (notices, drawers, pollers): (Notices, Drawers, Pollers),
    ) -> Result<Shared> {
        let kernel = lab.kernel_mut()?;
        let init = kernel.init.task;
        kernel.changes.start();
        kernel.trace.start(TRACE_STEPS);
        Ok(Shared {
            lab: Arc::new(lab),
            init,
            notices,
            drawers,
            bounds,
            purses: [Purse::new(bounds.renderings), Purse::new(bounds.renderings)],
            shelves: Shelves::default(),
            handles: Handles::new(bounds.open_files),
            results: Results::default(),
            pollers,
            trace: Mutex::default(),
            owner,
        })
    }
}

impl Connection {
    /// A mount of which the host's kernel is asked through `device`. What changes from now on, it is told.
    pub(super) fn new(shared: Arc<Shared>, (top, links): (Top, Style), device: File, threads: usize) -> Connection {
        let inodes = Arc::new(Inodes::new(shared.bounds.inodes, top));
        let notifier = Arc::new(Notifier::new(device, Arc::clone(&inodes)));
        shared.notices.add(Arc::clone(&notifier));
        let (requests, salts) = (Requests::default(), AtomicU64::default());
        // Where the rest of the lab is not, nothing leads to it.
        let links = if top == Top::Proc { Style::Linux } else { links };
        let barrier = Arc::new(Barrier::new(threads));
        Connection { shared, inodes, barrier, notifier, requests, links, salts }
    }

    /// Whether the host lets this user change the lab.
    pub(super) fn may_write(&self, caller: Caller) -> bool {
        caller.uid == self.shared.owner || caller.uid == 0
    }

    /// The file called `name` in directory `parent`.
    ///
    /// # Errors
    /// ENOENT, and what the tree says. ENOMEM: all who may not write use as many files as they may.
    pub(super) fn lookup(&self, caller: Caller, parent: u64, name: &OsStr) -> Result<Entry> {
        if self.inodes.has_to_shrink() {
            self.shared.notices.shrink(&self.notifier);
        }
        if !self.may_write(caller) && self.inodes.is_full() {
            bail!(ENOMEM, "twice max_inodes inodes are in use");
        }
        let dir = self.node(parent)?;
        let is_viewed = self.is_viewed_top(parent) || FILES.is_viewed(dir, name.as_bytes());
        let attached = if is_viewed { self.shared.lab.viewers.viewer(caller.tid) } else { None };
        let found = self.shared.lab.read(|k| {
            let dir = seen_by(k, attached, dir);
            let viewer = viewer(k, dir).map_err(|_| err!(ENOENT, "the task is gone"))?;
            let (node, attr) = find(k, viewer, dir, name.as_bytes())?;
            let is_viewed = is_viewed && self.shared.lab.viewers.is_any();
            let kind = if is_viewed { Name::Viewed } else { self.name_kind(dir, node) };
            self.entry(k, node, &attr, (parent, name, kind))
        })?;
        match found {
            Err(_) if self.is_own_number(caller, name) => self.shared.lab.read(|k| {
                let dir = seen_by(k, attached, dir);
                let (node, attr) = find(k, viewer(k, dir)?, dir, b"self")?;
                self.entry(k, node, &attr, (parent, name, Name::Passing))
            })?,
            found => found,
        }
    }

    /// What a name that leads from `dir` to `node` is for it.
    fn name_kind(&self, dir: Node, node: Node) -> Name {
        let about = |node: Node| [node.task(), node.view.viewer()];
        // Init is never reaped.
        let is_mortal = |task: &TaskId| *task != self.shared.init && !about(dir).contains(&Some(*task));
        match FILES.ask(node.place, |file| file.ns()) {
            Some(_) if dir.task().is_some() => Name::Linked,
            Some(_) => Name::Passing,
            None if about(node).iter().flatten().any(is_mortal) => Name::OfTask,
            None => Name::Own,
        }
    }

    /// Whether this is a top directory that those who are attached to a task see with its eyes: no name leads to it.
    fn is_viewed_top(&self, ino: u64) -> bool {
        ino == ROOT_INO && self.inodes.top() == Top::Proc
    }

    /// What `caller` sees under a number.
    ///
    /// # Errors
    /// ESTALE: it should not have it.
    pub(super) fn node_for(&self, caller: Caller, ino: u64) -> Result<Node> {
        let node = self.node(ino)?;
        if !self.is_viewed_top(ino) {
            return Ok(node);
        }
        let attached = self.shared.lab.viewers.viewer(caller.tid);
        self.shared.lab.read(|k| seen_by(k, attached, node))
    }

    /// A program that looks itself up by its own number, as `ps` does, finds the viewer where no simulated task has
    /// that number: what `self` leads to.
    fn is_own_number(&self, caller: Caller, name: &OsStr) -> bool {
        let number: Option<u32> = name.to_str().and_then(|name| name.parse().ok()).filter(|number| *number != 0);
        number.is_some_and(|number| number == caller.tid || Some(number) == self.shared.lab.viewers.tgid(caller.tid))
    }

    /// Describes `node` by its attributes and writes down that the kernel now knows it.
    fn entry(&self, k: &Kernel, node: Node, attr: &Attr, name: (u64, &OsStr, Name)) -> Result<Entry> {
        let node = shared(node);
        let viewer = viewer(k, node)?;
        let file_type = attr.file_type;
        let cacheable = FILES.cacheable(node);
        let floating = attr.file_type == FileType::Symlink && !cacheable.attr;
        let has_fault =
            self.shared.lab.faults.is_active(node.task(), || path_in(&self.inodes.full_path(name.0), name.1));
        let text = if file_type == FileType::File { self.text(k, viewer, node) } else { None };
        let version = match &text {
            Some(text) => text::version(text),
            None if has_fault && file_type == FileType::Symlink => self.salts.fetch_add(1, Ordering::Relaxed) + 1,
            None => 0,
        };
        let keeps_name = match name.2 {
            // A name of a version leads to the next one when the text changes.
            Name::Own => cacheable.name && !floating && text.is_none(),
            Name::OfTask => cacheable.name && !floating && text.is_none() && self.inodes.keeps_task_names(),
            Name::Linked => true,
            Name::Viewed | Name::Passing => false,
        } && self.inodes.keeps_names();
        let attr = host_attr(k, viewer, attr);
        let size = text.as_ref().map_or_else(|| attr.size.max(self.end(k, node)), |text| text.len() as u64);
        let attr = sized(attr, size);
        let identity = Identity { node, version };
        let (nodeid, generation) = self.inodes.insert(identity, told(file_type, &attr), text, name);
        Ok(Entry {
            nodeid,
            attr,
            generation,
            name_ttl: ttl(keeps_name && !has_fault),
            attr_ttl: ttl(cacheable.attr && !has_fault),
        })
    }

    /// A file whose task is gone does not change for programs that have it open. Directories of the task belong to root then.
    ///
    /// # Errors
    /// ENOENT: it is gone. ESTALE: a number the kernel should not have.
    pub(super) fn getattr(&self, ino: u64) -> Result<(FileAttr, Duration)> {
        let node = self.node(ino)?;
        self.shared.lab.check_fault(Op::Stat, || self.inodes.full_path(ino))?;
        self.shared.lab.read(|k| {
            let viewer = viewer(k, node)?;
            let is_gone = node.task().is_some_and(|task| !k.tasks.contains(task));
            let attr = match (tree::attr(k, viewer, node), self.inodes.told(ino)) {
                (Ok(attr), Some(told)) if is_gone && attr.file_type != FileType::Directory => {
                    let attr = sized(host_attr(k, viewer, &attr), told.size);
                    FileAttr { perm: told.mode, uid: told.uid, gid: told.gid, ..attr }
                }
                (Ok(attr), old) => {
                    let file_type = attr.file_type;
                    let attr = host_attr(k, viewer, &attr);
                    let attr = match old {
                        // A version never changes.
                        Some(told) if file_type == FileType::File => sized(attr, told.size.max(self.end(k, node))),
                        _ => attr,
                    };
                    self.inodes.tell(ino, told(file_type, &attr));
                    attr
                }
                (Err(_), Some(told)) if FILES.ask(node.place, |file| file.is_told_when_gone()) => told_attr(told),
                (Err(error), _) => return Err(error),
            };
            let has_fault = self.has_fault(node, ino);
            // The top has the number of a top, as Linux gives it to that of proc (`PROC_ROOT_INO`).
            let attr = if ino == ROOT_INO { FileAttr { ino: INodeNo(ROOT_INO), ..attr } } else { attr };
            Ok((attr, ttl(FILES.cacheable(node).attr && !has_fault && !is_gone)))
        })?
    }

    pub(super) fn trace(&self) -> MutexGuard<'_, Stream> {
        lock(&self.shared.trace)
    }

    /// Where a file that grows ends, which tells `tail -f` to read on; 0 of all others.
    fn end(&self, k: &Kernel, node: Node) -> u64 {
        if FILES.special(node) == Some(Special::Trace) { self.trace().update(k).end() } else { 0 }
    }

    /// What a file reads as now, where a lookup has to know. `None` too if `viewer` may not open it, or a read fails: the
    /// open and the read say so.
    fn text(&self, k: &Kernel, viewer: Eyes, node: Node) -> Option<Arc<[u8]>> {
        match FILES.content(node) {
            Content::Version | Content::Live => {
                let file = lab::open(k, viewer, node, OpenFlags::READ).ok()?;
                tree::read_open(k, viewer, &file).ok().map(Arc::from)
            }
            Content::Unsized => None,
        }
    }

    /// # Errors
    /// What the tree says.
    pub(super) fn readlink(&self, ino: u64) -> Result<Vec<u8>> {
        let node = self.node(ino)?;
        self.shared.lab.check_fault(Op::Readlink, || self.inodes.full_path(ino))?;
        self.shared.lab.read(|k| {
            if !FILES.cacheable(node).attr {
                self.inodes.link_is_read(ino);
            }
            tree::readlink(k, viewer(k, node)?, node, self.links)
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

    /// # Errors
    /// ENOTTY, and what nsfs gives.
    pub(super) fn ioctl(&self, ino: u64, request: u32) -> Result<ioctl::Answer> {
        let node = self.node(ino)?;
        self.shared.lab.read(|k| {
            viewer(k, node)?;
            match FILES.ask(node.place, |file| file.ns()) {
                Some(ns) => ioctl::answer(&k.namespaces[ns], request),
                None => bail!(ENOTTY, "not a namespace file"),
            }
        })?
    }

    pub(super) fn handle(&self, fh: u64) -> Result<Arc<Handle>> {
        self.shared.handles.get(fh).ok_or_else(|| err!(EBADF, "no such open file"))
    }

    pub(super) fn identity(&self, ino: u64) -> Result<Identity> {
        self.inodes.get(ino).ok_or_else(|| err!(ESTALE, "no such inode"))
    }

    pub(super) fn node(&self, ino: u64) -> Result<Node> {
        self.identity(ino).map(|identity| identity.node)
    }
}

/// The file called `name` in a directory, with its attributes. That there is none is said in few words: the kernel asks
/// for many names that are not there.
///
/// # Errors
/// ENOENT, and what the tree says.
fn find(k: &Kernel, viewer: Eyes, dir: Node, name: &[u8]) -> Result<(Node, Attr)> {
    tree::find(k, viewer, dir, name)?.ok_or_else(|| err!(ENOENT, "no such name here"))
}

/// A directory as the task sees it that who asks is attached to, if that task is still there.
fn seen_by(k: &Kernel, attached: Option<TaskId>, dir: Node) -> Node {
    match attached.filter(|task| k.tasks.contains(*task)) {
        Some(task) => Node { view: View::Attached(task), ..dir },
        None => dir,
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
pub(super) fn viewer(k: &Kernel, node: Node) -> Result<Eyes> {
    let viewer = node.view.viewer().unwrap_or(k.init.task);
    let namespace = FILES.ask(node.place, |file| file.ns());
    if !k.tasks.contains(viewer) {
        bail!(ESRCH, "who looks is gone");
    }
    // Its name may lead to another one with this number now: the host's kernel asks for the name anew.
    if !namespace.is_none_or(|ns| k.namespaces.contains(ns)) {
        bail!(ESTALE, "the namespace of this file is gone");
    }
    Ok(lab::eyes(viewer))
}

/// A namespace file is one file for all who look with the eyes of init.
fn shared(node: Node) -> Node {
    let is_one = node.view.viewer().is_none() && FILES.ask(node.place, |file| file.ns()).is_some();
    if is_one { Node { view: View::Caller, ..node } } else { node }
}

fn ttl(keep: bool) -> Duration {
    if keep { LONG } else { Duration::ZERO }
}

/// `attr` as the host shows it: owners as the viewer sees them. All times are the start of the lab's clock, so that
/// nothing a cache holds grows old.
fn host_attr(k: &Kernel, viewer: Eyes, attr: &Attr) -> FileAttr {
    let user_ns = &k.namespaces[k.cred_of(viewer.task).user_ns.id()];
    let uid = user_ns.from_kuid(attr.uid).unwrap_or(OVERFLOW_ID);
    let gid = user_ns.from_kgid(attr.gid).unwrap_or(OVERFLOW_ID);
    let told = Told { file_type: attr.file_type, mode: attr.mode, uid, gid, ino: attr.ino, size: attr.size };
    FileAttr { nlink: attr.nlink, ..told_attr(told) }
}

fn told(file_type: FileType, attr: &FileAttr) -> Told {
    Told { file_type, mode: attr.perm, uid: attr.uid, gid: attr.gid, ino: attr.ino.0, size: attr.size }
}

/// With a size. Programs take a file of fewer blocks than it needs for one with holes.
fn sized(attr: FileAttr, size: u64) -> FileAttr {
    FileAttr { size, blocks: size.div_ceil(512), ..attr }
}

fn told_attr(told: Told) -> FileAttr {
    let attr = FileAttr {
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
    };
    sized(attr, told.size)
}

pub(super) fn host_type(file_type: FileType) -> fuser::FileType {
    match file_type {
        FileType::Directory => fuser::FileType::Directory,
        FileType::File => fuser::FileType::RegularFile,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Socket => fuser::FileType::Socket,
    }
}
