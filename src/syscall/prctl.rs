//! prctl(2), as far as it touches credentials, names and reaping (`kernel/sys.c`, `security/commoncap.c`).

use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::{Cap, CapSet};
use crate::kernel::cred::{
    SECBIT_KEEP_CAPS, SECBIT_KEEP_CAPS_LOCKED, SECBIT_NO_CAP_AMBIENT_RAISE, SECBITS_KNOWN, SECBITS_LOCKS,
    SECBITS_UNPRIVILEGED,
};
use crate::kernel::signal::SIGNAL_MAX;
use crate::kernel::{Current, Kernel, TaskId};
use crate::syscall::{Outcome, Prctl, Return};

/// prctl(2).
///
/// # Errors
/// EINVAL: an argument the operation does not know; EPERM: a missing capability or a locked bit.
pub fn sys_prctl(k: &mut Kernel, task: Current, op: &Prctl) -> Outcome {
    match *op {
        Prctl::SetName(ref name) => k.set_task_comm(*task, name),
        Prctl::SetChildSubreaper(on) => set_child_subreaper(k, task, on != 0),
        Prctl::SetNoNewPrivs(value) => set_no_new_privs(k, task, value)?,
        Prctl::SetKeepcaps(value) => set_keepcaps(k, task, value)?,
        Prctl::SetDumpable(value) => set_dumpable(k, task, value)?,
        Prctl::GetDumpable => return Ok(Return::Num(i64::from(k.is_dumpable(*task)))),
        Prctl::SetSecurebits(bits) => set_securebits(k, task, bits)?,
        Prctl::GetSecurebits => return Ok(Return::Num(i64::from(k.cred_of(*task).securebits))),
        Prctl::CapbsetDrop(cap) => capbset_drop(k, task, cap)?,
        Prctl::CapbsetRead(cap) => return Ok(Return::Num(i64::from(k.cred_of(*task).bset.has(valid_cap(cap)?)))),
        Prctl::CapAmbientRaise(cap) => cap_ambient_raise(k, task, cap)?,
        Prctl::CapAmbientLower(cap) => {
            let cap = valid_cap(cap)?;
            set_ambient(k, task, |ambient| ambient.without(cap));
        }
        Prctl::CapAmbientClearAll => set_ambient(k, task, |_| CapSet::EMPTY),
        Prctl::SetPdeathsig(signo) => set_pdeathsig(k, task, signo)?,
    }
    Ok(Return::DONE)
}

/// PR_SET_CHILD_SUBREAPER: descendants may have to look for the subreaper from now on
/// (`propagate_has_child_subreaper`). Those below the init of a pid namespace never do: they cannot leave it.
fn set_child_subreaper(k: &mut Kernel, task: Current, on: bool) {
    let signal = k.tasks[*task].signal;
    k.signals[signal].is_child_subreaper = on;
    if !on {
        return;
    }
    let mut parents: Vec<TaskId> = k.threads_of(signal).collect();
    while let Some(parent) = parents.pop() {
        let children: Vec<TaskId> = k.children_of(parent).collect();
        for child in children {
            let signal = k.tasks[child].signal;
            if !k.signals[signal].has_child_subreaper && !is_child_reaper(k, child) {
                k.signals[signal].has_child_subreaper = true;
                parents.extend(k.threads_of(signal));
            }
        }
    }
}

/// Number 1 of its pid namespace.
fn is_child_reaper(k: &Kernel, task: TaskId) -> bool {
    k.task_nr_ns(task, k.task_active_pid_ns(task)) == 1
}

/// PR_SET_NO_NEW_PRIVS; there is no way back.
fn set_no_new_privs(k: &mut Kernel, task: Current, value: u64) -> Result<()> {
    if value != 1 {
        bail!(EINVAL, "no_new_privs can only be set to 1");
    }
    k.tasks[*task].no_new_privs = true;
    Ok(())
}

/// PR_SET_KEEPCAPS
fn set_keepcaps(k: &mut Kernel, task: Current, value: u64) -> Result<()> {
    if value > 1 {
        bail!(EINVAL, "keepcaps is 0 or 1");
    }
    let mut new = k.prepare_creds(*task);
    if new.has_securebit(SECBIT_KEEP_CAPS_LOCKED) {
        bail!(EPERM, "keepcaps is locked by the securebits");
    }
    new.securebits = new.securebits & !SECBIT_KEEP_CAPS | if value == 1 { SECBIT_KEEP_CAPS } else { 0 };
    k.commit_creds(*task, new);
    Ok(())
}

/// PR_SET_DUMPABLE
fn set_dumpable(k: &mut Kernel, task: Current, value: u64) -> Result<()> {
    if value > 1 {
        bail!(EINVAL, "dumpable is 0 or 1");
    }
    k.set_dumpable(*task, value == 1);
    Ok(())
}

/// PR_SET_SECUREBITS
fn set_securebits(k: &mut Kernel, task: Current, bits: u64) -> Result<()> {
    let mut new = k.prepare_creds(*task);
    let old = u64::from(new.securebits);
    let locks = old & u64::from(SECBITS_LOCKS);
    if locks >> 1 & (old ^ bits) != 0 {
        bail!(EPERM, "securebits are {} and a locked one would change", new.securebits);
    }
    if locks & !bits != 0 {
        bail!(EPERM, "securebits are {} and a lock would open", new.securebits);
    }
    let Some(bits) = u32::try_from(bits).ok().filter(|bits| bits & !SECBITS_KNOWN == 0) else {
        bail!(EPERM, "securebits beyond {} are unknown", SECBITS_KNOWN);
    };
    let changed = new.securebits ^ bits;
    let is_harmless = changed != 0 && changed & !SECBITS_UNPRIVILEGED == 0;
    if !is_harmless && !k.ns_capable(*task, new.user_ns, Cap::SETPCAP) {
        bail!(EPERM, "CAP_SETPCAP missing in {}", k.ns_arg(new.user_ns));
    }
    new.securebits = bits;
    k.commit_creds(*task, new);
    Ok(())
}

/// PR_CAPBSET_DROP
fn capbset_drop(k: &mut Kernel, task: Current, cap: u64) -> Result<()> {
    let mut new = k.prepare_creds(*task);
    if !k.ns_capable(*task, new.user_ns, Cap::SETPCAP) {
        bail!(EPERM, "CAP_SETPCAP missing in {}", k.ns_arg(new.user_ns));
    }
    new.bset = new.bset.without(valid_cap(cap)?);
    k.commit_creds(*task, new);
    Ok(())
}

/// PR_CAP_AMBIENT_RAISE
fn cap_ambient_raise(k: &mut Kernel, task: Current, cap: u64) -> Result<()> {
    let cap = valid_cap(cap)?;
    let cred = k.cred_of(*task);
    if !cred.permitted.has(cap) {
        bail!(EPERM, "{} is not permitted", cap.name());
    }
    if !cred.inheritable.has(cap) {
        bail!(EPERM, "{} is not inheritable", cap.name());
    }
    if cred.securebits & SECBIT_NO_CAP_AMBIENT_RAISE != 0 {
        bail!(EPERM, "the securebits forbid raising ambient capabilities");
    }
    set_ambient(k, task, |ambient| ambient.with(cap));
    Ok(())
}

fn set_ambient(k: &mut Kernel, task: Current, change: impl FnOnce(CapSet) -> CapSet) {
    let mut new = k.prepare_creds(*task);
    new.ambient = change(new.ambient);
    k.commit_creds(*task, new);
}

/// PR_SET_PDEATHSIG; 0 is none.
fn set_pdeathsig(k: &mut Kernel, task: Current, signo: u64) -> Result<()> {
    match i32::try_from(signo) {
        Ok(signo) if signo <= SIGNAL_MAX => k.tasks[*task].pdeath_signal = signo,
        _ => bail!(EINVAL, "{} is no signal", signo),
    }
    Ok(())
}

/// # Errors
/// EINVAL
fn valid_cap(number: u64) -> Result<Cap> {
    match Cap::from_number(number) {
        Some(cap) => Ok(cap),
        None => bail!(EINVAL, "{} is no capability", number),
    }
}
