//! IPC namespaces (`ipc/namespace.c`): identity, ownership and lifetime; their contents come with a later version.

use super::{NsOps, NsState, NsType, Slot};
use crate::kernel::{Kernel, TaskId};

#[derive(Debug, Default)]
pub struct IpcNamespace;

pub static OPS: NsOps = NsOps {
    ns_type: NsType::Ipc,
    name: "ipc",
    clone_flag: 0x0800_0000,
    clone_flag_name: "CLONE_NEWIPC",
    init_inum: 4_026_531_839,
    init_ns_id: 6,
    initial: || NsState::Ipc(IpcNamespace),
    ucount: 3,
    ucount_name: "max_ipc_namespaces",
    slot: Some(Slot::Ipc),
    setns_slot: None,
    extra_inums: 0,
    pins_owner_twice: true,
    has_parent: false,
    check_create: super::always_creatable,
    create,
    check_install: super::check_install_admin,
};

fn create(_k: &Kernel, _task: TaskId) -> NsState {
    NsState::Ipc(IpcNamespace)
}
