//! What `kernel/ns/ipc/<inum>` shows of its own: tables, limits and counters (`struct ipc_namespace`), and each System V
//! object below `ids/<family>/<id>` (`struct sem_array`, `struct msg_queue`, `struct shmid_kernel`).

use super::{Field, Item, Struct, dir, list, pointer, show, table, value};
use crate::kernel::ipc::mqueue::Mqueue;
use crate::kernel::ipc::msg::{Message, MsgQueue};
use crate::kernel::ipc::sem::{Sem, SemSet};
use crate::kernel::ipc::shm::ShmSegment;
use crate::kernel::ipc::{IPC_PRIVATE, IpcIds, IpcObject, Perm};
use crate::kernel::node::{IpcKind, Object};
use crate::kernel::ns::IpcNamespace;
use crate::kernel::pid::Pid;
use crate::kernel::refcount::Held;
use crate::kernel::{IpcNsId, Kernel, NsId};

/// The directory of a kind: its index in Linux's array, and its name.
pub(super) fn directory(kind: IpcKind) -> &'static str {
    match kind {
        IpcKind::Sem => "0-sem",
        IpcKind::Msg => "1-msg",
        IpcKind::Shm => "2-shm",
    }
}

pub(super) static NAMESPACE: &[Field<NsId>] = &[
    dir("ids"),
    table(
        "ids/0-sem",
        |k, id| objects(k, id, IpcKind::Sem, |ipc| &ipc.sem_ids),
        |k, id, key| object(k, id, IpcKind::Sem, key),
    ),
    value("ids/0-sem/in_use", |k, id| show(ipc(k, id)?.sem_ids.in_use())),
    value("ids/0-sem/seq", |k, id| show(ipc(k, id)?.sem_ids.seq)),
    value("ids/0-sem/max_idx", |k, id| show(ipc(k, id)?.sem_ids.objects.highest().unwrap_or(-1))),
    value("ids/0-sem/last_idx", |k, id| show(ipc(k, id)?.sem_ids.last_idx)),
    value("ids/0-sem/key_ht", |k, id| Some(keys(&ipc(k, id)?.sem_ids))),
    value("ids/0-sem/next_id", |k, id| show(ipc(k, id)?.sem_ids.next_id)),
    table(
        "ids/1-msg",
        |k, id| objects(k, id, IpcKind::Msg, |ipc| &ipc.msg_ids),
        |k, id, key| object(k, id, IpcKind::Msg, key),
    ),
    value("ids/1-msg/in_use", |k, id| show(ipc(k, id)?.msg_ids.in_use())),
    value("ids/1-msg/seq", |k, id| show(ipc(k, id)?.msg_ids.seq)),
    value("ids/1-msg/max_idx", |k, id| show(ipc(k, id)?.msg_ids.objects.highest().unwrap_or(-1))),
    value("ids/1-msg/last_idx", |k, id| show(ipc(k, id)?.msg_ids.last_idx)),
    value("ids/1-msg/key_ht", |k, id| Some(keys(&ipc(k, id)?.msg_ids))),
    value("ids/1-msg/next_id", |k, id| show(ipc(k, id)?.msg_ids.next_id)),
    table(
        "ids/2-shm",
        |k, id| objects(k, id, IpcKind::Shm, |ipc| &ipc.shm_ids),
        |k, id, key| object(k, id, IpcKind::Shm, key),
    ),
    value("ids/2-shm/in_use", |k, id| show(ipc(k, id)?.shm_ids.in_use())),
    value("ids/2-shm/seq", |k, id| show(ipc(k, id)?.shm_ids.seq)),
    value("ids/2-shm/max_idx", |k, id| show(ipc(k, id)?.shm_ids.objects.highest().unwrap_or(-1))),
    value("ids/2-shm/last_idx", |k, id| show(ipc(k, id)?.shm_ids.last_idx)),
    value("ids/2-shm/key_ht", |k, id| Some(keys(&ipc(k, id)?.shm_ids))),
    value("ids/2-shm/next_id", |k, id| show(ipc(k, id)?.shm_ids.next_id)),
    value("sem_ctls", |k, id| show(ipc(k, id)?.sem_ctls.map(|limit| limit.to_string()).join(" "))),
    value("used_sems", |k, id| show(ipc(k, id)?.used_sems)),
    value("msg_ctlmax", |k, id| show(ipc(k, id)?.msg_ctlmax)),
    value("msg_ctlmnb", |k, id| show(ipc(k, id)?.msg_ctlmnb)),
    value("msg_ctlmni", |k, id| show(ipc(k, id)?.msg_ctlmni)),
    value("msg_bytes", |k, id| show(ipc(k, id)?.msg_totals().0)),
    value("msg_hdrs", |k, id| show(ipc(k, id)?.msg_totals().1)),
    value("shm_ctlmax", |k, id| show(ipc(k, id)?.shm_ctlmax)),
    value("shm_ctlall", |k, id| show(ipc(k, id)?.shm_ctlall)),
    value("shm_ctlmni", |k, id| show(ipc(k, id)?.shm_ctlmni)),
    value("shm_tot", |k, id| show(ipc(k, id)?.shm_tot)),
    value("shm_rmid_forced", |k, id| show(ipc(k, id)?.shm_rmid_forced)),
    value("mq_mnt", queues),
    value("mq_queues_count", |k, id| show(ipc(k, id)?.mq_queues_count)),
    value("mq_queues_max", |k, id| show(ipc(k, id)?.mq_queues_max)),
    value("mq_msg_max", |k, id| show(ipc(k, id)?.mq_msg_max)),
    value("mq_msgsize_max", |k, id| show(ipc(k, id)?.mq_msgsize_max)),
    value("mq_msg_default", |k, id| show(ipc(k, id)?.mq_msg_default)),
    value("mq_msgsize_default", |k, id| show(ipc(k, id)?.mq_msgsize_default)),
];

/// The queues of the namespace's file system, a line each.
fn queues(k: &Kernel, ns: NsId) -> Option<Vec<u8>> {
    let ns = k.namespaces.typed(ns)?;
    let queues = k.mqueue_fs[k.mqueue_fs_of(ns)].queues.values().map(|held| &k.mqueues[held.id()]);
    let line = |queue: &Mqueue| {
        format!(
            "{} mode {:04o} uid {} gid {} mq_maxmsg {} mq_msgsize {} mq_curmsgs {} qsize {}\n",
            String::from_utf8_lossy(&queue.name),
            queue.mode,
            queue.uid.0,
            queue.gid.0,
            queue.maxmsg,
            queue.msgsize,
            queue.curmsgs(),
            queue.qsize()
        )
    };
    show(queues.map(line).collect::<String>())
}

/// The table of keys: each with the identifier of its object.
fn keys<T: IpcObject>(ids: &IpcIds<T>) -> Vec<u8> {
    let named = ids.objects.values().map(IpcObject::perm).filter(|perm| perm.key != IPC_PRIVATE);
    named.map(|perm| format!("{} -> {}\n", perm.key, perm.id)).collect::<String>().into_bytes()
}

fn ipc(k: &Kernel, id: NsId) -> Option<&IpcNamespace> {
    k.namespaces.get(id).and_then(|ns| ns.as_kind())
}

fn objects<T: IpcObject>(
    k: &Kernel,
    ns: NsId,
    kind: IpcKind,
    ids: fn(&IpcNamespace) -> &IpcIds<T>,
) -> Vec<(u32, Object)> {
    let Some(ns) = k.namespaces.typed(ns) else { return Vec::new() };
    let ids = ids(&k.namespaces[ns]).objects.values().map(|object| object.perm().id);
    ids.map(|id| (id.unsigned_abs(), Object::Ipc(ns, kind, id))).collect()
}

/// The one of them with an identifier.
fn object(k: &Kernel, ns: NsId, kind: IpcKind, id: u32) -> Option<Object> {
    let found = IpcId { ns: k.namespaces.typed(ns)?, kind, id: i32::try_from(id).ok()? };
    found.is_alive(k).then_some(Object::Ipc(found.ns, kind, found.id))
}

/// One System V object.
#[derive(Clone, Copy)]
pub(super) struct IpcId {
    pub ns: IpcNsId,
    pub kind: IpcKind,
    pub id: i32,
}

impl Struct for IpcId {
    fn fields(self, _: &Kernel) -> [&'static [Field<IpcId>]; 2] {
        let own = match self.kind {
            IpcKind::Sem => SEM,
            IpcKind::Msg => MSG,
            IpcKind::Shm => SHM,
        };
        [PERM, own]
    }

    fn is_alive(self, k: &Kernel) -> bool {
        k.namespaces.contains(self.ns.any()) && self.perm(k).is_some()
    }
}

impl IpcId {
    fn object<T: IpcObject>(self, k: &Kernel) -> Option<&T> {
        T::ids(k.ipc(self.ns)).get(self.id)
    }

    fn perm(self, k: &Kernel) -> Option<&Perm> {
        match self.kind {
            IpcKind::Sem => self.object::<SemSet>(k).map(SemSet::perm),
            IpcKind::Msg => self.object::<MsgQueue>(k).map(MsgQueue::perm),
            IpcKind::Shm => self.object::<ShmSegment>(k).map(ShmSegment::perm),
        }
    }

    fn sem(self, k: &Kernel) -> Option<&SemSet> {
        self.object(k)
    }

    fn msg(self, k: &Kernel) -> Option<&MsgQueue> {
        self.object(k)
    }

    fn shm(self, k: &Kernel) -> Option<&ShmSegment> {
        self.object(k)
    }
}

/// `struct kern_ipc_perm`, which all three begin with; ids are the kernel's own.
static PERM: &[Field<IpcId>] = &[
    dir(""),
    dir("perm"),
    value("perm/key", |k, id| show(id.perm(k)?.key)),
    value("perm/id", |k, id| show(id.perm(k)?.id)),
    value("perm/uid", |k, id| show(id.perm(k)?.uid.0)),
    value("perm/gid", |k, id| show(id.perm(k)?.gid.0)),
    value("perm/cuid", |k, id| show(id.perm(k)?.cuid.0)),
    value("perm/cgid", |k, id| show(id.perm(k)?.cgid.0)),
    value("perm/mode", |k, id| show(format!("{:04o}", id.perm(k)?.mode))),
    value("perm/seq", |k, id| show(id.perm(k)?.seq)),
];

static SEM: &[Field<IpcId>] = &[
    value("sem_ctime", |k, id| show(id.sem(k)?.ctime)),
    value("sem_otime", |k, id| show(id.sem(k)?.otime)),
    value("sem_nsems", |k, id| show(id.sem(k)?.sems.len())),
    list(
        "sems",
        |k, id| (0..).zip(id.sem(k).into_iter().flat_map(|set| &set.sems).map(|sem| semaphore(k, sem))).collect(),
        |k, id, num| id.sem(k)?.sems.get(num as usize).map(|sem| semaphore(k, sem)),
    ),
];

static MSG: &[Field<IpcId>] = &[
    value("q_stime", |k, id| show(id.msg(k)?.stime)),
    value("q_rtime", |k, id| show(id.msg(k)?.rtime)),
    value("q_ctime", |k, id| show(id.msg(k)?.ctime)),
    value("q_cbytes", |k, id| show(id.msg(k)?.cbytes())),
    value("q_qnum", |k, id| show(id.msg(k)?.messages().len())),
    value("q_qbytes", |k, id| show(id.msg(k)?.qbytes)),
    value("q_lspid", |k, id| show(nr(k, id.msg(k)?.lspid.as_ref()))),
    value("q_lrpid", |k, id| show(nr(k, id.msg(k)?.lrpid.as_ref()))),
    list(
        "q_messages",
        |k, id| (0..).zip(id.msg(k).into_iter().flat_map(|queue| queue.messages().iter()).map(message)).collect(),
        |k, id, place| id.msg(k)?.messages().nth(place as usize).map(message),
    ),
];

static SHM: &[Field<IpcId>] = &[
    value("shm_nattch", |k, id| show(id.shm(k)?.nattch)),
    value("shm_segsz", |k, id| show(id.shm(k)?.segsz)),
    value("shm_atim", |k, id| show(id.shm(k)?.atime)),
    value("shm_dtim", |k, id| show(id.shm(k)?.dtime)),
    value("shm_ctim", |k, id| show(id.shm(k)?.ctime)),
    value("shm_cprid", |k, id| show(nr(k, id.shm(k)?.cpid.as_ref()))),
    value("shm_lprid", |k, id| show(nr(k, id.shm(k)?.lpid.as_ref()))),
    pointer("shm_creator", |k, id| id.shm(k)?.creator.map(Object::Task)),
];

/// A struct pid by its number in the initial pid namespace; 0: none yet.
fn nr(k: &Kernel, pid: Option<&Held<Pid>>) -> i32 {
    pid.map_or(0, |held| k.pids[held.id()].nr())
}

fn semaphore(k: &Kernel, sem: &Sem) -> Item {
    Item::Value(format!("semval {}\nsempid {}", sem.value, nr(k, sem.pid.as_ref())))
}

fn message(message: &Message) -> Item {
    Item::Value(format!("m_type {}\nm_ts {}", message.mtype, message.text.len()))
}
