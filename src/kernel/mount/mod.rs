//! The small VFS: superblocks with files, and trees of mounts (`fs/namespace.c`, `fs/pnode.c`, `fs/super.c`).
//!
//! A [`Mount`] shows a superblock, from some directory of it on, at a place in the tree of mounts of a
//! namespace; its tree holds it, and whoever uses a file through it. [`propagation`] is what makes a change in one place
//! happen in others; [`umount`] takes mounts away.

pub mod boot;
pub mod dentry;
pub mod flags;
pub mod mountpoints;
pub mod options;
pub mod propagation;
pub mod recorded;
pub mod sb;
pub mod site;
pub mod tree;
pub mod umount;
mod visible;

use std::collections::BTreeMap;

use super::refcount::Forever;
use super::table::{LowestFree, Table};
use super::{MountId, SbId, TaskId};
use dentry::Dentry;
use mountpoints::Mountpoints;
use sb::{SharedSbs, SuperBlock};
use site::TaskNames;
use tree::{Mount, MountTree};

/// Most mounts in a namespace (`fs.mount-max`).
const MOUNT_MAX: u32 = 100_000;
/// The first unique id of a mount (`mnt_id_ctr`).
const FIRST_UNIQUE_ID: u64 = (1 << 31) + 1;

/// All file systems and mounts.
#[derive(Clone, Debug)]
pub struct Vfs {
    pub sbs: Table<SuperBlock>,
    pub dentries: Table<Dentry>,
    pub mounts: Table<Mount>,
    pub trees: Table<MountTree>,
    /// `fs.mount-max`
    pub mount_max: u32,
    /// The kernel's own mount of the namespace files; in no tree.
    pub nsfs: Forever<Mount>,
    pub(super) shared_sbs: SharedSbs,
    pub(super) mountpoints: Mountpoints,
    /// What names the tasks some of whose files in `proc` are held.
    pub(super) task_names: BTreeMap<TaskId, TaskNames>,
    /// Superblocks the kernel keeps for itself.
    pub(super) kept_sbs: Vec<Forever<SuperBlock>>,
    /// `mnt_id`s.
    pub(super) mount_ids: LowestFree,
    /// Peer group ids.
    pub(super) group_ids: LowestFree,
    /// Minor numbers of superblocks without a device.
    pub(super) devices: LowestFree,
    pub(super) next_unique_id: u64,
    /// The order of children below their parent.
    pub(super) next_turn: u64,
}

impl Vfs {
    /// The superblock a mount shows.
    pub fn sb_of(&self, mount: MountId) -> SbId {
        self.mounts[mount].sb.id()
    }
}
