//! `kernel/ops/<name>`: the tables of operations behind `/proc/<pid>/ns/<name>` (`struct proc_ns_operations`), ten of
//! them. Functions are shown by the names they have in Linux.

use super::{Field, Struct, dir, show, value};
use crate::kernel::Kernel;
use crate::kernel::ns::{ENTRIES, NsEntry, NsOps};

/// An index of [`ENTRIES`].
#[derive(Clone, Copy)]
pub(super) struct OpsId(pub u8);

impl OpsId {
    fn entry(self) -> &'static NsEntry {
        &ENTRIES[usize::from(self.0)]
    }

    fn ops(self) -> &'static NsOps {
        self.entry().ns_type.ops()
    }

    /// The name differs from that of the kind: `pid_for_children`.
    fn is_for_children(self) -> bool {
        self.entry().name != self.ops().name
    }

    fn function(self, name: &str) -> Option<Vec<u8>> {
        show(format_args!("{}ns_{name}", self.ops().name))
    }
}

impl Struct for OpsId {
    fn fields(self, _: &Kernel) -> [&'static [Field<OpsId>]; 2] {
        [FIELDS, &[]]
    }

    fn is_alive(self, _: &Kernel) -> bool {
        true
    }
}

static FIELDS: &[Field<OpsId>] = &[
    dir(""),
    value("name", |_, id| show(id.entry().name)),
    value("real_ns_name", |_, id| show(if id.is_for_children() { id.ops().name } else { "NULL" })),
    value("type", |_, id| show(format_args!("{:#x} {}", id.ops().clone_flag, id.ops().clone_flag_name))),
    value("get", |_, id| id.function(if id.is_for_children() { "for_children_get" } else { "get" })),
    value("put", |_, id| id.function("put")),
    value("install", |_, id| id.function("install")),
    value("owner", |_, id| id.function("owner")),
    value("get_parent", |_, id| get_parent(id)),
];

/// The parent of a user namespace is its owner; others are asked themselves.
fn get_parent(id: OpsId) -> Option<Vec<u8>> {
    let ops = id.ops();
    match (ops.has_parent, ops.slot) {
        (false, _) => show("NULL"),
        (true, None) => show("ns_get_owner"),
        (true, Some(_)) => id.function("get_parent"),
    }
}
