//! Pseudo file systems of the lab that are mounted elsewhere than where they belong. The place is a directory of the host; in the
//! lab's file tree it gets one of the same name, on which the file system is mounted. What a program then names below that place
//! is the lab's, as long as the file system is mounted there for its task.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Supervisor;
use super::path::{is_below, is_of_task, plain};
use super::sys::Tid;
use crate::kernel::mount::flags::MsFlags;
use crate::kernel::node::View;
use crate::kernel::{Kernel, TaskId};
use crate::syscall::Syscall;
use crate::syscall::mount::MountArgs;
use crate::tree;

/// The file systems that the lab shows the files of, wherever they are mounted.
const PSEUDO: [&[u8]; 3] = [b"proc", b"mqueue", b"cgroup2"];

impl Supervisor {
    /// mount(2) and umount2(2) with a path that does not depend on the working directory, which the lab does not know.
    pub(super) fn with_mountpoint(&mut self, tid: Tid, task: TaskId, mut call: Syscall) -> Syscall {
        if let Syscall::Mount(MountArgs { target: path, .. }) | Syscall::Umount { path, .. } = &mut call {
            *path = self.absolute(tid, std::mem::take(path));
        }
        if let Syscall::Mount(args) = &call
            && is_new(args)
            && !is_of_task(&args.target)
        {
            self.make_mountpoint(task, &args.target);
        }
        call
    }

    fn absolute(&self, tid: Tid, path: Vec<u8>) -> Vec<u8> {
        if path.is_empty() || path.starts_with(b"/") {
            return path;
        }
        let Ok(base) = self.host.link(tid, "cwd") else { return path };
        plain(&[&self.seen(&base).unwrap_or(base), &b"/"[..], &path].concat())
    }

    /// The directories of the lab that a directory of the host is in, and that itself. Where the lab refuses them, it says so of the
    /// mount.
    fn make_mountpoint(&mut self, task: TaskId, target: &[u8]) {
        let target = plain(target);
        let target = target.strip_suffix(b"/").unwrap_or(&target);
        if target.is_empty() || !fs::metadata(Path::new(OsStr::from_bytes(target))).is_ok_and(|found| found.is_dir()) {
            return;
        }
        let Ok(init) = self.lab.read(|k| k.init.task) else { return };
        let ends = (1..=target.len()).filter(|end| target.get(*end).is_none_or(|byte| *byte == b'/'));
        for end in ends {
            let path = &target[..end];
            if self.lab.read(|k| tree::resolve(k, task, View::Caller, path, true).is_err()).unwrap_or(false) {
                let _ = self.perform(init, &Syscall::Mkdir { path: path.to_vec(), mode: 0o755 }.into());
            }
        }
        self.lab.programs.mounts_elsewhere(target);
    }

    /// Whether a path leads to a file system of the lab that is mounted elsewhere.
    pub(super) fn is_elsewhere(&self, task: TaskId, path: &[u8]) -> bool {
        self.elsewhere(task, path).is_some()
    }

    /// The name of that file system.
    pub(super) fn elsewhere(&self, task: TaskId, path: &[u8]) -> Option<String> {
        let places = self.lab.programs.elsewhere()?;
        let mut places = places.iter().filter(|place| is_below(path, place));
        places.find_map(|place| self.lab.read(|k| mounted(k, task, place)).ok().flatten())
    }
}

/// Whether a mount(2) is a new one of a pseudo file system.
fn is_new(MountArgs { fs_type, flags, .. }: &MountArgs) -> bool {
    let others = MsFlags::REMOUNT | MsFlags::BIND | MsFlags::MOVE | MsFlags::TYPES;
    !flags.intersects(others) && fs_type.as_deref().is_some_and(|name| PSEUDO.contains(&name))
}

/// The name of the pseudo file system that is mounted on a place for a task.
fn mounted(k: &Kernel, task: TaskId, place: &[u8]) -> Option<String> {
    let path = tree::resolve(k, task, View::Caller, place, true).ok()?.path()?;
    let name = k.vfs.sbs[k.vfs.sb_of(path.mount)].fs_name();
    (k.is_mount_root(path) && PSEUDO.contains(&name.as_bytes())).then(|| name.to_owned())
}
