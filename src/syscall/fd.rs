//! Descriptors: open of namespace files, pidfds and files of the lab; close, dup, pidfd_getfd.

use super::lab::Target;
use super::{Outcome, PidArg, Return, cwd, namei};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::kernel::file::{Descriptor, File, FileKind, OpenFlags};
use crate::kernel::ipc::mqueue::MqueueFile;
use crate::kernel::mount::dentry::Content;
use crate::kernel::mount::site::Path;
use crate::kernel::net::SocketId;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::ns::NsType;
use crate::kernel::ptrace::PtraceMode;
use crate::kernel::refcount::Held;
use crate::kernel::{Current, FileId, Kernel, NsId, PidId, TaskId};
use crate::tree::{self, Viewer};

/// What opening a target gives, before it has a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    Ns(NsId),
    /// `task` is `None` when it was reaped since.
    Pidfd {
        pid: PidId,
        thread: bool,
        task: Option<TaskId>,
    },
    Socket(SocketId),
    Node(Node),
}

/// What the words of the language mean, as if the task opened it.
///
/// # Errors
/// ENOENT: no such namespace; EMFILE and those of pidfd_open(2) and open(2).
pub fn open_target(k: &Kernel, me: Current, target: &Target) -> Result<Opened> {
    match target {
        Target::Ns { ns_type, inum } => find_ns(k, *ns_type, *inum),
        Target::Pidfd(pid) => {
            let task = pidfd_target(k, me, *pid, OpenFlags::empty())?;
            free_fd(k, me)?;
            Ok(Opened::Pidfd { pid: k.pid_of(task), thread: false, task: Some(task) })
        }
        Target::Path(path) => {
            // open(2) takes its descriptor before it looks at the path.
            free_fd(k, me)?;
            open_path(k, me, path, OpenFlags::READ).map(opened_node)
        }
    }
}

fn find_ns(k: &Kernel, ns_type: NsType, inum: u32) -> Result<Opened> {
    match k.find_ns(ns_type, inum) {
        Some(ns) => Ok(Opened::Ns(ns)),
        None => bail!(ENOENT, "{}:[{}] does not exist", ns_type.ops().name, inum),
    }
}

/// The file at a path, as the task opens it.
fn open_path(k: &Kernel, me: Current, path: &[u8], flags: OpenFlags) -> Result<Node> {
    let node = tree::resolve(k, *me, View::Caller, path, follows(flags))?;
    tree::may_open(k, Viewer(*me), node, flags)?;
    Ok(node)
}

/// Whether a link at the end of the path is followed (`build_open_flags`).
fn follows(flags: OpenFlags) -> bool {
    !flags.contains(OpenFlags::NOFOLLOW) && !flags.contains(OpenFlags::CREAT | OpenFlags::EXCL)
}

fn opened_node(node: Node) -> Opened {
    tree::ns_of_file(node).map_or(Opened::Node(node), Opened::Ns)
}

/// What an open file is.
pub fn opened(k: &Kernel, file: FileId) -> Opened {
    match &k.open_files[file].kind {
        FileKind::Ns(ns) => Opened::Ns(*ns),
        FileKind::Pidfd { pid, thread } => {
            Opened::Pidfd { pid: pid.id(), thread: *thread, task: k.pids[pid.id()].attached.task }
        }
        FileKind::Socket(id) => Opened::Socket(*id),
        FileKind::Node { bound, .. } => Opened::Node(bound.node),
        FileKind::Mqueue(open) => Opened::Node(mqueue_node(open)),
    }
}

/// The open file behind a descriptor.
///
/// # Errors
/// EBADF
pub fn file_at(k: &Kernel, task: TaskId, fd: i32) -> Result<FileId> {
    match k.file_at(task, fd) {
        Some(file) => Ok(file),
        None => bail!(EBADF, "descriptor {} is not open", fd),
    }
}

/// The open file behind a descriptor, for what needs more of it than its place (`fdget`).
///
/// # Errors
/// EBADF: no such descriptor, or one opened with O_PATH.
pub fn usable_file_at(k: &Kernel, me: Current, fd: i32) -> Result<FileId> {
    let file = file_at(k, *me, fd)?;
    if k.open_files[file].flags.contains(OpenFlags::PATH) {
        bail!(EBADF, "descriptor {} was opened with O_PATH", fd);
    }
    Ok(file)
}

/// The descriptor a path of the form `fd:N` stands for.
pub fn descriptor(path: &[u8]) -> Option<i32> {
    std::str::from_utf8(path.strip_prefix(b"fd:")?).ok()?.parse().ok()
}

/// The task a new pidfd is of (`pidfd_create`).
///
/// # Errors
/// EINVAL: no number of a process; ESRCH: nobody there; ENOENT: a thread, without PIDFD_THREAD and of no pidfd that was handed
/// over.
fn pidfd_target(k: &Kernel, me: Current, pid: PidArg, flags: OpenFlags) -> Result<TaskId> {
    let nr = pid.number();
    if nr <= 0 {
        bail!(EINVAL, "{} is no pid", nr);
    }
    let Some(task) = pid.find_task(k, me) else { bail!(ESRCH, "pid {} does not exist or is not visible", nr) };
    if !flags.contains(OpenFlags::THREAD) && !matches!(pid, PidArg::Held(_)) && !k.is_leader(task) {
        bail!(ENOENT, "{} is a thread, not the leader of its group (the flag thread opens one)", nr);
    }
    Ok(task)
}

/// pidfd_open(2): a close-on-exec descriptor.
///
/// # Errors
/// EINVAL: flags other than PIDFD_NONBLOCK and PIDFD_THREAD, no number of a process; ESRCH: nobody there; ENOENT: a
/// thread, without PIDFD_THREAD; EMFILE.
pub fn sys_pidfd_open(k: &mut Kernel, me: Current, pid: PidArg, flags: OpenFlags) -> Outcome {
    let unknown = flags - (OpenFlags::NONBLOCK | OpenFlags::THREAD);
    if !unknown.is_empty() {
        bail!(EINVAL, "flags {} are unknown", format!("{:#x}", unknown.bits()));
    }
    let task = pidfd_target(k, me, pid, flags)?;
    let fd = free_fd(k, me)?;
    install_pidfd(k, me, fd, k.pid_of(task), flags);
    Ok(Return::Fd(fd))
}

/// open(2); a file that it makes gets the mode less the umask.
///
/// # Errors
/// EMFILE; those of finding the file, of opening it ([`tree::may_open`]) and of making it ([`namei::create_file`]).
pub fn sys_open(k: &mut Kernel, me: Current, path: &[u8], flags: u32, mode: u16) -> Outcome {
    let flags = OpenFlags::of_open(flags);
    let node = open_or_create(k, me, path, flags, mode)?;
    open_as(k, me, opened_node(node), flags, node.path())
}

/// A descriptor of the namespace `type:[inum]`; no access check.
///
/// # Errors
/// ENOENT: no such namespace; EMFILE.
pub fn sys_open_ns(k: &mut Kernel, me: Current, ns_type: NsType, inum: u32, flags: u32) -> Outcome {
    let opened = find_ns(k, ns_type, inum)?;
    open_as(k, me, opened, OpenFlags::of_open(flags), None)
}

/// What is open at a descriptor, opened once more.
///
/// # Errors
/// EBADF: no such descriptor, or one opened with O_PATH; ENXIO: a socket; EMFILE.
pub fn sys_reopen(k: &mut Kernel, me: Current, fd: i32, flags: u32) -> Outcome {
    let opened = opened(k, usable_file_at(k, me, fd)?);
    open_as(k, me, opened, OpenFlags::of_open(flags), None)
}

/// A new open file, and the lowest free descriptor for it; `path` is where it was opened in a file tree.
fn open_as(k: &mut Kernel, me: Current, opened: Opened, flags: OpenFlags, path: Option<Path>) -> Outcome {
    let fd = free_fd(k, me)?;
    let kind = match opened {
        Opened::Ns(ns) => {
            k.pin_ns(ns);
            FileKind::Ns(ns)
        }
        Opened::Pidfd { pid, thread, .. } => {
            let thread = if thread { OpenFlags::THREAD } else { OpenFlags::empty() };
            install_pidfd(k, me, fd, pid, flags & OpenFlags::NONBLOCK | thread);
            return Ok(Return::Fd(fd));
        }
        Opened::Socket(_) => bail!(ENXIO, "a socket cannot be opened once more"),
        Opened::Node(Node { place: Place::Mqueue(queue), .. }) => FileKind::Mqueue(k.open_mqueue(queue)),
        Opened::Node(node) => node_kind(k, me, node, flags)?,
    };
    let file = new_file(k, me, kind, kept_flags(flags), path);
    install_fd(k, me, fd, file, flags.contains(OpenFlags::CLOEXEC));
    Ok(Return::Fd(fd))
}

/// What an open file keeps of the flags of open(2) (`do_dentry_open`): close-on-exec is the descriptor's.
fn kept_flags(flags: OpenFlags) -> OpenFlags {
    if flags.contains(OpenFlags::PATH) {
        return flags - OpenFlags::CLOEXEC;
    }
    let for_open_alone = OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::TRUNC | OpenFlags::CLOEXEC;
    flags.difference(for_open_alone) | OpenFlags::LARGEFILE
}

/// Opens a pidfd for `me` as descriptor `fd`, which is free; close-on-exec (`pidfd_prepare`, `pidfs_alloc_file`).
pub(super) fn install_pidfd(k: &mut Kernel, me: Current, fd: i32, pid: PidId, flags: OpenFlags) {
    let kind = FileKind::Pidfd { pid: k.pids.hold(pid), thread: flags.contains(OpenFlags::THREAD) };
    let file = new_file(k, me, kind, flags | OpenFlags::READ | OpenFlags::WRITE, None);
    install_fd(k, me, fd, file, true);
}

/// The file at a path; with O_CREAT in the task's own file tree it is made if it is missing.
fn open_or_create(k: &mut Kernel, me: Current, path: &[u8], flags: OpenFlags, mode: u16) -> Result<Node> {
    // open(2) takes its descriptor before it looks at the path.
    free_fd(k, me)?;
    let follow = follows(flags);
    if flags.contains(OpenFlags::CREAT)
        && cwd::is_tree_path(path)
        && tree::resolve_file(k, *me, path, follow).is_err_and(|error| error.errno == Errno::ENOENT)
    {
        namei::create_file(k, me, path, mode)?;
        return tree::resolve_file(k, *me, path, follow);
    }
    let node = open_path(k, me, path, flags)?;
    namei::use_mount(k, node);
    Ok(node)
}

/// A file of the tree with what it is about; O_TRUNC empties it.
///
/// # Errors
/// Those of [`tree::bind`].
pub(super) fn node_kind(k: &mut Kernel, me: Current, node: Node, flags: OpenFlags) -> Result<FileKind> {
    let bound = tree::bind(k, Viewer(*me), node, flags)?;
    if let (Place::Dentry(dentry), true) = (node.place, flags.contains(OpenFlags::TRUNC)) {
        k.vfs.dentries[dentry].content = Content::File(Vec::new());
    }
    let kept = k.keep(bound.about);
    Ok(FileKind::Node { bound, kept })
}

/// An open queue as a file of the lab's tree.
pub(super) fn mqueue_node(open: &MqueueFile) -> Node {
    Node { view: View::Caller, place: Place::Mqueue(open.queue.id()) }
}

/// An open file; `path` is where it was opened in a file tree.
pub(super) fn new_file(
    k: &mut Kernel,
    me: Current,
    kind: FileKind,
    flags: OpenFlags,
    path: Option<Path>,
) -> Held<File> {
    let cred = k.creds.hold(k.tasks[*me].cred.id());
    let path = path.map(|path| k.hold_path(path));
    if let Some(path) = path.as_ref().filter(|_| flags.writes()) {
        k.vfs.mounts[path.mount.id()].writers += 1;
    }
    k.open_files.insert_held(File { count: 0, kind, flags, pos: 0, cred, path })
}

/// Opens a namespace for `me`: the new descriptor, read-only and close-on-exec.
pub(super) fn open_ns_fd(k: &mut Kernel, me: Current, ns: NsId) -> Outcome {
    let fd = free_fd(k, me)?;
    k.pin_ns(ns);
    let file = new_file(k, me, FileKind::Ns(ns), OpenFlags::READ, None);
    install_fd(k, me, fd, file, true);
    Ok(Return::Fd(fd))
}

/// The lowest descriptor that is free.
///
/// # Errors
/// EMFILE at RLIMIT_NOFILE.
pub(super) fn free_fd(k: &Kernel, me: Current) -> Result<i32> {
    let files = &k.live(me).files;
    let limit = k.signal_of(*me).rlimits.nofile.soft;
    let end = i32::try_from(limit).unwrap_or(i32::MAX);
    match k.files[files.id()].fds.first_free(0, end) {
        Some(fd) => Ok(fd),
        None => bail!(EMFILE, "RLIMIT_NOFILE is {}", limit),
    }
}

pub(super) fn install_fd(k: &mut Kernel, me: Current, fd: i32, file: Held<File>, cloexec: bool) {
    let files = k.live(me).files.id();
    k.files[files].fds.insert(fd, Descriptor { file, cloexec });
}

/// close(2).
///
/// # Errors
/// EBADF
pub fn sys_close(k: &mut Kernel, me: Current, fd: i32) -> Outcome {
    file_at(k, *me, fd)?;
    let files = k.live(me).files.id();
    if let Some(closed) = k.files[files].fds.remove(fd) {
        k.filp_close(*me, closed.file);
    }
    Ok(Return::DONE)
}

/// dup(2): the same open file under one more descriptor.
///
/// # Errors
/// EBADF, EMFILE
pub fn sys_dup(k: &mut Kernel, me: Current, fd: i32) -> Outcome {
    let file = file_at(k, *me, fd)?;
    share_file(k, me, file, false)
}

fn share_file(k: &mut Kernel, me: Current, file: FileId, cloexec: bool) -> Outcome {
    let fd = free_fd(k, me)?;
    let held = k.open_files.hold(file);
    install_fd(k, me, fd, held, cloexec);
    Ok(Return::Fd(fd))
}

/// pidfd_getfd(2): a descriptor of another task.
///
/// # Errors
/// EBADF: no pidfd, or the other task has no such descriptor; ESRCH: it is gone or dead; EPERM: no right to trace it.
pub fn sys_pidfd_getfd(k: &mut Kernel, me: Current, pidfd: i32, fd: i32) -> Outcome {
    let task = match opened(k, file_at(k, *me, pidfd)?) {
        Opened::Pidfd { task: Some(task), .. } => task,
        Opened::Pidfd { task: None, .. } => bail!(ESRCH, "the task of the pidfd is gone"),
        Opened::Ns(_) | Opened::Socket(_) | Opened::Node(_) => bail!(EBADF, "descriptor {} is no pidfd", pidfd),
    };
    k.ptrace_may_access(*me, task, PtraceMode::AttachRealCreds)?;
    if k.tasks[task].live.is_none() {
        bail!(ESRCH, "pid {} is dead: it has no descriptors", k.task_nr(task));
    }
    let file = file_at(k, task, fd)?;
    share_file(k, me, file, true)
}

impl Kernel {
    /// Ends the sharing of a descriptor table (`unshare_fd`).
    pub(crate) fn unshare_files(&mut self, task: Current) {
        if self.files[self.live(task).files.id()].count > 1 {
            let copy = self.copy_files_struct(task);
            let old = std::mem::replace(&mut self.live_mut(task).files, copy);
            self.put_files(*task, old);
        }
    }
}
