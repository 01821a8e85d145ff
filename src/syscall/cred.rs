//! setgroups(2) and capset(2) (`kernel/groups.c`, `kernel/capability.c`, `security/commoncap.c`).

use crate::errno::Result;
use crate::kernel::capability::{Cap, CapSet};
use crate::kernel::cred::NewCred;
use crate::kernel::{Current, Kernel};
use crate::syscall::{Outcome, PidArg, Return};
use crate::{bail, err};

/// The most supplementary groups a task may have (`NGROUPS_MAX`).
const NGROUPS_MAX: usize = 65536;

/// setgroups(2).
///
/// # Errors
/// EPERM: no CAP_SETGID, no gid_map yet, or setgroups denied in the user namespace; EINVAL: too many, or not mapped.
pub fn sys_setgroups(k: &mut Kernel, task: Current, groups: &[u32]) -> Outcome {
    let mut new = k.prepare_creds(*task);
    let ns_name = k.ns_arg(new.user_ns);
    let ns = &k.namespaces[new.user_ns];
    if !k.ns_capable(*task, new.user_ns, Cap::SETGID) {
        bail!(EPERM, "CAP_SETGID missing in {}", ns_name);
    }
    if ns.gid_map.is_empty() {
        bail!(EPERM, "{} has no gid_map yet", ns_name);
    }
    if !ns.setgroups_allowed {
        bail!(EPERM, "setgroups is denied in {}", ns_name);
    }
    if groups.len() > NGROUPS_MAX {
        bail!(EINVAL, "{} groups, at most {} are possible", groups.len(), NGROUPS_MAX);
    }
    let mut kgids = Vec::with_capacity(groups.len());
    for &gid in groups {
        kgids.push(
            ns.make_kgid(gid).ok_or_else(|| err!(EINVAL, "gid {} has no mapping in {}", gid, k.ns_arg(new.user_ns)))?,
        );
    }
    kgids.sort_unstable();
    new.groups = kgids.into();
    k.commit_creds(*task, new);
    Ok(Return::DONE)
}

/// capset(2), sets in the order effective, permitted, inheritable; a missing set stays as it is.
///
/// # Errors
/// EPERM: another task than the caller, or a set that goes beyond what it may hold.
pub fn sys_capset(k: &mut Kernel, task: Current, pid: PidArg, sets: [Option<u64>; 3]) -> Outcome {
    if pid.number() != 0 && pid.find_task(k, task) != Some(*task) {
        bail!(EPERM, "pid {} is not the caller, who alone changes its capabilities", pid.number());
    }
    let [effective, permitted, inheritable] = sets;
    let old = k.prepare_creds(*task);
    let given = |bits: Option<u64>, old: CapSet| bits.map_or(old, CapSet::from_bits_truncate);
    let new = NewCred {
        effective: given(effective, old.effective),
        permitted: given(permitted, old.permitted),
        inheritable: given(inheritable, old.inheritable),
        ..old.clone()
    };
    let has_setpcap = k.ns_capable(*task, old.user_ns, Cap::SETPCAP);
    let new = checked_capset(&old, new, has_setpcap)?;
    k.commit_creds(*task, new);
    Ok(Return::DONE)
}

/// The rules of `cap_capset`, in order; ambient keeps what is still both permitted and inheritable.
fn checked_capset(old: &NewCred, new: NewCred, has_setpcap: bool) -> Result<NewCred> {
    let within = |set: CapSet, limit: CapSet, why: &'static str| match set.first_beyond(limit) {
        Some(cap) => Err(err!(EPERM, "{} {}", cap.name(), why)),
        None => Ok(()),
    };
    if !has_setpcap {
        let limit = old.inheritable | old.permitted;
        within(new.inheritable, limit, "was neither inheritable nor permitted and CAP_SETPCAP is missing")?;
    }
    within(new.inheritable, old.inheritable | old.bset, "was not inheritable and is not in the bounding set")?;
    within(new.permitted, old.permitted, "was not permitted")?;
    within(new.effective, new.permitted, "would be effective but not permitted")?;
    Ok(NewCred { ambient: new.ambient & new.permitted & new.inheritable, ..new })
}
