//! A digest of a whole kernel, and what a refused call may leave behind.

use std::fmt::{self, Debug, Write};
use std::hash::{DefaultHasher, Hasher};

use nslab::kernel::ipc::sem::SemFlags;
use nslab::kernel::memory::Memory;
use nslab::kernel::ns::{NsState, Slot};
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::ip::Ip;
use nslab::syscall::{AnyCall, LabCall, Syscall};

/// One number for each part of a kernel, made of all that [`Debug`] shows of it.
pub struct Digest(Vec<(&'static str, u64)>);

impl Digest {
    pub fn of(k: &mut Kernel) -> Digest {
        let aside = UsedUp::set_aside(k);
        // Named one by one: a new part has to come in here.
        macro_rules! parts {
            ($($part:ident)+) => {{
                let Kernel { $($part),+ } = &*k;
                vec![$((stringify!($part), number($part))),+]
            }};
        }
        let parts = parts!(
            tasks signals programs ptraced kthreads next_autogroup sighands mms fs files open_files undo_lists shm_files mqueue_fs mqueues pids creds ucounts
            nsproxies namespaces ns_by_inum uts_events vfs init cgroup net inums next_ns_id clock machine threads_max memory work connections changes
            trace
        );
        aside.put_back(k);
        Digest(parts)
    }

    /// The parts that are not the same, `left` out.
    pub fn changed(&self, after: &Digest, left: &[&str]) -> Vec<&'static str> {
        let pairs = self.0.iter().zip(&after.0);
        let changed = pairs.filter(|(before, after)| before != after).map(|((name, _), _)| *name);
        changed.filter(|name| !left.contains(name)).collect()
    }
}

/// Hashes what is written, without keeping it.
struct Hashing(DefaultHasher);

impl Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn number(part: &impl Debug) -> u64 {
    let mut hashing = Hashing(DefaultHasher::new());
    write!(hashing, "{part:?}").expect("hashing does not fail");
    hashing.0.finish()
}

/// What a refused call may use up, as on Linux: numbers of pids and of network devices; and the room for what it might
/// have added. All that is taken out of a kernel for its digest.
struct UsedUp {
    /// Where the search for the next number of each pid and network namespace starts.
    cursors: Vec<i32>,
    devices_made: u32,
    /// What calls may have added since the memory was counted last.
    memory: Memory,
}

impl UsedUp {
    fn set_aside(k: &mut Kernel) -> UsedUp {
        let mut cursors = Vec::new();
        each_cursor(k, |cursor| cursors.push(std::mem::take(cursor)));
        let devices_made = std::mem::take(&mut k.net.devices_made);
        let memory = std::mem::take(&mut k.memory);
        k.memory.max = memory.max;
        UsedUp { cursors, devices_made, memory }
    }

    fn put_back(self, k: &mut Kernel) {
        let mut kept = self.cursors.into_iter();
        each_cursor(k, |cursor| *cursor = kept.next().expect("as many as before"));
        k.net.devices_made = self.devices_made;
        k.memory = self.memory;
    }
}

fn each_cursor(k: &mut Kernel, mut visit: impl FnMut(&mut i32)) {
    let all: Vec<_> = k.namespaces.iter().map(|(ns, _)| ns).collect();
    for ns in all {
        match &mut k.namespaces[ns].state {
            NsState::Pid(pid_ns) => visit(&mut pid_ns.idr.cursor),
            NsState::Net(net) => visit(&mut net.ifindex),
            _ => {}
        }
    }
}

/// The parts that this call may change though it is refused, as on Linux.
pub fn left_behind(k: &Kernel, actor: TaskId, call: &AnyCall) -> &'static [&'static str] {
    match call {
        // It does several things one by one, and keeps those before the one that failed.
        AnyCall::Lab(LabCall::Ip(Ip::LinkSet(_))) => &["namespaces", "net"],
        // The device of one end is made, and goes when that of the other cannot be.
        AnyCall::Lab(LabCall::Ip(Ip::LinkAdd(add))) if add.kind == "veth" => &["namespaces", "net"],
        // The place for what it would have undone.
        AnyCall::Linux(Syscall::Semop { ops, .. }) if ops.iter().any(|op| op.flags.contains(SemFlags::UNDO)) => {
            &["tasks", "undo_lists"]
        }
        // The numbers before the one that is wrong.
        AnyCall::Lab(LabCall::Write { path, .. }) if path.ends_with(b"kernel/sem") => &["namespaces"],
        // It counts as attached for a moment; where that is forced a segment goes with its last attachment.
        AnyCall::Linux(Syscall::Shmat { .. }) if goes_with_the_last(k, actor) => &["namespaces", "pids", "tasks"],
        // The marks of what it has copied in vain: memory, queues, a time namespace.
        AnyCall::Linux(Syscall::Clone(_)) if copies_marked(k, actor) => &["mqueues", "namespaces", "pids"],
        // A pid namespace whose first process comes to nothing takes no other.
        AnyCall::Linux(Syscall::Clone(_)) if is_first(k, actor) => &["namespaces"],
        _ => &[],
    }
}

fn is_first(k: &Kernel, actor: TaskId) -> bool {
    let next = k.task_ns(actor, Slot::PidForChildren).map(|ns| &k.namespaces[ns].state);
    matches!(next, Some(NsState::Pid(pid_ns)) if pid_ns.child_reaper.is_none())
}

fn goes_with_the_last(k: &Kernel, actor: TaskId) -> bool {
    let ipc = k.task_ns(actor, Slot::Ipc).map(|ns| &k.namespaces[ns].state);
    matches!(ipc, Some(NsState::Ipc(ipc)) if ipc.shm_rmid_forced != 0)
}

fn copies_marked(k: &Kernel, actor: TaskId) -> bool {
    let is_attached = k.mm_of(actor).is_some_and(|mm| !mm.attachments.is_empty());
    is_attached || k.mqueues.iter().any(|(_, queue)| queue.notify.is_some()) || k.is_time_switch_due(actor)
}
