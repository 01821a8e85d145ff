//! `nslab mount`: a lab on a directory, served in the background or, with `-f`, here.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::panic::{self, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueHint};
use nix::unistd::{close, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Cli, Limits, Outcome, boot_lab, complete, memory};
use crate::errno::describe;
use crate::exec;
use crate::fuse::{self, Bounds, MountError, Mounted, Options, Point};
use crate::host::{Booting, Lab};
use crate::journal::{Journal, Sync};
use crate::script::{Machine, Setup};

/// The lab of this process has ended against its will.
static HAS_GIVEN_UP: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// An empty directory
    #[arg(required_unless_present = "proc", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Mount the lab's proc on this empty directory as well, for programs that require a mount point
    /// (HOST_PROC=PDIR); without DIR, mount only proc
    #[arg(long, value_name = "PDIR", value_hint = ValueHint::DirPath)]
    proc: Option<PathBuf>,
    /// Stay in the foreground until the lab is unmounted
    #[arg(short, long)]
    foreground: bool,
    /// Execute this script before the lab is mounted
    #[arg(long, value_name = "FILE", add = complete::script())]
    boot: Option<PathBuf>,
    /// Write all changes of the lab to this new file, a script that boots into the same state
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Boot from the journal if it exists, instead of the script, and continue it
    #[arg(long)]
    resume: bool,
    /// Wait for the disk before each answer, so that the journal survives a crash of this machine
    #[arg(long)]
    journal_sync: bool,
    /// Mount options: allow_other, ro, nonempty, realtime (the lab's clock runs), links=linux (root, cwd and fd/* show
    /// what Linux shows), proc=PDIR, boot=FILE, journal=FILE, resume, journal_sync, max_open_files=N, max_renderings=SIZE,
    /// max_listing=N, max_batch=SIZE, max_inodes=N, and options that mount(8) passes on
    #[arg(short, value_name = "OPTS")]
    options: Vec<String>,
    /// How many tasks may exist at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
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
    /// Options of nslab mount -o
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

pub fn run(args: Args) -> Outcome {
    let args = args.with_words().unwrap_or_else(|message| misused(message));
    let options = options(&args.options);
    if args.foreground || args.detached { serve(&args, &options) } else { daemonize(&args) }
}

/// A number of bytes.
fn bytes(word: &str) -> Result<u64, String> {
    let wrong = || "a size is a number, or one with K, M, G or T behind it, such as 512M".to_owned();
    fuse::parse_size(word).ok_or_else(wrong)
}

/// What mount(8) asks for. What is mounted has no source: that field says nothing.
pub fn run_helper(helper: &Helper) -> Outcome {
    let args = helper.args().unwrap_or_else(|message| misused(message));
    if helper.fake { Ok(ExitCode::SUCCESS) } else { run(args) }
}

/// Whether mount.fuse has started this program for `mount -t fuse.nslab`: `nslab SOURCE DIR -o OPTS`.
pub fn is_from_mount_fuse(args: &[OsString]) -> bool {
    let is_command = |name: &OsString| name == "help" || Cli::command().find_subcommand(name).is_some();
    args.len() == 5 && args[3] == "-o" && !is_command(&args[1])
}

impl Helper {
    /// # Errors
    /// As [`Args::with_words`].
    fn args(&self) -> Result<Args, String> {
        let args = Args { dir: Some(self.dir.clone()), options: self.options.clone(), ..Args::default() };
        args.with_words()
    }
}

impl Args {
    /// Takes out of the mount options what this command has options of its own for: fstab has no other place.
    ///
    /// # Errors
    /// Two different files are named for one thing; something is said of a journal that is not named.
    fn with_words(self) -> Result<Args, String> {
        let mut args = Args { options: Vec::new(), ..self };
        for word in self.options.iter().flat_map(|words| words.split(',')) {
            match (word, word.split_once('=')) {
                ("resume", _) => args.resume = true,
                ("journal_sync", _) => args.journal_sync = true,
                (_, Some(("proc", dir))) => name(&mut args.proc, "proc", dir)?,
                (_, Some(("boot", file))) => name(&mut args.boot, "boot", file)?,
                (_, Some(("journal", file))) => name(&mut args.journal, "journal", file)?,
                _ => args.options.push(word.to_owned()),
            }
        }
        for (is_given, option) in [(args.resume, "resume"), (args.journal_sync, "journal_sync")] {
            if is_given && args.journal.is_none() {
                return Err(format!("{option} is about a journal: name one by --journal FILE or -o journal=FILE"));
            }
        }
        Ok(args)
    }
}

/// Notes what `option` names.
///
/// # Errors
/// It names something else already.
fn name(named: &mut Option<PathBuf>, option: &str, path: &str) -> Result<(), String> {
    match named.replace(PathBuf::from(path)) {
        Some(other) if other != Path::new(path) => {
            Err(format!("{option} is given twice, as {} and as {path}: give it once", other.display()))
        }
        _ => Ok(()),
    }
}

/// All `-o` together. A word that is no option is an error of usage: the command ends here then.
fn options(all: &[String]) -> Options {
    let mut options = Options::default();
    for words in all {
        if let Err(word) = options.add(words) {
            let known = "allow_other, links=linux, nonempty, realtime, ro, a bound with a size (max_open_files=N, \
                         max_renderings=SIZE, max_listing=N, max_batch=SIZE, max_inodes=N), or one that mount(8) passes on";
            misused(match Bounds::named(word) {
                Some(bound) => format!("{bound} is a number above 0, or one with K, M, G or T behind it, not {word}"),
                None => format!("there is no mount option {word}: take {known}"),
            });
        }
    }
    options
}

/// Ends the command with an error of usage.
fn misused(message: String) -> ! {
    let mut command = Cli::command().bin_name("nslab");
    command.build();
    let mount = command.find_subcommand_mut("mount").cloned().unwrap_or(command);
    mount.clone().error(ErrorKind::InvalidValue, message).exit()
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
    command.args(args.resume.then_some("--resume"));
    command.args(args.journal_sync.then_some("--journal-sync"));
    if let Some(limit) = args.max_tasks {
        command.args(["--max-tasks", &limit.to_string()]);
    }
    if let Some(limit) = args.max_memory {
        command.args(["--max-memory", &limit.to_string()]);
    }
    if let Some(dir) = &args.proc {
        command.arg("--proc").arg(dir);
    }
    let child = command.arg("--").args(&args.dir).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("the daemon cannot be started: {}", describe(&error)))?;
    let mut ready = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut ready)?;
    }
    if !ready.is_empty() {
        warn_of_loss(&child);
        return Ok(ExitCode::SUCCESS);
    }
    // It has said why.
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Says so when nobody will have the lab, as this command was put into namespaces that end with it.
fn warn_of_loss(daemon: &Child) {
    let (own, daemon) = (process::id(), daemon.id());
    let pids: Vec<i32> = [own, daemon].into_iter().flat_map(i32::try_from).collect();
    if own == 1 {
        eprintln!(
            "nslab: the lab ends now: this command is the first of its pid namespace, which ends with it; use --foreground, \
             or run it from a shell there"
        );
    } else if fuse::is_alone_in_mount_namespace(&pids) {
        eprintln!(
            "nslab: nobody can see this lab: this command has a mount namespace of its own; run a shell there, as \
             `unshare -Urm sh`, and mount from it; `kill {daemon}` or `nslab umount --all` ends the lab"
        );
    }
}

/// Mounts and answers requests until the lab is unmounted, which SIGINT, SIGTERM and SIGHUP do.
fn serve(args: &Args, options: &Options) -> Outcome {
    if args.detached {
        close_inherited();
    }
    let mounted = match &args.journal {
        Some(file) if args.resume && file.exists() => mount(args, resumed(args, file)?, options)?,
        Some(file) => {
            let journal = Journal::create(file, sync(args)).map_err(|error| no_journal(file, &error, true))?;
            // A lab that was never mounted leaves no journal, which would be in the way of the next attempt.
            let lab = boot_lab(args.boot.as_deref(), limits(args), Some(journal)).inspect_err(|_| remove(file))?;
            mount(args, lab, options).inspect_err(|_| remove(file))?
        }
        None => mount(args, boot_lab(args.boot.as_deref(), limits(args), None)?, options)?,
    };
    let point = mounted[0].point().clone();
    unmount_on_signal(&point)?;
    watch_panics(&point);
    memory::guard(&point);
    exec::listen(&mounted[0].served())?;
    for mounted in &mounted {
        println!("mounted on {}", mounted.point().path().display());
    }
    io::stdout().flush()?;
    if args.detached {
        let_go()?;
    }
    serve_all(mounted)?;
    Ok(if HAS_GIVEN_UP.load(Ordering::SeqCst) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn limits(args: &Args) -> Limits {
    Limits { tasks: args.max_tasks, memory: args.max_memory }
}

/// Mounts a lab on the directories there are for it; the first of them takes the others along when it goes.
///
/// # Errors
/// One will not do; nothing is left mounted then.
fn mount(args: &Args, lab: Lab, options: &Options) -> Result<Vec<Mounted>, MountError> {
    let options = &options.clone().booted_with(args.boot.as_deref());
    let (dir, proc) = match (&args.dir, &args.proc) {
        (Some(dir), proc) => (fuse::mount(lab, dir, options)?, proc.as_ref()),
        (None, Some(proc)) => (fuse::mount_proc(lab, proc, options)?, None),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let proc = proc.map(|proc| dir.served().mount_proc(proc)).transpose();
    match proc {
        Ok(proc) => Ok([dir].into_iter().chain(proc).collect()),
        Err(error) => {
            dir.point().detach()?;
            Err(error)
        }
    }
}

/// Answers requests until none of the mounts is left.
fn serve_all(mounted: Vec<Mounted>) -> io::Result<()> {
    let serve = |mounted: Mounted| thread::Builder::new().name("session".to_owned()).spawn(move || mounted.serve());
    let sessions = mounted.into_iter().map(serve).collect::<io::Result<Vec<_>>>()?;
    let ends = sessions.into_iter().map(|session| session.join().unwrap_or_else(|panic| resume_unwind(panic)));
    ends.fold(Ok(()), io::Result::and)
}

/// A lab in the state that its journal has come to, which goes on. Its own lines are not noted again.
fn resumed(args: &Args, file: &Path) -> Result<Lab, Box<dyn std::error::Error>> {
    let claimed = Journal::claim(file).map_err(|error| no_journal(file, &error, true))?;
    let lab = boot_lab(Some(file), Limits::default(), None)?;
    let journal = Journal::resume(claimed, sync(args)).map_err(|error| no_journal(file, &error, true))?;
    let lab = lab.with_journal(Some(journal));
    let (tasks, memory) = (args.max_tasks, args.max_memory);
    if tasks.is_some() || memory.is_some() {
        Booting(&lab).set(&Setup::Limits { tasks, memory })?;
    }
    Ok(lab)
}

fn sync(args: &Args) -> Sync {
    if args.journal_sync { Sync::Disk } else { Sync::Kernel }
}

/// Why there is no journal, and what to do.
/// The reason; `resumes`: the command can go on with a journal.
pub(super) fn no_journal(file: &Path, error: &io::Error, resumes: bool) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AlreadyExists if resumes => "go on with it by --resume, or name a new file",
        io::ErrorKind::AlreadyExists => "name a new file",
        io::ErrorKind::ResourceBusy => "another lab writes it: unmount that one, or name a new file",
        io::ErrorKind::IsADirectory => "name a file",
        io::ErrorKind::InvalidData => "name a journal that nslab wrote, or a new file",
        io::ErrorKind::InvalidFilename => "name a file with a shorter path",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "name a file that you may write",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, or name a new file on another disk",
        _ => "name a new file in a directory that exists",
    };
    format!("{}: {}: {remedy}", file.display(), describe(error))
}

fn remove(journal: &Path) {
    if let Err(error) = fs::remove_file(journal) {
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
    let_go_of_streams()
}

/// Leaves the caller's input and output.
pub(super) fn let_go_of_streams() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Makes internal errors known to `nslab list` and `nslab doctor`, as a daemon has no terminal. One that ends a thread
/// ends the lab: nobody shall wait for that thread.
pub fn watch_panics(point: &Point) {
    let (point, print) = (point.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |panic| {
        print(panic);
        let place = panic.location().map(|place| format!(", at {place}")).unwrap_or_default();
        point.breaks(&format!("{}{place}", panic.payload_as_str().unwrap_or("a panic")));
        if !fuse::is_caught() {
            give_up(&point, "an internal error");
        }
    }));
}

/// Ends a lab that cannot go on; its users get errors.
pub fn give_up(point: &Point, why: &str) {
    HAS_GIVEN_UP.store(true, Ordering::SeqCst);
    eprintln!("nslab: {why}: the lab on {} is unmounted", point.path().display());
    // Should this fail, the mount stays, dead.
    if let Err(error) = point.abort() {
        eprintln!("nslab: {error}");
    }
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
        let helper = Helper::parse_from(["nslab", "none", "/mnt", "-o", "rw,boot=/a.lab,proc=/p,allow_other"]);
        let args = helper.args().unwrap();
        assert_eq!((args.dir, args.boot), (Some("/mnt".into()), Some("/a.lab".into())));
        assert_eq!(args.proc, Some("/p".into()));
        assert_eq!(args.options, ["rw", "allow_other"]);
    }

    #[test]
    fn what_an_option_names_is_named_once() {
        let named = |proc: Option<&str>, options: &str| {
            let args = Args { proc: proc.map(PathBuf::from), options: vec![options.to_owned()], ..Args::default() };
            args.with_words().map(|args| args.proc)
        };
        assert_eq!(named(Some("/a"), "proc=/a,ro"), Ok(Some("/a".into())));
        let twice = Err("proc is given twice, as /a and as /b: give it once".to_owned());
        assert_eq!([named(Some("/a"), "proc=/b"), named(None, "proc=/a,proc=/b")], [twice.clone(), twice]);
        for option in ["boot", "journal"] {
            assert!(named(None, &format!("{option}=/a,{option}=/b")).is_err(), "{option}");
        }
    }

    /// By whichever way the journal and what is said of it are given.
    #[test]
    fn what_is_said_of_a_journal_needs_one() {
        for option in ["resume", "journal_sync"] {
            let args = |options: String| Args { options: vec![options], ..Args::default() };
            assert!(args(option.to_owned()).with_words().unwrap_err().starts_with(option), "{option}");
            assert!(args(format!("{option},journal=/a")).with_words().is_ok(), "{option}");
        }
        let journal = || Some(PathBuf::from("/a"));
        for (resume, journal_sync) in [(true, false), (false, true)] {
            assert!(Args { resume, journal_sync, ..Args::default() }.with_words().is_err());
            assert!(Args { resume, journal_sync, journal: journal(), ..Args::default() }.with_words().is_ok());
            let options = vec!["journal=/a".to_owned()];
            assert!(Args { resume, journal_sync, options, ..Args::default() }.with_words().is_ok());
        }
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
