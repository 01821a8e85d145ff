//! mount(2) (`path_mount` in `fs/namespace.c`): what the flags ask for, with the checks in Linux's order.

mod bind;
mod new;
mod recorded;
mod remount;

use super::{Outcome, Return, namei};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::mount::flags::MsFlags;
use crate::kernel::mount::propagation::PropagationType;
use crate::kernel::mount::site::{Path, Site};
use crate::kernel::{Current, Kernel, MountId};
use crate::tree::{self, Viewer};

pub(super) use bind::{copy_for_open_tree, move_tree};
pub(super) use recorded::sys_mount_as;

bitflags::bitflags! {
    /// Flags of move_mount(2) (`include/uapi/linux/mount.h`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MoveMountFlags: u32 {
        /// Below what is mounted at the target.
        const BENEATH = 0x200;
        const _ = !0;
    }
}

/// The arguments of mount(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountArgs {
    /// `None`: NULL.
    pub source: Option<Vec<u8>>,
    pub target: Vec<u8>,
    pub fs_type: Option<Vec<u8>>,
    pub flags: MsFlags,
    pub data: Vec<u8>,
}

/// Mounts, binds, moves or changes a mount, as the flags say.
///
/// # Errors
/// Those of finding the target; EPERM: CAP_SYS_ADMIN missing over the owner of the caller's mount namespace; then those
/// of the operation.
pub(super) fn sys_mount(k: &mut Kernel, me: Current, args: &MountArgs) -> Outcome {
    let target = namei::find(k, me, &args.target, true)?;
    let flags = args.flags;
    if flags.contains(MsFlags::NOUSER) {
        bail!(EINVAL, "MS_NOUSER is for the kernel");
    }
    check_may_mount(k, me)?;
    if flags.contains(MsFlags::REMOUNT | MsFlags::BIND) {
        remount::one_mount(k, me, target, flags)?;
    } else if flags.contains(MsFlags::REMOUNT) {
        remount::superblock(k, me, target, flags, &args.data)?;
    } else if flags.contains(MsFlags::BIND) {
        bind::bind(k, me, args.source.as_deref(), target, flags.contains(MsFlags::REC))?;
    } else if flags.intersects(MsFlags::TYPES) {
        change_type(k, me, target, flags)?;
    } else if flags.contains(MsFlags::MOVE) {
        bind::move_old(k, me, args.source.as_deref(), target)?;
    } else {
        new::mount(k, me, target, args)?;
    }
    Ok(Return::DONE)
}

/// The capability every change of a mount takes (`may_mount`).
///
/// # Errors
/// EPERM
pub(super) fn check_may_mount(k: &Kernel, me: Current) -> Result<()> {
    let ns = k.current_nsproxy(me).mnt_ns();
    let owner = k.owner_of(ns);
    if !k.ns_capable(*me, owner, Cap::SYS_ADMIN) {
        bail!(EPERM, "CAP_SYS_ADMIN missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(ns));
    }
    Ok(())
}

/// Whether a mount is in the caller's namespace (`check_mnt`).
pub(super) fn is_own(k: &Kernel, me: Current, mount: MountId) -> bool {
    let ns = k.current_nsproxy(me).mnt_ns();
    k.vfs.mounts[mount].tree == Some(k.tree_of(ns))
}

/// Whether a mount is the root of a tree that no namespace has (`anon_ns_root`).
pub(super) fn is_detached_root(k: &Kernel, mount: MountId) -> bool {
    let tree = k.vfs.mounts[mount].tree.map(|tree| &k.vfs.trees[tree]);
    tree.is_some_and(|tree| tree.ns.is_none() && tree.root == mount)
}

/// # Errors
/// EINVAL
pub(super) fn check_own(k: &Kernel, me: Current, mount: MountId, what: &'static str) -> Result<()> {
    if !is_own(k, me, mount) {
        bail!(EINVAL, "{} is on mount {}, not one of the caller's mount namespace", what, k.vfs.mounts[mount].mnt_id);
    }
    Ok(())
}

/// # Errors
/// EINVAL
pub(super) fn check_mount_root(k: &Kernel, path: Path, what: &'static str) -> Result<()> {
    if !k.is_mount_root(path) {
        bail!(EINVAL, "{} is no mount point", what);
    }
    Ok(())
}

/// Where something can be mounted: on top of all that is there already (`lock_mount`).
///
/// # Errors
/// ENOENT: the place has been removed, or its mount has been taken off.
pub(super) fn lock_mount(k: &Kernel, path: Path) -> Result<Path> {
    let path = k.topmost(path);
    check_mounted(k, path.mount)?;
    check_not_removed(k, path)?;
    Ok(path)
}

/// # Errors
/// ENOENT
fn check_mounted(k: &Kernel, mount: MountId) -> Result<()> {
    if k.vfs.mounts[mount].tree.is_none() && mount != k.vfs.nsfs.id() {
        bail!(ENOENT, "mount {} of the target has been unmounted", k.vfs.mounts[mount].mnt_id);
    }
    Ok(())
}

/// # Errors
/// ENOENT
fn check_not_removed(k: &Kernel, path: Path) -> Result<()> {
    if k.is_cut_off(path.place) {
        bail!(ENOENT, "the target has been removed");
    }
    Ok(())
}

/// A path as a place inside its superblock.
pub(super) fn site_of(k: &Kernel, me: Current, path: Path) -> Result<Site> {
    tree::site(k, Viewer(*me), path)
}

/// The type of propagation that flags ask for (`flags_to_propagation_type`).
///
/// # Errors
/// EINVAL: more than one, or other flags with it.
pub(super) fn propagation_type(flags: MsFlags) -> Result<PropagationType> {
    let extra = flags - MsFlags::TYPES - MsFlags::REC - MsFlags::SILENT;
    if !extra.is_empty() {
        bail!(EINVAL, "flags {} do not go with a type of propagation", format!("{:#x}", extra.bits()));
    }
    match flags & MsFlags::TYPES {
        MsFlags::SHARED => Ok(PropagationType::Shared),
        MsFlags::SLAVE => Ok(PropagationType::Slave),
        MsFlags::PRIVATE => Ok(PropagationType::Private),
        MsFlags::UNBINDABLE => Ok(PropagationType::Unbindable),
        _ => bail!(EINVAL, "more than one type of propagation"),
    }
}

/// Changes how a mount propagates, or a mount and all on it (`do_change_type`).
///
/// # Errors
/// EINVAL: no mount point, the flags, or a mount of no namespace; EPERM: CAP_SYS_ADMIN missing over the owner of the
/// mount's namespace.
fn change_type(k: &mut Kernel, me: Current, target: Path, flags: MsFlags) -> Result<()> {
    check_mount_root(k, target, "the target")?;
    let new = propagation_type(flags)?;
    let tree = k.vfs.mounts[target.mount].tree.map(|tree| k.vfs.trees[tree].ns);
    match tree {
        None => bail!(EINVAL, "mount {} has been unmounted", k.vfs.mounts[target.mount].mnt_id),
        Some(None) => {}
        Some(Some(ns)) => {
            let owner = k.owner_of(ns);
            if !k.ns_capable(*me, owner, Cap::SYS_ADMIN) {
                bail!(EPERM, "CAP_SYS_ADMIN missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(ns));
            }
        }
    }
    set_type(k, target.mount, new, flags.contains(MsFlags::REC));
    Ok(())
}

pub(super) fn set_type(k: &mut Kernel, top: MountId, new: PropagationType, recursive: bool) {
    let mounts = if recursive { k.subtree(top) } else { vec![top] };
    for mount in mounts {
        k.set_propagation(mount, new);
    }
}
