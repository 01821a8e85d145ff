//! The file tree that programs about mounts start with.

/// What the first process does, once it is in a mount namespace of its own, to leave the file systems of the machine: it
/// makes a root file system in memory with the directories a lab has, and makes it its root. The lab does the same.
pub const SANDBOX: &str = "\
mount tmpfs root /tmp -o mode=755
mkdir /tmp/bin
mkdir /tmp/dev
mkdir /tmp/etc
mkdir /tmp/home
mkdir /tmp/proc
mkdir /tmp/root
mkdir /tmp/run
mkdir /tmp/sys
mkdir /tmp/tmp
mkdir /tmp/w
mkdir /tmp/old
mount proc proc /tmp/proc
mount tmpfs tmpfs /tmp/dev -o mode=755
mount tmpfs tmpfs /tmp/run
mount tmpfs tmpfs /tmp/tmp
pivot_root /tmp /tmp/old
chdir /
umount -l /old
rmdir /old";
