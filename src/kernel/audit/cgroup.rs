//! Recounts who refers to which cgroup and which tasks are in it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Named, differ};
use crate::kernel::cgroup::CgroupId;
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
        let listed: BTreeSet<TaskId> = cgroup.tasks.values().copied().collect();
        differ(wrong, (id, "tasks"), cgroup.tasks.len(), listed.len());
        differ(wrong, (id, "tasks"), listed, members.remove(&id).unwrap_or_default());
        if cgroup.is_dead && !(cgroup.tasks.is_empty() && cgroup.children.is_empty()) {
            wrong.push(format!("the removed cgroup {id:?} is not empty"));
        }
    }
}
