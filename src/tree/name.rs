//! From a node to its name: paths below the top of the lab, and the texts of links.
//!
//! A link has two texts: the one Linux shows to tasks, and the one the mount shows, which a host program follows
//! without leaving the lab.

use super::fixed;
use super::look::Look;
use super::mqueue;
use super::proc::pid::{self, TaskDir, fd, link, ns};
use super::{cgroup, net_conf, root, structs};
use crate::bail;
use crate::errno::Result;
use crate::kernel::MqueueId;
use crate::kernel::TaskId;
use crate::kernel::file::{Bound, FileKind};
use crate::kernel::mount::site::Path;
use crate::kernel::node::{Node, Object, Place, View};
use crate::kernel::ns::{ENTRIES, NS_TABLE};

/// The path of a place below the top of the lab, or below `as/<pid>`.
pub(super) fn path(look: &Look<'_>, place: Place) -> String {
    let k = look.k;
    match place {
        Place::Dentry(id) => String::from_utf8_lossy(&k.vfs.dentries[id].name).into_owned(),
        Place::Fixed(row) => fixed::row(row).path.to_owned(),
        Place::MaxNamespaces(kind) => format!("proc/sys/user/{}", NS_TABLE[usize::from(kind)].ucount_name),
        Place::As(task) => format!("as/{}", look.nr(task)),
        Place::Pid(task, row) => below(look, TaskDir::process(task), pid::row_at(row).path),
        Place::Tid(task, row) => below(look, TaskDir::thread(task), pid::row_at(row).path),
        Place::NsLink { task, entry, thread } => {
            below(look, TaskDir { task, thread }, &format!("ns/{}", ENTRIES[usize::from(entry)].name))
        }
        Place::NsFile(id) => ns::text(k, id),
        Place::Fd { task, fd, info, thread } => {
            below(look, TaskDir { task, thread }, &format!("{}/{fd}", if info { "fdinfo" } else { "fd" }))
        }
        Place::Mqueue(queue) => format!("mqueue/{}", mqueue::name(k, queue)),
        Place::Above { .. } => "a file of the layer above".to_owned(),
        Place::NetConf(of, row) => net_conf::path(k, of, row),
        Place::Cgroup(id, file) => cgroup::path(look, id, file),
        Place::NsKind(kind) => format!("kernel/ns/{}", NS_TABLE[usize::from(kind)].name),
        Place::Struct(object, row) => format!("kernel/{}", structs::field_path(k, object, row)),
        Place::StructItem(object, row, key) => format!("kernel/{}/{key}", structs::field_path(k, object, row)),
    }
}

fn below(look: &Look<'_>, dir: TaskDir, entry: &str) -> String {
    let separator = if entry.is_empty() { "" } else { "/" };
    let tgid = look.tgid(dir.task);
    match dir {
        TaskDir { task, thread: true } => format!("proc/{tgid}/task/{}{separator}{entry}", look.nr(task)),
        TaskDir { task, thread: false } => format!("proc/{}{separator}{entry}", look.nr(task)),
    }
}

/// Which of the two texts of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Linux,
    Mount,
}

/// The text of a link.
///
/// # Errors
/// EINVAL: no link. EACCES: no ptrace access to the task it belongs to. ENOENT: it leads nowhere.
pub(super) fn link_text(look: &Look<'_>, node: Node, style: Style) -> Result<Vec<u8>> {
    let k = look.k;
    match node.place {
        Place::Dentry(id) => match root::symlink(k, id) {
            Some(text) if style == Style::Mount => Ok(inside(look, node, text)),
            Some(text) => Ok(text.to_vec()),
            None => no_link(),
        },
        Place::Fixed(row) => match fixed::row(row).kind {
            fixed::Kind::Link(text) => text(look).map(String::into_bytes),
            _ => no_link(),
        },
        Place::Pid(task, row) => task_link(look, node, TaskDir::process(task), row, style),
        Place::Tid(task, row) => task_link(look, node, TaskDir::thread(task), row, style),
        Place::NsLink { task, entry, .. } => Ok(ns::text(k, ns::follow(look, task, entry)?).into_bytes()),
        Place::Fd { task, fd, info: false, .. } => {
            look.check_ptrace(task)?;
            match &fd::file(k, task, fd)?.kind {
                FileKind::Ns(id) => Ok(ns::text(k, *id).into_bytes()),
                FileKind::Socket(socket) => Ok(format!("socket:[{}]", k.net.sockets[*socket].ino).into_bytes()),
                FileKind::Pidfd { .. } => Ok(b"anon_inode:[pidfd]".to_vec()),
                FileKind::Node { bound: Bound { node: target, .. }, .. } => match target.path() {
                    Some(path) => Ok(tree_text(look, node, task, path, style)),
                    None => Ok(file_text(look, node, *target, style).into_bytes()),
                },
                FileKind::Mqueue(open) => Ok(queue_text(look, node, open.queue.id(), style).into_bytes()),
            }
        }
        Place::Struct(object, row) => pointer_text(look, node, structs::target(k, object, row)),
        Place::StructItem(object, row, key) => pointer_text(look, node, structs::item_target(k, object, row, key)),
        _ => no_link(),
    }
}

fn no_link<T>() -> Result<T> {
    bail!(EINVAL, "this is no symbolic link")
}

fn task_link(look: &Look<'_>, node: Node, dir: TaskDir, row: u16, style: Style) -> Result<Vec<u8>> {
    let pid::Kind::Link(target) = pid::row_at(row).kind else { return no_link() };
    look.check_ptrace(dir.task)?;
    match target(look.k, dir.task) {
        Some(link::Target::Path(path)) => Ok(tree_text(look, node, dir.task, path, style)),
        Some(link::Target::Program(program)) if style == Style::Linux => Ok(program),
        Some(link::Target::Program(program)) => Ok([&task_root(look, node, dir.task)[..], &program].concat()),
        None => bail!(ENOENT, "pid {} is dead and has no {}", look.k.task_nr(dir.task), pid::row_at(row).path),
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
/// directory it is seen below, and no relative one leads above that.
fn inside(look: &Look<'_>, link: Node, text: &[u8]) -> Vec<u8> {
    let up = to_view_top(look, link);
    let to_root = up.strip_prefix("../").unwrap_or(&up);
    if let Some(absolute) = text.strip_prefix(b"/") {
        return [to_root.as_bytes(), if absolute.is_empty() { b"." } else { absolute }].concat();
    }
    let mut depth = to_root.matches("../").count();
    let mut names = Vec::new();
    for name in text.split(|&byte| byte == b'/') {
        match name {
            b".." if depth == 0 => continue,
            b".." => depth -= 1,
            b"" | b"." => {}
            _ => depth += 1,
        }
        names.push(name);
    }
    if names.is_empty() { b".".to_vec() } else { names.join(&b'/') }
}

/// An open file of the lab. One whose task is gone has lost its name (` (deleted)`).
fn file_text(look: &Look<'_>, link: Node, target: Node, style: Style) -> String {
    let path = match super::is_alive(look.k, target) {
        true => path(look, target.place),
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

fn pointer_text(look: &Look<'_>, node: Node, target: Option<Object>) -> Result<Vec<u8>> {
    let Some(target) = target else { bail!(ENOENT, "a null pointer") };
    // All pointers are below kernel/, one step less than from the top.
    let up = to_view_top(look, node);
    Ok(format!("{}{}", up.strip_prefix("../").unwrap_or(&up), structs::object_path(look.k, target)).into_bytes())
}

/// The way from the directory of a file up to where its [`path`] starts, or to where `root` is.
fn to_view_top(look: &Look<'_>, node: Node) -> String {
    let depth = match (node.path(), look.k.fs_of(look.reader)) {
        (Some(path), Some(fs)) => {
            let (text, _) = root::d_path(look, path, fs.root.path());
            text.iter().filter(|&&byte| byte == b'/').count()
        }
        _ => path(look, node.place).matches('/').count(),
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
