//! setuid(2) and its family (`kernel/sys.c`, `security/commoncap.c`). Ids are those of the caller's user namespace;
//! `None` stands for -1.

use crate::errno::Result;
use crate::kernel::capability::{Cap, CapSet};
use crate::kernel::cred::{Ids, Kgid, Kuid, NewCred, OVERFLOW_ID, SECBIT_KEEP_CAPS, SECBIT_NO_SETUID_FIXUP};
use crate::kernel::ns::UserNamespace;
use crate::kernel::{Current, Kernel};
use crate::syscall::{Outcome, Return};
use crate::{bail, err};

/// The four ids of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quad<T> {
    real: T,
    effective: T,
    saved: T,
    fs: T,
}

/// What a rule makes of the old ids: `None` when the call does nothing, or what an unprivileged caller may choose from.
type Choice<T> = std::result::Result<Option<Quad<T>>, &'static str>;

impl<T: Copy + PartialEq> Quad<T> {
    /// setuid, setgid
    fn set(self, id: T, privileged: bool) -> Choice<T> {
        if privileged {
            return Ok(Some(Quad { real: id, effective: id, saved: id, fs: id }));
        }
        if id != self.real && id != self.saved {
            return Err("the real and the saved id");
        }
        Ok(Some(Quad { effective: id, fs: id, ..self }))
    }

    /// setreuid, setregid: the saved id follows the effective one unless only that was set, to the old real one.
    fn set_re(self, real: Option<T>, effective: Option<T>, privileged: bool) -> Choice<T> {
        if real.is_some_and(|id| id != self.real && id != self.effective) && !privileged {
            return Err("for the real id, the real and the effective one");
        }
        if effective.is_some_and(|id| id != self.real && id != self.effective && id != self.saved) && !privileged {
            return Err("for the effective id, the real, the effective and the saved one");
        }
        let follows = real.is_some() || effective.is_some_and(|id| id != self.real);
        let effective = effective.unwrap_or(self.effective);
        Ok(Some(Quad {
            real: real.unwrap_or(self.real),
            effective,
            saved: if follows { effective } else { self.saved },
            fs: effective,
        }))
    }

    /// setresuid, setresgid
    fn set_res(self, ids: [Option<T>; 3], privileged: bool) -> Choice<T> {
        let [real, effective, saved] = ids;
        let keeps = |new: Option<T>, old: T| new.is_none_or(|id| id == old);
        if keeps(real, self.real)
            && keeps(effective, self.effective)
            && keeps(effective, self.fs)
            && keeps(saved, self.saved)
        {
            return Ok(None);
        }
        let own = [self.real, self.effective, self.saved];
        if ids.into_iter().flatten().any(|id| !own.contains(&id)) && !privileged {
            return Err("the real, the effective and the saved id");
        }
        let effective = effective.unwrap_or(self.effective);
        Ok(Some(Quad { real: real.unwrap_or(self.real), effective, saved: saved.unwrap_or(self.saved), fs: effective }))
    }
}

/// What differs between user and group ids.
trait IdKind: Copy + PartialEq {
    /// How a reason calls such an id.
    const WORD: &'static str;
    /// Lets a task take any mapped id.
    const CAP: Cap;
    fn from_inside(ns: &UserNamespace, id: u32) -> Option<Self>;
    fn to_inside(self, ns: &UserNamespace) -> Option<u32>;
    fn quad(ids: &Ids) -> Quad<Self>;
    fn set_quad(ids: &mut Ids, quad: Quad<Self>);
    /// Commits a change by any call but setfsuid and setfsgid.
    fn commit(k: &mut Kernel, task: Current, old: &NewCred, new: NewCred);
    /// Capabilities after setfsuid or setfsgid.
    fn fix_fs_caps(old: &NewCred, new: &mut NewCred, root: Option<Kuid>);
}

impl IdKind for Kuid {
    const WORD: &'static str = "uid";
    const CAP: Cap = Cap::SETUID;

    fn from_inside(ns: &UserNamespace, id: u32) -> Option<Kuid> {
        ns.make_kuid(id)
    }
    fn to_inside(self, ns: &UserNamespace) -> Option<u32> {
        ns.from_kuid(self)
    }
    fn quad(ids: &Ids) -> Quad<Kuid> {
        Quad { real: ids.uid, effective: ids.euid, saved: ids.suid, fs: ids.fsuid }
    }
    fn set_quad(ids: &mut Ids, quad: Quad<Kuid>) {
        (ids.uid, ids.euid, ids.suid, ids.fsuid) = (quad.real, quad.effective, quad.saved, quad.fs);
    }
    fn commit(k: &mut Kernel, task: Current, old: &NewCred, mut new: NewCred) {
        fix_setuid_caps(old, &mut new, k.root_of(old.user_ns));
        k.commit_user_creds(*task, new);
    }
    fn fix_fs_caps(old: &NewCred, new: &mut NewCred, root: Option<Kuid>) {
        fix_setfsuid_caps(old, new, root);
    }
}

impl IdKind for Kgid {
    const WORD: &'static str = "gid";
    const CAP: Cap = Cap::SETGID;

    fn from_inside(ns: &UserNamespace, id: u32) -> Option<Kgid> {
        ns.make_kgid(id)
    }
    fn to_inside(self, ns: &UserNamespace) -> Option<u32> {
        ns.from_kgid(self)
    }
    fn quad(ids: &Ids) -> Quad<Kgid> {
        Quad { real: ids.gid, effective: ids.egid, saved: ids.sgid, fs: ids.fsgid }
    }
    fn set_quad(ids: &mut Ids, quad: Quad<Kgid>) {
        (ids.gid, ids.egid, ids.sgid, ids.fsgid) = (quad.real, quad.effective, quad.saved, quad.fs);
    }
    fn commit(k: &mut Kernel, task: Current, _old: &NewCred, new: NewCred) {
        k.commit_creds(*task, new);
    }
    fn fix_fs_caps(_old: &NewCred, _new: &mut NewCred, _root: Option<Kuid>) {}
}

/// Capabilities after a change of uids (`cap_emulate_setxuid`): without `root` among the ids any more they go, an
/// effective id that leaves `root` drops the effective ones, one that becomes `root` gets all that is permitted.
fn fix_setuid_caps(old: &NewCred, new: &mut NewCred, root: Option<Kuid>) {
    if new.has_securebit(SECBIT_NO_SETUID_FIXUP) {
        return;
    }
    let is_root = |id: Kuid| root == Some(id);
    let has_root = |ids: &Ids| is_root(ids.uid) || is_root(ids.euid) || is_root(ids.suid);
    if has_root(&old.ids) && !has_root(&new.ids) {
        if !new.has_securebit(SECBIT_KEEP_CAPS) {
            new.permitted = CapSet::EMPTY;
            new.effective = CapSet::EMPTY;
        }
        new.ambient = CapSet::EMPTY;
    }
    match (is_root(old.ids.euid), is_root(new.ids.euid)) {
        (true, false) => new.effective = CapSet::EMPTY,
        (false, true) => new.effective = new.permitted,
        (true, true) | (false, false) => {}
    }
}

/// The file system capabilities go when fsuid leaves `root` and come back when it returns (`cap_task_fix_setuid`).
fn fix_setfsuid_caps(old: &NewCred, new: &mut NewCred, root: Option<Kuid>) {
    if new.has_securebit(SECBIT_NO_SETUID_FIXUP) {
        return;
    }
    match (root == Some(old.ids.fsuid), root == Some(new.ids.fsuid)) {
        (true, false) => new.effective = new.effective & !CapSet::FS,
        (false, true) => new.effective = new.effective | (new.permitted & CapSet::FS),
        (true, true) | (false, false) => {}
    }
}

/// The kernel id of an argument; -1 stays `None`.
///
/// # Errors
/// EINVAL: not mapped.
fn kernel_id<T: IdKind>(k: &Kernel, task: Current, id: Option<u32>) -> Result<Option<T>> {
    let Some(id) = id else { return Ok(None) };
    let ns = k.cred_of(*task).user_ns.id();
    let Some(mapped) = T::from_inside(&k.namespaces[ns], id) else {
        bail!(EINVAL, "{} {} has no mapping in {}", T::WORD, id, k.ns_arg(ns));
    };
    Ok(Some(mapped))
}

/// Changes the ids of one kind by a rule.
///
/// # Errors
/// EPERM: the rule refuses.
fn set_ids<T: IdKind>(k: &mut Kernel, task: Current, rule: impl FnOnce(Quad<T>, bool) -> Choice<T>) -> Outcome {
    let old = k.prepare_creds(*task);
    let privileged = k.ns_capable(*task, old.user_ns, T::CAP);
    let choice = rule(T::quad(&old.ids), privileged).map_err(|allowed| {
        err!(EPERM, "{} missing in {}, without it only {} may be taken", T::CAP.name(), k.ns_arg(old.user_ns), allowed)
    })?;
    if let Some(quad) = choice {
        let mut new = old.clone();
        T::set_quad(&mut new.ids, quad);
        T::commit(k, task, &old, new);
    }
    Ok(Return::DONE)
}

/// setuid, setgid.
fn set_one<T: IdKind>(k: &mut Kernel, task: Current, id: Option<u32>) -> Outcome {
    let Some(id) = kernel_id::<T>(k, task, id)? else {
        bail!(EINVAL, "{} -1 is no id", T::WORD);
    };
    set_ids(k, task, |quad: Quad<T>, privileged| quad.set(id, privileged))
}

/// setreuid, setregid.
fn set_two<T: IdKind>(k: &mut Kernel, task: Current, real: Option<u32>, effective: Option<u32>) -> Outcome {
    let (real, effective) = (kernel_id::<T>(k, task, real)?, kernel_id::<T>(k, task, effective)?);
    set_ids(k, task, |quad: Quad<T>, privileged| quad.set_re(real, effective, privileged))
}

/// setresuid, setresgid.
fn set_three<T: IdKind>(k: &mut Kernel, task: Current, ids: [Option<u32>; 3]) -> Outcome {
    let [real, effective, saved] = ids.map(|id| kernel_id::<T>(k, task, id));
    let ids = [real?, effective?, saved?];
    set_ids(k, task, |quad: Quad<T>, privileged| quad.set_res(ids, privileged))
}

/// setfsuid, setfsgid: the old id, whether the call did anything or not.
fn set_fs<T: IdKind>(k: &mut Kernel, task: Current, id: Option<u32>) -> Outcome {
    let old = k.prepare_creds(*task);
    let ns = &k.namespaces[old.user_ns];
    let quad = T::quad(&old.ids);
    let result = Ok(Return::Num(i64::from(quad.fs.to_inside(ns).unwrap_or(OVERFLOW_ID))));
    let Some(id) = id.and_then(|id| T::from_inside(ns, id)).filter(|&id| id != quad.fs) else { return result };
    if [quad.real, quad.effective, quad.saved].contains(&id) || k.ns_capable(*task, old.user_ns, T::CAP) {
        let mut new = old.clone();
        T::set_quad(&mut new.ids, Quad { fs: id, ..quad });
        T::fix_fs_caps(&old, &mut new, k.root_of(old.user_ns));
        k.commit_creds(*task, new);
    }
    result
}

/// setuid(2).
///
/// # Errors
/// EINVAL: -1 or not mapped; EPERM: without CAP_SETUID, other than the real and the saved uid.
pub fn sys_setuid(k: &mut Kernel, task: Current, uid: Option<u32>) -> Outcome {
    set_one::<Kuid>(k, task, uid)
}

/// setgid(2).
///
/// # Errors
/// As [`sys_setuid`], of CAP_SETGID.
pub fn sys_setgid(k: &mut Kernel, task: Current, gid: Option<u32>) -> Outcome {
    set_one::<Kgid>(k, task, gid)
}

/// setreuid(2).
///
/// # Errors
/// EINVAL: not mapped; EPERM: without CAP_SETUID, a real uid other than real or effective, an effective one other than
/// real, effective or saved.
pub fn sys_setreuid(k: &mut Kernel, task: Current, ruid: Option<u32>, euid: Option<u32>) -> Outcome {
    set_two::<Kuid>(k, task, ruid, euid)
}

/// setregid(2).
///
/// # Errors
/// As [`sys_setreuid`], of CAP_SETGID.
pub fn sys_setregid(k: &mut Kernel, task: Current, rgid: Option<u32>, egid: Option<u32>) -> Outcome {
    set_two::<Kgid>(k, task, rgid, egid)
}

/// setresuid(2): real, effective and saved uid.
///
/// # Errors
/// EINVAL: not mapped; EPERM: without CAP_SETUID, other than one of the old three.
pub fn sys_setresuid(k: &mut Kernel, task: Current, uids: [Option<u32>; 3]) -> Outcome {
    set_three::<Kuid>(k, task, uids)
}

/// setresgid(2): real, effective and saved gid.
///
/// # Errors
/// As [`sys_setresuid`], of CAP_SETGID.
pub fn sys_setresgid(k: &mut Kernel, task: Current, gids: [Option<u32>; 3]) -> Outcome {
    set_three::<Kgid>(k, task, gids)
}

/// setfsuid(2). Never fails; the result is the old fsuid.
pub fn sys_setfsuid(k: &mut Kernel, task: Current, uid: Option<u32>) -> Outcome {
    set_fs::<Kuid>(k, task, uid)
}

/// setfsgid(2). Never fails; the result is the old fsgid.
pub fn sys_setfsgid(k: &mut Kernel, task: Current, gid: Option<u32>) -> Outcome {
    set_fs::<Kgid>(k, task, gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Quad<u32> = Quad { real: 1000, effective: 1001, saved: 1002, fs: 1001 };

    fn quad(real: u32, effective: u32, saved: u32) -> Choice<u32> {
        Ok(Some(Quad { real, effective, saved, fs: effective }))
    }

    #[test]
    fn setuid_without_privilege_takes_the_real_and_the_saved_id() {
        assert_eq!(OLD.set(1002, false), quad(1000, 1002, 1002));
        assert!(OLD.set(1001, false).is_err());
        assert_eq!(OLD.set(5, true), quad(5, 5, 5));
    }

    #[test]
    fn setreuid_without_privilege_takes_no_saved_id_for_the_real_one() {
        assert!(OLD.set_re(Some(1002), None, false).is_err());
        assert_eq!(OLD.set_re(None, Some(1002), false), quad(1000, 1002, 1002));
    }

    #[test]
    fn the_saved_id_follows_unless_only_the_effective_one_was_set_to_the_real_one() {
        assert_eq!(OLD.set_re(Some(1001), None, false), quad(1001, 1001, 1001));
        assert_eq!(OLD.set_re(None, Some(1000), false), quad(1000, 1000, 1002));
        assert_eq!(OLD.set_re(None, Some(1001), false), quad(1000, 1001, 1001));
    }

    #[test]
    fn setresuid_swaps_freely_and_may_do_nothing() {
        assert_eq!(OLD.set_res([Some(1002), Some(1000), Some(1001)], false), quad(1002, 1000, 1001));
        assert!(OLD.set_res([None, None, Some(0)], false).is_err());
        let apart = Quad { fs: 7, ..OLD };
        assert_eq!(apart.set_res([None; 3], false), Ok(None));
        assert_eq!(apart.set_res([None, Some(1001), None], false), quad(1000, 1001, 1002));
    }
}
