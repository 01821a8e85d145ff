//! The one state every lab boots into.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::capability::CapSet;
use super::cgroup::CgroupRoot;
use super::change::Changes;
use super::clock::Clock;
use super::cred::{Cred, GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Ids, Kgid, NewCred};
use super::file::{FilesStruct, FsStruct};
use super::ipc::shm;
use super::kthread::Kthreads;
use super::memory::Memory;
use super::mount::Vfs;
use super::mount::site::Path;
use super::net::Net;
use super::ns::{Inums, NS_TABLE, Namespace, NsCommon, NsKind, NsType, SLOTS, UtsEvents};
use super::nsproxy::NsProxy;
use super::pgrp::Connections;
use super::pid::{Attachments, Pid};
use super::profile::Machine;
use super::program::Programs;
use super::refcount::Held;
use super::signal::{Rlimit, Rlimits, SIGCHLD, Sighand, SignalStruct};
use super::table::Id;
use super::table::Table;
use super::task::{Comm, Live, Mm, NewTask, Task};
use super::trace::Trace;
use super::ucounts::UcountsTable;
use super::{InitObjects, Kernel, NsId, UserNsId};

/// The first number of the inum pool (`PROC_DYNAMIC_FIRST`).
const PROC_DYNAMIC_FIRST: u32 = 0xf000_0000;
/// Numbers boot-time procfs entries hold on the reference machine.
const BOOT_PROC_ENTRIES: u32 = 337;
/// The autogroup of init, which leads the first session.
const BOOT_AUTOGROUP: u32 = 1;
/// `threads-max` of a lab; Linux derives it from the size of memory.
pub const THREADS_MAX: u32 = 4_194_304;

impl Kernel {
    /// A freshly booted kernel: pid 1, all initial namespaces with Linux's inums.
    pub fn boot() -> Kernel {
        let (initial, user_ns, mut namespaces) = initial_namespaces();
        let vfs = Vfs::boot(&mut namespaces, user_ns);
        let mut k = Kernel::empty(namespaces, initial, user_ns, vfs);
        let pid_ns = k.init_ns();
        let nsproxy = k.boot_nsproxy();
        k.init.nsproxy = nsproxy.id();
        k.init.pid_ns = pid_ns;
        let mnt_ns = k.init_ns();
        let root = k.boot_root(mnt_ns);
        k.boot_init(nsproxy, root);
        for ops in NS_TABLE {
            let (ns, init) = (k.initial(ops.ns_type), k.init.task);
            (ops.setup)(&mut k, ns, init);
        }
        k.boot_mounts(mnt_ns);
        k.count_memory();
        k
    }

    fn empty(namespaces: Table<Namespace>, initial: [NsId; NS_TABLE.len()], user_ns: UserNsId, vfs: Vfs) -> Kernel {
        Kernel {
            tasks: Table::default(),
            signals: Table::default(),
            ptraced: BTreeMap::new(),
            kthreads: Kthreads::default(),
            next_autogroup: BOOT_AUTOGROUP + 1,
            sighands: Table::default(),
            mms: Table::default(),
            fs: Table::default(),
            files: Table::default(),
            open_files: Table::default(),
            undo_lists: Table::default(),
            shm_files: Table::default(),
            mqueue_fs: Table::default(),
            mqueues: Table::default(),
            pids: Table::default(),
            creds: Table::default(),
            ucounts: UcountsTable::default(),
            nsproxies: Table::default(),
            init: InitObjects {
                task: Table::default().next_id(),
                namespaces: initial,
                user_ns,
                pid_ns: Table::default().next_id(),
                nsproxy: Table::default().next_id(),
            },
            uts_events: UtsEvents::default(),
            ns_by_inum: namespaces.iter().map(|(id, ns): (NsId, &Namespace)| (ns.common.inum, id)).collect(),
            namespaces,
            cgroup: CgroupRoot::default(),
            net: Net::default(),
            vfs,
            inums: Inums::starting_at(PROC_DYNAMIC_FIRST + BOOT_PROC_ENTRIES),
            next_ns_id: NS_TABLE.len() as u64 + 1,
            clock: Clock::default(),
            machine: Machine::default(),
            threads_max: THREADS_MAX,
            memory: Memory::default(),
            work: VecDeque::new(),
            connections: Connections::default(),
            changes: Changes::default(),
            programs: Programs::default(),
            trace: Trace::default(),
        }
    }

    /// The initial namespace of a kind.
    pub fn initial(&self, ns_type: NsType) -> NsId {
        self.init.namespaces[ns_type as usize]
    }

    /// The initial namespace of a kind, as one of it.
    pub fn init_ns<S: NsKind>(&self) -> Id<S> {
        self.initial(S::TYPE).cast()
    }

    /// The initial namespaces of all kinds.
    pub(crate) fn boot_nsproxy(&mut self) -> Held<NsProxy> {
        let mut ids = [self.init.user_ns.any(); SLOTS];
        for ops in NS_TABLE {
            for slot in [ops.slot, ops.setns_slot].into_iter().flatten() {
                ids[slot as usize] = self.initial(ops.ns_type);
            }
        }
        let slots = ids.map(|id| self.namespaces.hold(id));
        self.nsproxies.insert_held(NsProxy { count: 0, slots })
    }

    fn boot_init(&mut self, nsproxy: Held<NsProxy>, root: Path) {
        let init = self.tasks.next_id();
        let signal = self.signals.next_id();
        let cred = self.init_cred();
        let fs = FsStruct { users: 0, umask: 0o022, root: self.hold_path(root), pwd: self.hold_path(root) };
        let mm_ns = self.namespaces.hold_typed(self.init.user_ns);
        let thread_pid = self.boot_pid();
        let (pgrp, session) = (self.pids.hold(thread_pid.id()), self.pids.hold(thread_pid.id()));
        self.pids[thread_pid.id()].attached = Attachments {
            task: Some(init),
            process: Some(signal),
            group: BTreeSet::from([signal]),
            stopped: 0,
            session: 1,
        };
        let pid_ns = &mut self.namespaces[self.init.pid_ns];
        pid_ns.child_reaper = Some(init);
        let mm = Mm { users: 0, dumpable: true, user_ns: mm_ns, attachments: shm::Attachments::new() };
        let new = NewTask {
            comm: Comm::new(b"init"),
            argv: Arc::from([b"init".to_vec()]),
            thread_pid,
            signal,
            sighand: self.sighands.insert_held(Sighand::default()),
            cred,
            live: Live {
                mm: Some(self.mms.insert_held(mm)),
                fs: self.fs.insert_held(fs),
                files: self.files.insert_held(FilesStruct::default()),
                nsproxy,
            },
            cgroup: self.cgroup.table.hold(self.cgroup.root()),
            real_parent: init,
            exit_signal: SIGCHLD,
            start_time: 0,
        };
        self.tasks.insert(Task { forked_no_exec: false, ..Task::new(new) });
        self.cgroup_post_fork(init);
        self.signals.insert(boot_signal(init, pgrp, session));
        self.link_thread(init);
        self.init.task = init;
    }

    /// Those of init and of kernel threads: root with all capabilities (`init_cred`).
    pub(crate) fn init_cred(&mut self) -> Held<Cred> {
        let (uid, gid) = (GLOBAL_ROOT_UID, GLOBAL_ROOT_GID);
        let new = NewCred {
            ids: Ids { uid, gid, suid: uid, sgid: gid, euid: uid, egid: gid, fsuid: uid, fsgid: gid },
            groups: Arc::from(Vec::<Kgid>::new()),
            securebits: 0,
            inheritable: CapSet::EMPTY,
            permitted: CapSet::FULL,
            effective: CapSet::FULL,
            bset: CapSet::FULL,
            ambient: CapSet::EMPTY,
            user_ns: self.init.user_ns,
        };
        self.copy_creds_for_process(Arc::new(new))
    }

    fn boot_pid(&mut self) -> Held<Pid> {
        let pid_ns = self.init.pid_ns;
        let pid = Pid {
            count: 0,
            ns: self.namespaces.hold_typed(pid_ns),
            own_nr: 1,
            outer: Box::default(),
            attached: Attachments::default(),
            hashed: true,
        };
        let held = self.pids.insert_held(pid);
        let pid_ns = &mut self.namespaces[pid_ns];
        pid_ns.idr.insert(1, held.id());
        pid_ns.idr.cursor = 2;
        pid_ns.pid_allocated = 1;
        held
    }
}

fn boot_signal(init: super::TaskId, pgrp: Held<Pid>, session: Held<Pid>) -> SignalStruct {
    let half = u64::from(THREADS_MAX / 2);
    let rlimits = Arc::new(Rlimits {
        nproc: Rlimit { soft: half, hard: half },
        nofile: Rlimit { soft: 1024, hard: 4096 },
        msgqueue: Rlimit { soft: 819_200, hard: 819_200 },
    });
    SignalStruct { unkillable: true, autogroup: BOOT_AUTOGROUP, ..SignalStruct::new(init, pgrp, session, rlimits) }
}

/// The eight initial namespaces, each with the static reference that keeps it for ever, owned by the initial user
/// namespace; the ids of all, that one's once more, and the table.
fn initial_namespaces() -> ([NsId; NS_TABLE.len()], UserNsId, Table<Namespace>) {
    let mut table = Table::default();
    let mut user_ns = None;
    let ids = NS_TABLE.map(|ops| {
        let state = (ops.initial)();
        let owner = user_ns.map(|owner| table.hold_typed(owner));
        let common = NsCommon {
            inum: ops.init_inum,
            ns_id: ops.init_ns_id,
            // The static reference.
            count: 1,
            user_ns: owner,
            parent: None,
            ucounts: None,
            pins: 0,
            stashed: None,
            extra_inums: Vec::new(),
        };
        let id = table.insert(Namespace { common, state });
        user_ns = user_ns.or_else(|| table.typed(id));
        id
    });
    (ids, user_ns.expect("the table begins with the user namespace"), table)
}
