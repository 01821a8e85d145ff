//! Who is in which namespace, counted in one walk: what the pictures below `kernel/` are drawn from.

use std::collections::BTreeMap;

use super::structs;
use crate::kernel::ns::{ENTRIES, NsEntry};
use crate::kernel::{Kernel, NsId, PidNsId, TaskId};

/// All tasks, and the tasks of each namespace, by number in the initial pid namespace.
pub(super) struct Census<'k> {
    pub k: &'k Kernel,
    pub tasks: Vec<(i32, TaskId)>,
    members: BTreeMap<NsId, Vec<TaskId>>,
    /// The tasks of a pid namespace that are drawn below no other of it.
    tops: BTreeMap<PidNsId, Vec<TaskId>>,
    /// The tasks drawn below one: children in the same pid namespace, and threads below their leader.
    below: BTreeMap<TaskId, Vec<TaskId>>,
}

/// The entries that say where a task itself is, not its children.
pub(super) fn own_entries() -> impl Iterator<Item = &'static NsEntry> {
    ENTRIES.iter().filter(|entry| entry.name == entry.ns_type.ops().name)
}

impl<'k> Census<'k> {
    pub fn take(k: &'k Kernel) -> Census<'k> {
        let tasks: Vec<_> = structs::tasks(k).collect();
        let (mut members, mut tops, mut below) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for &(_, task) in &tasks {
            let pid_ns = k.task_active_pid_ns(task);
            let above = if k.is_leader(task) { k.real_parent_of(task) } else { k.leader_of(task) };
            if above != task && k.task_active_pid_ns(above) == pid_ns {
                push(&mut below, above, task);
            } else {
                push(&mut tops, pid_ns, task);
            }
            for ns in own_entries().filter_map(|entry| k.ns_entry(task, entry)) {
                push(&mut members, ns, task);
            }
        }
        Census { k, tasks, members, tops, below }
    }

    /// The tasks in a namespace; none in one that only a pin, a child or a pointer for children keeps.
    pub fn members(&self, ns: NsId) -> &[TaskId] {
        self.members.get(&ns).map_or(&[], Vec::as_slice)
    }

    pub fn tops(&self, pid_ns: PidNsId) -> &[TaskId] {
        self.tops.get(&pid_ns).map_or(&[], Vec::as_slice)
    }

    pub fn tasks_below(&self, task: TaskId) -> &[TaskId] {
        self.below.get(&task).map_or(&[], Vec::as_slice)
    }

    /// Namespaces directly below `above` as `parent` says it, by inum.
    pub fn nested(&self, above: NsId, parent: impl Fn(NsId) -> Option<NsId>) -> Vec<NsId> {
        let inums = self.k.ns_by_inum.values().copied();
        inums.filter(|&ns| parent(ns) == Some(above)).collect()
    }

    /// The entries whose namespaces are not those of init, as a link shows them: `net:[4026532177]`; those for children
    /// only where they are other ones than the task's own.
    pub fn differing(&self, task: TaskId) -> Vec<String> {
        let (k, init) = (self.k, self.k.init.task);
        let own = |entry: &NsEntry| own_entries().find(|own| own.ns_type == entry.ns_type);
        let shown = ENTRIES.iter().filter_map(|entry| {
            let ns = k.ns_entry(task, entry)?;
            let repeats = own(entry).is_some_and(|own| own.name != entry.name && k.ns_entry(task, own) == Some(ns));
            (!repeats && k.ns_entry(init, entry) != Some(ns)).then(|| entry_text(k, entry, ns))
        });
        shown.collect()
    }
}

fn push<K: Ord>(map: &mut BTreeMap<K, Vec<TaskId>>, key: K, task: TaskId) {
    map.entry(key).or_default().push(task);
}

/// `net:[4026532177]`; of an entry for children its name in front: `pid_for_children:[4026532178]`.
fn entry_text(k: &Kernel, entry: &NsEntry, ns: NsId) -> String {
    format!("{}:[{}]", entry.name, k.namespaces[ns].common.inum)
}

/// The name of a task as text that has no control characters.
pub(super) fn comm(k: &Kernel, task: TaskId) -> String {
    String::from_utf8_lossy(&k.tasks[task].comm).chars().flat_map(char::escape_debug).collect()
}

/// The numbers of a task from the initial pid namespace inwards: `7 3 1`.
pub(super) fn numbers(k: &Kernel, task: TaskId) -> Vec<i32> {
    let pid = &k.pids[k.pid_of(task)];
    let innermost = k.task_active_pid_ns(task);
    let mut numbers: Vec<i32> =
        std::iter::successors(Some(innermost), |&ns| k.ns_parent(ns)).filter_map(|ns| pid.nr_in(ns)).collect();
    numbers.reverse();
    numbers
}
