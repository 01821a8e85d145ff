//! IPC namespaces (`ipc/namespace.c`, `ipc/ipc_sysctl.c`, `ipc/mq_sysctl.c`): the tables of objects and the limits.

use std::ops::RangeInclusive;

use super::{Holds, IpcNsId, NsKind, Owned, Slot};
use crate::kernel::ipc::IPC_MNI;
use crate::kernel::ipc::IpcIds;
use crate::kernel::ipc::mqueue::{HARD_MSGMAX, HARD_MSGSIZEMAX, MqueueFs};
use crate::kernel::ipc::msg::MsgQueue;
use crate::kernel::ipc::sem::SemSet;
use crate::kernel::ipc::shm::ShmSegment;
use crate::kernel::memory::ipc_bytes;
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::refcount::Held;
use crate::kernel::{Current, Kernel, TaskId};

/// The default of shmmax and shmall (`ULONG_MAX - (1UL << 24)`).
const SHM_DEFAULT: u64 = u64::MAX - (1 << 24);

/// `struct ipc_namespace`, fields under Linux's names. A new one has the default limits, whatever its maker's are.
#[derive(Clone, Debug)]
pub struct IpcNamespace {
    pub sem_ids: IpcIds<SemSet>,
    pub msg_ids: IpcIds<MsgQueue>,
    pub shm_ids: IpcIds<ShmSegment>,
    /// SEMMSL, SEMMNS, SEMOPM, SEMMNI.
    pub sem_ctls: [i32; 4],
    /// Semaphores in all sets.
    pub used_sems: i32,
    pub msg_ctlmax: i32,
    pub msg_ctlmnb: i32,
    pub msg_ctlmni: i32,
    pub shm_ctlmax: u64,
    pub shm_ctlall: u64,
    /// Pages in all segments.
    pub shm_tot: u64,
    pub shm_ctlmni: i32,
    pub shm_rmid_forced: i32,
    /// The file system of the POSIX queues; `None` only while the namespace is made.
    pub mq_fs: Option<Held<MqueueFs>>,
    pub mq_queues_count: u32,
    pub mq_queues_max: i32,
    pub mq_msg_max: i32,
    pub mq_msgsize_max: i32,
    pub mq_msg_default: i32,
    pub mq_msgsize_default: i32,
}

impl Default for IpcNamespace {
    fn default() -> IpcNamespace {
        IpcNamespace {
            sem_ids: IpcIds::default(),
            msg_ids: IpcIds::default(),
            shm_ids: IpcIds::default(),
            sem_ctls: [32000, 1_024_000_000, 500, 32000],
            used_sems: 0,
            msg_ctlmax: 8192,
            msg_ctlmnb: 16384,
            msg_ctlmni: 32000,
            shm_ctlmax: SHM_DEFAULT,
            shm_ctlall: SHM_DEFAULT,
            shm_tot: 0,
            shm_ctlmni: 4096,
            shm_rmid_forced: 0,
            mq_fs: None,
            mq_queues_count: 0,
            mq_queues_max: 256,
            mq_msg_max: 10,
            mq_msgsize_max: 8192,
            mq_msg_default: 10,
            mq_msgsize_default: 8192,
        }
    }
}

/// The sysctls of an IPC namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpcSysctl {
    Msgmax,
    Msgmnb,
    Msgmni,
    /// Takes 0 and 1 and does nothing.
    AutoMsgmni,
    Sem,
    Shmmax,
    Shmall,
    Shmmni,
    ShmRmidForced,
    MsgNextId,
    SemNextId,
    ShmNextId,
    MqQueuesMax,
    MqMsgMax,
    MqMsgsizeMax,
    MqMsgDefault,
    MqMsgsizeDefault,
}

impl IpcSysctl {
    /// One of the three `…_next_id`, which checkpointing may write.
    pub fn is_next_id(self) -> bool {
        matches!(self, IpcSysctl::MsgNextId | IpcSysctl::SemNextId | IpcSysctl::ShmNextId)
    }

    /// What an integer may be set to.
    pub fn range(self) -> RangeInclusive<i32> {
        match self {
            IpcSysctl::Msgmni | IpcSysctl::Shmmni => 0..=IPC_MNI,
            IpcSysctl::AutoMsgmni | IpcSysctl::ShmRmidForced => 0..=1,
            IpcSysctl::MqMsgMax | IpcSysctl::MqMsgDefault => 1..=HARD_MSGMAX as i32,
            IpcSysctl::MqMsgsizeMax | IpcSysctl::MqMsgsizeDefault => 128..=HARD_MSGSIZEMAX as i32,
            IpcSysctl::Sem | IpcSysctl::MqQueuesMax => i32::MIN..=i32::MAX,
            IpcSysctl::Msgmax
            | IpcSysctl::Msgmnb
            | IpcSysctl::Shmmax
            | IpcSysctl::Shmall
            | IpcSysctl::MsgNextId
            | IpcSysctl::SemNextId
            | IpcSysctl::ShmNextId => 0..=i32::MAX,
        }
    }
}

/// Where a sysctl is kept, by shared or exclusive reference.
#[derive(Debug)]
pub enum SysctlPlace<I, L, V> {
    Int(I),
    Long(L),
    /// The four of `sem`.
    Vector(V),
    /// Nowhere: it reads 0.
    Nowhere,
}

/// The one list of where the sysctls are kept; `$borrow` is `&` or `&mut`.
macro_rules! sysctl_place {
    ($ns:expr, $sysctl:expr, $($borrow:tt)+) => {
        match $sysctl {
            IpcSysctl::Msgmax => SysctlPlace::Int($($borrow)+ $ns.msg_ctlmax),
            IpcSysctl::Msgmnb => SysctlPlace::Int($($borrow)+ $ns.msg_ctlmnb),
            IpcSysctl::Msgmni => SysctlPlace::Int($($borrow)+ $ns.msg_ctlmni),
            IpcSysctl::AutoMsgmni => SysctlPlace::Nowhere,
            IpcSysctl::Sem => SysctlPlace::Vector($($borrow)+ $ns.sem_ctls),
            IpcSysctl::Shmmax => SysctlPlace::Long($($borrow)+ $ns.shm_ctlmax),
            IpcSysctl::Shmall => SysctlPlace::Long($($borrow)+ $ns.shm_ctlall),
            IpcSysctl::Shmmni => SysctlPlace::Int($($borrow)+ $ns.shm_ctlmni),
            IpcSysctl::ShmRmidForced => SysctlPlace::Int($($borrow)+ $ns.shm_rmid_forced),
            IpcSysctl::MsgNextId => SysctlPlace::Int($($borrow)+ $ns.msg_ids.next_id),
            IpcSysctl::SemNextId => SysctlPlace::Int($($borrow)+ $ns.sem_ids.next_id),
            IpcSysctl::ShmNextId => SysctlPlace::Int($($borrow)+ $ns.shm_ids.next_id),
            IpcSysctl::MqQueuesMax => SysctlPlace::Int($($borrow)+ $ns.mq_queues_max),
            IpcSysctl::MqMsgMax => SysctlPlace::Int($($borrow)+ $ns.mq_msg_max),
            IpcSysctl::MqMsgsizeMax => SysctlPlace::Int($($borrow)+ $ns.mq_msgsize_max),
            IpcSysctl::MqMsgDefault => SysctlPlace::Int($($borrow)+ $ns.mq_msg_default),
            IpcSysctl::MqMsgsizeDefault => SysctlPlace::Int($($borrow)+ $ns.mq_msgsize_default),
        }
    };
}

impl IpcNamespace {
    /// The value of a sysctl.
    pub fn sysctl(&self, sysctl: IpcSysctl) -> SysctlPlace<&i32, &u64, &[i32; 4]> {
        sysctl_place!(self, sysctl, &)
    }

    /// As [`IpcNamespace::sysctl`], to change it.
    pub fn sysctl_mut(&mut self, sysctl: IpcSysctl) -> SysctlPlace<&mut i32, &mut u64, &mut [i32; 4]> {
        sysctl_place!(self, sysctl, &mut)
    }
}

impl NsKind for IpcNamespace {
    const NAME: &'static str = "ipc";
    const CLONE_FLAG: u64 = 0x0800_0000;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWIPC";
    const INIT_INUM: u32 = 4_026_531_839;
    const INIT_NS_ID: u64 = 6;
    const UCOUNT: usize = 3;
    const UCOUNT_NAME: &'static str = "max_ipc_namespaces";
    const SLOT: Option<Slot> = Some(Slot::Ipc);
    const HOLDS: Holds = Holds::IpcObjects;

    fn bytes(&self) -> usize {
        ipc_bytes(self)
    }

    fn initial() -> IpcNamespace {
        IpcNamespace::default()
    }

    fn create(_k: &Kernel, _task: Current) -> IpcNamespace {
        IpcNamespace::default()
    }

    /// `mq_init_ns`
    fn setup(k: &mut Kernel, ns: IpcNsId, creator: TaskId) {
        let fs = k.new_mqueue_fs(ns, creator);
        k.ipc_mut(ns).mq_fs = Some(fs);
    }

    /// The end of a namespace: the queues' file system, then semaphores, messages, memory (`free_ipc_ns`). Nobody is left who
    /// could wait for them, undo on them or have them attached.
    fn teardown(mut self, k: &mut Kernel, ns: IpcNsId) {
        if let Some(fs) = self.mq_fs.take() {
            k.mqueue_fs[fs.id()].ns = None;
            k.put_mqueue_fs(fs);
        }
        for set in self.sem_ids.objects.into_values() {
            k.free_sem_set(set);
        }
        for queue in self.msg_ids.objects.into_values() {
            k.free_msg_queue(queue);
        }
        for segment in self.shm_ids.objects.into_values() {
            k.free_shm_segment(ns, segment);
        }
    }
}

impl Owned for IpcNamespace {}

impl NsProxy {
    /// The IPC namespace.
    pub fn ipc_ns(&self) -> IpcNsId {
        self.typed(Slot::Ipc)
    }
}
