//! `mqueue/`: the POSIX message queues of the reader's IPC namespace (`ipc/mqueue.c`).

use super::family::Family;
use super::look::Look;
use super::{Attr, Cacheable, Content, FileType, Polled};
use crate::errno::Result;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Kgid, Kuid};
use crate::kernel::ipc::mqueue::{MqueueFs, NotifyMethod};
use crate::kernel::mount::sb::Keeps;
use crate::kernel::node::Place;
use crate::kernel::{Kernel, MqueueId, TaskId};

/// How somebody is told (`include/uapi/asm-generic/siginfo.h`).
const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;

/// Of the mount it is seen through, else of the reader. `None`: a zombie, which is in no namespace.
fn fs<'k>(look: &Look<'k>) -> Option<&'k MqueueFs> {
    let mounted = look.mount.and_then(|mount| look.k.vfs.mounts.get(mount)).map(|mount| &look.k.vfs.sbs[mount.sb.id()]);
    if let Some(Keeps::Mqueue(queues)) = mounted.map(|sb| &sb.keeps) {
        return Some(&look.k.mqueue_fs[queues.id()]);
    }
    let ns = look.k.nsproxy_of(look.reader)?.ipc_ns();
    Some(&look.k.mqueue_fs[look.k.mqueue_fs_of(ns)])
}

/// A queue.
pub(super) struct Queue(pub MqueueId);

impl Family for Queue {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.mqueues.contains(self.0)
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(FileType::File)
    }

    fn path(&self, look: &Look<'_>) -> String {
        format!("mqueue/{}", name(look.k, self.0))
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let queue = &look.k.mqueues[self.0];
        Ok(Attr { mode: queue.mode, uid: queue.uid, gid: queue.gid, ..plain })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    /// Programs keep it open.
    fn content(&self) -> Content {
        Content::Live
    }

    fn polled(&self, look: &Look<'_>) -> Polled {
        let queue = &look.k.mqueues[self.0];
        Polled::Queue { has_message: queue.curmsgs() > 0, has_room: !queue.is_full() }
    }

    fn queue(&self) -> Option<MqueueId> {
        Some(self.0)
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        Ok(text(look.k, look.reader, self.0))
    }
}

pub(super) fn root_owner(look: &Look<'_>) -> (Kuid, Kgid) {
    fs(look).map_or((GLOBAL_ROOT_UID, GLOBAL_ROOT_GID), |fs| (fs.root_uid, fs.root_gid))
}

pub(super) fn lookup(look: &Look<'_>, name: &[u8]) -> Option<Place> {
    fs(look)?.queues.get(name).map(|held| Place::Mqueue(held.id()))
}

pub(super) fn readdir(look: &Look<'_>) -> Vec<(String, Place)> {
    let queues = fs(look).into_iter().flat_map(|fs| fs.queues.values());
    queues.map(|held| (name(look.k, held.id()), Place::Mqueue(held.id()))).collect()
}

/// The name a queue has, or had.
pub(super) fn name(k: &Kernel, queue: MqueueId) -> String {
    String::from_utf8_lossy(&k.mqueues[queue].name).into_owned()
}

/// Bytes in the queue, and who is to be told of the next message (`mqueue_read_file`).
pub(super) fn text(k: &Kernel, reader: TaskId, queue: MqueueId) -> Vec<u8> {
    let queue = &k.mqueues[queue];
    let (notify, signo, pid) = match &queue.notify {
        Some(asked) => {
            let pid = k.pids[asked.owner.id()].nr_in(k.task_active_pid_ns(reader)).unwrap_or(0);
            match asked.method {
                NotifyMethod::Signal { signo, .. } => (SIGEV_SIGNAL, signo, pid),
                NotifyMethod::None => (SIGEV_NONE, 0, pid),
                NotifyMethod::Thread(_) => (SIGEV_THREAD, 0, pid),
            }
        }
        None => (0, 0, 0),
    };
    format!("QSIZE:{:<10} NOTIFY:{notify:<5} SIGNO:{signo:<5} NOTIFY_PID:{pid:<6}\n", queue.qsize()).into_bytes()
}
