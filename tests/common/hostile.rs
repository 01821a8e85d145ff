//! Clients that hold what they can of a mounted lab while others write to it, and a watch over the writers: whatever
//! clients do, a write ends, and what is read after it shows it.

#![allow(unsafe_code, clippy::disallowed_methods, reason = "it asks the kernel what no crate wraps, for a time")]

#[path = "daemon.rs"]
mod daemon;
#[path = "slow_memory.rs"]
mod slow_memory;
#[path = "stacks.rs"]
mod stacks;

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use daemon::Daemon;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, gettid, setfsuid};
use nslab::fuse::open_device;
use slow_memory::{PAGE, SlowMemory};
use stacks::stacks;

/// A user to whom the lab belongs nothing of.
const NOBODY: u32 = 65534;
/// A writer that gets nowhere for so long hangs. A machine that is merely busy is not that slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// What clients do to hold a lab up.
#[derive(Clone, Copy, Debug)]
pub struct Provocation {
    pub name: &'static str,
    clients: fn(&Field, &Client),
}

/// In the order in which they run.
pub const PROVOCATIONS: [Provocation; 9] = [
    Provocation { name: "change the name that is written to", clients: change_written_name },
    Provocation { name: "change names in every directory", clients: change_names },
    Provocation { name: "change files", clients: change_files },
    Provocation { name: "list into memory that does not come", clients: list_into_slow_memory },
    Provocation { name: "write from memory that does not come", clients: write_from_slow_memory },
    Provocation { name: "use names of tasks that die", clients: use_dying_names },
    Provocation { name: "be stopped in the middle", clients: be_stopped },
    Provocation { name: "lock, map, splice", clients: lock_and_map },
    Provocation { name: "make and remove cgroups", clients: make_cgroups },
];

/// How many threads run a provocation; every other one is nobody's.
const CLIENTS: usize = 4;

/// The lab and what happens to it.
#[derive(Debug)]
pub struct Field {
    daemon: Daemon,
    over: AtomicBool,
    writers: [Writer; 5],
    stale: AtomicU64,
}

#[derive(Debug, Default)]
struct Writer {
    name: &'static str,
    writes: AtomicU64,
}

/// One thread of a provocation.
#[derive(Clone, Copy, Debug)]
struct Client {
    number: usize,
}

/// What came of a provocation.
#[derive(Debug)]
pub struct Outcome {
    pub writes: u64,
    pub stale: u64,
    /// The writers that got nowhere, and where in the kernel all threads were then.
    pub hang: Option<String>,
}

/// Runs a provocation for a time, and until each writer has written after it.
///
/// # Errors
/// Nothing can be mounted here.
pub fn provoke(provocation: &Provocation, time: Duration) -> io::Result<Outcome> {
    open_device().map_err(io::Error::other)?;
    let daemon = Daemon::start(Stdio::inherit())?;
    let names = ["exec", "dumpable", "clone and exit", "unshare", "cgroup"];
    let writers = names.map(|name| Writer { name, ..Writer::default() });
    let field = Field { daemon, over: AtomicBool::new(false), writers, stale: AtomicU64::new(0) };
    let task = field.call(1, "clone");
    assert_eq!(task, "2", "the first task that init makes");
    field.call(2, "setuid 1000");
    field.call(1, "clone");
    let acts: [fn(&Field, &Writer); 5] = [exec, dumpable, clone_and_exit, unshare, cgroup];
    // The names are known before a client holds their directories: the first lookup of one waits on any file system.
    for (act, writer) in acts.iter().zip(&field.writers) {
        act(&field, writer);
    }
    let hang = thread::scope(|scope| {
        for (act, writer) in acts.iter().zip(&field.writers) {
            let field = &field;
            scope.spawn(move || {
                while !field.is_over() {
                    act(field, writer);
                }
            });
        }
        for number in 0..CLIENTS {
            let (field, clients) = (&field, provocation.clients);
            scope.spawn(move || {
                if number % 2 == 1 {
                    setfsuid(Uid::from_raw(NOBODY));
                }
                clients(field, &Client { number });
            });
        }
        let hang = field.watch(time);
        field.over.store(true, Ordering::SeqCst);
        if hang.is_some() {
            field.daemon.abort();
        }
        hang
    });
    let writes = field.writers.iter().map(|writer| writer.writes.load(Ordering::SeqCst)).sum();
    Ok(Outcome { writes, stale: field.stale.load(Ordering::SeqCst), hang })
}

impl Field {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.daemon.lab.join(path)
    }

    /// The result of a call that must succeed while the lab is there.
    fn call(&self, pid: i32, call: &str) -> String {
        let (verb, words) = call.split_once(' ').unwrap_or((call, ""));
        let result = || {
            let mut file = OpenOptions::new().read(true).write(true).open(self.at(&format!("ctl/{pid}/{verb}")))?;
            file.write_all(format!("{words}\n").as_bytes())?;
            let mut answer = String::new();
            file.read_to_string(&mut answer)?;
            Ok::<_, io::Error>(answer.trim_end().to_owned())
        };
        match result() {
            Ok(answer) => answer,
            Err(_) if self.is_over() => String::new(),
            Err(error) => panic!("{pid} {call}: {error}"),
        }
    }

    fn check(&self, is_true: bool, what: impl FnOnce() -> String) {
        if !is_true && !self.is_over() {
            self.stale.fetch_add(1, Ordering::SeqCst);
            eprintln!("stale: {}", what());
        }
    }

    /// Waits for the time to pass and each writer to get on after it, or one to hang.
    fn watch(&self, time: Duration) -> Option<String> {
        let end = Instant::now() + time;
        let counts = || self.writers.each_ref().map(|writer| writer.writes.load(Ordering::SeqCst));
        let mut last = counts().map(|count| (count, Instant::now()));
        let has_got_on = |(_, since): &(u64, Instant)| *since >= end;
        while !last.iter().all(has_got_on) {
            thread::sleep(Duration::from_millis(20));
            for (seen, now) in last.iter_mut().zip(counts()) {
                if seen.0 != now {
                    *seen = (now, Instant::now());
                }
            }
            let stuck = last.iter().zip(&self.writers).filter(|((_, since), _)| since.elapsed() > PATIENCE);
            let stuck: Vec<_> = stuck.map(|(_, writer)| writer.name).collect();
            if !stuck.is_empty() {
                let pids = [std::process::id(), self.daemon.process.id()];
                return Some(format!("no progress of {stuck:?}\n{}", pids.map(stacks).concat()));
            }
        }
        None
    }
}

fn count(writer: &Writer) {
    writer.writes.fetch_add(1, Ordering::SeqCst);
}

// The writers. Each checks what the host's kernel shows after its write.

fn exec(field: &Field, writer: &Writer) {
    field.call(3, "exec a");
    count(writer);
}

fn dumpable(field: &Field, writer: &Writer) {
    let owner = |file: &str| fs::symlink_metadata(field.at(file)).map(|file| file.uid());
    for (value, uid) in [(0, 0), (1, 1000)] {
        field.call(2, &format!("prctl dumpable {value}"));
        for seen in ["proc/2/status", "../procfs/2/status"].map(owner) {
            field.check(seen.as_ref().is_ok_and(|seen| *seen == uid), || format!("owner {seen:?}, not {uid}"));
        }
        count(writer);
    }
}

fn clone_and_exit(field: &Field, writer: &Writer) {
    let task = field.call(1, "clone");
    let names = ["proc", "ctl", "as", "../procfs"].map(|dir| field.at(dir).join(&task));
    for name in &names {
        let seen = fs::symlink_metadata(name);
        field.check(seen.is_ok(), || format!("{} is not there: {seen:?}", name.display()));
        let _ = fs::read_link(name.join("ns/uts"));
        let _ = fs::metadata(name.join("ns/uts"));
    }
    let Ok(pid) = task.parse() else { return };
    field.call(pid, "exit 0");
    field.call(1, &format!("wait {task}"));
    // Under its own number a program finds what `self` leads to.
    let is_own = [gettid(), Pid::this()].contains(&Pid::from_raw(pid));
    for name in names.iter().filter(|_| !is_own) {
        let seen = fs::symlink_metadata(name);
        field.check(seen.is_err(), || format!("{} is still there: {seen:?}", name.display()));
    }
    count(writer);
}

fn unshare(field: &Field, writer: &Writer) {
    let links = ["proc", "../procfs"].map(|proc| field.at(proc).join("3/ns/uts"));
    let read = || links.each_ref().map(|link| fs::read_link(link).unwrap_or_default());
    let before = read();
    // A namespace of before, so that the number is not used again.
    let fd = field.call(1, "open 3/ns/uts");
    field.call(3, "unshare newuts");
    for ((link, before), after) in links.iter().zip(before).zip(read()) {
        field.check(before != after, || format!("the link is {after:?} still"));
        let ino = fs::metadata(link).map(|file| file.ino());
        let is_right = ino.as_ref().is_ok_and(|ino| after == Path::new(&format!("uts:[{ino}]")));
        field.check(is_right, || format!("{after:?} leads to {ino:?}"));
    }
    field.call(1, &format!("close {fd}"));
    count(writer);
}

fn cgroup(field: &Field, writer: &Writer) {
    let dir = field.at("cgroup/own");
    let made = fs::create_dir(&dir);
    field.check(made.is_ok(), || format!("mkdir: {made:?}"));
    let moved = fs::write(dir.join("cgroup.procs"), "3\n");
    field.check(moved.is_ok(), || format!("write cgroup.procs: {moved:?}"));
    let back = fs::write(field.at("cgroup/cgroup.procs"), "3\n");
    field.check(back.is_ok(), || format!("write cgroup.procs: {back:?}"));
    let removed = fs::remove_dir(&dir);
    field.check(removed.is_ok(), || format!("rmdir: {removed:?}"));
    count(writer);
}

// The clients. None of them has to succeed.

/// A directory of each kind, and a name in it.
const NAMES: [(&str, &str); 19] = [
    ("ctl/3", "exec"),
    ("ctl/3", "unshare"),
    ("ctl/2", "prctl"),
    ("ctl", "3"),
    ("ctl", "batch"),
    ("proc", "3"),
    ("proc", "self"),
    ("proc/3", "status"),
    ("proc/3", "ns"),
    ("proc/3/ns", "uts"),
    ("as", "3"),
    ("as/3", "proc"),
    ("kernel", "trace"),
    ("cgroup", "cgroup.procs"),
    ("../procfs", "3"),
    ("../procfs/3", "status"),
    ("../procfs/3/ns", "uts"),
    ("", "proc"),
    ("", "ctl"),
];

fn change(dir: &Path, name: &str) {
    let file = dir.join(name);
    let other = dir.join("other");
    let path = CString::new(file.as_os_str().as_encoded_bytes()).expect("no NUL");
    let _ = fs::remove_file(&file);
    let _ = fs::rename(&file, &other);
    let _ = fs::rename(&other, &file);
    let _ = fs::hard_link(&file, &other);
    let _ = symlink("x", &file);
    let _ = fs::create_dir(&file);
    let _ = fs::remove_dir(&file);
    let _ = OpenOptions::new().write(true).create_new(true).open(&other);
    // SAFETY: the path is a string that outlives the call.
    unsafe { libc::mknod(path.as_ptr(), libc::S_IFREG | 0o644, 0) };
}

fn change_written_name(field: &Field, client: &Client) {
    while !field.is_over() {
        let (dir, name) = NAMES[client.number / 2];
        change(&field.at(dir), name);
    }
}

fn change_names(field: &Field, client: &Client) {
    for (dir, name) in NAMES.iter().cycle().skip(client.number * 5) {
        if field.is_over() {
            break;
        }
        change(&field.at(dir), name);
    }
}

fn change_files(field: &Field, client: &Client) {
    for (dir, name) in NAMES.iter().cycle().skip(client.number * 5) {
        if field.is_over() {
            break;
        }
        let file = field.at(dir).join(name);
        let path = CString::new(file.as_os_str().as_encoded_bytes()).expect("no NUL");
        // SAFETY: both strings, and the value, outlive the calls.
        unsafe {
            libc::truncate(path.as_ptr(), 0);
            libc::chmod(path.as_ptr(), 0o600);
            libc::lchown(path.as_ptr(), 1, 1);
            libc::utimensat(libc::AT_FDCWD, path.as_ptr(), std::ptr::null(), 0);
            libc::setxattr(path.as_ptr(), c"user.x".as_ptr(), c"y".as_ptr().cast(), 1, 0);
            libc::removexattr(path.as_ptr(), c"user.x".as_ptr());
        }
        let open = OpenOptions::new().read(true).write(true).custom_flags(libc::O_TRUNC | libc::O_NONBLOCK).open(&file);
        if let Ok(open) = open {
            // SAFETY: the descriptor is open.
            unsafe { libc::fallocate(open.as_raw_fd(), 0, 0, 10) };
            let _ = open.set_len(0);
            let _ = open.sync_all();
        }
    }
}

fn list_into_slow_memory(field: &Field, client: &Client) {
    // Who makes a directory in one that is held waits on any file system.
    let dirs: BTreeSet<&str> = NAMES.iter().map(|(dir, _)| *dir).filter(|dir| *dir != "cgroup").collect();
    thread::scope(|scope| {
        for dir in dirs.into_iter().skip(client.number / 2).step_by(CLIENTS / 2) {
            let Some(memory) = SlowMemory::new() else { return eprintln!("no userfaultfd here") };
            scope.spawn(move || {
                let Ok(open) = File::open(field.at(dir)) else { return };
                memory.hold(|| field.is_over(), |start| list(&open, start));
            });
        }
    });
}

/// A file's lock is held by who writes to it, and then the directory's by who unlinks it.
fn write_from_slow_memory(field: &Field, client: &Client) {
    const FILES: [&str; CLIENTS] = ["ctl/3/kill", "ctl/2/kill", "proc/3/comm", "cgroup/cgroup.procs"];
    let file = field.at(FILES[client.number]);
    let (Ok(open), Some(memory)) = (OpenOptions::new().write(true).open(&file), SlowMemory::new()) else { return };
    thread::scope(|scope| {
        scope.spawn(|| {
            memory.hold(
                || field.is_over(),
                |start| {
                    // SAFETY: the mapping is a page and stays until this is over.
                    unsafe { libc::write(open.as_raw_fd(), start, 8) };
                },
            );
        });
        while !field.is_over() {
            let _ = fs::remove_file(&file);
        }
    });
}

/// Names of tasks that die are in use, and stay in the cache for it. Meanwhile directories are held in which the writers
/// have names: those must stay in the cache too.
fn use_dying_names(field: &Field, client: &Client) {
    const HELD: [&str; CLIENTS / 2] = ["ctl/3", "proc/3"];
    if let Some(dir) = HELD.get(client.number) {
        return hold_dir(field, &field.at(dir));
    }
    let mut used = VecDeque::new();
    while !field.is_over() {
        let tasks = fs::read_dir(field.at("ctl")).into_iter().flatten().flatten().map(|entry| entry.file_name());
        for task in tasks.filter(|name| name.to_str().is_some_and(|name| name.parse().is_ok_and(|pid: i32| pid > 3))) {
            for dir in ["proc", "ctl", "as", "../procfs"].map(|dir| field.at(dir).join(&task)) {
                let _ = fs::symlink_metadata(dir.join("no such name"));
                used.extend(OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(dir));
            }
        }
        used.drain(..used.len().saturating_sub(100));
    }
}

/// Holds a directory's lock: who lists it shares it, who would remove a name waits for it alone, and all others behind.
fn hold_dir(field: &Field, dir: &Path) {
    let (Ok(open), Some(memory)) = (File::open(dir), SlowMemory::new()) else { return };
    thread::scope(|scope| {
        scope.spawn(|| memory.hold(|| field.is_over(), |start| list(&open, start)));
        while !field.is_over() {
            let _ = fs::remove_file(dir.join("no such name"));
        }
    });
}

fn list(dir: &File, start: *mut libc::c_void) {
    // SAFETY: the mapping is a page and stays until this is over.
    unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), start, PAGE) };
}

/// A process that looks at everything and is stopped and continued all the time.
fn be_stopped(field: &Field, client: &Client) {
    let look = "while :; do ls -lR proc/3 ../procfs/3 ctl/3 as/3 cgroup; rm -f ctl/3/exec proc/3/status; done";
    let spawn = || {
        Command::new("sh")
            .args(["-c", look])
            .current_dir(&field.daemon.lab)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    };
    let Ok(child) = spawn() else { return };
    let child = Killed(child);
    for pause in (1..40).cycle().skip(client.number) {
        if field.is_over() {
            break;
        }
        for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
            let _ = kill(Pid::from_raw(child.0.id().cast_signed()), signal);
            thread::sleep(Duration::from_millis(pause));
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lock_and_map(field: &Field, client: &Client) {
    for (dir, name) in NAMES.iter().cycle().skip(client.number * 5) {
        if field.is_over() {
            break;
        }
        let Ok(open) = File::open(field.at(dir).join(name)) else { continue };
        let _ = open.try_lock();
        let Ok((read, write)) = nix::unistd::pipe() else { continue };
        // SAFETY: both descriptors are open.
        unsafe {
            let (from, to) = (open.as_raw_fd(), write.as_raw_fd());
            libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), PAGE, libc::SPLICE_F_NONBLOCK);
        }
        drop((read, write));
        // SAFETY: a new mapping that nothing is read from, since the file may have no such page.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_POPULATE;
            let start = libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ, flags, open.as_raw_fd(), 0);
            if start != libc::MAP_FAILED {
                libc::munmap(start, PAGE);
            }
        }
        let _ = open.unlock();
    }
}

fn make_cgroups(field: &Field, client: &Client) {
    let dir = field.at("cgroup").join(format!("c{}", client.number));
    while !field.is_over() {
        let _ = fs::create_dir(&dir);
        let _ = fs::write(dir.join("cgroup.procs"), "2\n");
        let _ = fs::create_dir(dir.join("below"));
        let _ = fs::rename(&dir, field.at("cgroup/other"));
        let _ = fs::remove_file(dir.join("cgroup.procs"));
        let _ = fs::write(field.at("cgroup/cgroup.procs"), "2\n");
        let _ = fs::remove_dir(dir.join("below"));
        let _ = fs::remove_dir(&dir);
        let _ = fs::read_dir(OsStr::new(&dir)).map(Iterator::count);
    }
}
