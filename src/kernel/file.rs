//! Open files, descriptor tables and the fs_struct (root, cwd, umask).

use std::sync::Arc;

use super::cred::{Cred, NewCred};
use super::ipc::mqueue::MqueueFile;
use super::mount::site::{HeldPath, Path};
use super::mount::umount::Umounting;
use super::net::SocketId;
use super::node::Node;
use super::ns::Namespace;
use super::pid::Pid;
use super::refcount::{Counted, Held};
use super::table::Cyclic;
use super::{FileId, IpcNsId, Kernel, MntNsId, NsId, PidNsId, TaskId};

/// An open file description (`struct file`).
#[derive(Clone, Debug)]
pub struct File {
    pub count: u32,
    pub kind: FileKind,
    pub flags: OpenFlags,
    /// Bytes; a position other than 0 matters to map files and sysctls.
    pub pos: u64,
    /// Keeps the opener's credentials (`f_cred`).
    pub cred: Held<Cred>,
    /// Where it was opened; `None` for what was not opened in the file tree of a task.
    pub path: Option<HeldPath>,
}

#[derive(Clone, Debug)]
pub enum FileKind {
    /// A namespace file: counts as one of the pins of the namespace.
    Ns(NsId),
    Pidfd {
        pid: Held<Pid>,
        thread: bool,
    },
    Socket(SocketId),
    /// A file or directory of the lab's tree, with what the open file keeps of what it is about.
    Node {
        bound: Bound,
        kept: Kept,
    },
    /// A POSIX message queue.
    Mqueue(MqueueFile),
}

/// What an open of a file of the lab's tree decides for as long as it is open: names and values, which count nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub node: Node,
    /// The opener's credentials, as they were.
    pub opener: Arc<NewCred>,
    pub about: About,
}

/// What an open file is about, whatever its readers and writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The file itself says it, or each reader and writer at its time.
    Itself,
    /// A namespace, which lives as long as a descriptor of the file.
    Ns(NsId),
    /// The namespace of a table of sysctls, which goes with the namespace.
    Table(NsId),
    /// Of a file below `sysvipc` the opener's IPC and pid namespace; both live as long as a descriptor of the file.
    SysvIpc { ipc_ns: IpcNsId, pid_ns: PidNsId },
    /// The mounts of a namespace below the root directory its task had (`struct proc_mounts`).
    Mounts { ns: MntNsId, root: Path },
}

impl About {
    /// The namespace the file is about.
    pub fn ns(self) -> Option<NsId> {
        match self {
            About::Itself => None,
            About::Ns(ns) | About::Table(ns) => Some(ns),
            About::Mounts { ns, .. } => Some(ns.any()),
            About::SysvIpc { ipc_ns, .. } => Some(ipc_ns.any()),
        }
    }
}

/// What a descriptor keeps of what its file is about.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub namespaces: Vec<Held<Namespace>>,
    pub root: Option<HeldPath>,
}

impl FileKind {
    /// What the open of a file of the lab's tree decided; `None`: a file of another kind.
    pub fn bound(&self) -> Option<&Bound> {
        match self {
            FileKind::Node { bound, .. } => Some(bound),
            FileKind::Ns(_) | FileKind::Pidfd { .. } | FileKind::Socket(_) | FileKind::Mqueue(_) => None,
        }
    }
}

/// Access modes of open(2), which are no bits, and the mask for them.
pub const O_RDONLY: u32 = 0;
pub const O_WRONLY: u32 = 1;
pub const O_RDWR: u32 = 2;
pub const O_ACCMODE: u32 = 3;

bitflags::bitflags! {
    /// How a file is open: the bits of open(2) (`include/uapi/asm-generic/fcntl.h`), and above them what the kernel makes of
    /// its access mode and notes for itself (`f_mode`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct OpenFlags: u32 {
        const CREAT = 0o100;
        const EXCL = 0o200;
        /// Of a pidfd, what O_EXCL is of a file (PIDFD_THREAD).
        const THREAD = 0o200;
        const TRUNC = 0o1000;
        const NONBLOCK = 0o4000;
        /// open(2) adds it, what makes descriptors otherwise does not.
        const LARGEFILE = 0o100_000;
        const DIRECTORY = 0o200_000;
        const NOFOLLOW = 0o400_000;
        const CLOEXEC = 0o2_000_000;
        const PATH = 0o10_000_000;
        /// Data may be read (FMODE_READ).
        const READ = 1 << 28;
        /// Data may be written (FMODE_WRITE).
        const WRITE = 1 << 29;
        /// The descriptor of open_tree(2): closing it takes its tree away (FMODE_NEED_UNMOUNT).
        const NEED_UNMOUNT = 1 << 30;
    }
}

impl OpenFlags {
    /// The bits that open(2) takes; the others are the kernel's.
    const OF_OPEN: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE).union(OpenFlags::NEED_UNMOUNT).complement();
    /// What O_PATH lets stand beside it (`O_PATH_FLAGS`).
    const OF_PATH: OpenFlags =
        OpenFlags::PATH.union(OpenFlags::DIRECTORY).union(OpenFlags::NOFOLLOW).union(OpenFlags::CLOEXEC);

    /// The flags argument of open(2) (`build_open_flags`). Bits without a meaning here are dropped; the access mode that is
    /// none neither reads nor writes.
    pub fn of_open(flags: u32) -> OpenFlags {
        let mut open = OpenFlags::from_bits_truncate(flags) & OpenFlags::OF_OPEN;
        if open.contains(OpenFlags::PATH) {
            return open & OpenFlags::OF_PATH;
        }
        let access = flags & O_ACCMODE;
        open.set(OpenFlags::READ, matches!(access, O_RDONLY | O_RDWR));
        open.set(OpenFlags::WRITE, matches!(access, O_WRONLY | O_RDWR));
        open
    }

    /// The word that open(2) would take for it.
    pub fn word(self) -> u32 {
        let access = match (self.contains(OpenFlags::READ), self.contains(OpenFlags::WRITE)) {
            (true, true) => O_RDWR,
            (false, true) => O_WRONLY,
            (_, false) => O_RDONLY,
        };
        (self & OpenFlags::OF_OPEN).bits() | access
    }

    /// Data may be written through the descriptor.
    pub fn writes(self) -> bool {
        self.contains(OpenFlags::WRITE) && !self.contains(OpenFlags::PATH)
    }
}

/// A descriptor table, shared under CLONE_FILES.
#[derive(Clone, Debug, Default)]
pub struct FilesStruct {
    pub count: u32,
    pub fds: Cyclic<Descriptor>,
}

#[derive(Clone, Debug)]
pub struct Descriptor {
    pub file: Held<File>,
    pub cloexec: bool,
}

/// Root, working directory and umask, shared under CLONE_FS.
#[derive(Clone, Debug)]
pub struct FsStruct {
    pub users: u32,
    pub umask: u32,
    pub root: HeldPath,
    pub pwd: HeldPath,
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
    pub fn descriptor_at(&self, task: TaskId, fd: i32) -> Option<&Descriptor> {
        self.files_of(task)?.fds.peek(fd)
    }

    /// The open file behind descriptor `fd` of a task.
    pub fn file_at(&self, task: TaskId, fd: i32) -> Option<FileId> {
        self.descriptor_at(task, fd).map(|descriptor| descriptor.file.id())
    }
}

impl Kernel {
    /// Drops a reference to an open file; the last one closes it.
    pub(crate) fn put_file(&mut self, held: Held<File>) {
        let Some(closed) = self.open_files.release(held) else { return };
        match closed.kind {
            FileKind::Ns(ns) => self.unpin_ns(ns),
            FileKind::Pidfd { pid, .. } => self.put_pid(pid),
            FileKind::Socket(id) => self.close_socket(id),
            FileKind::Node { kept, .. } => {
                kept.namespaces.into_iter().for_each(|ns| self.put_ns(ns));
                if let Some(root) = kept.root {
                    self.put_path(root);
                }
            }
            FileKind::Mqueue(queue) => self.close_mqueue(queue),
        }
        if let Some(path) = closed.path {
            self.close_path(path, closed.flags);
        }
        self.put_cred(closed.cred);
    }

    fn close_path(&mut self, path: HeldPath, flags: OpenFlags) {
        let mount = path.mount.id();
        if flags.writes() {
            self.vfs.mounts[mount].writers -= 1;
        }
        let tree = self.vfs.mounts[mount].tree.filter(|_| flags.contains(OpenFlags::NEED_UNMOUNT));
        if tree.is_some_and(|tree| self.vfs.trees[tree].ns.is_none()) {
            self.umount_tree(mount, Umounting::Connected);
        }
        self.put_path(path);
    }

    /// Keeps what a file is about for a descriptor of it.
    pub(crate) fn keep(&mut self, about: About) -> Kept {
        match about {
            About::Itself | About::Table(_) => Kept::default(),
            About::Ns(ns) => Kept { namespaces: vec![self.get_ns(ns)], root: None },
            About::SysvIpc { ipc_ns, pid_ns } => {
                Kept { namespaces: vec![self.get_ns(ipc_ns.any()), self.get_ns(pid_ns.any())], root: None }
            }
            About::Mounts { ns, root } => {
                Kept { namespaces: vec![self.get_ns(ns.any())], root: Some(self.hold_path(root)) }
            }
        }
    }

    /// A task closes a descriptor, by itself, by exec or by its exit (`filp_close`).
    pub(crate) fn filp_close(&mut self, task: TaskId, held: Held<File>) {
        if let FileKind::Mqueue(file) = &self.open_files[held.id()].kind {
            self.flush_mqueue(task, file.queue.id());
        }
        self.put_file(held);
    }
}
