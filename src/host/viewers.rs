//! Which host process sees the lab with the eyes of which task: one that was attached to it, and its descendants for as
//! long as that process lives. The host's `/proc`, which tells who descends from whom, is reached through a descriptor
//! from the time of the mount: the lab may lie over it since.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::iter;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use crate::err;
use crate::errno::Result;
use crate::kernel::TaskId;

/// The most steps up from a process: more than any real one has, should the host change while it is read.
const ANCESTORS_MAX: usize = 1024;

/// A process of the host. Its number may be used again, but not with the same start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    pid: u32,
    /// In clock ticks after the host's boot.
    start: u64,
}

/// The attached processes.
#[derive(Debug)]
pub struct Viewers {
    /// The host's `/proc`, if it was there.
    proc: Option<OwnedFd>,
    attached: RwLock<BTreeMap<Process, TaskId>>,
}

impl Default for Viewers {
    fn default() -> Viewers {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Viewers { proc: open("/proc", flags, Mode::empty()).ok(), attached: RwLock::default() }
    }
}

impl Viewers {
    /// Makes process `pid` of the host, and those that descend from it, see with the eyes of `task`.
    ///
    /// # Errors
    /// ESRCH: there is no such process. With `start` one that started at another time, or is gone, is left alone.
    pub fn attach(&self, pid: u32, task: TaskId, start: Option<u64>) -> Result<()> {
        let found = self.process(pid).map(|(process, _)| process);
        if start.is_some() && found.map(|process| process.start) != start {
            return Ok(());
        }
        let process = found.ok_or_else(|| err!(ESRCH, "this host has no process {}", pid))?;
        let mut attached = self.attached.write().unwrap_or_else(PoisonError::into_inner);
        attached.retain(|other, _| self.process(other.pid).is_some_and(|(now, _)| now == *other));
        attached.insert(process, task);
        Ok(())
    }

    /// When a process of the host started, in its clock ticks.
    pub fn start(&self, pid: u32) -> Option<u64> {
        self.process(pid).map(|(process, _)| process.start)
    }

    /// Nobody sees with the eyes of a task that is gone.
    pub fn forget(&self, task: TaskId) {
        self.attached.write().unwrap_or_else(PoisonError::into_inner).retain(|_, viewer| *viewer != task);
    }

    /// Whether it matters who asks.
    pub fn is_any(&self) -> bool {
        !self.attached().is_empty()
    }

    /// The task through whose eyes the host's thread `tid` sees the lab, if it is attached to one.
    pub fn viewer(&self, tid: u32) -> Option<TaskId> {
        let attached = self.attached();
        if attached.is_empty() {
            return None;
        }
        let first = self.process(self.tgid(tid)?);
        let ancestors = iter::successors(first, |(_, parent)| self.process(*parent)).take(ANCESTORS_MAX);
        ancestors.map(|(process, _)| process).find_map(|process| attached.get(&process).copied())
    }

    /// The number of the process that the host's thread `tid` belongs to.
    pub fn tgid(&self, tid: u32) -> Option<u32> {
        let status = self.read(tid, "status")?;
        status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
    }

    /// A process of the host and the number of its parent, 0 for none.
    fn process(&self, pid: u32) -> Option<(Process, u32)> {
        let (parent, start) = parent_and_start(&self.read(pid, "stat")?)?;
        Some((Process { pid, start }, parent))
    }

    fn read(&self, pid: u32, file: &str) -> Option<String> {
        let path = format!("{pid}/{file}");
        let opened = openat(self.proc.as_ref()?, Path::new(&path), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let mut text = Vec::new();
        File::from(opened.ok()?).read_to_end(&mut text).ok()?;
        // A process may be called anything.
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn attached(&self) -> RwLockReadGuard<'_, BTreeMap<Process, TaskId>> {
        self.attached.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fields 4 and 22 of `stat` (proc_pid_stat(5)). The name, in parentheses, may hold blanks and parentheses itself.
fn parent_and_start(stat: &str) -> Option<(u32, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    #[test]
    fn parent_and_start_are_found_behind_any_name() {
        let stat = "8 (a) b) S 5 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 3050 2990080 436";
        assert_eq!(parent_and_start(stat), Some((5, 3050)));
        assert_eq!(parent_and_start("8 (a) S"), None);
    }

    #[test]
    fn a_process_and_its_threads_are_attached_until_the_task_is_gone() {
        let viewers = Viewers::default();
        let task = Kernel::boot().init.task;
        let (pid, tid) = (std::process::id(), nix::unistd::gettid().as_raw().unsigned_abs());
        assert_eq!(viewers.viewer(tid), None);
        viewers.attach(pid, task, Some(1)).unwrap();
        assert_eq!(viewers.viewer(tid), None);
        viewers.attach(pid, task, None).unwrap();
        assert_eq!(viewers.viewer(tid), Some(task));
        assert_eq!(viewers.viewer(std::os::unix::process::parent_id()), None);
        viewers.forget(task);
        assert!(!viewers.is_any());
    }

    #[test]
    fn a_process_that_does_not_exist_cannot_be_attached() {
        let error = Viewers::default().attach(u32::MAX, Kernel::boot().init.task, None).unwrap_err();
        assert_eq!(error.to_string(), "ESRCH: this host has no process 4294967295");
    }
}
