//! write(2) to files of the lab's tree: each file's own rules are in the module of what it changes.

use super::{Outcome, Return, cgroup, cwd, fd, hostname, idmap, namei, oom, sysctl, timens};
use crate::bail;
use crate::err;
use crate::errno::Result;
use crate::kernel::cred::NewCred;
use crate::kernel::file::{Bound, FileKind, OpenFlags};
use crate::kernel::mount::dentry::Content;
use crate::kernel::node::Node;
use crate::kernel::ns::{NsKind, UtsName};
use crate::kernel::table::Id;
use crate::kernel::{Current, DentryId, FileId, Kernel, NsId, TaskId};
use crate::tree::{self, Sysctl, Viewer, WriteTarget};

/// Longest plain file, bytes.
const FILE_MAX: usize = 1 << 20;

/// One write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writing<'a> {
    /// Who writes.
    pub task: TaskId,
    /// With which credentials the file was opened.
    pub opener: &'a NewCred,
    /// The file position, bytes.
    pub pos: u64,
    pub bytes: &'a [u8],
}

impl Writing<'_> {
    /// Sets no number: empty, or not at the start of the file (`sysctl_writes_strict`).
    pub fn is_void(&self) -> bool {
        self.bytes.is_empty() || self.pos != 0
    }
}

/// How a write ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// Bytes taken: the result.
    bytes: usize,
    /// Whether the file position moves by as much.
    advances: bool,
}

impl Written {
    pub(super) fn advancing(bytes: usize) -> Written {
        Written { bytes, advances: true }
    }
    pub(super) fn in_place(bytes: usize) -> Written {
        Written { bytes, advances: false }
    }
}

/// Opens `node` as `task`, or as the task through whose eyes it is seen, writes at `pos` and closes it again: the bytes
/// taken.
///
/// # Errors
/// Those of opening the file for writing and of [`write_open`].
pub(super) fn write_node(k: &mut Kernel, task: Current, node: Node, pos: u64, bytes: &[u8]) -> Result<usize> {
    let bound = tree::open(k, Viewer(*task), node, OpenFlags::WRITE)?;
    write_open(k, task, &bound, pos, bytes)
}

/// Writes to an open file as `task`, or as the task through whose eyes it is seen, at `pos`: the bytes taken.
///
/// # Errors
/// Those of what it changes; EIO or EINVAL where nothing can be written.
pub(super) fn write_open(k: &mut Kernel, task: Current, file: &Bound, pos: u64, bytes: &[u8]) -> Result<usize> {
    let task = file.node.view.viewer().unwrap_or(*task);
    let writing = Writing { task, opener: &file.opener, pos, bytes };
    perform(k, file, &writing).map(|written| written.bytes)
}

/// Writes to an open file at its position: the bytes taken.
///
/// # Errors
/// EBADF: not open for writing; those of what it changes.
pub(super) fn write_file(k: &mut Kernel, task: Current, file: FileId, bytes: &[u8]) -> Result<usize> {
    let open = &k.open_files[file];
    let bound = match &open.kind {
        FileKind::Node { bound, .. } if open.flags.contains(OpenFlags::WRITE) => bound.clone(),
        FileKind::Pidfd { .. } => bail!(EINVAL, "a pidfd cannot be written"),
        FileKind::Socket(_) => bail!(EOPNOTSUPP, "sockets carry no data in a lab"),
        FileKind::Mqueue(_) if open.flags.contains(OpenFlags::WRITE) => {
            bail!(EINVAL, "a queue cannot be written: mq_send puts messages into it")
        }
        FileKind::Ns(_) | FileKind::Node { .. } | FileKind::Mqueue(_) => {
            bail!(EBADF, "the descriptor is not open for writing")
        }
    };
    let writing = Writing { task: *task, opener: &bound.opener, pos: open.pos, bytes };
    let written = perform(k, &bound, &writing)?;
    if written.advances {
        k.open_files[file].pos += written.bytes as u64;
    }
    Ok(written.bytes)
}

/// write(2) of `bytes` to `path`, or to the descriptor of `fd:N`.
///
/// # Errors
/// EMFILE at RLIMIT_NOFILE; those of finding the file, [`write_node`] and [`write_file`].
pub(super) fn sys_write(k: &mut Kernel, task: Current, path: &[u8], bytes: &[u8]) -> Outcome {
    let taken = match fd::descriptor(path) {
        Some(number) => write_file(k, task, fd::file_at(k, *task, number)?, bytes)?,
        None => {
            fd::free_fd(k, task)?;
            let node = tree::resolve(k, *task, cwd::own_view(k, task), path, true)?;
            namei::use_mount(k, node);
            write_node(k, task, node, 0, bytes)?
        }
    };
    Ok(Return::Num(taken as i64))
}

fn perform(k: &mut Kernel, file: &Bound, w: &Writing) -> Result<Written> {
    let (node, bound) = (file.node, file.about.ns());
    let Some(target) = tree::write_target(node) else {
        return Err(tree::write_error(node));
    };
    if bound.is_some_and(|ns| !k.namespaces.contains(ns)) {
        if let WriteTarget::Sysctl(_) = target {
            bail!(ENOENT, "the sysctl went with its namespace");
        }
        bail!(ESRCH, "the namespace this file is about is gone");
    }
    tree::may_write_sysctl(k, w.task, node, bound)?;
    match target {
        WriteTarget::Map(kind) => idmap::write_map(k, addressed(k, bound)?, kind, w),
        WriteTarget::Setgroups => idmap::write_setgroups(k, addressed(k, bound)?, w),
        WriteTarget::Sysctl(Sysctl::PidMax) => sysctl::write_pid_max(k, addressed(k, bound)?, w),
        WriteTarget::Sysctl(Sysctl::MaxNamespaces(kind)) => {
            sysctl::write_max_namespaces(k, addressed(k, bound)?, kind, w)
        }
        WriteTarget::Sysctl(Sysctl::Ipc(sysctl)) => sysctl::write_ipc(k, addressed(k, bound)?, sysctl, w),
        WriteTarget::Sysctl(Sysctl::MountMax) => sysctl::write_mount_max(k, w),
        WriteTarget::File(dentry) => write_content(k, dentry, w),
        WriteTarget::Sysctl(Sysctl::NsLastPid) => sysctl::write_ns_last_pid(k, w),
        WriteTarget::Sysctl(Sysctl::Hostname) => hostname::write_name(k, UtsName::Node, w),
        WriteTarget::Sysctl(Sysctl::Domainname) => hostname::write_name(k, UtsName::Domain, w),
        WriteTarget::Sysctl(Sysctl::Net(which)) => sysctl::write_net(k, addressed(k, bound)?, which, w),
        WriteTarget::Cgroup(id, file) => cgroup::write(k, id, file, addressed(k, bound)?, w),
        WriteTarget::Comm(thread) => write_comm(k, thread, w),
        WriteTarget::OomScoreAdj(process) => oom::write_score_adj(k, process, w),
        WriteTarget::TimensOffsets(process) => timens::write_offsets(k, process, w),
    }
}

/// The namespace a file addresses, which is of the kind its writer knows.
fn addressed<S: NsKind>(k: &Kernel, bound: Option<NsId>) -> Result<Id<S>> {
    bound.and_then(|ns| k.namespaces.typed(ns)).ok_or_else(|| err!(ESRCH, "the task is gone"))
}

/// Writes into a plain file. What lies between its end and the position is zero.
///
/// # Errors
/// EFBIG: beyond [`FILE_MAX`].
fn write_content(k: &mut Kernel, dentry: DentryId, w: &Writing) -> Result<Written> {
    let start = usize::try_from(w.pos).unwrap_or(usize::MAX);
    let end = start.saturating_add(w.bytes.len());
    if end > FILE_MAX {
        bail!(EFBIG, "a file has at most {} bytes", FILE_MAX);
    }
    if let Content::File(content) = &mut k.vfs.dentries[dentry].content {
        content.resize(content.len().max(end), 0);
        content[start..end].copy_from_slice(w.bytes);
    }
    Ok(Written::advancing(w.bytes.len()))
}

/// Names a thread of the writer's own process (`comm_write`).
///
/// # Errors
/// ESRCH: it is gone; EINVAL: it is of another process.
fn write_comm(k: &mut Kernel, thread: TaskId, w: &Writing) -> Result<Written> {
    if !k.tasks.contains(thread) {
        bail!(ESRCH, "the task is gone");
    }
    if !k.is_same_thread_group(w.task, thread) {
        bail!(EINVAL, "{} is no thread of the writer's process", k.task_nr(thread));
    }
    k.set_task_comm(thread, w.bytes);
    Ok(Written::in_place(w.bytes.len()))
}
