//! System V semaphores and what is undone at exit (`ipc/sem.c`).

use std::collections::BTreeMap;

use super::{IpcIds, IpcObject, Perm};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::IpcNamespace;
use crate::kernel::pid::Pid;
use crate::kernel::refcount::{Counted, Held};
use crate::kernel::waiting::Waited;
use crate::kernel::{Current, IpcNsId, Kernel, TaskId, UndoListId};

/// Highest value of a semaphore (`SEMVMX`).
pub const SEMVMX: i32 = 32767;
/// Highest adjustment at exit (`SEMAEM`); the lowest is one more below zero.
pub const SEMAEM: i32 = SEMVMX;

/// A set (`struct sem_array`). Times are seconds since the epoch, 0 if never.
#[derive(Clone, Debug)]
pub struct SemSet {
    pub perm: Perm,
    pub otime: u64,
    pub ctime: u64,
    pub sems: Vec<Sem>,
}

#[derive(Clone, Debug, Default)]
pub struct Sem {
    pub value: i32,
    /// Who changed it last.
    pub pid: Option<Held<Pid>>,
}

/// One operation of semop(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemOp {
    pub num: u16,
    pub delta: i16,
    pub flags: SemFlags,
}

bitflags::bitflags! {
    /// Flags of one operation (`include/uapi/linux/sem.h`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct SemFlags: u16 {
        const NOWAIT = 0o4000;
        const UNDO = 0x1000;
        const _ = !0;
    }
}

/// Adjustments of one set: (semaphore, what is added at exit).
pub type Adjustments = BTreeMap<u16, i32>;

/// What a process, or the tasks that share it under CLONE_SYSVSEM, undo at exit (`struct sem_undo_list`).
#[derive(Clone, Debug)]
pub struct UndoList {
    pub refcnt: u32,
    /// The namespace all sets in it belong to: a task leaves its list when it leaves the namespace.
    pub ns: IpcNsId,
    /// By identifier of the set.
    pub sets: BTreeMap<i32, Adjustments>,
}

impl Counted for UndoList {
    fn count(&mut self) -> &mut u32 {
        &mut self.refcnt
    }
}

impl IpcObject for SemSet {
    const NAME: &'static str = "semaphore set";
    fn perm(&self) -> &Perm {
        &self.perm
    }
    fn perm_mut(&mut self) -> &mut Perm {
        &mut self.perm
    }
    fn ids(ns: &IpcNamespace) -> &IpcIds<SemSet> {
        &ns.sem_ids
    }
    fn ids_mut(ns: &mut IpcNamespace) -> &mut IpcIds<SemSet> {
        &mut ns.sem_ids
    }
}

/// How a call of semop(2) goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SemopOutcome {
    /// Values and adjustments afterwards.
    Done { values: BTreeMap<u16, i32>, adjustments: Adjustments },
    /// The first operation that the value of its semaphore does not allow.
    Blocked { op: SemOp, value: i32 },
}

impl SemSet {
    /// Does all operations in order on a copy of the values; nothing is changed when one of them cannot be done
    /// (`perform_atomic_semop`). `undo` are the caller's adjustments so far.
    ///
    /// # Errors
    /// ERANGE: a value or an adjustment leaves its range.
    pub fn perform(&self, ops: &[SemOp], undo: &Adjustments) -> Result<SemopOutcome> {
        let (mut values, mut adjustments) = (BTreeMap::new(), undo.clone());
        for op in ops {
            let value = *values.get(&op.num).unwrap_or(&self.sems[usize::from(op.num)].value);
            let delta = i32::from(op.delta);
            if delta == 0 && value != 0 || value + delta < 0 {
                return Ok(SemopOutcome::Blocked { op: *op, value });
            }
            if value + delta > SEMVMX {
                bail!(
                    ERANGE,
                    "semaphore {} would be {}, at most {} is possible",
                    u32::from(op.num),
                    value + delta,
                    SEMVMX
                );
            }
            if op.flags.contains(SemFlags::UNDO) {
                let adjustment = adjustments.entry(op.num).or_default();
                *adjustment -= delta;
                if !(-SEMAEM - 1..=SEMAEM).contains(adjustment) {
                    bail!(ERANGE, "the adjustment at exit would be {}, beyond {}", *adjustment, SEMAEM);
                }
            }
            values.insert(op.num, value + delta);
        }
        Ok(SemopOutcome::Done { values, adjustments })
    }
}

impl Kernel {
    /// The caller's undo list, made if there is none (`get_undo_list`).
    pub(crate) fn undo_list_of(&mut self, task: Current) -> UndoListId {
        if let Some(held) = &self.tasks[*task].undo_list {
            return held.id();
        }
        let ns = self.ipc_ns_of(task);
        let held = self.undo_lists.insert_held(UndoList { refcnt: 0, ns, sets: BTreeMap::new() });
        let id = held.id();
        self.tasks[*task].undo_list = Some(held);
        id
    }

    /// The caller's adjustments of a set so far.
    pub fn adjustments_of(&self, task: TaskId, semid: i32) -> Adjustments {
        let list = self.tasks[task].undo_list.as_ref().map(|held| &self.undo_lists[held.id()]);
        list.and_then(|list| list.sets.get(&semid)).cloned().unwrap_or_default()
    }

    /// The child's undo list: the parent's under CLONE_SYSVSEM, else none (`copy_semundo`).
    pub(crate) fn share_undo_list(&mut self, task: Current) -> Held<UndoList> {
        let id = self.undo_list_of(task);
        self.undo_lists.hold(id)
    }

    /// Zeroes what anyone would undo on a semaphore, or with `None` on all of a set.
    pub(crate) fn clear_adjustments(&mut self, ns: IpcNsId, semid: i32, num: Option<u16>) {
        self.change_undo(ns, |sets| match (num, sets.get_mut(&semid)) {
            (Some(num), Some(adjustments)) => drop(adjustments.remove(&num)),
            (None, Some(adjustments)) => adjustments.clear(),
            (_, None) => {}
        });
    }

    /// Changes all undo lists of a namespace.
    fn change_undo(&mut self, ns: IpcNsId, change: impl Fn(&mut BTreeMap<i32, Adjustments>)) {
        let lists: Vec<_> = self.undo_lists.iter().filter(|(_, list)| list.ns == ns).map(|(id, _)| id).collect();
        lists.into_iter().for_each(|list| change(&mut self.undo_lists[list].sets));
    }

    /// The task leaves its undo list; what the last user leaves behind is undone, as far as values go (`exit_sem`).
    pub(crate) fn exit_sem(&mut self, task: TaskId) {
        let Some(held) = self.tasks[task].undo_list.take() else { return };
        let Some(list) = self.undo_lists.release(held) else { return };
        let now = self.real_seconds();
        for (semid, adjustments) in list.sets {
            for (num, adjustment) in adjustments.into_iter().filter(|(_, adjustment)| *adjustment != 0) {
                let pid = self.hold_tgid(task);
                let set: &mut SemSet = self.ipc_found(list.ns, semid);
                let sem = &mut set.sems[usize::from(num)];
                sem.value = (sem.value + adjustment).clamp(0, SEMVMX);
                let old = sem.pid.replace(pid);
                self.put_pids([old]);
            }
            self.ipc_found::<SemSet>(list.ns, semid).otime = now;
            self.wake(Waited::Set(list.ns, semid));
        }
    }

    /// Removes a set and what anyone would undo on it (`freeary`).
    pub(crate) fn remove_sem_set(&mut self, ns: IpcNsId, id: i32) {
        self.change_undo(ns, |sets| drop(sets.remove(&id)));
        if let Some(set) = self.ipc_mut(ns).sem_ids.remove(id) {
            self.ipc_mut(ns).used_sems -= set.sems.len() as i32;
            self.free_sem_set(set);
            self.wake(Waited::Set(ns, id));
        }
    }

    pub(crate) fn free_sem_set(&mut self, set: SemSet) {
        self.put_pids(set.sems.into_iter().map(|sem| sem.pid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::kernel::cred::{Kgid, Kuid};

    fn set(values: &[i32]) -> SemSet {
        let (uid, gid) = (Kuid(0), Kgid(0));
        let perm = Perm { key: 0, id: 0, seq: 0, uid, gid, cuid: uid, cgid: gid, mode: 0 };
        SemSet { perm, otime: 0, ctime: 0, sems: values.iter().map(|&value| Sem { value, pid: None }).collect() }
    }

    fn op(num: u16, delta: i16) -> SemOp {
        SemOp { num, delta, flags: SemFlags::empty() }
    }

    #[test]
    fn operations_see_those_before_them() {
        let outcome = set(&[0]).perform(&[op(0, 2), op(0, -2), op(0, 0)], &Adjustments::new()).unwrap();
        let SemopOutcome::Done { values, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(values[&0], 0);
    }

    #[test]
    fn adjustments_have_a_range_of_their_own() {
        let with_undo = |delta| SemOp { flags: SemFlags::UNDO, ..op(0, delta) };
        let so_far = Adjustments::from([(0, -32767)]);
        let down_by_one = set(&[0]).perform(&[with_undo(1)], &so_far).unwrap();
        let SemopOutcome::Done { adjustments, .. } = down_by_one else { panic!("{down_by_one:?}") };
        assert_eq!(adjustments[&0], -32768);
        assert_eq!(set(&[0]).perform(&[with_undo(2)], &so_far).err().unwrap().errno, Errno::ERANGE);
    }
}
