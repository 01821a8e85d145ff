//! Process groups: their members, and what becomes of those that are orphaned (`kernel/exit.c`).

use super::signal::{SIGCONT, SIGHUP, Sender};
use super::{Kernel, PidId, TaskId};

impl Kernel {
    /// A process group that loses its last connection to the rest of its session while a member is stopped gets SIGHUP
    /// and SIGCONT (`kill_orphaned_pgrp`). `leaving` does not count as a connection.
    pub(super) fn kill_orphaned_pgrp(&mut self, task: TaskId, parent: TaskId, leaving: Option<TaskId>) {
        let pgrp = self.signal_of(task).pgrp.id();
        let connected = self.signal_of(parent).pgrp.id() != pgrp
            && self.signal_of(parent).session.id() == self.signal_of(task).session.id();
        let has_stopped_jobs = self.pids[pgrp].attached.stopped > 0;
        if connected && has_stopped_jobs && self.is_pgrp_orphaned(pgrp, leaving) {
            let members: Vec<TaskId> = self.pgrp_members(pgrp).collect();
            for &member in &members {
                self.send_signal(Sender::Kernel, member, true, SIGHUP);
            }
            for member in members {
                self.send_signal(Sender::Kernel, member, true, SIGCONT);
            }
        }
    }

    /// No member has a parent in another group of the same session (`will_become_orphaned_pgrp`).
    pub fn is_pgrp_orphaned(&self, pgrp: PidId, leaving: Option<TaskId>) -> bool {
        !self.pgrp_members(pgrp).any(|member| {
            let parent = self.tasks[member].real_parent;
            Some(member) != leaving
                && !self.is_reapable(member)
                && parent != self.init.task
                && self.signal_of(parent).pgrp.id() != pgrp
                && self.signal_of(parent).session.id() == self.signal_of(member).session.id()
        })
    }

    /// The leaders of the processes in a group.
    pub fn pgrp_members(&self, pgrp: PidId) -> impl Iterator<Item = TaskId> {
        self.pids[pgrp].attached.group.iter().map(|&signal| self.signals[signal].leader)
    }
}
