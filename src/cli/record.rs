//! `nslab record`: a machine, or a lab, as a script that boots into it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use nix::libc;

use super::progress::Line;
use super::{Outcome, complete};
use crate::errno::Errno;
use crate::record::files::Disk;
use crate::record::host::HostFacts;
use crate::record::lab::LabFacts;
use crate::record::topology::Missing;
use crate::record::{Topology, Wanted, anonymize, read, userns, write_aloud};

/// What to record, and where to.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Write to this file instead of standard output; it appears only when it is complete, and belongs to the user who ran sudo
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Record only this process, its ancestors and its descendants; may be repeated
    #[arg(long, value_name = "PID")]
    pid: Vec<i32>,
    /// Leave out all threads but the first of each process
    #[arg(long)]
    no_threads: bool,
    /// Leave out kernel threads
    #[arg(long)]
    no_kernel_threads: bool,
    /// Replace names of hosts, programs, directories, cgroups and devices, addresses, and command lines by stand-ins
    #[arg(long)]
    anonymize: bool,
    /// Record the lab that is mounted there, not this machine
    #[arg(long, value_name = "LAB", add = complete::lab())]
    from: Option<PathBuf>,
    /// Print the limits of the user namespace on standard input: what a recorder runs
    #[arg(long = userns::OPTION, hide = true)]
    of_user_namespace: bool,
}

/// Records, and says on standard error what is missing.
///
/// # Errors
/// There is nothing to read, or the file cannot be written.
pub fn run(args: &Args) -> Outcome {
    if args.of_user_namespace {
        userns::answer()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut progress = Line::new();
    let mut topology = topology(args, &mut progress)?;
    if topology.tasks.is_empty() {
        return Err("there are no processes to record: is /proc mounted?".into());
    }
    if let Some(pid) = args.pid.iter().find(|pid| !topology.tasks.contains_key(pid)) {
        return Err(format!("there is no process {pid}").into());
    }
    if args.anonymize {
        anonymize::anonymize(&mut topology);
    }
    let (script, unsaid) = write_aloud(&topology, &mut |tasks| progress.say(|| format!("{tasks} tasks written")));
    drop(progress);
    match &args.output {
        Some(file) => {
            put(file, &script).map_err(|error| format!("{}: {}", file.display(), crate::errno::describe(&error)))?
        }
        None => io::stdout().lock().write_all(script.as_bytes())?,
    }
    for missing in [&topology.missing, &unsaid] {
        io::stderr().lock().write_all(said(missing).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn topology(args: &Args, progress: &mut Line) -> io::Result<Topology> {
    let recorder = i32::try_from(std::process::id()).ok().filter(|_| args.from.is_none());
    let wanted =
        Wanted { pids: args.pid.clone(), threads: !args.no_threads, kernel_threads: !args.no_kernel_threads, recorder };
    let say = |tasks: usize| progress.say(|| format!("{tasks} tasks read"));
    match &args.from {
        Some(lab) => {
            if !lab.join("kernel/task").is_dir() {
                return Err(io::Error::other(format!("{}: no lab is mounted there", lab.display())));
            }
            let files = Disk(lab.clone());
            read::record(&files, &LabFacts(&files), &wanted, say)
        }
        None => {
            let root = PathBuf::from("/");
            let facts = HostFacts::new(root.clone()).with_program("/proc/self/exe".into());
            read::record(&Disk(root), &facts, &wanted, say)
        }
    }
}

/// How many symbolic links one after the other lead to a file (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// The file that symbolic links lead to, whether it is there or not.
///
/// # Errors
/// ELOOP: they lead nowhere.
fn target(file: &Path) -> io::Result<PathBuf> {
    let mut file = file.to_owned();
    for _ in 0..=MAX_LINKS {
        match std::fs::read_link(&file) {
            Ok(text) => file = file.parent().unwrap_or(Path::new("")).join(text),
            Err(_) => return Ok(file),
        }
    }
    Err(io::Error::from_raw_os_error(Errno::ELOOP as i32))
}

/// The user and group who had root record, by sudo(8).
fn sudoer() -> Option<(u32, u32)> {
    let id = |name: &str| std::env::var(name).ok()?.parse().ok();
    id("SUDO_UID").zip(id("SUDO_GID")).filter(|_| nix::unistd::geteuid().is_root())
}

/// Whether a file can be written by [`put`]: before anything is done of which nothing would be left.
///
/// # Errors
/// Of making a file in its directory; EISDIR.
pub(super) fn check_put(file: &Path) -> io::Result<()> {
    let file = &target(file)?;
    if file.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if file.metadata().is_ok_and(|there| !there.is_file()) {
        return Ok(());
    }
    let new = beside(file);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    std::fs::remove_file(&new)
}

/// A name in the directory of a file.
fn beside(file: &Path) -> PathBuf {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    dir.join(name)
}

/// Writes the whole file, and only then gives it its name. Who had root do it by sudo gets the file.
pub(super) fn put(file: &Path, script: &str) -> io::Result<()> {
    let file = &target(file)?;
    let is_special = file.metadata().is_ok_and(|there| !there.is_file());
    if is_special {
        return std::fs::write(file, script);
    }
    let new = beside(file);
    // Command lines are nobody else's business.
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = open
        .write_all(script.as_bytes())
        .and_then(|()| sudoer().map_or(Ok(()), |(uid, gid)| fchown(&open, Some(uid), Some(gid))))
        .and_then(|()| open.sync_all())
        .and_then(|()| std::fs::rename(&new, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

pub(super) fn said(missing: &Missing) -> String {
    missing.0.iter().fold(String::new(), |mut text, (what, count)| {
        let _ = writeln!(
            text,
            "nslab: not recorded: {what}{}",
            if *count > 1 { format!(" ({count} times)") } else { String::new() }
        );
        text
    })
}
