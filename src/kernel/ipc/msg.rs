//! System V message queues (`ipc/msg.c`, `ipc/msgutil.c`).

use super::message_list::MessageList;
pub use super::message_list::{Message, Search};
use super::{IpcIds, IpcObject, Perm};
use crate::kernel::ns::IpcNamespace;
use crate::kernel::pid::Pid;
use crate::kernel::refcount::Held;
use crate::kernel::waiting::Waited;
use crate::kernel::{IpcNsId, Kernel};

/// A queue (`struct msg_queue`). Times are seconds since the epoch, 0 if never.
#[derive(Clone, Debug)]
pub struct MsgQueue {
    pub perm: Perm,
    pub stime: u64,
    pub rtime: u64,
    pub ctime: u64,
    /// Most bytes in the queue, and most messages.
    pub qbytes: u64,
    pub lspid: Option<Held<Pid>>,
    pub lrpid: Option<Held<Pid>>,
    messages: MessageList,
    /// Bytes in the queue (`q_cbytes`).
    cbytes: u64,
}

impl IpcObject for MsgQueue {
    const NAME: &'static str = "message queue";
    fn perm(&self) -> &Perm {
        &self.perm
    }
    fn perm_mut(&mut self) -> &mut Perm {
        &mut self.perm
    }
    fn ids(ns: &IpcNamespace) -> &IpcIds<MsgQueue> {
        &ns.msg_ids
    }
    fn ids_mut(ns: &mut IpcNamespace) -> &mut IpcIds<MsgQueue> {
        &mut ns.msg_ids
    }
}

impl MsgQueue {
    /// An empty queue in which nothing has happened yet.
    pub fn new(perm: Perm, ctime: u64, qbytes: u64) -> MsgQueue {
        let messages = MessageList::default();
        MsgQueue { perm, stime: 0, rtime: 0, ctime, qbytes, lspid: None, lrpid: None, messages, cbytes: 0 }
    }

    /// Bytes in the queue.
    pub fn cbytes(&self) -> u64 {
        self.cbytes
    }

    pub fn messages(&self) -> &MessageList {
        &self.messages
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.cbytes += message.text.len() as u64;
        self.messages.push(message);
    }

    /// Takes out the message in a slot.
    pub(crate) fn remove(&mut self, slot: usize) -> Option<Message> {
        let message = self.messages.take(slot)?;
        self.cbytes -= message.text.len() as u64;
        Some(message)
    }

    /// Whether a message of `size` bytes fits: the limit is one of bytes and of messages (`msg_fits_inqueue`).
    pub fn fits(&self, size: usize) -> bool {
        self.cbytes + size as u64 <= self.qbytes && (self.messages.len() as u64) < self.qbytes
    }
}

impl IpcNamespace {
    /// Bytes and messages in all queues.
    pub fn msg_totals(&self) -> (u64, usize) {
        let queues = || self.msg_ids.objects.values();
        (queues().map(MsgQueue::cbytes).sum(), queues().map(|queue| queue.messages.len()).sum())
    }
}

impl Kernel {
    /// Removes a queue with its messages (`freeque`).
    pub(crate) fn remove_msg_queue(&mut self, ns: IpcNsId, id: i32) {
        if let Some(queue) = self.ipc_mut(ns).msg_ids.remove(id) {
            self.free_msg_queue(queue);
            self.wake(Waited::Queue(ns, id));
        }
    }

    pub(crate) fn free_msg_queue(&mut self, queue: MsgQueue) {
        self.put_pids([queue.lspid, queue.lrpid]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cred::{Kgid, Kuid};

    fn queue(types: &[i64]) -> MsgQueue {
        let (uid, gid) = (Kuid(0), Kgid(0));
        let perm = Perm { key: 0, id: 0, seq: 0, uid, gid, cuid: uid, cgid: gid, mode: 0 };
        let mut queue = MsgQueue::new(perm, 0, 10);
        types.iter().for_each(|&mtype| queue.push(Message { mtype, text: vec![b'x'; 2] }));
        queue
    }

    #[test]
    fn the_bytes_in_a_queue_are_those_of_its_messages() {
        let mut queue = queue(&[1, 2, 3]);
        assert_eq!(queue.cbytes(), 6);
        assert!(queue.remove(1).is_some() && queue.remove(1).is_none());
        assert_eq!((queue.cbytes(), queue.fits(6), queue.fits(7)), (4, true, false));
    }

    #[test]
    fn the_limit_is_one_of_bytes_and_of_messages() {
        assert!(queue(&[1; 4]).fits(2) && !queue(&[1; 4]).fits(3));
        let mut full = queue(&[]);
        full.qbytes = 0;
        assert!(!full.fits(0));
    }
}
