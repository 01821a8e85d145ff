//! `ps` of 10^4 tasks of a lab, or of as many as are given, beside `ps` of as many real processes and of as many tasks that a
//! FUSE file system without anything to do shows. Run with `cargo bench --bench ps` as root; the median of the rounds of one
//! run, each with a lab that nobody has looked at yet.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod floor;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use floor::Floor;
use fuser::{Config, spawn_mount};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

const TASKS: usize = 10_000;
const ROUNDS: usize = 5;
/// How often the same processes are looked at again.
const AGAIN: usize = 3;
const PS: &str = "ps -eo pid,ppid,pidns,netns,comm";

fn main() -> ExitCode {
    let tasks = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(TASKS);
    match measure(tasks) {
        Ok(times) => {
            println!("{PS}, {tasks} tasks, seconds");
            println!("{:<16}{:>8}{:>8}{:>8}{:>12}{:>12}", "", "lab", "floor", "real", "lab/floor", "lab/real");
            let print = |what: &str, of: fn(&Times) -> &[Duration]| {
                let [real, floor, lab] = times.each_ref().map(|times| median(of(times)).as_secs_f64());
                println!("{what:<16}{lab:>8.2}{floor:>8.2}{real:>8.2}{:>12.2}{:>12.2}", lab / floor, lab / real);
            };
            print("the first time", |times| &times.first);
            print("again", |times| &times.again);
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("nothing measured: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Times {
    first: Vec<Duration>,
    again: Vec<Duration>,
}

/// Of real processes, of the floor and of a lab.
///
/// # Errors
/// Real processes cannot be made, or no lab can be mounted and put over proc.
fn measure(tasks: usize) -> io::Result<[Times; 3]> {
    let dir = tempfile::tempdir()?;
    let (boot, point) = (dir.path().join("boot.lab"), dir.path().join("m"));
    fs::write(&boot, "1 clone\n".repeat(tasks))?;
    fs::create_dir(&point)?;
    let mut times: [Times; 3] = Default::default();
    for _ in 0..ROUNDS {
        let mut processes = processes(tasks)?;
        look(&mut times[0], None, tasks)?;
        killpg(Pid::from_raw(processes.id().cast_signed()), Signal::SIGKILL)?;
        processes.wait()?;
        let mut config = Config::default();
        config.n_threads = Some(thread::available_parallelism()?.get());
        let floor = spawn_mount(Floor(tasks as u64 + 1), &point, &config)?;
        let looked = look(&mut times[1], Some(&point), tasks);
        floor.umount_and_join()?;
        looked?;
        nslab(&["mount", "--boot"], &[&boot, &point])?;
        let looked = look(&mut times[2], Some(&point.join("proc")), tasks);
        nslab(&["umount"], &[&point])?;
        looked?;
    }
    Ok(times)
}

/// A group of real processes that wait, as many as are asked for besides its first.
fn processes(count: usize) -> io::Result<Child> {
    let make = format!("i=0; while [ $i -lt {count} ]; do sleep 1000 & i=$((i+1)); done; wait");
    let mut first = Command::new("sh");
    let first = first.args(["-c", &make]).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let children = format!("/proc/{0}/task/{0}/children", first.id());
    while fs::read_to_string(&children)?.split_ascii_whitespace().count() < count {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(first)
}

/// Lists all processes again and again, those of `proc` if one is given.
fn look(times: &mut Times, proc: Option<&Path>, tasks: usize) -> io::Result<()> {
    let bind = proc.map_or_else(String::new, |proc| format!("mount --bind {} /proc && ", proc.display()));
    for round in 0..=AGAIN {
        let start = Instant::now();
        let listed = Command::new("unshare").args(["-m", "sh", "-c", &format!("{bind}exec {PS}")]).output()?;
        let time = start.elapsed();
        let lines = listed.stdout.iter().filter(|byte| **byte == b'\n').count();
        if !listed.status.success() || lines <= tasks {
            return Err(io::Error::other(format!("{PS}: {lines} lines, {}", String::from_utf8_lossy(&listed.stderr))));
        }
        if round == 0 { times.first.push(time) } else { times.again.push(time) }
    }
    Ok(())
}

fn nslab(words: &[&str], paths: &[&Path]) -> io::Result<()> {
    let status = Command::new(env!("CARGO_BIN_EXE_nslab")).args(words).args(paths).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("nslab {}: {status}", words.join(" ")))) }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}
