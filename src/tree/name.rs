//! From a node to its name: paths below the top of the lab, and the texts of links.
//!
//! A link has two texts: the one Linux shows to tasks, and the one the mount shows, which a host program follows
//! without leaving the lab.

use super::fixed;
use super::look::Look;
use super::mqueue;
use super::proc::pid::{self, TaskDir, fd, ns};
use super::{cgroup, net_conf, structs};
use crate::bail;
use crate::errno::Result;
use crate::kernel::MqueueId;
use crate::kernel::file::FileKind;
use crate::kernel::node::{Node, Object, Place, View};
use crate::kernel::ns::{ENTRIES, NS_TABLE};

/// The path of a place below the top of the lab, or below `as/<pid>`.
pub(super) fn path(look: &Look<'_>, place: Place) -> String {
    let k = look.k;
    match place {
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
        Place::CtlRoot => "ctl".to_owned(),
        Place::CtlBatch => "ctl/batch".to_owned(),
        Place::CtlUsage => "ctl/usage".to_owned(),
        Place::CtlDir(task) | Place::CtlTaskUsage(task) | Place::Ctl(task, _) => format!("ctl/{}", k.task_nr(task)),
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
                FileKind::Node { node: target, .. } => Ok(file_text(look, node, *target, style).into_bytes()),
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
    let pid::Kind::Link(text) = pid::row_at(row).kind else { return no_link() };
    look.check_ptrace(dir.task)?;
    let Some(text) = text(look.k, dir.task) else {
        bail!(ENOENT, "pid {} is dead and has no {}", look.k.task_nr(dir.task), pid::row_at(row).path);
    };
    if style == Style::Linux {
        return Ok(text);
    }
    let root = format!("{}as/{}/root", to_top(look, node), look.k.task_nr(dir.task));
    Ok([root.as_bytes(), if text == b"/" { b"" } else { &text }].concat())
}

/// An open file of the lab. One whose task is gone has lost its name (` (deleted)`).
fn file_text(look: &Look<'_>, link: Node, target: Node, style: Style) -> String {
    let path = match super::is_alive(look.k, target) {
        true => path(look, target.place),
        false => "proc (deleted)".to_owned(),
    };
    match style {
        Style::Linux => format!("/{path}"),
        Style::Mount => format!("{}{path}", to_view_top(look, link.place)),
    }
}

/// An open queue. Its path starts at the root of its own file system, which is mounted nowhere.
fn queue_text(look: &Look<'_>, link: Node, queue: MqueueId, style: Style) -> String {
    let deleted = if look.k.mqueues[queue].is_unlinked(look.k) { " (deleted)" } else { "" };
    let name = mqueue::name(look.k, queue) + deleted;
    match style {
        Style::Linux => format!("/{name}"),
        Style::Mount => format!("{}mqueue/{name}", to_view_top(look, link.place)),
    }
}

fn pointer_text(look: &Look<'_>, node: Node, target: Option<Object>) -> Result<Vec<u8>> {
    let Some(target) = target else { bail!(ENOENT, "a null pointer") };
    // All pointers are below kernel/, one step less than from the top.
    let up = to_view_top(look, node.place);
    Ok(format!("{}{}", up.strip_prefix("../").unwrap_or(&up), structs::object_path(look.k, target)).into_bytes())
}

/// The way from the directory of a file up to where its [`path`] starts.
fn to_view_top(look: &Look<'_>, place: Place) -> String {
    "../".repeat(path(look, place).matches('/').count())
}

/// The way from the directory of a file up to the top of the lab.
fn to_top(look: &Look<'_>, node: Node) -> String {
    let up = to_view_top(look, node.place);
    match node.view {
        View::As(_) => format!("../../{up}"),
        View::Caller | View::PidNs(_) | View::Attached(_) => up,
    }
}
