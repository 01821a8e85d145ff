//! The texts of links.
//!
//! A link has two texts: the one Linux shows to tasks, and the one the mount shows, which a host program follows
//! without leaving the lab.

use super::family::Link;
use super::look::Look;
use super::{mqueue, root, structs, unnamed};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::{Bound, FileKind};
use crate::kernel::mount::site::Path;
use crate::kernel::node::{Node, Object, View};
use crate::kernel::{FileId, MqueueId, NsId, TaskId};

/// Which of the two texts of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What Linux shows.
    Linux,
    /// A way to what it leads to that stays inside the lab.
    Mount,
}

/// The text of a link.
///
/// # Errors
/// EINVAL: no link. EACCES: no ptrace access to the task it belongs to. ENOENT: it leads nowhere.
pub(super) fn link_text(look: &Look<'_>, node: Node, style: Style) -> Result<Vec<u8>> {
    let Some(link) = look.ask(node.place, |file| file.link(look))? else { bail!(EINVAL, "this is no symbolic link") };
    Ok(match (link, style) {
        (Link::Symlink(text), Style::Linux) | (Link::Relative(text), _) => text,
        (Link::Symlink(text), Style::Mount) => inside(look, node, &text),
        (Link::Tree(task, path), style) => tree_text(look, node, task, path, style),
        // Programs read the name. No such file is in the lab: who follows it gets the host's, if it has one.
        (Link::Program(program), _) => program,
        (Link::Ns(ns), _) => ns_text(look, ns),
        (Link::File { task, file, .. }, style) => open_text(look, node, task, file, style),
        (Link::Object(target), _) => object_text(look, node, target),
    })
}

/// `<kind>:[<inum>]`
fn ns_text(look: &Look<'_>, ns: NsId) -> Vec<u8> {
    look.k.ns_arg(ns).to_string().into_bytes()
}

/// What the link of a descriptor shows.
fn open_text(look: &Look<'_>, link: Node, task: TaskId, file: FileId, style: Style) -> Vec<u8> {
    match &look.k.open_files[file].kind {
        FileKind::Ns(ns) => ns_text(look, *ns),
        FileKind::Socket(_) | FileKind::Pidfd { .. } => unnamed::name(look.k, file).unwrap_or_default(),
        FileKind::Node { bound: Bound { node: target, .. }, .. } => match target.path() {
            Some(path) => tree_text(look, link, task, path, style),
            None => file_text(look, link, *target, style).into_bytes(),
        },
        FileKind::Mqueue(open) => queue_text(look, link, open.queue.id(), style).into_bytes(),
    }
}

/// A path in the file tree of `task`: below the reader's root directory, or on the way through the lab's `as/<pid>/root`.
fn tree_text(look: &Look<'_>, link: Node, task: TaskId, path: Path, style: Style) -> Vec<u8> {
    let viewer = if style == Style::Linux { look.reader } else { task };
    let Some(fs) = look.k.fs_of(viewer) else { return b"/".to_vec() };
    let text = root::shown_path(look, path, fs.root.path());
    match style {
        Style::Linux => text,
        Style::Mount => [&task_root(look, link, task)[..], if text == b"/" { b"" } else { &text }].concat(),
    }
}

/// The way from a link to the root directory of a task below the top of the lab.
fn task_root(look: &Look<'_>, link: Node, task: TaskId) -> Vec<u8> {
    format!("{}as/{}/root", to_top(look, link), look.k.task_nr(task)).into_bytes()
}

/// The text of a symbolic link as a host program can follow it: an absolute one leads from the link up to the root
/// directory it is seen below, and no relative one leads above that. `..` behind a name takes the name away: where that is
/// a link itself, nobody knows here how deep it leads, and the host's kernel could be led out of the lab.
fn inside(look: &Look<'_>, link: Node, text: &[u8]) -> Vec<u8> {
    let up = to_view_top(look, link);
    let to_root = up.strip_prefix("../").unwrap_or(&up);
    if let Some(absolute) = text.strip_prefix(b"/") {
        return [to_root.as_bytes(), if absolute.is_empty() { b"." } else { absolute }].concat();
    }
    let mut depth = to_root.matches("../").count();
    let mut names: Vec<&[u8]> = Vec::new();
    for name in text.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => match names.last() {
                Some(&last) if last != b".." => drop(names.pop()),
                _ if depth > 0 => {
                    depth -= 1;
                    names.push(name);
                }
                _ => {}
            },
            _ => names.push(name),
        }
    }
    if names.is_empty() { b".".to_vec() } else { names.join(&b'/') }
}

/// An open file of the lab. One whose task is gone has lost its name (` (deleted)`).
fn file_text(look: &Look<'_>, link: Node, target: Node, style: Style) -> String {
    let path = match super::is_alive(look, target) {
        true => look.ask(target.place, |file| file.path(look)),
        false => "proc (deleted)".to_owned(),
    };
    match style {
        Style::Linux => format!("/{path}"),
        Style::Mount => format!("{}{path}", to_view_top(look, link)),
    }
}

/// An open queue. Its path starts at the root of its own file system.
fn queue_text(look: &Look<'_>, link: Node, queue: MqueueId, style: Style) -> String {
    let deleted = if look.k.mqueues[queue].is_unlinked(look.k) { " (deleted)" } else { "" };
    let name = mqueue::name(look.k, queue) + deleted;
    match style {
        Style::Linux => format!("/{name}"),
        Style::Mount => format!("{}mqueue/{name}", to_view_top(look, link)),
    }
}

fn object_text(look: &Look<'_>, link: Node, target: Object) -> Vec<u8> {
    // All pointers are below kernel/, one step less than from the top.
    let up = to_view_top(look, link);
    format!("{}{}", up.strip_prefix("../").unwrap_or(&up), structs::object_path(look.k, target)).into_bytes()
}

/// The way from the directory of a file up to where its path starts, or to where `root` is.
fn to_view_top(look: &Look<'_>, node: Node) -> String {
    let depth = match (node.path(), look.k.fs_of(look.reader)) {
        (Some(path), Some(fs)) => {
            let (text, _) = root::d_path(look, path, fs.root.path());
            text.iter().filter(|&&byte| byte == b'/').count()
        }
        _ => look.ask(node.place, |file| file.path(look)).matches('/').count(),
    };
    "../".repeat(depth)
}

/// The way from the directory of a file up to the top of the lab.
fn to_top(look: &Look<'_>, node: Node) -> String {
    let up = to_view_top(look, node);
    match node.view {
        View::As(_) | View::Mount { viewer: Some(_), .. } => format!("../../{up}"),
        View::Caller | View::PidNs(_) | View::Attached(_) | View::Mount { viewer: None, .. } => up,
    }
}
