//! What a program costs as a task of a lab (`nslab exec`), beside the same program without. Run with
//! `cargo bench --bench exec`; each figure is the median of interleaved rounds of one run. All but `make` is pinned to one
//! processor.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, getppid};

const NSLAB: &str = env!("CARGO_BIN_EXE_nslab");
const ROUNDS: usize = 5;
/// Shells that `make` starts.
const TARGETS: usize = 300;
/// Files that it has compiled, three processes for each.
const FILES: usize = 60;
const SOURCE: &str = "#include <stdio.h>\n#include <stdlib.h>\nint f(int n) { printf(\"%d\", n); return abs(n); }\n";

/// What is measured, and how often it is done in one go.
const LOOPS: [(&str, u32); 4] = [("getppid", 20_000), ("passed", 50_000), ("fork", 500), ("true", 100)];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, name, count] = &words[..]
        && word == "--inside"
    {
        let count = count.parse().expect("a number of ours");
        println!("{}", inside(name, count).as_nanos());
        return ExitCode::SUCCESS;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("nothing measured: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The time that one of `count` takes, in this process.
fn inside(name: &str, count: u32) -> Duration {
    let once: fn() = match name {
        "getppid" => || {
            black_box(getppid());
        },
        "passed" => passed,
        "fork" => fork,
        _ => || {
            let status = Command::new("/bin/true").status().expect("a program of every machine");
            assert!(status.success());
        },
    };
    once();
    let start = Instant::now();
    for _ in 0..count {
        once();
    }
    start.elapsed() / count
}

/// A call that nobody looks at.
fn passed() {
    black_box(nix::unistd::lseek(io::stdin(), 0, nix::unistd::Whence::SeekCur)).ok();
}

/// A child that ends at once.
#[allow(unsafe_code)]
fn fork() {
    // SAFETY: the child makes one call and ends; it touches nothing that another thread could have locked.
    match unsafe { nix::unistd::fork() }.expect("room for a process") {
        nix::unistd::ForkResult::Parent { child } => {
            nix::sys::wait::waitpid(child, None).expect("a child of ours");
        }
        nix::unistd::ForkResult::Child => {
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) }
        }
    }
}

/// # Errors
/// A lab cannot be mounted, or a program not be run in one.
fn measure() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let point = dir.path().join("m");
    fs::create_dir(&point)?;
    run(Command::new(NSLAB).arg("mount").arg(&point))?;
    let measured = rows(&point, dir.path());
    run(Command::new(NSLAB).arg("umount").arg(&point))?;
    measured
}

fn rows(point: &Path, dir: &Path) -> io::Result<()> {
    let private = ["exec".into(), "--".into()];
    let mounted = ["exec".into(), point.as_os_str().to_owned(), "--".into()];
    let ways: [&[OsString]; 3] = [&[], &private, &mounted];
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>8} {:>8}",
        "microseconds", "native", "private", "mounted", "ratio", "ratio"
    );
    let all = sched_getaffinity(Pid::from_raw(0))?;
    pin(&all)?;
    for (name, count) in LOOPS {
        let mut times: [Vec<Duration>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (way, times) in ways.iter().zip(&mut times) {
                times.push(loop_of(way, name, count)?);
            }
        }
        print(name, times);
    }
    sched_setaffinity(Pid::from_raw(0), &all)?;
    let shells: String = (0..TARGETS).map(|n| format!("t{n}:\n\t@sh -c 'exit 0'; true\n")).collect();
    make(&ways, dir, &format!("make -j2, {TARGETS} shells"), &names("t", TARGETS, ""), &shells)?;
    for n in 0..FILES {
        fs::write(dir.join(format!("f{n}.c")), SOURCE)?;
    }
    make(
        &ways,
        dir,
        &format!("make -j2, {FILES} files of C"),
        &names("f", FILES, ".o"),
        "%.o: %.c\n\t@cc -O2 -c -o $@ $<\n",
    )
}

fn names(letter: &str, count: usize, end: &str) -> String {
    (0..count).map(|n| format!("{letter}{n}{end} ")).collect()
}

/// Makes all of `targets` anew in each round.
fn make(ways: &[&[OsString]; 3], dir: &Path, name: &str, targets: &str, rules: &str) -> io::Result<()> {
    fs::write(dir.join("Makefile"), format!("all: {targets}\n{rules}"))?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (way, times) in ways.iter().zip(&mut times) {
            let start = Instant::now();
            run(command(way, "make").arg("-C").arg(dir).args(["-B", "-s", "-j2"]).stdout(Stdio::null()))?;
            times.push(start.elapsed());
        }
    }
    print(name, times);
    Ok(())
}

/// To the first processor that may be used.
fn pin(all: &CpuSet) -> io::Result<()> {
    let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap_or(false)).unwrap_or(0);
    let mut one = CpuSet::new();
    one.set(first)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
}

fn print(name: &str, times: [Vec<Duration>; 3]) {
    let [native, private, mounted] = times.map(|times| median(times).as_secs_f64() * 1e6);
    println!(
        "{name:<28} {native:>10.2} {private:>10.2} {mounted:>10.2} {:>8.2} {:>8.2}",
        private / native,
        mounted / native
    );
    let _ = io::stdout().flush();
}

/// A program, or the same one as a task of a lab.
fn command(way: &[OsString], program: impl Into<OsString>) -> Command {
    let program = program.into();
    let mut command = Command::new(if way.is_empty() { &program } else { OsStr::new(NSLAB) });
    if !way.is_empty() {
        command.args(way).arg(&program);
    }
    // cargo sets it, and each program would look for its libraries there first.
    command.env_remove("LD_LIBRARY_PATH");
    command
}

fn loop_of(way: &[OsString], name: &str, count: u32) -> io::Result<Duration> {
    let output = command(way, std::env::current_exe()?)
        .args(["--inside", name, &count.to_string()])
        .stdin(fs::File::open("/dev/null")?)
        .stderr(Stdio::inherit())
        .output()?;
    let nanos = String::from_utf8_lossy(&output.stdout).trim().parse();
    nanos.map(Duration::from_nanos).map_err(|_| io::Error::other(format!("{name} in {way:?}: {}", output.status)))
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
