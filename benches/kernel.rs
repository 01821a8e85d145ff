//! Calls on the simulated kernel beside the real ones, and the cost of many tasks.
//! Run with `cargo bench --bench kernel`; every figure is the median of interleaved rounds of one run.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(unsafe_code, reason = "fork has no safe wrapper")]

use std::hint::black_box;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags as RealFlags, setns, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use nslab::kernel::ns::NsType;
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::{AnyCall, CloneArgs, LabCall, Return, Syscall, dispatch};

const ROUNDS: usize = 9;
/// A name, how long the lab's call takes, how long the real one, if this user may make it.
type Call = (&'static str, fn() -> Duration, fn() -> Option<Duration>);

/// As many as a mounted lab keeps.
const TRACE_STEPS: usize = 1 << 14;
const NEWUTS: u64 = 0x0400_0000;

fn main() {
    println!("{:<34} {:>12} {:>12} {:>8}", "call", "nslab ns", "Linux ns", "ratio");
    let calls: [Call; 4] = [
        ("unshare(CLONE_NEWUTS)", || lab_unshare(0), real_unshare),
        ("unshare(CLONE_NEWUTS), recorded", || lab_unshare(TRACE_STEPS), real_unshare),
        ("fork + exit + wait", lab_fork, real_fork),
        ("setns(own uts)", lab_setns, real_setns),
    ];
    for (name, lab, real) in calls {
        let mut rounds: Vec<(Duration, Option<Duration>)> = (0..ROUNDS).map(|_| (lab(), real())).collect();
        let lab = median(rounds.iter().map(|r| r.0).collect());
        match rounds.drain(..).map(|r| r.1).collect::<Option<Vec<_>>>().map(median) {
            Some(real) => println!(
                "{name:<34} {:>12} {:>12} {:>8.3}",
                lab.as_nanos(),
                real.as_nanos(),
                lab.as_secs_f64() / real.as_secs_f64()
            ),
            None => println!("{name:<34} {:>12} {:>12} {:>8}", lab.as_nanos(), "no right", "-"),
        }
    }
    println!();
    println!("{:<34} {:>12} {:>12} {:>8}", "tasks", "seconds", "MiB", "B/task");
    for tasks in [100_000u32, 1_000_000] {
        boot_tasks(tasks);
    }
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

/// The time of one call out of `calls`.
fn per_call(calls: u32, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed() / calls
}

fn make(k: &mut Kernel, task: TaskId, call: &AnyCall) -> Return {
    black_box(dispatch(k, task, call).expect("init may do everything"))
}

fn child(k: &mut Kernel) -> TaskId {
    let parent = k.init.task;
    match make(k, parent, &Syscall::Clone(CloneArgs::default()).into()) {
        Return::Pid(numbers) => k.find_task(numbers.initial()).expect("clone gives the child's number"),
        other => unreachable!("clone gives a number, not {other}"),
    }
}

/// `steps`: how many of its steps the kernel keeps, 0 for none as without a mount.
fn lab_unshare(steps: usize) -> Duration {
    let mut k = Kernel::boot();
    k.trace.start(steps);
    let task = child(&mut k);
    let call = Syscall::Unshare { flags: NEWUTS }.into();
    per_call(100_000, || {
        make(&mut k, task, &call);
    })
}

fn real_unshare() -> Option<Duration> {
    unshare(RealFlags::CLONE_NEWUTS).ok()?;
    Some(per_call(2_000, || unshare(RealFlags::CLONE_NEWUTS).expect("it worked before")))
}

fn lab_fork() -> Duration {
    let mut k = Kernel::boot();
    let init = k.init.task;
    let wait = Syscall::Wait { pid: nslab::syscall::PidArg::Own(-1), options: 0 }.into();
    per_call(100_000, || {
        let task = child(&mut k);
        make(&mut k, task, &Syscall::Exit { code: 0 }.into());
        make(&mut k, init, &wait);
    })
}

fn real_fork() -> Option<Duration> {
    Some(per_call(300, || {
        // SAFETY: the child calls nothing but _exit.
        match unsafe { fork() }.expect("a process more fits") {
            // SAFETY: ends the child without running anything of the parent's.
            ForkResult::Child => unsafe { libc::_exit(0) },
            ForkResult::Parent { child } => drop(waitpid(child, None)),
        }
    }))
}

fn lab_setns() -> Duration {
    let mut k = Kernel::boot();
    let task = child(&mut k);
    make(&mut k, task, &Syscall::Unshare { flags: NEWUTS }.into());
    let uts = NsType::from_name("uts").expect("a kind of namespace");
    let open = LabCall::OpenNs { ns_type: uts, inum: uts.ops().init_inum, flags: 0 }.into();
    let fd = match make(&mut k, task, &open) {
        Return::Fd(fd) => fd,
        other => unreachable!("open gives a descriptor, not {other}"),
    };
    let call = Syscall::Setns { fd, flags: 0 }.into();
    per_call(100_000, || {
        make(&mut k, task, &call);
    })
}

fn real_setns() -> Option<Duration> {
    let own = std::fs::File::open("/proc/self/ns/uts").ok()?;
    setns(own.as_fd(), RealFlags::CLONE_NEWUTS).ok()?;
    Some(per_call(5_000, || setns(own.as_fd(), RealFlags::CLONE_NEWUTS).expect("it worked before")))
}

/// Memory this process has in use, bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn boot_tasks(tasks: u32) {
    let before = resident();
    let start = Instant::now();
    let mut k = Kernel::boot();
    let init = k.init.task;
    let call = Syscall::Clone(CloneArgs::default()).into();
    for _ in 1..tasks {
        make(&mut k, init, &call);
    }
    let elapsed = start.elapsed();
    let used = resident().saturating_sub(before);
    println!("{tasks:<34} {:>12.3} {:>12} {:>8}", elapsed.as_secs_f64(), used >> 20, used / u64::from(tasks));
    black_box(&k);
}
