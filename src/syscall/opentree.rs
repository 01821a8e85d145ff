//! The newer mount calls: open_tree(2), move_mount(2), mount_setattr(2), as far as trees and propagation go.

use std::collections::BTreeMap;

use super::mount::{self, MoveMountFlags, check_may_mount, check_mount_root, check_own, is_detached_root};
use super::{Outcome, Return, fd, namei};
use crate::kernel::file::OpenFlags;
use crate::kernel::mount::flags::MsFlags;
use crate::kernel::mount::site::Path;
use crate::kernel::mount::tree::MountTree;
use crate::kernel::node::Node;
use crate::kernel::{Current, Kernel};

/// A descriptor of a copy of what is at a path, in a tree of its own that goes when it is closed (OPEN_TREE_CLONE).
///
/// # Errors
/// EPERM: CAP_SYS_ADMIN missing over the owner of the caller's mount namespace; those of finding the path; EINVAL: it
/// cannot be bound; EMFILE.
pub fn sys_open_tree(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    check_may_mount(k, me)?;
    let from = namei::find(k, me, path, true)?;
    let number = fd::free_fd(k, me)?;
    let copies = mount::copy_for_open_tree(k, me, from)?;
    let root = copies[0].id();
    let source = k.vfs.mounts[from.mount].tree.map(|tree| &k.vfs.trees[tree]);
    let origin = source.and_then(|tree| tree.ns.or(tree.origin));
    let tree = k.vfs.trees.insert(MountTree { ns: None, origin, root, mounts: BTreeMap::new(), event: 0 });
    k.join_tree(tree, copies);
    let path = Path { mount: root, place: from.place };
    let flags = OpenFlags::PATH | OpenFlags::NEED_UNMOUNT;
    let kind = fd::node_kind(k, me, Node::from(path), flags)?;
    let file = fd::new_file(k, me, kind, flags, Some(path));
    fd::install_fd(k, me, number, file, false);
    Ok(Return::Fd(number))
}

/// Moves a mount, or the tree of an open_tree(2) descriptor, to a path; with MOVE_MOUNT_BENEATH below what is mounted there.
///
/// # Errors
/// EPERM: CAP_SYS_ADMIN missing over the owner of the caller's mount namespace; those of finding the two, the target
/// first; those of moving.
pub fn sys_move_mount(k: &mut Kernel, me: Current, from: &[u8], to: &[u8], flags: MoveMountFlags) -> Outcome {
    check_may_mount(k, me)?;
    let to = namei::find(k, me, to, true)?;
    let from = namei::find(k, me, from, true)?;
    mount::move_tree(k, me, from, to, flags)?;
    Ok(Return::DONE)
}

/// Changes how a mount propagates.
///
/// # Errors
/// EPERM: CAP_SYS_ADMIN missing over the owner of the caller's mount namespace; EINVAL: not exactly one type, a mount that
/// is neither of the caller's namespace nor the root of a detached tree, no mount point; those of finding the path.
pub fn sys_mount_setattr(k: &mut Kernel, me: Current, path: &[u8], propagation: MsFlags) -> Outcome {
    check_may_mount(k, me)?;
    let new = mount::propagation_type(propagation)?;
    let path = namei::find(k, me, path, true)?;
    if !is_detached_root(k, path.mount) {
        check_own(k, me, path.mount, "the path")?;
    }
    check_mount_root(k, path, "the path")?;
    mount::set_type(k, path.mount, new, false);
    // mount(2) tells nobody of this (`do_change_type`), mount_setattr(2) does.
    if let Some(tree) = k.vfs.mounts[path.mount].tree {
        k.vfs.trees[tree].event += 1;
    }
    Ok(Return::DONE)
}
