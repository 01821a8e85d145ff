//! The operations. None of them has to succeed, each has to end.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::client::Random;

/// Where an operation is done.
#[derive(Debug)]
pub struct Place {
    pub path: PathBuf,
    pub other: PathBuf,
    /// Of the client, for names of its own.
    pub number: u64,
}

/// Does it; whether it succeeded.
type Act = fn(&Place, &mut Random) -> bool;

pub const OPERATIONS: [(&str, Act); 20] = [
    ("link", |place, random| {
        let name = if random.below(2) == 0 { place.path.with_file_name("other") } else { place.other.clone() };
        fs::hard_link(&place.path, name).is_ok()
    }),
    ("rename", rename),
    ("unlink", |place, _| fs::remove_file(&place.path).is_ok()),
    ("rmdir", |place, _| fs::remove_dir(&place.path).is_ok()),
    ("mkdir", |place, _| {
        let dir = place.path.with_file_name(format!("x{}", place.number));
        fs::create_dir(&dir).and_then(|()| fs::remove_dir(&dir)).is_ok()
    }),
    ("symlink", |place, _| symlink("x", &place.path).is_ok() || symlink("x", place.path.with_file_name("x")).is_ok()),
    ("mknod", |place, _| {
        let path = text(&place.path.with_file_name("x"));
        // SAFETY: the path is a string that outlives the call.
        unsafe { libc::mknod(path.as_ptr(), libc::S_IFREG | 0o644, 0) == 0 }
    }),
    ("create", |place, _| OpenOptions::new().write(true).create_new(true).open(place.path.with_file_name("x")).is_ok()),
    ("xattr", xattr),
    ("attributes", attributes),
    ("O_TRUNC", |place, _| options(&place.path).write(true).truncate(true).open(&place.path).is_ok()),
    ("truncate", |place, random| {
        if !is_followed(&place.path) && place.path.is_symlink() {
            return false;
        }
        let path = text(&place.path);
        // SAFETY: the path is a string that outlives the call.
        unsafe { libc::truncate(path.as_ptr(), random.below(3) as i64 * 100) == 0 }
    }),
    ("fallocate", |place, random| {
        const MODES: [i32; 4] =
            [0, libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_PUNCH_HOLE | 1, libc::FALLOC_FL_ZERO_RANGE];
        let Ok(open) = options(&place.path).read(true).write(true).open(&place.path) else { return false };
        // SAFETY: the descriptor is open.
        unsafe { libc::fallocate(open.as_raw_fd(), MODES[random.below(4)], 0, 100) == 0 }
    }),
    ("mmap", mmap),
    ("splice", splice),
    ("flock", flock),
    ("inotify", inotify),
    ("readdir", readdir),
    ("read", |place, _| {
        let Some(open) = open(place) else { return false };
        let mut bytes = [0; 5000];
        let mut reader = &open;
        reader.read(&mut bytes).is_ok_and(|read| read == 0 || reader.read(&mut bytes).is_ok())
    }),
    ("stat", |place, _| {
        let seen = fs::symlink_metadata(&place.path).is_ok();
        fs::read_link(&place.path).is_ok() || fs::metadata(&place.path).is_ok() || seen
    }),
];

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Links of namespaces stay in the lab, as no other does for sure.
fn is_followed(path: &Path) -> bool {
    path.parent().is_some_and(|dir| dir.ends_with("ns"))
}

/// Nobody waits for what a stream has not got yet.
fn options(path: &Path) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NONBLOCK | if is_followed(path) { 0 } else { libc::O_NOFOLLOW });
    options
}

fn open(place: &Place) -> Option<File> {
    options(&place.path).read(true).open(&place.path).ok()
}

fn rename(place: &Place, random: &mut Random) -> bool {
    let to = if random.below(2) == 0 { place.path.with_file_name("other") } else { place.other.clone() };
    let (from, to) = (text(&place.path), text(&to));
    let flags = [0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE][random.below(3)];
    // SAFETY: both paths are strings that outlive the calls.
    unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) == 0
            && libc::rename(to.as_ptr(), from.as_ptr()) == 0
    }
}

fn xattr(place: &Place, random: &mut Random) -> bool {
    const NAMES: [&std::ffi::CStr; 4] = [c"user.x", c"trusted.x", c"security.selinux", c"system.posix_acl_access"];
    let (path, name) = (text(&place.path), NAMES[random.below(4)]);
    let mut value = [0_u8; 100];
    // SAFETY: the strings and the value outlive the calls.
    unsafe {
        let value = value.as_mut_ptr().cast();
        match random.below(4) {
            0 => libc::lsetxattr(path.as_ptr(), name.as_ptr(), value, 1, 0) == 0,
            1 => libc::lgetxattr(path.as_ptr(), name.as_ptr(), value, 100) >= 0,
            2 => libc::llistxattr(path.as_ptr(), value.cast(), 100) >= 0,
            _ => libc::lremovexattr(path.as_ptr(), name.as_ptr()) == 0,
        }
    }
}

/// What a file has already is set again, or something that it cannot have.
fn attributes(place: &Place, random: &mut Random) -> bool {
    let path = text(&place.path);
    // SAFETY: the path is a string that outlives the calls.
    unsafe {
        match random.below(3) {
            0 => libc::lchown(path.as_ptr(), u32::MAX, u32::MAX) == 0,
            1 => libc::lchown(path.as_ptr(), 123_456, 123_456) == 0,
            _ => libc::utimensat(libc::AT_FDCWD, path.as_ptr(), std::ptr::null(), libc::AT_SYMLINK_NOFOLLOW) == 0,
        }
    }
}

fn mmap(place: &Place, random: &mut Random) -> bool {
    let Some(open) = open(place) else { return false };
    let flags = [libc::MAP_PRIVATE, libc::MAP_SHARED][random.below(2)] | libc::MAP_POPULATE;
    // SAFETY: a new mapping that nothing is read from, since the file may have no such page.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), 8192, libc::PROT_READ, flags, open.as_raw_fd(), 0);
        start != libc::MAP_FAILED && libc::munmap(start, 8192) == 0
    }
}

fn splice(place: &Place, random: &mut Random) -> bool {
    let (Some(open), Ok((_read, write))) = (open(place), io::pipe()) else { return false };
    let (from, to) = (open.as_raw_fd(), write.as_raw_fd());
    let mut offset = random.below(3) as i64 * 50;
    // SAFETY: the descriptors are open, and the offset outlives the call.
    unsafe { libc::splice(from, &raw mut offset, to, std::ptr::null_mut(), 4096, libc::SPLICE_F_NONBLOCK) >= 0 }
}

fn flock(place: &Place, random: &mut Random) -> bool {
    let Some(open) = open(place) else { return false };
    let fd = open.as_raw_fd();
    // SAFETY: the descriptor is open, and the lock outlives the call.
    unsafe {
        if random.below(2) == 0 {
            return libc::flock(fd, [libc::LOCK_EX, libc::LOCK_SH][random.below(2)] | libc::LOCK_NB) == 0;
        }
        let mut lock: libc::flock = std::mem::zeroed();
        (lock.l_type, lock.l_len) = (libc::F_RDLCK as i16, 10);
        libc::fcntl(fd, libc::F_SETLK, &raw const lock) == 0
    }
}

fn inotify(place: &Place, _: &mut Random) -> bool {
    let path = text(&place.path);
    // SAFETY: a new descriptor, a string and a buffer that outlive the calls.
    unsafe {
        let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
        if fd < 0 {
            return false;
        }
        let watch = OwnedFd::from_raw_fd(fd);
        let number =
            libc::inotify_add_watch(watch.as_raw_fd(), path.as_ptr(), libc::IN_ALL_EVENTS | libc::IN_DONT_FOLLOW);
        let _ = fs::symlink_metadata(&place.path).and_then(|_| options(&place.path).read(true).open(&place.path));
        let mut events = [0_u8; 4096];
        libc::read(watch.as_raw_fd(), events.as_mut_ptr().cast(), events.len());
        number >= 0
    }
}

/// Lists some of a directory, goes back to a place that it has been at, and lists on.
fn readdir(place: &Place, random: &mut Random) -> bool {
    let is_dir = fs::symlink_metadata(&place.path).is_ok_and(|file| file.is_dir());
    let dir = if is_dir { place.path.as_path() } else { place.path.parent().unwrap_or(&place.path) };
    let Ok(open) = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(dir) else {
        return false;
    };
    let mut places = vec![0];
    for _ in 0..6 {
        let Some(next) = list(&open, [280, 1000, 32_768][random.below(3)]) else { return false };
        places.extend(next);
        let to = places[random.below(places.len())];
        // SAFETY: the descriptor is open.
        if unsafe { libc::lseek(open.as_raw_fd(), to, libc::SEEK_SET) } != to {
            return false;
        }
    }
    true
}

/// The places behind the entries that one getdents64 with a buffer of this size gives.
fn list(dir: &File, size: usize) -> Option<Vec<i64>> {
    let mut buffer = vec![0_u8; size];
    // SAFETY: the descriptor is open and the buffer outlives the call.
    let read = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
    let mut entries = buffer.get(..usize::try_from(read).ok()?)?;
    let mut places = Vec::new();
    // d_ino and d_off, 8 bytes each, then d_reclen, 2 bytes.
    while let Some(length) = entries.get(16..18) {
        places.push(i64::from_ne_bytes(entries[8..16].try_into().ok()?));
        entries = entries.get(usize::from(u16::from_ne_bytes(length.try_into().ok()?))..)?;
    }
    Some(places)
}
