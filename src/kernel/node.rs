//! The identity of a file in the lab's tree, as plain data: what a descriptor or a cached inode refers to. What is
//! behind it (names, content, rights) is the business of [`crate::tree`].

use super::cgroup::CgroupId;
use super::cgroup::file::CgroupFile;
use super::mount::site::Path;
use super::net::DevId;
use super::net::conf::ConfOf;
use super::{DentryId, IpcNsId, MountId, MqueueId, NsId, NsProxyId, PidNsId, TaskId};

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
    /// By row, a file or directory that belongs to no object: `proc`, `proc/uptime`, `kernel/ops`.
    Fixed(u16),
    /// `proc/sys/user/max_<kind>_namespaces`, by row of [`super::ns::NS_TABLE`].
    MaxNamespaces(u8),
    /// `as/<pid>`.
    As(TaskId),
    /// By row, an entry of `proc/<pid>`, the directory itself and its sub-directories included.
    Pid(TaskId, u16),
    /// By row, an entry of `proc/<pid>/task/<tid>`.
    Tid(TaskId, u16),
    /// The link `proc/<pid>/ns/<entry>`: [`super::ns::ENTRIES`] by index; `thread` when reached by `task/<tid>`.
    NsLink { task: TaskId, entry: u8, thread: bool },
    /// The hidden file a namespace link leads to; its inode number is the inum.
    NsFile(NsId),
    /// `proc/<pid>/fd/<n>`, and `fdinfo/<n>` when `info`; `thread` when reached by `task/<tid>`.
    Fd { task: TaskId, fd: i32, info: bool, thread: bool },
    /// `mqueue/<name>`.
    Mqueue(MqueueId),
    /// A file of a layer above, of a task or of none, by that layer's own rows.
    Above { task: Option<TaskId>, row: u16 },
    /// `kernel/ns/<kind>`, by row of [`super::ns::NS_TABLE`].
    NsKind(u8),
    /// By row, a field of an object of the kernel below `kernel/`; row 0 is the object's directory.
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
/// The top of `proc`.
pub const PROC_ROOT: Place = Place::Fixed(1);
/// The top of `mqueue`.
pub const MQUEUE_ROOT: Place = Place::Fixed(2);

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

impl Place {
    /// The task a file is about, if it is about one.
    pub fn task(&self) -> Option<TaskId> {
        match *self {
            Place::As(task)
            | Place::Pid(task, _)
            | Place::Tid(task, _)
            | Place::NsLink { task, .. }
            | Place::Fd { task, .. }
            | Place::Above { task: Some(task), .. }
            | Place::Struct(Object::Task(task), _)
            | Place::StructItem(Object::Task(task), ..) => Some(task),
            Place::Dentry(_)
            | Place::Fixed(_)
            | Place::MaxNamespaces(_)
            | Place::NsFile(_)
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
