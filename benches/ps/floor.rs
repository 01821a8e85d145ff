//! The floor: a FUSE file system that shows `ps` as many tasks, each with the same files, links and sizes as in a lab, and that
//! keeps nothing and looks nothing up. What remains is the price of the requests.

use std::ffi::OsStr;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};

const LONG: Duration = Duration::from_secs(24 * 60 * 60);
/// The files of a task that `ps` reads.
const FILES: [&str; 4] = ["stat", "status", "environ", "cmdline"];
/// The links of a task that `ps` follows, and where they lead.
const LINKS: [(&str, &str); 8] = [
    ("cgroup", "cgroup:[4026531835]"),
    ("ipc", "ipc:[4026531839]"),
    ("mnt", "mnt:[4026531832]"),
    ("net", "net:[4026531833]"),
    ("pid", "pid:[4026531836]"),
    ("time", "time:[4026531834]"),
    ("user", "user:[4026531837]"),
    ("uts", "uts:[4026531838]"),
];
/// How many numbers of inodes a task has.
const STRIDE: u64 = 32;
const UPTIME: u64 = 2;
const SELF: u64 = 3;

/// What an inode is: its number is `task * STRIDE` and a number in the task.
#[derive(Clone, Copy)]
enum Is {
    Top,
    Uptime,
    /// The link to the task that looks.
    Own,
    Task,
    File(usize),
    Ns,
    Link(usize),
    Target,
}

fn is(ino: INodeNo) -> Is {
    let number = (ino.0 % STRIDE) as usize;
    match ino.0 {
        1 => Is::Top,
        UPTIME => Is::Uptime,
        SELF => Is::Own,
        _ => match number {
            0 => Is::Task,
            1..=4 => Is::File(number - 1),
            5 => Is::Ns,
            6..=13 => Is::Link(number - 6),
            _ => Is::Target,
        },
    }
}

/// With so many tasks.
pub struct Floor(pub u64);

fn text(ino: INodeNo) -> String {
    let pid = ino.0 / STRIDE;
    match is(ino) {
        Is::Uptime => "1.00 1.00\n".to_owned(),
        Is::File(0) => format!("{pid} (init) S 1 {pid} {pid} 0 -1 4194560 {}\n", "0 ".repeat(44).trim_end()),
        Is::File(1) => format!(
            "Name:\tinit\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t1\nTracerPid:\t0\n\
             Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n{}",
            "VmPeak:\t       0 kB\n".repeat(45)
        ),
        Is::File(3) => "init\0".to_owned(),
        _ => String::new(),
    }
}

fn attr(ino: INodeNo) -> FileAttr {
    let (kind, perm) = match is(ino) {
        Is::Top | Is::Task | Is::Ns => (FileType::Directory, 0o555),
        Is::Own | Is::Link(_) => (FileType::Symlink, 0o777),
        Is::Uptime | Is::File(_) | Is::Target => (FileType::RegularFile, 0o444),
    };
    let size = text(ino).len() as u64;
    FileAttr {
        ino,
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// The number of what is called `name` in a directory. Any number is a task's: `ps` finds itself.
fn find(parent: INodeNo, name: &str) -> Option<u64> {
    let at = |number: usize| parent.0 / STRIDE * STRIDE + number as u64;
    match is(parent) {
        Is::Top => match name {
            "self" => Some(SELF),
            "uptime" => Some(UPTIME),
            _ => name.parse::<u64>().ok().map(|pid| pid * STRIDE),
        },
        Is::Task if name == "ns" => Some(at(5)),
        Is::Task => FILES.iter().position(|file| *file == name).map(|file| at(1 + file)),
        Is::Ns => LINKS.iter().enumerate().find_map(|(number, (link, target))| match name {
            name if name == *link => Some(at(6 + number)),
            name if name == *target => Some(at(14 + number)),
            _ => None,
        }),
        _ => None,
    }
}

impl Filesystem for Floor {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_CACHE_SYMLINKS | InitFlags::FUSE_PARALLEL_DIROPS;
        config.add_capabilities(wanted).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))
    }
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str().and_then(|name| find(parent, name)) {
            Some(ino) => {
                // As in a lab, names of files with content are asked for at each use.
                let is_asked = matches!(is(INodeNo(ino)), Is::File(_));
                let name_ttl = if is_asked { Duration::ZERO } else { LONG };
                reply.entry_with_ttls(&LONG, &name_ttl, &attr(INodeNo(ino)), Generation(0));
            }
            None => reply.error(Errno::ENOENT),
        }
    }
    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&LONG, &attr(ino));
    }
    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        reply.data(if let Is::Link(number) = is(ino) { LINKS[number].1 } else { "1" }.as_bytes());
    }
    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }
    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        _size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(text(ino).as_bytes().get(offset as usize..).unwrap_or_default());
    }
    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }
    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }
    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }
    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if let Is::Top = is(ino) {
            for pid in offset + 1..=self.0 {
                if reply.add(INodeNo(pid * STRIDE), pid, FileType::Directory, pid.to_string()) {
                    break;
                }
            }
        }
        reply.ok();
    }
    fn releasedir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
