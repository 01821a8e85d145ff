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

/// What a call changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A directory comes or goes.
    Directory,
    /// A name comes, goes or becomes another.
    Name,
    /// A file may come by being opened.
    Opened,
    Owner,
}

/// A change that a call makes, and at which path of the task.
#[derive(Debug)]
struct Change {
    what: What,
    at: Vec<u8>,
    call: Syscall,
}

impl Change {
    fn new(what: What, at: Vec<u8>, call: impl FnOnce(Vec<u8>) -> Syscall) -> Option<Change> {
        Some(Change { what, at: at.clone(), call: call(at) })
    }

    fn directory(at: Vec<u8>, mode: u64) -> Option<Change> {
        Change::new(What::Directory, at, |path| Syscall::Mkdir { path, mode: mode as u16 & 0o7777 })
    }

    fn opened(at: Vec<u8>, flags: u64) -> Option<Change> {
        let made = OpenFlags::from_bits_truncate(flags as u32) & (OpenFlags::CREAT | OpenFlags::EXCL);
        let flags = made.contains(OpenFlags::CREAT).then_some(made.bits() | O_RDONLY)?;
        Change::new(What::Opened, at, |path| Syscall::Open { path, flags, mode: FILE_MODE })
    }

    fn owner(at: Vec<u8>, ids: [u64; 2]) -> Option<Change> {
        let [uid, gid] = ids.map(|id| Some(id as u32).filter(|id| *id != u32::MAX));
        Change::new(What::Owner, at, |path| Syscall::Chown { path, uid, gid })
    }

    /// `old` has one path.
    fn renamed(mut old: Vec<Vec<u8>>, at: Vec<u8>, flags: u64) -> Option<Change> {
        let old = old.pop().filter(|_| matches!(flags, 0 | RENAME_NOREPLACE))?;
        Change::new(What::Name, at, |new| Syscall::Rename { old, new })
    }
}

/// What a call changes at its paths; `None`: nothing. `text` is that of a symbolic link.
fn change(regs: &Regs, mut paths: Vec<Vec<u8>>, text: impl Fn(u64) -> Vec<u8>) -> Option<Change> {
    let args = regs.args();
    let path = paths.pop()?;
    match call(regs.number())? {
        Call::Mkdir => Change::directory(path, args[1]),
        Call::Mkdirat => Change::directory(path, args[2]),
        Call::Rmdir => Change::new(What::Directory, path, |path| Syscall::Rmdir { path }),
        Call::Unlinkat if args[2] & AT_REMOVEDIR != 0 => {
            Change::new(What::Directory, path, |path| Syscall::Rmdir { path })
        }
        Call::Unlink | Call::Unlinkat => Change::new(What::Name, path, |path| Syscall::Unlink { path }),
        Call::Open => Change::opened(path, args[1]),
        Call::Openat => Change::opened(path, args[2]),
        Call::Creat => Change::opened(path, OpenFlags::CREAT.bits().into()),
        Call::Symlink | Call::Symlinkat => {
            Change::new(What::Name, path, |path| Syscall::Symlink { text: text(args[0]), path })
        }
        Call::Rename | Call::Renameat => Change::renamed(paths, path, 0),
        Call::Renameat2 => Change::renamed(paths, path, args[4]),
        Call::Chown | Call::Lchown => Change::owner(path, [args[1], args[2]]),
        Call::Fchownat => Change::owner(path, [args[2], args[3]]),
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
        if let Some(error) = self.is_in_place(task, &regs, &changed.at) {
            return self.refuse(tid, regs, &error).map(|()| None);
        }
        match self.perform(task, &changed.call.into()) {
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
    fn is_of_lab(&self, task: TaskId, Change { what, at, .. }: &Change) -> bool {
        let found = match self.elsewhere(task, at) {
            Some(name) => Found::of(&name),
            None if is_of_task(at) => found(at),
            None => return false,
        };
        let is_made = found == Found::Made;
        match what {
            What::Directory => is_made || self.is_elsewhere(task, at),
            What::Owner => found != Found::Proc,
            What::Opened => is_made || !self.is_there(task, at, true),
            What::Name => true,
        }
    }

    /// What renameat2(2) is refused with that is to replace nothing.
    fn is_in_place(&self, task: TaskId, regs: &Regs, new: &[u8]) -> Option<Error> {
        let keeps = call(regs.number()) == Some(Call::Renameat2) && regs.args()[4] == RENAME_NOREPLACE;
        (keeps && self.is_there(task, new, false)).then(|| crate::err!(EEXIST, "the new name is there already"))
    }

    /// Whether a path of a task leads to something; nobody knows of a lab that is broken, which makes no file.
    fn is_there(&self, task: TaskId, path: &[u8], follows: bool) -> bool {
        self.lab.read(|k| tree::resolve_file(k, task, path, follows).is_ok()).unwrap_or(follows)
    }
}
