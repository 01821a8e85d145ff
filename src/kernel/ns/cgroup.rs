//! cgroup namespaces (`kernel/cgroup/namespace.c`): which cgroup is shown as the root.

use super::{CgroupNsId, Holds, NsKind, Owned, Slot};
use crate::kernel::cgroup::{Cgroup, CgroupId};
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::refcount::Held;
use crate::kernel::{Current, Kernel, TaskId};

#[derive(Clone, Debug, Default)]
pub struct CgroupNamespace {
    /// The cgroup of the creator at the time; `None` only while the namespace is made.
    pub root_cset: Option<Held<Cgroup>>,
}

impl CgroupNamespace {
    /// The cgroup that is shown as `/`.
    pub fn root(&self) -> CgroupId {
        self.root_cset.as_ref().expect("a namespace that is made has a root").id()
    }
}

impl NsKind for CgroupNamespace {
    const NAME: &'static str = "cgroup";
    const CLONE_FLAG: u64 = 0x0200_0000;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWCGROUP";
    const INIT_INUM: u32 = 4_026_531_835;
    const INIT_NS_ID: u64 = 5;
    const UCOUNT: usize = 6;
    const UCOUNT_NAME: &'static str = "max_cgroup_namespaces";
    const SLOT: Option<Slot> = Some(Slot::Cgroup);
    const HOLDS: Holds = Holds::CgroupRoot;

    fn initial() -> CgroupNamespace {
        CgroupNamespace::default()
    }

    fn create(_k: &Kernel, _task: Current) -> CgroupNamespace {
        CgroupNamespace::default()
    }

    /// The creator's cgroup becomes the root (`copy_cgroup_ns`).
    fn setup(k: &mut Kernel, ns: CgroupNsId, task: TaskId) {
        k.set_cgroup_ns_root(ns, k.cgroup_of(task));
    }

    fn teardown(self, k: &mut Kernel, _ns: CgroupNsId) {
        if let Some(root) = self.root_cset {
            k.put_cgroup(root);
        }
    }
}

impl Owned for CgroupNamespace {}

impl NsProxy {
    /// The cgroup namespace.
    pub fn cgroup_ns(&self) -> CgroupNsId {
        self.typed(Slot::Cgroup)
    }
}

impl Kernel {
    /// Makes `cgroup` the root of a namespace.
    pub(crate) fn set_cgroup_ns_root(&mut self, ns: CgroupNsId, cgroup: CgroupId) {
        let root = self.cgroup.table.hold(cgroup);
        if let Some(old) = self.namespaces[ns].root_cset.replace(root) {
            self.put_cgroup(old);
        }
    }
}
