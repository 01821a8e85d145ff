//! Layer 1b: the lab's file tree, a read-only view of a [`Kernel`]: names, attributes, rights and content of every
//! file. It knows neither FUSE nor locks and never changes a kernel.
//!
//! Files come from tables: `fixed` for those that belong to no object, `proc::pid` for those of a task,
//! `structs` for the objects of the kernel. `ctl/` is not here: the names of its files are the verbs of a higher
//! layer, see `crate::lab`.

mod cache;
mod census;
mod cgroup;
mod fixed;
mod graph;
mod json;
mod look;
mod mqueue;
mod name;
mod net_conf;
mod open;
mod outline;
mod proc;
mod read;
mod resolve;
mod root;
mod rows;
mod structs;
mod trace;

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::bail;
use crate::errno::Result;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::file::CgroupFile;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Kgid, Kuid};
use crate::kernel::net::conf::ConfOf;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::ns::NsType;
use crate::kernel::ns::ipc::IpcSysctl;
use crate::kernel::uid_map::MapKind;
use crate::kernel::{DentryId, Kernel, TaskId};
pub use census::{Census, Rendering};
use look::Look;
use name::Style;
use proc::pid::{self, TaskDir, fd};
use proc::sys::{self, Rule};

pub use cache::{Cacheable, cacheable};
pub use open::{
    DirUse, bind, check_writable, may_access_dir, may_open, may_write_as, may_write_sysctl, open, write_target,
};
pub use read::{read, read_file, read_open};
pub use resolve::{Last, resolve, resolve_file, resolve_parent};
pub use root::{getcwd, site};
pub use trace::lines_after as trace_after;

/// Who looks: ids and rights are this task's. Numbers are those of the view's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer(pub TaskId);

/// The number of the top directory.
pub const ROOT_INO: u64 = 1;

/// The top of the lab.
pub const ROOT: Node = Node { view: View::Caller, place: Place::Fixed(0) };

/// The names at the top that lead to what the viewer sees; the others are the same for all.
pub const VIEWED: [&str; 4] = ["proc", "root", "cgroup", "mqueue"];

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
    /// The inode number, see [`ino`].
    pub ino: u64,
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

/// The file called `name` in a directory. Asks no rights: [`resolve`] does.
///
/// # Errors
/// ENOENT: there is none; ENOTDIR; ESRCH: the viewer is gone.
pub fn lookup(k: &Kernel, viewer: Viewer, dir: Node, name: &[u8]) -> Result<Node> {
    let look = Look::now(k, viewer, dir)?;
    check_not_gone(&look, dir)?;
    check_dir(&look, dir)?;
    let found = match dir.place {
        Place::As(task) => return child_of_as(k, task, name),
        place if place == ROOT.place && name == b"root" => root::of_task(k, look.reader, dir.view.viewer()),
        place => lookup_place(&look, place, name).map(|place| root::topmost(k, Node { view: dir.view, place })),
    };
    match found {
        Some(node) => Ok(node),
        None => bail!(ENOENT, "no {} in {}", String::from_utf8_lossy(name).into_owned(), name::path(&look, dir.place)),
    }
}

/// The same inside one superblock: what is mounted there is not looked at.
fn lookup_place(look: &Look<'_>, dir: Place, name: &[u8]) -> Option<Place> {
    match dir {
        Place::Dentry(dir) => look.k.child_dentry(dir, name).map(Place::Dentry),
        Place::Cgroup(id, None) => cgroup::lookup(look.k, id, name),
        Place::NetConf(of, None) => {
            net_conf::settings(of).find(|(setting, _)| setting.as_bytes() == name).map(|(_, place)| place)
        }
        Place::Fixed(row) => fixed::lookup(look, row, name),
        Place::Pid(task, row) => TaskDir::process(task).lookup(look, row, name),
        Place::Tid(task, row) => TaskDir::thread(task).lookup(look, row, name),
        Place::NsKind(kind) => structs::lookup_ns(look.k, kind, name),
        Place::Struct(object, row) => structs::lookup(look.k, object, row, name),
        _ => None,
    }
}

/// The file called `name` in a directory's own superblock, whatever is mounted on it.
pub fn child_place(k: &Kernel, viewer: Viewer, dir: Node, name: &[u8]) -> Option<Place> {
    lookup_place(&Look::now(k, viewer, dir).ok()?, dir.place, name)
}

/// What a directory holds, `.` and `..` left out, in Linux's order where it has one. Asks no rights.
///
/// # Errors
/// ENOENT: the directory is gone; ENOTDIR; ESRCH: the viewer is gone.
pub fn readdir(k: &Kernel, viewer: Viewer, dir: Node) -> Result<Vec<DirEntry>> {
    let look = Look::now(k, viewer, dir)?;
    check_dir(&look, dir)?;
    let entries = match dir.place {
        Place::As(task) => return as_entries(k, task),
        Place::Dentry(id) => root::readdir(k, id),
        Place::Cgroup(id, None) => cgroup::readdir(k, id),
        Place::NetConf(of, None) => net_conf::settings(of).collect(),
        Place::Fixed(row) => fixed::readdir(&look, row),
        Place::Pid(task, row) => TaskDir::process(task).readdir(&look, row)?,
        Place::Tid(task, row) => TaskDir::thread(task).readdir(&look, row)?,
        Place::NsKind(kind) => structs::readdir_ns(k, kind),
        Place::Struct(object, row) => structs::readdir(k, object, row),
        _ => Vec::new(),
    };
    let entries = entries.into_iter().filter_map(|(name, place)| {
        let node = root::topmost(k, Node { view: dir.view, place });
        Some(DirEntry { name, node, file_type: file_type(k, node.place)?, ino: ino(k, node.place) })
    });
    let root = (dir.place == ROOT.place).then(|| root::entry(k, look.reader, dir.view.viewer())).flatten();
    Ok(entries.chain(root).collect())
}

/// The trees of `as/<pid>`, as that task sees them.
///
/// # Errors
/// ESRCH: the task is gone.
fn as_entries(k: &Kernel, task: TaskId) -> Result<Vec<DirEntry>> {
    let look = Look::now(k, Viewer(task), Node { view: View::As(task), ..ROOT })?;
    let dirs = fixed::as_dirs().map(|(row, name)| (name, Place::Fixed(row)));
    let entries = dirs.chain(fixed::view_trees(&look)).map(|(name, place)| DirEntry {
        name: name.to_owned(),
        node: Node { view: View::As(task), place },
        file_type: FileType::Directory,
        ino: ino(k, place),
    });
    Ok(entries.chain(root::entry(k, task, Some(task))).collect())
}

fn child_of_as(k: &Kernel, task: TaskId, name: &[u8]) -> Result<Node> {
    match as_entries(k, task)?.into_iter().find(|entry| entry.name.as_bytes() == name) {
        Some(entry) => Ok(entry.node),
        None => bail!(ENOENT, "no {} in as/<pid>", String::from_utf8_lossy(name).into_owned()),
    }
}

fn check_dir(look: &Look<'_>, dir: Node) -> Result<()> {
    if !is_alive(look.k, dir) {
        bail!(ENOENT, "what this directory shows is gone");
    }
    if file_type(look.k, dir.place) != Some(FileType::Directory) {
        bail!(ENOTDIR, "{} is no directory", name::path(look, dir.place));
    }
    Ok(())
}

/// Attributes of a file, also of one that is open and whose task is gone.
///
/// # Errors
/// ENOENT: it is gone; ESRCH: the viewer is gone.
pub fn attr(k: &Kernel, viewer: Viewer, node: Node) -> Result<Attr> {
    let look = Look::now(k, viewer, node)?;
    if let Place::Pid(task, row) | Place::Tid(task, row) = node.place
        && matches!(pid::row_at(row).kind, pid::Kind::Dir(pid::Dir::Fd))
        && !k.tasks.contains(task)
    {
        bail!(ENOENT, "the task of these descriptors is gone");
    }
    attr_of(&look, node)
}

/// Whether anything can be looked up in a directory, as far as it depends on its task being there.
///
/// # Errors
/// ESRCH
fn check_not_gone(look: &Look<'_>, dir: Node) -> Result<()> {
    let closed = match dir.place {
        Place::Pid(task, row) => TaskDir::process(task).is_closed_when_gone(row),
        Place::Tid(task, row) => TaskDir::thread(task).is_closed_when_gone(row),
        _ => false,
    };
    if closed && is_task_gone(look.k, dir) {
        bail!(ESRCH, "the task of this directory is gone");
    }
    Ok(())
}

/// A file that outlives its task for those who have it open: all that `proc` has of a task.
fn is_task_gone(k: &Kernel, node: Node) -> bool {
    let task = match node.place {
        Place::Pid(task, _) | Place::Tid(task, _) | Place::NsLink { task, .. } => task,
        _ => return false,
    };
    !k.tasks.contains(task) && is_seen(k, node)
}

fn attr_of(look: &Look<'_>, node: Node) -> Result<Attr> {
    let k = look.k;
    let is_gone = is_task_gone(k, node);
    let file_type = if is_gone || is_alive(k, node) { file_type(k, node.place) } else { None };
    let Some(file_type) = file_type else { bail!(ENOENT, "this file is gone") };
    let mut attr =
        Attr { file_type, mode: 0o444, uid: GLOBAL_ROOT_UID, gid: GLOBAL_ROOT_GID, nlink: 1, ino: ino(k, node.place) };
    match node.place {
        Place::Dentry(id) => attr = root::attr(k, id),
        Place::Fixed(row) => {
            attr.mode = sys::mode(k, fixed::row(row), look.bound);
            attr.nlink = fixed::nlink(row);
            (attr.uid, attr.gid) = match fixed::row(row).kind {
                fixed::Kind::Dir(fixed::Dir::Mqueue) => mqueue::root_owner(look),
                _ => sys::rule(look, fixed::row(row)).owner(k),
            };
        }
        Place::MaxNamespaces(_) => attr.mode = 0o644,
        Place::As(task) => own(k, &mut attr, task, 0o555),
        Place::Pid(task, row) | Place::Tid(task, row) if is_gone => {
            attr.mode = pid::row_at(row).mode;
            attr.nlink = TaskDir { task, thread: matches!(node.place, Place::Tid(..)) }.nlink(k, row);
        }
        Place::NsLink { .. } if is_gone => attr.mode = 0o777,
        Place::Pid(task, row) | Place::Tid(task, row) => {
            own(k, &mut attr, task, pid::row_at(row).mode);
            if pid::is_net_file(row) {
                let owner = look.bound_to().map(|net| Rule::Net(net).owner(k));
                (attr.uid, attr.gid) = owner.unwrap_or((GLOBAL_ROOT_UID, GLOBAL_ROOT_GID));
            }
            let dir = TaskDir { task, thread: matches!(node.place, Place::Tid(..)) };
            attr.nlink = dir.nlink(k, row);
        }
        Place::NsLink { task, .. } => own(k, &mut attr, task, 0o777),
        Place::Mqueue(queue) => {
            let queue = &k.mqueues[queue];
            (attr.mode, attr.uid, attr.gid) = (queue.mode, queue.uid, queue.gid);
        }
        Place::NsFile(_) => {}
        Place::Fd { task, fd, info: false, .. } => own(k, &mut attr, task, fd::link_mode(fd::file(k, task, fd)?)),
        Place::Fd { task, info: true, .. } => own(k, &mut attr, task, 0o444),
        Place::NetConf(_, row) => {
            attr.mode = net_conf::mode(row);
            if let Some(net) = look.bound_to() {
                (attr.uid, attr.gid) = Rule::Net(net).owner(k);
            }
        }
        Place::Cgroup(id, file) => cgroup::set_attr(k, &mut attr, id, file),
        Place::NsKind(_) | Place::Struct(..) | Place::StructItem(..) => attr.mode = struct_mode(file_type),
        Place::Above { .. } => {}
    }
    Ok(attr)
}

fn own(k: &Kernel, attr: &mut Attr, task: TaskId, mode: u16) {
    attr.mode = mode;
    (attr.uid, attr.gid) = pid::owner(k, task, attr.file_type, mode);
}

fn struct_mode(file_type: FileType) -> u16 {
    match file_type {
        FileType::Directory => 0o555,
        FileType::File | FileType::Socket => 0o444,
        FileType::Symlink => 0o777,
    }
}

/// The type of a file whose object is alive; `None`: it is gone, or no file of this tree.
fn file_type(k: &Kernel, place: Place) -> Option<FileType> {
    match place {
        Place::Dentry(id) => k.vfs.dentries.get(id).map(root::file_type),
        Place::Fixed(row) => Some(fixed::row(row).file_type()),
        Place::MaxNamespaces(_) | Place::NsFile(_) | Place::Mqueue(_) => Some(FileType::File),
        Place::As(_) | Place::NsKind(_) => Some(FileType::Directory),
        Place::Pid(_, row) | Place::Tid(_, row) => Some(pid::row_at(row).file_type()),
        Place::NsLink { .. } => Some(FileType::Symlink),
        Place::Fd { task, fd, info, .. } => {
            k.file_at(task, fd)?;
            Some(if info { FileType::File } else { FileType::Symlink })
        }
        Place::NetConf(_, row) => Some(if row.is_some() { FileType::File } else { FileType::Directory }),
        Place::Cgroup(_, file) => Some(cgroup::file_type(file)),
        Place::Struct(object, row) => structs::file_type(k, object, row),
        Place::StructItem(object, row, key) => structs::item_type(k, object, row, key),
        Place::Above { .. } => None,
    }
}

/// The object a file shows still exists, and the task that looks too where the view names one.
fn is_alive(k: &Kernel, node: Node) -> bool {
    let exists = match node.place {
        Place::Dentry(id) => k.vfs.dentries.contains(id),
        Place::NsFile(ns) => k.namespaces.contains(ns),
        Place::Cgroup(id, _) => cgroup::is_alive(k, id),
        Place::NetConf(of, _) => net_conf::is_alive(k, of),
        Place::Mqueue(queue) => k.mqueues.contains(queue),
        Place::Struct(object, _) | Place::StructItem(object, ..) => structs::is_alive(k, object),
        _ => node.task().is_none_or(|task| k.tasks.contains(task)),
    };
    is_seen(k, node) && exists
}

fn is_seen(k: &Kernel, node: Node) -> bool {
    node.view.viewer().is_none_or(|task| k.tasks.contains(task))
        && node.path().is_none_or(|path| k.vfs.mounts.contains(path.mount))
}

/// The text of a link as the mount shows it: following it never leaves the lab. Link text of a task's root, working
/// directory, program and open files is relative to the link; that of namespace links is the name of a hidden file in
/// the same directory.
///
/// # Errors
/// EINVAL: no link. EACCES: the task it belongs to is not accessible, or gone if it leads to a namespace. ENOENT: it leads
/// nowhere, or its task is gone.
pub fn readlink(k: &Kernel, viewer: Viewer, node: Node) -> Result<Vec<u8>> {
    link_text(k, viewer, node, Style::Mount)
}

/// The text of a link as Linux shows it to a task.
///
/// # Errors
/// As [`readlink`].
pub fn readlink_as_task(k: &Kernel, task: TaskId, node: Node) -> Result<Vec<u8>> {
    link_text(k, Viewer(task), node, Style::Linux)
}

fn link_text(k: &Kernel, viewer: Viewer, node: Node, style: Style) -> Result<Vec<u8>> {
    let look = Look::now(k, viewer, node)?;
    if !is_alive(k, node) {
        match node.place {
            Place::NsLink { .. } => bail!(EACCES, "the task this link belongs to is gone"),
            _ => bail!(ENOENT, "the task this link belongs to is gone"),
        }
    }
    name::link_text(&look, node, style)
}

/// The number of a file in listings and in its attributes, whoever looks and by whatever path. A namespace file's is its
/// inum; every other is a hash of what the file is, 2^52 or more, so a file keeps its number for as long as it lives and
/// one that comes later has another.
pub fn ino(k: &Kernel, place: Place) -> u64 {
    if place == ROOT.place {
        return ROOT_INO;
    }
    if let Place::NsFile(ns) = place
        && let Some(ns) = k.namespaces.get(ns)
    {
        return u64::from(ns.common.inum);
    }
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    1 << 52 | hasher.finish() >> 12
}

/// A file whose content is that of whoever serves the tree to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Grows and can be followed.
    Trace,
    /// What is to go wrong on purpose.
    Faults,
}

/// What is special about a file's content, if anything.
pub fn special(node: Node) -> Option<Special> {
    let Place::Fixed(row) = node.place else { return None };
    match fixed::row(row).kind {
        fixed::Kind::Special(special, _) => Some(special),
        fixed::Kind::Dir(_)
        | fixed::Kind::File(_)
        | fixed::Kind::Picture(_)
        | fixed::Kind::Link(_)
        | fixed::Kind::Sysctl { .. }
        | fixed::Kind::Ipc(_)
        | fixed::Kind::SysvIpc(_) => None,
    }
}

/// The link of a descriptor, which may be closed while its task lives.
pub fn is_descriptor(node: Node) -> bool {
    matches!(node.place, Place::Fd { .. })
}

/// The directory is `ns`, whose order of entries is part of what Linux shows.
pub fn is_ns_dir(node: Node) -> bool {
    let (Place::Pid(_, row) | Place::Tid(_, row)) = node.place else { return false };
    matches!(pid::row_at(row).kind, pid::Kind::Dir(pid::Dir::Ns))
}
