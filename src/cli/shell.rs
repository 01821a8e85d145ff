//! `nslab shell`: a shell in a lab of its own, which is gone when the shell ends.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{self, Child, ExitCode, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::mount::watch_panics;
use super::{Limits, Outcome, boot_lab, complete, temporary};
use crate::errno::describe;
use crate::fuse::{self, Options, Point};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Execute this script before the shell starts
    #[arg(long, value_name = "FILE", add = complete::script())]
    boot: Option<PathBuf>,
    /// Run this command line instead of an interactive shell
    #[arg(short, value_name = "CMD")]
    command: Option<String>,
}

/// The exit code is that of the shell, or 128 and the number of the signal that ended it.
pub fn run(args: &Args) -> Outcome {
    let dir = temporary()?;
    let options = Options::default().booted_with(args.boot.as_deref());
    let mounted = fuse::mount(boot_lab(args.boot.as_deref(), Limits::default(), None)?, dir.path(), &options)?;
    let point = mounted.point().clone();
    watch_panics(&point);
    thread::Builder::new().name("session".to_owned()).spawn(move || mounted.serve())?;
    let status = attach(&point).and_then(|task| {
        greet(args, &point, &task);
        run_shell(args, &point)
    });
    point.detach()?;
    dir.close()?;
    Ok(exit_code(status?))
}

/// Makes this process, and so the shell, the viewer of a fresh child of init, and gives its number.
fn attach(point: &Point) -> io::Result<String> {
    let mut batch = OpenOptions::new().write(true).open(point.path().join("ctl/batch"))?;
    batch.write_all(format!("SHELL = 1 clone\n$SHELL attach {}\n", process::id()).as_bytes())?;
    Ok(fs::read_link(point.path().join("proc/self"))?.display().to_string())
}

/// Who sits at a terminal is told where they are.
fn greet(args: &Args, point: &Point, task: &str) {
    if args.command.is_none() && io::stdin().is_terminal() && io::stderr().is_terminal() {
        eprintln!(
            "nslab: a lab in {} (also $LAB): this shell is its task {task}; `cat ctl/usage` lists the calls, `exit` takes it down",
            point.path().display()
        );
    }
}

/// `$PATH` with the folder of this program at its end: `nslab` is found also when it is not installed.
fn search_path() -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::current_exe().ok()?;
    std::env::join_paths(std::env::split_paths(&path).chain(program.parent().map(PathBuf::from))).ok()
}

fn run_shell(args: &Args, point: &Point) -> io::Result<ExitStatus> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let mut command = process::Command::new(&shell);
    if let Some(line) = &args.command {
        command.arg("-c").arg(line);
    }
    command.env("LAB", point.path()).current_dir(point.path());
    if let Some(path) = search_path() {
        command.env("PATH", path);
    }
    let failed = |error| format!("{}: {}: set SHELL to a shell", shell.display(), describe(&error));
    let mut child = command.spawn().map_err(|error| io::Error::other(failed(error)))?;
    let finishing = Arc::new(Mutex::new(()));
    let end = End { point: point.clone(), shell: pid_of(&child), finishing: Arc::clone(&finishing) };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            end.on(signal);
        }
    })?;
    let status = child.wait();
    let _finishing = finishing.lock();
    status
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid is an i32"))
}

/// What has to end when we are told to.
struct End {
    point: Point,
    shell: Pid,
    /// Held by whoever ends things first: the main thread when the shell is gone, or we.
    finishing: Arc<Mutex<()>>,
}

impl End {
    /// An interrupt from the terminal is the shell's business, which has got it too. Else the shell is told, and
    /// everything ends whether it obeys or not.
    fn on(&self, signal: i32) {
        if signal == SIGINT {
            return;
        }
        let _finishing = self.finishing.lock();
        // Errors: the shell, the mount or the directory is gone already.
        for told in [Signal::SIGHUP, Signal::SIGCONT] {
            let _ = kill(self.shell, told);
        }
        let _ = self.point.detach();
        let _ = fs::remove_dir(self.point.path());
        process::exit(128 + signal);
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let number = status.code().or(status.signal().map(|signal| 128 + signal));
    number.and_then(|number| u8::try_from(number).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
