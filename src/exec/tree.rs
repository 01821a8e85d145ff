//! Changes of the task's own file tree: `/run/netns` is a directory of the lab, in which the lab makes and removes files. The real
//! kernel, which would be asked through the mount, makes none there.

use std::io;

use super::Supervisor;
use super::path::is_of_tree;
use super::regs::Regs;
use super::sys::Tid;
use crate::abi::{Call, call};
use crate::kernel::file::{O_RDONLY, OpenFlags};
use crate::syscall::{Return, Syscall};

/// The mode that a new file is asked for. What stands there is what others are mounted on.
const FILE_MODE: u16 = 0o666;
/// Of unlinkat(2): a directory.
const AT_REMOVEDIR: u64 = 0x200;

/// What a call changes at a path; `None`: nothing.
fn change(regs: &Regs, path: Vec<u8>) -> Option<Syscall> {
    let args = regs.args();
    let open = |flags: u64| {
        let made = OpenFlags::from_bits_truncate(flags as u32) & (OpenFlags::CREAT | OpenFlags::EXCL);
        made.contains(OpenFlags::CREAT).then_some(made.bits() | O_RDONLY)
    };
    let mkdir = |mode: u64, path| Some(Syscall::Mkdir { path, mode: mode as u16 & 0o7777 });
    match call(regs.number())? {
        Call::Mkdir => mkdir(args[1], path),
        Call::Mkdirat => mkdir(args[2], path),
        Call::Rmdir => Some(Syscall::Rmdir { path }),
        Call::Unlinkat if args[2] & AT_REMOVEDIR != 0 => Some(Syscall::Rmdir { path }),
        Call::Unlink | Call::Unlinkat => Some(Syscall::Unlink { path }),
        Call::Open => open(args[1]).map(|flags| Syscall::Open { path, flags, mode: FILE_MODE }),
        Call::Openat => open(args[2]).map(|flags| Syscall::Open { path, flags, mode: FILE_MODE }),
        Call::Creat => Some(Syscall::Open { path, flags: OpenFlags::CREAT.bits() | O_RDONLY, mode: FILE_MODE }),
        _ => None,
    }
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
    /// The lab makes or removes what a call names by a path that leads to `real`. `None`: that was all, or it was refused;
    /// otherwise the call that the real kernel is to make.
    ///
    /// # Errors
    /// ESRCH: the thread is gone.
    pub(super) fn change_tree(&mut self, tid: Tid, regs: Regs, real: &[u8]) -> io::Result<Option<Regs>> {
        let task = self.task(tid)?;
        let seen = self.seen(real).filter(|path| is_of_tree(path) || self.is_elsewhere(task, path));
        let Some(changed) = seen.and_then(|path| change(&regs, path)) else { return Ok(Some(regs)) };
        match self.perform(task, &changed.into()) {
            Ok(Return::Fd(fd)) => {
                self.close(task, fd);
                Ok(Some(without_creating(regs)))
            }
            Ok(_) => self.skip(tid, regs, 0).map(|()| None),
            Err(stop) => self.refuse(tid, regs, stop.error()).map(|()| None),
        }
    }
}
