//! Layer 1a: the simulated kernel's objects. Pure data and deterministic rules: no text for users, no I/O, no clock,
//! no threads, no locks.
//!
//! Invariants (recomputed from scratch by [`audit`]):
//! * every reference count is the number of its [`Held`](refcount::Held) values;
//! * a zombie has no nsproxy, mm, fs or files (no [`Live`](task::Live)); it keeps its struct pid and its cred;
//! * a number is in a pid namespace's idr exactly while its struct pid is attached to a task as PID, TGID, PGID or SID;
//! * the charge in a ucounts object is the number of live namespaces charged to it or to a descendant.

pub mod audit;
pub mod boot;
pub mod capability;
pub mod cgroup;
pub mod change;
pub mod clock;
mod copy;
pub mod cred;
pub mod exec;
pub mod exit;
pub mod file;
pub mod ipc;
pub mod kill;
pub mod kthread;
pub mod memory;
pub mod mount;
pub mod net;
pub mod node;
pub mod ns;
pub mod nsproxy;
pub mod pgrp;
pub mod pid;
pub mod profile;
pub mod program;
pub mod ptrace;
pub mod refcount;
pub mod runs;
pub mod scan;
pub mod signal;
pub mod sigpending;
pub mod table;
pub mod task;
pub mod task_list;
pub mod trace;
pub mod ucounts;
pub mod uid_map;
pub mod waiting;
pub mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cgroup::CgroupRoot;
use change::Changes;
use clock::Clock;
use cred::Cred;
use file::{File, FilesStruct, FsStruct};
use ipc::mqueue::{Mqueue, MqueueFs};
use ipc::sem::UndoList;
use ipc::shm::ShmFile;
use kthread::Kthreads;
use memory::Memory;
use mount::Vfs;
use mount::dentry::Dentry;
use mount::sb::SuperBlock;
use mount::tree::{Mount, MountTree};
use net::Net;
pub use ns::{CgroupNsId, IpcNsId, MntNsId, NetNsId, PidNsId, TimeNsId, UserNsId, UtsNsId};
use ns::{Inums, Namespace, UtsEvents};
use nsproxy::NsProxy;
use pgrp::Connections;
use pid::Pid;
use profile::Machine;
use program::Programs;
use signal::{Sighand, SignalStruct};
use table::{Id, Table};
pub use task::Current;
use task::{Mm, Task};
use trace::Trace;
use ucounts::UcountsTable;

pub type TaskId = Id<Task>;
pub type SignalId = Id<SignalStruct>;
pub type PidId = Id<Pid>;
pub type CredId = Id<Cred>;
pub type NsId = Id<Namespace>;
pub type NsProxyId = Id<NsProxy>;
pub type FileId = Id<File>;
pub type SbId = Id<SuperBlock>;
pub type DentryId = Id<Dentry>;
pub type MountId = Id<Mount>;
pub type TreeId = Id<MountTree>;
pub type MmId = Id<Mm>;
pub type UndoListId = Id<UndoList>;
pub type ShmFileId = Id<ShmFile>;
pub type MqueueFsId = Id<MqueueFs>;
pub type MqueueId = Id<Mqueue>;

/// The whole simulated kernel. Its users call [`Kernel::boot`], [`Kernel::syscall`] and [`Kernel::read`]; its tables are for the
/// layers above and for the tests of this crate, and may change with any version.
#[derive(Debug)]
pub struct Kernel {
    #[doc(hidden)]
    pub tasks: Table<Task>,
    #[doc(hidden)]
    pub signals: Table<SignalStruct>,
    /// Who traces whom; a task that traces nobody is not in it.
    #[doc(hidden)]
    pub ptraced: BTreeMap<TaskId, BTreeSet<TaskId>>,
    #[doc(hidden)]
    pub kthreads: Kthreads,
    /// The number of the next autogroup (`autogroup_seq_nr`).
    #[doc(hidden)]
    pub next_autogroup: u32,
    #[doc(hidden)]
    pub sighands: Table<Sighand>,
    #[doc(hidden)]
    pub mms: Table<Mm>,
    #[doc(hidden)]
    pub fs: Table<FsStruct>,
    #[doc(hidden)]
    pub files: Table<FilesStruct>,
    #[doc(hidden)]
    pub open_files: Table<File>,
    #[doc(hidden)]
    pub undo_lists: Table<UndoList>,
    #[doc(hidden)]
    pub shm_files: Table<ShmFile>,
    #[doc(hidden)]
    pub mqueue_fs: Table<MqueueFs>,
    #[doc(hidden)]
    pub mqueues: Table<Mqueue>,
    #[doc(hidden)]
    pub pids: Table<Pid>,
    #[doc(hidden)]
    pub creds: Table<Cred>,
    #[doc(hidden)]
    pub ucounts: UcountsTable,
    #[doc(hidden)]
    pub nsproxies: Table<NsProxy>,
    #[doc(hidden)]
    pub namespaces: Table<Namespace>,
    /// The live namespaces by inum, which all kinds share.
    #[doc(hidden)]
    pub ns_by_inum: BTreeMap<u32, NsId>,
    #[doc(hidden)]
    pub uts_events: UtsEvents,
    /// File systems and mounts.
    #[doc(hidden)]
    pub vfs: Vfs,
    /// The objects that exist from boot and never go.
    #[doc(hidden)]
    pub init: InitObjects,
    #[doc(hidden)]
    pub cgroup: CgroupRoot,
    #[doc(hidden)]
    pub net: Net,
    /// Inums: one lowest-free pool for namespaces and procfs entries (`proc_alloc_inum`).
    #[doc(hidden)]
    pub inums: Inums,
    /// The next `ns_id`: never reused, one space for all kinds.
    #[doc(hidden)]
    pub next_ns_id: u64,
    /// Moves only when told to.
    #[doc(hidden)]
    pub clock: Clock,
    #[doc(hidden)]
    pub machine: Machine,
    /// `/proc/sys/kernel/threads-max`.
    #[doc(hidden)]
    pub threads_max: u32,
    /// How much memory the lab may take.
    #[doc(hidden)]
    pub memory: Memory,
    /// What has to happen before the running call returns.
    #[doc(hidden)]
    pub work: VecDeque<work::Work>,
    /// What is known of process groups while it runs.
    pub connections: Connections,
    /// What changed, for caches above that want to know.
    #[doc(hidden)]
    pub changes: Changes,
    /// Tasks that are real processes, and what has to happen to those.
    #[doc(hidden)]
    pub programs: Programs,
    /// The steps taken, for those who want to see them.
    #[doc(hidden)]
    pub trace: Trace,
}

/// Ids of what boot made.
#[derive(Clone, Copy, Debug)]
pub struct InitObjects {
    pub task: TaskId,
    /// The initial namespaces in the order of the table of kinds.
    pub namespaces: [NsId; ns::NS_TABLE.len()],
    pub user_ns: UserNsId,
    pub pid_ns: PidNsId,
    pub nsproxy: NsProxyId,
}
