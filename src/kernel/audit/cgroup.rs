//! Recounts who refers to which cgroup and which tasks are in it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Named, audit_list, differ};
use crate::kernel::cgroup::{CgroupId, ChildKinds};
use crate::kernel::ns::NsState;
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, TaskId};

/// Names all references to cgroups; the tree and the lists of tasks have to agree with what points upwards.
pub(super) fn audit(k: &Kernel, named: &mut Named, wrong: &mut Vec<String>) {
    let mut members: BTreeMap<CgroupId, BTreeSet<TaskId>> = BTreeMap::new();
    named.bump((Kind::Cgroup, k.cgroup.root().serial()));
    for (id, task) in k.tasks.iter() {
        named.bump((Kind::Cgroup, task.cgroup.id().serial()));
        if !task.is_dead() {
            members.entry(task.cgroup.id()).or_default().insert(id);
        }
    }
    for (_, ns) in k.namespaces.iter() {
        if let NsState::Cgroup(cgroup_ns) = &ns.state {
            named.bump((Kind::Cgroup, cgroup_ns.root().serial()));
        }
    }
    for (id, cgroup) in k.cgroup.table.iter() {
        // Who has these is counted with the mounts.
        (0..cgroup.paths).for_each(|_| named.bump((Kind::Cgroup, id.serial())));
        if let Some(parent) = &cgroup.parent {
            named.bump((Kind::Cgroup, parent.id().serial()));
        }
        for (name, child) in &cgroup.children {
            named.bump((Kind::Cgroup, child.id().serial()));
            let child = &k.cgroup.table[child.id()];
            differ(wrong, (id, "child"), (child.parent.as_ref().map(Held::id), &child.name), (Some(id), name));
        }
        counters(k, id, wrong);
        // A list that is wrong may have no end.
        let listed: Vec<TaskId> = k.tasks_in(id).take(k.tasks.len() + 1).collect();
        audit_list(k, (id, "tasks"), cgroup.tasks, &listed, |task| task.cg_list, wrong);
        let listed: BTreeSet<TaskId> = listed.into_iter().collect();
        differ(wrong, (id, "tasks"), listed, members.remove(&id).unwrap_or_default());
        if cgroup.is_dead && !(cgroup.tasks.is_empty() && cgroup.children.is_empty()) {
            wrong.push(format!("the removed cgroup {id:?} is not empty"));
        }
    }
}

/// What a cgroup keeps about those below it.
fn counters(k: &Kernel, id: CgroupId, wrong: &mut Vec<String>) {
    let cgroup = &k.cgroup.table[id];
    let is_populated = |id: CgroupId| {
        let below = k.cgroups_below(id, |_| true);
        below.into_iter().chain([id]).any(|id| !k.cgroup.table[id].tasks.is_empty())
    };
    let mut kinds = ChildKinds::default();
    for child in cgroup.children.values() {
        let (is_populated, is_threaded) = (is_populated(child.id()), k.cgroup.table[child.id()].is_threaded);
        kinds.threaded += u32::from(is_threaded);
        kinds.populated += u32::from(is_populated);
        kinds.populated_domains += u32::from(is_populated && !is_threaded);
    }
    differ(wrong, (id, "kinds of children"), cgroup.kinds, kinds);
    differ(wrong, (id, "descendants"), cgroup.descendants as usize, k.cgroups_below(id, |_| true).len());
    differ(wrong, (id, "dead"), k.cgroup.dead.contains(&id), cgroup.is_dead);
    differ(wrong, (id, "level"), cgroup.level as usize, k.cgroup_ancestors(id).count() - 1);
    let is_dying =
        |&(task, _): &(TaskId, _)| k.is_leader(task) && k.tasks[task].is_dead() && k.signal_of(task).live > 0;
    let dying: BTreeSet<TaskId> =
        k.tasks.iter().filter(|(task, _)| k.cgroup_of(*task) == id).filter(is_dying).map(|(task, _)| task).collect();
    let listed = cgroup.dying.iter().copied().filter(|&task| k.signal_of(task).live > 0).collect();
    differ(wrong, (id, "dying leaders"), dying, listed);
}
