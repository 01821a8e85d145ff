//! Struct pid: the object behind the numbers, one number per pid namespace from the initial one down to its own
//! (`include/linux/pid.h`, `kernel/pid.c`).

use std::collections::BTreeSet;

use super::capability::Cap;
use super::ns::PidNamespace;
use super::refcount::{Counted, Held};
use super::work::Work;
use super::{Kernel, PidId, PidNsId, SignalId, TaskId, UserNsId};
use crate::errno::Result;
use crate::{bail, err};

/// Numbers below this are not handed out again once the cursor has passed it (`RESERVED_PIDS`).
pub const RESERVED_PIDS: i32 = 300;
/// Exclusive upper bound of `pid_max` on 64-bit (`PID_MAX_LIMIT`).
pub const PID_MAX_LIMIT: i32 = 4_194_304;
/// Lowest `pid_max` (`RESERVED_PIDS + 1`).
pub const PID_MAX_MIN: i32 = 301;

/// A struct pid. It lives while anything holds it; its numbers only while it is attached.
#[derive(Clone, Debug)]
pub struct Pid {
    pub count: u32,
    /// The innermost namespace.
    pub ns: Held<PidNamespace>,
    /// Its number there.
    pub own_nr: i32,
    /// The namespaces above and its numbers there, outermost first; none for most.
    pub outer: Box<[(PidNsId, i32)]>,
    pub attached: Attachments,
    /// Its numbers are in use. Cleared, for good, once nothing is attached any more.
    pub hashed: bool,
}

/// What a struct pid identifies at the moment.
#[derive(Clone, Debug, Default)]
pub struct Attachments {
    /// PIDTYPE_PID: the thread with this number.
    pub task: Option<TaskId>,
    /// PIDTYPE_TGID: the process with this number.
    pub process: Option<SignalId>,
    /// PIDTYPE_PGID: the processes of this process group.
    pub group: BTreeSet<SignalId>,
    /// How many of those processes are stopped (`has_stopped_jobs`).
    pub stopped: u32,
    /// PIDTYPE_SID: how many processes are in this session.
    pub session: u32,
}

impl Attachments {
    pub fn is_empty(&self) -> bool {
        self.task.is_none() && self.process.is_none() && self.group.is_empty() && self.session == 0
    }
}

impl Counted for Pid {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

impl Pid {
    /// (namespace, number), outermost first: one more than its level.
    pub fn numbers(&self) -> impl Iterator<Item = (PidNsId, i32)> {
        self.outer.iter().copied().chain([(self.ns.id(), self.own_nr)])
    }

    /// The number as seen from `ns`, `None` if invisible there (`pid_nr_ns`, which says 0).
    pub fn nr_in(&self, ns: PidNsId) -> Option<i32> {
        self.numbers().find(|(level_ns, _)| *level_ns == ns).map(|(_, nr)| nr)
    }

    /// The number in the initial pid namespace.
    pub fn nr(&self) -> i32 {
        self.outer.first().map_or(self.own_nr, |(_, nr)| *nr)
    }

    pub fn level(&self) -> usize {
        self.outer.len()
    }
}

impl Kernel {
    /// The struct pid with number `nr` in `ns` (`find_pid_ns`).
    pub fn find_pid_ns(&self, nr: i32, ns: PidNsId) -> Option<PidId> {
        self.namespaces[ns].idr.get(nr)
    }

    /// The task, thread or not, with number `nr` in `ns` (`find_task_by_pid_ns`).
    pub fn find_task_by_pid_ns(&self, nr: i32, ns: PidNsId) -> Option<TaskId> {
        self.pids[self.find_pid_ns(nr, ns)?].attached.task
    }

    /// The task with initial-namespace number `nr`.
    pub fn find_task(&self, nr: i32) -> Option<TaskId> {
        self.find_task_by_pid_ns(nr, self.init.pid_ns)
    }

    /// The task's number as seen from `ns`, 0 if invisible (`task_pid_nr_ns`).
    pub fn task_nr_ns(&self, task: TaskId, ns: PidNsId) -> i32 {
        self.pids[self.pid_of(task)].nr_in(ns).unwrap_or(0)
    }

    /// The number of the task's process as seen from `ns`, 0 if invisible (`task_tgid_nr_ns`).
    pub fn task_tgid_nr_ns(&self, task: TaskId, ns: PidNsId) -> i32 {
        self.task_nr_ns(self.leader_of(task), ns)
    }

    /// The task's number in the initial pid namespace.
    pub fn task_nr(&self, task: TaskId) -> i32 {
        self.pids[self.pid_of(task)].nr()
    }

    /// The number of the real parent's process as seen from `ns`, 0 when it is outside or there is none.
    pub fn task_ppid_nr_ns(&self, task: TaskId, ns: PidNsId) -> i32 {
        if self.is_of_idle_task(task) { 0 } else { self.task_tgid_nr_ns(self.real_parent_of(task), ns) }
    }
}

/// Numbers chosen for a new task, innermost level first.
#[derive(Debug)]
pub struct PidPlan {
    /// The task is the first in a pid namespace the same call makes: its number there is 1.
    pub in_new_ns: bool,
    /// That 1 was asked for by set_tid.
    pub new_ns_by_set_tid: bool,
    pub levels: Vec<PlannedNumber>,
    /// Why the allocation fails, if it does: Linux has moved the cursors of the levels before by then.
    pub outcome: Result<()>,
}

#[derive(Clone, Copy, Debug)]
pub struct PlannedNumber {
    pub ns: PidNsId,
    pub nr: i32,
    /// Chosen by the allocator, whose cursor it moves; not by set_tid.
    pub automatic: bool,
}

impl Kernel {
    /// Chooses the numbers of a new task in `innermost` and above, or, when `in_new_ns`, in a new child namespace of
    /// `innermost` and above (`alloc_pid`). `set_tid` is innermost first.
    pub fn plan_pid(&self, task: TaskId, innermost: PidNsId, in_new_ns: bool, set_tid: &[i64]) -> PidPlan {
        let mut plan = PidPlan { in_new_ns, new_ns_by_set_tid: false, levels: Vec::new(), outcome: Ok(()) };
        plan.outcome = self.fill_plan(task, innermost, set_tid, &mut plan);
        plan
    }

    fn fill_plan(&self, task: TaskId, innermost: PidNsId, set_tid: &[i64], plan: &mut PidPlan) -> Result<()> {
        let depth = self.namespaces[innermost].level as usize + 1 + usize::from(plan.in_new_ns);
        if set_tid.len() > depth {
            bail!(EINVAL, "set_tid has {} numbers for {} levels of pid namespaces", set_tid.len(), depth);
        }
        let mut asked = set_tid.iter().copied();
        if plan.in_new_ns
            && let Some(tid) = asked.next()
        {
            check_tid_range(tid, PID_MAX_LIMIT)?;
            if tid != 1 {
                bail!(EINVAL, "set_tid {} in a pid namespace without init: only 1 is possible", tid);
            }
            plan.new_ns_by_set_tid = true;
        }
        let mut level = Some(innermost);
        while let Some(ns) = level {
            let planned = match asked.next() {
                Some(tid) => PlannedNumber { ns, nr: self.check_set_tid(task, ns, tid)?, automatic: false },
                None => PlannedNumber { ns, nr: self.next_nr(ns)?, automatic: true },
            };
            plan.levels.push(planned);
            level = self.ns_parent(ns);
        }
        if !plan.in_new_ns && !self.namespaces[innermost].adding {
            bail!(ENOMEM, "{} is dead: its init has exited", self.ns_arg(innermost));
        }
        Ok(())
    }

    fn check_set_tid(&self, task: TaskId, ns: PidNsId, tid: i64) -> Result<i32> {
        let pid_ns = &self.namespaces[ns];
        let nr = check_tid_range(tid, pid_ns.pid_max)?;
        if nr != 1 && pid_ns.child_reaper.is_none() {
            bail!(EINVAL, "set_tid {} in {}, which has no init yet: only 1 is possible", tid, self.ns_arg(ns));
        }
        let owner = self.ns_owner(ns).expect("a pid namespace has an owner");
        if !self.is_described() && !self.checkpoint_restore_capable(task, owner) {
            bail!(
                EPERM,
                "CAP_CHECKPOINT_RESTORE and CAP_SYS_ADMIN missing in {}, owner of {}",
                self.ns_arg(owner),
                self.ns_arg(ns)
            );
        }
        if pid_ns.idr.get(nr).is_some() {
            bail!(EEXIST, "number {} is in use in {}", nr, self.ns_arg(ns));
        }
        Ok(nr)
    }

    /// CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN over `ns` (`checkpoint_restore_ns_capable`).
    pub fn checkpoint_restore_capable(&self, task: TaskId, ns: UserNsId) -> bool {
        self.ns_capable(task, ns, Cap::CHECKPOINT_RESTORE) || self.ns_capable(task, ns, Cap::SYS_ADMIN)
    }

    fn next_nr(&self, ns: PidNsId) -> Result<i32> {
        let pid_ns = &self.namespaces[ns];
        let min = if pid_ns.idr.cursor > RESERVED_PIDS { RESERVED_PIDS } else { 1 };
        pid_ns.idr.next_free(min, pid_ns.pid_max).ok_or_else(|| {
            err!(EAGAIN, "no number from {} to {} is free in {}", min, pid_ns.pid_max - 1, self.ns_arg(ns))
        })
    }

    /// Moves the cursors past the numbers Linux has taken, also for an allocation that failed in the end.
    fn advance_cursors(&mut self, plan: &PidPlan) {
        for planned in plan.levels.iter().filter(|p| p.automatic) {
            self.namespaces[planned.ns].idr.cursor = planned.nr + 1;
        }
        // A first number that could not be given leaves the namespace as new.
        if let (Err(_), Some(innermost)) = (&plan.outcome, plan.levels.first()) {
            let pid_ns = &mut self.namespaces[innermost.ns];
            if pid_ns.adding && pid_ns.pid_allocated == 0 {
                pid_ns.idr.cursor = 0;
            }
        }
    }

    /// What a clone leaves that fails once numbers were chosen: they are used up, and a namespace whose first number was given
    /// and taken back never gets an init (`free_pid`).
    pub(crate) fn waste_numbers(&mut self, plan: &PidPlan) {
        self.advance_cursors(plan);
        if let (Ok(()), Some(innermost)) = (&plan.outcome, plan.levels.first()) {
            let pid_ns = &mut self.namespaces[innermost.ns];
            pid_ns.adding &= pid_ns.pid_allocated > 0;
        }
    }

    /// Makes the struct pid of a plan that succeeded, with all its numbers. `new_ns` is the namespace made by the call.
    pub(crate) fn alloc_pid(&mut self, plan: &PidPlan, new_ns: Option<PidNsId>) -> Held<Pid> {
        self.advance_cursors(plan);
        let first = new_ns.map(|ns| (ns, 1));
        if let Some(ns) = new_ns {
            self.namespaces[ns].idr.cursor = if plan.new_ns_by_set_tid { 0 } else { 2 };
        }
        let mut outer = plan.levels.iter().map(|p| (p.ns, p.nr));
        let own = first.or_else(|| outer.next());
        let (innermost, own_nr) = own.expect("a task has a number in the initial pid namespace");
        let (ns, outer) = (self.get_ns(innermost), outer.rev().collect());
        let pid = Pid { count: 0, ns, own_nr, outer, attached: Attachments::default(), hashed: true };
        let held = self.pids.insert_held(pid);
        for (ns, nr) in plan.levels.iter().map(|p| (p.ns, p.nr)).chain(first) {
            let pid_ns = &mut self.namespaces[ns];
            pid_ns.idr.insert(nr, held.id());
            pid_ns.pid_allocated += 1;
        }
        held
    }

    /// Drops a reference to a struct pid; the last one lets go of its namespace (`put_pid`).
    pub(crate) fn put_pid(&mut self, held: Held<Pid>) {
        if let Some(freed) = self.pids.release(held) {
            self.put_ns(freed.ns);
        }
    }

    /// After something was detached: a struct pid that identifies nothing any more gives its numbers back
    /// (`free_pid`). A pid namespace whose init waits for the last others hears of it.
    pub(crate) fn free_pid_if_detached(&mut self, pid: PidId) {
        if !self.pids[pid].attached.is_empty() || !std::mem::take(&mut self.pids[pid].hashed) {
            return;
        }
        for (ns, nr) in self.pids[pid].numbers() {
            let pid_ns = &mut self.namespaces[ns];
            pid_ns.idr.remove(nr);
            pid_ns.pid_allocated -= 1;
            if !pid_ns.adding {
                self.work.push_back(Work::ZapProgress(ns));
            }
        }
    }

    /// Puts a process into another process group.
    pub(crate) fn change_pgrp(&mut self, signal: SignalId, pgrp: PidId) {
        self.pids[pgrp].attached.group.insert(signal);
        let new = self.pids.hold(pgrp);
        let stop = self.set_stop_signal(signal, None);
        let old = std::mem::replace(&mut self.signals[signal].pgrp, new);
        self.set_stop_signal(signal, stop);
        if old.id() != pgrp {
            self.pids[old.id()].attached.group.remove(&signal);
            self.free_pid_if_detached(old.id());
        }
        self.put_pid(old);
    }

    /// Puts a process into another session.
    pub(crate) fn change_session(&mut self, signal: SignalId, session: PidId) {
        self.pids[session].attached.session += 1;
        let new = self.pids.hold(session);
        let old = std::mem::replace(&mut self.signals[signal].session, new);
        self.pids[old.id()].attached.session -= 1;
        self.free_pid_if_detached(old.id());
        self.put_pid(old);
    }
}

fn check_tid_range(tid: i64, pid_max: i32) -> Result<i32> {
    match i32::try_from(tid) {
        Ok(nr) if (1..pid_max).contains(&nr) => Ok(nr),
        _ => bail!(EINVAL, "set_tid {} is not from 1 to {}", tid, pid_max - 1),
    }
}

/// The numbers of a process, thread, group or session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// In the initial pid namespace; 0: there is no such process.
    initial: i32,
    /// One per pid namespace below that one, outermost first; none for most.
    inner: Box<[i32]>,
    /// As who is told sees it, 0 if it does not.
    own: i32,
}

impl Numbers {
    /// Those of `pid` as `task` sees them, who may be another.
    pub(crate) fn of(k: &Kernel, task: TaskId, pid: PidId) -> Numbers {
        let pid = &k.pids[pid];
        let own = pid.nr_in(k.task_active_pid_ns(task)).unwrap_or(0);
        let inner = match pid.level() {
            0 => Box::default(),
            1.. => pid.numbers().skip(1).map(|(_, nr)| nr).collect(),
        };
        Numbers { initial: pid.nr(), inner, own }
    }

    /// A number that a program says a process has.
    pub(crate) fn given(nr: i32) -> Numbers {
        Numbers { initial: nr, inner: Box::default(), own: nr }
    }

    /// In the pid namespace of who is told, which is what Linux gives; 0 if it cannot be seen from there.
    pub fn own(&self) -> i32 {
        self.own
    }

    /// In the initial pid namespace; 0 too if who is told cannot see it.
    pub fn initial(&self) -> i32 {
        if self.own == 0 { 0 } else { self.initial }
    }

    /// One number per pid namespace it is in, that of the initial one first; none if there is no such process.
    pub fn levels(&self) -> Vec<i32> {
        let initial = (self.initial != 0).then_some(self.initial);
        initial.into_iter().chain(self.inner.iter().copied()).collect()
    }
}
