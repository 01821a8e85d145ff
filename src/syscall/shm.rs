//! shmget(2), shmat(2), shmdt(2), shmctl(2) (`ipc/shm.c`).

use super::ipc::{self, IpcCtl, IpcFlags, numbers};
use super::kthread::check_has_mm;
use super::outcome::{ShmInfo, ShmUsage, ShmidDs};
use super::{Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::ipc::Perm;
use crate::kernel::ipc::shm::{AttachAt, SHM_LOCKED, ShmFile, ShmFlags, ShmSegment, TASK_SIZE, pages};
use crate::kernel::{Current, IpcNsId, Kernel, MmId};

/// Pages of memory a lab has; one segment cannot have more (`__vm_enough_memory`).
const TOTAL_PAGES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShmCtl {
    Ipc(IpcCtl),
    Lock,
    Unlock,
}

/// shmget(2)
///
/// # Errors
/// Those of [`ipc::get`]; EINVAL: the size, also of a segment that exists; ENOSPC, ENOMEM: no room.
pub(super) fn sys_shmget(k: &mut Kernel, me: Current, key: i32, size: u64, flags: IpcFlags) -> Outcome {
    let check = |segment: &ShmSegment| {
        if segment.segsz < size {
            bail!(EINVAL, "{} bytes asked for, the segment has {}", size, segment.segsz);
        }
        Ok(())
    };
    ipc::get(k, me, key, flags, check, |k, ns, perm| new_segment(k, me, ns, perm, size))
}

/// `newseg`
fn new_segment(k: &mut Kernel, me: Current, ns: IpcNsId, perm: Perm, size: u64) -> Result<i32> {
    let ipc = k.ipc(ns);
    if size == 0 || size > ipc.shm_ctlmax {
        bail!(EINVAL, "{} bytes, shmmax is {}", size.to_string(), ipc.shm_ctlmax.to_string());
    }
    let numpages = pages(size);
    if numpages == 0 {
        bail!(ENOSPC, "{} bytes are more pages than can be counted", size.to_string());
    }
    match ipc.shm_tot.checked_add(numpages) {
        Some(total) if total <= ipc.shm_ctlall => {}
        _ => bail!(
            ENOSPC,
            "{} pages and {} in use are more than shmall {}",
            numpages,
            ipc.shm_tot,
            ipc.shm_ctlall.to_string()
        ),
    }
    if i64::try_from(size).is_err() {
        bail!(EINVAL, "{} bytes are more than a file can have", size.to_string());
    }
    if numpages > TOTAL_PAGES {
        bail!(ENOMEM, "{} pages are more than the memory, which has {}", numpages, TOTAL_PAGES);
    }
    let ipc = k.ipc_mut(ns);
    ipc.shm_ids.check_room(ipc.shm_ctlmni)?;
    let (ctime, cpid) = (k.real_seconds(), k.hold_tgid(*me));
    let segment = ShmSegment {
        file_key: perm.key,
        perm,
        segsz: size,
        nattch: 0,
        atime: 0,
        dtime: 0,
        ctime,
        cpid: Some(cpid),
        lpid: None,
        creator: Some(*me),
    };
    let ipc = k.ipc_mut(ns);
    ipc.shm_tot += numpages;
    let id = ipc.shm_ids.insert(segment);
    k.tasks[*me].shm_created.push((ns, id));
    Ok(id)
}

/// Maps a segment; the result is its address (`do_shmat`).
///
/// # Errors
/// EINVAL: identifier, address, something else mapped there, a kernel thread; EACCES; ENOMEM: no room.
pub(super) fn sys_shmat(k: &mut Kernel, me: Current, id: i32, addr: u64, flags: ShmFlags) -> Outcome {
    check_has_mm(k, me)?;
    let ns = k.ipc_ns_of(me);
    let (place, size) = k.check_shmat(*me, ns, id, addr, flags)?;
    let mm = k.own_mm(me);
    let addr = match place {
        AttachAt::Anywhere => k.free_range(mm, size),
        AttachAt::Free(addr) | AttachAt::Over(addr) => Some(addr).filter(|addr| addr.saturating_add(size) <= TASK_SIZE),
    };
    let addr = match check_room(k, mm, addr, size, place) {
        Ok(addr) => addr,
        Err(refusal) => {
            // It was counted as attached for a moment, and where that is forced it goes with its last attachment.
            k.shm_try_destroy(ns, id);
            return Err(refusal.into());
        }
    };
    let file = ShmFile { count: 0, ns: k.get_ns(ns), shmid: id, size, readonly: flags.contains(ShmFlags::RDONLY) };
    k.attach_shm(me, file, addr);
    Ok(Return::Address(addr))
}

fn check_room(k: &Kernel, mm: MmId, addr: Option<u64>, size: u64, place: AttachAt) -> Result<u64> {
    let Some(addr) = addr else { bail!(ENOMEM, "no room for {} bytes", size) };
    if let (AttachAt::Free(_), Some(other)) = (place, k.overlaps_of(mm, addr, size).first()) {
        bail!(EINVAL, "the attachment at {} is in the way, and SHM_REMAP is not given", format!("{other:#x}"));
    }
    Ok(addr)
}

/// # Errors
/// EINVAL: nothing is attached there, or a kernel thread.
pub(super) fn sys_shmdt(k: &mut Kernel, me: Current, addr: u64) -> Outcome {
    check_has_mm(k, me)?;
    let attached = k.attached_at(k.own_mm(me), addr);
    if attached.is_empty() {
        bail!(EINVAL, "no attachment starts at {}", format!("{addr:#x}"));
    }
    for start in attached {
        k.detach_shm(me, start);
    }
    Ok(Return::DONE)
}

/// # Errors
/// EINVAL: the identifier, an unmapped id; EACCES: no right to read; EPERM: not the caller's.
pub(super) fn sys_shmctl(k: &mut Kernel, me: Current, id: i32, op: ShmCtl) -> Outcome {
    ipc::check_id(id)?;
    let ns = k.ipc_ns_of(me);
    match op {
        ShmCtl::Ipc(IpcCtl::Info) => return Ok(limits(k, ns)),
        ShmCtl::Ipc(IpcCtl::UsageInfo) => return Ok(usage(k, ns)),
        ShmCtl::Ipc(op @ (IpcCtl::Stat | IpcCtl::StatIndex | IpcCtl::StatAny)) => {
            let segment = ipc::find_for_stat(k, me, id, op)?;
            return Ok(stat(k, me, segment, op));
        }
        ShmCtl::Ipc(IpcCtl::Unknown(command)) => return Err(ipc::unknown_command(command).into()),
        ShmCtl::Ipc(IpcCtl::Set(args)) => {
            let segment: &ShmSegment = ipc::find_for_change(k, me, ns, id)?;
            let perm = ipc::updated_perm(k, me, &segment.perm, &args)?;
            let now = k.real_seconds();
            let segment: &mut ShmSegment = k.ipc_found(ns, id);
            (segment.perm, segment.ctime) = (perm, now);
        }
        ShmCtl::Ipc(IpcCtl::Rmid) => {
            ipc::find_for_change::<ShmSegment>(k, me, ns, id)?;
            k.shm_rmid(ns, id);
        }
        ShmCtl::Lock => {
            check_lock(k, me, ns, id)?;
            k.ipc_found::<ShmSegment>(ns, id).perm.mode |= SHM_LOCKED;
        }
        ShmCtl::Unlock => {
            check_lock(k, me, ns, id)?;
            k.ipc_found::<ShmSegment>(ns, id).perm.mode &= !SHM_LOCKED;
        }
    }
    Ok(Return::DONE)
}

/// `shmctl_do_lock`
fn check_lock(k: &Kernel, me: Current, ns: IpcNsId, id: i32) -> Result<()> {
    let segment: &ShmSegment = k.ipc_object(ns, id)?;
    let owner = k.owner_of(ns);
    let euid = k.cred_of(*me).ids.euid;
    if euid != segment.perm.uid && euid != segment.perm.cuid && !k.ns_capable(*me, owner, Cap::IPC_LOCK) {
        bail!(
            EPERM,
            "kuid {} is neither owner nor creator, and CAP_IPC_LOCK is missing in {}, owner of {}",
            euid.0,
            k.ns_arg(owner),
            k.ns_arg(ns)
        );
    }
    Ok(())
}

fn stat(k: &Kernel, me: Current, segment: &ShmSegment, op: IpcCtl) -> Return {
    let ds = ShmidDs {
        segsz: segment.segsz,
        atime: segment.atime,
        dtime: segment.dtime,
        ctime: segment.ctime,
        cpid: numbers(k, me, segment.cpid.as_ref()),
        lpid: numbers(k, me, segment.lpid.as_ref()),
        nattch: segment.nattch,
    };
    Return::ShmStat(ipc::stat(k, me, &segment.perm, op), ds)
}

/// `struct shminfo`, and the highest index in use.
fn limits(k: &Kernel, ns: IpcNsId) -> Return {
    let ipc = k.ipc(ns);
    let shmmni = u64::from(ipc.shm_ctlmni.unsigned_abs());
    Return::ShmInfo(ShmInfo {
        shmmax: ipc.shm_ctlmax,
        shmmin: 1,
        shmmni,
        shmseg: shmmni,
        shmall: ipc.shm_ctlall,
        max_idx: ipc::max_idx::<ShmSegment>(k, ns),
    })
}

/// `struct shm_info`
fn usage(k: &Kernel, ns: IpcNsId) -> Return {
    let ipc = k.ipc(ns);
    Return::ShmUsage(ShmUsage {
        used_ids: ipc.shm_ids.in_use() as i32,
        shm_tot: ipc.shm_tot,
        max_idx: ipc::max_idx::<ShmSegment>(k, ns),
    })
}
