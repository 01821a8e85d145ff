//! Messages to the host's kernel that fuser 0.18 cannot send, in the form of `include/uapi/linux/fuse.h`: to drop what it
//! has cached (`fuse_notify_*_out`), and an answer to a lookup whose inode has one number for
//! the kernel and another for users (`fuse_entry_out`).

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fuser::FileType;

use super::answer::Entry;
use super::handle::lock;
use super::inode::{Inodes, Stale};

const NOTIFY_INVAL_INODE: i32 = 2;
const NOTIFY_INC_EPOCH: i32 = 8;
const NOTIFY_PRUNE: i32 = 9;
/// Attributes are dropped, by an offset that means no content.
const ATTRIBUTES: i64 = -1;
/// Attributes and all content are dropped.
const CONTENT: i64 = 0;
/// How often, and how long each time, an answer on its way is waited for. On a busy machine 30 ms were seen; to give up
/// costs all names that are cached.
const TRIES: usize = 200;
const PAUSE: Duration = Duration::from_millis(1);
/// Before the fields of a message: its length, its code, and the request it answers.
const HEADER_LEN: usize = 16;
const NOT_AN_ANSWER: u64 = 0;

/// The type of a file as its mode has it.
fn type_bits(kind: FileType) -> u32 {
    match kind {
        FileType::NamedPipe => 0o010_000,
        FileType::CharDevice => 0o020_000,
        FileType::Directory => 0o040_000,
        FileType::BlockDevice => 0o060_000,
        FileType::RegularFile => 0o100_000,
        FileType::Symlink => 0o120_000,
        FileType::Socket => 0o140_000,
    }
}

/// A word to the thread that notifies.
enum Notice {
    /// What the host's kernel has to drop, of each mount.
    Drop(Vec<(Arc<Notifier>, Stale)>),
    /// It knows more inodes through a mount than it may.
    Shrink(Arc<Notifier>),
    /// What is done when no reader can get from a cache what was stale before: the answer to a request.
    Then(Box<dyn FnOnce() + Send>),
}

/// The way to the thread that notifies. Words arrive in the order of the changes they are about: a later change, or its
/// answer, never goes past one whose caches are not yet dropped.
#[derive(Debug)]
pub(super) struct Notices {
    ways: Mutex<Ways>,
    /// How many words are not yet done with.
    waiting: Arc<AtomicUsize>,
}

/// The way to the thread, and the mounts that it is to tell.
#[derive(Debug)]
struct Ways {
    sender: Sender<Notice>,
    mounts: Vec<Arc<Notifier>>,
}

impl Notices {
    pub(super) fn new() -> (Notices, Waiting) {
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let waits = Waiting { receiver, waiting: Arc::clone(&waiting) };
        (Notices { ways: Mutex::new(Ways { sender, mounts: Vec::new() }), waiting }, waits)
    }

    /// Has a mount told of what changes from now on. Nothing may have been answered there yet.
    pub(super) fn add(&self, mount: Arc<Notifier>) {
        lock(&self.ways).mounts.push(mount);
    }

    /// Tells a mount nothing more: nobody uses it any longer.
    pub(super) fn remove(&self, mount: &Arc<Notifier>) {
        lock(&self.ways).mounts.retain(|other| !Arc::ptr_eq(other, mount));
    }

    /// Changes the lab, and has dropped what that made stale: `change` gives what, by the inodes of a mount.
    pub(super) fn change<T, S: Fn(&Inodes) -> Stale>(&self, change: impl FnOnce() -> (T, S)) -> T {
        let ways = lock(&self.ways);
        let (value, stale) = change();
        let stale = ways.mounts.iter().map(|mount| (Arc::clone(mount), stale(&mount.inodes)));
        let stale: Vec<_> = stale.filter(|(_, stale)| !stale.is_empty()).collect();
        if !stale.is_empty() {
            self.send(&ways, Notice::Drop(stale));
        }
        value
    }

    /// Does `then` when no reader can get from a cache what the changes up to now made stale.
    pub(super) fn after(&self, then: impl FnOnce() + Send + 'static) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return then();
        }
        self.push(Box::new(then));
    }

    /// Returns when no reader can get from a cache what the changes up to now made stale.
    pub(super) fn wait(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let (done, waiter) = mpsc::sync_channel(1);
        // Should the notifier be gone, nobody waits: the sender is dropped with what it should have done.
        self.push(Box::new(move || {
            let _ = done.send(());
        }));
        let _ = waiter.recv();
    }

    /// Has the kernel made to forget inodes of a mount that nobody uses.
    pub(super) fn shrink(&self, mount: &Arc<Notifier>) {
        self.send(&lock(&self.ways), Notice::Shrink(Arc::clone(mount)));
    }

    /// Has the thread that notifies do `then` in its turn.
    pub(super) fn push(&self, then: Box<dyn FnOnce() + Send>) {
        self.send(&lock(&self.ways), Notice::Then(then));
    }

    fn send(&self, ways: &Ways, notice: Notice) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // The notifier lives longer than the session; should it not, the dropped reply answers EIO.
        let _ = ways.sender.send(notice);
    }
}

/// The other end of [`Notices`].
#[derive(Debug)]
pub(super) struct Waiting {
    receiver: Receiver<Notice>,
    waiting: Arc<AtomicUsize>,
}

/// What the host's kernel has of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cached {
    /// Nothing, and no answer that tells it of the inode is on its way.
    Nothing,
    /// The inode, its attributes and content dropped.
    Dropped,
    /// Nobody knows: an answer, or the word that the inode is forgotten, is on its way.
    Unsure,
}

impl Stale {
    pub(super) fn is_empty(&self) -> bool {
        let Stale { attrs, links, gone, tops: _, names } = self;
        attrs.is_empty() && links.is_empty() && gone.is_empty() && !names
    }

    pub(super) fn extend(&mut self, other: Stale) {
        self.attrs.extend(other.attrs);
        self.links.extend(other.links);
        self.gone.extend(other.gone);
        self.tops.extend(other.tops);
        self.names |= other.names;
    }
}

impl Waiting {
    /// What the one thread that notifies does, until nobody is left to send. It holds no lock of the lab, and no other
    /// thread waits for it: what it waits for are answers and words of the host's kernel that the session's threads take.
    pub(super) fn run(&self) {
        for notice in &self.receiver {
            match notice {
                Notice::Drop(mounts) => mounts.iter().for_each(|(mount, stale)| mount.drop_stale(stale)),
                Notice::Shrink(mount) => mount.prune(&mount.inodes.surplus()),
                Notice::Then(then) => then(),
            }
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// What the host's kernel has cached of a mount, and a second handle on its connection.
#[derive(Debug)]
pub(super) struct Notifier {
    device: File,
    inodes: Arc<Inodes>,
}

impl Notifier {
    pub(super) fn new(device: File, inodes: Arc<Inodes>) -> Notifier {
        Notifier { device, inodes }
    }

    /// Returns once no reader can get any of this from a cache. docs/invalidation.md says why none of it waits for a
    /// lock that a client can hold.
    fn drop_stale(&self, stale: &Stale) {
        let inodes = &self.inodes;
        let mut is_sure = !stale.names;
        if inodes.keeps_names() && !stale.gone.is_empty() {
            self.prune(&stale.gone);
            // One that is still there is in use, its name too.
            let is_gone = |ino: &u64| self.drop_inode(*ino, ATTRIBUTES) == Cached::Nothing;
            is_sure &= !inodes.keeps_task_names() || stale.tops.iter().all(is_gone);
        }
        for (inos, offset) in [(&stale.attrs, ATTRIBUTES), (&stale.links, CONTENT)] {
            for ino in inos {
                is_sure &= self.drop_inode(*ino, offset) != Cached::Unsure;
            }
        }
        if inodes.keeps_names() && !is_sure {
            self.ask_all_names();
        }
    }

    fn drop_inode(&self, ino: u64, offset: i64) -> Cached {
        for _ in 0..TRIES {
            if !self.inodes.is_known(ino) {
                return Cached::Nothing;
            }
            match self.inval_inode(ino, offset) {
                Ok(()) => return Cached::Dropped,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Cached::Nothing,
                Err(_) => self.inodes.wait_forgotten(ino, PAUSE),
            }
        }
        Cached::Unsure
    }

    /// Makes each name be looked up anew at its next use.
    fn ask_all_names(&self) {
        // An error says that the lab is unmounted.
        let _ = self.send(NOTIFY_INC_EPOCH, &[]);
    }

    /// Takes inodes that nobody uses out of the cache, and their names with them.
    fn prune(&self, inos: &[u64]) {
        let count = u32::try_from(inos.len()).expect("fewer inodes than there are numbers of tasks and files");
        let mut fields = Vec::with_capacity(16 + inos.len() * 8);
        fields.extend(count.to_ne_bytes());
        fields.extend([0; 12]);
        fields.extend(inos.iter().flat_map(|ino| ino.to_ne_bytes()));
        let _ = self.send(NOTIFY_PRUNE, &fields);
    }

    /// # Errors
    /// ENOENT: the kernel has no such inode. The lab is unmounted.
    fn inval_inode(&self, ino: u64, offset: i64) -> io::Result<()> {
        let length = 0_i64;
        let mut fields = Vec::with_capacity(24);
        fields.extend(ino.to_ne_bytes());
        fields.extend(offset.to_ne_bytes());
        fields.extend(length.to_ne_bytes());
        self.send(NOTIFY_INVAL_INODE, &fields)
    }

    /// Answers the lookup with number `unique`.
    pub(super) fn entry_found(&self, unique: u64, found: &Entry) {
        let attr = &found.attr;
        let mut fields = Vec::with_capacity(128);
        for word in [found.nodeid, found.generation, found.name_ttl.as_secs(), found.attr_ttl.as_secs()] {
            fields.extend(word.to_ne_bytes());
        }
        // The nanoseconds of both times to live.
        fields.extend([0; 8]);
        for word in [attr.ino.0, attr.size, attr.blocks] {
            fields.extend(word.to_ne_bytes());
        }
        // Three times, in seconds and in nanoseconds: the start of the lab's clock.
        fields.extend([0; 36]);
        let mode = u32::from(attr.perm) | type_bits(attr.kind);
        for word in [mode, attr.nlink, attr.uid, attr.gid, attr.rdev, attr.blksize, attr.flags] {
            fields.extend(word.to_ne_bytes());
        }
        // An error says that the lab is unmounted.
        let _ = self.send_to(unique, 0, &fields);
    }

    fn send(&self, code: i32, fields: &[u8]) -> io::Result<()> {
        self.send_to(NOT_AN_ANSWER, code, fields)
    }

    fn send_to(&self, unique: u64, code: i32, fields: &[u8]) -> io::Result<()> {
        let length = u32::try_from(HEADER_LEN + fields.len()).expect("messages are short");
        let mut message = Vec::with_capacity(HEADER_LEN + fields.len());
        message.extend(length.to_ne_bytes());
        message.extend(code.to_ne_bytes());
        message.extend(unique.to_ne_bytes());
        message.extend(fields);
        (&self.device).write(&message).map(drop)
    }
}
