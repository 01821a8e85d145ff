//! System V shared memory: segments, and the attachments of address spaces (`ipc/shm.c`).

use std::collections::BTreeMap;

use super::{ACCESS_EXEC, ACCESS_READ, ACCESS_WRITE, IpcIds, IpcObject, Perm};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::IpcNamespace;
use crate::kernel::pid::Pid;
use crate::kernel::refcount::{Counted, Held};
use crate::kernel::task::Mm;
use crate::kernel::{Current, IpcNsId, Kernel, MmId, ShmFileId, TaskId};

pub const PAGE_SIZE: u64 = 4096;
/// Mode bit of a segment that goes with its last attachment.
pub const SHM_DEST: u16 = 0o1000;
/// Mode bit of a segment that is not swapped out.
pub const SHM_LOCKED: u16 = 0o2000;
/// End of what a process may map (`TASK_SIZE`).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Attachments without an address go below this, downwards.
const MMAP_BASE: u64 = 0x7fff_f7ff_f000;

/// A segment (`struct shmid_kernel`). Times are seconds since the epoch, 0 if never.
#[derive(Clone, Debug)]
pub struct ShmSegment {
    pub perm: Perm,
    /// Bytes.
    pub segsz: u64,
    /// Attachments.
    pub nattch: u64,
    pub atime: u64,
    pub dtime: u64,
    pub ctime: u64,
    pub cpid: Option<Held<Pid>>,
    pub lpid: Option<Held<Pid>>,
    /// The thread that made it, until it exits or unshares its namespace.
    pub creator: Option<TaskId>,
    /// The key it was made with, which the name of its file keeps.
    pub file_key: i32,
}

/// An attachment as an open file (`struct shm_file_data`): made by shmat(2), shared by the copies fork makes.
#[derive(Clone, Debug)]
pub struct ShmFile {
    pub count: u32,
    pub ns: Held<IpcNamespace>,
    pub shmid: i32,
    /// Bytes, in whole pages.
    pub size: u64,
    pub readonly: bool,
}

/// A mapping of an attachment (`struct vm_area_struct`): all of it, or what others mapped over it have left.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub file: Held<ShmFile>,
    /// Bytes.
    pub size: u64,
    /// Bytes of the segment in front of it.
    pub offset: u64,
}

/// What an address space has attached, by start address.
pub type Attachments = BTreeMap<u64, Attachment>;

impl Counted for ShmFile {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

impl IpcObject for ShmSegment {
    const NAME: &'static str = "shared memory segment";
    fn perm(&self) -> &Perm {
        &self.perm
    }
    fn perm_mut(&mut self) -> &mut Perm {
        &mut self.perm
    }
    fn ids(ns: &IpcNamespace) -> &IpcIds<ShmSegment> {
        &ns.shm_ids
    }
    fn ids_mut(ns: &mut IpcNamespace) -> &mut IpcIds<ShmSegment> {
        &mut ns.shm_ids
    }
}

bitflags::bitflags! {
    /// Flags of shmat (`include/uapi/linux/shm.h`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ShmFlags: u32 {
        const RDONLY = 0o10_000;
        /// The address is rounded down to the start of a page.
        const RND = 0o20_000;
        const REMAP = 0o40_000;
        const EXEC = 0o100_000;
        const _ = !0;
    }
}

/// Where an attachment is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachAt {
    Anywhere,
    /// Where nothing else is.
    Free(u64),
    /// In place of what is there.
    Over(u64),
}

impl AttachAt {
    /// # Errors
    /// EINVAL: no start of a page, or none at all where something else is to go.
    fn new(addr: u64, flags: ShmFlags) -> Result<AttachAt> {
        let remap = flags.contains(ShmFlags::REMAP);
        let start = if flags.contains(ShmFlags::RND) { addr - addr % PAGE_SIZE } else { addr };
        match start {
            _ if !start.is_multiple_of(PAGE_SIZE) => {
                bail!(EINVAL, "{} is not the start of a page", format!("{addr:#x}"))
            }
            0 if remap => bail!(EINVAL, "SHM_REMAP needs an address"),
            0 if addr == 0 => Ok(AttachAt::Anywhere),
            _ if remap => Ok(AttachAt::Over(start)),
            _ => Ok(AttachAt::Free(start)),
        }
    }
}

/// Pages of a segment, modulo 2^52 as in Linux.
pub fn pages(bytes: u64) -> u64 {
    bytes.wrapping_add(PAGE_SIZE - 1) / PAGE_SIZE
}

impl ShmSegment {
    /// Nobody uses it any more and it is not to be kept (`shm_may_destroy`).
    fn is_to_go(&self, forced: bool) -> bool {
        self.nattch == 0 && (forced || self.perm.mode & SHM_DEST != 0)
    }
}

impl Kernel {
    /// What shmat(2) asks before it looks at the memory of the caller: where to attach, and how many bytes.
    ///
    /// # Errors
    /// EINVAL: the identifier, the address; EACCES.
    pub fn check_shmat(
        &self,
        task: TaskId,
        ns: IpcNsId,
        id: i32,
        addr: u64,
        flags: ShmFlags,
    ) -> Result<(AttachAt, u64)> {
        if id < 0 {
            bail!(EINVAL, "{} is no identifier", id);
        }
        let place = AttachAt::new(addr, flags)?;
        let segment: &ShmSegment = self.ipc_object(ns, id)?;
        let asked = [
            (true, ACCESS_READ),
            (!flags.contains(ShmFlags::RDONLY), ACCESS_WRITE),
            (flags.contains(ShmFlags::EXEC), ACCESS_EXEC),
        ];
        let asked = asked.into_iter().filter(|(is_asked, _)| *is_asked).fold(0, |all, (_, bits)| all | bits);
        self.check_ipc_access(task, ns, &segment.perm, asked)?;
        Ok((place, pages(segment.segsz) * PAGE_SIZE))
    }

    /// One more mapping, made by `task` (`__shm_open`).
    fn shm_open(&mut self, task: TaskId, file: ShmFileId) {
        let now = self.real_seconds();
        let pid = self.hold_tgid(task);
        let (ns, id) = (self.shm_files[file].ns.id(), self.shm_files[file].shmid);
        let segment: &mut ShmSegment = self.ipc_found(ns, id);
        segment.nattch += 1;
        segment.atime = now;
        let old = segment.lpid.replace(pid);
        self.put_pids([old]);
    }

    /// One mapping less (`shm_close`); the last one may take the segment along, and lets go of the namespace.
    fn shm_close(&mut self, task: TaskId, held: Held<ShmFile>) {
        let now = self.real_seconds();
        let pid = self.hold_tgid(task);
        let (ns, id) = (self.shm_files[held.id()].ns.id(), self.shm_files[held.id()].shmid);
        let segment: &mut ShmSegment = self.ipc_found(ns, id);
        segment.nattch -= 1;
        segment.dtime = now;
        let old = segment.lpid.replace(pid);
        self.put_pids([old]);
        self.shm_try_destroy(ns, id);
        if let Some(freed) = self.shm_files.release(held) {
            self.put_ns(freed.ns);
        }
    }

    /// Destroys a segment that is not attached and must not be kept.
    pub(crate) fn shm_try_destroy(&mut self, ns: IpcNsId, id: i32) {
        let ipc = self.ipc(ns);
        let forced = ipc.shm_rmid_forced != 0;
        if ipc.shm_ids.get(id).is_some_and(|segment| segment.is_to_go(forced)) {
            self.shm_destroy(ns, id);
        }
    }

    /// Removes a segment nobody has attached (`shm_destroy`).
    fn shm_destroy(&mut self, ns: IpcNsId, id: i32) {
        if let Some(segment) = self.ipc_mut(ns).shm_ids.remove(id) {
            self.ipc_mut(ns).shm_tot -= pages(segment.segsz);
            self.free_shm_segment(ns, segment);
        }
    }

    pub(crate) fn free_shm_segment(&mut self, ns: IpcNsId, segment: ShmSegment) {
        if let Some(creator) = segment.creator {
            self.tasks[creator].shm_created.retain(|&created| created != (ns, segment.perm.id));
        }
        self.put_pids([segment.cpid, segment.lpid]);
    }

    /// IPC_RMID: at once if nobody has it attached, else at the last detach, and the key is free (`do_shm_rmid`).
    pub(crate) fn shm_rmid(&mut self, ns: IpcNsId, id: i32) {
        let segment: &mut ShmSegment = self.ipc_found(ns, id);
        segment.perm.mode |= SHM_DEST;
        self.ipc_mut(ns).shm_ids.make_private(id);
        self.shm_try_destroy(ns, id);
    }

    /// Removes what nobody has attached and whose creator is gone (`shm_destroy_orphaned`).
    pub(crate) fn shm_destroy_orphaned(&mut self, ns: IpcNsId) {
        let segments = self.ipc(ns).shm_ids.objects.values();
        let orphans: Vec<i32> = segments.filter(|segment| segment.creator.is_none()).map(|s| s.perm.id).collect();
        for id in orphans {
            self.shm_try_destroy(ns, id);
        }
    }

    /// The task is no longer the creator of its segments; those nobody uses go where that is forced (`exit_shm`).
    pub(crate) fn exit_shm(&mut self, task: TaskId) {
        for (ns, id) in std::mem::take(&mut self.tasks[task].shm_created) {
            self.ipc_found::<ShmSegment>(ns, id).creator = None;
            self.shm_try_destroy(ns, id);
        }
    }

    /// Maps a segment at `addr` in the memory of `task`, over what is there.
    pub(crate) fn attach_shm(&mut self, task: Current, file: ShmFile, addr: u64) {
        let (mm, size) = (self.own_mm(task), file.size);
        let file = self.shm_files.insert_held(file);
        // First counted, so that the segment survives the loss of an attachment in the way.
        self.shm_open(*task, file.id());
        self.unmap_shm(task, addr, size);
        self.mms[mm].attachments.insert(addr, Attachment { file, size, offset: 0 });
    }

    /// Takes what is attached within `size` bytes from `addr` out of the memory of `task`; what sticks out stays, each end
    /// a mapping of its own (`vms_gather_munmap_vmas`).
    fn unmap_shm(&mut self, task: Current, addr: u64, size: u64) {
        let (mm, end) = (self.own_mm(task), addr + size);
        for start in self.overlaps_of(mm, addr, size) {
            let Some(old) = self.mms[mm].attachments.remove(&start) else { continue };
            let before = (start, old.offset, addr.saturating_sub(start));
            let behind = (end, old.offset + end.saturating_sub(start), (start + old.size).saturating_sub(end));
            for (start, offset, size) in [before, behind].into_iter().filter(|(.., size)| *size > 0) {
                self.shm_open(*task, old.file.id());
                let file = self.shm_files.hold(old.file.id());
                self.mms[mm].attachments.insert(start, Attachment { file, size, offset });
            }
            self.shm_close(*task, old.file);
        }
    }

    /// The starts of mappings that would be in the way of `size` bytes at `addr`.
    pub fn overlaps_of(&self, mm: MmId, addr: u64, size: u64) -> Vec<u64> {
        let is_hit = |start: u64, old: &Attachment| start < addr + size && addr < start + old.size;
        let attachments = self.mms[mm].attachments.iter();
        attachments.filter(|(start, old)| is_hit(**start, old)).map(|(&start, _)| start).collect()
    }

    /// The highest free range of `size` bytes (`vm_unmapped_area`, top down).
    pub fn free_range(&self, mm: MmId, size: u64) -> Option<u64> {
        let mut end = MMAP_BASE;
        for (&start, old) in self.mms[mm].attachments.iter().rev() {
            if start + old.size + size <= end {
                break;
            }
            end = end.min(start);
        }
        end.checked_sub(size).filter(|&start| start > 0)
    }

    /// The starts of what shmdt(2) at `addr` takes: the first mapping whose attachment began there, and what else there is
    /// of the same attachment.
    pub fn attached_at(&self, mm: MmId, addr: u64) -> Vec<u64> {
        let begun_here = || {
            self.mms[mm].attachments.range(addr..).filter(|(start, old)| start.checked_sub(old.offset) == Some(addr))
        };
        let Some((_, first)) = begun_here().next() else { return Vec::new() };
        begun_here().filter(|(_, other)| other.file.id() == first.file.id()).map(|(&start, _)| start).collect()
    }

    /// Takes one mapping out of an address space.
    pub(crate) fn detach_shm(&mut self, task: Current, start: u64) {
        let mm = self.own_mm(task);
        if let Some(old) = self.mms[mm].attachments.remove(&start) {
            self.shm_close(*task, old.file);
        }
    }

    /// Copies of all attachments for the memory of a child (`dup_mmap`).
    pub(crate) fn copy_attachments(&mut self, task: Current) -> Attachments {
        let attachments = self.mms[self.own_mm(task)].attachments.iter();
        let originals: Vec<_> = attachments.map(|(&start, old)| (start, old.file.id(), old.size, old.offset)).collect();
        let mut copies = Attachments::new();
        for (start, file, size, offset) in originals {
            self.shm_open(*task, file);
            copies.insert(start, Attachment { file: self.shm_files.hold(file), size, offset });
        }
        copies
    }

    /// Copies all attachments for a child whose clone fails, and detaches the copies.
    pub(crate) fn drop_attachment_copies(&mut self, task: Current) {
        for copy in self.copy_attachments(task).into_values() {
            self.shm_close(*task, copy.file);
        }
    }

    /// Detaches all that a freed address space had attached; `task` was its last user.
    pub(crate) fn close_attachments(&mut self, task: TaskId, mm: &mut Mm) {
        for old in std::mem::take(&mut mm.attachments).into_values() {
            self.shm_close(task, old.file);
        }
    }
}
