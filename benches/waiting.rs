//! What programs cost that wait in calls of a lab, and how soon they are woken: 1000 receivers, as processes of their own, in
//! msgrcv, semop and mq_receive. Run with `cargo bench --bench waiting`; beside it what the same program does without a lab.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use std::{mem, ptr, thread};

const NSLAB: &str = env!("CARGO_BIN_EXE_nslab");
/// Processes that wait.
const RECEIVERS: usize = 1000;
/// How often one of them is woken.
const WAKES: usize = 200;
/// How long all of them wait while nothing happens.
const IDLE: Duration = Duration::from_secs(10);
const KINDS: [&str; 3] = ["msgrcv", "semop", "mq_receive"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match &words[..] {
        [word, kind] if word == "--inside" => inside(kind),
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waiting: {error}");
            ExitCode::FAILURE
        }
    }
}

/// # Errors
/// A lab cannot be mounted, or the program not be run in one.
fn measure() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let point = dir.path().join("m");
    fs::create_dir(&point)?;
    let mounted = Command::new(NSLAB).arg("mount").arg(&point).status()?;
    if !mounted.success() {
        return Err(io::Error::other("no lab can be mounted here"));
    }
    println!("{:<12} {:<8} {:>16} {:>12} {:>12}", "", "lab", "processor, 10 s", "median us", "99 % us");
    let private = ["exec".into(), "--".into()];
    let shared = ["exec".into(), point.as_os_str().to_owned(), "--".into()];
    let ways: [(&str, &[OsString]); 3] = [("none", &[]), ("private", &private), ("mounted", &shared)];
    let mut measured = Ok(());
    for kind in KINDS {
        for (name, way) in ways {
            measured = measured.and_then(|()| row(kind, name, way, &point));
        }
    }
    Command::new(NSLAB).arg("umount").arg("--force").arg(&point).status()?;
    measured
}

fn row(kind: &str, name: &str, way: &[OsString], point: &Path) -> io::Result<()> {
    let own = std::env::current_exe()?;
    let mut words = way.to_vec();
    words.extend([own.into_os_string(), "--inside".into(), kind.into()]);
    let program = if way.is_empty() { words.remove(0) } else { NSLAB.into() };
    let mut child = Command::new(program)
        .args(words)
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let told = watch(&mut child, point);
    let status = child.wait()?;
    let (used, times) = told?;
    if !status.success() {
        return Err(io::Error::other(format!("{kind} in a {name} lab: {status}")));
    }
    let share = 100.0 * used.as_secs_f64() / IDLE.as_secs_f64();
    println!("{kind:<12} {name:<8} {share:>14.2} % {:>12.1} {:>12.1}", times.0, times.1);
    Ok(())
}

/// The processor time that all who have to do with the receivers use while nothing happens; microseconds until one is woken.
fn watch(child: &mut Child, point: &Path) -> io::Result<(Duration, (f64, f64))> {
    let mut lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
    let mut next = || lines.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    next()?;
    // Until the last of them sleeps.
    thread::sleep(Duration::from_secs(1));
    let before = used(child.id(), point)?;
    thread::sleep(IDLE);
    let after = used(child.id(), point)?;
    child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?.write_all(b"g")?;
    let times = next()?;
    let mut numbers = times.split(' ').filter_map(|number| number.parse().ok());
    let times = numbers.next().zip(numbers.next()).ok_or_else(|| io::Error::other(times.clone()))?;
    Ok((after.saturating_sub(before), times))
}

/// Processor time of a process, of all below it, and of the daemon of the lab on `point`.
fn used(top: u32, point: &Path) -> io::Result<Duration> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let is_daemon = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(point.as_os_str().len()).any(|window| window == point.as_os_str().as_encoded_bytes())
    };
    let mut ours = vec![top];
    ours.extend(parents.iter().map(|(pid, _)| *pid).filter(|pid| *pid != top && is_daemon(*pid)));
    let mut at = 0;
    while at < ours.len() {
        let below = parents.iter().filter(|(pid, parent)| *parent == ours[at] && !ours.contains(pid));
        let below: Vec<u32> = below.map(|(pid, _)| *pid).collect();
        ours.extend(below);
        at += 1;
    }
    Ok(ours.into_iter().map(ran).sum())
}

/// Time that the threads of a process have run.
fn ran(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Receivers, and who wakes them.
fn inside(kind: &str) -> io::Result<()> {
    let object = Object::new(kind)?;
    let (woken, tell) = nix::unistd::pipe()?;
    let receivers = (0..RECEIVERS).map(|index| receiver(&object, index, &tell)).collect::<io::Result<Vec<_>>>()?;
    println!("all wait");
    io::stdout().flush()?;
    io::stdin().read_exact(&mut [0])?;
    let mut woken = fs::File::from(woken);
    let mut times = Vec::new();
    for round in 0..WAKES {
        let mut told = [0; 8];
        let start = now();
        object.wake(round * 7 % RECEIVERS)?;
        woken.read_exact(&mut told)?;
        times.push(u64::from_ne_bytes(told).saturating_sub(start));
        thread::sleep(Duration::from_millis(2));
    }
    times.sort_unstable();
    let micros = |nanos: u64| nanos as f64 / 1000.0;
    println!("{} {}", micros(times[WAKES / 2]), micros(times[WAKES * 99 / 100]));
    end(&object, &receivers);
    Ok(())
}

/// Nanoseconds of a clock that all processes have.
fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock of every Linux");
    time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
}

/// What they wait on.
enum Object {
    Queue(i32),
    /// Of so many semaphores, one for each.
    Set(i32),
    Mqueue(i32),
}

/// `struct msgbuf`
#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; 8],
}

const NAME: &std::ffi::CStr = c"/waiting";

fn check(result: libc::c_long) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

#[allow(unsafe_code)]
impl Object {
    fn new(kind: &str) -> io::Result<Object> {
        // SAFETY: these take numbers, a name that ends with a 0 byte, and a struct of the right type.
        unsafe {
            Ok(match kind {
                "msgrcv" => Object::Queue(check(libc::msgget(libc::IPC_PRIVATE, 0o600).into())?),
                "semop" => Object::Set(check(libc::semget(libc::IPC_PRIVATE, RECEIVERS as i32, 0o600).into())?),
                _ => {
                    let mut attr: libc::mq_attr = mem::zeroed();
                    (attr.mq_maxmsg, attr.mq_msgsize) = (10, 8);
                    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
                    Object::Mqueue(check(libc::mq_open(NAME.as_ptr(), flags, 0o600, &raw mut attr).into())?)
                }
            })
        }
    }

    /// Waits until somebody wakes the receiver with this number, or any where they have none.
    fn wait(&self, index: usize) -> io::Result<()> {
        let mut message = Message { kind: 0, text: [0; 8] };
        // SAFETY: the buffers are valid for the sizes that are given with them.
        unsafe {
            match *self {
                Object::Queue(id) => {
                    let to = ptr::from_mut(&mut message).cast();
                    check(libc::msgrcv(id, to, 8, index as libc::c_long + 1, 0) as libc::c_long)
                }
                Object::Set(id) => check(libc::semop(id, &mut operation(index, -1), 1).into()),
                Object::Mqueue(fd) => {
                    let to = message.text.as_mut_ptr().cast();
                    check(libc::mq_receive(fd, to, 8, ptr::null_mut()) as libc::c_long)
                }
            }
        }
        .map(drop)
    }

    fn wake(&self, index: usize) -> io::Result<()> {
        let message = Message { kind: index as libc::c_long + 1, text: [0; 8] };
        // SAFETY: as above.
        unsafe {
            match *self {
                Object::Queue(id) => check(libc::msgsnd(id, ptr::from_ref(&message).cast(), 8, 0).into()),
                Object::Set(id) => check(libc::semop(id, &mut operation(index, 1), 1).into()),
                Object::Mqueue(fd) => check(libc::mq_send(fd, message.text.as_ptr().cast(), 8, 0).into()),
            }
        }
        .map(drop)
    }
}

fn operation(index: usize, change: i16) -> libc::sembuf {
    libc::sembuf { sem_num: index as u16, sem_op: change, sem_flg: 0 }
}

/// A process that waits, tells when it was woken, and waits again; its number.
#[allow(unsafe_code)]
fn receiver(object: &Object, index: usize, tell: &std::os::fd::OwnedFd) -> io::Result<i32> {
    // SAFETY: this process has one thread; the child makes calls and ends.
    let pid = check(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        while object.wait(index).is_ok() {
            let _ = nix::unistd::write(tell, &now().to_ne_bytes());
        }
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) }
    }
    Ok(pid)
}

/// Ends them all, and takes away what they waited on.
#[allow(unsafe_code)]
fn end(object: &Object, receivers: &[i32]) {
    // SAFETY: these take numbers and a name that ends with a 0 byte.
    unsafe {
        for pid in receivers {
            libc::kill(*pid, libc::SIGKILL);
        }
        for pid in receivers {
            libc::waitpid(*pid, ptr::null_mut(), 0);
        }
        match *object {
            Object::Queue(id) => libc::msgctl(id, libc::IPC_RMID, ptr::null_mut()),
            Object::Set(id) => libc::semctl(id, 0, libc::IPC_RMID),
            Object::Mqueue(_) => libc::mq_unlink(NAME.as_ptr()),
        };
    }
}
