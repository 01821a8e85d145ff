//! Shared memory of System V. The lab has the segments, their rights and who has attached them; the memory of each is a segment of
//! the real kernel's, which programs attach by their own shmat(2) and shmdt(2). It is made at the first shmat, marked to go with its
//! last attachment at once, and attached by us for as long as the lab's segment is there: nothing of it outlives us.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::Mutex;

use super::Supervisor;
use super::regs::Regs;
use super::sys::{Mapping, Resume, Tid};
use super::tracee::{Then, refusal};
use crate::errno::Result;
use crate::host::{Lab, lock};
use crate::kernel::ipc::shm::{ShmFlags, ShmSegment};
use crate::kernel::{IpcNsId, Kernel, TaskId};
use crate::syscall::Syscall;
use crate::{bail, err};

/// The memory of segments, by the lab's namespace and identifier. All supervisors of a lab have the same.
#[derive(Debug, Default)]
pub struct Segments(Mutex<BTreeMap<(IpcNsId, i32), Mapping>>);

impl Segments {
    /// The real kernel's identifier of a segment's memory, which is made if there is none yet.
    ///
    /// # Errors
    /// ENOMEM: the host gives none.
    fn memory(&self, ns: IpcNsId, id: i32, size: u64) -> Result<i32> {
        let mut segments = lock(&self.0);
        if let Some(memory) = segments.get(&(ns, id)) {
            return Ok(memory.id);
        }
        let made = usize::try_from(size).map_err(io::Error::other).and_then(Mapping::new);
        let made = made.map_err(|error| err!(ENOMEM, "the host has no memory for a segment: {}", error.to_string()))?;
        let number = made.id;
        segments.insert((ns, id), made);
        Ok(number)
    }

    /// Lets go of the memory of segments that the lab has no more.
    pub fn drop_unused(&self, lab: &Lab) {
        let mut segments = lock(&self.0);
        if segments.is_empty() {
            return;
        }
        let exists =
            |k: &Kernel, ns: IpcNsId, id| k.namespaces.state(ns).is_some_and(|ns| ns.shm_ids.get(id).is_some());
        // Of a lab that is broken all stays.
        let _ = lab.read(|k| segments.retain(|(ns, id), _| exists(k, *ns, *id)));
    }
}

impl Supervisor {
    /// shmat: the lab says who may, the real kernel where.
    pub(super) fn attach(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let [id, addr, flags, ..] = regs.args();
        let (task, id, flags) = (self.task(tid)?, id as i32, ShmFlags::from_bits_retain(flags as u32));
        match self.attachable(tid, task, id, addr, flags) {
            Ok(memory) => {
                let mut args = regs.args();
                args[0] = memory as u64;
                self.detour(tid, regs, regs.with(regs.number(), args), Then::Attached { id, flags })
            }
            Err(error) => self.refuse(tid, regs, &error),
        }
    }

    /// # Errors
    /// Those of [`Kernel::check_shmat`]; EACCES: a program of another IPC namespace of the host; ENOMEM.
    fn attachable(&self, tid: Tid, task: TaskId, id: i32, addr: u64, flags: ShmFlags) -> Result<i32> {
        let (ns, size) = self.lab.read(|k| -> Result<_> {
            let Some(ns) = k.nsproxy_of(task).map(|nsproxy| nsproxy.ipc_ns()) else { bail!(ESRCH, "the task is dead") };
            k.check_shmat(task, ns, id, addr, flags)?;
            let segment: &ShmSegment = k.ipc_object(ns, id)?;
            Ok((ns, segment.segsz))
        })??;
        let own = fs::read_link("/proc/self/ns/ipc").map(|link| link.into_os_string().into_vec());
        if own.ok() != self.host.link(tid, "ns/ipc").ok() {
            bail!(EACCES, "the program and the lab are in two IPC namespaces of the host: run it where the lab is");
        }
        self.segments.memory(ns, id, size)
    }

    /// The real kernel has attached memory: so has the lab, there. The result of the call.
    pub(super) fn attached(&mut self, tid: Tid, id: i32, addr: i64, flags: ShmFlags) -> i64 {
        let Ok(task) = self.task(tid) else { return addr };
        // Where it is, nothing else of the lab is left.
        let flags = flags & ShmFlags::RDONLY | ShmFlags::REMAP;
        let call = Syscall::Shmat { id, addr: addr.cast_unsigned(), flags };
        match self.perform(task, &call.into()) {
            Ok(_) => addr,
            // It was removed meanwhile. What is mapped stays, and nobody knows of it.
            Err(stop) => refusal(stop.error()),
        }
    }

    /// shmdt: the real kernel knows what is attached, also where the program has moved or cut it.
    pub(super) fn detach(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let task = self.task(tid)?;
        let addr = regs.args()[0];
        let is_attached = |k: &Kernel| k.mm_id_of(task).is_some_and(|mm| !k.attached_at(mm, addr).is_empty());
        if self.lab.read(is_attached).unwrap_or(false) {
            // It was there a moment ago, and is the program's alone.
            let _ = self.perform(task, &Syscall::Shmdt { addr }.into());
        }
        self.host.resume(tid, Resume::Cont, 0)
    }
}
