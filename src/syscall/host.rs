//! What the host does to a lab: its programs make directories and write to files in the mount, where the host's kernel has
//! walked the path, and its time goes on. Calls by path are [`super::namei`] and [`super::write`].

use super::{Outcome, Return, namei, write};
use crate::kernel::cgroup::file::CgroupFile;
use crate::kernel::clock::CLOCK_MAX;
use crate::kernel::file::Bound;
use crate::kernel::node::{Node, Place};
use crate::kernel::{Kernel, TaskId};

/// A call of the host. But for the last the task that looks makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostCall {
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
    /// pwrite(2) to a file that was opened for it.
    WriteAt {
        file: Bound,
        pos: u64,
        bytes: Vec<u8>,
    },
    /// Real time has passed, in nanoseconds.
    Tick {
        nanos: u64,
    },
}

impl HostCall {
    /// Thaws or kills a cgroup by the files of the lab's own tree: the host's user does, whether the task that looks runs
    /// or not. Nobody in the lab could thaw its init.
    pub(super) fn frees(&self) -> bool {
        let HostCall::WriteAt { file, .. } = self else { return false };
        let is_of_host = file.node.view.viewer().is_none();
        is_of_host && matches!(file.node.place, Place::Cgroup(_, Some(CgroupFile::Freeze | CgroupFile::Kill)))
    }
}

/// # Errors
/// Those of the call; a clock at its end stands still without one.
pub(super) fn sys_host(k: &mut Kernel, me: TaskId, call: &HostCall) -> Outcome {
    let number = match call {
        HostCall::MkdirAt { dir, name, mode } => namei::mkdir_at(k, me, *dir, name, *mode).map(|()| 0)?,
        HostCall::RmdirAt { dir, name } => namei::rmdir_at(k, me, *dir, name).map(|()| 0)?,
        HostCall::WriteAt { file, pos, bytes } => write::write_open(k, me, file, *pos, bytes)?,
        HostCall::Tick { nanos } => {
            let left = CLOCK_MAX - k.clock.moved();
            k.clock.advance(left.min(*nanos));
            0
        }
    };
    Ok(Return::Num(number as i64))
}
