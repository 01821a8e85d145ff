//! What IPC namespaces hold: the tables of System V objects with their identifiers, keys and permissions
//! (`ipc/util.c`); the three families and the POSIX message queues are in the modules below.

pub mod message_list;
pub mod mqueue;
pub mod msg;
pub mod sem;
pub mod shm;

use std::collections::BTreeMap;

use super::capability::Cap;
use super::cred::{Kgid, Kuid};
use super::ns::IpcNamespace;
use super::pid::Pid;
use super::refcount::Held;
use super::table::Cyclic;
use super::{Current, IpcNsId, Kernel, TaskId};
use crate::bail;
use crate::errno::Result;

/// The key that names nothing (`IPC_PRIVATE`).
pub const IPC_PRIVATE: i32 = 0;
/// Most objects of a kind in one namespace (`IPCMNI`).
pub const IPC_MNI: i32 = 32768;
/// Bits of an identifier that are the index (`IPCMNI_SHIFT`).
const INDEX_BITS: u32 = 15;
/// Indexes are not used again before this many were given out (`IPCMNI_MIN_CYCLE` at its smallest, `ipc_min_cycle`).
const MIN_CYCLE: i32 = 64;
/// Sequence numbers stay below this (`ipcid_seq_max`).
const SEQ_MAX: u32 = i32::MAX.unsigned_abs() >> INDEX_BITS;
/// The permission bits of a mode.
pub const MODE_BITS: u16 = 0o777;

/// Access asked for, in all three places of a mode.
pub const ACCESS_READ: u16 = 0o444;
pub const ACCESS_WRITE: u16 = 0o222;
pub const ACCESS_EXEC: u16 = 0o111;

/// Owner, mode and name of an object (`struct kern_ipc_perm`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perm {
    pub key: i32,
    pub id: i32,
    pub seq: u32,
    pub uid: Kuid,
    pub gid: Kgid,
    pub cuid: Kuid,
    pub cgid: Kgid,
    /// The permission bits, and the state bits of shared memory above them.
    pub mode: u16,
}

/// A System V object; its table is a field of the namespace.
pub trait IpcObject: Sized {
    /// What reasons call it.
    const NAME: &'static str;
    fn perm(&self) -> &Perm;
    fn perm_mut(&mut self) -> &mut Perm;
    fn ids(ns: &IpcNamespace) -> &IpcIds<Self>;
    fn ids_mut(ns: &mut IpcNamespace) -> &mut IpcIds<Self>;
}

/// The objects of one kind in one namespace (`struct ipc_ids`).
#[derive(Clone, Debug)]
pub struct IpcIds<T> {
    pub objects: Cyclic<T>,
    keys: BTreeMap<i32, i32>,
    /// One for the whole table: goes up when the indexes start again from below.
    pub seq: u32,
    /// The index given out last; -1 at first.
    pub last_idx: i32,
    /// The identifier to give to the next object, once; -1: none asked for.
    pub next_id: i32,
}

impl<T> Default for IpcIds<T> {
    fn default() -> Self {
        IpcIds { objects: Cyclic::default(), keys: BTreeMap::new(), seq: 0, last_idx: -1, next_id: -1 }
    }
}

/// The index in an identifier (`ipcid_to_idx`).
pub fn index_of(id: i32) -> i32 {
    id & (IPC_MNI - 1)
}

impl<T: IpcObject> IpcIds<T> {
    pub fn in_use(&self) -> usize {
        self.objects.len()
    }

    /// The object with this identifier: its sequence number counts (`ipc_obtain_object_check`).
    pub fn get(&self, id: i32) -> Option<&T> {
        self.objects.peek(index_of(id)).filter(|object| object.perm().seq == id.unsigned_abs() >> INDEX_BITS)
    }

    pub fn get_mut(&mut self, id: i32) -> Option<&mut T> {
        self.objects.peek_mut(index_of(id)).filter(|object| object.perm().seq == id.unsigned_abs() >> INDEX_BITS)
    }

    /// The object with this key (`ipc_findkey`).
    pub fn find_key(&self, key: i32) -> Option<&T> {
        self.objects.peek(*self.keys.get(&key)?)
    }

    /// Whether one more object fits below `limit` (`ipc_addid`).
    ///
    /// # Errors
    /// ENOSPC; also when next_id asks for an index from which on none is free, which uses it up.
    pub fn check_room(&mut self, limit: i32) -> Result<()> {
        let limit = limit.min(IPC_MNI);
        if self.in_use() as i64 >= i64::from(limit) {
            bail!(ENOSPC, "the namespace has {} {} objects, its limit is {}", self.in_use(), T::NAME, limit);
        }
        if self.next_id >= 0 && self.asked_index().is_none() {
            let asked = std::mem::replace(&mut self.next_id, -1);
            bail!(ENOSPC, "no index from {} on is free", index_of(asked));
        }
        Ok(())
    }

    /// The index next_id leads to: the one in it, or the next that is free.
    fn asked_index(&self) -> Option<i32> {
        self.objects.first_free(index_of(self.next_id), IPC_MNI)
    }

    /// Gives a new object its identifier and its place (`ipc_idr_alloc`). [`IpcIds::check_room`] said that it fits.
    pub fn insert(&mut self, mut object: T) -> i32 {
        let (idx, seq) = match self.next_id {
            -1 => self.next_index(),
            asked => (self.asked_index(), asked.unsigned_abs() >> INDEX_BITS),
        };
        self.next_id = -1;
        let idx = idx.expect("an index is free while the table has room");
        let perm = object.perm_mut();
        perm.seq = seq;
        perm.id = (seq << INDEX_BITS).cast_signed() | idx;
        let (key, id) = (perm.key, perm.id);
        if key != IPC_PRIVATE {
            self.keys.insert(key, idx);
        }
        self.objects.insert(idx, object);
        id
    }

    fn next_index(&mut self) -> (Option<i32>, u32) {
        let in_use = i32::try_from(self.in_use()).unwrap_or(IPC_MNI);
        let end = (in_use.saturating_mul(3) / 2).clamp(MIN_CYCLE, IPC_MNI);
        let idx = self.objects.next_free(0, end);
        if let Some(idx) = idx {
            if idx <= self.last_idx {
                self.seq = (self.seq + 1) % SEQ_MAX;
            }
            self.last_idx = idx;
            self.objects.cursor = idx + 1;
        }
        (idx, self.seq)
    }

    /// Takes an object out of the table (`ipc_rmid`).
    pub fn remove(&mut self, id: i32) -> Option<T> {
        let key = self.get(id)?.perm().key;
        self.keys.remove(&key);
        self.objects.remove(index_of(id))
    }

    /// Takes the key from an object; another one may have it then (`ipc_set_key_private`).
    pub fn make_private(&mut self, id: i32) {
        if let Some(object) = self.get_mut(id) {
            let key = std::mem::replace(&mut object.perm_mut().key, IPC_PRIVATE);
            self.keys.remove(&key);
        }
    }
}

impl Kernel {
    /// The IPC namespace of the task that makes the call.
    pub(crate) fn ipc_ns_of(&self, task: Current) -> IpcNsId {
        self.current_nsproxy(task).ipc_ns()
    }

    pub(crate) fn ipc(&self, ns: IpcNsId) -> &IpcNamespace {
        &self.namespaces[ns]
    }

    pub(crate) fn ipc_mut(&mut self, ns: IpcNsId) -> &mut IpcNamespace {
        &mut self.namespaces[ns]
    }

    /// The object with an identifier.
    ///
    /// # Errors
    /// EINVAL: there is none, or the sequence number in it is not that of the object.
    pub fn ipc_object<T: IpcObject>(&self, ns: IpcNsId, id: i32) -> Result<&T> {
        let ids = T::ids(self.ipc(ns));
        if let Some(object) = ids.get(id).filter(|_| id >= 0) {
            return Ok(object);
        }
        match ids.objects.peek(index_of(id)).filter(|_| id >= 0) {
            Some(other) => bail!(EINVAL, "index {} of {} is now id {}", index_of(id), T::NAME, other.perm().id),
            None => bail!(EINVAL, "no {} has id {} in {}", T::NAME, id, self.ns_arg(ns)),
        }
    }

    /// The object at the index of an identifier, whatever its sequence number (`ipc_obtain_object_idr`).
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn ipc_object_at<T: IpcObject>(&self, ns: IpcNsId, id: i32) -> Result<&T> {
        match T::ids(self.ipc(ns)).objects.peek(index_of(id)) {
            Some(object) => Ok(object),
            None => bail!(EINVAL, "no {} has index {} in {}", T::NAME, index_of(id), self.ns_arg(ns)),
        }
    }

    /// An object that a check of the same call has found.
    pub(crate) fn ipc_found<T: IpcObject>(&mut self, ns: IpcNsId, id: i32) -> &mut T {
        T::ids_mut(self.ipc_mut(ns)).get_mut(id).expect("the call found the object before")
    }

    /// May `task` use an object so? `asked` are bits of a mode, in any of the three places; none asks nothing
    /// (`ipcperms`).
    ///
    /// # Errors
    /// EACCES
    pub fn check_ipc_access(&self, task: TaskId, ns: IpcNsId, perm: &Perm, asked: u16) -> Result<()> {
        let cred = self.cred_of(task);
        let is_member = |gid: Kgid| cred.ids.fsgid == gid || cred.groups.contains(&gid);
        let granted = if cred.ids.euid == perm.cuid || cred.ids.euid == perm.uid {
            perm.mode >> 6
        } else if is_member(perm.cgid) || is_member(perm.gid) {
            perm.mode >> 3
        } else {
            perm.mode
        };
        let asked = (asked >> 6 | asked >> 3 | asked) & 0o7;
        if asked & !granted == 0 {
            return Ok(());
        }
        let owner = self.ns_owner(ns).expect("an ipc namespace has an owner");
        if self.ns_capable(task, owner, Cap::IPC_OWNER) {
            return Ok(());
        }
        bail!(
            EACCES,
            "mode {} of kuid {} kgid {} does not grant {}, and CAP_IPC_OWNER is missing in {}, owner of {}",
            format!("{:04o}", perm.mode),
            perm.uid.0,
            perm.gid.0,
            format!("{asked:o}"),
            self.ns_arg(owner),
            self.ns_arg(ns)
        )
    }

    /// May `task` change or remove an object? (`ipcctl_obtain_check`)
    ///
    /// # Errors
    /// EPERM: neither its owner nor its creator, and no CAP_SYS_ADMIN over the namespace.
    pub fn check_ipc_owner(&self, task: TaskId, ns: IpcNsId, perm: &Perm) -> Result<()> {
        let euid = self.cred_of(task).ids.euid;
        let owner = self.ns_owner(ns).expect("an ipc namespace has an owner");
        if euid == perm.cuid || euid == perm.uid || self.ns_capable(task, owner, Cap::SYS_ADMIN) {
            return Ok(());
        }
        bail!(
            EPERM,
            "kuid {} is neither owner {} nor creator {}, and CAP_SYS_ADMIN is missing in {}, owner of {}",
            euid.0,
            perm.uid.0,
            perm.cuid.0,
            self.ns_arg(owner),
            self.ns_arg(ns)
        )
    }

    /// A reference to the struct pid of the task's process, to be kept as "who did it last".
    pub(crate) fn hold_tgid(&mut self, task: TaskId) -> Held<Pid> {
        self.pids.hold(self.pid_of(self.leader_of(task)))
    }

    pub(crate) fn put_pids(&mut self, held: impl IntoIterator<Item = Option<Held<Pid>>>) {
        for pid in held.into_iter().flatten() {
            self.put_pid(pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(Perm);

    impl IpcObject for Thing {
        const NAME: &'static str = "thing";
        fn perm(&self) -> &Perm {
            &self.0
        }
        fn perm_mut(&mut self) -> &mut Perm {
            &mut self.0
        }
        fn ids(_: &IpcNamespace) -> &IpcIds<Thing> {
            panic!("the table stands alone")
        }
        fn ids_mut(_: &mut IpcNamespace) -> &mut IpcIds<Thing> {
            panic!("the table stands alone")
        }
    }

    fn thing(key: i32) -> Thing {
        let (uid, gid) = (Kuid(0), Kgid(0));
        Thing(Perm { key, id: 0, seq: 0, uid, gid, cuid: uid, cgid: gid, mode: 0o600 })
    }

    #[test]
    fn an_index_comes_back_only_after_the_cycle_and_with_the_next_sequence_number() {
        let mut ids = IpcIds::default();
        for expected in 0..MIN_CYCLE {
            assert_eq!(ids.insert(thing(0)), expected);
            assert!(ids.remove(expected).is_some());
        }
        assert_eq!(ids.insert(thing(0)), IPC_MNI);
        assert!(ids.get(0).is_none() && ids.get(IPC_MNI).is_some());
    }

    #[test]
    fn the_sequence_number_wraps_below_its_maximum() {
        let mut ids = IpcIds { seq: SEQ_MAX - 1, last_idx: 5, ..IpcIds::default() };
        assert_eq!(ids.insert(thing(0)), 0);
        assert_eq!(ids.seq, 0);
    }

    #[test]
    fn an_identifier_may_be_asked_for_once() {
        let mut ids = IpcIds { next_id: 3 << INDEX_BITS | 7, ..IpcIds::default() };
        assert_eq!(ids.insert(thing(0)), 3 << INDEX_BITS | 7);
        assert_eq!((ids.seq, ids.last_idx, ids.next_id, ids.objects.cursor), (0, -1, -1, 0));
        ids.next_id = 7;
        assert_eq!(ids.insert(thing(0)), 8);
        ids.next_id = IPC_MNI - 1;
        ids.insert(thing(0));
        ids.next_id = IPC_MNI - 1;
        assert!(ids.check_room(IPC_MNI).is_err());
    }

    #[test]
    fn a_key_is_free_again_once_its_object_is_private_or_gone() {
        let mut ids = IpcIds::default();
        let id = ids.insert(thing(42));
        assert!(ids.find_key(42).is_some());
        ids.make_private(id);
        assert!(ids.find_key(42).is_none() && ids.get(id).is_some());
        let id = ids.insert(thing(42));
        ids.remove(id);
        assert!(ids.find_key(42).is_none());
    }

    #[test]
    fn the_limit_counts_objects_and_never_exceeds_ipcmni() {
        let mut ids = IpcIds::default();
        ids.insert(thing(0));
        assert!(ids.check_room(1).is_err() && ids.check_room(2).is_ok() && ids.check_room(i32::MAX).is_ok());
    }
}
