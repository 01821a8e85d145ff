//! Open files that are in no tree: what the links of descriptors to sockets and pidfds lead to.

use super::family::{Family, Up};
use super::look::Look;
use super::{Attr, Cacheable, Content, FileType};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::{FileKind, OpenFlags};
use crate::kernel::node::Place;
use crate::kernel::{FileId, Kernel, TaskId};

pub(super) struct Unnamed(pub FileId);

/// The name of such a file, which is the text of its link; `None`: it is a file of some tree.
pub(super) fn name(k: &Kernel, file: FileId) -> Option<Vec<u8>> {
    match k.open_files.get(file)?.kind {
        FileKind::Socket(socket) => Some(format!("socket:[{}]", k.net.sockets[socket].ino).into_bytes()),
        FileKind::Pidfd { .. } => Some(b"anon_inode:[pidfd]".to_vec()),
        FileKind::Ns(_) | FileKind::Node { .. } | FileKind::Mqueue(_) => None,
    }
}

/// The file of this name among the descriptors of a task: the first, as pidfds have all the same.
pub(super) fn find(k: &Kernel, task: TaskId, wanted: &[u8]) -> Option<Place> {
    let mut files = k.files_of(task)?.fds.entries().map(|(_, descriptor)| descriptor.file.id());
    files.find(|&file| name(k, file).is_some_and(|name| name == wanted)).map(Place::Unnamed)
}

impl Family for Unnamed {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.open_files.contains(self.0)
    }

    /// A pidfd has no type on Linux; a file of a FUSE mount has one.
    fn file_type(&self, k: &Kernel) -> Option<FileType> {
        let is_socket = matches!(k.open_files.get(self.0)?.kind, FileKind::Socket(_));
        Some(if is_socket { FileType::Socket } else { FileType::File })
    }

    fn path(&self, look: &Look<'_>) -> String {
        String::from_utf8_lossy(&name(look.k, self.0).unwrap_or_default()).into_owned()
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let k = look.k;
        match k.open_files[self.0].kind {
            FileKind::Socket(socket) => Ok(Attr { mode: 0o777, uid: k.net.sockets[socket].uid, ..plain }),
            FileKind::Pidfd { .. } | FileKind::Ns(_) | FileKind::Node { .. } | FileKind::Mqueue(_) => {
                Ok(Attr { mode: 0o700, ..plain })
            }
        }
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    fn content(&self) -> Content {
        Content::Unsized
    }

    fn up(&self, _: &Look<'_>) -> Up {
        Up::Top
    }

    fn ino(&self, k: &Kernel) -> Option<u64> {
        match &k.open_files.get(self.0)?.kind {
            FileKind::Socket(socket) => Some(k.net.sockets[*socket].ino),
            FileKind::Pidfd { pid, .. } => Some(pid.id().serial()),
            FileKind::Ns(_) | FileKind::Node { .. } | FileKind::Mqueue(_) => None,
        }
    }

    /// Only the descriptor itself is of any use.
    fn check_open(&self, look: &Look<'_>, _: OpenFlags) -> Result<()> {
        bail!(ENXIO, "{} is opened by no name", self.path(look))
    }
}
