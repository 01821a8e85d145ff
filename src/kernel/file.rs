//! Open files, descriptor tables and the fs_struct (root, cwd, umask).

use std::collections::BTreeMap;

use super::cred::Cred;
use super::node::Node;
use super::ns::Namespace;
use super::pid::Pid;
use super::refcount::{Counted, Held};
use super::{FileId, Kernel, NsId, TaskId};

/// An open file description (`struct file`).
#[derive(Debug)]
pub struct File {
    pub count: u32,
    pub kind: FileKind,
    pub flags: OpenFlags,
    /// Bytes; a position other than 0 matters to map files and sysctls.
    pub pos: u64,
    /// The opener's credentials (`f_cred`).
    pub cred: Held<Cred>,
}

#[derive(Debug)]
pub enum FileKind {
    /// A namespace file: counts as one of the pins of the namespace.
    Ns(NsId),
    Pidfd {
        pid: Held<Pid>,
        thread: bool,
    },
    /// A file or directory of the lab's tree. `bound` is the namespace it addresses for as long as it is open: the
    /// user namespace of a map file, the table of a sysctl.
    Node {
        node: Node,
        bound: Option<Held<Namespace>>,
    },
}

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct OpenFlags: u32 {
        const READ = 1;
        const WRITE = 1 << 1;
        const PATH = 1 << 2;
        const NOFOLLOW = 1 << 3;
        const DIRECTORY = 1 << 4;
        const CREAT = 1 << 5;
        const EXCL = 1 << 6;
        const TRUNC = 1 << 7;
        const CLOEXEC = 1 << 8;
        const NONBLOCK = 1 << 9;
        /// PIDFD_THREAD
        const THREAD = 1 << 10;
    }
}

/// A descriptor table, shared under CLONE_FILES.
#[derive(Debug, Default)]
pub struct FilesStruct {
    pub count: u32,
    pub fds: BTreeMap<i32, Descriptor>,
}

#[derive(Debug)]
pub struct Descriptor {
    pub file: Held<File>,
    pub cloexec: bool,
}

/// Root, working directory and umask, shared under CLONE_FS.
#[derive(Debug)]
pub struct FsStruct {
    pub users: u32,
    pub umask: u32,
}

impl Counted for File {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}
impl Counted for FilesStruct {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}
impl Counted for FsStruct {
    fn count(&mut self) -> &mut u32 {
        &mut self.users
    }
}

impl Kernel {
    /// The open file behind descriptor `fd` of a task.
    pub fn file_at(&self, task: TaskId, fd: i32) -> Option<FileId> {
        let files = self.tasks[task].files.as_ref()?;
        self.files[files.id()].fds.get(&fd).map(|d| d.file.id())
    }
}

impl Kernel {
    /// Drops a reference to an open file; the last one closes it.
    pub(crate) fn put_file(&mut self, held: Held<File>) {
        let Some(closed) = self.open_files.release(held) else { return };
        match closed.kind {
            FileKind::Ns(ns) => self.unpin_ns(ns),
            FileKind::Pidfd { pid, .. } => self.put_pid(pid),
            FileKind::Node { bound, .. } => {
                if let Some(ns) = bound {
                    self.put_ns(ns);
                }
            }
        }
        self.put_cred(closed.cred);
    }
}
