//! Programs in frozen cgroups (`kernel/cgroup/freezer.c`): their threads are kept stopped where they are. No parent hears of it,
//! and what kills them does so at once.

use std::io;

use super::Supervisor;
use super::regs::{ERESTARTSYS, Regs};
use super::sys::{Resume, Tid};
use super::tracee::Doing;
use crate::kernel::TaskId;
use crate::kernel::signal::{SIGCONT, SIGSTOP, sigmask};

impl Supervisor {
    /// Whether a thread is in a frozen cgroup.
    pub(super) fn is_frozen(&self, tid: Tid) -> bool {
        let Some(task) = self.tracees.get(&tid).map(|tracee| tracee.task) else { return false };
        self.lab.read(|k| k.tasks.contains(task) && k.is_cgroup_frozen(k.cgroup_of(task))).unwrap_or(false)
    }

    /// A thread that has stopped stays so, until it is frozen no more. It gets a signal then, or 0.
    pub(super) fn keep(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        self.tracee(tid)?.kept = Some(signal);
        Ok(())
    }

    /// Whether a task is frozen has changed: it stops, or goes on.
    pub(super) fn freezes(&mut self, task: TaskId) {
        let Some(tid) = self.of_task(task).map(|tracee| tracee.tid) else { return };
        if !self.is_frozen(tid) {
            self.thaws(tid);
            self.release_held();
        } else if !self.held.contains(&tid) {
            // It may be gone, or stopped already: then it stops once more when it goes on.
            let _ = self.host.interrupt(tid);
        }
    }

    fn thaws(&mut self, tid: Tid) {
        // It may be gone.
        let _ = match self.tracees.get_mut(&tid).and_then(|tracee| tracee.kept.take()) {
            Some(0) => self.go_on(tid),
            Some(signal) => self.host.resume(tid, Resume::Cont, signal),
            None => Ok(()),
        };
    }

    /// A thread that is frozen has got a signal that it does not block. It goes on if that is its end.
    pub(super) fn meets_end(&mut self, tid: Tid, signal: i32) {
        let Some(tracee) = self.tracees.get(&tid).filter(|_| self.is_fatal(tid, signal)) else { return };
        if tracee.kept == Some(0) {
            self.thaws(tid);
        } else if matches!(tracee.doing, Doing::Running) && self.held.remove(&tid) {
            // The call that it was to make it makes no more. It may be gone.
            let _ = self.host.registers(tid).and_then(|regs| self.skip(tid, Regs(regs), ERESTARTSYS));
        }
    }

    /// Whether a signal ends the process of a thread (`sig_fatal`).
    pub(super) fn is_fatal(&self, tid: Tid, signal: i32) -> bool {
        const HARMLESS: [i32; 9] = [
            0,
            libc::SIGCHLD,
            libc::SIGWINCH,
            libc::SIGURG,
            SIGCONT,
            SIGSTOP,
            libc::SIGTSTP,
            libc::SIGTTIN,
            libc::SIGTTOU,
        ];
        if HARMLESS.contains(&signal) {
            return false;
        }
        let Some(task) = self.tracees.get(&tid).map(|tracee| tracee.task) else { return false };
        let is_default = self.lab.read(|k| {
            let actions = k.tasks.get(task).map(|_| k.sighand_of(task));
            actions.is_none_or(|actions| (actions.ignored | actions.handled) & sigmask(signal) == 0)
        });
        is_default.unwrap_or(true)
    }
}
