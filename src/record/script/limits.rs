//! Limits of processes and of user namespaces.

use std::collections::BTreeMap;

use super::Writer;
use crate::kernel::capability::Cap;
use crate::kernel::ns::NsType;
use crate::kernel::signal::Rlimit;
use crate::kernel::{TaskId, UserNsId};
use crate::record::topology::{Own, Task};
use crate::script::seen;
use crate::syscall::{Become, Resource};

/// Descriptors and processes that the script needs besides those that were seen.
const SPARE: usize = 64;

impl Writer<'_> {
    /// The limits that a process has otherwise. Those that would hinder the lines to come wait for [`Writer::tight_limits`].
    pub(super) fn rlimits(&self, id: TaskId, task: &Task, with_tight: bool) -> Vec<(Resource, Rlimit)> {
        let now = &self.k.signal_of(id).rlimits;
        let differs = |(resource, limit): &&(Resource, Rlimit)| resource.of(now) != *limit;
        let is_due = |(resource, limit): &&(Resource, Rlimit)| with_tight || self.is_roomy(*resource, *limit);
        task.rlimits.iter().filter(differs).filter(is_due).copied().collect()
    }

    fn is_roomy(&self, resource: Resource, limit: Rlimit) -> bool {
        let needed = match resource {
            Resource::Nproc => 2 * self.topology.tasks.len() + self.topology.namespaces.len() + SPARE,
            Resource::Nofile => self.most_open + SPARE,
            // Queues are made before.
            Resource::Msgqueue => 0,
        };
        limit.soft >= needed as u64
    }

    /// The limits that processes had already reached, or nearly.
    pub(super) fn tight_limits(&mut self) {
        for task in self.topology.tasks.values().filter(|task| task.is_leader()) {
            let (Some(id), Some(name)) = (self.found(task.tid), self.names.get(&task.tid).cloned()) else { continue };
            let tight = Become { rlimits: self.rlimits(id, task, true), ..Become::default() };
            if tight != Become::default() {
                self.line(&format!("become {name}{}", seen::line(&tight)));
            }
        }
    }

    /// How many namespaces users may have: said when all have been made.
    pub(super) fn limits_of_users(&mut self) {
        let start = self.text.len();
        self.section("How many namespaces users may have.");
        let before = self.text.len();
        for (inum, ns) in &self.topology.namespaces {
            let (Own::User(user), Some(actor)) = (&ns.own, self.rulers.get(inum).cloned()) else { continue };
            let Some(now) = self.limits_there(*inum) else { continue };
            for (ns_type, limit) in user.limits.iter().filter(|(ns_type, limit)| now.get(ns_type) != Some(limit)) {
                let line = format!("{actor} write proc/sys/user/{} {limit}", ns_type.ops().ucount_name);
                match self.topology.tasks.get(&1).filter(|_| actor == "1") {
                    Some(init) => {
                        let mut other = Become::default();
                        if !self.k.ns_capable(self.k.init.task, self.k.init.user_ns, Cap::SYS_RESOURCE) {
                            other.user_ns = Some(*inum);
                            other.effective = Some(1 << Cap::SYS_RESOURCE.number());
                        }
                        self.line_as(init, &actor, &other, &line);
                    }
                    None => drop(self.line(&line)),
                }
            }
        }
        if self.text.len() == before {
            self.text.truncate(start);
        }
    }

    fn limits_there(&self, inum: u32) -> Option<BTreeMap<NsType, i64>> {
        let ns: UserNsId = self.k.find_ns(NsType::User, inum).and_then(|ns| self.k.namespaces.typed(ns))?;
        let limits = &self.k.namespaces[ns].ucount_max;
        Some(crate::kernel::ns::NS_TABLE.iter().map(|ops| (ops.ns_type, limits[ops.ucount])).collect())
    }
}
