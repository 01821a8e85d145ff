//! network namespaces (`net/core/net_namespace.c`): identity, ownership and lifetime; their contents come with a later version.

use super::{NsOps, NsState, NsType, Slot};
use crate::kernel::{Kernel, TaskId};

#[derive(Debug, Default)]
pub struct NetNamespace;

pub static OPS: NsOps = NsOps {
    ns_type: NsType::Net,
    name: "net",
    clone_flag: 0x4000_0000,
    clone_flag_name: "CLONE_NEWNET",
    init_inum: 4_026_531_833,
    init_ns_id: 3,
    initial: || NsState::Net(NetNamespace),
    ucount: 4,
    ucount_name: "max_net_namespaces",
    slot: Some(Slot::Net),
    setns_slot: None,
    extra_inums: 68,
    has_parent: false,
    check_create: super::always_creatable,
    create,
    setup: super::no_setup,
    teardown: super::no_teardown,
    check_install: super::check_install_admin,
};

fn create(_k: &Kernel, _task: TaskId) -> NsState {
    NsState::Net(NetNamespace)
}
