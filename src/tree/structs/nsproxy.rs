//! `kernel/nsproxy/<id>` (`struct nsproxy`). The id is the place in the kernel's table: it stays while the object
//! lives and may be used again after, as an address may.

use super::{Field, Struct, dir, list, pointer, show, task_item, task_items, value};
use crate::kernel::node::Object;
use crate::kernel::ns::SLOTS;
use crate::kernel::{Kernel, NsProxyId};

impl Struct for NsProxyId {
    fn fields(self, _: &Kernel) -> [&'static [Field<NsProxyId>]; 2] {
        [FIELDS, &[]]
    }

    fn is_alive(self, k: &Kernel) -> bool {
        k.nsproxies.contains(self)
    }
}

/// The pointers by their names in Linux, in the order of [`crate::kernel::ns::Slot`].
pub(super) const SLOT_NAMES: [&str; SLOTS] =
    ["mnt_ns", "uts_ns", "ipc_ns", "pid_ns_for_children", "cgroup_ns", "net_ns", "time_ns", "time_ns_for_children"];

const fn slot<const SLOT: usize>() -> Field<NsProxyId> {
    pointer(SLOT_NAMES[SLOT], |k, id| Some(Object::Ns(k.nsproxies[id].slots[SLOT].id())))
}

static FIELDS: &[Field<NsProxyId>] = &[
    dir(""),
    value("count", |k, id| show(k.nsproxies[id].count)),
    slot::<0>(),
    slot::<1>(),
    slot::<2>(),
    slot::<3>(),
    slot::<4>(),
    slot::<5>(),
    slot::<6>(),
    slot::<7>(),
    list(
        "tasks",
        |k, id| task_items(k, super::tasks(k).map(|(_, task)| task).filter(|&task| k.nsproxy_id_of(task) == Some(id))),
        |k, id, nr| task_item(k, nr, |task| k.nsproxy_id_of(task) == Some(id)),
    ),
];
