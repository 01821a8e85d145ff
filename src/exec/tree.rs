//! Changes of the task's own file tree, which the lab makes: the real kernel, which would be asked through the mount, makes none
//! there but directories.

use std::io;

use super::Supervisor;
use super::path::{AT_FDCWD, is_below, is_of_task, plain};
use super::regs::Regs;
use super::sys::Tid;
use crate::abi::{Call, Memory, call};
use crate::errno::Error;
use crate::kernel::TaskId;
use crate::kernel::file::{O_RDONLY, OpenFlags};
use crate::syscall::{Return, Syscall};
use crate::tree;

/// The mode that a new file is asked for. What stands there is what others are mounted on.
const FILE_MODE: u16 = 0o666;
/// Of unlinkat(2): a directory.
const AT_REMOVEDIR: u64 = 0x200;
/// Of renameat2(2).
const RENAME_NOREPLACE: u64 = 1;

/// What a call changes at its paths; `None`: nothing. `text` is that of a symbolic link.
fn change(regs: &Regs, mut paths: Vec<Vec<u8>>, text: impl Fn(u64) -> Vec<u8>) -> Option<Syscall> {
    let args = regs.args();
    let path = paths.pop()?;
    let open = |flags: u64| {
        let made = OpenFlags::from_bits_truncate(flags as u32) & (OpenFlags::CREAT | OpenFlags::EXCL);
        made.contains(OpenFlags::CREAT).then_some(made.bits() | O_RDONLY)
    };
    let mkdir = |mode: u64, path| Some(Syscall::Mkdir { path, mode: mode as u16 & 0o7777 });
    let chown = |uid: u64, gid: u64, path| {
        let [uid, gid] = [uid, gid].map(|id| Some(id as u32).filter(|id| *id != u32::MAX));
        Some(Syscall::Chown { path, uid, gid })
    };
    let rename = |flags: u64, mut old: Vec<Vec<u8>>, new| match flags {
        0 | RENAME_NOREPLACE => Some(Syscall::Rename { old: old.pop()?, new }),
        _ => None,
    };
    match call(regs.number())? {
        Call::Mkdir => mkdir(args[1], path),
        Call::Mkdirat => mkdir(args[2], path),
        Call::Rmdir => Some(Syscall::Rmdir { path }),
        Call::Unlinkat if args[2] & AT_REMOVEDIR != 0 => Some(Syscall::Rmdir { path }),
        Call::Unlink | Call::Unlinkat => Some(Syscall::Unlink { path }),
        Call::Open => open(args[1]).map(|flags| Syscall::Open { path, flags, mode: FILE_MODE }),
        Call::Openat => open(args[2]).map(|flags| Syscall::Open { path, flags, mode: FILE_MODE }),
        Call::Creat => Some(Syscall::Open { path, flags: OpenFlags::CREAT.bits() | O_RDONLY, mode: FILE_MODE }),
        Call::Symlink | Call::Symlinkat => Some(Syscall::Symlink { text: text(args[0]), path }),
        Call::Rename | Call::Renameat => rename(0, paths, path),
        Call::Renameat2 => rename(args[4], paths, path),
        Call::Chown | Call::Lchown => chown(args[1], args[2], path),
        Call::Fchownat => chown(args[2], args[3], path),
        _ => None,
    }
}

/// Which files of the lab are in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Those of tasks, which nobody makes.
    Proc,
    /// Those of cgroups, whose directories alone are made by programs.
    Cgroup,
    /// Message queues, and files that others are mounted on: programs make them.
    Made,
}

impl Found {
    /// By the name of a file system.
    fn of(name: &str) -> Found {
        match name {
            "proc" => Found::Proc,
            "cgroup2" => Found::Cgroup,
            _ => Found::Made,
        }
    }
}

/// What is at a path of the task.
fn found(path: &[u8]) -> Found {
    match path {
        _ if is_below(path, b"/proc") => Found::Proc,
        _ if is_below(path, b"/sys/fs/cgroup") => Found::Cgroup,
        _ => Found::Made,
    }
}

/// Whether a call changes what is at its paths.
fn changes(regs: &Regs) -> bool {
    change(regs, vec![Vec::new(); 2], |_| Vec::new()).is_some()
}

/// The call that is left once the file is there.
fn without_creating(regs: Regs) -> Regs {
    let creating = u64::from((OpenFlags::CREAT | OpenFlags::EXCL).bits());
    let mut args = regs.args();
    match call(regs.number()) {
        Some(Call::Open) => args[1] &= !creating,
        Some(Call::Openat) => args[2] &= !creating,
        _ => {}
    }
    regs.with(regs.number(), args)
}

impl Supervisor {
    /// A path from a directory of the lab, of a call that changes what is there: the real kernel finds the file, and may not.
    pub(super) fn changed_in(&self, tid: Tid, regs: &Regs, dir: i32, path: &[u8]) -> Option<Vec<u8>> {
        if path.is_empty() || path.starts_with(b"/") || !changes(regs) {
            return None;
        }
        let link = if dir == AT_FDCWD { "cwd".to_owned() } else { format!("fd/{dir}") };
        let base = self.host.link(tid, &link).ok()?;
        self.seen(&base).map(|_| plain(&[&base[..], b"/", path].concat()))
    }

    /// The lab makes, removes or gives to another owner what a call names by paths that lead to `real`. `None`: that was all, or
    /// it was refused; otherwise the call that the real kernel is to make.
    ///
    /// # Errors
    /// ESRCH: the thread is gone.
    pub(super) fn change_tree(&mut self, tid: Tid, regs: Regs, real: &[&[u8]]) -> io::Result<Option<Regs>> {
        let task = self.task(tid)?;
        let Some(seen) = real.iter().map(|path| self.seen(path)).collect::<Option<Vec<_>>>() else {
            return Ok(Some(regs));
        };
        let text = |addr| (&self.memory(tid) as &dyn Memory).path(addr).unwrap_or_default();
        let Some(changed) = change(&regs, seen, text).filter(|change| self.is_of_lab(task, change)) else {
            return Ok(Some(regs));
        };
        if let Some(error) = self.is_in_place(task, &regs, &changed) {
            return self.refuse(tid, regs, &error).map(|()| None);
        }
        match self.perform(task, &changed.into()) {
            Ok(Return::Fd(fd)) => {
                self.close(task, fd);
                Ok(Some(without_creating(regs)))
            }
            Ok(_) => self.skip(tid, regs, 0).map(|()| None),
            Err(stop) => self.refuse(tid, regs, stop.error()).map(|()| None),
        }
    }

    /// Whether the lab makes a change. The real kernel may ask it through the mount for directories of cgroups, for files that
    /// are there already, and for owners of `/proc`.
    fn is_of_lab(&self, task: TaskId, change: &Syscall) -> bool {
        let path = match change {
            Syscall::Rename { new: path, .. } => path,
            Syscall::Symlink { path, .. } | Syscall::Unlink { path } | Syscall::Open { path, .. } => path,
            Syscall::Mkdir { path, .. } | Syscall::Rmdir { path } | Syscall::Chown { path, .. } => path,
            _ => return false,
        };
        let found = match self.elsewhere(task, path) {
            Some(name) => Found::of(&name),
            None if is_of_task(path) => found(path),
            None => return false,
        };
        let is_made = found == Found::Made;
        match change {
            Syscall::Mkdir { .. } | Syscall::Rmdir { .. } => is_made || self.is_elsewhere(task, path),
            Syscall::Chown { .. } => found != Found::Proc,
            Syscall::Open { .. } => {
                let is_there = |k: &_| tree::resolve_file(k, task, path, true).is_ok();
                is_made || !self.lab.read(is_there).unwrap_or(true)
            }
            _ => true,
        }
    }

    /// What renameat2(2) is refused with that is to replace nothing.
    fn is_in_place(&self, task: TaskId, regs: &Regs, change: &Syscall) -> Option<Error> {
        let Syscall::Rename { new, .. } = change else { return None };
        let keeps = call(regs.number()) == Some(Call::Renameat2) && regs.args()[4] == RENAME_NOREPLACE;
        let is_there = |k: &_| tree::resolve_file(k, task, new, false).is_ok();
        (keeps && self.lab.read(is_there).unwrap_or(false))
            .then(|| crate::err!(EEXIST, "the new name is there already"))
    }
}
