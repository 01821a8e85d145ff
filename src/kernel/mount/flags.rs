//! Flags of mount(2) and of mounts.

use bitflags::bitflags;

bitflags! {
    /// The flags argument of mount(2) (`include/uapi/linux/mount.h`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MsFlags: u32 {
        const RDONLY = 1;
        const NOSUID = 1 << 1;
        const NODEV = 1 << 2;
        const NOEXEC = 1 << 3;
        const SYNCHRONOUS = 1 << 4;
        const REMOUNT = 1 << 5;
        const MANDLOCK = 1 << 6;
        const DIRSYNC = 1 << 7;
        const NOSYMFOLLOW = 1 << 8;
        const NOATIME = 1 << 10;
        const NODIRATIME = 1 << 11;
        const BIND = 1 << 12;
        const MOVE = 1 << 13;
        const REC = 1 << 14;
        const SILENT = 1 << 15;
        const UNBINDABLE = 1 << 17;
        const PRIVATE = 1 << 18;
        const SLAVE = 1 << 19;
        const SHARED = 1 << 20;
        const RELATIME = 1 << 21;
        const STRICTATIME = 1 << 24;
        const LAZYTIME = 1 << 25;
        const NOUSER = 1 << 31;
        const _ = !0;
    }

    /// The flags argument of umount2(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct UmountFlags: u32 {
        const FORCE = 1;
        const DETACH = 2;
        const EXPIRE = 4;
        const NOFOLLOW = 8;
        const _ = !0;
    }

    /// Flags of one mount (`mnt_flags`), by names; the numbers are our own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MountFlags: u32 {
        const READONLY = 1;
        const NOSUID = 1 << 1;
        const NODEV = 1 << 2;
        const NOEXEC = 1 << 3;
        const NOATIME = 1 << 4;
        const NODIRATIME = 1 << 5;
        const RELATIME = 1 << 6;
        const NOSYMFOLLOW = 1 << 7;
        /// Cannot be the source of a bind.
        const UNBINDABLE = 1 << 8;
        /// Cannot be taken off alone: it hides something from the owner of the namespace.
        const LOCKED = 1 << 9;
        /// The flag of this name cannot be cleared (or for the access time mode, changed).
        const LOCK_READONLY = 1 << 10;
        const LOCK_NOSUID = 1 << 11;
        const LOCK_NODEV = 1 << 12;
        const LOCK_NOEXEC = 1 << 13;
        const LOCK_ATIME = 1 << 14;
    }
}

impl MsFlags {
    /// The four types of propagation.
    pub const TYPES: MsFlags = MsFlags::SHARED.union(MsFlags::PRIVATE).union(MsFlags::SLAVE).union(MsFlags::UNBINDABLE);
    /// What names an access time mode.
    const ATIME: MsFlags =
        MsFlags::NOATIME.union(MsFlags::NODIRATIME).union(MsFlags::RELATIME).union(MsFlags::STRICTATIME);

    /// What this asks of the superblock besides read-only, by the names shown (`show_sb_opts`).
    pub fn sb_names(self) -> Vec<&'static str> {
        const NAMES: [(MsFlags, &str); 4] = [
            (MsFlags::SYNCHRONOUS, "sync"),
            (MsFlags::DIRSYNC, "dirsync"),
            (MsFlags::MANDLOCK, "mand"),
            (MsFlags::LAZYTIME, "lazytime"),
        ];
        NAMES.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| *name).collect()
    }

    /// The flags of the mount this call asks for: relatime unless told otherwise (`path_mount`).
    pub fn mount_flags(self) -> MountFlags {
        const PAIRS: [(MsFlags, MountFlags); 7] = [
            (MsFlags::RDONLY, MountFlags::READONLY),
            (MsFlags::NOSUID, MountFlags::NOSUID),
            (MsFlags::NODEV, MountFlags::NODEV),
            (MsFlags::NOEXEC, MountFlags::NOEXEC),
            (MsFlags::NOATIME, MountFlags::NOATIME),
            (MsFlags::NODIRATIME, MountFlags::NODIRATIME),
            (MsFlags::NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
        ];
        let asked = PAIRS.iter().filter(|(ms, _)| self.contains(*ms)).fold(MountFlags::empty(), |all, (_, m)| all | *m);
        if self.contains(MsFlags::STRICTATIME) {
            return asked - MountFlags::NOATIME;
        }
        if self.contains(MsFlags::NOATIME) { asked } else { asked | MountFlags::RELATIME }
    }

    /// Flags for a remount: as [`MsFlags::mount_flags`], but a call that names no access time mode keeps that of `old`.
    pub fn remount_flags(self, old: MountFlags) -> MountFlags {
        let new = self.mount_flags();
        if self.intersects(MsFlags::ATIME) { new } else { (new - MountFlags::ATIME) | (old & MountFlags::ATIME) }
    }
}

impl MountFlags {
    /// The access time mode (`MNT_ATIME_MASK`).
    pub const ATIME: MountFlags = MountFlags::NOATIME.union(MountFlags::NODIRATIME).union(MountFlags::RELATIME);
    /// What a remount sets (`MNT_USER_SETTABLE_MASK`).
    pub const SETTABLE: MountFlags = MountFlags::ATIME
        .union(MountFlags::READONLY)
        .union(MountFlags::NOSUID)
        .union(MountFlags::NODEV)
        .union(MountFlags::NOEXEC)
        .union(MountFlags::NOSYMFOLLOW);
    /// What a copy does not take over from its original.
    pub const INTERNAL: MountFlags = MountFlags::LOCKED.union(MountFlags::UNBINDABLE);
    /// A flag, its lock, and its name in mount(8).
    pub const LOCKS: [(MountFlags, MountFlags, &'static str); 4] = [
        (MountFlags::READONLY, MountFlags::LOCK_READONLY, "ro"),
        (MountFlags::NOSUID, MountFlags::LOCK_NOSUID, "nosuid"),
        (MountFlags::NODEV, MountFlags::LOCK_NODEV, "nodev"),
        (MountFlags::NOEXEC, MountFlags::LOCK_NOEXEC, "noexec"),
    ];

    /// These flags with a lock for each that has one; the access time mode is always locked (`lock_mnt_tree`).
    pub fn with_locks(self) -> MountFlags {
        let locks = Self::LOCKS.iter().filter(|(flag, ..)| self.contains(*flag));
        locks.fold(self | MountFlags::LOCK_ATIME, |all, (_, lock, _)| all | *lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatime_is_the_default_and_strictatime_shows_as_nothing() {
        assert_eq!(MsFlags::empty().mount_flags(), MountFlags::RELATIME);
        assert_eq!((MsFlags::RDONLY | MsFlags::NOATIME).mount_flags(), MountFlags::READONLY | MountFlags::NOATIME);
        assert_eq!(MsFlags::STRICTATIME.mount_flags(), MountFlags::empty());
    }

    #[test]
    fn a_remount_clears_what_it_does_not_name_but_keeps_the_access_time_mode() {
        let old = MountFlags::NOSUID | MountFlags::NOATIME;
        assert_eq!(MsFlags::RDONLY.remount_flags(old), MountFlags::READONLY | MountFlags::NOATIME);
        assert_eq!(MsFlags::RELATIME.remount_flags(old), MountFlags::RELATIME);
    }

    #[test]
    fn only_flags_that_are_set_get_a_lock() {
        let locked = (MountFlags::NODEV | MountFlags::RELATIME).with_locks();
        let expected = MountFlags::NODEV | MountFlags::RELATIME | MountFlags::LOCK_NODEV | MountFlags::LOCK_ATIME;
        assert_eq!(locked, expected);
    }
}
