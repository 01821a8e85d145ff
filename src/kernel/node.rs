//! The identity of a file in the lab's tree, as plain data: what a descriptor or a cached inode refers to. What is
//! behind it (names, content, rights) is the business of [`crate::tree`].

use super::cgroup::CgroupId;
use super::cgroup::file::CgroupFile;
use super::mount::site::Path;
use super::net::DevId;
use super::net::conf::ConfOf;
use super::ns::NsType;
use super::{DentryId, FileId, IpcNsId, MountId, MqueueId, NsId, NsProxyId, PidNsId, TaskId};

/// A file of the lab as seen through one view.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Node {
    pub view: View,
    pub place: Place,
}

/// Through which instance of `proc` a file is seen, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum View {
    /// Through a mount, in the file tree of some task: numbers are those of the mount's `proc`, if it is one. Seen by
    /// `viewer` below `as/<pid>/root`, else by whoever asks.
    Mount { mount: MountId, viewer: Option<TaskId> },
    /// The lab's own `proc`, of the initial pid namespace, seen by whoever asks.
    Caller,
    /// Below `as/<pid>/`: of that task's pid namespace, always seen by that task.
    As(TaskId),
    /// The same outside `as/`, for those whom the lab shows what that task sees.
    Attached(TaskId),
    /// What a task reaches by path or descriptor: numbers of this pid namespace, seen by whoever asks.
    PidNs(PidNsId),
}

/// What a [`Node`] is. Numbers named "row" index the static tables of [`crate::tree`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Place {
    /// A file of a plain file system.
    Dentry(DentryId),
    /// The top of a tree that is no object of the kernel.
    Top(Top),
    /// The top of nsfs, to which no path leads.
    Nsfs,
    /// By row, a file or directory that belongs to no object.
    Fixed(u16),
    /// The limit for a kind of namespace below `proc/sys/user`.
    MaxNamespaces(NsType),
    /// `as/<pid>`.
    As(TaskId),
    /// By row, an entry of the directory of a task, sub-directories included; [`ITSELF`] is the directory.
    Task(TaskDir, u16),
    /// The link to a namespace in the directory of a task: [`super::ns::ENTRIES`] by index.
    NsLink(TaskDir, u8),
    /// The hidden file a namespace link leads to; its inode number is the inum.
    NsFile(NsId),
    /// A descriptor in the directory of a task: the link, or what is told of it when `info`.
    Fd { dir: TaskDir, fd: i32, info: bool },
    /// An open file that is in no tree, a socket or a pidfd: what the link of its descriptor leads to.
    Unnamed(FileId),
    /// `mqueue/<name>`.
    Mqueue(MqueueId),
    /// A file of a layer above, of a task or of none, by that layer's own rows.
    Above { task: Option<TaskId>, row: u16 },
    /// The directory of all namespaces of a kind.
    NsKind(NsType),
    /// By row, a field of an object of the kernel; [`ITSELF`] is the object's directory.
    Struct(Object, u16),
    /// The directory of a cgroup, or a file in it.
    Cgroup(CgroupId, Option<CgroupFile>),
    /// `proc/sys/net/ipv4/conf/<device>`, or by row a setting in it; `all` and `default` are the reader's.
    NetConf(ConfOf, Option<u8>),
    /// By row and key, an element of a list: a child, a task, a number.
    StructItem(Object, u16, u32),
}

/// What has a directory below `kernel/` and can be pointed at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Object {
    Task(TaskId),
    NsProxy(NsProxyId),
    Ns(NsId),
    Dev(DevId),
    /// A System V object of an IPC namespace, by kind and identifier.
    Ipc(IpcNsId, IpcKind, i32),
    /// A table of operations, by index of [`super::ns::ENTRIES`].
    Ops(u8),
}

/// The kinds of System V objects, in the order of `ipc_namespace.ids`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum IpcKind {
    Sem,
    Msg,
    Shm,
}

/// The row of a directory among the rows of what is in it.
pub const ITSELF: u16 = 0;

/// The trees whose tops are no objects of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Top {
    Lab,
    Proc,
    Mqueue,
}

/// The directory of a process or thread, from which its entries are reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TaskDir {
    pub task: TaskId,
    /// `task/<tid>` rather than `proc/<pid>`.
    pub thread: bool,
}

impl TaskDir {
    pub fn process(task: TaskId) -> TaskDir {
        TaskDir { task, thread: false }
    }

    pub fn thread(task: TaskId) -> TaskDir {
        TaskDir { task, thread: true }
    }

    /// One of its entries.
    pub fn entry(self, row: u16) -> Place {
        Place::Task(self, row)
    }
}

impl View {
    /// The task that looks, where it is always the same.
    pub fn viewer(self) -> Option<TaskId> {
        match self {
            View::As(task) | View::Attached(task) => Some(task),
            View::Mount { viewer, .. } => viewer,
            View::Caller | View::PidNs(_) => None,
        }
    }
}

impl Node {
    /// The task this file shows, if it is about one: it is stale when that task changes.
    pub fn task(&self) -> Option<TaskId> {
        self.place.task()
    }

    /// The path, of a file in the file tree of some task.
    pub fn path(&self) -> Option<Path> {
        match self.view {
            View::Mount { mount, .. } => Some(Path { mount, place: self.place }),
            View::Caller | View::As(_) | View::Attached(_) | View::PidNs(_) => None,
        }
    }
}

impl From<Path> for Node {
    /// As a task sees it that gets there.
    fn from(path: Path) -> Node {
        Node { view: View::Mount { mount: path.mount, viewer: None }, place: path.place }
    }
}

/// What a file is by itself, if it is more than a view of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    Dentry(DentryId),
    /// The directory of a cgroup.
    Cgroup(CgroupId),
    /// A file in the directory of a cgroup.
    CgroupFile(CgroupId, CgroupFile),
    Mqueue(MqueueId),
    /// A view: names, owner and mode follow from what it shows.
    View,
}

impl Place {
    /// What the file is by itself.
    pub fn backing(&self) -> Backing {
        match *self {
            Place::Dentry(id) => Backing::Dentry(id),
            Place::Cgroup(id, None) => Backing::Cgroup(id),
            Place::Cgroup(id, Some(file)) => Backing::CgroupFile(id, file),
            Place::Mqueue(id) => Backing::Mqueue(id),
            Place::Top(_)
            | Place::Nsfs
            | Place::Fixed(_)
            | Place::MaxNamespaces(_)
            | Place::As(_)
            | Place::Task(..)
            | Place::NsLink(..)
            | Place::NsFile(_)
            | Place::Fd { .. }
            | Place::Unnamed(_)
            | Place::Above { .. }
            | Place::NsKind(_)
            | Place::NetConf(..)
            | Place::Struct(..)
            | Place::StructItem(..) => Backing::View,
        }
    }

    /// The task a file is about, if it is about one.
    pub fn task(&self) -> Option<TaskId> {
        match *self {
            Place::As(task)
            | Place::Task(TaskDir { task, .. }, _)
            | Place::NsLink(TaskDir { task, .. }, _)
            | Place::Fd { dir: TaskDir { task, .. }, .. }
            | Place::Above { task: Some(task), .. }
            | Place::Struct(Object::Task(task), _)
            | Place::StructItem(Object::Task(task), ..) => Some(task),
            Place::Dentry(_)
            | Place::Top(_)
            | Place::Nsfs
            | Place::Fixed(_)
            | Place::MaxNamespaces(_)
            | Place::NsFile(_)
            | Place::Unnamed(_)
            | Place::Mqueue(_)
            | Place::Above { task: None, .. }
            | Place::NsKind(_)
            | Place::Cgroup(..)
            | Place::NetConf(..)
            | Place::Struct(
                Object::NsProxy(_) | Object::Ns(_) | Object::Dev(_) | Object::Ipc(..) | Object::Ops(_),
                _,
            )
            | Place::StructItem(
                Object::NsProxy(_) | Object::Ns(_) | Object::Dev(_) | Object::Ipc(..) | Object::Ops(_),
                ..,
            ) => None,
        }
    }
}
