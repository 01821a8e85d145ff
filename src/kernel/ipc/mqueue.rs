//! POSIX message queues: the file system each IPC namespace has for them, and the queues in it (`ipc/mqueue.c`).

use std::collections::{BTreeMap, VecDeque};

use crate::kernel::cred::{Kgid, Kuid};
use crate::kernel::file::FileKind;
use crate::kernel::ns::UserNamespace;
use crate::kernel::pid::Pid;
use crate::kernel::program::Effect;
use crate::kernel::refcount::{Counted, Held};
use crate::kernel::signal::Sender;
use crate::kernel::ucounts::{UcountRlimit, Ucounts};
use crate::kernel::waiting::{WaitFor, Waited};
use crate::kernel::{IpcNsId, Kernel, MqueueFsId, MqueueId, PidId, TaskId};

/// Priorities stay below this (`MQ_PRIO_MAX`).
pub const MQ_PRIO_MAX: u32 = 32768;
/// Most messages of a queue, whatever the privilege (`HARD_MSGMAX`).
pub const HARD_MSGMAX: i64 = 65536;
/// Most bytes of a message, whatever the privilege (`HARD_MSGSIZEMAX`).
pub const HARD_MSGSIZEMAX: i64 = 16 * 1024 * 1024;
/// Bytes the kernel needs for a message, and for each priority in use.
const MSG_OVERHEAD: u64 = 48;
const PRIO_OVERHEAD: u64 = 48;

/// The internal mqueue file system of a namespace: its superblock. It lives as long as the namespace, an open queue or
/// a mount of it.
#[derive(Clone, Debug)]
pub struct MqueueFs {
    /// The namespace, each open queue, each mount.
    pub active: u32,
    /// `None` once the namespace is gone.
    pub ns: Option<IpcNsId>,
    /// `s_user_ns`
    pub user_ns: Held<UserNamespace>,
    /// Owner of the root directory: the creator of the namespace. The mode of the directory is 1777.
    pub root_uid: Kuid,
    pub root_gid: Kgid,
    /// The names in it.
    pub queues: BTreeMap<Vec<u8>, Held<Mqueue>>,
}

/// A queue (`struct mqueue_inode_info`): lives while it has a name or is open.
#[derive(Clone, Debug)]
pub struct Mqueue {
    pub count: u32,
    pub fs: MqueueFsId,
    /// The name it has, or had.
    pub name: Vec<u8>,
    pub uid: Kuid,
    pub gid: Kgid,
    pub mode: u16,
    pub maxmsg: i64,
    pub msgsize: i64,
    /// By priority; none of the lists is empty.
    pub messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    pub notify: Option<Notify>,
    /// Who pays for it.
    pub ucounts: Held<Ucounts>,
}

/// Who wants to know of the next message in an empty queue.
#[derive(Clone, Debug)]
pub struct Notify {
    pub owner: Held<Pid>,
    pub user_ns: Held<UserNamespace>,
    pub method: NotifyMethod,
}

/// `sigev_notify` with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyMethod {
    Signal {
        signo: i32,
        value: u64,
    },
    /// SIGEV_NONE: nobody is told, but the place is taken.
    None,
    /// SIGEV_THREAD: a netlink socket gets the cookie.
    Thread(Cookie),
}

/// What tells a thread of its process that it is to run for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The number of the inode of a program's netlink socket. A task that is no program has none: nobody is told.
    pub socket: u64,
    pub bytes: [u8; NOTIFY_COOKIE_LEN],
}

/// Bytes of a cookie, the last of which the kernel sets (`NOTIFY_COOKIE_LEN`).
pub const NOTIFY_COOKIE_LEN: usize = 32;
/// There is a message (`NOTIFY_WOKENUP`).
const NOTIFY_WOKENUP: u8 = 1;
/// There will be no notice (`NOTIFY_REMOVED`).
const NOTIFY_REMOVED: u8 = 2;

/// What an open queue holds on to.
#[derive(Clone, Debug)]
pub struct MqueueFile {
    pub queue: Held<Mqueue>,
    pub fs: Held<MqueueFs>,
}

impl Counted for MqueueFs {
    fn count(&mut self) -> &mut u32 {
        &mut self.active
    }
}

impl Counted for Mqueue {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

/// Bytes a queue of this shape is charged; `None`: more than can be counted (`mqueue_get_inode`).
pub fn cost(maxmsg: u64, msgsize: u64) -> Option<u64> {
    let overhead = maxmsg * MSG_OVERHEAD + maxmsg.min(u64::from(MQ_PRIO_MAX)) * PRIO_OVERHEAD;
    maxmsg.checked_mul(msgsize)?.checked_add(overhead)
}

impl Mqueue {
    /// It has been unlinked.
    pub fn is_unlinked(&self, k: &Kernel) -> bool {
        let fs = &k.mqueue_fs[self.fs];
        !fs.queues.get(&self.name).is_some_and(|held| std::ptr::eq(&k.mqueues[held.id()], self))
    }

    pub fn curmsgs(&self) -> usize {
        self.messages.values().map(VecDeque::len).sum()
    }

    /// Bytes in the queue.
    pub fn qsize(&self) -> usize {
        self.messages.values().flatten().map(Vec::len).sum()
    }

    pub fn is_full(&self) -> bool {
        self.curmsgs() as i64 >= self.maxmsg
    }

    /// How many messages more it takes.
    pub fn room(&self) -> usize {
        usize::try_from(self.maxmsg).unwrap_or(0).saturating_sub(self.curmsgs())
    }

    /// The oldest message of the highest priority (`msg_get`).
    pub(crate) fn pop(&mut self) -> Option<(u32, Vec<u8>)> {
        let mut highest = self.messages.last_entry()?;
        let prio = *highest.key();
        let message = highest.get_mut().pop_front();
        if highest.get().is_empty() {
            highest.remove();
        }
        message.map(|message| (prio, message))
    }

    /// Bytes it is charged.
    pub fn cost(&self) -> u64 {
        cost(self.maxmsg.unsigned_abs(), self.msgsize.unsigned_abs()).expect("the attributes were checked at creation")
    }
}

impl Kernel {
    /// The file system of a namespace.
    pub fn mqueue_fs_of(&self, ns: IpcNsId) -> MqueueFsId {
        self.ipc(ns).mq_fs.as_ref().expect("an ipc namespace has a file system for its queues").id()
    }

    /// The file system for the queues of a namespace that `task` has made.
    pub(crate) fn new_mqueue_fs(&mut self, ns: IpcNsId, task: TaskId) -> Held<MqueueFs> {
        let owner = self.ns_owner(ns).expect("an ipc namespace has an owner");
        let user_ns = self.get_ns(owner);
        let ids = self.cred_of(task).ids;
        let (root_uid, root_gid) = (ids.fsuid, ids.fsgid);
        self.mqueue_fs.insert_held(MqueueFs {
            active: 0,
            ns: Some(ns),
            user_ns,
            root_uid,
            root_gid,
            queues: BTreeMap::new(),
        })
    }

    /// One user of a file system less; the last one takes its queues along.
    pub(crate) fn put_mqueue_fs(&mut self, held: Held<MqueueFs>) {
        if let Some(freed) = self.mqueue_fs.release(held) {
            for queue in freed.queues.into_values() {
                self.put_mqueue(queue, freed.ns);
            }
            self.put_ns(freed.user_ns);
        }
    }

    /// Makes a queue and gives it its name; all that may refuse it was asked before (`mqueue_create_attr`).
    pub(crate) fn create_mqueue(
        &mut self,
        task: TaskId,
        fs: MqueueFsId,
        name: &[u8],
        mode: u16,
        maxmsg: i64,
        msgsize: i64,
    ) -> MqueueId {
        let ns = self.mqueue_fs[fs].ns.expect("a queue is made in a live namespace");
        let cred = self.cred_of(task);
        let (ids, ucounts) = (cred.ids, cred.ucounts.id());
        let queue = Mqueue {
            count: 0,
            fs,
            name: name.to_vec(),
            uid: ids.fsuid,
            gid: ids.fsgid,
            mode,
            maxmsg,
            msgsize,
            messages: BTreeMap::new(),
            notify: None,
            ucounts: self.ucounts.table.hold(ucounts),
        };
        self.add_rlimit(ucounts, UcountRlimit::Msgqueue, queue.cost().cast_signed());
        self.ipc_mut(ns).mq_queues_count += 1;
        let held = self.mqueues.insert_held(queue);
        let id = held.id();
        self.mqueue_fs[fs].queues.insert(name.to_vec(), held);
        id
    }

    /// Takes a name away; the queue goes with its last descriptor.
    pub(crate) fn unlink_mqueue(&mut self, fs: MqueueFsId, name: &[u8]) {
        if let Some(held) = self.mqueue_fs[fs].queues.remove(name) {
            let ns = self.mqueue_fs[fs].ns;
            self.put_mqueue(held, ns);
        }
    }

    /// Drops a reference to a queue of the namespace `ns`, if that is alive; the last one frees it and gives back what it
    /// was charged (`mqueue_evict_inode`).
    fn put_mqueue(&mut self, held: Held<Mqueue>, ns: Option<IpcNsId>) {
        let Some(mut freed) = self.mqueues.release(held) else { return };
        self.drop_notify(freed.notify.take());
        self.add_rlimit(freed.ucounts.id(), UcountRlimit::Msgqueue, -freed.cost().cast_signed());
        self.put_ucounts(freed.ucounts);
        if let Some(ns) = ns {
            self.ipc_mut(ns).mq_queues_count -= 1;
        }
    }

    /// The queue with this [`Id::serial`](crate::kernel::table::Id::serial).
    pub fn find_mqueue(&self, serial: u64) -> Option<MqueueId> {
        self.mqueues.iter().map(|(id, _)| id).find(|id| id.serial() == serial)
    }

    /// What an open queue holds.
    pub(crate) fn open_mqueue(&mut self, queue: MqueueId) -> MqueueFile {
        let fs = self.mqueue_fs.hold(self.mqueues[queue].fs);
        MqueueFile { queue: self.mqueues.hold(queue), fs }
    }

    pub(crate) fn close_mqueue(&mut self, file: MqueueFile) {
        let ns = self.mqueue_fs[file.fs.id()].ns;
        self.put_mqueue(file.queue, ns);
        self.put_mqueue_fs(file.fs);
    }

    /// A process that closes any descriptor of a queue is no longer told of messages (`mqueue_flush_file`).
    pub(crate) fn flush_mqueue(&mut self, task: TaskId, queue: MqueueId) {
        let process = self.pid_of(self.leader_of(task));
        if self.mqueues[queue].notify.as_ref().is_some_and(|notify| notify.owner.id() == process) {
            self.remove_notify(queue);
        }
    }

    /// As if a copy of all the task's descriptors were closed.
    pub(crate) fn flush_mqueues(&mut self, task: TaskId) {
        let Some(files) = self.files_of(task) else { return };
        let open = files.fds.values().map(|descriptor| &self.open_files[descriptor.file.id()].kind);
        let queues =
            open.filter_map(|kind| if let FileKind::Mqueue(open) = kind { Some(open.queue.id()) } else { None });
        for queue in queues.collect::<Vec<_>>() {
            self.flush_mqueue(task, queue);
        }
    }

    /// Nobody is told of messages any more; a thread that was to be is told so (`remove_notification`).
    pub(crate) fn remove_notify(&mut self, queue: MqueueId) {
        let notify = self.mqueues[queue].notify.take();
        if let Some(Notify { owner, method: NotifyMethod::Thread(cookie), .. }) = &notify {
            self.tell_thread(owner.id(), *cookie, NOTIFY_REMOVED);
        }
        self.drop_notify(notify);
    }

    /// Sends a cookie to the socket of a process that is a program.
    fn tell_thread(&mut self, owner: PidId, mut cookie: Cookie, why: u8) {
        cookie.bytes[NOTIFY_COOKIE_LEN - 1] = why;
        let leader = self.pids[owner].attached.process.map(|process| self.signals[process].leader);
        if let Some(task) = leader.filter(|leader| self.is_program(*leader)) {
            self.programs.note(Effect::Tell { task, cookie });
        }
    }

    fn drop_notify(&mut self, notify: Option<Notify>) {
        if let Some(notify) = notify {
            self.put_pid(notify.owner);
            self.put_ns(notify.user_ns);
        }
    }

    /// Puts a message into a queue that is not full; who waits for the first one is told, once (`__do_notify`).
    pub(crate) fn insert_message(&mut self, task: TaskId, queue: MqueueId, prio: u32, text: Vec<u8>) {
        let mqueue = &mut self.mqueues[queue];
        mqueue.messages.entry(prio).or_default().push_back(text);
        let is_first = mqueue.curmsgs() == 1;
        // One who waits for it gets it, and nobody is told.
        let is_awaited = self.programs.waiting.count(|on| *on == WaitFor::MqMessage(queue)) > 0;
        self.wake(Waited::Mqueue(queue));
        if !is_first || is_awaited {
            return;
        }
        let Some(notify) = self.mqueues[queue].notify.take() else { return };
        if let NotifyMethod::Thread(cookie) = notify.method {
            self.tell_thread(notify.owner.id(), cookie, NOTIFY_WOKENUP);
        }
        if let NotifyMethod::Signal { signo: signo @ 1.., value } = notify.method
            && let Some(process) = self.pids[notify.owner.id()].attached.process
        {
            let leader = self.signals[process].leader;
            self.send_signal(Sender::Message { task, value }, leader, true, signo);
        }
        self.drop_notify(Some(notify));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_queue_costs_82880_bytes() {
        assert_eq!(cost(10, 8192), Some(82_880));
        assert_eq!(cost(65536, 1), Some(65536 + 65536 * 48 + 32768 * 48));
        assert_eq!(cost(2, u64::MAX), None);
    }
}
