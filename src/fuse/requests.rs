//! How many requests the host's kernel has made through a mount, by kind: what an operation of a program costs, in a number
//! that does not vary with the machine.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kinds of requests that are counted (`enum fuse_opcode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opcode {
    Lookup,
    Forget,
    Getattr,
    Setattr,
    Readlink,
    Symlink,
    Mknod,
    Mkdir,
    Unlink,
    Rmdir,
    Rename,
    Link,
    Open,
    Read,
    Write,
    Statfs,
    Release,
    Fsync,
    Setxattr,
    Getxattr,
    Listxattr,
    Removexattr,
    Flush,
    Opendir,
    Readdir,
    Releasedir,
    Fsyncdir,
    Access,
    Create,
    Ioctl,
    Poll,
}

const OPCODES: [Opcode; 31] = [
    Opcode::Lookup,
    Opcode::Forget,
    Opcode::Getattr,
    Opcode::Setattr,
    Opcode::Readlink,
    Opcode::Symlink,
    Opcode::Mknod,
    Opcode::Mkdir,
    Opcode::Unlink,
    Opcode::Rmdir,
    Opcode::Rename,
    Opcode::Link,
    Opcode::Open,
    Opcode::Read,
    Opcode::Write,
    Opcode::Statfs,
    Opcode::Release,
    Opcode::Fsync,
    Opcode::Setxattr,
    Opcode::Getxattr,
    Opcode::Listxattr,
    Opcode::Removexattr,
    Opcode::Flush,
    Opcode::Opendir,
    Opcode::Readdir,
    Opcode::Releasedir,
    Opcode::Fsyncdir,
    Opcode::Access,
    Opcode::Create,
    Opcode::Ioctl,
    Opcode::Poll,
];

impl Opcode {
    /// Whether a program waits for the answer. What it has closed or forgotten the host's kernel says on the side.
    pub fn is_waited_for(self) -> bool {
        !matches!(self, Opcode::Forget | Opcode::Release | Opcode::Releasedir)
    }
}

/// The requests of a mount up to now.
#[derive(Debug, Default)]
pub(super) struct Requests([AtomicU64; OPCODES.len()]);

impl Requests {
    pub(super) fn count(&self, opcode: Opcode) {
        self.0[opcode as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Those kinds of which there were any.
    pub(super) fn counts(&self) -> BTreeMap<Opcode, u64> {
        let counts = OPCODES.iter().map(|opcode| (*opcode, self.0[*opcode as usize].load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_count_of_its_own() {
        let requests = Requests::default();
        OPCODES.iter().for_each(|opcode| requests.count(*opcode));
        requests.count(Opcode::Poll);
        let counts = requests.counts();
        assert_eq!((counts.len(), counts[&Opcode::Open], counts[&Opcode::Poll]), (OPCODES.len(), 1, 2));
    }
}
