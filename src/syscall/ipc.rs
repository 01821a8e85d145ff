//! What the calls of the three System V families share (`ipc/util.c`).

use super::outcome::IpcStat;
use super::{Numbers, Outcome, Return};
use crate::errno::{Error, Result};
use crate::kernel::cred::{Kgid, Kuid, OVERFLOW_ID};
use crate::kernel::ipc::{ACCESS_READ, IPC_PRIVATE, IpcObject, MODE_BITS, Perm};
use crate::kernel::pid::Pid;
use crate::kernel::refcount::Held;
use crate::kernel::{Current, IpcNsId, Kernel};
use crate::{bail, err};

/// Bytes of one message the lab keeps; Linux has no memory for more either, sooner or later.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

bitflags::bitflags! {
    /// Flags of msgget, semget and shmget (`include/uapi/linux/ipc.h`); the lowest nine bits are the mode.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct IpcFlags: u32 {
        const CREAT = 0o1000;
        const EXCL = 0o2000;
        const _ = !0;
    }
}

impl IpcFlags {
    /// No flags, and this mode.
    pub fn from_mode(mode: u16) -> IpcFlags {
        IpcFlags::from_bits_retain(u32::from(mode & MODE_BITS))
    }

    fn mode(self) -> u16 {
        self.bits() as u16 & MODE_BITS
    }
}

/// What IPC_SET changes; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetArgs {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mode: Option<u16>,
    /// Of message queues only.
    pub qbytes: Option<u64>,
}

/// The commands of msgctl, semctl and shmctl that all three have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpcCtl {
    Rmid,
    Stat,
    /// MSG_STAT and its like: by index.
    StatIndex,
    /// MSG_STAT_ANY and its like: whatever the permission.
    StatAny,
    Set(SetArgs),
    /// The limits.
    Info,
    /// MSG_INFO and its like: what is in use.
    UsageInfo,
    /// A number that is no command.
    Unknown(i32),
}

/// The bytes of a message, or how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Text(Vec<u8>),
    Size(i64),
}

impl Payload {
    /// Bytes; negative where a size was given as such.
    pub fn size(&self) -> i64 {
        match self {
            Payload::Text(text) => i64::try_from(text.len()).unwrap_or(i64::MAX),
            Payload::Size(size) => *size,
        }
    }

    /// The text, made of `x` where only its size is known (`load_msg`).
    ///
    /// # Errors
    /// ENOMEM: more than 1 MiB.
    pub fn load(&self) -> Result<Vec<u8>> {
        match self {
            Payload::Text(text) => Ok(text.clone()),
            Payload::Size(size) => match usize::try_from(*size) {
                Ok(size) if size <= MESSAGE_BYTES_MAX => Ok(vec![b'x'; size]),
                _ => bail!(ENOMEM, "a message of {} bytes: the lab keeps at most {}", *size, MESSAGE_BYTES_MAX),
            },
        }
    }
}

/// Finds an object by key or makes one (`ipcget`). `check` looks at one that exists, `create` makes one.
///
/// # Errors
/// ENOENT, EEXIST; those of `check`; EACCES; those of `create`.
pub(super) fn get<T: IpcObject>(
    k: &mut Kernel,
    me: Current,
    key: i32,
    flags: IpcFlags,
    check: impl Fn(&T) -> Result<()>,
    create: impl FnOnce(&mut Kernel, IpcNsId, Perm) -> Result<i32>,
) -> Outcome {
    let ns = k.ipc_ns_of(me);
    if key != IPC_PRIVATE {
        if let Some(existing) = T::ids(k.ipc(ns)).find_key(key) {
            if flags.contains(IpcFlags::CREAT | IpcFlags::EXCL) {
                bail!(EEXIST, "key {} is of {} {}", key, T::NAME, existing.perm().id);
            }
            check(existing)?;
            k.check_ipc_access(*me, ns, existing.perm(), flags.mode())?;
            return Ok(Return::Num(i64::from(existing.perm().id)));
        }
        if !flags.contains(IpcFlags::CREAT) {
            bail!(ENOENT, "no {} has key {} in {}", T::NAME, key, k.ns_arg(ns));
        }
    }
    let ids = k.cred_of(*me).ids;
    let perm =
        Perm { key, id: 0, seq: 0, uid: ids.euid, gid: ids.egid, cuid: ids.euid, cgid: ids.egid, mode: flags.mode() };
    Ok(Return::Num(i64::from(create(k, ns, perm)?)))
}

/// Negative identifiers are refused before the command is looked at.
///
/// # Errors
/// EINVAL
pub(super) fn check_id(id: i32) -> Result<()> {
    if id < 0 {
        bail!(EINVAL, "{} is no identifier", id);
    }
    Ok(())
}

/// The refusal of a command by a number that is none.
pub(super) fn unknown_command(command: i32) -> Error {
    err!(EINVAL, "{} is no command", command)
}

/// The object one of the three kinds of stat means.
///
/// # Errors
/// EINVAL: there is none; EACCES: no right to read it.
pub(super) fn find_for_stat<T: IpcObject>(k: &Kernel, me: Current, id: i32, op: IpcCtl) -> Result<&T> {
    let ns = k.ipc_ns_of(me);
    let object: &T = match op {
        IpcCtl::StatIndex | IpcCtl::StatAny => k.ipc_object_at(ns, id)?,
        _ => k.ipc_object(ns, id)?,
    };
    if op != IpcCtl::StatAny {
        k.check_ipc_access(*me, ns, object.perm(), ACCESS_READ)?;
    }
    Ok(object)
}

/// What stat tells of owner and mode; the identifier too where that is the call's result.
pub(super) fn stat(k: &Kernel, me: Current, perm: &Perm, op: IpcCtl) -> IpcStat {
    let user = &k.namespaces[k.cred_of(*me).user_ns.id()];
    let uid = |kuid: Kuid| user.from_kuid(kuid).unwrap_or(OVERFLOW_ID);
    let gid = |kgid: Kgid| user.from_kgid(kgid).unwrap_or(OVERFLOW_ID);
    IpcStat {
        id: (op != IpcCtl::Stat).then_some(perm.id),
        key: perm.key,
        uid: uid(perm.uid),
        gid: gid(perm.gid),
        cuid: uid(perm.cuid),
        cgid: gid(perm.cgid),
        mode: perm.mode,
        seq: perm.seq,
    }
}

/// The numbers of who did something last; none if nobody did.
pub(super) fn numbers(k: &Kernel, me: Current, pid: Option<&Held<Pid>>) -> Numbers {
    pid.map_or_else(Numbers::default, |held| Numbers::of(k, *me, held.id()))
}

/// The object IPC_RMID and IPC_SET are about (`ipcctl_obtain_check`).
///
/// # Errors
/// EINVAL: there is none; EPERM: not the caller's.
pub(super) fn find_for_change<T: IpcObject>(k: &Kernel, me: Current, ns: IpcNsId, id: i32) -> Result<&T> {
    let object: &T = k.ipc_object(ns, id)?;
    k.check_ipc_owner(*me, ns, object.perm())?;
    Ok(object)
}

/// Owner and mode after IPC_SET (`ipc_update_perm`).
///
/// # Errors
/// EINVAL: an id the caller's user namespace does not map.
pub(super) fn updated_perm(k: &Kernel, me: Current, perm: &Perm, set: &SetArgs) -> Result<Perm> {
    let user_ns = k.cred_of(*me).user_ns.id();
    let user = &k.namespaces[user_ns];
    let mut new = perm.clone();
    if let Some(uid) = set.uid {
        let Some(kuid) = user.make_kuid(uid) else {
            bail!(EINVAL, "uid {} is not mapped in {}", uid, k.ns_arg(user_ns))
        };
        new.uid = kuid;
    }
    if let Some(gid) = set.gid {
        let Some(kgid) = user.make_kgid(gid) else {
            bail!(EINVAL, "gid {} is not mapped in {}", gid, k.ns_arg(user_ns))
        };
        new.gid = kgid;
    }
    if let Some(mode) = set.mode {
        new.mode = perm.mode & !MODE_BITS | mode & MODE_BITS;
    }
    Ok(new)
}

/// The highest index in use, 0 if there is none: the result of the info commands.
pub(super) fn max_idx<T: IpcObject>(k: &Kernel, ns: IpcNsId) -> i32 {
    T::ids(k.ipc(ns)).objects.highest().unwrap_or(0)
}
