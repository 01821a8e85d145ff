//! cgroup namespaces (`kernel/cgroup/namespace.c`): which cgroup is shown as the root.

use super::{NsOps, NsState, NsType, Slot};
use crate::kernel::cgroup::{Cgroup, CgroupId};
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, NsId, TaskId};

#[derive(Debug, Default)]
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

pub static OPS: NsOps = NsOps {
    ns_type: NsType::Cgroup,
    name: "cgroup",
    clone_flag: 0x0200_0000,
    clone_flag_name: "CLONE_NEWCGROUP",
    init_inum: 4_026_531_835,
    init_ns_id: 5,
    initial: || NsState::Cgroup(CgroupNamespace::default()),
    ucount: 6,
    ucount_name: "max_cgroup_namespaces",
    slot: Some(Slot::Cgroup),
    setns_slot: None,
    extra_inums: 0,
    has_parent: false,
    check_create: super::always_creatable,
    create,
    setup,
    teardown,
    check_install: super::check_install_admin,
};

fn create(_k: &Kernel, _task: TaskId) -> NsState {
    NsState::Cgroup(CgroupNamespace::default())
}

/// The creator's cgroup becomes the root (`copy_cgroup_ns`).
fn setup(k: &mut Kernel, ns: NsId, task: TaskId) {
    k.set_cgroup_ns_root(ns, k.cgroup_of(task));
}

fn teardown(k: &mut Kernel, _ns: NsId, state: NsState) {
    if let NsState::Cgroup(CgroupNamespace { root_cset: Some(root) }) = state {
        k.put_cgroup(root);
    }
}

impl Kernel {
    /// Makes `cgroup` the root of a namespace.
    pub(crate) fn set_cgroup_ns_root(&mut self, ns: NsId, cgroup: CgroupId) {
        let root = self.cgroup.table.hold(cgroup);
        if let Some(old) = self.namespaces[ns].cgroup_mut().root_cset.replace(root) {
            self.put_cgroup(old);
        }
    }
}
