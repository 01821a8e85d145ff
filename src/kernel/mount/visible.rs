//! What can be seen already may be mounted anew (`mount_too_revealing` and `mnt_already_visible` in `fs/namespace.c`).

use super::flags::MountFlags;
use super::sb::FsType;
use crate::kernel::node::Place;
use crate::kernel::{Kernel, MntNsId, MountId, UserNsId};

impl Kernel {
    /// The flags of a new mount of a type that shows much of the kernel, in a mount namespace: where the initial user
    /// namespace is not the owner, one has to be there already, with nothing hidden, and the new one takes over its locks.
    /// `None`: it would reveal something.
    pub fn unrevealing_flags(&self, ns: MntNsId, fs: &FsType, flags: MountFlags) -> Option<MountFlags> {
        if !fs.reveals || self.ns_owner(ns) == Some(self.init.user_ns) {
            return Some(flags);
        }
        let mounts = self.vfs.trees[self.tree_of(ns)].mounts.values();
        let locks = mounts.map(|mount| mount.id()).find_map(|mount| self.visible_locks(mount, fs, flags));
        locks.map(|locks| flags | locks)
    }

    /// Whether who has all capabilities in a user namespace may mount the type in one of the mount namespaces that it owns.
    pub fn may_mount(&self, user_ns: UserNsId, fs: &FsType) -> bool {
        let mut own = self.namespaces.of_kind().map(|(ns, _)| ns).filter(|&ns| self.owner_of(ns) == user_ns);
        own.any(|ns| self.unrevealing_flags(ns, fs, MountFlags::RELATIME).is_some())
    }

    /// The locks a new mount takes over from a visible one; `None`: this one is not fully visible, or has flags the new one
    /// would not have.
    fn visible_locks(&self, id: MountId, fs: &FsType, new: MountFlags) -> Option<MountFlags> {
        let mount = &self.vfs.mounts[id];
        let sb = &self.vfs.sbs[mount.sb.id()];
        if sb.fs.name != fs.name || mount.root.place() != sb.root.place() {
            return None;
        }
        let mut flags = mount.flags;
        flags.set(MountFlags::LOCK_READONLY, flags.contains(MountFlags::LOCK_READONLY) || sb.read_only);
        let reveals_writes = flags.contains(MountFlags::LOCK_READONLY) && !new.contains(MountFlags::READONLY);
        let other_atime = flags.contains(MountFlags::LOCK_ATIME) && (flags ^ new).intersects(MountFlags::ATIME);
        let hides = |(place, child): (&Place, &MountId)| {
            self.vfs.mounts[*child].flags.contains(MountFlags::LOCKED) && !self.is_mount_stub(*place)
        };
        let is_visible = !reveals_writes && !other_atime && !mount.at.iter().any(hides);
        is_visible.then_some(flags & (MountFlags::LOCK_READONLY | MountFlags::LOCK_ATIME))
    }

    fn is_mount_stub(&self, place: Place) -> bool {
        matches!(place, Place::Dentry(dentry) if self.vfs.dentries[dentry].is_mount_stub)
    }
}
