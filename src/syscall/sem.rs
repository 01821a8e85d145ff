//! semget(2), semop(2), semctl(2) (`ipc/sem.c`).

use super::ipc::{self, IpcCtl, IpcFlags, numbers};
use super::outcome::{SemInfo, SemidDs, Stop, WaitFor};
use super::{Outcome, Return};
use crate::errno::Result;
use crate::kernel::ipc::sem::{Adjustments, SEMAEM, SEMVMX, Sem, SemFlags, SemOp, SemSet, SemopOutcome};
use crate::kernel::ipc::{ACCESS_READ, ACCESS_WRITE, Perm};
use crate::kernel::waiting::{Waited, Wanted};
use crate::kernel::{Current, IpcNsId, Kernel};
use crate::{bail, err};

/// Constants of IPC_INFO (`include/uapi/linux/sem.h`).
const SEMMAP: i32 = 1_024_000_000;
const SEMMNU: i32 = 1_024_000_000;
const SEMUME: i32 = 500;
const SEMUSZ: i32 = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SemCtl {
    Ipc(IpcCtl),
    Setval { num: i32, value: i32 },
    Get { num: i32, what: SemGet },
    Getall,
    Setall(Vec<i32>),
}

/// What GETVAL and its like tell of one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemGet {
    Value,
    Pid,
    /// How many programs wait for it to grow. Tasks that are no programs never wait.
    Growing,
    /// How many wait for it to be 0.
    Zero,
}

/// # Errors
/// EINVAL: the number of semaphores; those of [`ipc::get`]; ENOSPC.
pub(super) fn sys_semget(k: &mut Kernel, me: Current, key: i32, nsems: i32, flags: IpcFlags) -> Outcome {
    let semmsl = k.ipc(k.ipc_ns_of(me)).sem_ctls[0];
    if nsems < 0 || nsems > semmsl {
        bail!(EINVAL, "{} semaphores, SEMMSL is {}", nsems, semmsl);
    }
    let check = |set: &SemSet| {
        if nsems as usize > set.sems.len() {
            bail!(EINVAL, "{} semaphores asked for, the set has {}", nsems, set.sems.len());
        }
        Ok(())
    };
    ipc::get(k, me, key, flags, check, |k, ns, perm| new_set(k, ns, perm, nsems))
}

/// `newary`
fn new_set(k: &mut Kernel, ns: IpcNsId, perm: Perm, nsems: i32) -> Result<i32> {
    let ctime = k.real_seconds();
    let ipc = k.ipc_mut(ns);
    let [_, semmns, _, semmni] = ipc.sem_ctls;
    if nsems == 0 {
        bail!(EINVAL, "a set needs at least one semaphore");
    }
    if ipc.used_sems.saturating_add(nsems) > semmns {
        bail!(ENOSPC, "{} semaphores are in use, SEMMNS is {}", ipc.used_sems, semmns);
    }
    ipc.sem_ids.check_room(semmni)?;
    ipc.used_sems += nsems;
    let sems = std::iter::repeat_with(Sem::default).take(nsems as usize).collect();
    Ok(ipc.sem_ids.insert(SemSet { perm, otime: 0, ctime, sems }))
}

/// All operations or none (`__do_semtimedop`).
///
/// # Errors
/// E2BIG: more than SEMOPM; EINVAL: none, the identifier; EFBIG: no such semaphore; EACCES; EAGAIN: it would block, with
/// IPC_NOWAIT; ERANGE. Blocks: a value does not allow it.
pub(super) fn sys_semop(k: &mut Kernel, me: Current, id: i32, ops: &[SemOp]) -> Outcome {
    let ns = k.ipc_ns_of(me);
    let semopm = k.ipc(ns).sem_ctls[2];
    if ops.len() > semopm as u32 as usize {
        bail!(E2BIG, "{} operations, SEMOPM is {}", ops.len(), semopm);
    }
    if ops.is_empty() {
        bail!(EINVAL, "no operation");
    }
    ipc::check_id(id)?;
    let undoes = ops.iter().any(|op| op.flags.contains(SemFlags::UNDO));
    if undoes {
        k.ipc_object::<SemSet>(ns, id)?;
        // Made before the checks, kept whatever they say: the end of its user touches the set (`find_alloc_undo`).
        let list = k.undo_list_of(me);
        k.undo_lists[list].sets.entry(id).or_default();
    }
    let set: &SemSet = k.ipc_object(ns, id)?;
    if let Some(op) = ops.iter().find(|op| usize::from(op.num) >= set.sems.len()) {
        bail!(EFBIG, "semaphore {} of a set of {}", u32::from(op.num), set.sems.len());
    }
    let asked = if ops.iter().any(|op| op.delta != 0) { ACCESS_WRITE } else { ACCESS_READ };
    k.check_ipc_access(*me, ns, &set.perm, asked)?;
    let so_far = if undoes { k.adjustments_of(*me, id) } else { Adjustments::new() };
    let (values, adjustments) = match set.perform(ops, &so_far)? {
        SemopOutcome::Done { values, adjustments } => (values, adjustments),
        SemopOutcome::Blocked { op, value } => {
            let now = set.sems[usize::from(op.num)].value;
            return Err(blocked(ns, id, op, value, now));
        }
    };
    if undoes {
        let list = k.undo_list_of(me);
        k.undo_lists[list].sets.insert(id, adjustments);
    }
    for (num, value) in values {
        set_value(k, me, ns, id, num, value);
    }
    k.ipc_found::<SemSet>(ns, id).otime = k.real_seconds();
    k.wake(Waited::Set(ns, id));
    Ok(Return::DONE)
}

/// `value` is what the operations before `op` have made of the value that there is `now`.
fn blocked(ns: IpcNsId, id: i32, op: SemOp, value: i32, now: i32) -> Stop {
    let nowait = op.flags.contains(SemFlags::NOWAIT);
    let wait = if nowait { "IPC_NOWAIT" } else { "the call would block" };
    let (num, delta) = (u32::from(op.num), i32::from(op.delta));
    let why = err!(EAGAIN, "semaphore {} is {}, which does not allow {}: {}", num, value, delta, wait);
    match nowait {
        true => Stop::Failed(why),
        false => {
            let least = now - value - delta;
            let value = if delta == 0 { Wanted::Exactly(least) } else { Wanted::AtLeast(least) };
            Stop::Blocked { on: WaitFor::Semaphore { ns, id, num: op.num, value }, why }
        }
    }
}

/// Sets a value and who did it.
fn set_value(k: &mut Kernel, me: Current, ns: IpcNsId, id: i32, num: u16, value: i32) {
    let pid = k.hold_tgid(*me);
    let sem = &mut k.ipc_found::<SemSet>(ns, id).sems[usize::from(num)];
    sem.value = value;
    let old = sem.pid.replace(pid);
    k.put_pids([old]);
}

/// # Errors
/// ERANGE: a value; EINVAL: identifier, semaphore, number of values, an unmapped id; EACCES, EPERM.
pub(super) fn sys_semctl(k: &mut Kernel, me: Current, id: i32, op: &SemCtl) -> Outcome {
    ipc::check_id(id)?;
    let ns = k.ipc_ns_of(me);
    match op {
        SemCtl::Ipc(op) => sem_ipc_ctl(k, me, ns, id, *op),
        SemCtl::Setval { num, value } => semctl_setval(k, me, ns, id, *num, *value),
        SemCtl::Get { num, what } => {
            let set = readable(k, me, ns, id)?;
            let sem = &set.sems[usize::from(check_num(set, *num)?)];
            Ok(match what {
                SemGet::Value => Return::Num(i64::from(sem.value)),
                SemGet::Pid => Return::Pid(numbers(k, me, sem.pid.as_ref())),
                SemGet::Growing => Return::Num(waiters(k, ns, id, *num, false)),
                SemGet::Zero => Return::Num(waiters(k, ns, id, *num, true)),
            })
        }
        SemCtl::Getall => {
            let values = readable(k, me, ns, id)?.sems.iter().map(|sem| sem.value);
            Ok(Return::SemValues(values.collect()))
        }
        SemCtl::Setall(values) => semctl_setall(k, me, ns, id, values),
    }
}

fn readable(k: &Kernel, me: Current, ns: IpcNsId, id: i32) -> Result<&SemSet> {
    let set: &SemSet = k.ipc_object(ns, id)?;
    k.check_ipc_access(*me, ns, &set.perm, ACCESS_READ)?;
    Ok(set)
}

fn check_num(set: &SemSet, num: i32) -> Result<u16> {
    match u16::try_from(num) {
        Ok(num) if usize::from(num) < set.sems.len() => Ok(num),
        _ => bail!(EINVAL, "semaphore {} of a set of {}", num, set.sems.len()),
    }
}

/// How many programs wait for a semaphore (`count_semcnt`).
fn waiters(k: &Kernel, of: IpcNsId, set: i32, sem: i32, zero: bool) -> i64 {
    let is_meant = |on: &WaitFor| match *on {
        WaitFor::Semaphore { ns, id, num, value } => {
            (ns, id, i32::from(num)) == (of, set, sem) && matches!(value, Wanted::Exactly(_)) == zero
        }
        _ => false,
    };
    k.programs.waiting.count(is_meant) as i64
}

fn check_value(value: i32) -> Result<()> {
    if !(0..=SEMVMX).contains(&value) {
        bail!(ERANGE, "{} is not from 0 to {}", value, SEMVMX);
    }
    Ok(())
}

/// SETVAL: nobody undoes anything on this semaphore any more (`semctl_setval`).
fn semctl_setval(k: &mut Kernel, me: Current, ns: IpcNsId, id: i32, num: i32, value: i32) -> Outcome {
    check_value(value)?;
    let set: &SemSet = k.ipc_object(ns, id)?;
    let num = check_num(set, num)?;
    k.check_ipc_access(*me, ns, &set.perm, ACCESS_WRITE)?;
    k.clear_adjustments(ns, id, Some(num));
    set_value(k, me, ns, id, num, value);
    k.ipc_found::<SemSet>(ns, id).ctime = k.real_seconds();
    k.wake(Waited::Set(ns, id));
    Ok(Return::DONE)
}

fn semctl_setall(k: &mut Kernel, me: Current, ns: IpcNsId, id: i32, values: &[i32]) -> Outcome {
    let set: &SemSet = k.ipc_object(ns, id)?;
    k.check_ipc_access(*me, ns, &set.perm, ACCESS_WRITE)?;
    if values.len() != set.sems.len() {
        bail!(EINVAL, "{} values for a set of {}", values.len(), set.sems.len());
    }
    values.iter().try_for_each(|&value| check_value(value))?;
    k.clear_adjustments(ns, id, None);
    for (num, &value) in (0..).zip(values) {
        set_value(k, me, ns, id, num, value);
    }
    k.ipc_found::<SemSet>(ns, id).ctime = k.real_seconds();
    k.wake(Waited::Set(ns, id));
    Ok(Return::DONE)
}

fn sem_ipc_ctl(k: &mut Kernel, me: Current, ns: IpcNsId, id: i32, op: IpcCtl) -> Outcome {
    match op {
        IpcCtl::Info | IpcCtl::UsageInfo => return Ok(info(k, ns, op)),
        IpcCtl::Stat | IpcCtl::StatIndex | IpcCtl::StatAny => {
            let set: &SemSet = ipc::find_for_stat(k, me, id, op)?;
            let ds = SemidDs { otime: set.otime, ctime: set.ctime, nsems: set.sems.len() as u64 };
            return Ok(Return::SemStat(ipc::stat(k, me, &set.perm, op), ds));
        }
        IpcCtl::Unknown(command) => return Err(ipc::unknown_command(command).into()),
        IpcCtl::Set(args) => {
            let set: &SemSet = ipc::find_for_change(k, me, ns, id)?;
            let perm = ipc::updated_perm(k, me, &set.perm, &args)?;
            let now = k.real_seconds();
            let set: &mut SemSet = k.ipc_found(ns, id);
            (set.perm, set.ctime) = (perm, now);
        }
        IpcCtl::Rmid => {
            ipc::find_for_change::<SemSet>(k, me, ns, id)?;
            k.remove_sem_set(ns, id);
        }
    }
    Ok(Return::DONE)
}

/// `struct seminfo`, and the highest index in use.
fn info(k: &Kernel, ns: IpcNsId, op: IpcCtl) -> Return {
    let ipc = k.ipc(ns);
    let [semmsl, semmns, semopm, semmni] = ipc.sem_ctls;
    let (semusz, semaem) = match op {
        IpcCtl::UsageInfo => (ipc.sem_ids.in_use() as i32, ipc.used_sems),
        _ => (SEMUSZ, SEMAEM),
    };
    Return::SemInfo(SemInfo {
        semmap: SEMMAP,
        semmni,
        semmns,
        semmnu: SEMMNU,
        semmsl,
        semopm,
        semume: SEMUME,
        semusz,
        semvmx: SEMVMX,
        semaem,
        max_idx: ipc::max_idx::<SemSet>(k, ns),
    })
}
