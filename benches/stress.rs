//! Strict consistency under load: two writers that unshare, four readers, for 30 seconds (or the number of seconds
//! given). Run with `cargo bench --bench stress`; exits 1 at a stale read. A hang shows as a run that does not end.

#![allow(clippy::disallowed_methods, reason = "it runs for a time")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nslab::testing::Lab;

const WRITERS: usize = 2;
const READERS: usize = 4;

/// What all threads count.
#[derive(Default)]
struct Counts {
    writes: AtomicU64,
    reads: AtomicU64,
    stale: AtomicU64,
}

fn main() -> ExitCode {
    let seconds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(30);
    let lab = match Lab::new() {
        Ok(lab) => lab,
        Err(error) => {
            println!("no mount here, nothing measured: {error}");
            return ExitCode::SUCCESS;
        }
    };
    // Inums only grow here: each writer pins what it made.
    let tasks: Vec<String> = (0..WRITERS).map(|_| lab.call(1, "clone").expect("init may fork")).collect();
    let newest: Vec<AtomicU64> = tasks.iter().map(|task| AtomicU64::new(inum(&link(&lab, task)))).collect();
    let (counts, over) = (Counts::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for (task, newest) in tasks.iter().zip(&newest) {
            scope.spawn(|| write(&lab, task, newest, &counts, &over));
        }
        for _ in 0..READERS {
            scope.spawn(|| read(&lab, &tasks, &newest, &counts, &over));
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::SeqCst);
    });
    let [writes, reads, stale] = [&counts.writes, &counts.reads, &counts.stale].map(|n| n.load(Ordering::SeqCst));
    println!("{seconds} s, {WRITERS} writers, {READERS} readers: {writes} writes, {reads} reads, {stale} stale");
    if stale == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn link(lab: &Lab, task: &str) -> String {
    let path = lab.path().join("proc").join(task).join("ns/uts");
    fs::read_link(path).expect("a live task").to_string_lossy().into_owned()
}

fn inum(link: &str) -> u64 {
    link.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("type:[inum]")
}

/// Makes new namespaces whose inums only grow, since each is pinned by a descriptor.
fn write(lab: &Lab, task: &str, newest: &AtomicU64, counts: &Counts, over: &AtomicBool) {
    let pid: i32 = task.parse().expect("clone gives a number");
    lab.call(pid, "prlimit nofile 4000").expect("below the hard limit");
    let (mut made, mut holder) = (0, pid);
    while !over.load(Ordering::SeqCst) {
        if made % 4000 == 0 {
            // A fresh task to pin with, its table of descriptors empty.
            holder = lab.call(1, "clone").expect("init may fork").parse().expect("a number");
            lab.call(holder, "prlimit nofile 4096").expect("below the hard limit");
        }
        lab.call(pid, "unshare newuts").expect("init may unshare");
        lab.call(holder, &format!("open {task}/ns/uts")).expect("a free descriptor");
        let now = inum(&link(lab, task));
        if now <= newest.load(Ordering::SeqCst) {
            counts.stale.fetch_add(1, Ordering::SeqCst);
        }
        newest.store(now, Ordering::SeqCst);
        counts.writes.fetch_add(1, Ordering::SeqCst);
        made += 1;
    }
}

/// A read that starts after a write has returned must show that write or a later one.
fn read(lab: &Lab, tasks: &[String], newest: &[AtomicU64], counts: &Counts, over: &AtomicBool) {
    let path = |task: &String| lab.path().join("proc").join(task).join("ns/uts");
    let paths: Vec<_> = tasks.iter().map(path).collect();
    for at in (0..tasks.len()).cycle() {
        if over.load(Ordering::SeqCst) {
            break;
        }
        for look in [by_readlink, by_stat] {
            let known = newest[at].load(Ordering::SeqCst);
            if look(&paths[at]) < known {
                counts.stale.fetch_add(1, Ordering::SeqCst);
            }
            counts.reads.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn by_readlink(path: &Path) -> u64 {
    inum(&fs::read_link(path).expect("a live task").to_string_lossy())
}

fn by_stat(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("a live namespace"))
}
