//! The content of files.

use super::look::Look;
use super::proc::pid::{self, fd};
use super::proc::sys;
use super::{
    Census, FileType, Viewer, bind, cgroup, file_type, fixed, is_alive, is_task_gone, mqueue, net_conf, structs,
};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::{About, Bound, FileKind, OpenFlags};
use crate::kernel::mount::dentry::Content;
use crate::kernel::node::{Node, Place};
use crate::kernel::ns::NS_TABLE;
use crate::kernel::{Kernel, TaskId};

/// The whole content of a file, for a viewer that opens it now. Asks no rights but those Linux asks at each read.
///
/// # Errors
/// EISDIR; EINVAL: a namespace file or a link; ESRCH: its task or the viewer is gone; EACCES.
pub fn read(k: &Kernel, viewer: Viewer, node: Node) -> Result<Vec<u8>> {
    read_open(k, viewer, &bind(k, viewer, node, OpenFlags::READ)?)
}

/// The whole content of a file that is open, at the time of the read: ids as the opener's user namespace has them, of
/// the namespace it is about.
///
/// # Errors
/// As [`read`]; ENOENT: a sysctl whose namespace is gone; EPERM: one that the reader may not read.
pub fn read_open(k: &Kernel, reader: Viewer, bound: &Bound) -> Result<Vec<u8>> {
    let look = Look::opened(k, reader, bound)?;
    match bound.about {
        About::Mounts { root, .. } if !k.vfs.mounts.contains(root.mount) => {
            bail!(ESRCH, "the root directory this file is about is gone")
        }
        About::Mounts { ns, root } => {
            let format = pid::mounts_format(bound.node.place).unwrap_or(pid::Format::Info);
            Ok(pid::render_mounts(&look, ns, root, format))
        }
        About::Itself | About::Ns(_) | About::Table(_) | About::SysvIpc { .. } => content(&look, bound.node),
    }
}

/// The whole content of a file that a descriptor is open for.
///
/// # Errors
/// As [`read_open`]; EINVAL, EOPNOTSUPP: it cannot be read.
pub fn read_file(k: &Kernel, reader: TaskId, file: &FileKind) -> Result<Vec<u8>> {
    match file {
        FileKind::Ns(_) | FileKind::Pidfd { .. } => bail!(EINVAL, "namespace files and pidfds cannot be read"),
        FileKind::Socket(_) => bail!(EOPNOTSUPP, "sockets carry no data in a lab"),
        FileKind::Node { bound, .. } => read_open(k, Viewer(reader), bound),
        FileKind::Mqueue(open) => Ok(mqueue::text(k, reader, open.queue.id())),
    }
}

fn content(look: &Look<'_>, node: Node) -> Result<Vec<u8>> {
    let k = look.k;
    if !is_alive(k, node) && !is_task_gone(k, node) {
        match node.place {
            Place::Fd { .. } => bail!(ENOENT, "the task of this descriptor is gone"),
            _ => bail!(ESRCH, "what this file shows is gone"),
        }
    }
    if file_type(k, node.place) == Some(FileType::Directory) {
        bail!(EISDIR, "this is a directory");
    }
    let text = match node.place {
        Place::Dentry(id) => match &k.vfs.dentries[id].content {
            Content::File(bytes) => Some(bytes.clone()),
            Content::Directory(_) | Content::Symlink(_) | Content::Socket(_) => None,
        },
        Place::Fixed(row) => match fixed::row(row).kind {
            fixed::Kind::File(render)
            | fixed::Kind::SysvIpc(render)
            | fixed::Kind::Special(_, render)
            | fixed::Kind::Sysctl { render, .. } => {
                return render(look);
            }
            fixed::Kind::Picture(draw) => return Ok(draw(&Census::take(k))),
            fixed::Kind::Ipc(sysctl) => return sys::ipc(look, sysctl),
            fixed::Kind::Dir(_) | fixed::Kind::Link(_) => None,
        },
        Place::MaxNamespaces(kind) => return sys::max_namespaces(look, NS_TABLE[usize::from(kind)]),
        Place::Pid(task, row) | Place::Tid(task, row) => match pid::row_at(row).kind {
            // What it is about was fixed at the open and may outlive the task.
            pid::Kind::File(render) if k.tasks.contains(task) || look.bound.is_some() => return render(look, task),
            pid::Kind::File(_) if pid::row_at(row).is_empty_when_gone => return Ok(Vec::new()),
            pid::Kind::File(_) => bail!(ESRCH, "the task of this file is gone"),
            pid::Kind::Dir(_) | pid::Kind::Link(_) => None,
        },
        Place::Fd { task, fd, info: true, .. } => return fd::info(look, task, fd),
        Place::Cgroup(id, Some(file)) => return cgroup::read(look, id, file),
        Place::NetConf(of, Some(row)) => return net_conf::read(look, of, row),
        Place::Mqueue(queue) => Some(mqueue::text(k, look.reader, queue)),
        Place::Struct(object, row) => structs::read(k, object, row),
        Place::StructItem(object, row, key) => structs::read_item(k, object, row, key),
        _ => None,
    };
    match text {
        Some(text) => Ok(text),
        None => bail!(EINVAL, "this file cannot be read"),
    }
}
