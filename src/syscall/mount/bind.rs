//! Binding and moving mounts (`do_loopback`, `do_move_mount`).

use super::super::cwd::is_directory;
use super::super::namei;
use super::{
    MoveMountFlags, check_mount_root, check_mounted, check_not_removed, check_own, is_detached_root, is_own,
    lock_mount, site_of,
};
use crate::bail;
use crate::errno::Result;
use crate::kernel::mount::flags::MountFlags;
use crate::kernel::mount::propagation::Attaching;
use crate::kernel::mount::site::Path;
use crate::kernel::mount::tree::{Copying, Mount, TreePlan};
use crate::kernel::node::Place;
use crate::kernel::refcount::Held;
use crate::kernel::{Current, Kernel, MntNsId, MountId, NsId};

/// The source of a bind or move.
///
/// # Errors
/// EINVAL: none is given; those of finding it.
fn source(k: &mut Kernel, me: Current, source: Option<&[u8]>) -> Result<Path> {
    match source {
        None | Some(b"") => bail!(EINVAL, "no source is given"),
        Some(source) => namei::find(k, me, source, true),
    }
}

/// Binds `from` to `target` (MS_BIND), with all that is mounted below it if `recursive`.
///
/// # Errors
/// EINVAL: no source, a mount namespace file that is not younger than the caller's namespace, unbindable or of another
/// namespace, or something locked would be revealed; EPERM: a locked mount cannot be left out; ENOENT: source or target
/// is gone; ENOTDIR: a directory and a file; ENOSPC: mount-max.
pub(super) fn bind(k: &mut Kernel, me: Current, from: Option<&[u8]>, target: Path, recursive: bool) -> Result<()> {
    let from = source(k, me, from)?;
    if is_older_mnt_ns(k, me, from.place) {
        bail!(EINVAL, "the mount namespace of the file is not younger than the caller's: a loop could come of it");
    }
    let target = lock_mount(k, target)?;
    check_own(k, me, target.mount, "the target")?;
    let plan = plan_bind(k, me, from, recursive)?;
    if is_directory(k, me, from)? != is_directory(k, me, target)? {
        bail!(ENOTDIR, "one of source and target is a directory");
    }
    if k.is_cut_off(from.place) {
        bail!(ENOENT, "the source has been removed");
    }
    let site = site_of(k, me, target)?;
    let is_mnt_ns_file = k.is_mnt_ns_file(from.place);
    let copied = if recursive { k.plan_copy(from.mount, from.place, Copying::empty()).len() } else { 1 };
    let top = cover_in(k, from, &plan);
    k.check_attach(target.mount, &site, Attaching { new: plan.len(), copied, is_mnt_ns_file, top })?;
    let copies = copy(k, me, from, &plan)?;
    k.attach_tree(copies[0].id(), copies, target.mount, &site);
    Ok(())
}

/// The root of the uppermost of the mounts of a plan that cover a path as a whole.
fn cover_in(k: &Kernel, from: Path, plan: &TreePlan) -> Place {
    let over = |at: &Path| {
        let &mount = k.vfs.mounts[at.mount].at.get(&at.place)?;
        let is_copied = plan.iter().any(|&(planned, _)| planned == mount);
        is_copied.then(|| Path { mount, place: k.vfs.mounts[mount].root.place() })
    };
    std::iter::successors(Some(from), over).last().map_or(from.place, |top| top.place)
}

/// A copy of what is at a path, in no tree.
fn copy(k: &mut Kernel, me: Current, from: Path, plan: &TreePlan) -> Result<Vec<Held<Mount>>> {
    let root = site_of(k, me, from)?;
    Ok(k.copy_tree(plan, &root, Copying::MNT_NS_FILES))
}

/// The mounts of open_tree(OPEN_TREE_CLONE).
///
/// # Errors
/// EINVAL: unbindable or of another namespace, or something locked would be revealed.
pub(in crate::syscall) fn copy_for_open_tree(k: &mut Kernel, me: Current, from: Path) -> Result<Vec<Held<Mount>>> {
    let plan = plan_bind(k, me, from, false)?;
    copy(k, me, from, &plan)
}

/// What a bind copies (`__do_loopback`).
fn plan_bind(k: &Kernel, me: Current, from: Path, recursive: bool) -> Result<TreePlan> {
    let mount = &k.vfs.mounts[from.mount];
    if mount.flags.contains(MountFlags::UNBINDABLE) {
        bail!(EINVAL, "mount {} of the source is unbindable", mount.mnt_id);
    }
    if !may_copy(k, me, from) {
        bail!(EINVAL, "the source is on mount {}, not one of the caller's mount namespace", mount.mnt_id);
    }
    let children = |mount: MountId| k.vfs.mounts[mount].children.values().copied();
    let has_flags = |mount: MountId, flags| k.vfs.mounts[mount].flags.contains(flags);
    if !recursive {
        let reveals = |child| has_flags(child, MountFlags::LOCKED) && k.is_child_below(child, from.place);
        if children(from.mount).any(reveals) {
            bail!(EINVAL, "a locked mount lies on what would be bound without it");
        }
        return Ok(vec![(from.mount, 0)]);
    }
    let plan = k.plan_copy(from.mount, from.place, Copying::MNT_NS_FILES);
    for &(mount, _) in &plan {
        let below = children(mount).filter(|&child| mount != from.mount || k.is_child_below(child, from.place));
        if below.into_iter().any(|child| has_flags(child, MountFlags::LOCKED | MountFlags::UNBINDABLE)) {
            bail!(EPERM, "a mount that is unbindable and locked can neither be bound nor left out");
        }
    }
    Ok(plan)
}

/// Mounts of the caller's namespace, namespace files, and trees that open_tree(2) copied from there (`may_copy_tree`).
fn may_copy(k: &Kernel, me: Current, from: Path) -> bool {
    let tree = k.vfs.mounts[from.mount].tree.map(|tree| &k.vfs.trees[tree]);
    let is_from_own = |origin: Option<MntNsId>| origin.is_none() || origin == k.mnt_ns_of(*me);
    let is_own_copy = tree.is_some_and(|tree| tree.ns.is_none() && is_from_own(tree.origin));
    is_own(k, me, from.mount) || is_own_copy || matches!(from.place, Place::NsFile(_))
}

/// The file of a mount namespace as old as the caller's or older, by ns_id (`mnt_ns_loop`).
fn is_older_mnt_ns(k: &Kernel, me: Current, place: Place) -> bool {
    let own = k.current_nsproxy(me).mnt_ns();
    let ns_id = |ns: NsId| k.namespaces[ns].common.ns_id;
    matches!(place, Place::NsFile(ns) if k.is_mnt_ns_file(place) && ns_id(own.any()) >= ns_id(ns))
}

/// Moves a mount (MS_MOVE).
///
/// # Errors
/// As [`move_tree`]; EINVAL: no source.
pub(super) fn move_old(k: &mut Kernel, me: Current, from: Option<&[u8]>, target: Path) -> Result<()> {
    let from = source(k, me, from)?;
    move_tree(k, me, from, target, MoveMountFlags::empty())
}

/// Moves a mount and all that is on it, or puts the tree of an open_tree(2) descriptor in its place.
///
/// # Errors
/// EINVAL: the source is no mount, has no parent, is locked, its parent is shared, or it is another's; a directory and a
/// file; the target is another's; an unbindable mount would be shared; ENOENT: the target is gone; ELOOP: the target is
/// in the tree, or the tree has an older mount namespace's file; ENOSPC: mount-max, for a tree new in the namespace.
pub(in crate::syscall) fn move_tree(
    k: &mut Kernel,
    me: Current,
    from: Path,
    target: Path,
    flags: MoveMountFlags,
) -> Result<()> {
    check_mount_root(k, from, "the source")?;
    if is_directory(k, me, from)? != is_directory(k, me, target)? {
        bail!(EINVAL, "one of source and target is a directory");
    }
    let (target, top) = match flags.contains(MoveMountFlags::BENEATH) {
        false => (lock_mount(k, target)?, None),
        true => below_top(k, target).map(|(below, top)| (below, Some(top)))?,
    };
    let tree = k.vfs.mounts[from.mount].tree;
    let is_own_tree = is_own(k, me, from.mount);
    if is_own_tree {
        check_movable(k, from.mount)?;
    } else if !is_detached_root(k, from.mount) {
        bail!(EINVAL, "the source is neither in the caller's mount namespace nor the root of a detached tree");
    }
    check_own(k, me, target.mount, "the target")?;
    if let Some(top) = top {
        check_beneath(k, me, from.mount, top, target)?;
    }
    let moved = k.subtree(from.mount);
    check_content(k, me, &moved, target.mount)?;
    let site = site_of(k, me, target)?;
    let new = if is_own_tree { 0 } else { moved.len() };
    let copied = k.plan_copy(from.mount, from.place, Copying::empty()).len();
    let is_mnt_ns_file = k.is_mnt_ns_file(from.place);
    let top = k.topmost(from).place;
    k.check_attach(target.mount, &site, Attaching { new, copied, is_mnt_ns_file, top })?;
    let fresh = match tree {
        Some(tree) if !is_own_tree => k.dissolve_tree(tree),
        _ => Vec::new(),
    };
    k.attach_tree(from.mount, fresh, target.mount, &site);
    Ok(())
}

/// The mount that lies on top at the target, and the place it lies on (`do_lock_mount`, `where_to_mount`).
///
/// # Errors
/// EINVAL: the target is no mount, or the root of a tree or on that lies on top; ENOENT: the target has been unmounted, or
/// the place below has been removed.
fn below_top(k: &Kernel, target: Path) -> Result<(Path, MountId)> {
    check_mount_root(k, target, "the target")?;
    check_mounted(k, target.mount)?;
    let top = k.topmost(target).mount;
    match k.vfs.mounts[top].place_in_tree() {
        Some((mount, site)) if k.vfs.mounts[mount].parent().is_some() => {
            let below = Path { mount, place: site.place };
            check_not_removed(k, below)?;
            Ok((below, top))
        }
        _ => bail!(EINVAL, "nothing can be mounted beneath the root of the mount namespace"),
    }
}

/// Whether `from` can go below `top`, onto `target` (`can_move_mount_beneath`).
fn check_beneath(k: &Kernel, me: Current, from: MountId, top: MountId, target: Path) -> Result<()> {
    let this = &k.vfs.mounts[top];
    if this.flags.contains(MountFlags::LOCKED) {
        bail!(EINVAL, "mount {}, which would be on top, is locked", this.mnt_id);
    }
    let source = &k.vfs.mounts[from];
    if source.at.contains_key(&source.root.place()) {
        bail!(EINVAL, "mount {} of the source is covered as a whole", source.mnt_id);
    }
    if k.fs_of(*me).is_some_and(|fs| fs.root.mount.id() == top) {
        bail!(EINVAL, "mount {}, which would be on top, is the caller's root", this.mnt_id);
    }
    if std::iter::successors(Some(from), |&mount| k.vfs.mounts[mount].parent()).any(|mount| mount == top) {
        bail!(EINVAL, "the source is on mount {}, which would be on top", this.mnt_id);
    }
    let covers = |mount| k.would_overmount(target.mount, mount, target.place);
    if covers(top) || is_own(k, me, from) && covers(from) {
        bail!(EINVAL, "a propagated copy would cover the source or mount {}, which would be on top", this.mnt_id);
    }
    Ok(())
}

fn check_movable(k: &Kernel, mount: MountId) -> Result<()> {
    let this = &k.vfs.mounts[mount];
    let Some(parent) = this.parent() else { bail!(EINVAL, "mount {} has no parent", this.mnt_id) };
    if this.flags.contains(MountFlags::LOCKED) {
        bail!(EINVAL, "mount {} is locked: it came from a more privileged mount namespace", this.mnt_id);
    }
    if k.vfs.mounts[parent].is_shared() {
        bail!(EINVAL, "mount {}, the parent of what is moved, is shared", k.vfs.mounts[parent].mnt_id);
    }
    Ok(())
}

fn check_content(k: &Kernel, me: Current, moved: &[MountId], target: MountId) -> Result<()> {
    let is_unbindable = |mount: &MountId| k.vfs.mounts[*mount].flags.contains(MountFlags::UNBINDABLE);
    if k.vfs.mounts[target].is_shared() && moved.iter().any(is_unbindable) {
        bail!(EINVAL, "an unbindable mount cannot become shared");
    }
    if moved.iter().any(|&mount| is_older_mnt_ns(k, me, k.vfs.mounts[mount].root.place())) {
        bail!(ELOOP, "the tree has a file of a mount namespace that is not younger than the caller's");
    }
    if moved.contains(&target) {
        bail!(ELOOP, "the target is in what is moved");
    }
    Ok(())
}
