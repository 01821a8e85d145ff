//! Layer 1b: the lab's file tree, a read-only view of a [`Kernel`]: names, attributes, rights and content of every
//! file. It knows neither FUSE nor locks and never changes a kernel.
//!
//! Files come in families (`family`): `fixed` for those that belong to no object, `proc::pid` for those of a task,
//! `structs` for the objects of the kernel, and so on. Most families are a table. The family of `ctl/` is not here: the
//! names of its files are the verbs of a higher layer, which puts it into the tree, see `crate::lab`.

mod census;
mod census_json;
pub(crate) mod cgroup;
mod family;
mod fixed;
pub mod graph;
mod json;
mod look;
mod mqueue;
mod name;
mod net_conf;
mod nsfs;
mod open;
mod outline;
mod plain;
mod proc;
mod read;
mod resolve;
mod root;
mod rows;
mod seen_as;
mod structs;
mod trace;
mod unnamed;

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::bail;
use crate::errno::Result;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::file::CgroupFile;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Kgid, Kuid};
use crate::kernel::net::conf::ConfOf;
use crate::kernel::node::{Node, Place, Top, View};
use crate::kernel::ns::NsType;
use crate::kernel::ns::ipc::IpcSysctl;
use crate::kernel::uid_map::MapKind;
use crate::kernel::{DentryId, Kernel, NsId, TaskId};
pub use census::{Census, Picture, Rendering};

pub(crate) use family::{Family, Link};
pub use family::{Files, TREE};
pub(crate) use look::{Look, parse_number};
pub use name::Style;
pub(crate) use open::Access;
pub use open::{
    DirUse, bind, check_writable, may_access_dir, may_open, may_write_as, may_write_sysctl, open, write_error,
    write_target,
};
pub use proc::pid::fd::pidfd_lines;
pub use proc::pid::unescape;
pub use read::{polled, read, read_file, read_open};
pub use resolve::{Last, resolve, resolve_file, resolve_parent};
pub use root::{getcwd, site};
pub use trace::{lines_after as trace_after, text as step_text};

/// Who looks: ids and rights are this task's. Numbers are those of the view's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer(pub TaskId);

/// Who looks, and at which files: those of this tree alone, or with those of a layer above.
#[derive(Clone, Copy)]
pub struct Eyes {
    pub task: TaskId,
    pub files: &'static Files,
}

impl From<Viewer> for Eyes {
    /// The eyes of a task see this tree alone.
    fn from(viewer: Viewer) -> Eyes {
        Eyes { task: viewer.0, files: &TREE }
    }
}

/// The number of the top directory.
pub const ROOT_INO: u64 = 1;

/// The top of the lab.
pub const ROOT: Node = top(Top::Lab);

/// A directory that can be the top of a mount, as whoever asks sees it.
pub const fn top(top: Top) -> Node {
    Node { view: View::Caller, place: Place::Top(top) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    Directory,
    File,
    Symlink,
    Socket,
}

/// `stat` of a file. Owners are kernel ids; a viewer sees them through its user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub file_type: FileType,
    pub mode: u16,
    pub uid: Kuid,
    pub gid: Kgid,
    /// 1 for a directory: its sub-directories come and go and are not counted.
    pub nlink: u32,
    /// The inode number, see [`Files::ino`].
    pub ino: u64,
    /// Of links their length where Linux says it, of a directory of descriptors how many there are, of all others 0: the
    /// length of content is that of what is read.
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub node: Node,
    pub file_type: FileType,
    /// The inode number, as in the file's attributes.
    pub ino: u64,
}

/// What a write to a file changes. Which namespace is meant is fixed at open: [`bind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTarget {
    /// A map of the bound user namespace.
    Map(MapKind),
    /// The setgroups flag of the bound user namespace.
    Setgroups,
    /// The name of a thread.
    Comm(TaskId),
    /// How likely a process is chosen when there is no memory.
    OomScoreAdj(TaskId),
    /// The offsets of the time namespace for children of a process.
    TimensOffsets(TaskId),
    Sysctl(Sysctl),
    Cgroup(CgroupId, CgroupFile),
    /// The bytes of a plain file.
    File(DentryId),
}

/// A writable file below `proc/sys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sysctl {
    Hostname,
    Domainname,
    /// Of the bound pid namespace.
    PidMax,
    NsLastPid,
    /// `max_<kind>_namespaces` of the bound user namespace.
    MaxNamespaces(NsType),
    /// `fs.mount-max`
    MountMax,
    /// Of the bound IPC namespace.
    Ipc(IpcSysctl),
    /// Of the bound network namespace.
    Net(NetSysctl),
}

/// A writable file below `proc/sys/net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetSysctl {
    IpForward,
    Somaxconn,
    RmemMax,
    /// By row of [`SETTINGS`](crate::kernel::net::conf::SETTINGS).
    Conf(ConfOf, usize),
}

/// What a cache may keep of a file, without being told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cacheable {
    /// The name leads to this node until the node's task changes.
    pub name: bool,
    /// Attributes and link text stay until the node's task changes.
    pub attr: bool,
}

/// What a program that keeps a file open sees of later changes, and what `stat` says of the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// An open shows the text there is then. Who keeps it open keeps that text, of that length.
    Version,
    /// Each read from the start shows the text there is then: programs keep such files open and read them again. The
    /// length is that of the text at the last lookup.
    Live,
    /// As [`Content::Live`], but the length is 0: nobody draws a picture to say how long it is, or makes a call.
    Unsized,
}

/// What poll(2) says of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// It can be read and written, always.
    Ready,
    /// It can be read; POLLERR and POLLPRI once this is another number than at the last poll (`mounts_poll`).
    Mounts(u64),
    /// It can be read and written; the same, and then only read (`proc_sys_poll`).
    Sysctl(u64),
    /// It can be read and written; POLLERR and POLLPRI while this is another number than at the last read
    /// (`kernfs_generic_poll`).
    Cgroup(u64),
    /// It can be read while it has a message, and written while it has room (`mqueue_poll_file`).
    Queue { has_message: bool, has_room: bool },
}

/// The file called `name` in a directory. Asks for no rights by modes: [`resolve`] does.
///
/// # Errors
/// ENOENT: there is none; ENOTDIR; ESRCH: the viewer is gone; EPERM: its directory is of a process that `proc` hides.
pub fn lookup(k: &Kernel, eyes: impl Into<Eyes>, dir: Node, name: &[u8]) -> Result<Node> {
    let look = Look::now(k, eyes, dir)?;
    match find_in(&look, dir, name)? {
        Some(node) => Ok(node),
        None => {
            let path = Some(look.ask(dir.place, |file| file.path(&look))).filter(|path| !path.is_empty());
            let path = path.unwrap_or_else(|| "/".to_owned());
            bail!(ENOENT, "no {} in {}", String::from_utf8_lossy(name).into_owned(), path)
        }
    }
}

/// The same for those who expect that there is none, with its attributes.
///
/// # Errors
/// ENOENT: the directory is gone; ENOTDIR; ESRCH: the viewer is gone.
pub fn find(k: &Kernel, eyes: impl Into<Eyes>, dir: Node, name: &[u8]) -> Result<Option<(Node, Attr)>> {
    let look = Look::now(k, eyes, dir)?;
    let Some(node) = find_in(&look, dir, name)? else { return Ok(None) };
    // Below another mount numbers are others, and so may be the one who looks.
    let seen = if node.view == dir.view { look.at(node.place) } else { Look::now(k, look.eyes(), node)? };
    attr_of(&seen, node).map(|attr| Some((node, attr)))
}

fn find_in(look: &Look<'_>, dir: Node, name: &[u8]) -> Result<Option<Node>> {
    check_not_gone(look, dir)?;
    check_dir(look, dir)?;
    look.ask(dir.place, |file| {
        file.check_search(look)?;
        file.child(look, dir.view, name)
    })
}

/// The file called `name` in a directory's own superblock, whatever is mounted on it.
pub fn child_place(k: &Kernel, viewer: Viewer, dir: Node, name: &[u8]) -> Option<Place> {
    let look = Look::now(k, viewer, dir).ok()?;
    look.ask(dir.place, |dir| dir.lookup(&look, name))
}

/// What a directory holds, `.` and `..` left out, in Linux's order where it has one. Asks no rights.
///
/// # Errors
/// ENOENT: the directory is gone; EINVAL: `net` of a task that is; ENOTDIR; ESRCH: the viewer is gone.
pub fn readdir(k: &Kernel, eyes: impl Into<Eyes>, dir: Node) -> Result<Vec<DirEntry>> {
    let look = Look::now(k, eyes, dir)?;
    if is_task_gone(&look, dir) {
        return Err(look.ask(dir.place, |file| file.list_error_when_gone()));
    }
    check_dir(&look, dir)?;
    let entries = look.ask(dir.place, |file| file.children(&look, dir.view))?.into_iter();
    let entry = |(name, node): (String, Node)| {
        Some(DirEntry { name, node, file_type: file_type(&look, node.place)?, ino: look.ino(node.place) })
    };
    Ok(entries.filter_map(entry).collect())
}

fn check_dir(look: &Look<'_>, dir: Node) -> Result<()> {
    if !is_alive(look, dir) {
        bail!(ENOENT, "what this directory shows is gone");
    }
    if file_type(look, dir.place) != Some(FileType::Directory) {
        bail!(ENOTDIR, "{} is no directory", look.ask(dir.place, |file| file.path(look)));
    }
    Ok(())
}

/// Attributes of a file, also of one that is open and whose task is gone.
///
/// # Errors
/// ENOENT: it is gone; ESRCH: the viewer is gone.
pub fn attr(k: &Kernel, eyes: impl Into<Eyes>, node: Node) -> Result<Attr> {
    let look = Look::now(k, eyes, node)?;
    let is_lost =
        |file: &dyn Family| file.is_lost_when_gone() && file.outlived().is_some_and(|task| !k.tasks.contains(task));
    if look.ask(node.place, is_lost) {
        bail!(ENOENT, "the task of these descriptors is gone");
    }
    attr_of(&look, node)
}

/// Whether anything can be looked up in a directory, as far as it depends on its task being there.
///
/// # Errors
/// ESRCH
fn check_not_gone(look: &Look<'_>, dir: Node) -> Result<()> {
    if is_task_gone(look, dir) && look.ask(dir.place, |file| file.is_closed_when_gone()) {
        bail!(ESRCH, "the task of this directory is gone");
    }
    Ok(())
}

/// A file that outlives its task for those who have it open: all that `proc` has of a task.
fn is_task_gone(look: &Look<'_>, node: Node) -> bool {
    let outlived = look.ask(node.place, |file| file.outlived());
    outlived.is_some_and(|task| !look.k.tasks.contains(task)) && is_seen(look.k, node)
}

fn attr_of(look: &Look<'_>, node: Node) -> Result<Attr> {
    let exists = is_alive(look, node) || is_task_gone(look, node);
    let file_type = if exists { file_type(look, node.place) } else { None };
    let Some(file_type) = file_type else { bail!(ENOENT, "this file is gone") };
    let (uid, gid, ino) = (GLOBAL_ROOT_UID, GLOBAL_ROOT_GID, look.ino(node.place));
    let plain = Attr { file_type, mode: 0o444, uid, gid, nlink: 1, ino, size: 0 };
    look.ask(node.place, |file| file.attr(look, plain))
}

/// The type of a file whose object is alive; `None`: it is gone, or no file of this tree.
fn file_type(look: &Look<'_>, place: Place) -> Option<FileType> {
    look.ask(place, |file| file.file_type(look.k))
}

/// The object a file shows still exists, and the task that looks too where the view names one.
fn is_alive(look: &Look<'_>, node: Node) -> bool {
    is_seen(look.k, node) && look.ask(node.place, |file| file.is_alive(look.k))
}

fn is_seen(k: &Kernel, node: Node) -> bool {
    node.view.viewer().is_none_or(|task| k.tasks.contains(task))
        && node.path().is_none_or(|path| k.vfs.mounts.contains(path.mount))
}

impl Files {
    /// What a cache may keep of a node.
    pub fn cacheable(&self, node: Node) -> Cacheable {
        // Names and mounts in a file tree change without a task changing.
        let never = Cacheable { name: false, attr: false };
        if node.path().is_some() { never } else { self.ask(node.place, |file| file.caching()) }
    }

    /// The number of a file in listings and in its attributes, whoever looks and by whatever path. A namespace file's is
    /// its inum; every other is a hash of what the file is, 2^52 or more, so a file keeps its number for as long as it
    /// lives and one that comes later has another.
    pub fn ino(&self, k: &Kernel, place: Place) -> u64 {
        self.ask(place, |file| file.ino(k)).unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            place.hash(&mut hasher);
            1 << 52 | hasher.finish() >> 12
        })
    }

    /// What is special about a file's content, if anything.
    pub fn special(&self, node: Node) -> Option<Special> {
        self.ask(node.place, |file| file.special())
    }

    /// How the content of a file changes for those who have it open.
    pub fn content(&self, node: Node) -> Content {
        self.ask(node.place, |file| file.content())
    }

    /// Whether nothing of a file can be changed but its content, not even its times (`S_IMMUTABLE`).
    pub fn is_immutable(&self, node: Node) -> bool {
        self.ask(node.place, |file| file.is_immutable())
    }

    /// Whether an open file has no position: seeks are ESPIPE.
    pub fn is_unseekable(&self, node: Node) -> bool {
        self.ask(node.place, |file| file.is_unseekable())
    }

    /// Whether a directory holds the same names for as long as its task is alive, or for ever.
    pub fn keeps_names(&self, node: Node) -> bool {
        node.path().is_none() && self.ask(node.place, |file| file.keeps_names())
    }

    /// Whether what a name in a directory leads to depends on who asks.
    pub fn is_viewed(&self, dir: Node, name: &[u8]) -> bool {
        self.ask(dir.place, |file| file.is_viewed(name))
    }
}

/// The text of a link as the mount shows it. Of [`Style::Mount`], text of a task's root, working directory and open files
/// is relative to the link, so that following it never leaves the lab; that of namespace links is the name of a hidden
/// file in the same directory, and that of a program is Linux's.
///
/// # Errors
/// EINVAL: no link. EACCES: the task it belongs to is not accessible, or gone if it leads to a namespace. ENOENT: it leads
/// nowhere, or its task is gone.
pub fn readlink(k: &Kernel, eyes: impl Into<Eyes>, node: Node, style: Style) -> Result<Vec<u8>> {
    link_text(k, eyes, node, style)
}

/// The text of a link as Linux shows it to a task.
///
/// # Errors
/// As [`readlink`].
pub fn readlink_as_task(k: &Kernel, task: TaskId, node: Node) -> Result<Vec<u8>> {
    link_text(k, Viewer(task), node, Style::Linux)
}

fn link_text(k: &Kernel, eyes: impl Into<Eyes>, node: Node, style: Style) -> Result<Vec<u8>> {
    let look = Look::now(k, eyes, node)?;
    if !is_alive(&look, node) {
        return Err(look.ask(node.place, |file| file.link_error_when_gone()));
    }
    name::link_text(&look, node, style)
}

/// A file whose content is that of whoever serves the tree to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Grows and can be followed.
    Trace,
    /// What is to go wrong on purpose.
    Faults,
    /// Takes lines of the control language.
    Batch,
    /// Takes the arguments of one call that a task makes, by row of a layer above.
    Call(TaskId, u16),
}

/// The namespace whose file this is.
pub fn ns_of_file(node: Node) -> Option<NsId> {
    TREE.ask(node.place, |file| file.ns())
}

/// The file shows all of the lab and is drawn.
pub fn is_picture(node: Node) -> bool {
    TREE.ask(node.place, |file| file.drawing()).is_some()
}

/// The directory is one whose order of entries is part of what Linux shows.
pub fn is_listed_in_order(node: Node) -> bool {
    TREE.ask(node.place, |file| file.is_listed_in_order())
}
