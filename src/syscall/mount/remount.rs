//! Changing mounts and superblocks in place (`do_reconfigure_mnt`, `do_remount`).

use super::{check_mount_root, check_own};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::mount::flags::{MountFlags, MsFlags};
use crate::kernel::mount::options::SbOptions;
use crate::kernel::mount::site::Path;
use crate::kernel::{Current, Kernel, MountId};

/// Sets the flags of one mount (MS_REMOUNT with MS_BIND); those not named are cleared.
///
/// # Errors
/// EINVAL: another namespace, no mount point; EPERM: a locked flag; EBUSY: files are open for writing.
pub(super) fn one_mount(k: &mut Kernel, me: Current, target: Path, flags: MsFlags) -> Result<()> {
    let new = check(k, me, target, flags)?;
    let mount = &k.vfs.mounts[target.mount];
    let becomes_read_only = new.contains(MountFlags::READONLY) && !mount.flags.contains(MountFlags::READONLY);
    if becomes_read_only && mount.writers > 0 {
        bail!(EBUSY, "{} files of mount {} are open for writing", mount.writers, mount.mnt_id);
    }
    set_flags(k, target.mount, new);
    Ok(())
}

/// Sets flags and options of a superblock, and the flags of the mount (MS_REMOUNT).
///
/// # Errors
/// As [`one_mount`]; EINVAL: the options; EPERM: CAP_SYS_ADMIN missing in the superblock's user namespace.
pub(super) fn superblock(k: &mut Kernel, me: Current, target: Path, flags: MsFlags, data: &[u8]) -> Result<()> {
    let new = check(k, me, target, flags)?;
    let id = k.vfs.sb_of(target.mount);
    let sb = &k.vfs.sbs[id];
    let old = SbOptions { words: Vec::new(), sb_flags: flags.sb_names(), ..sb.options.clone() };
    let options = (sb.fs.parse)(old, data)?;
    let owner = k.sb_user_ns(id);
    if !k.ns_capable(*me, owner, Cap::SYS_ADMIN) {
        bail!(EPERM, "CAP_SYS_ADMIN missing in {}, user namespace of the file system", k.ns_arg(owner));
    }
    let read_only = flags.contains(MsFlags::RDONLY);
    if read_only && !k.vfs.sbs[id].read_only {
        k.check_unwritten(id)?;
    }
    k.reconfigure_sb(*me, id, options, read_only);
    set_flags(k, target.mount, new);
    Ok(())
}

/// What both kinds ask first; gives the new flags.
fn check(k: &Kernel, me: Current, target: Path, flags: MsFlags) -> Result<MountFlags> {
    check_own(k, me, target.mount, "the target")?;
    check_mount_root(k, target, "the target")?;
    let old = k.vfs.mounts[target.mount].flags;
    let new = flags.remount_flags(old);
    for (flag, lock, name) in MountFlags::LOCKS {
        if old.contains(lock) && !new.contains(flag) {
            bail!(EPERM, "{} is locked: the mount came with it from a more privileged mount namespace", name);
        }
    }
    if old.contains(MountFlags::LOCK_ATIME) && (old ^ new).intersects(MountFlags::ATIME) {
        bail!(EPERM, "the access time mode is locked: the mount came from a more privileged mount namespace");
    }
    Ok(new)
}

fn set_flags(k: &mut Kernel, mount: MountId, new: MountFlags) {
    let flags = &mut k.vfs.mounts[mount].flags;
    *flags = (*flags - MountFlags::SETTABLE) | new;
    if let Some(tree) = k.vfs.mounts[mount].tree {
        k.vfs.trees[tree].event += 1;
    }
}

impl Kernel {
    /// Whether a superblock can become read-only (`sb_prepare_remount_readonly`).
    ///
    /// # Errors
    /// EBUSY: files are open for writing, or removed and still in use, so that they are yet to be freed.
    pub(in crate::syscall) fn check_unwritten(&self, sb: crate::kernel::SbId) -> Result<()> {
        let mut mounts = self.vfs.mounts.iter().filter(|(_, mount)| mount.sb.id() == sb);
        match mounts.find(|(_, mount)| mount.writers > 0) {
            Some((_, mount)) => bail!(EBUSY, "files of mount {} are open for writing", mount.mnt_id),
            None if self.vfs.dentries.iter().any(|(_, dentry)| dentry.sb == sb && !dentry.is_linked) => {
                bail!(EBUSY, "a removed file of the file system is still in use")
            }
            None => Ok(()),
        }
    }
}
