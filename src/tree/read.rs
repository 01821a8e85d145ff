//! The content of files.

use super::look::Look;
use super::proc::pid;
use super::{Eyes, FileType, Polled, Viewer, bind, file_type, is_alive, is_task_gone, mqueue};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::{About, Bound, FileKind, OpenFlags};
use crate::kernel::node::Node;
use crate::kernel::{Kernel, TaskId};

/// The whole content of a file, for a viewer that opens it now. Asks no rights but those Linux asks at each read.
///
/// # Errors
/// EISDIR; EINVAL: a namespace file or a link; ESRCH: its task or the viewer is gone; EACCES.
pub fn read(k: &Kernel, eyes: impl Into<Eyes>, node: Node) -> Result<Vec<u8>> {
    let eyes = eyes.into();
    read_open(k, eyes, &bind(k, eyes, node, OpenFlags::READ)?)
}

/// The whole content of a file that is open, at the time of the read: ids as the opener's user namespace has them, of
/// the namespace it is about.
///
/// # Errors
/// As [`read`]; ENOENT: a sysctl whose namespace is gone; EPERM: one that the reader may not read.
pub fn read_open(k: &Kernel, reader: impl Into<Eyes>, bound: &Bound) -> Result<Vec<u8>> {
    let look = Look::opened(k, reader, bound)?;
    match bound.about {
        About::Mounts { root, .. } if !k.vfs.mounts.contains(root.mount) => {
            bail!(ESRCH, "the root directory this file is about is gone")
        }
        About::Mounts { ns, root } => {
            let format = look.ask(bound.node.place, |file| file.mounts_format()).unwrap_or(pid::Format::Info);
            Ok(pid::render_mounts(&look, ns, root, format))
        }
        About::Itself | About::Ns(_) | About::Table(_) | About::SysvIpc { .. } => content(&look, bound.node),
    }
}

/// What poll(2) says of a file that is open.
///
/// # Errors
/// As [`read_open`].
pub fn polled(k: &Kernel, eyes: impl Into<Eyes>, bound: &Bound) -> Result<Polled> {
    let look = Look::opened(k, eyes, bound)?;
    match bound.about {
        About::Mounts { ns, .. } => Ok(Polled::Mounts(k.vfs.trees[k.tree_of(ns)].event)),
        About::Itself | About::Ns(_) | About::Table(_) | About::SysvIpc { .. } => {
            check_there(&look, bound.node)?;
            Ok(look.ask(bound.node.place, |file| file.polled(&look)))
        }
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
    check_there(look, node)?;
    if file_type(look, node.place) == Some(FileType::Directory) {
        bail!(EISDIR, "this is a directory");
    }
    look.ask(node.place, |file| file.read(look))
}

/// That what an open file shows is there still, or that the file outlives it.
///
/// # Errors
/// What a read says then.
fn check_there(look: &Look<'_>, node: Node) -> Result<()> {
    if !is_alive(look, node) && !is_task_gone(look, node) {
        return Err(look.ask(node.place, |file| file.read_error_when_gone()));
    }
    Ok(())
}
