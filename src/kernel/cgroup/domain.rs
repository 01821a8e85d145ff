//! Domains and threaded cgroups: where the threads of one process may be apart (`cgroup.type`).

use super::CgroupId;
use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;

impl Kernel {
    /// The nearest cgroup from here upwards that is not threaded (`dom_cgrp`).
    pub fn cgroup_domain(&self, cgroup: CgroupId) -> CgroupId {
        let domain = self.cgroup_ancestors(cgroup).find(|&id| !self.cgroup.table[id].is_threaded);
        domain.expect("the root is a domain")
    }

    /// A domain whose children are threaded (`cgroup_is_thread_root`).
    fn is_thread_root(&self, cgroup: CgroupId) -> bool {
        let cgroup = &self.cgroup.table[cgroup];
        !cgroup.is_threaded && cgroup.kinds.threaded > 0
    }

    /// Processes may be in it: it is not threaded, and nothing above it but the root has to do with threaded cgroups
    /// (`cgroup_is_valid_domain`).
    pub fn is_valid_domain(&self, cgroup: CgroupId) -> bool {
        let bars = |id: CgroupId| {
            let above = &self.cgroup.table[id];
            above.is_threaded || !above.is_root() && self.is_thread_root(id)
        };
        !self.cgroup.table[cgroup].is_threaded && !self.cgroup_ancestors(cgroup).skip(1).any(bars)
    }

    /// What `cgroup.type` shows.
    pub fn cgroup_type(&self, cgroup: CgroupId) -> &'static str {
        if self.cgroup.table[cgroup].is_threaded {
            "threaded"
        } else if !self.is_valid_domain(cgroup) {
            "domain invalid"
        } else if self.is_thread_root(cgroup) {
            "domain threaded"
        } else {
            "domain"
        }
    }

    /// Whether a cgroup may become threaded (`cgroup_enable_threaded`).
    ///
    /// # Errors
    /// EOPNOTSUPP: tasks are in it or below it, or the domain it would belong to is no valid one or has domains with
    /// tasks below it.
    pub fn check_enable_threaded(&self, cgroup: CgroupId) -> Result<()> {
        if self.cgroup.table[cgroup].is_populated() {
            bail!(EOPNOTSUPP, "tasks are in the cgroup or below it");
        }
        let parent = self.cgroup_ancestors(cgroup).nth(1).expect("the root has no cgroup.type");
        let domain = self.cgroup_domain(parent);
        if !self.is_valid_domain(domain) {
            bail!(EOPNOTSUPP, "the domain above is not valid");
        }
        if !self.can_be_thread_root(domain) {
            bail!(EOPNOTSUPP, "the domain above has domains with tasks below it");
        }
        Ok(())
    }

    fn can_be_thread_root(&self, domain: CgroupId) -> bool {
        let domain = &self.cgroup.table[domain];
        domain.is_root() || domain.kinds.populated_domains == 0
    }
}
