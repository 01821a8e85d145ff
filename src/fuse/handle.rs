//! What belongs to one open file, and the last result of each control file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;

use super::poll::Seen;
use crate::kernel::TaskId;
use crate::kernel::file::Bound;
use crate::kernel::node::Place;
use crate::script::Session;
use crate::tree::DirEntry;

pub(super) use crate::host::lock;

/// An open file.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) ino: u64,
    /// What the open decided.
    pub(super) file: Bound,
    /// How many lines the journal had when it was opened.
    pub(super) opened: u64,
    /// Opened with O_APPEND: each write is at position 0, where such a file ends for Linux.
    pub(super) appends: bool,
    pub(super) state: State,
    /// What poll(2) compares with.
    pub(super) seen: Seen,
}

#[derive(Debug)]
pub(super) enum State {
    /// A version of a file, which never changes.
    Version(Arc<[u8]>),
    /// A generated file: its content when it was last read from the start.
    Content(Mutex<Option<Arc<[u8]>>>),
    /// `kernel/trace`: where in the stream the file's start was when it was first read from there.
    Stream(Mutex<u64>),
    /// A directory: its names when it was last listed from the start.
    Listing(Mutex<Option<Arc<[DirEntry]>>>),
    /// A control file.
    Control(Mutex<Answer>),
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

    /// The part of the answer at `offset` of the file, at most `size` bytes. For who seeks back to before the answer
    /// it starts there.
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
#[derive(Debug, Default)]
pub(super) struct Handles {
    next: AtomicU64,
    open: DashMap<u64, Arc<Handle>>,
}

impl Handles {
    pub(super) fn insert(&self, handle: Handle) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.insert(number, Arc::new(handle));
        number
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Handle>> {
        self.open.get(&number).map(|entry| Arc::clone(entry.value()))
    }

    pub(super) fn remove(&self, number: u64) {
        self.open.remove(&number);
    }
}

/// The result of the last call on each control file, for those who open it afterwards.
#[derive(Debug, Default)]
pub(super) struct Results(Mutex<BTreeMap<Place, Arc<[u8]>>>);

impl Results {
    pub(super) fn set(&self, file: Place, text: Arc<[u8]>) {
        lock(&self.0).insert(file, text);
    }

    /// The last result; empty if there was no call.
    pub(super) fn get(&self, file: Place) -> Arc<[u8]> {
        lock(&self.0).get(&file).cloned().unwrap_or_default()
    }

    /// Drops those of a task that is gone.
    pub(super) fn forget(&self, task: TaskId) {
        let mut results = lock(&self.0);
        let of_task = |row| Place::Above { task: Some(task), row };
        let files = results.range(of_task(0)..=of_task(u16::MAX)).map(|(place, _)| *place);
        for file in files.collect::<Vec<_>>() {
            results.remove(&file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_slice_never_leaves_the_content() {
        assert_eq!(slice(b"abc", 1, 1), b"b");
        assert_eq!(slice(b"abc", 1, u32::MAX), b"bc");
        assert_eq!(slice(b"abc", u64::MAX, 1), b"");
    }
}
