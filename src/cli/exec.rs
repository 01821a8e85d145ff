//! `nslab exec`: a program and all it starts as tasks of a lab.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use clap::ValueHint;
use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use super::mount::watch_panics;
use super::{Limits, Outcome, boot_lab, complete, in_words, temporary};
use crate::exec::{self, Bell, Child, FAILED, Here, Options, Supervisor};
use crate::fuse;
use crate::host::find_caller;
use crate::journal::{Journal, Sync};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task whose child the program becomes
    #[arg(long = "as", value_name = "PID", default_value_t = 1, add = complete::pid())]
    pub(super) parent: i32,
    /// Script that the lab boots with
    #[arg(long, value_name = "FILE", add = complete::script())]
    boot: Option<PathBuf>,
    /// Note all that is done in this new file, a script to boot from
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Tell on standard error of each call that fails, and why
    #[arg(long)]
    pub(super) explain: bool,
    /// How many tasks there may be at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tasks: Option<u32>,
    /// A mounted lab, in which programs stay until they end; without it the lab ends with the program
    #[arg(value_name = "LAB", conflicts_with_all = ["boot", "journal", "max_tasks"], add = complete::lab())]
    pub(super) lab: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub(super) command: Vec<OsString>,
}

/// The exit code is that of the program, or 128 and the number of the signal that ended it; 125 if we have failed.
pub fn run(args: Args) -> Outcome {
    let ran = match &args.lab {
        Some(lab) => super::exec_lab::supervise(&args, lab),
        None => supervise(&args),
    };
    match ran {
        Ok(status) => Ok(ExitCode::from(exit_code(status))),
        Err(error) => {
            eprintln!("nslab: {}", in_words(&*error));
            Ok(ExitCode::from(FAILED as u8))
        }
    }
}

/// Runs the program; its wait status word.
fn supervise(args: &Args) -> Result<i32, Box<dyn std::error::Error>> {
    let dir = temporary()?;
    // As long as this process has one thread.
    let child = Child::new(&args.command)?;
    let bell = Bell::new(Some(dir.path()))?;
    survive_terminal(child.tid)?;
    let served = mount(args, &dir)?;
    let point = served.point().clone();
    let run = || -> io::Result<i32> {
        let (first, host) = (child.tid, Here::new(child, bell.tid, None));
        let mut supervisor = Supervisor::new(served, Rc::new(host), Options { explain: args.explain }, Arc::default())?;
        supervisor.start(first, |k| find_caller(k, args.parent))?;
        supervisor.run()
    };
    let status = run();
    point.detach()?;
    dir.close()?;
    Ok(status?)
}

fn mount(args: &Args, dir: &TempDir) -> Result<fuse::Served, Box<dyn std::error::Error>> {
    let journal = args
        .journal
        .as_ref()
        .map(|file| Journal::create(file, Sync::Kernel).map_err(|error| super::mount::no_journal(file, &error)));
    let limits = Limits { tasks: args.max_tasks, memory: None };
    let lab = boot_lab(args.boot.as_deref(), limits, journal.transpose()?)?;
    let options = fuse::Options::default().in_order().booted_with(args.boot.as_deref());
    let mounted = fuse::mount(lab, dir.path(), &options)?;
    let served = mounted.served();
    watch_panics(mounted.point());
    thread::Builder::new().name("session".to_owned()).spawn(move || mounted.serve())?;
    Ok(served)
}

/// What the terminal wants of the program is none of our business; what somebody wants of us is the program's.
pub(super) fn survive_terminal(program: i32) -> io::Result<()> {
    for signal in [SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU] {
        exec::set_action(signal, true);
    }
    let mut signals = Signals::new([SIGHUP, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            // It is gone already: then we end by ourselves.
            let _ = exec::kill(program, signal);
        }
    })?;
    Ok(())
}

pub(super) fn exit_code(status: i32) -> u8 {
    let signal = status & 0x7f;
    let code = if signal == 0 { status >> 8 & 0xff } else { 128 + signal };
    code as u8
}
