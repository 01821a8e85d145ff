//! chown(2) (`fs/open.c`, `fs/attr.c`).

use super::namei::Owner;
use super::{Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::cgroup::Owner as CgroupOwner;
use crate::kernel::cred::{Kgid, Kuid};
use crate::kernel::node::Backing;
use crate::kernel::{Current, Kernel};
use crate::tree::{self, Viewer};

/// chown(2), ids of the caller's user namespace; `None` leaves one as it is.
///
/// # Errors
/// ENOENT: it is gone; EINVAL: an id without a mapping; EROFS; EPERM: not the caller's to give, or a file of `proc`.
pub(super) fn sys_chown(k: &mut Kernel, me: Current, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Outcome {
    let node = tree::resolve_file(k, *me, path, true)?;
    tree::check_writable(k, node)?;
    let user = &k.namespaces[k.cred_of(*me).user_ns.id()];
    let uid = uid.map(|uid| user.make_kuid(uid).ok_or_else(|| no_mapping(uid))).transpose()?;
    let gid = gid.map(|gid| user.make_kgid(gid).ok_or_else(|| no_mapping(gid))).transpose()?;
    let attr = tree::attr(k, Viewer(*me), node)?;
    let owner = (attr.uid, attr.gid);
    let backing = node.place.backing();
    if backing == Backing::View {
        bail!(EPERM, "this file system keeps its owners");
    }
    check_chown(k, me, owner, uid, gid)?;
    let new = (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1));
    let cgroup_owner = CgroupOwner { uid: new.0, gid: new.1 };
    match backing {
        Backing::Dentry(id) => (k.vfs.dentries[id].uid, k.vfs.dentries[id].gid) = new,
        Backing::Mqueue(id) => (k.mqueues[id].uid, k.mqueues[id].gid) = new,
        Backing::Cgroup(id) => *k.cgroup.table[id].owner_mut(None) = cgroup_owner,
        Backing::CgroupFile(id, file) => *k.cgroup.table[id].owner_mut(Some(file)) = cgroup_owner,
        Backing::View => {}
    }
    Ok(Return::DONE)
}

fn no_mapping(id: u32) -> crate::errno::Error {
    crate::err!(EINVAL, "id {} has no mapping in the caller's user namespace", id)
}

/// `chown_ok`, `chgrp_ok`
fn check_chown(k: &Kernel, me: Current, owner: Owner, uid: Option<Kuid>, gid: Option<Kgid>) -> Result<()> {
    let cred = k.cred_of(*me);
    let owns = cred.ids.fsuid == owner.0;
    let keeps_uid = uid.is_none_or(|uid| owns && uid == owner.0);
    let is_member = |gid: Kgid| gid == owner.1 || cred.ids.fsgid == gid || cred.groups.contains(&gid);
    let keeps_gid = gid.is_none_or(|gid| owns && is_member(gid));
    let may_keep = keeps_uid && keeps_gid;
    if !may_keep && !k.capable_wrt_inode_uidgid(cred.rights(), owner, Cap::CHOWN) {
        bail!(EPERM, "CAP_CHOWN missing in a user namespace that maps the owners of the file");
    }
    Ok(())
}
