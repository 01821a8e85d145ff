//! How much memory the objects of a lab take: counted by their number and the bytes they carry, so that the same calls
//! meet the limit at the same place on every machine.

use std::sync::Arc;

use super::Kernel;
use super::cred::NewCred;
use super::ipc::mqueue::Mqueue;
use super::mount::dentry::{Content, Dentry};
use super::mount::tree::Mount;
use super::ns::{IpcNamespace, Namespace};
use super::signal::Rlimits;
use super::table::Table;

/// What a lab may take unless it is told otherwise, in bytes.
pub const MEMORY_MAX: u64 = 2 << 30;
/// What an entry of a map or list costs besides its value, about.
pub(in crate::kernel) const ENTRY: usize = 48;
/// What a mount takes with its places in maps, its source left out.
pub(crate) const MOUNT: usize = size_of::<Mount>() + 4 * ENTRY + PLACE;
/// The number in a table that leads to an object from elsewhere.
const PLACE: usize = ENTRY / 2;
/// Calls that are refused without counting again after a count that found no room.
const REFUSALS: u32 = 256;

/// The limit, and how far it is.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// In bytes.
    pub max: u64,
    /// At least what the objects take now: what they took when they were counted last, and all that calls may have added.
    estimate: u64,
    /// Calls that are refused before the next count.
    refusals: u32,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { max: MEMORY_MAX, estimate: 0, refusals: 0 }
    }
}

impl Kernel {
    /// Whether a call that adds at most `growth` bytes fits. Counting is left until the sum of what calls may have added
    /// reaches the limit, so that it costs each of them next to nothing.
    pub(crate) fn has_memory_for(&mut self, growth: usize) -> bool {
        let growth = growth as u64;
        if self.memory.estimate + growth > self.memory.max && self.memory.refusals == 0 {
            self.count_memory();
        }
        let fits = self.memory.estimate + growth <= self.memory.max;
        if fits {
            (self.memory.estimate, self.memory.refusals) = (self.memory.estimate + growth, 0);
        } else {
            self.memory.refusals = self.memory.refusals.checked_sub(1).unwrap_or(REFUSALS);
        }
        fits
    }

    /// Counts what the objects take now.
    pub(super) fn count_memory(&mut self) {
        self.memory.estimate = self.memory_used() as u64;
    }

    /// The bytes that all objects take, about. What several share until one changes it is counted for each.
    pub fn memory_used(&self) -> usize {
        self.tasks_bytes() + self.files_bytes() + self.objects_bytes()
    }

    fn tasks_bytes(&self) -> usize {
        let carried = self.tasks.iter().map(|(_, task)| {
            let argv: usize = task.argv.iter().map(|word| ENTRY + word.len()).sum();
            argv + ENTRY * (task.pending.len() + usize::from(task.tracer.is_some()) + task.shm_created.len())
        });
        let queued = self.signals.iter().map(|(_, signal)| size_of::<Rlimits>() + ENTRY * signal.shared_pending.len());
        let levels = self.pids.iter().map(|(_, pid)| ENTRY * (pid.outer.len() + pid.attached.group.len()));
        let groups = self.creds.iter().map(|(_, cred)| size_of::<NewCred>() + 4 * cred.groups.len());
        let attached = self.mms.iter().map(|(_, mm)| 2 * ENTRY * mm.attachments.len());
        let undone = self.undo_lists.iter().flat_map(|(_, list)| list.sets.values()).map(|set| ENTRY * (1 + set.len()));
        let carried = carried.chain(queued).chain(levels).chain(groups).chain(attached).chain(undone).sum::<usize>();
        let tables =
            [bytes(&self.tasks), bytes(&self.signals), bytes(&self.sighands), bytes(&self.mms), bytes(&self.fs)];
        let more = [bytes(&self.pids), bytes(&self.creds), bytes(&self.nsproxies), bytes(&self.undo_lists)];
        carried + tables.into_iter().chain(more).sum::<usize>()
    }

    fn files_bytes(&self) -> usize {
        let descriptors = self.files.iter().map(|(_, files)| 2 * ENTRY * files.fds.len());
        let dentries = self.vfs.dentries.iter().map(|(_, dentry)| dentry_bytes(dentry));
        // Copies of a mount share it.
        let source = |source: &Arc<[u8]>| source.len().div_ceil(Arc::strong_count(source));
        let mounts = self.vfs.mounts.iter().map(|(_, mount)| mount.source.as_ref().map_or(0, source));
        let queues = self.mqueues.iter().map(|(_, queue)| mqueue_bytes(queue));
        let carried: usize = descriptors.chain(dentries).chain(mounts).chain(queues).sum();
        let tables = [bytes(&self.files), bytes(&self.open_files), bytes(&self.vfs.dentries), bytes(&self.vfs.sbs)];
        let mounts = MOUNT * self.vfs.mounts.len() + bytes(&self.vfs.trees);
        carried + mounts + bytes(&self.mqueues) + bytes(&self.mqueue_fs) + tables.into_iter().sum::<usize>()
    }

    fn objects_bytes(&self) -> usize {
        let namespaces = self.namespaces.iter().map(|(_, ns)| ns_bytes(ns));
        let cgroups = self.cgroup.table.iter().map(|(_, cgroup)| 2 * ENTRY + 2 * cgroup.name.len());
        let devices = self.net.devices.iter().map(|(_, dev)| {
            let altnames: usize = dev.altnames.iter().map(|name| ENTRY + name.len()).sum();
            altnames + ENTRY * (1 + dev.inet.len() + dev.inet6.len())
        });
        let carried: usize = namespaces.chain(cgroups).chain(devices).sum();
        let tables = [bytes(&self.namespaces), bytes(&self.cgroup.table), bytes(&self.net.devices)];
        carried + bytes(&self.net.sockets) + bytes(&self.shm_files) + tables.into_iter().sum::<usize>()
    }
}

/// The objects of a table themselves, and the number that leads to each from elsewhere.
fn bytes<T>(table: &Table<T>) -> usize {
    table.len() * (size_of::<T>() + PLACE)
}

fn dentry_bytes(dentry: &Dentry) -> usize {
    let content = match &dentry.content {
        Content::File(bytes) => bytes.capacity(),
        Content::Symlink(text) => text.len(),
        Content::Directory(_) | Content::Socket(_) => 0,
    };
    // The directory has the name too.
    2 * (dentry.name.len() + ENTRY) + content
}

fn mqueue_bytes(queue: &Mqueue) -> usize {
    let lists = queue.messages.values();
    let bytes = |list: &std::collections::VecDeque<Vec<u8>>| list.iter().map(|text| ENTRY + text.len()).sum::<usize>();
    queue.name.len() + lists.map(|list| ENTRY + bytes(list)).sum::<usize>()
}

fn ns_bytes(ns: &Namespace) -> usize {
    ns.state.size() + (ns.ops().bytes)(&ns.state) + 4 * ns.common.extra_inums.len()
}

pub(in crate::kernel) fn ipc_bytes(ipc: &IpcNamespace) -> usize {
    let queues = ipc.msg_ids.objects.values().map(|queue| {
        let texts: usize = queue.messages().iter().map(|message| 2 * ENTRY + message.text.len()).sum();
        size_of_val(queue) + 2 * ENTRY + texts
    });
    let sets = ipc.sem_ids.objects.values().map(|set| size_of_val(set) + 2 * ENTRY + size_of_val(&set.sems[..]));
    let segments = ipc.shm_ids.objects.values().map(|segment| size_of_val(segment) + 2 * ENTRY);
    queues.chain(sets).chain(segments).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::kernel::cred::Cred;
    use crate::kernel::file::{FilesStruct, FsStruct};
    use crate::kernel::pid::Pid;
    use crate::kernel::signal::{Sighand, SignalStruct};
    use crate::kernel::task::{Mm, Task};
    use crate::script::{Machine, Session, Setup};

    fn run(k: &mut Kernel, line: &str) -> Result<(), Errno> {
        Session::default().batch(k, line.as_bytes()).1.map(drop).map_err(|error| error.errno)
    }

    /// A kernel with room for so many bytes more.
    fn kernel_with_room(bytes: u64) -> Kernel {
        let mut k = Kernel::boot();
        k.memory.max = k.memory_used() as u64 + bytes;
        k
    }

    #[test]
    fn everything_that_grows_ends_at_the_limit_and_the_lab_goes_on() {
        for line in [
            "1 clone",
            "1 clone newnet newipc",
            "1 semget private 32000 create",
            "1 msgsnd 0 1 size=4000",
            "1 open /tmp",
            "1 ip link add d%d type dummy",
            "1 mount --bind /tmp /tmp",
            "1 clone newns",
        ] {
            let mut k = kernel_with_room(1 << 16);
            run(&mut k, "1 msgget 1 create 0600\n1 prlimit nofile 100000:100000\n1 clone").unwrap();
            run(&mut k, "1 write proc/sys/kernel/msgmnb 100000000\n1 msgctl 0 set qbytes=100000000").unwrap();
            let ended = (0..2_000).find_map(|_| run(&mut k, line).err());
            let over = k.memory_used() as u64 > k.memory.max + (1 << 13);
            assert!(ended == Some(Errno::ENOMEM) && !over, "{line}: {ended:?}");
            run(&mut k, "1 read proc/meminfo\n1 kill 2 SIGKILL\n1 wait 2").unwrap();
        }
    }

    /// One call makes a mount in each namespace that receives it.
    #[test]
    fn mounts_that_propagate_count_each() {
        let mut k = Kernel::boot();
        let mut script = "1 mkdir /w/d\n1 mount --make-rshared /\n".to_owned();
        script.extend(std::iter::repeat_n("1 clone newns\n", 100));
        run(&mut k, &script).unwrap();
        k.count_memory();
        k.memory.max = k.memory.estimate + 60 * MOUNT as u64;
        let before = k.vfs.mounts.len();
        for line in ["1 mount --bind /tmp /w/d", "1 mount tmpfs t /w/d"] {
            assert_eq!(run(&mut k, line), Err(Errno::ENOMEM), "{line}");
            assert_eq!(k.vfs.mounts.len(), before, "{line}");
        }
        k.memory = Memory { max: k.memory.max + 60 * MOUNT as u64, refusals: 0, ..k.memory };
        run(&mut k, "1 mount --bind /tmp /w/d").unwrap();
        assert_eq!(k.vfs.mounts.len(), before + 101);
        assert!(k.memory_used() as u64 <= k.memory.max && k.memory.estimate <= k.memory.max);
    }

    /// Programs of the host make them, by files of the mount.
    #[test]
    fn cgroups_end_at_the_limit_and_are_killed_and_thawed_beyond_it() {
        let mut k = kernel_with_room(1 << 16);
        let refused = (0..2_000).find_map(|number| {
            let path = format!("cgroup/{number}").into_bytes();
            k.set(&Setup::Mkdir { path, mode: 0o755 }).err()
        });
        assert_eq!(refused.map(|error| error.errno), Some(Errno::ENOMEM));
        let write = |path: &str| Setup::Write { path: path.into(), opened: None, pos: 0, bytes: b"1".into() };
        k.memory.max = 1;
        k.set(&write("cgroup/0/cgroup.freeze")).unwrap();
        k.set(&Setup::Rmdir { path: b"cgroup/1".into() }).unwrap();
    }

    /// A million tasks have to fit into 900 MiB with all that leads to them: who makes one of these larger notices here.
    #[test]
    fn what_each_task_has_stays_small() {
        let sizes = [
            ("Task", size_of::<Task>(), 280),
            ("SignalStruct", size_of::<SignalStruct>(), 96),
            ("Sighand", size_of::<Sighand>(), 48),
            ("Mm", size_of::<Mm>(), 40),
            ("FsStruct", size_of::<FsStruct>(), 96),
            ("FilesStruct", size_of::<FilesStruct>(), 64),
            ("Cred", size_of::<Cred>(), 32),
            ("Pid", size_of::<Pid>(), 88),
        ];
        let grown: Vec<_> = sizes.into_iter().filter(|(_, size, bound)| size > bound).collect();
        assert!(grown.is_empty(), "(struct, size, bound in bytes): {grown:?}");
    }

    #[test]
    fn what_is_given_back_can_be_used_again() {
        let mut k = kernel_with_room(1 << 16);
        while run(&mut k, "1 clone").is_ok() {}
        let made = k.tasks.len();
        run(&mut k, "1 sigaction SIGCHLD ignore\n1 kill -1 SIGKILL").unwrap();
        let refused = (0..=REFUSALS + 1).filter(|_| run(&mut k, "1 clone").is_err()).count();
        assert!(refused <= REFUSALS as usize);
        while run(&mut k, "1 clone").is_ok() {}
        assert!(k.tasks.len() > made / 2);
    }
}
