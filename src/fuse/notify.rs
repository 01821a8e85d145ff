//! Messages to the host's kernel that fuser 0.18 cannot send, in the form of `include/uapi/linux/fuse.h`: to drop what it
//! has cached, names that expire included (`fuse_notify_*_out`), and an answer to a lookup whose inode has one number for
//! the kernel and another for users (`fuse_entry_out`).

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use super::answer::Entry;
use super::inode::{Inodes, Stale};

const NOTIFY_INVAL_INODE: i32 = 2;
const NOTIFY_INC_EPOCH: i32 = 8;
const NOTIFY_PRUNE: i32 = 9;
/// What of an inode is dropped: its attributes, or all, the text of a link included.
const ATTRIBUTES: i64 = -1;
const ALL: i64 = 0;
const PAUSE: Duration = Duration::from_millis(1);
const TRIES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

/// Before the fields of a message: its length, its code, and the request it answers.
const HEADER_LEN: usize = 16;
const NOT_AN_ANSWER: u64 = 0;
/// The mode of a regular file.
const S_IFREG: u32 = 0o100_000;

/// A second handle on the connection.
#[derive(Debug)]
pub(super) struct Notifier {
    device: File,
}

impl Notifier {
    pub(super) fn new(device: File) -> Notifier {
        Notifier { device }
    }

    /// Returns once no reader can get any of this from a cache.
    ///
    /// Only the mutator may call this: it waits for requests that the session's threads have to answer.
    pub(super) fn drop_stale(&self, inodes: &Inodes, stale: &Stale) {
        let mut is_sure = !stale.names;
        if !stale.gone.is_empty() {
            self.prune(&stale.gone);
            for ino in &stale.tops {
                is_sure &= self.settle(inodes, *ino, ATTRIBUTES, Known::No);
            }
        }
        for (inos, offset) in [(&stale.attrs, ATTRIBUTES), (&stale.links, ALL)] {
            for ino in inos {
                is_sure &= self.settle(inodes, *ino, offset, Known::Yes);
            }
        }
        if !is_sure {
            self.send_or_log(NOTIFY_INC_EPOCH, &[]);
        }
    }

    fn settle(&self, inodes: &Inodes, ino: u64, offset: i64, wanted: Known) -> bool {
        for _ in 0..TRIES {
            if inodes.wait_forgotten(ino, Duration::ZERO) {
                return true;
            }
            match self.inode(ino, offset) {
                Ok(()) => return wanted == Known::Yes,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return true,
                Err(_) => {}
            }
            if inodes.wait_forgotten(ino, PAUSE) {
                return true;
            }
        }
        false
    }

    fn prune(&self, inos: &[u64]) {
        let mut fields = Vec::with_capacity(16 + inos.len() * 8);
        fields.extend(u32::try_from(inos.len()).unwrap_or(u32::MAX).to_ne_bytes());
        fields.extend([0; 12]);
        for ino in inos {
            fields.extend(ino.to_ne_bytes());
        }
        self.send_or_log(NOTIFY_PRUNE, &fields);
    }

    fn send_or_log(&self, code: i32, fields: &[u8]) {
        if let Err(error) = self.send(code, fields) {
            eprintln!("notify {code}: {error}");
        }
    }

    fn inode(&self, ino: u64, offset: i64) -> io::Result<()> {
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
        let mode = u32::from(attr.perm) | S_IFREG;
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
