//! Reading a mounted lab beside the real procfs and beside a FUSE file system that has nothing to do.
//! Run with `cargo bench --bench mount`, or `taskset -c 0 cargo bench --bench mount`, since the last table compares two labs,
//! whose threads may get better and worse processors; every figure is the median of interleaved rounds of one run.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::ffi::OsStr;
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request, spawn_mount,
};
use nslab::testing::Lab;

const ROUNDS: usize = 9;
const CALLS: u32 = 2_000;

fn main() {
    let lab = match Lab::new() {
        Ok(lab) => lab,
        Err(error) => return println!("no mount here, nothing measured: {error}"),
    };
    let pid = lab.call(1, "clone").expect("init may fork");
    let null_dir = tempfile::tempdir().expect("a temporary directory");
    let null = spawn_mount(Null, null_dir.path(), &Config::default()).expect("what the lab can, this can");
    let places = [
        lab.path().join("proc").join(&pid),
        PathBuf::from(format!("/proc/{}", std::process::id())),
        null_dir.path().to_owned(),
    ];
    println!(
        "{:<26} {:>10} {:>10} {:>10} {:>12} {:>11}",
        "operation", "lab ns", "procfs ns", "null ns", "lab/procfs", "lab/null"
    );
    let operations: [(&str, fn()); 5] = [
        ("readlink ns/uts", readlink),
        ("stat -L ns/uts", stat),
        ("lstat ns/uts", lstat),
        ("open+read+close status", read_status),
        ("list ns", list),
    ];
    for (name, operation) in operations {
        let mut rounds: [Vec<Duration>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (place, times) in places.iter().zip(&mut rounds) {
                // From inside, so that the length of the way there does not count.
                std::env::set_current_dir(place).expect("a directory");
                times.push(per_call(operation));
            }
        }
        let [lab, procfs, null] = rounds.map(median).map(|d| d.as_nanos());
        let ratio = |other: u128| lab as f64 / other as f64;
        println!("{name:<26} {lab:>10} {procfs:>10} {null:>10} {:>12.2} {:>11.2}", ratio(procfs), ratio(null));
    }
    std::env::set_current_dir("/").expect("a directory");
    writes(&lab, &pid);
    drop(null);
    drop(lab);
    beside_cached();
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn per_call(mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    start.elapsed() / CALLS
}

fn readlink() {
    black_box(fs::read_link("ns/uts").expect("a link"));
}
fn stat() {
    black_box(fs::metadata("ns/uts").expect("a target"));
}
fn lstat() {
    black_box(fs::symlink_metadata("ns/uts").expect("a link"));
}
fn read_status() {
    black_box(fs::read("status").expect("a file"));
}
fn list() {
    black_box(fs::read_dir("ns").expect("a directory").count());
}

/// Calls through a control file that stays open, and one open file per call.
fn writes(lab: &Lab, pid: &str) {
    let file = lab.path().join("ctl").join(pid).join("unshare");
    let mut kept = fs::OpenOptions::new().write(true).open(&file).expect("a control file");
    let write = |file: &mut fs::File| std::io::Write::write_all(file, b"ipc").expect("init may unshare");
    let kept_open = median((0..ROUNDS).map(|_| per_call(|| write(&mut kept))).collect());
    let opened = median((0..ROUNDS).map(|_| per_call(|| fs::write(&file, "ipc").expect("init may unshare"))).collect());
    println!();
    println!("{:<26} {:>10}", "unshare, file kept open", kept_open.as_nanos());
    println!("{:<26} {:>10}", "unshare, open+write+close", opened.as_nanos());
}

/// As many tasks, and as many files of each, are read before: 30,000 files.
const TASKS: usize = 3_000;
const FILES: [&str; 10] =
    ["status", "stat", "statm", "comm", "cmdline", "cgroup", "limits", "oom_score_adj", "wchan", "sessionid"];
/// Calls of a round, fewer than above: each clone makes a task. Rounds are more instead.
const CHANGES: usize = 100;
const ROUNDS_OF_CHANGES: usize = 41;

/// What calls cost in a lab of which the host's kernel has much in its caches, and in the same lab of which it has nothing.
fn beside_cached() {
    let script = "1 clone\n".repeat(TASKS);
    let labs = [(); 2].map(|()| Lab::boot(&script).expect("as before"));
    let [_, cached] = &labs;
    for task in 2..TASKS + 2 {
        for file in FILES {
            black_box(fs::read(cached.at(format!("proc/{task}/{file}"))).expect("a file of a task"));
        }
    }
    let mut rounds: [[Vec<Duration>; 2]; 4] = Default::default();
    for _ in 0..ROUNDS_OF_CHANGES {
        for (which, lab) in labs.iter().enumerate() {
            for (times, spent) in rounds.iter_mut().zip(changes(lab)) {
                times[which].push(spent);
            }
        }
    }
    println!();
    println!("{:<26} {:>10} {:>10} {:>12}", "files cached", 0, TASKS * FILES.len(), "ratio");
    for (name, rounds) in ["unshare", "clone", "exit", "wait"].into_iter().zip(rounds) {
        let [fresh, cached] = rounds.map(median).map(|d| d.as_nanos());
        println!("{name:<26} {fresh:>10} {cached:>10} {:>12.2}", cached as f64 / fresh as f64);
    }
}

/// What a call costs: unshare, clone, the exit of each child, the wait for it. Control files of init stay open.
fn changes(lab: &Lab) -> [Duration; 4] {
    let open = |pid: usize, verb: &str| {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).open(lab.at(format!("ctl/{pid}/{verb}"))).expect("a control file")
    };
    let [mut unshare, mut clone, mut wait] = ["unshare", "clone", "wait"].map(|verb| open(1, verb));
    let call = |file: &mut fs::File, words: &str| std::io::Write::write_all(file, words.as_bytes()).expect("init may");
    let spent = |mut each: Box<dyn FnMut(usize) + '_>| {
        let start = Instant::now();
        (0..CHANGES).for_each(&mut each);
        start.elapsed() / CHANGES as u32
    };
    let of_unshare = spent(Box::new(|_| call(&mut unshare, "ipc")));
    let of_clone = spent(Box::new(|_| call(&mut clone, "\n")));
    let mut last = String::new();
    std::io::Read::read_to_string(&mut clone, &mut last).expect("the answer");
    let first = last.trim_end().parse::<usize>().expect("a pid") + 1 - CHANGES;
    let mut exits: Vec<_> = (0..CHANGES).map(|child| open(first + child, "exit")).collect();
    let of_exit = spent(Box::new(|child| call(&mut exits[child], "0")));
    let of_wait = spent(Box::new(|_| call(&mut wait, "\n")));
    [of_unshare, of_clone, of_exit, of_wait]
}

/// The names the benchmark asks for, nothing cached: the price of FUSE itself.
struct Null;

const NS: INodeNo = INodeNo(2);
const STATUS: INodeNo = INodeNo(3);
const LINK: INodeNo = INodeNo(4);
const TARGET: INodeNo = INodeNo(5);
const TARGET_NAME: &str = "uts:[4026531838]";

fn attr(ino: INodeNo) -> FileAttr {
    let (kind, perm) = match ino {
        INodeNo::ROOT | NS => (FileType::Directory, 0o555),
        LINK => (FileType::Symlink, 0o777),
        _ => (FileType::RegularFile, 0o444),
    };
    FileAttr {
        ino,
        size: 0,
        blocks: 0,
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

impl Filesystem for Null {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = match (parent, name.to_str()) {
            (INodeNo::ROOT, Some("ns")) => NS,
            (INodeNo::ROOT, Some("status")) => STATUS,
            (NS, Some("uts")) => LINK,
            (NS, Some(TARGET_NAME)) => TARGET,
            _ => return reply.error(Errno::ENOENT),
        };
        reply.entry(&Duration::ZERO, &attr(found), Generation(0));
    }
    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::ZERO, &attr(ino));
    }
    fn readlink(&self, _req: &Request, _ino: INodeNo, reply: ReplyData) {
        reply.data(TARGET_NAME.as_bytes());
    }
    fn open(&self, _req: &Request, _ino: INodeNo, _flags: fuser::OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }
    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: fuser::OpenFlags,
        _lock_owner: Option<fuser::LockOwner>,
        reply: ReplyData,
    ) {
        const STATUS_LEN: u64 = 1200;
        let left = STATUS_LEN.saturating_sub(offset).min(u64::from(size));
        reply.data(&vec![b'x'; left as usize]);
    }
    fn readdir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        for at in offset..10 {
            if reply.add(LINK, at + 1, FileType::Symlink, format!("entry{at}")) {
                break;
            }
        }
        reply.ok();
    }
    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: fuser::OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }
    fn releasedir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _flags: fuser::OpenFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
