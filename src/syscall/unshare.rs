//! unshare(2) (`ksys_unshare` in `kernel/fork.c`).

use super::{CloneFlags, Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::NsType;
use crate::kernel::nsproxy::NSPROXY_FLAGS;
use crate::kernel::{Current, Kernel, TreeId};

/// Gives the calling thread its own copy of what `flags` name.
///
/// # Errors
/// EINVAL: unknown flags, other threads, shared handlers or memory; then what new namespaces may be refused for: ENOSPC,
/// EPERM, EINVAL.
pub fn sys_unshare(k: &mut Kernel, me: Current, flags: u64) -> Outcome {
    let flags = implied(CloneFlags::from_bits_retain(flags));
    check_flags(k, me, flags)?;
    let new_user = flags.contains(CloneFlags::NEWUSER);
    if new_user {
        k.check_create_user_ns(*me)?;
    }
    let asked = flags.bits() & NSPROXY_FLAGS;
    let owner = (!new_user).then(|| k.cred_of(*me).user_ns.id());
    if let (Some(owner), true) = (owner, asked != 0) {
        k.check_admin(*me, owner)?;
    }
    k.check_new_namespaces(me, asked, owner)?;
    commit(k, me, flags);
    Ok(Return::DONE)
}

/// Flags that ask for more than their name says.
fn implied(mut flags: CloneFlags) -> CloneFlags {
    if flags.contains(CloneFlags::NEWUSER) {
        flags |= CloneFlags::THREAD | CloneFlags::FS;
    }
    if flags.contains(CloneFlags::VM) {
        flags |= CloneFlags::SIGHAND;
    }
    if flags.contains(CloneFlags::SIGHAND) {
        flags |= CloneFlags::THREAD;
    }
    if flags.contains(CloneFlags::NEWNS) {
        flags |= CloneFlags::FS;
    }
    flags
}

/// `check_unshare_flags`.
fn check_flags(k: &Kernel, me: Current, flags: CloneFlags) -> Result<()> {
    use CloneFlags as F;
    let known = (F::THREAD | F::FS | F::SIGHAND | F::VM | F::FILES | F::SYSVSEM | F::NEWUSER).bits() | NSPROXY_FLAGS;
    let unknown = flags.bits() & !known;
    if unknown != 0 {
        bail!(EINVAL, "flags {} cannot be unshared", format!("{unknown:#x}"));
    }
    if flags.contains(F::THREAD) && k.is_multithreaded(*me) {
        bail!(EINVAL, "the process has other threads");
    }
    if flags.contains(F::SIGHAND) && k.sighand_of(*me).count > 1 {
        bail!(EINVAL, "signal handlers are shared with another process (CLONE_SIGHAND)");
    }
    if flags.contains(F::VM) && k.is_mm_shared(*me) {
        bail!(EINVAL, "memory is shared with another process (CLONE_VM)");
    }
    Ok(())
}

fn commit(k: &mut Kernel, me: Current, flags: CloneFlags) {
    let cred = flags.contains(CloneFlags::NEWUSER).then(|| {
        let user_ns = k.create_user_ns(me);
        (k.prepare_creds(*me).in_user_ns(user_ns.id()), user_ns)
    });
    let owner = cred.as_ref().map_or_else(|| k.cred_of(*me).user_ns.id(), |(_, user_ns)| user_ns.id());
    let asked = flags.bits() & NSPROXY_FLAGS;
    let old_mnt_ns = k.current_nsproxy(me).mnt_ns();
    let old_tree = k.tree_of(old_mnt_ns);
    let new_nsproxy = (asked != 0).then(|| k.create_new_namespaces(me, asked, owner));
    // Sets and segments of the old namespace cannot be reached from the new one: let go of them first.
    let new_ipc = asked & NsType::Ipc.ops().clone_flag != 0;
    if new_ipc || flags.contains(CloneFlags::SYSVSEM) {
        k.exit_sem(*me);
    }
    if new_ipc {
        k.exit_shm(*me);
    }
    if let Some(nsproxy) = new_nsproxy {
        k.switch_task_namespaces(me, nsproxy);
    }
    if flags.contains(CloneFlags::FS) && k.is_fs_shared(*me) {
        let copy = k.copy_fs_struct(me);
        let old = std::mem::replace(&mut k.live_mut(me).fs, copy);
        k.put_fs(old);
    }
    if flags.contains(CloneFlags::NEWNS) {
        enter_copied_tree(k, me, old_tree);
    }
    if flags.contains(CloneFlags::FILES) {
        k.unshare_files(me);
    }
    if let Some((cred, user_ns)) = cred {
        k.commit_creds(*me, cred);
        k.put_ns(user_ns);
    }
}

/// Root and working directory move into the new mount namespace's copy of the `old` tree.
fn enter_copied_tree(k: &mut Kernel, me: Current, old: TreeId) {
    let fs = k.live(me).fs.id();
    let ns = k.current_nsproxy(me).mnt_ns();
    k.enter_copied_tree(fs, old, k.tree_of(ns));
}
