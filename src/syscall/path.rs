//! What a task reads by path or descriptor: read(2), readlink(2), stat(2), lstat(2) and getdents(2).

use super::Return;
use super::{cwd, fd, namei};
use crate::bail;
use crate::errno::Result;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::file::{FileKind, OpenFlags};
use crate::kernel::net::socket::Socket;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::{FileId, Kernel, TaskId};
use crate::tree::{self, Attr, FileType, Viewer};

/// What a path of these calls means. Numbers in it are the task's own.
enum Subject {
    /// `fd:<n>`: the open file itself.
    File(FileId),
    Node(Node),
}

fn subject(k: &mut Kernel, me: TaskId, path: &[u8], follow: bool) -> Result<Subject> {
    match fd::descriptor(path) {
        Some(number) => fd::file_at(k, me, number).map(Subject::File),
        None => {
            let node = tree::resolve(k, me, cwd::own_view(k, me), path, follow)?;
            namei::use_mount(k, node);
            Ok(Subject::Node(node))
        }
    }
}

/// open(2), read(2) to the end, close(2); of a descriptor read(2) from its position to the end.
///
/// # Errors
/// EMFILE at RLIMIT_NOFILE; those of [`tree::resolve`], [`tree::open`] and [`tree::read_open`]; EBADF: a descriptor that is not
/// open for reading.
pub fn sys_read(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<Return> {
    if fd::descriptor(path).is_none() {
        fd::free_fd(k, me)?;
    }
    match subject(k, me, path, true)? {
        Subject::File(file) => read_file(k, me, file),
        Subject::Node(node) => {
            let bound = tree::open(k, Viewer(me), node, OpenFlags::READ)?;
            tree::read_open(k, Viewer(me), &bound).map(Return::Text)
        }
    }
}

fn read_file(k: &mut Kernel, me: TaskId, id: FileId) -> Result<Return> {
    let file = &k.open_files[id];
    if !file.flags.contains(OpenFlags::READ) || file.flags.contains(OpenFlags::PATH) {
        bail!(EBADF, "the descriptor is not open for reading");
    }
    let content = tree::read_file(k, me, &file.kind)?;
    let start = usize::try_from(file.pos).unwrap_or(usize::MAX).min(content.len());
    k.open_files[id].pos = file.pos.max(content.len() as u64);
    Ok(Return::Text(content[start..].to_vec()))
}

/// readlink(2); of a descriptor readlinkat(2) with an empty path.
///
/// # Errors
/// Those of [`tree::resolve`] and [`tree::readlink_as_task`].
pub fn sys_readlink(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<Return> {
    let node = match subject(k, me, path, false)? {
        Subject::Node(node) => node,
        Subject::File(file) => match k.open_files[file].kind.bound() {
            Some(bound) => bound.node,
            None => bail!(ENOENT, "the descriptor is no symbolic link"),
        },
    };
    tree::readlink_as_task(k, me, node).map(Return::Text)
}

/// stat(2), or lstat(2) without `follow`: `type mode uid gid ino`, ids as the caller's user namespace has them.
///
/// # Errors
/// Those of [`tree::resolve`]; ENOENT: the task of an open file is gone.
pub fn sys_stat(k: &mut Kernel, me: TaskId, path: &[u8], follow: bool) -> Result<Return> {
    let node = match subject(k, me, path, follow)? {
        Subject::Node(node) => node,
        Subject::File(file) => match &k.open_files[file].kind {
            FileKind::Node { bound, .. } => bound.node,
            FileKind::Ns(ns) => Node { view: View::Caller, place: Place::NsFile(*ns) },
            FileKind::Mqueue(open) => fd::mqueue_node(open),
            FileKind::Pidfd { pid, .. } => return Ok(pidfd_stat(pid.id().serial())),
            FileKind::Socket(socket) => return Ok(socket_stat(k, me, &k.net.sockets[*socket])),
        },
    };
    let attr = tree::attr(k, Viewer(me), node)?;
    Ok(Return::Text(stat_line(k, me, &attr, tree::ino(node)).into_bytes()))
}

fn stat_line(k: &Kernel, me: TaskId, attr: &Attr, ino: u64) -> String {
    let user = k.namespaces[k.cred_of(me).user_ns.id()].user();
    let file_type = match attr.file_type {
        FileType::Directory => "directory",
        FileType::File => "file",
        FileType::Symlink => "symlink",
        FileType::Socket => "socket",
    };
    let uid = user.from_kuid(attr.uid).unwrap_or(OVERFLOW_ID);
    let gid = user.from_kgid(attr.gid).unwrap_or(OVERFLOW_ID);
    format!("{file_type} {:04o} {uid} {gid} {}", attr.mode, attr.ino.unwrap_or(ino))
}

/// A pidfd is a file of pidfs: mode 0700, of root.
fn pidfd_stat(ino: u64) -> Return {
    Return::Text(format!("file 0700 0 0 {ino}").into_bytes())
}

/// A socket belongs to its maker.
fn socket_stat(k: &Kernel, me: TaskId, socket: &Socket) -> Return {
    let user = k.namespaces[k.cred_of(me).user_ns.id()].user();
    let uid = user.from_kuid(socket.uid).unwrap_or(OVERFLOW_ID);
    Return::Text(format!("socket 0777 {uid} 0 {}", socket.ino).into_bytes())
}

/// The names in a directory, one a line, sorted by bytes; those of an `ns` directory in the kernel's own order.
///
/// # Errors
/// Those of [`tree::resolve`], [`tree::may_open`] and [`tree::readdir`]; EBADF: a descriptor opened with O_PATH.
pub fn sys_ls(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<Return> {
    let node = match subject(k, me, path, true)? {
        Subject::Node(node) => {
            tree::may_open(k, Viewer(me), node, OpenFlags::READ | OpenFlags::DIRECTORY)?;
            node
        }
        Subject::File(file) => listable(k, file)?,
    };
    let mut names: Vec<String> = tree::readdir(k, Viewer(me), node)?.into_iter().map(|entry| entry.name).collect();
    if !tree::is_ns_dir(node) {
        names.sort_unstable();
    }
    Ok(Return::Text(names.join("\n").into_bytes()))
}

fn listable(k: &Kernel, file: FileId) -> Result<Node> {
    let file = &k.open_files[file];
    if file.flags.contains(OpenFlags::PATH) {
        bail!(EBADF, "the descriptor was opened with O_PATH");
    }
    match file.kind.bound() {
        Some(bound) => Ok(bound.node),
        None => bail!(ENOTDIR, "the descriptor is no directory"),
    }
}
