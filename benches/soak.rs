//! Ten minutes, or as many seconds as are given, of churn on one lab: writers, readers, walkers, another user, lsns and ps.
//! What the process that serves it holds must not grow once it is warm: memory, descriptors, threads, inodes and open files.
//! Run with `cargo bench --bench soak`; exits 1 with a message if something grew.

#![allow(clippy::disallowed_methods, reason = "it runs for a time")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nslab::fuse::{self, Options};
use nslab::host::Lab;
use nslab::kernel::Kernel;

const SECONDS: u64 = 600;
const WRITERS: u64 = 4;
const READERS: usize = 3;
/// Which part of the time warms caches and tables before the first figure counts: the first of so many.
const WARM: u32 = 4;
/// How much more than the greatest figure of the second quarter the greatest of the last one may be: a share of it, and
/// what is left to chance: each of the threads that serve may have a file open for a moment.
const MARGINS: [(&str, u64, u64); 5] = [
    ("rss KiB", 10, 8 << 10),
    ("descriptors", 0, 8),
    ("threads", 0, 0),
    ("inodes", 25, 2_000),
    ("open files", 100, 64),
];
/// What each writer has done to tasks of its own, whose number is put for P.
const ROUND: &[(&str, &str)] = &[
    ("unshare", "newns newuts newipc newnet cgroup"),
    ("mount", "tmpfs t /tmp"),
    ("mkdir", "/tmp/d"),
    ("touch", "/tmp/f"),
    ("symlink", "f /tmp/l"),
    ("rename", "/tmp/f /tmp/g"),
    ("open", "/tmp/g"),
    ("open", "proc/self/ns/net"),
    ("msgget", "private create 0600"),
    ("semget", "private 3 create 0600"),
    ("ip", "link add v0 type veth peer name v1"),
    ("mount", "--bind /tmp/d /w"),
    ("umount", "-l /w"),
    ("exec", "worker -P"),
    ("prctl", "dumpable 0"),
    ("setuid", "1000"),
    ("exit", "0"),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, dir] = &words[..]
        && serve == "serve"
    {
        return self::serve(Path::new(dir));
    }
    let seconds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(SECONDS);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.path(), permissions).expect("a directory of ours");
    let Some(mut daemon) = Daemon::start(dir.path()) else {
        println!("no mount here, nothing measured");
        return ExitCode::SUCCESS;
    };
    let figures = churn(dir.path(), &mut daemon, Duration::from_secs(seconds));
    let verdict = judge(&figures);
    drop(daemon);
    verdict
}

/// The process that serves the lab. It tells what it holds whenever it reads a line.
fn serve(dir: &Path) -> ExitCode {
    let mut options = Options::default();
    if nix::unistd::geteuid().is_root() {
        options.add("allow_other").expect("a word of ours");
    }
    let Ok(mounted) = fuse::mount(Lab::new(Kernel::boot()), dir, &options) else { return ExitCode::FAILURE };
    let (point, gauge) = (mounted.point().clone(), mounted.gauge());
    println!("mounted");
    thread::spawn(move || {
        for _ in io::stdin().lines().map_while(Result::ok) {
            println!("{} {}", gauge.inodes(), gauge.open_files());
        }
        // The one who asks is gone.
        let _ = point.abort();
    });
    let _ = mounted.serve();
    ExitCode::SUCCESS
}

struct Daemon {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Daemon {
    fn start(dir: &Path) -> Option<Daemon> {
        let mut command = Command::new(std::env::current_exe().expect("it runs"));
        command.arg("serve").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut line = String::new();
        if let (ask, Some(stdout)) = (child.stdin.take(), child.stdout.take()) {
            let mut answers = BufReader::new(stdout);
            if answers.read_line(&mut line).is_ok() && line == "mounted\n" {
                return Some(Daemon { child, ask, answers });
            }
        }
        let _ = child.wait();
        None
    }

    /// In the order of [`MARGINS`].
    fn figures(&mut self) -> [u64; 5] {
        let (mut line, pid) = (String::new(), self.child.id());
        let asked = self.ask.as_mut().map(|ask| ask.write_all(b"\n"));
        asked.expect("it is there").and_then(|()| self.answers.read_line(&mut line)).expect("it answers");
        let mut own = line.split_whitespace().map(|word| word.parse::<u64>().expect("a number"));
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as u64;
        let [inodes, open] = [own.next(), own.next()].map(Option::unwrap_or_default);
        [of("VmRSS:"), descriptors, of("Threads:"), inodes, open]
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.ask = None;
        let _ = self.child.wait();
    }
}

/// What the daemon held, once a second, while everybody is at work.
fn churn(top: &Path, daemon: &mut Daemon, time: Duration) -> Vec<[u64; 5]> {
    let (is_over, counts) = (AtomicBool::new(false), Counts::default());
    let mut figures = Vec::new();
    thread::scope(|scope| {
        let (is_over, counts) = (&is_over, &counts);
        for number in 0..WRITERS {
            scope.spawn(move || write(top, number, is_over, counts));
        }
        for number in 0..READERS {
            scope.spawn(move || read(top, number, is_over, counts));
        }
        let walk = "while :; do find . -ls > /dev/null 2>&1; ls -lR proc ctl kernel > /dev/null 2>&1; done";
        let tools = "mount --bind proc /proc && while :; do lsns > /dev/null 2>&1; ps -efL > /dev/null 2>&1; done";
        let mut programs = vec![shell(top, walk, false), shell(top, tools, false)];
        if nix::unistd::geteuid().is_root() {
            programs.push(shell(top, "while :; do find . -type f -exec cat {} + > /dev/null 2>&1; done", true));
        }
        let start = Instant::now();
        println!("{:>8} {:>10} {:>12} {:>8} {:>8} {:>10}", "s", "rss KiB", "descriptors", "threads", "inodes", "open");
        while start.elapsed() < time {
            thread::sleep(Duration::from_secs(1));
            let [rss, descriptors, threads, inodes, open] = daemon.figures();
            figures.push([rss, descriptors, threads, inodes, open]);
            if figures.len() % 10 == 0 {
                let seconds = start.elapsed().as_secs();
                println!("{seconds:>8} {rss:>10} {descriptors:>12} {threads:>8} {inodes:>8} {open:>10}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for program in &mut programs {
            let _ = nix::sys::signal::killpg(pid(program), nix::sys::signal::Signal::SIGKILL);
            let _ = program.wait();
        }
    });
    let [calls, refused, reads] = [&counts.calls, &counts.refused, &counts.reads].map(|n| n.load(Ordering::Relaxed));
    println!("{calls} calls, {refused} of them refused, {reads} reads");
    figures
}

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    refused: AtomicU64,
    reads: AtomicU64,
}

fn pid(child: &Child) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
}

/// A shell in a mount namespace and process group of its own.
fn shell(top: &Path, script: &str, is_stranger: bool) -> Child {
    let mut command = if is_stranger { Command::new("sh") } else { Command::new("unshare") };
    if is_stranger {
        command.uid(12345).gid(12345);
    } else {
        command.args(["-m", "--propagation", "private", "sh"]);
    }
    command.args(["-c", script]).current_dir(top).process_group(0).spawn().expect("every Linux has it")
}

/// A task is made, does all of a round and dies, and again; each call by a file of its own.
fn write(top: &Path, writer: u64, is_over: &AtomicBool, counts: &Counts) {
    let group = top.join(format!("cgroup/{writer}"));
    for _ in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let made = call(top, "1", "clone", "newpid");
        let Ok(task) = made else { continue };
        let _ = fs::create_dir(&group);
        let _ = fs::write(group.join("cgroup.procs"), &task);
        for (verb, words) in ROUND {
            let result = call(top, &task, verb, &words.replace('P', &task));
            counts.calls.fetch_add(1, Ordering::Relaxed);
            counts.refused.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
        }
        let _ = call(top, "1", "wait", &task);
        let _ = fs::remove_dir(&group);
    }
}

fn call(top: &Path, task: &str, verb: &str, words: &str) -> io::Result<String> {
    let mut file = OpenOptions::new().read(true).write(true).open(top.join("ctl").join(task).join(verb))?;
    file.write_all(format!("{words}\n").as_bytes())?;
    let mut answer = String::new();
    file.read_to_string(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

/// Reads whatever is there.
fn read(top: &Path, reader: usize, is_over: &AtomicBool, counts: &Counts) {
    const FILES: [&str; 6] =
        ["status", "mountinfo", "ns/net", "../../kernel/tree.json", "../../kernel/trace", "net/dev"];
    while !is_over.load(Ordering::Relaxed) {
        let tasks = fs::read_dir(top.join("proc")).into_iter().flatten().flatten();
        let tasks = tasks.map(|entry| entry.path()).filter(|path| path.join("ns").exists());
        for (number, task) in tasks.enumerate() {
            let file = task.join(FILES[(number + reader) % FILES.len()]);
            // Tasks come and go.
            let _ = fs::read(&file).map(drop).or_else(|_| fs::read_link(&file).map(drop));
            counts.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Compares the end with the time after the lab was warm.
fn judge(figures: &[[u64; 5]]) -> ExitCode {
    let quarter = figures.len() / WARM as usize;
    let greatest = |part: &[[u64; 5]], which: usize| part.iter().map(|all| all[which]).max().unwrap_or(0);
    let mut grown = BTreeMap::new();
    for (which, (what, share, chance)) in MARGINS.into_iter().enumerate() {
        let early = greatest(&figures[quarter..2 * quarter], which);
        let late = greatest(&figures[figures.len() - quarter..], which);
        println!("{what:<12} {early:>10} in the second quarter, {late:>10} in the last");
        if late > early + early * share / 100 + chance {
            grown.insert(what, (early, late));
        }
    }
    for (what, (early, late)) in &grown {
        println!("GREW: {what} from {early} to {late}");
    }
    if grown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
