//! Writes to `uid_map`, `gid_map`, `projid_map` and `setgroups` of a process (`kernel/user_namespace.c`;
//! user_namespaces(7)). The namespace and the opener's credentials are those of the open.

use super::write::{Writing, Written};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::change::Change;
use crate::kernel::scan::Scanner;
use crate::kernel::uid_map::{Extent, MapKind, UidGidMap, parse_map};
use crate::kernel::{Kernel, UserNsId};

/// Bytes a write to a map must stay below (`PAGE_SIZE`).
const MAP_TEXT_LIMIT: usize = 4096;
/// Bytes a write to setgroups must stay below.
const SETGROUPS_TEXT_LIMIT: usize = 8;

/// Sets a map of `ns` once and for all (`proc_uid_map_write`, `map_write`).
///
/// # Errors
/// EPERM: the initial user namespace; an opener from elsewhere than the namespace or its parent; a map already set; no
/// CAP_SYS_ADMIN; ids the opener and the writer may not map, or that the parent does not map. EINVAL: not at the start
/// of the file, too long, or those of [`parse_map`].
pub fn write_map(k: &mut Kernel, ns: UserNsId, kind: MapKind, w: &Writing) -> Result<Written> {
    let Some(parent) = k.ns_parent(ns) else {
        bail!(EPERM, "{} is the initial user namespace, its maps are fixed", k.ns_arg(ns));
    };
    check_opener(k, ns, parent, w)?;
    check_extent_of_write(w, MAP_TEXT_LIMIT)?;
    if !k.namespaces[ns].map(kind).is_empty() {
        bail!(EPERM, "this map of {} is set already", k.ns_arg(ns));
    }
    if setid_cap(kind).is_some() && !k.cred_capable(w.opener.rights(), ns, Cap::SYS_ADMIN) {
        bail!(EPERM, "the opener had no CAP_SYS_ADMIN in {}", k.ns_arg(ns));
    }
    let extents = parse_map(w.bytes)?;
    check_permitted(k, ns, parent, kind, &extents, w)?;
    let extents = to_kernel_ids(k, parent, kind, extents)?;
    *k.namespaces[ns].map_mut(kind) = UidGidMap::new(extents);
    // Owners of any task's files may have a name in the namespace now.
    k.changes.note(Change::AllAttrs);
    Ok(Written::advancing(w.bytes.len()))
}

/// The file was opened from the namespace itself or from its parent.
fn check_opener(k: &Kernel, ns: UserNsId, parent: UserNsId, w: &Writing) -> Result<()> {
    let opener_ns = w.opener.user_ns;
    if opener_ns != ns && opener_ns != parent {
        bail!(
            EPERM,
            "opened in {}, which is neither {} nor its parent {}",
            k.ns_arg(opener_ns),
            k.ns_arg(ns),
            k.ns_arg(parent)
        );
    }
    Ok(())
}

/// One write, at the start of the file, shorter than `limit`.
fn check_extent_of_write(w: &Writing, limit: usize) -> Result<()> {
    if w.pos != 0 {
        bail!(EINVAL, "the file position is {}, not 0", w.pos);
    }
    if w.bytes.len() >= limit {
        bail!(EINVAL, "{} bytes, at most {} are possible", w.bytes.len(), limit - 1);
    }
    Ok(())
}

/// What lets a task map any id of the parent; project ids need nothing.
fn setid_cap(kind: MapKind) -> Option<Cap> {
    match kind {
        MapKind::Uid => Some(Cap::SETUID),
        MapKind::Gid => Some(Cap::SETGID),
        MapKind::Projid => None,
    }
}

/// May these ids of the parent be mapped? (`new_idmap_permitted`)
fn check_permitted(
    k: &Kernel,
    ns: UserNsId,
    parent: UserNsId,
    kind: MapKind,
    extents: &[Extent],
    w: &Writing,
) -> Result<()> {
    let Some(cap) = setid_cap(kind) else { return Ok(()) };
    if kind == MapKind::Uid && extents.iter().any(|e| e.lower_first == 0) {
        check_root_map(k, ns, parent, w)?;
    }
    if is_own_id(k, ns, parent, kind, extents, w) {
        return Ok(());
    }
    if !k.ns_capable(w.task, parent, cap) {
        bail!(
            EPERM,
            "the map has more than the owner's own id, and the writer has no {} in {}",
            cap.name(),
            k.ns_arg(parent)
        );
    }
    if !k.cred_capable(w.opener.rights(), parent, cap) {
        bail!(
            EPERM,
            "the map has more than the owner's own id, and the opener had no {} in {}",
            cap.name(),
            k.ns_arg(parent)
        );
    }
    Ok(())
}

/// Mapping id 0 of the parent takes CAP_SETFCAP there: of the creator when written from inside, else of the opener
/// (`verify_root_map`).
fn check_root_map(k: &Kernel, ns: UserNsId, parent: UserNsId, w: &Writing) -> Result<()> {
    if w.opener.user_ns == ns {
        if !k.namespaces[ns].parent_could_setfcap {
            bail!(EPERM, "maps id 0 of {}, and the creator of {} had no CAP_SETFCAP", k.ns_arg(parent), k.ns_arg(ns));
        }
    } else if !k.cred_capable(w.opener.rights(), parent, Cap::SETFCAP) {
        bail!(EPERM, "maps id 0 and the opener had no CAP_SETFCAP in {}", k.ns_arg(parent));
    }
    Ok(())
}

/// The owner of the namespace maps nothing but its own effective id; its group only once setgroups is denied.
fn is_own_id(k: &Kernel, ns: UserNsId, parent: UserNsId, kind: MapKind, extents: &[Extent], w: &Writing) -> bool {
    let [Extent { lower_first, count: 1, .. }] = *extents else { return false };
    let (user, parent) = (&k.namespaces[ns], &k.namespaces[parent]);
    let ids = &w.opener.ids;
    if user.owner != ids.euid {
        return false;
    }
    match kind {
        MapKind::Uid => parent.make_kuid(lower_first) == Some(ids.euid),
        MapKind::Gid => !user.setgroups_allowed && parent.make_kgid(lower_first) == Some(ids.egid),
        MapKind::Projid => false,
    }
}

/// Outside ids as kernel ids; each range has to lie inside one extent of the parent.
fn to_kernel_ids(k: &Kernel, parent: UserNsId, kind: MapKind, mut extents: Vec<Extent>) -> Result<Vec<Extent>> {
    let map = k.namespaces[parent].map(kind);
    for extent in &mut extents {
        let Some(lower_first) = map.map_id_range_down(extent.lower_first, extent.count) else {
            bail!(
                EPERM,
                "no one extent of {} maps {} ids from {} on",
                k.ns_arg(parent),
                extent.count,
                extent.lower_first
            );
        };
        extent.lower_first = lower_first;
    }
    Ok(extents)
}

/// Allows or denies setgroups(2) in `ns` (`proc_setgroups_write`).
///
/// # Errors
/// EINVAL: not at the start of the file, 8 bytes or more, neither `allow` nor `deny`; EPERM: allowing what is denied,
/// denying once gid_map is set.
pub fn write_setgroups(k: &mut Kernel, ns: UserNsId, w: &Writing) -> Result<Written> {
    check_extent_of_write(w, SETGROUPS_TEXT_LIMIT)?;
    let Some(allow) = parse_setgroups(w.bytes) else {
        bail!(EINVAL, "neither allow nor deny");
    };
    let user = &k.namespaces[ns];
    if allow && !user.setgroups_allowed {
        bail!(EPERM, "setgroups is denied in {} for good", k.ns_arg(ns));
    }
    if !allow && !user.gid_map.is_empty() {
        bail!(EPERM, "the gid_map of {} is set already", k.ns_arg(ns));
    }
    k.namespaces[ns].setgroups_allowed = allow;
    Ok(Written::advancing(w.bytes.len()))
}

/// `allow` or `deny`, nothing before it and only white space behind.
fn parse_setgroups(text: &[u8]) -> Option<bool> {
    let (allow, rest) = match text.strip_prefix(b"allow") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix(b"deny")?),
    };
    let mut scan = Scanner::new(rest);
    scan.skip_spaces();
    scan.is_at_end().then_some(allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setgroups_takes_two_words_and_trailing_space() {
        assert_eq!(parse_setgroups(b"allow"), Some(true));
        assert_eq!(parse_setgroups(b"deny\n\n\n"), Some(false));
        for text in [&b""[..], b"den", b"Deny", b" deny", b"denyx", b"allowdeny"] {
            assert_eq!(parse_setgroups(text), None);
        }
    }
}
