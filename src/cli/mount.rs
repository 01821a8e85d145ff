//! `nslab mount`: a lab on a directory, served in the background or, with `-f`, here.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, Stdio};
use std::thread;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use nix::unistd::{close, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Cli, Outcome, boot};
use crate::errno::describe;
use crate::fuse::{self, Options, Point};
use crate::journal::Journal;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An empty directory
    dir: PathBuf,
    /// Stay in the foreground until the lab is unmounted
    #[arg(short, long)]
    foreground: bool,
    /// Script that the lab boots with
    #[arg(long, value_name = "FILE")]
    boot: Option<PathBuf>,
    /// Note each call in this new file, a script to boot from
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Mount options: allow_other, ro, nonempty, realtime (the clock of the lab goes), and those that mount(8) passes on
    #[arg(short, value_name = "OPTS")]
    options: Vec<String>,
    /// How many tasks there may be at once
    #[arg(long, value_name = "N")]
    max_tasks: Option<u32>,
    /// How much memory the objects of the lab may take, such as 512M or 4G
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_memory: Option<u64>,
    /// We are the background process: tell of success on standard output, then let go of the terminal
    #[arg(long, hide = true)]
    detached: bool,
}

/// Mounts a lab: the helper of mount(8) for the type nslab
#[derive(Debug, Parser)]
#[command(name = "mount.nslab", version)]
pub struct Helper {
    /// What fstab has in the first field
    source: String,
    /// An empty directory
    dir: PathBuf,
    /// Only pretend
    #[arg(short)]
    fake: bool,
    /// Options of nslab mount -o, and boot=FILE, journal=FILE
    #[arg(short, value_name = "OPTS")]
    options: Vec<String>,
    #[arg(short = 't', value_name = "TYPE", hide = true)]
    fs_type: Option<String>,
    /// Words of mount(8) that make no difference here
    #[arg(short, hide = true)]
    sloppy: bool,
    #[arg(short, hide = true)]
    no_mtab: bool,
    #[arg(short, hide = true)]
    verbose: bool,
}

pub fn run(args: &Args) -> Outcome {
    let options = options(&args.options);
    if args.foreground || args.detached { serve(args, &options) } else { daemonize(args) }
}

/// A number of bytes, or one with K, M, G or T behind it.
fn bytes(word: &str) -> Result<u64, String> {
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &word[number.len()..] {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => 0,
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|&bytes| bytes > 0);
    bytes.ok_or_else(|| "a size is a number, or one with K, M, G or T behind it, such as 512M".to_owned())
}

/// What mount(8) asks for. What is mounted has no source: that field says nothing.
pub fn run_helper(helper: &Helper) -> Outcome {
    let args = helper.args();
    if helper.fake { Ok(ExitCode::SUCCESS) } else { run(&args) }
}

/// Whether mount.fuse has started this program for `mount -t fuse.nslab`: `nslab SOURCE DIR -o OPTS`.
pub fn is_from_mount_fuse(args: &[OsString]) -> bool {
    let is_command = |name: &OsString| name == "help" || Cli::command().find_subcommand(name).is_some();
    args.len() == 5 && args[3] == "-o" && !is_command(&args[1])
}

impl Helper {
    /// Files are named among the options: fstab has no other place.
    fn args(&self) -> Args {
        let (mut boot, mut journal, mut options) = (None, None, Vec::new());
        for word in self.options.iter().flat_map(|words| words.split(',')) {
            match word.split_once('=') {
                Some(("boot", file)) => boot = Some(PathBuf::from(file)),
                Some(("journal", file)) => journal = Some(PathBuf::from(file)),
                _ => options.push(word.to_owned()),
            }
        }
        Args {
            dir: self.dir.clone(),
            options,
            foreground: false,
            boot,
            journal,
            max_tasks: None,
            max_memory: None,
            detached: false,
        }
    }
}

/// All `-o` together. A word that is no option is an error of usage: the command ends here then.
fn options(all: &[String]) -> Options {
    let mut options = Options::default();
    for words in all {
        if let Err(word) = options.add(words) {
            let known = "allow_other, nonempty, realtime, ro, or one that mount(8) passes on";
            let message = format!("there is no mount option {word}: take {known}");
            let mut command = Cli::command().bin_name("nslab");
            command.build();
            let mount = command.find_subcommand_mut("mount").cloned().unwrap_or(command);
            mount.clone().error(ErrorKind::InvalidValue, message).exit();
        }
    }
    options
}

/// Starts this program again as the daemon and waits until the lab is mounted. A fresh process has no threads and no
/// locks to inherit, which a fork would.
fn daemonize(args: &Args) -> Outcome {
    let mut command = process::Command::new(std::env::current_exe()?);
    // This program may have been started under the name of a mount helper.
    command.arg0("nslab").args(["mount", "--detached"]);
    for words in &args.options {
        command.args(["-o", words]);
    }
    if let Some(file) = &args.boot {
        command.arg("--boot").arg(file);
    }
    if let Some(file) = &args.journal {
        command.arg("--journal").arg(file);
    }
    if let Some(limit) = args.max_tasks {
        command.args(["--max-tasks", &limit.to_string()]);
    }
    if let Some(limit) = args.max_memory {
        command.args(["--max-memory", &limit.to_string()]);
    }
    let child = command.arg("--").arg(&args.dir).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("the daemon cannot be started: {}", describe(&error)))?;
    let mut ready = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut ready)?;
    }
    if !ready.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    // It has said why.
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Mounts and answers requests until the lab is unmounted, which SIGINT, SIGTERM and SIGHUP do.
fn serve(args: &Args, options: &Options) -> Outcome {
    if args.detached {
        close_inherited();
    }
    let kernel = boot(args.boot.as_deref(), args.max_tasks, args.max_memory)?;
    let journal = args.journal.as_deref().map(|file| journal(file, args.boot.as_deref())).transpose()?;
    let mounted = fuse::mount(kernel, &args.dir, options, journal).inspect_err(|_| remove(args.journal.as_deref()))?;
    unmount_on_signal(mounted.point())?;
    println!("mounted on {}", mounted.point().path().display());
    io::stdout().flush()?;
    if args.detached {
        let_go()?;
    }
    mounted.serve()?;
    Ok(ExitCode::SUCCESS)
}

/// A new journal in `file`.
fn journal(file: &Path, boot: Option<&Path>) -> Result<Journal, String> {
    let boot = boot.map(std::path::absolute).transpose();
    boot.and_then(|boot| Journal::create(file, boot.as_deref())).map_err(|error| {
        format!("{}: {}: name a new file in a directory that exists", file.display(), describe(&error))
    })
}

/// A lab that was never mounted leaves no journal, which would be in the way of the next attempt.
fn remove(journal: Option<&Path>) {
    if let Some(Err(error)) = journal.map(fs::remove_file) {
        eprintln!("nslab: the journal: {error}");
    }
}

/// Closes what the caller left open, a lock file for example: it would stay so for as long as the lab is mounted.
/// Nothing of ours is open yet.
fn close_inherited() {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
    for descriptor in numbers.filter(|descriptor: &i32| *descriptor > 2).collect::<Vec<_>>() {
        // The directory just read is among them, and closed already.
        let _ = close(descriptor);
    }
}

/// Leaves the caller's session, directory, input and output.
fn let_go() -> io::Result<()> {
    setsid()?;
    std::env::set_current_dir("/")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// The first signal takes the lab out of everybody's reach; the process ends when nobody uses it any more, or with the
/// second signal.
fn unmount_on_signal(point: &Point) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let point = point.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (earlier, signal) in signals.forever().enumerate() {
            if earlier > 0 {
                process::exit(128 + signal);
            }
            if let Err(error) = point.detach() {
                eprintln!("nslab: {error}");
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fstab_names_files_among_the_options() {
        let helper = Helper::parse_from(["nslab", "none", "/mnt", "-o", "rw,boot=/a.lab,allow_other"]);
        let args = helper.args();
        assert_eq!((args.dir, args.boot), (PathBuf::from("/mnt"), Some(PathBuf::from("/a.lab"))));
        assert_eq!(args.options, ["rw", "allow_other"]);
    }

    #[test]
    fn mount_fuse_is_told_from_a_user() {
        let is_from_mount_fuse =
            |line: &str| is_from_mount_fuse(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(is_from_mount_fuse("nslab none /mnt -o rw"));
        for line in ["nslab mount /mnt -o ro", "nslab mount /mnt", "nslab ps /mnt"] {
            assert!(!is_from_mount_fuse(line), "{line}");
        }
    }
}
