//! File trees of tasks: files seen through mounts, and the names they have there.

use super::family::{TREE, Up};
use super::look::Look;
use crate::bail;
use crate::errno::Result;
use crate::kernel::mount::sb::SuperBlock;
use crate::kernel::mount::site::{Path, Site};
use crate::kernel::node::{Node, Place, View};
use crate::kernel::{Kernel, MountId, PidNsId, TaskId};

/// The root directory of a task, seen by `viewer`; `None` of a zombie.
pub(super) fn of_task(k: &Kernel, task: TaskId, viewer: Option<TaskId>) -> Option<Node> {
    k.fs_of(task).map(|fs| node(fs.root.path(), viewer))
}

/// `root` in the directory of a view.
pub(super) fn entry(k: &Kernel, task: TaskId, viewer: Option<TaskId>) -> Option<(String, Node)> {
    Some(("root".to_owned(), of_task(k, task, viewer)?))
}

pub(super) fn node(path: Path, viewer: Option<TaskId>) -> Node {
    Node { view: View::Mount { mount: path.mount, viewer }, place: path.place }
}

/// What covers a file: the root of the topmost mount on it, or itself.
pub(super) fn topmost(k: &Kernel, found: Node) -> Node {
    match (found.path(), found.view.viewer()) {
        (Some(path), viewer) => node(k.topmost(path), viewer),
        (None, _) => found,
    }
}

/// The pid namespace whose numbers files have that are seen through a mount: of its `proc`, else the initial one.
pub(super) fn pid_ns(k: &Kernel, mount: MountId) -> PidNsId {
    let sb = k.vfs.mounts.get(mount).map(|mount| &k.vfs.sbs[mount.sb.id()]);
    sb.and_then(SuperBlock::pid_ns).unwrap_or(k.init.pid_ns)
}

/// The name of a file in its directory, and the directory; `None`: the top of its superblock.
pub(super) fn step_up(look: &Look<'_>, path: Path) -> Option<(Vec<u8>, Place)> {
    match look.ask(path.place, |file| file.up(look)) {
        Up::To(name, dir) => return Some((name, dir)),
        Up::Top => return None,
        Up::ByPath => {}
    }
    let top = look.k.vfs.sbs[look.k.vfs.sb_of(path.mount)].root.place();
    let path_of = |place| look.ask(place, |file| file.path(look));
    let whole = path_of(path.place);
    let below = whole.strip_prefix(&path_of(top))?.strip_prefix('/')?;
    let (dir, name) = below.rsplit_once('/').unwrap_or(("", below));
    let mut names = dir.split('/').filter(|name| !name.is_empty());
    let parent = names.try_fold(top, |dir, name| look.ask(dir, |dir| dir.lookup(look, name.as_bytes())))?;
    Some((name.as_bytes().to_vec(), parent))
}

/// A file as a place for a mount, or as the root of one: with all that is above it in its superblock.
pub fn site(k: &Kernel, viewer: super::Viewer, path: Path) -> Result<Site> {
    if TREE.ask(path.place, |file| file.is_dentry()) {
        return Ok(Site::of(path.place));
    }
    let look = Look::now(k, viewer, Node::from(path))?;
    let up = |place: &Place| step_up(&look, Path { place: *place, ..path }).map(|(_, dir)| dir);
    Ok(Site { place: path.place, above: std::iter::successors(up(&path.place), up).collect() })
}

/// Where the way up from a path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the directory that counts as the root.
    Root,
    /// At the top of a tree in which that is not.
    Outside,
}

/// The names from `root`, or from the top of its tree, down to a path: `/a/b` (`prepend_path`).
pub(super) fn d_path(look: &Look<'_>, path: Path, root: Path) -> (Vec<u8>, End) {
    let k = look.k;
    let mut names = Vec::new();
    let mut at = path;
    let end = loop {
        if at == root {
            break End::Root;
        }
        let mount = &k.vfs.mounts[at.mount];
        if at.place == mount.root.place() {
            let Some(attached) = &mount.attached else { break End::Outside };
            at = Path { mount: attached.parent, place: attached.mountpoint.place() };
            continue;
        }
        let Some((name, dir)) = step_up(&look.through(at.mount), at) else { break End::Outside };
        names.push(name);
        at.place = dir;
    };
    let text: Vec<u8> = names.iter().rev().flat_map(|name| [b"/", &name[..]].concat()).collect();
    (if text.is_empty() { b"/".to_vec() } else { text }, end)
}

/// The path of a file inside its superblock, with ` //deleted` as mountinfo has it if it has lost its name
/// (`dentry_path`).
pub(super) fn path_in_sb(look: &Look<'_>, path: Path) -> Vec<u8> {
    let look = look.through(path.mount);
    if let Some(text) = look.ask(path.place, |file| file.path_in_sb(&look)) {
        return text;
    }
    let mut names = Vec::new();
    let mut at = path;
    while let Some((name, dir)) = step_up(&look, at) {
        names.push(name);
        at.place = dir;
    }
    let mut text: Vec<u8> = names.iter().rev().flat_map(|name| [b"/", &name[..]].concat()).collect();
    if text.is_empty() {
        text.push(b'/');
    }
    if look.k.is_unlinked(path.place) {
        text.extend(b"//deleted");
    }
    text
}

/// A path as links of `proc` show it to a reader: below the reader's root directory, where it is
/// (`d_path`).
pub(super) fn shown_path(look: &Look<'_>, path: Path, root: Path) -> Vec<u8> {
    if let Some(ns) = look.ask(path.place, |file| file.ns())
        && path.mount == look.k.vfs.nsfs.id()
    {
        return look.k.ns_arg(ns).to_string().into_bytes();
    }
    let (mut text, _) = d_path(look, path, root);
    if look.k.is_unlinked(path.place) {
        text.extend(b" (deleted)");
    }
    text
}

/// The working directory of a task as getcwd(2) gives it.
///
/// # Errors
/// ENOENT: it is unlinked; ESRCH: the task is a zombie.
pub fn getcwd(k: &Kernel, task: TaskId) -> Result<Vec<u8>> {
    let Some(fs) = k.fs_of(task) else { bail!(ESRCH, "pid {} is dead", k.task_nr(task)) };
    let (root, pwd) = (fs.root.path(), fs.pwd.path());
    if k.is_unlinked(pwd.place) {
        bail!(ENOENT, "the working directory has been removed");
    }
    let look = Look::now(k, super::Viewer(task), Node::from(pwd))?;
    let (text, end) = d_path(&look, pwd, root);
    Ok(if end == End::Root { text } else { [b"(unreachable)", &text[..]].concat() })
}
