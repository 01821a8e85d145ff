//! mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2) (`ipc/mqueue.c`).
//! Names come without the slash that the C library takes off.

use super::fd::{file_at, free_fd, install_fd, new_file};
use super::ipc::Payload;
use super::outcome::{Mqattr, Stop, WaitFor};
use super::{Outcome, Return};
use crate::errno::{Error, Result};
use crate::kernel::capability::Cap;
use crate::kernel::file::{FileKind, O_ACCMODE, OpenFlags};
use crate::kernel::ipc::mqueue::{HARD_MSGMAX, HARD_MSGSIZEMAX, MQ_PRIO_MAX, Mqueue, Notify, NotifyMethod, cost};
use crate::kernel::mount::sb::Keeps;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::refcount::Held;
use crate::kernel::signal::SIGNAL_MAX;
use crate::kernel::ucounts::UcountRlimit;
use crate::kernel::waiting::Waited;
use crate::kernel::{Current, Kernel, MqueueFsId, MqueueId};
use crate::tree::{self, Viewer};
use crate::{bail, err};

/// Longest name, bytes (`NAME_MAX`), and longest path (`PATH_MAX`, with its NUL).
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;
/// The flag of a queue's attributes.
const O_NONBLOCK: i64 = 0o4000;

/// The arguments of mq_open(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqOpen {
    pub name: Vec<u8>,
    /// Those of open(2).
    pub flags: u32,
    /// Most messages, most bytes of one.
    pub attr: Option<(i64, i64)>,
    pub mode: u16,
}

/// Which open queue a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFd {
    /// A descriptor of the task.
    Own(i32),
    /// A real descriptor of a program: what it shows, by [`Id::serial`](crate::kernel::table::Id::serial), and how it is open.
    Real { queue: u64, flags: OpenFlags },
}

impl QueueFd {
    /// The descriptor of the task; -1 if it is a real one.
    pub fn own(self) -> i32 {
        match self {
            QueueFd::Own(fd) => fd,
            QueueFd::Real { .. } => -1,
        }
    }
}

/// `getname`
fn check_path(name: &[u8]) -> Result<()> {
    if name.is_empty() {
        bail!(ENOENT, "the name is empty");
    }
    if name.len() >= PATH_MAX {
        bail!(ENAMETOOLONG, "a name of {} bytes", name.len());
    }
    Ok(())
}

/// The queue with a name, if there is one (`lookup_noperm`).
///
/// # Errors
/// EACCES: no name a file can have here; ENAMETOOLONG.
fn lookup(k: &Kernel, fs: MqueueFsId, name: &[u8]) -> Result<Option<MqueueId>> {
    if name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        bail!(EACCES, "a queue cannot be called {}", String::from_utf8_lossy(name).into_owned());
    }
    if name.len() > NAME_MAX {
        bail!(ENAMETOOLONG, "a name of {} bytes, at most {} are possible", name.len(), NAME_MAX);
    }
    Ok(k.mqueue_fs[fs].queues.get(name).map(|held| held.id()))
}

/// Opens a queue, or makes one; the result is a close-on-exec descriptor (`do_mq_open`).
///
/// # Errors
/// ENOENT, ENAMETOOLONG, EMFILE, EACCES, EEXIST, EINVAL, EOVERFLOW, ENOSPC.
pub(super) fn sys_mq_open(k: &mut Kernel, me: Current, args: &MqOpen) -> Outcome {
    check_path(&args.name)?;
    let fd = free_fd(k, me)?;
    let flags = OpenFlags::of_open(args.flags);
    let umask = k.fs[k.live(me).fs.id()].umask as u16;
    let queue = find_or_make(k, me, args, umask)?;
    let kind = FileKind::Mqueue(k.open_mqueue(queue));
    let kept = flags & (OpenFlags::READ | OpenFlags::WRITE | OpenFlags::NONBLOCK);
    let file = new_file(k, me, kind, kept, None);
    install_fd(k, me, fd, file, true);
    Ok(Return::Fd(fd))
}

/// mq_open of a program, up to the descriptor, which is a real one; the result is the queue's serial. The mode is that of the
/// queue: a umask has been applied.
///
/// # Errors
/// Those of [`sys_mq_open`] but EMFILE for want of descriptors.
pub(super) fn sys_mq_make(k: &mut Kernel, me: Current, args: &MqOpen) -> Outcome {
    check_path(&args.name)?;
    find_or_make(k, me, args, 0).map(|queue| Return::Num(queue.serial().cast_signed()))
}

fn find_or_make(k: &mut Kernel, me: Current, args: &MqOpen, umask: u16) -> Outcome<MqueueId> {
    let fs = k.mqueue_fs_of(k.ipc_ns_of(me));
    let flags = OpenFlags::of_open(args.flags);
    if let Some(queue) = lookup(k, fs, &args.name)? {
        check_existing(k, me, queue, args, flags)?;
        return Ok(queue);
    }
    if !flags.contains(OpenFlags::CREAT) {
        bail!(ENOENT, "no queue is called {}", String::from_utf8_lossy(&args.name).into_owned());
    }
    let (maxmsg, msgsize) = check_new(k, me, fs, args.attr)?;
    Ok(k.create_mqueue(*me, fs, &args.name, args.mode & 0o7777 & !umask, maxmsg, msgsize))
}

fn check_existing(k: &Kernel, me: Current, queue: MqueueId, args: &MqOpen, flags: OpenFlags) -> Result<()> {
    if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
        bail!(EEXIST, "the queue exists and O_EXCL is given");
    }
    if args.flags & O_ACCMODE == O_ACCMODE {
        bail!(EINVAL, "access mode {} is none", O_ACCMODE);
    }
    let node = Node { view: View::PidNs(k.task_active_pid_ns(*me)), place: Place::Mqueue(queue) };
    tree::may_open(k, Viewer(*me), node, flags & (OpenFlags::READ | OpenFlags::WRITE))
}

/// The attributes a new queue gets (`mqueue_create_attr`, `mqueue_get_inode`).
fn check_new(k: &Kernel, me: Current, fs: MqueueFsId, attr: Option<(i64, i64)>) -> Result<(i64, i64)> {
    let cred = k.cred_of(*me);
    let user_ns = k.mqueue_fs[fs].user_ns.id();
    let user = &k.namespaces[user_ns];
    if user.from_kuid(cred.ids.fsuid).is_none() || user.from_kgid(cred.ids.fsgid).is_none() {
        bail!(EOVERFLOW, "the caller's fsuid or fsgid has no mapping in {}", k.ns_arg(user_ns));
    }
    let Some(ns) = k.mqueue_fs[fs].ns else { bail!(EACCES, "the IPC namespace of the mount is gone") };
    let ipc = k.ipc(ns);
    let is_privileged = k.ns_capable(*me, k.init.user_ns, Cap::SYS_RESOURCE);
    // As in Linux, a negative maximum is a very high one.
    if ipc.mq_queues_count >= ipc.mq_queues_max as u32 && !is_privileged {
        bail!(
            ENOSPC,
            "{} queues, queues_max is {}, and CAP_SYS_RESOURCE is missing in {}",
            ipc.mq_queues_count,
            ipc.mq_queues_max,
            k.ns_arg(k.init.user_ns)
        );
    }
    let default = (ipc.mq_msg_max.min(ipc.mq_msg_default), ipc.mq_msgsize_max.min(ipc.mq_msgsize_default));
    let (maxmsg, msgsize) = attr.unwrap_or((i64::from(default.0), i64::from(default.1)));
    let (most, largest) = match is_privileged {
        true => (HARD_MSGMAX, HARD_MSGSIZEMAX),
        false => (i64::from(ipc.mq_msg_max), i64::from(ipc.mq_msgsize_max)),
    };
    if !(1..=most).contains(&maxmsg) || !(1..=largest).contains(&msgsize) {
        bail!(EINVAL, "{} messages of {} bytes, possible are {} of {}", maxmsg, msgsize, most, largest);
    }
    let Some(bytes) = cost(maxmsg.unsigned_abs(), msgsize.unsigned_abs()) else {
        bail!(EOVERFLOW, "{} messages of {} bytes are too many to count", maxmsg, msgsize);
    };
    let limit = k.signal_of(*me).rlimits.msgqueue.soft;
    if k.is_rlimit_overlimit(cred.user_ns.id(), cred.ids.uid, UcountRlimit::Msgqueue, limit, bytes) {
        let used = k.ucounts.table[cred.ucounts.id()].rlimit[UcountRlimit::Msgqueue as usize];
        bail!(EMFILE, "RLIMIT_MSGQUEUE is {}, uid {} uses {}, the queue costs {}", limit, cred.ids.uid.0, used, bytes);
    }
    Ok((maxmsg, msgsize))
}

/// Takes a name away (`do_mq_unlink`). The directory is sticky.
///
/// # Errors
/// ENOENT, ENAMETOOLONG, EACCES: the name; EPERM: neither the queue nor the directory is the caller's.
pub(super) fn sys_mq_unlink(k: &mut Kernel, me: Current, name: &[u8]) -> Outcome {
    check_path(name)?;
    let fs = k.mqueue_fs_of(k.ipc_ns_of(me));
    let Some(queue) = lookup(k, fs, name)? else {
        bail!(ENOENT, "no queue is called {}", String::from_utf8_lossy(name).into_owned());
    };
    check_sticky(k, me, fs, &k.mqueues[queue])?;
    k.unlink_mqueue(fs, name);
    Ok(Return::DONE)
}

/// The queues of a mounted mqueue file system.
fn mounted(k: &Kernel, dir: Node) -> Result<MqueueFsId> {
    let keeps = dir.path().map(|path| &k.vfs.sbs[k.vfs.sb_of(path.mount)].keeps);
    match keeps {
        Some(Keeps::Mqueue(queues)) => Ok(queues.id()),
        _ => bail!(EPERM, "this directory is of no mounted mqueue file system"),
    }
}

/// creat(2) in a mount: a queue with default attributes and mode 0666 less the umask (`mqueue_create`).
///
/// # Errors
/// Those of finding room for it; EACCES: the IPC namespace of the mount is gone.
pub(super) fn create_at(k: &mut Kernel, me: Current, dir: Node, name: &[u8]) -> Result<()> {
    let fs = mounted(k, dir)?;
    let (maxmsg, msgsize) = check_new(k, me, fs, None)?;
    let mode = 0o666 & !(k.fs_of(*me).map_or(0, |fs| fs.umask) as u16);
    k.create_mqueue(*me, fs, name, mode, maxmsg, msgsize);
    Ok(())
}

/// unlink(2) in a mount (`mqueue_unlink`).
///
/// # Errors
/// ENOENT; EPERM: neither the queue nor the directory is the caller's.
pub(super) fn unlink_at(k: &mut Kernel, me: Current, dir: Node, name: &[u8]) -> Result<()> {
    let fs = mounted(k, dir)?;
    let Some(queue) = k.mqueue_fs[fs].queues.get(name).map(Held::id) else {
        bail!(ENOENT, "no queue is called {}", String::from_utf8_lossy(name).into_owned());
    };
    check_sticky(k, me, fs, &k.mqueues[queue])?;
    k.unlink_mqueue(fs, name);
    Ok(())
}

/// `__check_sticky`
fn check_sticky(k: &Kernel, me: Current, fs: MqueueFsId, queue: &Mqueue) -> Result<()> {
    let cred = k.cred_of(*me);
    if cred.ids.fsuid == queue.uid || cred.ids.fsuid == k.mqueue_fs[fs].root_uid {
        return Ok(());
    }
    if !k.capable_wrt_inode_uidgid(cred.rights(), (queue.uid, queue.gid), Cap::FOWNER) {
        let user_ns = cred.user_ns.id();
        bail!(EPERM, "the queue is kuid {}'s, and CAP_FOWNER over it is missing in {}", queue.uid.0, k.ns_arg(user_ns));
    }
    Ok(())
}

/// The open queue behind a descriptor.
///
/// # Errors
/// EBADF: closed, no queue, or not open for `access`.
fn open_queue(k: &Kernel, me: Current, fd: QueueFd, access: OpenFlags) -> Result<(OpenFlags, MqueueId)> {
    let (flags, queue) = match fd {
        QueueFd::Own(fd) => {
            let file = &k.open_files[file_at(k, *me, fd)?];
            let FileKind::Mqueue(open) = &file.kind else { bail!(EBADF, "descriptor {} is no queue", fd) };
            (file.flags, open.queue.id())
        }
        QueueFd::Real { queue, flags } => match k.find_mqueue(queue).filter(|_| k.is_program(*me)) {
            Some(queue) => (flags, queue),
            None => bail!(EBADF, "no program has queue {} open", queue),
        },
    };
    if !flags.contains(access) {
        bail!(EBADF, "the descriptor is not open for this");
    }
    Ok((flags, queue))
}

/// The end of a call that has to wait; `why` leaves room for the reason.
fn blocked(flags: OpenFlags, on: WaitFor, why: impl FnOnce(&'static str) -> Error) -> Stop {
    match flags.contains(OpenFlags::NONBLOCK) {
        true => Stop::Failed(why("O_NONBLOCK")),
        false => Stop::Blocked { on, why: why("the call would block") },
    }
}

/// # Errors
/// EINVAL: the priority; EBADF; EMSGSIZE; ENOMEM; EAGAIN: the queue is full, with O_NONBLOCK. Blocks: it is full.
pub(super) fn sys_mq_send(k: &mut Kernel, me: Current, fd: QueueFd, prio: u32, text: &Payload) -> Outcome {
    if prio >= MQ_PRIO_MAX {
        bail!(EINVAL, "priority {} is not below {}", prio, MQ_PRIO_MAX);
    }
    let (flags, id) = open_queue(k, me, fd, OpenFlags::WRITE)?;
    let queue = &k.mqueues[id];
    // The size is unsigned: a negative one is too large.
    if text.size() < 0 || text.size() > queue.msgsize {
        bail!(EMSGSIZE, "{} bytes, messages of this queue have at most {}", text.size(), queue.msgsize);
    }
    let text = text.load()?;
    if queue.is_full() {
        let why = |end| err!(EAGAIN, "the queue is full with {} messages: {}", queue.curmsgs(), end);
        return Err(blocked(flags, WaitFor::MqRoom(id), why));
    }
    k.insert_message(*me, id, prio, text);
    Ok(Return::DONE)
}

/// Takes the oldest message of the highest priority.
///
/// # Errors
/// EBADF; EMSGSIZE: the buffer is smaller; EAGAIN: the queue is empty, with O_NONBLOCK. Blocks: it is empty.
pub(super) fn sys_mq_receive(k: &mut Kernel, me: Current, fd: QueueFd, size: i64) -> Outcome {
    let (flags, id) = open_queue(k, me, fd, OpenFlags::READ)?;
    let msgsize = k.mqueues[id].msgsize;
    // The size is unsigned: a negative one is large enough.
    if (0..msgsize).contains(&size) {
        bail!(EMSGSIZE, "a buffer of {} bytes, messages of this queue have up to {}", size, msgsize);
    }
    match k.mqueues[id].pop() {
        Some((prio, text)) => {
            k.wake(Waited::Mqueue(id));
            Ok(Return::MqMessage { prio, text })
        }
        None => Err(blocked(flags, WaitFor::MqMessage(id), |end| err!(EAGAIN, "the queue is empty: {}", end))),
    }
}

/// Asks to be told of the next message in the empty queue, or not any more (`do_mq_notify`).
///
/// # Errors
/// EINVAL: the signal; EBADF; EBUSY: somebody has asked already.
pub(super) fn sys_mq_notify(k: &mut Kernel, me: Current, fd: QueueFd, method: Option<NotifyMethod>) -> Outcome {
    if let Some(NotifyMethod::Signal { signo, .. }) = method
        && !(0..=SIGNAL_MAX).contains(&signo)
    {
        bail!(EINVAL, "{} is no signal", signo);
    }
    let (_, id) = open_queue(k, me, fd, OpenFlags::empty())?;
    let Some(method) = method else {
        k.flush_mqueue(*me, id);
        return Ok(Return::DONE);
    };
    if let Some(notify) = &k.mqueues[id].notify {
        bail!(EBUSY, "pid {} is to be told already", k.pids[notify.owner.id()].nr());
    }
    let user_ns = k.get_ns(k.cred_of(*me).user_ns.id());
    let owner = k.hold_tgid(*me);
    k.mqueues[id].notify = Some(Notify { owner, user_ns, method });
    Ok(Return::DONE)
}

/// Tells the attributes, and sets the flag (`do_mq_getsetattr`).
///
/// # Errors
/// EINVAL: flags other than O_NONBLOCK; EBADF.
pub(super) fn sys_mq_getsetattr(k: &mut Kernel, me: Current, fd: QueueFd, flags: Option<i64>) -> Outcome {
    if let Some(flags) = flags.filter(|flags| flags & !O_NONBLOCK != 0) {
        bail!(EINVAL, "flags {} have more than O_NONBLOCK {}", flags, O_NONBLOCK);
    }
    let (open, id) = open_queue(k, me, fd, OpenFlags::empty())?;
    let queue = &k.mqueues[id];
    let attr = Mqattr {
        flags: if open.contains(OpenFlags::NONBLOCK) { O_NONBLOCK } else { 0 },
        maxmsg: queue.maxmsg,
        msgsize: queue.msgsize,
        curmsgs: queue.curmsgs() as i64,
    };
    // Of a real descriptor the real kernel has them.
    if let (Some(flags), QueueFd::Own(fd)) = (flags, fd) {
        let file = file_at(k, *me, fd)?;
        k.open_files[file].flags.set(OpenFlags::NONBLOCK, flags != 0);
    }
    Ok(Return::Mqattr(attr))
}
