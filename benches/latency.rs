//! How long a write to a control file takes while four readers read the biggest files of a lab of 10^5 tasks, or of as many
//! as are given. Run with `cargo bench --bench latency`; exits 1 if more than one write of a hundred takes longer than
//! 20 ms.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TASKS: usize = 100_000;
const FILES: [&str; 4] = ["kernel/tree.json", "kernel/graph.dot", "kernel/tree", "cgroup/cgroup.procs"];
const WRITES: usize = 1_000;
/// Between two writes, so that each meets readers anywhere in their work.
const PAUSE: Duration = Duration::from_millis(7);
/// What 99 of 100 writes may take at most.
const P99_MAX: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let tasks = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(TASKS);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (boot, point) = (dir.path().join("boot.lab"), dir.path().join("m"));
    fs::write(&boot, "1 clone\n".repeat(tasks)).expect("a file of ours");
    fs::create_dir(&point).expect("a directory of ours");
    let Some(mut daemon) = mount(&boot, &point) else {
        println!("no mount here, nothing measured");
        return ExitCode::SUCCESS;
    };
    let alone = measure(&point, &[]);
    let beside = measure(&point, &FILES);
    println!("{tasks} tasks, {WRITES} writes, in ms: {:>8} {:>8} {:>8}", "median", "p99", "longest");
    for (what, times) in [("alone", &alone), ("beside four readers", &beside)] {
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        println!("{what:<35} {:>8.2} {:>8.2} {:>8.2}", at(50), at(99), at(100));
    }
    let _ = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("umount").arg(&point).status();
    let _ = daemon.wait();
    if beside[(beside.len() - 1) * 99 / 100] <= P99_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A lab served by a process of its own; `None` where nothing can be mounted.
fn mount(boot: &Path, point: &Path) -> Option<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
    command.arg("mount").arg("-f").arg("--boot").arg(boot).arg(point).stdout(Stdio::piped());
    let mut daemon = command.spawn().expect("it was just built");
    let mut line = String::new();
    let read = daemon.stdout.as_mut().map(|stdout| BufReader::new(stdout).read_line(&mut line));
    if read.is_some_and(|read| read.is_ok()) && line.starts_with("mounted") {
        return Some(daemon);
    }
    let _ = daemon.wait();
    None
}

/// The times of all writes, the shortest first, while each of `files` is read again and again.
fn measure(point: &Path, files: &[&str]) -> Vec<Duration> {
    let (is_over, read) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut times = Vec::new();
    thread::scope(|scope| {
        for file in files {
            let (is_over, read) = (&is_over, &read);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let text = fs::read(point.join(file)).expect("a file of the lab");
                    read.fetch_add(text.len() as u64, Ordering::Relaxed);
                }
            });
        }
        times = (0..WRITES).map(|number| write(point, number)).collect();
        is_over.store(true, Ordering::Relaxed);
    });
    if !files.is_empty() {
        println!("read meanwhile: {} MiB of {}", read.load(Ordering::Relaxed) >> 20, files.join(", "));
    }
    times.sort();
    times
}

fn write(point: &Path, number: usize) -> Duration {
    thread::sleep(PAUSE);
    let mut file = OpenOptions::new().write(true).open(point.join("ctl/2/sethostname")).expect("a control file");
    let name = format!("host-{number}\n");
    let start = Instant::now();
    file.write_all(name.as_bytes()).expect("root may");
    start.elapsed()
}
