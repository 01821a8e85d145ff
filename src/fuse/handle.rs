//! What belongs to one open file, and the last result of each control file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;

use super::bounds::{Charge, OTHERS};
use super::kept::{Content, Kept};
use super::notify::Notifier;
use super::poll::Seen;
use crate::err;
use crate::errno::Result;
use crate::kernel::TaskId;
use crate::kernel::file::Bound;
use crate::kernel::node::Place;
use crate::kernel::ns::NsType;
use crate::script::Session;
use crate::tree::DirEntry;

pub(super) use crate::host::lock;

/// An open file.
#[derive(Debug)]
pub(super) struct Handle {
    /// The mount it was opened through, and the number of its inode there.
    pub(super) mount: Arc<Notifier>,
    pub(super) ino: u64,
    /// What the open decided.
    pub(super) file: Bound,
    /// How many lines the journal had when it was opened.
    pub(super) opened: u64,
    /// Opened with O_APPEND: each write is at position 0, where such a file ends for Linux.
    pub(super) appends: bool,
    /// The user who opened it.
    pub(super) uid: u32,
    /// They may change the lab.
    pub(super) may_write: bool,
    pub(super) state: State,
    /// What poll(2) compares with.
    pub(super) seen: Seen,
    /// What it pins, as a program has opened it.
    pub(super) pin: Option<Pin>,
}

/// What a program has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    Ns(NsType, u32),
    /// A message queue, by its serial.
    Queue(u64),
}

#[derive(Debug)]
pub(super) enum State {
    /// A version of a file, which never changes.
    Version { text: Arc<[u8]>, _charge: Charge },
    /// A generated file: its content when it was last read from the start.
    Content(Mutex<Option<Content>>),
    /// `kernel/trace`: where in the stream the file's start was when it was first read from there.
    Stream(Mutex<u64>),
    /// A directory: its names when it was last listed from the start.
    Listing(Mutex<Option<Arc<Kept<DirEntry>>>>),
    /// A control file: the task that makes the call, the row of its verb.
    Control { task: TaskId, row: u16, answer: Mutex<Answer> },
    /// `kernel/faults`: why what was written last through this file was refused.
    Faults(Mutex<Option<Answer>>),
    /// `ctl/batch`.
    Batch(Mutex<Answer>, Mutex<Batch>),
}

/// The interpreter of an open `ctl/batch`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Keeps the names that lines have defined.
    pub(super) session: Session,
    /// The start of a line whose end has not been written yet.
    pub(super) tail: Vec<u8>,
    /// The room that this start takes.
    pub(super) charge: Option<Charge>,
}

/// What a read after a write gives. `base` is the file position it starts at, the one after that write: a shell that
/// reads and seeks back over what it read too far, or a program that never seeks, finds the answer there.
#[derive(Debug)]
pub(super) struct Answer {
    base: u64,
    text: Arc<[u8]>,
}

impl Answer {
    pub(super) fn new(base: u64, text: Arc<[u8]>) -> Answer {
        Answer { base, text }
    }

    /// The part of the answer at `offset` of the file, at most `size` bytes. For a reader that seeks to
    /// before the answer, it starts there.
    pub(super) fn read(&mut self, offset: u64, size: u32) -> Vec<u8> {
        self.base = self.base.min(offset);
        slice(&self.text, offset - self.base, size).to_vec()
    }
}

/// At most `size` bytes of `content` from `offset` on.
pub(super) fn slice(content: &[u8], offset: u64, size: u32) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
    let end = start.saturating_add(size as usize).min(content.len());
    &content[start..end]
}

/// The open files by the number the kernel has for each. No guard of the map is held while a handle is in use.
#[derive(Debug)]
pub(super) struct Handles {
    next: AtomicU64,
    open: DashMap<u64, Arc<Handle>>,
    users: Mutex<Users>,
    /// How many one user may have.
    max: u64,
}

/// How many files are open.
#[derive(Debug, Default)]
struct Users {
    by_uid: BTreeMap<u32, u64>,
    /// Of all that may not write.
    others: u64,
}

impl Handles {
    pub(super) fn new(max: u64) -> Handles {
        Handles { next: AtomicU64::new(0), open: DashMap::new(), users: Mutex::default(), max }
    }

    /// # Errors
    /// EMFILE: the user has as many open as one may. ENFILE: all who may not write have.
    pub(super) fn insert(&self, handle: Handle) -> Result<u64> {
        lock(&self.users).add(handle.uid, handle.may_write, self.max)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.insert(number, Arc::new(handle));
        Ok(number)
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Handle>> {
        self.open.get(&number).map(|entry| Arc::clone(entry.value()))
    }

    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Files that were opened through a mount.
    pub(super) fn of_mount(&self, mount: &Arc<Notifier>) -> Vec<u64> {
        let of_mount = self.open.iter().filter(|entry| Arc::ptr_eq(&entry.value().mount, mount));
        of_mount.map(|entry| *entry.key()).collect()
    }

    pub(super) fn remove(&self, number: u64) -> Option<Arc<Handle>> {
        let (_, handle) = self.open.remove(&number)?;
        lock(&self.users).remove(handle.uid, handle.may_write);
        Some(handle)
    }
}

impl Users {
    fn add(&mut self, uid: u32, may_write: bool, max: u64) -> Result<()> {
        let own = self.by_uid.get(&uid).copied().unwrap_or_default();
        if own >= max {
            return Err(err!(EMFILE, "uid {} has {} files open (max_open_files)", uid, own));
        }
        if !may_write {
            if self.others >= max.saturating_mul(OTHERS) {
                return Err(err!(ENFILE, "users who may not write have {} files open together", self.others));
            }
            self.others += 1;
        }
        self.by_uid.insert(uid, own + 1);
        Ok(())
    }

    fn remove(&mut self, uid: u32, may_write: bool) {
        self.others -= u64::from(!may_write);
        let left = self.by_uid.get(&uid).map_or(0, |own| own - 1);
        if left == 0 {
            self.by_uid.remove(&uid)
        } else {
            self.by_uid.insert(uid, left)
        };
    }
}

/// Results by the file they are read from.
type Texts = BTreeMap<Place, Arc<[u8]>>;

/// The result of the last call on each control file, by the task it is of, for those who open it afterwards.
#[derive(Debug, Default)]
pub(super) struct Results(Mutex<BTreeMap<Option<TaskId>, Texts>>);

impl Results {
    pub(super) fn set(&self, file: Place, text: Arc<[u8]>) {
        lock(&self.0).entry(file.task()).or_default().insert(file, text);
    }

    /// The last result; empty if there was no call.
    pub(super) fn get(&self, file: Place) -> Arc<[u8]> {
        let results = lock(&self.0);
        results.get(&file.task()).and_then(|results| results.get(&file)).cloned().unwrap_or_default()
    }

    /// Drops those of a task that is gone.
    pub(super) fn forget(&self, task: TaskId) {
        lock(&self.0).remove(&Some(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;

    #[test]
    fn an_answer_starts_where_the_write_ended() {
        let mut answer = Answer::new(6, Arc::from(&b"EPERM: no\n"[..]));
        assert_eq!(answer.read(6, 5), b"EPERM");
        assert_eq!(answer.read(11, 100), b": no\n");
        assert_eq!(answer.read(16, 100), b"");
    }

    #[test]
    fn an_answer_is_given_once_to_who_seeks_to_the_start() {
        let mut answer = Answer::new(6, Arc::from(&b"0\n"[..]));
        assert_eq!(answer.read(0, 100), b"0\n");
        assert_eq!(answer.read(2, 100), b"");
    }

    #[test]
    fn users_have_bounds_of_their_own_and_together() {
        let mut users = Users::default();
        let mut add = |uid, may_write| users.add(uid, may_write, 2).map_err(|error| error.errno);
        for uid in 0..=4 {
            assert_eq!([add(uid, uid == 0), add(uid, uid == 0)], [Ok(()); 2], "{uid}");
            assert_eq!(add(uid, uid == 0), Err(Errno::EMFILE), "{uid}");
        }
        assert_eq!((add(5, false), add(6, true)), (Err(Errno::ENFILE), Ok(())));
        users.remove(4, false);
        assert!(users.add(5, false, 2).is_ok());
        users.remove(5, false);
        assert_eq!((users.by_uid.get(&5), users.others), (None, 7));
    }

    #[test]
    fn a_slice_never_leaves_the_content() {
        assert_eq!(slice(b"abc", 1, 1), b"b");
        assert_eq!(slice(b"abc", 1, u32::MAX), b"bc");
        assert_eq!(slice(b"abc", u64::MAX, 1), b"");
    }
}
