//! Many labs: in turn on one directory, in turn in this process, and at once. None may vanish, and nothing may be left.
//! Run with `cargo bench --bench labs` (10 000 in turn, 200 at once) or with other numbers: `… -- 500 50`. Exits 1 if a lab
//! vanished or something is left.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use nslab::fuse::{self, Found, Health, is_lab};
use nslab::testing::Lab;

const NSLAB: &str = env!("CARGO_BIN_EXE_nslab");
/// How long what ends by itself may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What this process and the machine hold.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
    /// Of labs below the directory of this run.
    labs: usize,
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().filter_map(|word| word.parse().ok());
    let (in_turn, at_once) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(200));
    if let Err(error) = fuse::open_device() {
        println!("no mount here, nothing measured: {error}");
        return ExitCode::SUCCESS;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let before = held(dir.path());
    let vanished = [
        timed("in turn on one directory", in_turn, || by_command(dir.path(), in_turn)),
        timed("in turn in one process", in_turn, || in_process(in_turn)),
        timed("at once", at_once, || together(dir.path(), at_once)),
    ];
    let end = Instant::now() + PATIENCE;
    while held(dir.path()) != before && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    let left = held(dir.path());
    println!("held before: {before:?}, after: {left:?}");
    if vanished == [0; 3] && left == before { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs and prints a part, which gives how many labs vanished.
fn timed(what: &str, count: usize, part: impl FnOnce() -> usize) -> usize {
    let start = Instant::now();
    let vanished = part();
    println!("{count} labs {what}: {:.1} s, {vanished} vanished", start.elapsed().as_secs_f64());
    vanished
}

fn held(dir: &Path) -> Held {
    let entries = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    Held { descriptors: entries("/proc/self/fd"), threads: entries("/proc/self/task"), labs: labs_below(dir).len() }
}

fn labs_below(dir: &Path) -> Vec<Found> {
    let mut labs = fuse::labs().expect("there is /proc");
    labs.retain(|lab| lab.dir.starts_with(dir));
    labs
}

/// Mounts and unmounts on the same directory, at once after one another.
fn by_command(dir: &Path, count: usize) -> usize {
    let point = directory(dir, 0);
    let is_there = |_: &usize| {
        let is_there = nslab("mount", &point) && is_served(&point);
        is_there & nslab("umount", &point) & !is_lab(&point)
    };
    count - (0..count).filter(is_there).count()
}

fn in_process(count: usize) -> usize {
    let is_there = |_: &usize| Lab::new().is_ok_and(|lab| lab.read("proc/1/comm").is_ok_and(|comm| comm == "init\n"));
    count - (0..count).filter(is_there).count()
}

/// Each lab of many has a name of its own and keeps it.
fn together(dir: &Path, count: usize) -> usize {
    let points: Vec<PathBuf> = (1..=count).map(|number| directory(dir, number)).collect();
    let hostname = |point: &Path| point.join("proc/sys/kernel/hostname");
    let name = |point: &Path| format!("lab-{}", point.file_name().unwrap_or_default().to_string_lossy());
    let named = |point: &Path| -> io::Result<bool> {
        fs::write(hostname(point), name(point))?;
        Ok(fs::read_to_string(hostname(point))?.trim_end() == name(point))
    };
    let mounted: Vec<_> =
        points.iter().filter(|point| nslab("mount", point) && named(point).unwrap_or(false)).collect();
    let listed = labs_below(dir).iter().filter(|lab| lab.health == Health::Serving && lab.pid.is_some()).count();
    let stays =
        |point: &&&PathBuf| fs::read_to_string(hostname(point)).is_ok_and(|text| text.trim_end() == name(point));
    let kept = mounted.iter().filter(stays).count();
    let unmounted = points.iter().filter(|point| nslab("umount", point) && !is_lab(point)).count();
    count - mounted.len().min(listed).min(kept).min(unmounted)
}

fn directory(dir: &Path, number: usize) -> PathBuf {
    let point = dir.join(number.to_string());
    fs::create_dir_all(&point).expect("a directory of ours");
    fs::canonicalize(&point).expect("it was just made")
}

fn is_served(point: &Path) -> bool {
    fs::read_to_string(point.join("proc/1/comm")).is_ok_and(|comm| comm == "init\n")
}

fn nslab(what: &str, point: &Path) -> bool {
    let output = Command::new(NSLAB).arg(what).arg(point).output().expect("it was just built");
    if !output.status.success() {
        eprint!("{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}
