//! `proc/<pid>/fd` and `fdinfo` (`fs/proc/fd.c`).

use super::{Dir, directory};
use crate::errno::{Error, Result};
use crate::kernel::file::{File, FileKind, OpenFlags};
use crate::kernel::node::TaskDir;
use crate::kernel::{FileId, Kernel, PidId, PidNsId, TaskId};
use crate::tree::family::{Family, Link, TREE, Up};
use crate::tree::look::Look;
use crate::tree::{Attr, Cacheable, FileType};
use crate::{bail, err};

/// A descriptor of a task: the link in `fd`, or the file in `fdinfo`.
pub(in crate::tree) struct Fd {
    pub dir: TaskDir,
    pub fd: i32,
    pub info: bool,
}

impl Family for Fd {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.tasks.contains(self.dir.task)
    }

    fn file_type(&self, k: &Kernel) -> Option<FileType> {
        k.file_at(self.dir.task, self.fd)?;
        Some(if self.info { FileType::File } else { FileType::Symlink })
    }

    fn path(&self, look: &Look<'_>) -> String {
        self.dir.below(look, &format!("{}/{}", if self.info { "fdinfo" } else { "fd" }, self.fd))
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let task = self.dir.task;
        if self.info {
            return Ok(plain.of_task(look.k, task, 0o444));
        }
        let mode = link_mode(&look.k.open_files[file(look.k, task, self.fd)?]);
        // `tid_fd_update_inode`
        Ok(Attr { size: 64, ..plain }.of_task(look.k, task, mode))
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        match self.info {
            true => info(look, self.dir.task, self.fd),
            false => bail!(EINVAL, "this file cannot be read"),
        }
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        if self.info {
            return Ok(None);
        }
        let (task, fd) = (self.dir.task, self.fd);
        look.check_ptrace(task)?;
        file(look.k, task, fd).map(|file| Some(Link::File { task, fd, file }))
    }

    fn up(&self, _: &Look<'_>) -> Up {
        let dir = if self.info { Dir::FdInfo } else { Dir::Fd };
        Up::To(self.fd.to_string().into(), self.dir.entry(directory(dir)))
    }

    fn check_open(&self, look: &Look<'_>, _: OpenFlags) -> Result<()> {
        if self.info { look.check_ptrace(self.dir.task) } else { Ok(()) }
    }

    fn is_told_when_gone(&self) -> bool {
        true
    }

    fn read_error_when_gone(&self) -> Error {
        err!(ENOENT, "the task of this descriptor is gone")
    }
}

/// The descriptors of a task, in order; none of a zombie.
pub(super) fn numbers(k: &Kernel, task: TaskId) -> impl Iterator<Item = i32> {
    let files = k.files_of(task);
    files.into_iter().flat_map(|files| files.fds.entries().map(|(fd, _)| fd))
}

/// The open file behind a descriptor.
///
/// # Errors
/// ENOENT: it is closed.
fn file(k: &Kernel, task: TaskId, fd: i32) -> Result<FileId> {
    match k.file_at(task, fd) {
        Some(file) => Ok(file),
        None => bail!(ENOENT, "descriptor {} of pid {} is closed", fd, k.task_nr(task)),
    }
}

/// Mode of the link: how the file is open (`tid_fd_update_inode`).
fn link_mode(file: &File) -> u16 {
    let mut mode = 0;
    if file.flags.contains(OpenFlags::READ) {
        mode |= 0o500;
    }
    if file.flags.contains(OpenFlags::WRITE) {
        mode |= 0o300;
    }
    mode
}

/// `fdinfo/<fd>` (`seq_show`).
///
/// # Errors
/// EACCES: no ptrace access. ENOENT: the descriptor is closed.
fn info(look: &Look<'_>, task: TaskId, fd: i32) -> Result<Vec<u8>> {
    look.check_ptrace(task)?;
    let k = look.k;
    let file = &k.open_files[file(k, task, fd)?];
    let cloexec = k.descriptor_at(task, fd).is_some_and(|descriptor| descriptor.cloexec);
    let nsfs = k.vfs.mounts[k.vfs.nsfs.id()].mnt_id;
    let (mnt_id, inode) = match &file.kind {
        FileKind::Node { bound, .. } => (MNT_ID_PROC, TREE.ino(k, bound.node.place)),
        FileKind::Ns(ns) => (nsfs, u64::from(k.namespaces[*ns].common.inum)),
        FileKind::Pidfd { pid, .. } => (MNT_ID_PIDFS, pid.id().serial()),
        FileKind::Socket(socket) => (MNT_ID_SOCKFS, k.net.sockets[*socket].ino),
        FileKind::Mqueue(open) => (MNT_ID_MQUEUE, open.queue.id().serial()),
    };
    let mnt_id = file.path.as_ref().map_or(mnt_id, |path| k.vfs.mounts[path.mount.id()].mnt_id);
    let flags = flags_word(file.flags, cloexec);
    let mut text = format!("pos:\t{}\nflags:\t0{flags:o}\nmnt_id:\t{mnt_id}\nino:\t{inode}\n", file.pos);
    if let FileKind::Pidfd { pid, .. } = &file.kind {
        text.push_str(&pidfd_lines(k, Some(pid.id()), look.pid_ns));
    }
    Ok(text.into_bytes())
}

/// The first `/proc` of the lab, for files opened in no file tree.
const MNT_ID_PROC: u32 = 3;
/// In no tree; the first number after the mounts of boot and nsfs.
const MNT_ID_PIDFS: u32 = 11;
const MNT_ID_MQUEUE: u32 = 12;
const MNT_ID_SOCKFS: u32 = 13;

/// The flags of the open file as open(2) has them, with O_CLOEXEC as the descriptor has it (`seq_show`).
fn flags_word(mut flags: OpenFlags, cloexec: bool) -> u32 {
    flags.set(OpenFlags::CLOEXEC, cloexec);
    flags.word()
}

/// What the fdinfo of a pidfd adds: the number in a pid namespace and inwards, -1 once reaped, 0 if outside
/// (`pidfd_show_fdinfo`).
pub fn pidfd_lines(k: &Kernel, pid: Option<PidId>, ns: PidNsId) -> String {
    let Some(pid) = pid.and_then(|pid| k.pids.get(pid)).filter(|pid| pid.attached.task.is_some()) else {
        return "Pid:\t-1\nNSpid:\t-1\n".to_owned();
    };
    let inwards: String = pid.numbers().skip_while(|(of, _)| *of != ns).map(|(_, nr)| format!("\t{nr}")).collect();
    let nr = pid.nr_in(ns).unwrap_or(0);
    format!("Pid:\t{nr}\nNSpid:{}\n", if inwards.is_empty() { "\t0" } else { &inwards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_the_words_of_open() {
        assert_eq!(flags_word(OpenFlags::READ | OpenFlags::LARGEFILE, false), 0o100_000);
        assert_eq!(flags_word(OpenFlags::READ | OpenFlags::WRITE, true), 0o2_000_002);
        assert_eq!(flags_word(OpenFlags::PATH | OpenFlags::NOFOLLOW, false), 0o10_400_000);
    }
}
