//! cgroup namespaces (`kernel/cgroup/namespace.c`): identity, ownership and lifetime; their contents come with a later version.

use super::{NsOps, NsState, NsType, Slot};
use crate::kernel::{Kernel, TaskId};

#[derive(Debug, Default)]
pub struct CgroupNamespace;

pub static OPS: NsOps = NsOps {
    ns_type: NsType::Cgroup,
    name: "cgroup",
    clone_flag: 0x0200_0000,
    clone_flag_name: "CLONE_NEWCGROUP",
    init_inum: 4_026_531_835,
    init_ns_id: 5,
    initial: || NsState::Cgroup(CgroupNamespace),
    ucount: 6,
    ucount_name: "max_cgroup_namespaces",
    slot: Some(Slot::Cgroup),
    setns_slot: None,
    extra_inums: 0,
    has_parent: false,
    check_create: super::always_creatable,
    create,
    setup: super::no_setup,
    teardown: super::no_teardown,
    check_install: super::check_install_admin,
};

fn create(_k: &Kernel, _task: TaskId) -> NsState {
    NsState::Cgroup(CgroupNamespace)
}
