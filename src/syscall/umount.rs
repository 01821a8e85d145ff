//! umount2(2) and pivot_root(2) (`fs/namespace.c`).

use super::mount::{check_may_mount, check_mount_root, check_own, is_own, lock_mount, site_of};
use super::{Outcome, Return, namei};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::mount::flags::{MountFlags, UmountFlags};
use crate::kernel::mount::site::Path;
use crate::kernel::mount::umount::Umounting;
use crate::kernel::{Current, Kernel, MountId};
use crate::tree;

/// Takes off the topmost mount at a path.
///
/// # Errors
/// EINVAL: unknown flags; those of finding the path; EPERM: CAP_SYS_ADMIN missing over the owner of the caller's mount
/// namespace, or with MNT_FORCE over the file system; EINVAL: no mount, another namespace, locked, the root of the
/// namespace, MNT_EXPIRE with other flags; EAGAIN: MNT_EXPIRE for the first time; EBUSY: in use.
pub fn sys_umount(k: &mut Kernel, me: Current, path: &[u8], flags: UmountFlags) -> Outcome {
    let known = UmountFlags::FORCE | UmountFlags::DETACH | UmountFlags::EXPIRE | UmountFlags::NOFOLLOW;
    if !(flags - known).is_empty() {
        bail!(EINVAL, "flags {} are unknown", format!("{:#x}", flags.bits()));
    }
    let node = tree::resolve_file(k, *me, path, !flags.contains(UmountFlags::NOFOLLOW))?;
    let path = k.topmost(namei::path_of(k, node)?);
    check_umount(k, me, path, flags)?;
    umount(k, me, path.mount, flags)?;
    Ok(Return::DONE)
}

/// `can_umount`
fn check_umount(k: &Kernel, me: Current, path: Path, flags: UmountFlags) -> Result<()> {
    check_may_mount(k, me)?;
    check_mount_root(k, path, "the path")?;
    check_own(k, me, path.mount, "the path")?;
    let mount = &k.vfs.mounts[path.mount];
    if mount.flags.contains(MountFlags::LOCKED) {
        bail!(EINVAL, "mount {} is locked: it came from a more privileged mount namespace", mount.mnt_id);
    }
    if flags.contains(UmountFlags::FORCE) {
        check_sb_admin(k, me, path.mount)?;
    }
    Ok(())
}

fn check_sb_admin(k: &Kernel, me: Current, mount: MountId) -> Result<()> {
    let owner = k.sb_user_ns(k.vfs.sb_of(mount));
    if !k.ns_capable(*me, owner, Cap::SYS_ADMIN) {
        bail!(EPERM, "CAP_SYS_ADMIN missing in {}, user namespace of the file system", k.ns_arg(owner));
    }
    Ok(())
}

/// `do_umount`
fn umount(k: &mut Kernel, me: Current, id: MountId, flags: UmountFlags) -> Result<()> {
    let is_own_root = k.fs_of(*me).is_some_and(|fs| fs.root.mount.id() == id);
    let mount = &k.vfs.mounts[id];
    if flags.contains(UmountFlags::EXPIRE) {
        if is_own_root || flags.intersects(UmountFlags::FORCE | UmountFlags::DETACH) {
            bail!(EINVAL, "MNT_EXPIRE goes neither with other flags nor with the root directory's mount");
        }
        if !mount.children.is_empty() || mount.count > 1 {
            bail!(EBUSY, "mount {} is in use", mount.mnt_id);
        }
        if !mount.is_expiring {
            k.vfs.mounts[id].is_expiring = true;
            bail!(EAGAIN, "the mount is marked now; the next such call unmounts it if nobody has used it");
        }
    }
    if is_own_root && !flags.contains(UmountFlags::DETACH) {
        return make_read_only(k, me, id);
    }
    let mount = &k.vfs.mounts[id];
    if mount.attached.is_none() {
        bail!(EINVAL, "mount {} is the root of its mount namespace", mount.mnt_id);
    }
    if flags.contains(UmountFlags::DETACH) {
        k.umount_tree(id, Umounting::Lazy);
        return Ok(());
    }
    if k.is_mount_busy(id) {
        bail!(EBUSY, "mount {}, or its counterpart on a peer, is in use or has mounts on it", mount.mnt_id);
    }
    k.umount_tree(id, Umounting::Plain);
    Ok(())
}

/// The caller's own root is not taken off, its file system becomes read-only (`do_umount_root`).
fn make_read_only(k: &mut Kernel, me: Current, mount: MountId) -> Result<()> {
    check_sb_admin(k, me, mount)?;
    let sb = k.vfs.sb_of(mount);
    if !k.vfs.sbs[sb].read_only {
        k.check_unwritten(sb)?;
        k.vfs.sbs[sb].read_only = true;
    }
    Ok(())
}

/// Puts the mount at `new_root` in the place of the root mount, and that at `put_old`.
///
/// # Errors
/// EPERM: CAP_SYS_ADMIN missing over the owner of the caller's mount namespace; those of finding the two directories;
/// ENOENT: one of them is removed; EINVAL: one of the mounts involved is shared, locked, another's, no mount at all, or
/// not below the other; EBUSY: new_root or put_old is on the root mount.
pub fn sys_pivot_root(k: &mut Kernel, me: Current, new_root: &[u8], put_old: &[u8]) -> Outcome {
    check_may_mount(k, me)?;
    let new = find_directory(k, me, new_root)?;
    let old = find_directory(k, me, put_old)?;
    let old = lock_mount(k, old)?;
    let root = k.fs[k.live(me).fs.id()].root.path();
    check_pivot(k, me, new, old, root)?;
    let old_site = site_of(k, me, old)?;
    let Some((parent, root_site)) = k.vfs.mounts[root.mount].place_in_tree() else {
        bail!(EINVAL, "the root mount has no parent");
    };
    check_mount_root(k, new, "new_root")?;
    if !k.is_path_reachable(old.mount, &old_site, new) {
        bail!(EINVAL, "put_old is not below new_root");
    }
    if !k.is_path_reachable(new.mount, &site_of(k, me, new)?, root) {
        bail!(EINVAL, "new_root is not below the root directory");
    }
    k.unhook(new.mount);
    k.unhook(root.mount);
    let lock = k.vfs.mounts[root.mount].flags & MountFlags::LOCKED;
    k.vfs.mounts[new.mount].flags |= lock;
    k.vfs.mounts[root.mount].flags -= MountFlags::LOCKED;
    k.attach(new.mount, parent, &root_site);
    k.attach(root.mount, old.mount, &old_site);
    if let Some(tree) = k.vfs.mounts[new.mount].tree {
        k.vfs.trees[tree].event += 1;
    }
    move_tasks(k, root, new);
    Ok(Return::DONE)
}

fn find_directory(k: &mut Kernel, me: Current, path: &[u8]) -> Result<Path> {
    let path = namei::find(k, me, path, true)?;
    if !super::cwd::is_directory(k, me, path)? {
        bail!(ENOTDIR, "this is no directory");
    }
    Ok(path)
}

fn check_pivot(k: &Kernel, me: Current, new: Path, old: Path, root: Path) -> Result<()> {
    let mount = |id: MountId| &k.vfs.mounts[id];
    let is_shared = |id: Option<MountId>| id.is_some_and(|id| mount(id).is_shared());
    if is_shared(Some(old.mount)) || is_shared(mount(new.mount).parent()) || is_shared(mount(root.mount).parent()) {
        bail!(EINVAL, "put_old's mount, or the parent of new_root's or of the root mount, is shared");
    }
    if !is_own(k, me, root.mount) || !is_own(k, me, new.mount) {
        bail!(EINVAL, "the root mount or new_root's is not in the caller's mount namespace");
    }
    if mount(new.mount).flags.contains(MountFlags::LOCKED) {
        bail!(EINVAL, "mount {} of new_root is locked", mount(new.mount).mnt_id);
    }
    if k.is_unlinked(new.place) {
        bail!(ENOENT, "new_root has been removed");
    }
    if new.mount == root.mount || old.mount == root.mount {
        bail!(EBUSY, "new_root or put_old is on the root mount");
    }
    check_mount_root(k, root, "the root directory")
}

/// All whose root or working directory was exactly the old root are in the new one (`chroot_fs_refs`).
fn move_tasks(k: &mut Kernel, old: Path, new: Path) {
    let all: Vec<_> = k.fs.iter().map(|(id, fs)| (id, fs.root.path() == old, fs.pwd.path() == old)).collect();
    for (fs, root, pwd) in all {
        if root {
            k.set_fs_root(fs, new);
        }
        if pwd {
            k.set_fs_pwd(fs, new);
        }
    }
}
