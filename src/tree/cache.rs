//! What may be kept of a file by those who asked for it.

use super::proc::pid;
use super::{FileType, Special, fixed, special};
use crate::kernel::node::{Node, Object, Place, View};

/// How long a cache may keep what it was told, without being told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cacheable {
    /// The name leads to this node until the node's task changes.
    pub name: bool,
    /// Attributes and link text stay until the node's task changes.
    pub attr: bool,
}

/// What a cache may keep of a node.
pub fn cacheable(node: Node) -> Cacheable {
    if matches!(node.view, View::Mount { .. }) {
        // Names and mounts in a file tree change without a task changing.
        return Cacheable { name: false, attr: false };
    }
    let (name, attr) = match node.place {
        Place::Dentry(_) => (false, false),
        Place::Fixed(row) => (true, !fixed::row(row).depends_on_reader() && special(node) != Some(Special::Trace)),
        Place::MaxNamespaces(_) | Place::NsKind(_) | Place::Struct(Object::Ops(_), _) => (true, true),
        // A zombie has none, and the owner is that of the network namespace of a task.
        Place::Pid(_, row) | Place::Tid(_, row) if pid::is_net_file(row) => (false, false),
        // The links into the task's file tree lead elsewhere when that changes.
        Place::Pid(_, row) | Place::Tid(_, row) => (true, pid::row_at(row).file_type() != FileType::Symlink),
        Place::As(_) | Place::NsLink { .. } => (true, true),
        // The layer above says it.
        Place::Above { .. } => (false, false),
        // A namespace may go without any task changing.
        Place::NsFile(_) => (false, true),
        Place::Fd { .. } | Place::Cgroup(..) | Place::NetConf(..) | Place::Mqueue(_) => (false, false),
        Place::Struct(..) | Place::StructItem(..) => (false, false),
    };
    Cacheable { name, attr }
}
