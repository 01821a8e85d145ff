//! What a task reads by path or descriptor: read(2), readlink(2), stat(2), lstat(2) and getdents(2).

use super::outcome::Stat;
use super::{Outcome, Return};
use super::{cwd, fd, namei};
use crate::bail;
use crate::errno::Result;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::file::{FileKind, OpenFlags};
use crate::kernel::net::socket::Socket;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::{Current, FileId, Kernel};
use crate::tree::{self, Attr, FileType, Picture, Rendering, Viewer};

/// Where a picture ends for who has read it.
const END: u64 = i64::MAX as u64;

/// What a path of these calls means. Numbers in it are the task's own.
enum Subject {
    /// `fd:<n>`: the open file itself.
    File(FileId),
    Node(Node),
}

fn subject(k: &mut Kernel, me: Current, path: &[u8], follow: bool) -> Result<Subject> {
    match fd::descriptor(path) {
        Some(number) => fd::file_at(k, *me, number).map(Subject::File),
        None => {
            let node = tree::resolve(k, *me, cwd::own_view(k, me), path, follow)?;
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
pub fn sys_read(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    if fd::descriptor(path).is_none() {
        fd::free_fd(k, me)?;
    }
    match subject(k, me, path, true)? {
        Subject::File(file) => read_file(k, me, file),
        Subject::Node(node) => {
            let bound = tree::open(k, Viewer(*me), node, OpenFlags::READ)?;
            Ok(match Rendering::take(k, Viewer(*me), &bound)? {
                Rendering::Text(text) => Return::Bytes(text),
                Rendering::Picture(picture) => Return::Picture(picture),
            })
        }
    }
}

fn read_file(k: &mut Kernel, me: Current, id: FileId) -> Outcome {
    let file = &k.open_files[id];
    if !file.flags.contains(OpenFlags::READ) || file.flags.contains(OpenFlags::PATH) {
        bail!(EBADF, "the descriptor is not open for reading");
    }
    if let Some(picture) = file.kind.bound().and_then(|bound| Picture::take(k, bound.node.place)) {
        // How long it is nobody knows before it is drawn.
        let is_read = std::mem::replace(&mut k.open_files[id].pos, END) == END;
        return Ok(if is_read { Return::Bytes(Vec::new()) } else { Return::Picture(picture) });
    }
    let content = tree::read_file(k, *me, &file.kind)?;
    let start = usize::try_from(file.pos).unwrap_or(usize::MAX).min(content.len());
    k.open_files[id].pos = file.pos.max(content.len() as u64);
    Ok(Return::Bytes(content[start..].to_vec()))
}

/// readlink(2); of a descriptor readlinkat(2) with an empty path.
///
/// # Errors
/// Those of [`tree::resolve`] and [`tree::readlink_as_task`].
pub fn sys_readlink(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    let node = match subject(k, me, path, false)? {
        Subject::Node(node) => node,
        Subject::File(file) => match k.open_files[file].kind.bound() {
            Some(bound) => bound.node,
            None => bail!(ENOENT, "the descriptor is no symbolic link"),
        },
    };
    Ok(Return::Bytes(tree::readlink_as_task(k, *me, node)?))
}

/// stat(2)
///
/// # Errors
/// Those of [`tree::resolve`]; ENOENT: the task of an open file is gone.
pub fn sys_stat(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    stat(k, me, path, true)
}

/// lstat(2)
///
/// # Errors
/// As [`sys_stat`].
pub fn sys_lstat(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    stat(k, me, path, false)
}

fn stat(k: &mut Kernel, me: Current, path: &[u8], follow: bool) -> Outcome {
    let node = match subject(k, me, path, follow)? {
        Subject::Node(node) => node,
        Subject::File(file) => match &k.open_files[file].kind {
            FileKind::Node { bound, .. } => bound.node,
            FileKind::Ns(ns) => Node { view: View::Caller, place: Place::NsFile(*ns) },
            FileKind::Mqueue(open) => fd::mqueue_node(open),
            FileKind::Pidfd { pid, .. } => return Ok(Return::Stat(pidfd_stat(pid.id().serial()))),
            FileKind::Socket(socket) => return Ok(Return::Stat(socket_stat(k, me, &k.net.sockets[*socket]))),
        },
    };
    let attr = tree::attr(k, Viewer(*me), node)?;
    Ok(Return::Stat(stat_of(k, me, &attr)))
}

fn stat_of(k: &Kernel, me: Current, attr: &Attr) -> Stat {
    let user = &k.namespaces[k.cred_of(*me).user_ns.id()];
    let uid = user.from_kuid(attr.uid).unwrap_or(OVERFLOW_ID);
    let gid = user.from_kgid(attr.gid).unwrap_or(OVERFLOW_ID);
    Stat { file_type: attr.file_type, mode: attr.mode, uid, gid, ino: attr.ino }
}

/// A pidfd is a file of pidfs: mode 0700, of root.
fn pidfd_stat(ino: u64) -> Stat {
    Stat { file_type: FileType::File, mode: 0o700, uid: 0, gid: 0, ino }
}

/// A socket belongs to its maker.
fn socket_stat(k: &Kernel, me: Current, socket: &Socket) -> Stat {
    let user = &k.namespaces[k.cred_of(*me).user_ns.id()];
    let uid = user.from_kuid(socket.uid).unwrap_or(OVERFLOW_ID);
    Stat { file_type: FileType::Socket, mode: 0o777, uid, gid: 0, ino: socket.ino }
}

/// The names in a directory, sorted by bytes; those of an `ns` directory in the kernel's own order.
///
/// # Errors
/// Those of [`tree::resolve`], [`tree::may_open`] and [`tree::readdir`]; EBADF: a descriptor opened with O_PATH.
pub fn sys_ls(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    let node = match subject(k, me, path, true)? {
        Subject::Node(node) => {
            tree::may_open(k, Viewer(*me), node, OpenFlags::READ | OpenFlags::DIRECTORY)?;
            node
        }
        Subject::File(file) => listable(k, file)?,
    };
    let mut names: Vec<String> = tree::readdir(k, Viewer(*me), node)?.into_iter().map(|entry| entry.name).collect();
    if !tree::is_listed_in_order(node) {
        names.sort_unstable();
    }
    Ok(Return::Names(names))
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
