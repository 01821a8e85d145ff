//! Process groups: their members, and what becomes of those that are orphaned (`kernel/exit.c`).

use std::collections::BTreeMap;

use super::signal::{SIGCONT, SIGHUP, Sender};
use super::{Kernel, PidId, TaskId};

/// What is known of process groups while tasks die or stop: when many members of one do in one call, not each looks at all the others.
/// Empty between calls.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    groups: BTreeMap<PidId, Connected>,
    /// How many processes have got a parent by now that may connect their group.
    adopted: u64,
}

/// The members that connected a group when it was looked at. They lose that one by one, and are left out when that is seen.
#[derive(Clone, Debug)]
struct Connected {
    members: Vec<TaskId>,
    /// [`Connections::adopted`] then.
    adopted: u64,
}

impl Kernel {
    /// A process group that loses its last connection to the rest of its session while a member is stopped gets SIGHUP
    /// and SIGCONT (`kill_orphaned_pgrp`). `leaving` does not count as a connection.
    pub(super) fn kill_orphaned_pgrp(&mut self, task: TaskId, parent: TaskId, leaving: Option<TaskId>) {
        let pgrp = self.signal_of(task).pgrp.id();
        let connected = self.signal_of(parent).pgrp.id() != pgrp
            && self.signal_of(parent).session.id() == self.signal_of(task).session.id();
        let has_stopped_jobs = self.pids[pgrp].attached.stopped > 0;
        if connected && has_stopped_jobs && !self.has_connection(pgrp, leaving) {
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
        !self.pgrp_members(pgrp).any(|member| Some(member) != leaving && self.connects(member, pgrp))
    }

    /// Whether a member of a group has a parent in another group of the same session.
    fn connects(&self, member: TaskId, pgrp: PidId) -> bool {
        let parent = self.tasks[member].real_parent;
        !self.is_reapable(member)
            && parent != self.init.task
            && self.signal_of(parent).pgrp.id() != pgrp
            && self.signal_of(parent).session.id() == self.signal_of(member).session.id()
    }

    /// The opposite of [`Kernel::is_pgrp_orphaned`] while tasks die or stop, in one call: who has lost a connection gets none back, but by a new
    /// parent.
    pub(super) fn has_connection(&mut self, pgrp: PidId, leaving: Option<TaskId>) -> bool {
        let found = self.find_connection(pgrp, leaving);
        debug_assert_eq!(found, !self.is_pgrp_orphaned(pgrp, leaving));
        found
    }

    fn find_connection(&mut self, pgrp: PidId, leaving: Option<TaskId>) -> bool {
        let now = self.connections.adopted;
        if let Some(mut known) = self.connections.groups.remove(&pgrp) {
            let found = self.drop_lost(&mut known.members, pgrp, leaving);
            let is_sure = found || known.adopted == now;
            if is_sure {
                self.connections.groups.insert(pgrp, known);
                return found;
            }
        }
        let mut members: Vec<TaskId> = self.pgrp_members(pgrp).filter(|member| self.connects(*member, pgrp)).collect();
        let found = self.drop_lost(&mut members, pgrp, leaving);
        self.connections.groups.insert(pgrp, Connected { members, adopted: now });
        found
    }

    /// Takes from the end of a list those that connect the group no more; whether one that is not `leaving` does.
    fn drop_lost(&self, members: &mut Vec<TaskId>, pgrp: PidId, leaving: Option<TaskId>) -> bool {
        let is_there = |member: TaskId| {
            self.tasks.contains(member)
                && self.signal_of(member).leader == member
                && self.signal_of(member).pgrp.id() == pgrp
                && self.connects(member, pgrp)
        };
        let mut left = None;
        while let Some(member) = members.pop() {
            if Some(member) == leaving {
                left = Some(member);
            } else if is_there(member) {
                members.push(member);
                break;
            }
        }
        let found = !members.is_empty();
        members.extend(left);
        found
    }

    /// Notes that a process has got a new parent, by whom its group may be connected from now on.
    pub(super) fn note_adoption(&mut self, child: TaskId) {
        let pgrp = self.signal_of(child).pgrp.id();
        if self.connects(child, pgrp) {
            self.connections.adopted += 1;
        }
    }

    /// The call is over.
    pub(super) fn forget_connections(&mut self) {
        self.connections = Connections::default();
    }

    /// The leaders of the processes in a group.
    pub fn pgrp_members(&self, pgrp: PidId) -> impl Iterator<Item = TaskId> {
        self.pids[pgrp].attached.group.iter().map(|&signal| self.signals[signal].leader)
    }
}
