//! `uid_map`, `gid_map`, `projid_map` and `setgroups` of the user namespace of a task (`kernel/user_namespace.c`).

use std::fmt::Write as _;

use crate::errno::Result;
use crate::kernel::uid_map::MapKind;
use crate::kernel::{TaskId, UserNsId};
use crate::tree::look::Look;

/// A line per extent. The middle column is what the opener's user namespace calls the first outer id; when that is
/// the namespace of the map itself, what its parent calls it (`uid_m_show`).
pub(super) fn render(look: &Look<'_>, task: TaskId, kind: MapKind) -> Result<Vec<u8>> {
    let ns = user_ns(look, task);
    let parent = look.k.ns_parent(ns);
    let outer = if look.user_ns == ns { parent.unwrap_or(ns) } else { look.user_ns };
    let outer = look.k.namespaces[outer].map(kind);
    let mut text = String::new();
    for extent in &look.k.namespaces[ns].map(kind).extents {
        let lower = outer.map_id_up(extent.lower_first).unwrap_or(u32::MAX);
        let _ = writeln!(text, "{:>10} {lower:>10} {:>10}", extent.first, extent.count);
    }
    Ok(text.into_bytes())
}

/// `allow` or `deny` (`proc_setgroups_show`).
pub(super) fn setgroups(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let allowed = look.k.namespaces[user_ns(look, task)].setgroups_allowed;
    Ok(if allowed { b"allow\n".to_vec() } else { b"deny\n".to_vec() })
}

/// The namespace these files are about: fixed when the file was opened.
fn user_ns(look: &Look<'_>, task: TaskId) -> UserNsId {
    look.bound_to().unwrap_or_else(|| look.k.cred_of(task).user_ns.id())
}
