//! Messages to the host's kernel that fuser 0.18 cannot send, in the form of `include/uapi/linux/fuse.h`: to drop what it
//! has cached, names that expire included (`fuse_notify_*_out`), and an answer to a lookup whose inode has one number for
//! the kernel and another for users (`fuse_entry_out`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::Receiver;

use fuser::FileType;

use super::answer::Entry;
use super::inode::Stale;

const NOTIFY_INVAL_INODE: i32 = 2;
const NOTIFY_INVAL_ENTRY: i32 = 3;
/// Keep the name, ask again at its next use.
const EXPIRE_ONLY: u32 = 1;
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

/// What the host's kernel has to drop, and what is done when no reader can get any of it from a cache any more: the answer
/// to the request that made it stale.
pub(super) struct Notice {
    pub(super) stale: Stale,
    pub(super) then: Box<dyn FnOnce() + Send>,
}

impl Stale {
    pub(super) fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.expired.is_empty() && self.inodes.is_empty()
    }

    pub(super) fn extend(&mut self, other: Stale) {
        self.dropped.extend(other.dropped);
        self.expired.extend(other.expired);
        self.inodes.extend(other.inodes);
    }
}

/// A second handle on the connection.
#[derive(Debug)]
pub(super) struct Notifier {
    device: File,
}

impl Notifier {
    pub(super) fn new(device: File) -> Notifier {
        Notifier { device }
    }

    /// What the one thread that notifies does, until nobody is left to send. It holds no lock of the lab, and no other
    /// thread waits for it: what it waits for in the host's kernel are requests that the session's threads answer.
    pub(super) fn run(&self, notices: &Receiver<Notice>) {
        for Notice { stale, then } in notices {
            self.drop_stale(&stale);
            then();
        }
    }

    /// Returns once no reader can get any of this from a cache. Names first: that waits for lookups on their way, so
    /// that the inodes they make known are there to be invalidated.
    fn drop_stale(&self, stale: &Stale) {
        for (parent, name) in &stale.dropped {
            self.entry(*parent, name, 0);
        }
        for (parent, name) in &stale.expired {
            self.entry(*parent, name, EXPIRE_ONLY);
        }
        for ino in &stale.inodes {
            self.inode(*ino);
        }
    }

    fn entry(&self, parent: u64, name: &OsStr, flags: u32) {
        let length = u32::try_from(name.len()).expect("a name that was looked up is at most 255 bytes");
        let mut fields = Vec::with_capacity(name.len() + 17);
        fields.extend(parent.to_ne_bytes());
        fields.extend(length.to_ne_bytes());
        fields.extend(flags.to_ne_bytes());
        fields.extend(name.as_bytes());
        fields.push(0);
        self.send(NOTIFY_INVAL_ENTRY, &fields);
    }

    /// Attributes and the whole content.
    fn inode(&self, ino: u64) {
        let (offset, length) = (0_i64, 0_i64);
        let mut fields = Vec::with_capacity(24);
        fields.extend(ino.to_ne_bytes());
        fields.extend(offset.to_ne_bytes());
        fields.extend(length.to_ne_bytes());
        self.send(NOTIFY_INVAL_INODE, &fields);
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
        self.send_to(unique, 0, &fields);
    }

    fn send(&self, code: i32, fields: &[u8]) {
        self.send_to(NOT_AN_ANSWER, code, fields);
    }

    /// An error says that the kernel has no such name or inode any more, or that the lab is unmounted: nothing is
    /// cached then, which is what was asked for.
    fn send_to(&self, unique: u64, code: i32, fields: &[u8]) {
        let length = u32::try_from(HEADER_LEN + fields.len()).expect("messages are short");
        let mut message = Vec::with_capacity(HEADER_LEN + fields.len());
        message.extend(length.to_ne_bytes());
        message.extend(code.to_ne_bytes());
        message.extend(unique.to_ne_bytes());
        message.extend(fields);
        let _ = (&self.device).write(&message);
    }
}
