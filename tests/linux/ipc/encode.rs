//! Calls on System V objects, message queues and clocks as what a worker does. Never in the initial IPC namespace: that is
//! the host's.

use nslab::kernel::file::FileKind;
use nslab::kernel::ipc::mqueue::{Mqueue, NotifyMethod};
use nslab::kernel::ipc::msg::MsgQueue;
use nslab::kernel::ipc::sem::{SemOp, SemSet};
use nslab::kernel::ipc::shm::ShmFlags;
use nslab::kernel::ipc::shm::{PAGE_SIZE, ShmSegment, pages};
use nslab::kernel::nsproxy::NsProxy;
use nslab::kernel::pid::Pid;
use nslab::kernel::refcount::Held;
use nslab::kernel::{IpcNsId, Kernel, TaskId};
use nslab::syscall::Syscall;
use nslab::syscall::ipc::{IpcCtl, Payload, SetArgs};
use nslab::syscall::mqueue::MqOpen;
use nslab::syscall::msg::MsgFlags;
use nslab::syscall::sem::{SemCtl, SemGet};
use nslab::syscall::shm::ShmCtl;

use super::clock::Asked;
use super::decode::{ADDRESS_SHIFT, BUFFER, Family, ROOM, SHIFTED, Shape};
use crate::encode::{Answer, Arg, Context, Encoded, IN, IN_ARG, Job, NULL, Raw, call, int, with_data, zero_ended};
use crate::numbers::Numbers;

const BUFFER_ARG: Arg = Arg::Data(BUFFER as u64);

/// A call on IPC objects; `None` in the initial IPC namespace, and in a sandbox, whose programs are about files.
fn private(c: &Context<'_>, encode: impl FnOnce() -> Option<(Raw, Shape)>) -> Option<Encoded> {
    let (raw, shape) = (super::is_private(c.k, c.me) && !c.is_sandboxed).then(encode)??;
    Some((Job::Call(raw), Answer::Ipc(shape)))
}

/// A call on objects of an IPC namespace.
pub fn encode(c: &Context<'_>, call: &Syscall) -> Option<Encoded> {
    private(c, || match call {
        Syscall::Msgget { .. } | Syscall::Msgsnd { .. } | Syscall::Msgrcv { .. } | Syscall::Msgctl { .. } => {
            msg(c, call)
        }
        Syscall::Semget { .. } | Syscall::Semop { .. } => sem(call),
        Syscall::Semctl { id, op } => semctl(c, *id, op),
        Syscall::Shmget { .. } | Syscall::Shmat { .. } | Syscall::Shmdt { .. } | Syscall::Shmctl { .. } => shm(c, call),
        _ => mq(c, call),
    })
}

pub fn encode_mq_close(c: &Context<'_>, fd: i32) -> Option<Encoded> {
    private(c, || Some((call(libc::SYS_close, &[int(fd)]), Shape::Number)))
}

pub fn encode_clock_gettime(c: &Context<'_>, clock: i32) -> Option<Encoded> {
    if c.is_sandboxed {
        return None;
    }
    let raw = call(libc::SYS_clock_gettime, &[int(clock), BUFFER_ARG]);
    // There is no such clock on either side; the alarm clocks need a device.
    let is_known = (0..=9).contains(&clock) || clock == 11;
    let shape = if is_known { Shape::Clock(Asked::new(c, clock)?) } else { Shape::Number };
    Some((Job::Call(raw), Answer::Ipc(shape)))
}

/// What a pid in an answer may be in the lab: the living of the caller's namespace, and whoever used an object last.
pub fn numbers(k: &Kernel, me: TaskId, numbers: &Numbers) -> Vec<(i32, i32)> {
    let mut known = numbers.answers(k, me);
    let own = k.task_active_pid_ns(me);
    let mut add = |held: Option<&Held<Pid>>| {
        let Some(pid) = held.map(|held| &k.pids[held.id()]) else { return };
        let here = if own == k.init.pid_ns { numbers.past_real(pid.nr()) } else { pid.nr_in(own) };
        known.extend(here.map(|here| (here, pid.nr())));
    };
    let Some(ns) = k.nsproxy_of(me).map(NsProxy::ipc_ns) else { return known };
    let ipc = &k.namespaces[ns];
    ipc.msg_ids.objects.values().flat_map(|queue| [&queue.lspid, &queue.lrpid]).for_each(|pid| add(pid.as_ref()));
    ipc.sem_ids.objects.values().flat_map(|set| &set.sems).for_each(|sem| add(sem.pid.as_ref()));
    ipc.shm_ids.objects.values().flat_map(|segment| [&segment.cpid, &segment.lpid]).for_each(|pid| add(pid.as_ref()));
    known
}

fn own_ns(c: &Context<'_>) -> Option<IpcNsId> {
    c.k.nsproxy_of(c.me).map(NsProxy::ipc_ns)
}

fn flags(flags: u32) -> Arg {
    Arg::Value(u64::from(flags))
}

/// The bytes of a payload, so far as they may be looked at; `None` where more might be than there is room for.
fn payload(payload: &Payload, most: i64) -> Option<(i64, Vec<u8>)> {
    let size = payload.size();
    match payload {
        Payload::Text(text) if text.len() <= ROOM => Some((size, text.clone())),
        Payload::Size(size) if (0..=ROOM as i64).contains(size) => Some((*size, vec![b'x'; *size as usize])),
        _ => (!(0..=most).contains(&size)).then(|| (size, Vec::new())),
    }
}

fn msg(c: &Context<'_>, op: &Syscall) -> Option<(Raw, Shape)> {
    Some(match op {
        Syscall::Msgget { key, flags: bits } => {
            (call(libc::SYS_msgget, &[int(*key), flags(bits.bits())]), Shape::Number)
        }
        Syscall::Msgsnd { id, mtype, text, .. } => {
            let msgmax = c.k.namespaces[own_ns(c)?].msg_ctlmax;
            let (size, bytes) = payload(text, i64::from(msgmax))?;
            let args = [int(*id), BUFFER_ARG, Arg::Value(size as u64), int(libc::IPC_NOWAIT)];
            (with_buffer(libc::SYS_msgsnd, &args, [&mtype.to_ne_bytes()[..], &bytes].concat()), Shape::Number)
        }
        Syscall::Msgrcv { id, mtype, size, flags: given } => {
            let mut bits = *given;
            let waits = !bits.contains(MsgFlags::NOWAIT);
            // Without IPC_NOWAIT a copy is refused before anything could wait.
            if !bits.contains(MsgFlags::COPY) {
                bits |= MsgFlags::NOWAIT;
            }
            let size = (*size).min(ROOM as i64);
            let args = [int(*id), BUFFER_ARG, Arg::Value(size as u64), Arg::Value(*mtype as u64), flags(bits.bits())];
            (call(libc::SYS_msgrcv, &args), Shape::Message { waits })
        }
        Syscall::Msgctl { id, op } => ctl(c, Family::Msg, *id, *op)?,
        other => panic!("{other:?} is about no queue of messages"),
    })
}

fn with_buffer(number: i64, args: &[Arg], bytes: Vec<u8>) -> Raw {
    Raw { number, args: args.to_vec(), data: vec![(BUFFER, bytes)] }
}

/// A command that all three families have.
fn ctl(c: &Context<'_>, family: Family, id: i32, op: IpcCtl) -> Option<(Raw, Shape)> {
    let [stat_index, info, stat_any] = match family {
        Family::Msg => [11, 12, 13],
        Family::Sem => [18, 19, 20],
        Family::Shm => [13, 14, 15],
    };
    let stat = |indexed| Shape::Stat { family, indexed, now: c.k.real_seconds() };
    let (command, shape) = match op {
        IpcCtl::Rmid => (libc::IPC_RMID, Shape::Number),
        IpcCtl::Set(_) => (libc::IPC_SET, Shape::Number),
        IpcCtl::Stat => (libc::IPC_STAT, stat(false)),
        IpcCtl::StatIndex => (stat_index, stat(true)),
        IpcCtl::StatAny => (stat_any, stat(true)),
        IpcCtl::Info => (libc::IPC_INFO, Shape::Limits(family)),
        IpcCtl::UsageInfo => (info, Shape::Usage(family)),
        IpcCtl::Unknown(command) if (0..=20).contains(&command) => return None,
        IpcCtl::Unknown(command) => (command, Shape::Number),
    };
    let mut raw = match family {
        Family::Msg => call(libc::SYS_msgctl, &[int(id), int(command), BUFFER_ARG]),
        Family::Sem => call(libc::SYS_semctl, &[int(id), NULL, int(command), BUFFER_ARG]),
        Family::Shm => call(libc::SYS_shmctl, &[int(id), int(command), BUFFER_ARG]),
    };
    if let IpcCtl::Set(set) = op {
        raw.data.push((BUFFER, set_struct(c, family, id, &set)?));
    }
    Some((raw, shape))
}

/// The struct of IPC_SET. What the call of the lab leaves alone has to be in it, too: only the bytes of a queue are.
fn set_struct(c: &Context<'_>, family: Family, id: i32, set: &SetArgs) -> Option<Vec<u8>> {
    let (SetArgs { uid: Some(uid), gid: Some(gid), mode: Some(mode), .. }, mut bytes) = (*set, vec![0u8; 128]) else {
        return None;
    };
    bytes[4..8].copy_from_slice(&uid.to_ne_bytes());
    bytes[8..12].copy_from_slice(&gid.to_ne_bytes());
    bytes[20..24].copy_from_slice(&u32::from(mode).to_ne_bytes());
    if family == Family::Msg {
        let qbytes = set.qbytes.unwrap_or_else(|| queue_bytes(c, id));
        bytes[88..96].copy_from_slice(&qbytes.to_ne_bytes());
    }
    Some(bytes)
}

/// The limit of a queue as it is.
pub fn queue_bytes(c: &Context<'_>, id: i32) -> u64 {
    own_ns(c).and_then(|ns| c.k.ipc_object::<MsgQueue>(ns, id).ok()).map_or(0, |queue| queue.qbytes)
}

fn sem(op: &Syscall) -> Option<(Raw, Shape)> {
    Some(match op {
        Syscall::Semget { key, nsems, flags: bits } => {
            (call(libc::SYS_semget, &[int(*key), int(*nsems), flags(bits.bits())]), Shape::Number)
        }
        Syscall::Semop { id, ops } => {
            let args = [int(*id), BUFFER_ARG, Arg::Value(ops.len() as u64), IN_ARG];
            let mut raw = with_buffer(libc::SYS_semtimedop, &args, ops.iter().flat_map(sembuf).collect());
            // A timeout of nothing: what would wait is refused.
            raw.data.push((IN, vec![0; 16]));
            (raw, Shape::Number)
        }
        other => panic!("{other:?} is about no set of semaphores"),
    })
}

fn semctl(c: &Context<'_>, id: i32, op: &SemCtl) -> Option<(Raw, Shape)> {
    let control = |num: i32, command: i32, arg| call(libc::SYS_semctl, &[int(id), int(num), int(command), arg]);
    Some(match op {
        SemCtl::Ipc(op) => ctl(c, Family::Sem, id, *op)?,
        SemCtl::Setval { num, value } => (control(*num, 16, int(*value)), Shape::Number),
        SemCtl::Get { num, what } => match what {
            SemGet::Value => (control(*num, 12, NULL), Shape::Number),
            SemGet::Pid => (control(*num, 11, NULL), Shape::Pid),
            SemGet::Growing => (control(*num, 14, NULL), Shape::Number),
            SemGet::Zero => (control(*num, 15, NULL), Shape::Number),
        },
        SemCtl::Getall => {
            let set = c.k.ipc_object::<SemSet>(own_ns(c)?, id);
            let count = set.map_or(0, |set| set.sems.len());
            (2 * count <= ROOM).then(|| (control(0, 13, BUFFER_ARG), Shape::Values(count)))?
        }
        SemCtl::Setall(values) => {
            // The number of values is the set's on the machine; negative ones would be others there.
            let set = c.k.ipc_object::<SemSet>(own_ns(c)?, id);
            let fits = set.is_ok_and(|set| set.sems.len() == values.len()) && 2 * values.len() <= ROOM;
            let bytes: Vec<u8> = values.iter().flat_map(|value| (*value as u16).to_ne_bytes()).collect();
            let args = [int(id), NULL, int(17), BUFFER_ARG];
            fits.then(|| (with_buffer(libc::SYS_semctl, &args, bytes), Shape::Number))?
        }
    })
}

/// `struct sembuf`
fn sembuf(op: &SemOp) -> [u8; 6] {
    let ([a, b], [c, d], [e, f]) = (op.num.to_ne_bytes(), op.delta.to_ne_bytes(), op.flags.bits().to_ne_bytes());
    [a, b, c, d, e, f]
}

fn real_address(address: u64) -> u64 {
    if SHIFTED.contains(&address) { address - ADDRESS_SHIFT } else { address }
}

fn shm(c: &Context<'_>, op: &Syscall) -> Option<(Raw, Shape)> {
    Some(match op {
        Syscall::Shmget { key, size, flags: bits } => {
            (call(libc::SYS_shmget, &[int(*key), Arg::Value(*size), flags(bits.bits())]), Shape::Number)
        }
        Syscall::Shmat { id, addr, flags: bits } => {
            let address = match *addr {
                0 if bits.contains(ShmFlags::REMAP) => 0,
                // Where the lab would put it: the machine has no reason to choose the same.
                0 => match c.k.ipc_object::<ShmSegment>(own_ns(c)?, *id) {
                    Ok(segment) => {
                        let mm = c.k.mm_id_of(c.me)?;
                        c.k.free_range(mm, pages(segment.segsz) * PAGE_SIZE)?
                    }
                    Err(_) => 0,
                },
                address => address,
            };
            let args = [int(*id), Arg::Value(real_address(address)), flags(bits.bits())];
            (call(libc::SYS_shmat, &args), Shape::Address)
        }
        Syscall::Shmdt { addr } => (call(libc::SYS_shmdt, &[Arg::Value(real_address(*addr))]), Shape::Number),
        Syscall::Shmctl { id, op: ShmCtl::Ipc(op) } => ctl(c, Family::Shm, *id, *op)?,
        Syscall::Shmctl { id, op: ShmCtl::Lock } => (call(libc::SYS_shmctl, &[int(*id), int(11), NULL]), Shape::Number),
        Syscall::Shmctl { id, op: ShmCtl::Unlock } => {
            (call(libc::SYS_shmctl, &[int(*id), int(12), NULL]), Shape::Number)
        }
        other => panic!("{other:?} is about no shared memory"),
    })
}

/// The queue behind a descriptor of a task.
pub fn queue_at(k: &Kernel, me: TaskId, fd: i32) -> Option<&Mqueue> {
    match &k.open_files[k.file_at(me, fd)?].kind {
        FileKind::Mqueue(open) => Some(&k.mqueues[open.queue.id()]),
        _ => None,
    }
}

fn mq(c: &Context<'_>, op: &Syscall) -> Option<(Raw, Shape)> {
    Some(match op {
        Syscall::MqOpen(args) => (mq_open(args), Shape::Number),
        Syscall::MqUnlink { name } => (with_data(libc::SYS_mq_unlink, &[IN_ARG], zero_ended(name)), Shape::Number),
        Syscall::MqSend { fd, prio, text } => {
            let most = queue_at(c.k, c.me, fd.own()).map_or(0, |queue| queue.msgsize);
            let (size, bytes) = payload(text, most)?;
            let args = [int(fd.own()), BUFFER_ARG, Arg::Value(size as u64), Arg::Value(u64::from(*prio)), IN_ARG];
            (with_past(with_buffer(libc::SYS_mq_timedsend, &args, bytes)), Shape::Number)
        }
        Syscall::MqReceive { fd, size } => {
            let args = [int(fd.own()), BUFFER_ARG, Arg::Value(*size as u64), NULL, IN_ARG];
            (with_past(call(libc::SYS_mq_timedreceive, &args)), Shape::MqMessage)
        }
        Syscall::MqNotify { fd, method } => {
            let Some(method) = method else {
                return Some((call(libc::SYS_mq_notify, &[int(fd.own()), NULL]), Shape::Number));
            };
            let (signo, notify) = match method {
                NotifyMethod::Signal { signo, .. } => (*signo, libc::SIGEV_SIGNAL),
                NotifyMethod::None => (0, libc::SIGEV_NONE),
                // A worker has no netlink socket.
                NotifyMethod::Thread(_) => return None,
            };
            let mut sigevent = vec![0u8; 64];
            sigevent[8..12].copy_from_slice(&signo.to_ne_bytes());
            sigevent[12..16].copy_from_slice(&notify.to_ne_bytes());
            (with_buffer(libc::SYS_mq_notify, &[int(fd.own()), BUFFER_ARG], sigevent), Shape::Number)
        }
        Syscall::MqGetsetattr { fd, flags } => {
            let new = if flags.is_some() { IN_ARG } else { NULL };
            let mut raw = call(libc::SYS_mq_getsetattr, &[int(fd.own()), new, BUFFER_ARG]);
            raw.data.extend(flags.map(|flags| (IN, [&flags.to_ne_bytes()[..], &[0; 56]].concat())));
            (raw, Shape::MqAttr)
        }
        other => panic!("{other:?} has no counterpart here"),
    })
}

/// A point in time long ago as the timeout: what would wait is refused.
fn with_past(mut raw: Raw) -> Raw {
    raw.data.push((IN, vec![0; 16]));
    raw
}

fn mq_open(args: &MqOpen) -> Raw {
    let attr = if args.attr.is_some() { BUFFER_ARG } else { NULL };
    let mode = Arg::Value(u64::from(args.mode));
    let mut raw = with_data(libc::SYS_mq_open, &[IN_ARG, flags(args.flags), mode, attr], zero_ended(&args.name));
    if let Some((maxmsg, msgsize)) = args.attr {
        raw.data.push((BUFFER, [0, maxmsg, msgsize, 0].iter().flat_map(|word| word.to_ne_bytes()).collect()));
    }
    raw
}
