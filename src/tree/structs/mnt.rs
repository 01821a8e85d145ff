//! The fields of mount namespaces (`struct mnt_namespace`), and paths in file trees.

use std::fmt::Write as _;

use super::{Field, Item, list, show, value};
use crate::kernel::file::FsStruct;
use crate::kernel::mount::site::{HeldPath, Path};
use crate::kernel::mount::tree::MountTree;
use crate::kernel::node::{Node, Place};
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, MountId, NsId, TaskId};
use crate::tree::Viewer;
use crate::tree::look::Look;
use crate::tree::proc::pid::{Format, mount_line};
use crate::tree::root::d_path;

pub(super) static NAMESPACE: &[Field<NsId>] = &[
    value("root", |k, id| show(k.vfs.mounts[tree(k, id)?.root].mnt_id)),
    list(
        "list",
        |k, id| {
            let mounts =
                tree(k, id).into_iter().flat_map(move |tree| tree.mounts.values().map(move |held| (tree, held.id())));
            mounts.map(|(tree, mount)| (k.vfs.mounts[mount].mnt_id, Item::Value(describe(k, tree, mount)))).collect()
        },
        |k, id, mnt_id| {
            let tree = tree(k, id)?;
            let mount = tree.mounts.values().map(Held::id).find(|&mount| k.vfs.mounts[mount].mnt_id == mnt_id)?;
            Some(Item::Value(describe(k, tree, mount)))
        },
    ),
    value("seq", |k, id| show(k.namespaces[id].common.ns_id)),
    value("event", |k, id| show(tree(k, id)?.event)),
    value("nr_mounts", |k, id| show(tree(k, id)?.mounts.len())),
    value("pending_mounts", |_, _| show(0)),
];

fn tree(k: &Kernel, ns: NsId) -> Option<&MountTree> {
    k.namespaces.typed(ns).map(|ns| &k.vfs.trees[k.tree_of(ns)])
}

/// How init sees a path.
fn look(k: &Kernel, path: Path) -> Option<Look<'_>> {
    Look::now(k, Viewer(k.init.task), Node::from(path)).ok()
}

fn root_of(k: &Kernel, mount: MountId) -> Path {
    Path { mount, place: k.vfs.mounts[mount].root.place() }
}

/// The line mountinfo would have for one whose root directory is that of the hidden mount.
fn describe(k: &Kernel, tree: &MountTree, mount: MountId) -> String {
    let root = root_of(k, tree.root);
    let line = look(k, root_of(k, mount)).and_then(|look| mount_line(&look, mount, root, Format::Info));
    String::from_utf8_lossy(&line.unwrap_or_default()).into_owned()
}

/// A path from the top of the tree it is in.
fn text(k: &Kernel, path: Path) -> Vec<u8> {
    let top = k.vfs.mounts[path.mount].tree.map_or(path.mount, |tree| k.vfs.trees[tree].root);
    look(k, path).map_or_else(Vec::new, |look| d_path(&look, path, root_of(k, top)).0)
}

/// A root or working directory.
pub(super) fn task_path(k: &Kernel, task: TaskId, which: fn(&FsStruct) -> &HeldPath) -> Option<Vec<u8>> {
    Some(text(k, which(k.fs_of(task)?).path()))
}

/// A line for each bind mount of the file of a namespace: `mount mnt:[<inum>] <path>`, or `mount detached`.
pub(super) fn pins(k: &Kernel, ns: NsId) -> String {
    let mut lines = String::new();
    for (id, mount) in k.vfs.mounts.iter().filter(|(_, mount)| mount.root.place() == Place::NsFile(ns)) {
        let holder = mount.tree.and_then(|tree| k.vfs.trees[tree].ns);
        let _ = match holder {
            Some(holder) => {
                let path = text(k, root_of(k, id));
                writeln!(lines, "mount {} {}", k.ns_arg(holder), String::from_utf8_lossy(&path))
            }
            None => writeln!(lines, "mount detached"),
        };
    }
    lines
}
