//! `nslab exec`: a program and all it starts as tasks of a lab.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use clap::ValueHint;
use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use super::exec_after::{self, After};
use super::mount::watch_panics;
use super::record::{check_put, put, said};
use super::{Limits, Outcome, boot_lab, complete, in_words, no_room};
use crate::control::lex::quote;
use crate::errno::describe;
use crate::exec::{self, Bell, Child, FAILED, Here, Options, PrivateDir, Supervisor};
use crate::fuse;
use crate::host::{Booting, find_caller};
use crate::journal::{Journal, Sync};
use crate::record::calls;
use crate::script::{Machine, Setup};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task whose child the program becomes
    #[arg(long = "as", value_name = "PID", default_value_t = 1, add = complete::pid())]
    pub(super) parent: i32,
    /// Execute this script before the program starts
    #[arg(long, value_name = "FILE", add = complete::script())]
    boot: Option<PathBuf>,
    /// Write all changes of the lab to this new file, a script that boots into the same state
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Write a script of the calls by which the programs change namespaces, identities and tasks
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// End the recorded script where the most tasks are alive, not where CMD has ended
    #[arg(long, requires = "record")]
    at_most: bool,
    /// Print each call that fails, and the reason, on standard error
    #[arg(long)]
    pub(super) explain: bool,
    /// How many tasks may exist at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tasks: Option<u32>,
    #[command(flatten)]
    pub(super) after: exec_after::Args,
    /// A mounted lab to run in; without it the lab is private and ends with the program
    #[arg(value_name = "LAB", conflicts_with_all = ["boot", "journal", "record", "max_tasks"], add = complete::lab())]
    pub(super) lab: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub(super) command: Vec<OsString>,
}

/// The exit code is that of the program, or 128 and the number of the signal that ended it; 125 if we have failed; 1 if the lab is
/// not as it should be afterwards.
pub fn run(args: Args) -> Outcome {
    let ran = match &args.lab {
        Some(lab) => super::exec_lab::supervise(&args, lab),
        None => supervise(&args),
    };
    match ran {
        Ok(Ran { holds: false, .. }) => Ok(ExitCode::FAILURE),
        Ok(Ran { status, .. }) => Ok(ExitCode::from(exit_code(status))),
        Err(error) => {
            eprintln!("nslab: {}", in_words(&*error));
            Ok(ExitCode::from(FAILED as u8))
        }
    }
}

/// What came of a program.
pub(super) struct Ran {
    /// Its wait status word.
    pub(super) status: i32,
    /// The lab is afterwards as it should be.
    pub(super) holds: bool,
}

/// Runs the program.
fn supervise(args: &Args) -> Result<Ran, Box<dyn std::error::Error>> {
    if let Some(record) = &args.record {
        check_put(record).map_err(|error| format!("{}: {}", record.display(), describe(&error)))?;
    }
    // As long as this process has one thread.
    let child = Child::new(&args.command)?;
    let (bell, dir) = Bell::with_dir().map_err(|error| no_room(&error))?;
    survive_terminal(child.tid)?;
    let log = Log::new(args)?;
    let served = mount(args, log.file(), &dir)?;
    let point = served.point().clone();
    let run = || -> Result<Ran, Box<dyn std::error::Error>> {
        let after = After::new(&args.after, point.path())?;
        let (first, host) = (child.tid, Here::new(child, bell.tid, None));
        let mut supervisor = Supervisor::new(served, Rc::new(host), Options { explain: args.explain }, Arc::default())?;
        supervisor.start(first, |k| find_caller(k, args.parent))?;
        let status = supervisor.run()?;
        let holds = after.holds(point.path());
        log.record(args)?;
        supervisor.end_all()?;
        Ok(Ran { status, holds })
    };
    let ran = run();
    point.detach()?;
    drop(dir);
    ran
}

/// Where all that is done is noted.
enum Log {
    /// Nobody asks for it.
    None,
    Kept(PathBuf),
    /// Only to be made a recording of.
    Passing {
        dir: TempDir,
        file: PathBuf,
    },
}

impl Log {
    fn new(args: &Args) -> io::Result<Log> {
        if let Some(file) = &args.journal {
            return Ok(Log::Kept(file.clone()));
        }
        if args.record.is_none() {
            return Ok(Log::None);
        }
        let dir = tempfile::Builder::new().prefix("nslab-").tempdir()?;
        let file = dir.path().join("journal.lab");
        Ok(Log::Passing { dir, file })
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Log::None => None,
            Log::Kept(file) | Log::Passing { file, .. } => Some(file),
        }
    }

    /// Makes the recording that is asked for, and says what it lacks.
    fn record(self, args: &Args) -> Result<(), Box<dyn std::error::Error>> {
        if let (Some(journal), Some(record)) = (self.file(), &args.record) {
            let words = args.command.iter().map(|word| quote(word.as_encoded_bytes()));
            let recorded = calls::convert(journal, &words.collect::<Vec<_>>().join(" "), args.at_most)?;
            put(record, &recorded.script).map_err(|error| format!("{}: {}", record.display(), describe(&error)))?;
            eprint!("{}", said(&recorded.missing));
        }
        if let Log::Passing { dir, .. } = self {
            dir.close()?;
        }
        Ok(())
    }
}

fn mount(args: &Args, log: Option<&Path>, dir: &PrivateDir) -> Result<fuse::Served, Box<dyn std::error::Error>> {
    let journal = log
        .map(|file| Journal::create(file, Sync::Kernel).map_err(|error| super::mount::no_journal(file, &error, false)));
    let limits = Limits { tasks: args.max_tasks, memory: None };
    let lab = boot_lab(args.boot.as_deref(), limits, journal.transpose()?)?;
    if args.boot.is_none() {
        Booting(&lab).set(&Setup::Boot(exec::machine_of_host()?))?;
    }
    let options = fuse::Options::default().in_order().in_real_time().booted_with(args.boot.as_deref());
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
