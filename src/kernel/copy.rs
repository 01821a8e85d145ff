//! A copy of a kernel: the same objects with the same names and the same counts, and no part in common that changes.

use super::Kernel;
use super::refcount::copying;

impl Clone for Kernel {
    /// What is done to the copy gives what it would give here. It takes as much memory as the kernel; what never changes
    /// (texts, arguments, credentials) is shared.
    fn clone(&self) -> Kernel {
        copying::during(|| self.copied())
    }
}

impl Kernel {
    fn copied(&self) -> Kernel {
        Kernel {
            tasks: self.tasks.clone(),
            signals: self.signals.clone(),
            ptraced: self.ptraced.clone(),
            kthreads: self.kthreads.clone(),
            next_autogroup: self.next_autogroup,
            sighands: self.sighands.clone(),
            mms: self.mms.clone(),
            fs: self.fs.clone(),
            files: self.files.clone(),
            open_files: self.open_files.clone(),
            undo_lists: self.undo_lists.clone(),
            shm_files: self.shm_files.clone(),
            mqueue_fs: self.mqueue_fs.clone(),
            mqueues: self.mqueues.clone(),
            pids: self.pids.clone(),
            creds: self.creds.clone(),
            ucounts: self.ucounts.clone(),
            nsproxies: self.nsproxies.clone(),
            namespaces: self.namespaces.clone(),
            ns_by_inum: self.ns_by_inum.clone(),
            uts_events: self.uts_events,
            vfs: self.vfs.clone(),
            init: self.init,
            cgroup: self.cgroup.clone(),
            net: self.net.clone(),
            inums: self.inums.clone(),
            next_ns_id: self.next_ns_id,
            clock: self.clock.clone(),
            machine: self.machine,
            threads_max: self.threads_max,
            memory: self.memory,
            work: self.work.clone(),
            connections: self.connections.clone(),
            changes: self.changes.clone(),
            programs: self.programs.clone(),
            trace: self.trace.clone(),
        }
    }
}
