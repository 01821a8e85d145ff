//! Layer 5: the command. Exit codes: 0; 1 the operation failed, with one line on standard error; 2 usage.

mod colour;
mod complete;
pub mod doctor;
mod examples;
mod exec;
mod exec_after;
mod exec_lab;
mod fit;
mod list;
mod man;
pub mod memory;
pub mod mount;
mod progress;
mod ps;
mod record;
pub mod run;
pub mod shell;
mod show;
mod umount;
mod view;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use tempfile::TempDir;

use crate::errno::describe;
use crate::host::{Booting, Lab};
use crate::journal::Journal;
use crate::kernel::Kernel;
use crate::script::run::run_boot_file;
use crate::script::{Machine, Setup};

/// What a subcommand gives: an exit code, or why it failed.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;

/// A simulated Linux kernel for namespaces, shown as a file system.
#[derive(Debug, Parser)]
#[command(name = "nslab", version, propagate_version = true)]
struct Cli {
    /// When to colour text; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto, hide_default_value = true)]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mount a new lab on a directory; return when it is mounted
    Mount(mount::Args),
    /// Unmount a lab, even if its daemon is stopped, stuck or dead
    Umount(umount::Args),
    /// List the mounted labs, the processes that serve them, and their states
    List(list::Args),
    /// Start $SHELL in a private lab, which ends with the shell
    Shell(shell::Args),
    /// Run a program, and all programs that it starts, as tasks of a lab
    Exec(exec::Args),
    /// Execute scripts and case files without a mount
    Run {
        /// Scripts or case files, each executed on a lab of its own; /dev/stdin reads standard input
        #[arg(required = true, value_name = "FILE", add = complete::script())]
        files: Vec<PathBuf>,
    },
    /// Write a script that boots into a lab with the processes and namespaces of this machine
    Record(record::Args),
    /// Show namespaces below their owners and tasks in their pid namespaces
    Tree(show::TextArgs),
    /// Draw as SVG which tasks share which namespaces, and the kernel's objects
    Graph(show::GraphArgs),
    /// Show each step of a lab's kernel, a line for each step
    Trace(show::TraceArgs),
    /// List the tasks
    Ps(show::PsArgs),
    /// Serve a web page that shows a lab as it changes, makes calls, and goes back to any step
    View(view::Args),
    /// Say what this machine lacks to mount a lab and how to mend it; with DIR, the state of that lab
    Doctor {
        /// Where the lab is mounted, or was
        #[arg(add = complete::lab_or_directory())]
        dir: Option<PathBuf>,
    },
    /// Print a script that makes a shell complete the arguments of nslab
    Completions { shell: clap_complete::Shell },
    /// Print the manual page: nslab man | man -l -
    Man,
}

/// The command line, with examples.
fn command() -> clap::Command {
    let add = |subcommand: clap::Command| {
        let help = examples::help(subcommand.get_name());
        if help.is_empty() { subcommand } else { subcommand.after_help(help) }
    };
    Cli::command().mut_subcommands(add)
}

/// Runs the command with the arguments of this process. mount(8) starts it under the name of its helper.
pub fn main() -> ExitCode {
    complete::answer();
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let outcome = match name.file_name().and_then(|name| name.to_str()) {
        Some("mount.nslab" | "mount.fuse.nslab") => mount::run_helper(&mount::Helper::parse()),
        _ if mount::is_from_mount_fuse(&std::env::args_os().collect::<Vec<_>>()) => {
            mount::run_helper(&mount::Helper::parse())
        }
        _ => {
            let Cli { color, command } = parse();
            paint_if(color);
            run(command)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("nslab: {}", in_words(&*error));
        ExitCode::FAILURE
    })
}

/// What an error says, without the number that it has on the host: the words say the same.
fn in_words(error: &(dyn Error + 'static)) -> String {
    error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), describe)
}

/// A directory to mount a lab on, which goes with the value.
///
/// # Errors
/// It cannot be made; the reason says what to do.
fn temporary() -> Result<TempDir, String> {
    tempfile::Builder::new().prefix("nslab-").tempdir().map_err(|error| no_room(&error))
}

/// Why there is no directory for temporary files, and what to do.
fn no_room(error: &io::Error) -> String {
    // The library has put path and number into the message.
    let (text, room) = (error.to_string(), std::env::temp_dir());
    let reason = text.split(" (os error").next().unwrap_or_default();
    format!("{}: {reason}: set TMPDIR to a directory that may be written to", room.display())
}

/// The arguments of this process; it ends here if they are none of ours.
fn parse() -> Cli {
    let mut matches = command().get_matches();
    Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut command()).exit())
}

/// Whether what is printed has colours. `Auto`: on a terminal, unless `NO_COLOR` is set.
fn paint_if(choice: ColorChoice) {
    let choice = match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::AlwaysAnsi,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Mount(args) => mount::run(args),
        Command::Umount(args) => umount::run(&args),
        Command::List(args) => list::run(&args),
        Command::Shell(args) => shell::run(&args),
        Command::Exec(args) => exec::run(args),
        Command::Run { files } => run::run(&files),
        Command::Record(args) => record::run(&args),
        Command::Tree(args) => show::tree(&args),
        Command::Graph(args) => show::graph(&args),
        Command::Trace(args) => show::trace(&args),
        Command::Ps(args) => show::ps(&args),
        Command::View(args) => view::run(args),
        Command::Doctor { dir } => dir.map_or_else(doctor::run, |dir| doctor::of_lab(&dir)),
        Command::Completions { shell } => complete::registration(shell),
        Command::Man => {
            let mut page = Vec::new();
            man::render(self::command(), &mut page)?;
            print(&String::from_utf8(page)?)
        }
    }
}

/// Writes `text`; that nobody reads it to the end is no failure.
fn print(text: &str) -> Outcome {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What a lab may use up; `None`: what it may by default.
#[derive(Clone, Copy, Default)]
struct Limits {
    tasks: Option<u32>,
    /// In bytes.
    memory: Option<u64>,
}

/// A lab in the boot state, changed by the lines of `file`, within `limits`. All of that is noted in `journal`.
///
/// # Errors
/// The file cannot be read, or one of its lines fails; the journal cannot be written.
fn boot_lab(file: Option<&Path>, limits: Limits, journal: Option<Journal>) -> Result<Lab, Box<dyn Error>> {
    let kernel = Kernel::boot();
    let tasks = limits.tasks.or(Some(kernel.threads_max));
    let memory = limits.memory.or(Some(kernel.memory.max));
    let lab = Lab::new(kernel).with_journal(journal);
    Booting(&lab).set(&Setup::Limits { tasks, memory })?;
    boot_on(&mut Booting(&lab), file)?;
    Ok(lab)
}

/// Executes the lines of `file` on a machine, with words on a terminal if that takes long.
fn boot_on(machine: &mut impl Machine, file: Option<&Path>) -> Result<(), Box<dyn Error>> {
    if let Some(file) = file {
        run_boot_file(&mut progress::Progress::new(machine, file), file)?;
    }
    Ok(())
}
