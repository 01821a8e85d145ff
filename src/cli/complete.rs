//! What a shell offers for a word of the command line: labs, tasks of a lab, scripts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::{CompleteEnv, Shells};

use super::{Outcome, command, print};
use crate::fuse::{self, Found, Reach, is_lab};

/// By this variable the function that a shell has loaded asks for candidates.
const ASKED: &str = "NSLAB_COMPLETE";
const NAME: &str = "nslab";

/// Answers a shell, and ends the process then.
pub fn answer() {
    CompleteEnv::with_factory(command).var(ASKED).bin(NAME).complete();
}

/// Prints the function that a shell has to load.
pub fn registration(shell: clap_complete::Shell) -> Outcome {
    let shell = shell.to_string();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell).ok_or_else(|| format!("there is no completion for {shell}"))?;
    let mut text = Vec::new();
    completer.write_registration(ASKED, NAME, NAME, NAME, &mut text)?;
    print(&String::from_utf8(text)?)
}

/// A lab that is mounted.
pub fn lab() -> ArgValueCompleter {
    ArgValueCompleter::new(labs)
}

/// A lab that is mounted, or else a directory.
pub fn lab_or_directory() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let labs = labs(current);
        if labs.is_empty() { PathCompleter::dir().complete(current) } else { labs }
    })
}

/// A task of the lab that the command line names, or of `$LAB`.
pub fn pid() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| tasks(&meant(env::args_os()), current))
}

/// A file of the language.
pub fn script() -> ArgValueCompleter {
    let is_script = |path: &Path| path.is_dir() || path.extension().is_some_and(|end| end == "lab");
    ArgValueCompleter::new(PathCompleter::any().filter(is_script))
}

fn labs(current: &OsStr) -> Vec<CompletionCandidate> {
    let here = env::current_dir().unwrap_or_default();
    let labs = fuse::labs().unwrap_or_default();
    labs.iter().filter(|lab| lab.reach == Reach::Here).filter_map(|lab| candidate(lab, &here, current)).collect()
}

/// A lab as it can be named so that the name begins with `current`: by its path, or from `here` on.
fn candidate(lab: &Found, here: &Path, current: &OsStr) -> Option<CompletionCandidate> {
    let paths = [Some(lab.dir.as_path()), lab.dir.strip_prefix(here).ok()];
    let begins = |path: &&Path| path.as_os_str().as_bytes().starts_with(current.as_bytes());
    let path = paths.into_iter().flatten().find(begins)?;
    let boot = lab.boot.as_ref().map(|file| format!(", {}", file.display())).unwrap_or_default();
    Some(CompletionCandidate::new(path).help(Some(format!("{}{boot}", lab.health.name()).into())))
}

/// The lab that the words of a command line name.
fn meant(words: impl Iterator<Item = OsString>) -> PathBuf {
    let named = words.skip(1).map(PathBuf::from).find(|word| is_lab(word));
    named.or_else(|| env::var_os("LAB").map(PathBuf::from)).unwrap_or_else(|| PathBuf::from("."))
}

/// The tasks of a lab whose number begins so.
fn tasks(lab: &Path, current: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(entries) = fs::read_dir(lab.join("proc")) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_task = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let tasks = names.filter(is_task).filter(|name| name.as_bytes().starts_with(current.as_bytes()));
    tasks
        .map(|name| {
            let comm = fs::read_to_string(lab.join("proc").join(&name).join("comm")).unwrap_or_default();
            CompletionCandidate::new(name).help(Some(comm.trim_end().to_owned().into()))
        })
        .collect()
}
