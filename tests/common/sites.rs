//! The places in `src/kernel` and `src/syscall` that refuse a call, and which of them a bare lab reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nslab::errno::{Error, Result};
use nslab::kernel::Kernel;
use nslab::script::file::load;
use nslab::script::run::run_case;
use nslab::script::{Call, Machine, Opened, Setup};

use crate::files::files;

/// Why a place may stay unreached: its file below `src`, its check, the reason.
pub const REASONS: &[(&str, &str, &str)] = &[
    ("syscall/clone.rs", "threads-max is {}", "takes four million tasks"),
    ("syscall/fd.rs", "flags {} are unknown", "words give pidfd_open no other flags"),
    ("syscall/cred.rs", "{} groups, at most {} are possible", "takes a line of 65537 numbers"),
    ("syscall/wait.rs", "no child has anything to report yet: the call would block", "a control file answers 0"),
    ("syscall/socket.rs", "no port is free", "takes 28232 sockets"),
    ("syscall/mqueue.rs", "a name of {} bytes", "takes a line of 4096 bytes, more than a control file takes"),
    ("kernel/ns/kind.rs", "{} is of another kind", "a row of the table is asked for its own kind"),
    (
        "syscall/memory.rs",
        "the objects of the lab take all of its memory, {} bytes (--max-memory)",
        "takes 2 GiB: tests of the limit lower it",
    ),
    (
        "kernel/mount/propagation.rs",
        "{} mounts would be made, and the memory of the lab is {} bytes",
        "takes 2 GiB: tests of the limit lower it",
    ),
    (
        "syscall/write.rs",
        "the namespace this file is about is gone",
        "only a file of a mount, open across the death of its namespace, gets there",
    ),
    ("syscall/write.rs", "a file has at most {} bytes", "takes a line of a megabyte"),
    (
        "syscall/mqueue.rs",
        "{} messages of {} bytes are too many to count",
        "the limits are too low for it, as on Linux",
    ),
    ("syscall/timens.rs", "the file position is {}, not 0", "only pwrite(2) gets there: the position does not move"),
    ("syscall/dispatch.rs", "the task is gone", "only a control file of a mount, open across a death, gets there"),
    (
        "syscall/hostname.rs",
        "the task is dead and has no namespaces",
        "only a file of a mount, open across a death, gets there",
    ),
    ("syscall/write.rs", "the task is gone", "only a file of a mount, open across a death, gets there"),
    (
        "syscall/mqueue.rs",
        "this directory is of no mounted mqueue file system",
        "only a file of a mount of the lab gets there",
    ),
    ("syscall/recorded.rs", "pid {} is dead and has no file tree", "the dead make no calls"),
    ("syscall/cgroup.rs", "{} cannot be written", "every way here asks the tree first whether the file is written to"),
    ("syscall/namei.rs", "the path ends in no name", "touch: such a path exists if its directory does"),
    (
        "syscall/namei.rs",
        "this file system keeps its files",
        "rmdir: what may be deleted is a directory of the other kinds",
    ),
    (
        "syscall/mount/bind.rs",
        "the tree has a file of a mount namespace that is not younger than the caller's",
        "takes a recursive open_tree, for which the language has no word",
    ),
    ("syscall/mount/mod.rs", "MS_NOUSER is for the kernel", "the language has no word for the flag"),
    ("kernel/mount/options.rs", "the options are not text", "options in the language are text"),
    ("syscall/umount.rs", "flags {} are unknown", "the language has no word for such flags"),
    (
        "syscall/mount/new.rs",
        "the file system is on a device, and no source is given",
        "the language always gives a source",
    ),
    ("kernel/net/name.rs", "each number below {} is taken in {}", "takes 32768 devices"),
    (
        "kernel/profile.rs",
        "the lab is in use already: boot comes before all else",
        "a script refuses such a line before the kernel does",
    ),
];

/// The reason of a place as [`error_sites`] gives it.
pub fn reason(site: &str, check: &str) -> Option<&'static str> {
    let file = site.trim_start_matches("src/").split(':').next()?;
    REASONS.iter().find(|(known, text, _)| *known == file && *text == check).map(|(.., reason)| *reason)
}

/// All places that make errors, as `file:line`, with the text of the check.
pub fn error_sites() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sites = BTreeMap::new();
    for path in files("src/kernel", "rs").into_iter().chain(files("src/syscall", "rs")) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display();
        let lines: Vec<&str> = text.lines().take_while(|line| !line.contains("#[cfg(test)]")).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let Some((_, call)) = line.split_once("bail!(").or_else(|| line.split_once("err!(")) else { continue };
            // The check is the first text of the call, which may stand on the next lines.
            let check = std::iter::once(&call).chain(&lines[at + 1..]).find_map(|line| line.split('"').nth(1));
            sites.insert(format!("{name}:{}", at + 1), check.unwrap_or_default().to_owned());
        }
    }
    sites
}

/// `file:line` of the place that made an error.
pub fn site_of(error: &Error) -> String {
    format!("{}:{}", error.site.file(), error.site.line())
}

/// A bare lab whose refusals are looked at.
struct Watched<'a> {
    kernel: Kernel,
    look: &'a mut dyn FnMut(&Error),
}

impl Machine for Watched<'_> {
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        Machine::call(&mut self.kernel, pid, call).inspect_err(|error| (self.look)(error))
    }

    fn open(&mut self, path: &[u8]) -> Result<Opened> {
        self.kernel.open(path).inspect_err(|error| (self.look)(error))
    }

    fn set(&mut self, setup: &Setup) -> Result<Vec<u8>> {
        self.kernel.set(setup).inspect_err(|error| (self.look)(error))
    }
}

/// The places that the cases and the recorded programs reach, each run on a bare lab of its own; `look` sees each
/// refusal.
pub fn reached_by_cases(look: &mut dyn FnMut(&Error)) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for case in files("fixtures", "lab").iter().flat_map(|file| load(file).unwrap_or_default()) {
        let mut note = |error: &Error| {
            reached.insert(site_of(error));
            look(error);
        };
        let _ = run_case(&mut Watched { kernel: Kernel::boot(), look: &mut note }, &case);
    }
    reached
}
