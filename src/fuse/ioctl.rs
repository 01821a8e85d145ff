//! The ioctls of namespace files whose answers FUSE can carry (`fs/nsfs.c`, `include/uapi/linux/nsfs.h`).

use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::{Namespace, NsType};

const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;
const NS_GET_MNTNS_ID: u32 = 0x8008_b705;
const NS_GET_ID: u32 = 0x8008_b70d;

/// The value ioctl(2) returns, or what it writes to where its argument points.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Value(i32),
    Output(u64),
}

/// # Errors
/// EPERM: the answer would be a new descriptor; it is what Linux says when the related namespace is outside the
/// caller's view. EINVAL: not for this kind, or (NS_GET_OWNER_UID) the answer goes where FUSE cannot write. ENOTTY:
/// no such request.
pub(super) fn answer(ns: &Namespace, request: u32) -> Result<Answer> {
    match request {
        NS_GET_NSTYPE => Ok(Answer::Value(i32::try_from(ns.ops().clone_flag).expect("CLONE_NEW flags have 31 bits"))),
        NS_GET_MNTNS_ID if ns.ns_type() != NsType::Mnt => bail!(EINVAL, "{} is no mount namespace", ns.arg()),
        NS_GET_MNTNS_ID | NS_GET_ID => Ok(Answer::Output(ns.common.ns_id)),
        NS_GET_USERNS | NS_GET_PARENT => bail!(EPERM, "a FUSE file cannot hand out a descriptor"),
        NS_GET_OWNER_UID => bail!(EINVAL, "a FUSE file is not told where to put the answer"),
        _ => bail!(ENOTTY, "request {} is unknown to namespace files", request),
    }
}
