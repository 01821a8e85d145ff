//! What calls on System V objects read from the memory of a program, where only the lab knows how much that is.

use super::Supervisor;
use super::regs::Regs;
use super::sys::Tid;
use crate::abi::Memory;
use crate::bail;
use crate::errno::Result;
use crate::kernel::ipc::ACCESS_WRITE;
use crate::kernel::ipc::sem::SemSet;
use crate::kernel::{Kernel, TaskId};
use crate::syscall::Syscall;
use crate::syscall::sem::SemCtl;

/// Bytes of a value in the memory of semctl(2).
const VALUE: usize = 2;

impl Supervisor {
    /// SETALL with the values for the whole set. Where the lab refuses the call whatever they are, there are none.
    ///
    /// # Errors
    /// EFAULT
    pub(super) fn with_values(&self, tid: Tid, task: TaskId, call: Syscall, regs: &Regs) -> Result<Syscall> {
        let Syscall::Semctl { id, op: SemCtl::Setall(_) } = call else { return Ok(call) };
        let length = self.lab.read(|k| values_of(k, task, id))?.unwrap_or(0);
        let raw = (&self.memory(tid) as &dyn Memory).bytes(regs.args()[3], VALUE * length)?;
        let values = raw.chunks_exact(VALUE).map(|value| i32::from(u16::from_ne_bytes([value[0], value[1]])));
        Ok(Syscall::Semctl { id, op: SemCtl::Setall(values.collect()) })
    }
}

/// How many semaphores a set has that the task may change.
fn values_of(k: &Kernel, task: TaskId, id: i32) -> Result<usize> {
    let Some(ns) = k.nsproxy_of(task).map(|nsproxy| nsproxy.ipc_ns()) else { bail!(ESRCH, "the task is dead") };
    let set: &SemSet = k.ipc_object(ns, id)?;
    k.check_ipc_access(task, ns, &set.perm, ACCESS_WRITE)?;
    Ok(set.sems.len())
}
