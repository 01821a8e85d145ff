//! POSIX message queues of programs. The descriptor is a real one, of the queue's file in the lab: poll(2), fstat(2), dup(2) and
//! close(2) are the real kernel's, which tells the lab of the last close. What mq_open(2) asks, and messages, are the lab's.

use std::io;
use std::os::unix::ffi::OsStrExt;

use super::Supervisor;
use super::fd::open_flags;
use super::regs::{OPENAT, Regs};
use super::sys::Tid;
use super::tracee::{Then, field};
use crate::abi;
use crate::errno::Result;
use crate::kernel::file::OpenFlags;
use crate::kernel::ipc::mqueue::NotifyMethod;
use crate::kernel::node::Place;
use crate::kernel::{Kernel, MqueueId, TaskId};
use crate::lab::FILES;
use crate::syscall::mqueue::{MqOpen, QueueFd};
use crate::syscall::{LabCall, Return, Syscall};

/// What a real open is asked of what mq_open was.
const KEPT: u32 = (libc::O_ACCMODE | libc::O_NONBLOCK) as u32;

impl Supervisor {
    /// The lab finds or makes the queue; in place of the call, the program opens its file.
    pub(super) fn mq_open(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let args = match abi::mq_open(&regs.call(), &self.memory(tid)) {
            Ok(args) => args,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        let Some(scratch) = self.with_scratch(tid, regs, &[0])? else { return Ok(()) };
        let task = self.task(tid)?;
        let flags = args.flags & KEPT | libc::O_CLOEXEC as u32;
        let path = match self.make_queue(tid, task, args) {
            Ok(path) => path,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        if let Err(error) = self.host.write_memory(tid, scratch, &[&path[..], b"\0"].concat()) {
            return self.refuse(tid, regs, &crate::err!(EFAULT, "{}", error.to_string()));
        }
        let args = [libc::AT_FDCWD as u64, scratch, u64::from(flags), 0, 0, 0];
        self.detour(tid, regs, regs.with(OPENAT, args), Then::Queue)
    }

    /// The path of a queue's file in the lab, which the thread may open then.
    fn make_queue(&mut self, tid: Tid, task: TaskId, mut args: MqOpen) -> Result<Vec<u8>> {
        // What programs have closed by now costs nobody anything.
        let is_kept = |k: &Kernel| k.programs.queues.keys().any(|queue| k.mqueues[*queue].is_unlinked(k));
        if self.lab.read(is_kept)? {
            self.served.catch_up();
        }
        args.mode &= !self.umask(tid);
        let name = args.name.clone();
        let serial = match self.perform(task, &LabCall::MqMake(args).into()) {
            Ok(Return::Num(serial)) => serial.cast_unsigned(),
            Ok(_) => 0,
            Err(stop) => return Err(stop.error().clone()),
        };
        let (queue, is_first, number) = self.lab.read(|k| {
            let ns = |task| k.nsproxy_of(task).map(|nsproxy| nsproxy.ipc_ns());
            (k.find_mqueue(serial), ns(task) == ns(k.init.task), k.task_nr(task))
        })?;
        // One that is gone again is not there to be opened.
        if let Some(queue) = queue {
            self.lab.programs.let_open(tid.unsigned_abs(), queue);
        }
        let dir = if is_first { "mqueue".to_owned() } else { format!("as/{number}/mqueue") };
        Ok([self.served.point().path().as_os_str().as_bytes(), b"/", dir.as_bytes(), b"/", &name].concat())
    }

    /// The real umask, which the lab does not know.
    fn umask(&self, tid: Tid) -> u16 {
        let status = self.host.proc_file(tid, "status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        umask.and_then(|umask| u16::from_str_radix(umask.trim(), 8).ok()).unwrap_or(0)
    }

    /// A call with what its descriptor shows, if that is a message queue. Of other descriptors the lab has none, as it says at its
    /// time.
    /// # Errors
    /// EBADF, ENOTSOCK, EINVAL: the socket of mq_notify that is to be told.
    pub(super) fn with_queue(&mut self, tid: Tid, mut call: Syscall) -> Result<Syscall> {
        if let Syscall::MqNotify { method: Some(NotifyMethod::Thread(cookie)), .. } = &mut call {
            cookie.socket = self.netlink_inode(tid, cookie.socket as i32)?;
        }
        if let Syscall::MqSend { fd, .. }
        | Syscall::MqReceive { fd, .. }
        | Syscall::MqNotify { fd, .. }
        | Syscall::MqGetsetattr { fd, .. } = &mut call
        {
            *fd = self.shown_queue(tid, fd.own()).unwrap_or(*fd);
        }
        Ok(call)
    }

    fn shown_queue(&mut self, tid: Tid, fd: i32) -> Option<QueueFd> {
        let link = self.host.link(tid, &format!("fd/{fd}")).ok()?;
        if !link.starts_with(self.served.point().path().as_os_str().as_bytes()) {
            return None;
        }
        let info = self.host.proc_file(tid, &format!("fdinfo/{fd}")).ok()?;
        let flags = open_flags(&info);
        if flags.contains(OpenFlags::PATH) {
            return None;
        }
        let inode = match field(&info, "ino:") {
            Some(inode) => inode.cast_unsigned(),
            // Before Linux 5.14.
            None => self.host.inode(tid, fd).ok()?,
        };
        let queue = self.find_queue(inode)?;
        let kept = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::NONBLOCK;
        Some(QueueFd::Real { queue: queue.serial(), flags: flags & kept })
    }

    fn find_queue(&mut self, inode: u64) -> Option<MqueueId> {
        let known = self.queues.get(&inode).copied();
        let found = self.lab.read(|k| {
            let known = known.filter(|queue| k.mqueues.get(*queue).is_some());
            let is_it = |queue: &MqueueId| FILES.ino(k, Place::Mqueue(*queue)) == inode;
            known.or_else(|| k.mqueues.iter().map(|(queue, _)| queue).find(is_it))
        });
        let found = found.ok().flatten();
        match found {
            Some(queue) => self.queues.insert(inode, queue),
            None => self.queues.remove(&inode),
        };
        found
    }
}

/// Whether what a real open of a queue's file gave says that the name has another queue by now, or none.
pub(super) fn is_stale(result: i64) -> bool {
    [libc::ENOENT, libc::ESTALE].contains(&i32::try_from(-result).unwrap_or(0))
}
