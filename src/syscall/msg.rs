//! msgget(2), msgsnd(2), msgrcv(2), msgctl(2) (`ipc/msg.c`).

use super::ipc::{self, IpcCtl, IpcFlags, Payload, SetArgs, numbers};
use super::outcome::{MsgInfo, MsqidDs, Stop, WaitFor};
use super::{Outcome, Return};
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::ipc::msg::{Message, MsgQueue, Search};
use crate::kernel::ipc::{ACCESS_READ, ACCESS_WRITE, Perm};
use crate::kernel::waiting::Waited;
use crate::kernel::{Current, IpcNsId, Kernel};
use crate::{bail, err};

/// Constants of IPC_INFO, without a meaning for long (`include/uapi/linux/msg.h`).
const MSGPOOL: i32 = 512_000;
const MSGMAP: i32 = 16384;
const MSGSSZ: i32 = 16;
const MSGTQL: i32 = 16384;
const MSGSEG: u16 = 65535;

bitflags::bitflags! {
    /// Flags of msgsnd, which knows IPC_NOWAIT alone, and msgrcv (`include/uapi/linux/msg.h`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MsgFlags: u32 {
        const NOWAIT = 0o4000;
        const NOERROR = 0o10_000;
        const EXCEPT = 0o20_000;
        const COPY = 0o40_000;
        const _ = !0;
    }
}

/// msgget(2)
///
/// # Errors
/// Those of [`ipc::get`]; ENOSPC.
pub(super) fn sys_msgget(k: &mut Kernel, me: Current, key: i32, flags: IpcFlags) -> Outcome {
    ipc::get(k, me, key, flags, |_: &MsgQueue| Ok(()), new_queue)
}

/// `newque`
fn new_queue(k: &mut Kernel, ns: IpcNsId, perm: Perm) -> Result<i32> {
    let ctime = k.real_seconds();
    let ipc = k.ipc_mut(ns);
    ipc.msg_ids.check_room(ipc.msg_ctlmni)?;
    let qbytes = u64::from(ipc.msg_ctlmnb.unsigned_abs());
    Ok(ipc.msg_ids.insert(MsgQueue::new(perm, ctime, qbytes)))
}

/// Appends a message (`do_msgsnd`).
///
/// # Errors
/// EINVAL: size, type, identifier; EACCES; ENOMEM; EAGAIN: it does not fit, with IPC_NOWAIT. Blocks: it does not fit.
pub(super) fn sys_msgsnd(k: &mut Kernel, me: Current, id: i32, mtype: i64, text: &Payload, flags: MsgFlags) -> Outcome {
    let ns = k.ipc_ns_of(me);
    let msgmax = i64::from(k.ipc(ns).msg_ctlmax);
    if !(0..=msgmax).contains(&text.size()) {
        bail!(EINVAL, "{} bytes, msgmax is {}", text.size(), msgmax);
    }
    ipc::check_id(id)?;
    if mtype < 1 {
        bail!(EINVAL, "message type {} is below 1", mtype);
    }
    let text = text.load()?;
    let queue: &MsgQueue = k.ipc_object(ns, id)?;
    k.check_ipc_access(*me, ns, &queue.perm, ACCESS_WRITE)?;
    if !queue.fits(text.len()) {
        let (held, messages) = (queue.cbytes(), queue.messages().len());
        let waits = !flags.contains(MsgFlags::NOWAIT);
        let why = err!(
            EAGAIN,
            "{} bytes do not fit: the queue has {} messages with {} bytes, its limit is {}; {}",
            text.len(),
            messages,
            held,
            queue.qbytes,
            if waits { "the call would block" } else { "IPC_NOWAIT" }
        );
        let on = WaitFor::MessageRoom { ns, id, size: text.len() };
        return Err(if waits { Stop::Blocked { on, why } } else { Stop::Failed(why) });
    }
    let (now, sender) = (k.real_seconds(), k.hold_tgid(*me));
    let queue: &mut MsgQueue = k.ipc_found(ns, id);
    queue.push(Message { mtype, text });
    queue.stime = now;
    let old = queue.lspid.replace(sender);
    k.put_pids([old]);
    k.wake(Waited::Queue(ns, id));
    Ok(Return::DONE)
}

/// `convert_mode`
fn search(mtype: i64, flags: MsgFlags) -> Search {
    match mtype {
        position if flags.contains(MsgFlags::COPY) => Search::Nth(position),
        0 => Search::Any,
        ..0 => Search::UpTo(mtype.checked_neg().unwrap_or(i64::MAX)),
        _ if flags.contains(MsgFlags::EXCEPT) => Search::NotEqual(mtype),
        _ => Search::Equal(mtype),
    }
}

/// Takes a message out, or copies one (`do_msgrcv`).
///
/// # Errors
/// EINVAL: size, flags, identifier; EACCES; ENOMSG: none with IPC_NOWAIT; E2BIG. Blocks: none is there.
pub(super) fn sys_msgrcv(k: &mut Kernel, me: Current, id: i32, mtype: i64, size: i64, flags: MsgFlags) -> Outcome {
    ipc::check_id(id)?;
    let Ok(size) = usize::try_from(size) else { bail!(EINVAL, "{} bytes are no size of a buffer", size) };
    if flags.contains(MsgFlags::COPY) && (flags.contains(MsgFlags::EXCEPT) || !flags.contains(MsgFlags::NOWAIT)) {
        bail!(EINVAL, "MSG_COPY needs IPC_NOWAIT and excludes MSG_EXCEPT");
    }
    let ns = k.ipc_ns_of(me);
    let queue: &MsgQueue = k.ipc_object(ns, id)?;
    k.check_ipc_access(*me, ns, &queue.perm, ACCESS_READ)?;
    let search = search(mtype, flags);
    let found = queue.messages().find(search);
    let Some((slot, message)) = found.and_then(|slot| Some((slot, queue.messages().get(slot)?))) else {
        if flags.contains(MsgFlags::NOWAIT) {
            bail!(ENOMSG, "none of {} messages is wanted", queue.messages().len());
        }
        let why = err!(EAGAIN, "none of {} messages is wanted: the call would block", queue.messages().len());
        return Err(Stop::Blocked { on: WaitFor::Message { ns, id, search }, why });
    };
    if message.text.len() > size && !flags.contains(MsgFlags::NOERROR) {
        bail!(E2BIG, "the message has {} bytes, the buffer {}", message.text.len(), size);
    }
    if flags.contains(MsgFlags::COPY) {
        return copy_message(message, size.min(k.ipc(ns).msg_ctlmax.unsigned_abs() as usize));
    }
    let (now, receiver) = (k.real_seconds(), k.hold_tgid(*me));
    let queue: &mut MsgQueue = k.ipc_found(ns, id);
    let message = queue.remove(slot);
    queue.rtime = now;
    let old = queue.lrpid.replace(receiver);
    k.put_pids([old]);
    k.wake(Waited::Queue(ns, id));
    let (mtype, mut text) = message.map(|message| (message.mtype, message.text)).unwrap_or_default();
    text.truncate(size);
    Ok(Return::Message { mtype, text })
}

/// MSG_COPY leaves the message where it is and does not cut it (`copy_msg`).
fn copy_message(message: &Message, room: usize) -> Outcome {
    let Message { mtype, text } = message;
    if text.len() > room {
        bail!(EINVAL, "a copy of {} bytes does not fit into {}", text.len(), room);
    }
    Ok(Return::Message { mtype: *mtype, text: text.clone() })
}

/// # Errors
/// EINVAL: the identifier, an unmapped id; EACCES: no right to read; EPERM: not the caller's, or too large a queue.
pub(super) fn sys_msgctl(k: &mut Kernel, me: Current, id: i32, op: IpcCtl) -> Outcome {
    ipc::check_id(id)?;
    let ns = k.ipc_ns_of(me);
    match op {
        IpcCtl::Info | IpcCtl::UsageInfo => Ok(info(k, ns, op)),
        IpcCtl::Stat | IpcCtl::StatIndex | IpcCtl::StatAny => {
            let queue = ipc::find_for_stat(k, me, id, op)?;
            Ok(stat(k, me, queue, op))
        }
        IpcCtl::Unknown(command) => Err(ipc::unknown_command(command).into()),
        IpcCtl::Set(set) => msg_set(k, me, ns, id, &set),
        IpcCtl::Rmid => {
            ipc::find_for_change::<MsgQueue>(k, me, ns, id)?;
            k.remove_msg_queue(ns, id);
            Ok(Return::DONE)
        }
    }
}

fn msg_set(k: &mut Kernel, me: Current, ns: IpcNsId, id: i32, set: &SetArgs) -> Outcome {
    let queue: &MsgQueue = ipc::find_for_change(k, me, ns, id)?;
    let qbytes = set.qbytes.unwrap_or(queue.qbytes);
    let msgmnb = u64::from(k.ipc(ns).msg_ctlmnb.unsigned_abs());
    if qbytes > msgmnb && !k.ns_capable(*me, k.init.user_ns, Cap::SYS_RESOURCE) {
        bail!(
            EPERM,
            "{} bytes are more than msgmnb {}, and CAP_SYS_RESOURCE is missing in {}",
            qbytes,
            msgmnb,
            k.ns_arg(k.init.user_ns)
        );
    }
    let perm = ipc::updated_perm(k, me, &queue.perm, set)?;
    let now = k.real_seconds();
    let queue: &mut MsgQueue = k.ipc_found(ns, id);
    (queue.perm, queue.qbytes, queue.ctime) = (perm, qbytes, now);
    k.wake(Waited::Queue(ns, id));
    Ok(Return::DONE)
}

fn stat(k: &Kernel, me: Current, queue: &MsgQueue, op: IpcCtl) -> Return {
    let ds = MsqidDs {
        stime: queue.stime,
        rtime: queue.rtime,
        ctime: queue.ctime,
        cbytes: queue.cbytes(),
        qnum: queue.messages().len() as u64,
        qbytes: queue.qbytes,
        lspid: numbers(k, me, queue.lspid.as_ref()),
        lrpid: numbers(k, me, queue.lrpid.as_ref()),
    };
    Return::MsgStat(ipc::stat(k, me, &queue.perm, op), ds)
}

/// `struct msginfo`, and the highest index in use.
fn info(k: &Kernel, ns: IpcNsId, op: IpcCtl) -> Return {
    let ipc = k.ipc(ns);
    let (msgpool, msgmap, msgtql) = match op {
        IpcCtl::UsageInfo => {
            let (bytes, messages) = ipc.msg_totals();
            (ipc.msg_ids.in_use() as i32, messages as i32, i32::try_from(bytes).unwrap_or(i32::MAX))
        }
        _ => (MSGPOOL, MSGMAP, MSGTQL),
    };
    Return::MsgInfo(MsgInfo {
        msgpool,
        msgmap,
        msgmax: ipc.msg_ctlmax,
        msgmnb: ipc.msg_ctlmnb,
        msgmni: ipc.msg_ctlmni,
        msgssz: MSGSSZ,
        msgtql,
        msgseg: MSGSEG,
        max_idx: ipc::max_idx::<MsgQueue>(k, ns),
    })
}
