//! Calls about a file that was found already: what a host's program does in the mount, where the host's kernel walks
//! the path. Elsewhere the same calls take paths ([`super::namei`], [`super::write`]).

use super::{Return, namei, write};
use crate::errno::Result;
use crate::kernel::cgroup::file::CgroupFile;
use crate::kernel::node::{Node, Place};
use crate::kernel::{Kernel, TaskId};

/// A call on a file or a directory that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeCall {
    /// The mode is that of the directory: a umask has been applied.
    MkdirAt {
        dir: Node,
        name: Vec<u8>,
        mode: u16,
    },
    RmdirAt {
        dir: Node,
        name: Vec<u8>,
    },
    /// pwrite(2) to a file that the caller opens for it.
    WriteAt {
        file: Node,
        pos: u64,
        bytes: Vec<u8>,
    },
}

impl NodeCall {
    /// Whether it is for the host's user rather than for the task that looks, which may be frozen or stopped: thawing
    /// and killing a cgroup in the lab's own tree. Nobody in the lab could thaw its init.
    pub(super) fn is_of_host(&self) -> bool {
        let NodeCall::WriteAt { file, .. } = self else { return false };
        let frees = matches!(file.place, Place::Cgroup(_, Some(CgroupFile::Freeze | CgroupFile::Kill)));
        frees && file.view.viewer().is_none()
    }
}

/// # Errors
/// Those of the call.
pub(super) fn sys_node(k: &mut Kernel, me: TaskId, call: &NodeCall) -> Result<Return> {
    match call {
        NodeCall::MkdirAt { dir, name, mode } => namei::mkdir_at(k, me, *dir, name, *mode).map(|()| Return::Num(0)),
        NodeCall::RmdirAt { dir, name } => namei::rmdir_at(k, me, *dir, name).map(|()| Return::Num(0)),
        NodeCall::WriteAt { file, pos, bytes } => {
            write::write_node(k, me, *file, *pos, bytes).map(|written| Return::Num(written as i64))
        }
    }
}
