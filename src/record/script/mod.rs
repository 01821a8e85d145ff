//! A topology as a script: namespaces first, then processes top down.

mod ipc;
mod keepers;
mod limits;
mod mounts;
mod nets;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::topology::{Missing, Task, Topology};
use crate::control::lex::quote;
use crate::kernel::{Kernel, TaskId};
use crate::script::{Session, profile, statement};

/// The first line of a recording.
const TITLE: &str = "# A recording by nslab record. It boots: nslab mount DIR --boot FILE, nslab shell --boot FILE.";
/// The last line of a whole one.
pub const END: &str = "# The end of the recording.";

/// The script of a topology, and what it cannot say.
pub fn write(topology: &Topology) -> (String, Missing) {
    write_aloud(topology, &mut |_| {})
}

/// The same; `say` hears now and then how many tasks have been written.
pub fn write_aloud(topology: &Topology, say: &mut dyn FnMut(usize)) -> (String, Missing) {
    let mut writer = Writer::new(topology);
    writer.boot();
    writer.cgroups();
    writer.namespaces();
    writer.nets();
    writer.ipc();
    writer.tasks(say);
    writer.limits_of_users();
    writer.ends();
    writer.end_keepers();
    writer.last_pid();
    let head = head(topology, &writer.unsaid);
    (format!("{head}{}\n{END}\n", writer.text), writer.unsaid)
}

/// What is recorded, and what is not.
fn head(topology: &Topology, unsaid: &Missing) -> String {
    let mut head = format!("{TITLE}\n");
    let processes = topology.tasks.values().filter(|task| task.is_leader()).count();
    let _ = writeln!(
        head,
        "# {processes} processes with {} threads, {} namespaces.",
        topology.tasks.len(),
        topology.namespaces.len()
    );
    for (what, count) in topology.missing.0.iter().chain(&unsaid.0) {
        let _ = writeln!(
            head,
            "# Missing: {what}{}.",
            if *count > 1 { format!(" ({count} times)") } else { String::new() }
        );
    }
    head
}

/// Writes lines that it has tried.
struct Writer<'a> {
    topology: &'a Topology,
    /// What the script has come to so far.
    k: Kernel,
    session: Session,
    text: String,
    unsaid: Missing,
    /// The names of tasks in the script, `$` in front, or `1`.
    names: BTreeMap<i32, String>,
    /// Names that are taken.
    taken: BTreeSet<String>,
    /// Tasks that only keep namespaces until others are in them, in the order of their birth.
    keepers: Vec<String>,
    keeper_numbers: BTreeMap<String, i32>,
    /// A task in each network, IPC and mount namespace, by inum.
    members: BTreeMap<u32, String>,
    /// A task in each user namespace that may do anything there.
    rulers: BTreeMap<u32, String>,
    /// The first number that no task of the recording has, from above.
    next_spare: i32,
    /// The numbers of tasks, groups and sessions, at any level.
    used: BTreeSet<i32>,
    /// Mount namespaces whose mounts have been made.
    mounted: BTreeSet<u32>,
    /// The most descriptors that one task is given.
    most_open: usize,
}

impl<'a> Writer<'a> {
    fn new(topology: &'a Topology) -> Writer<'a> {
        let numbers = |task: &Task| {
            [&task.numbers, &task.session_numbers, &task.group_numbers]
                .into_iter()
                .flatten()
                .copied()
                .collect::<Vec<_>>()
        };
        Writer {
            used: topology.tasks.values().flat_map(numbers).collect(),
            topology,
            k: Kernel::boot(),
            session: Session::default(),
            text: String::new(),
            unsaid: Missing::default(),
            names: BTreeMap::from([(1, "1".to_owned())]),
            taken: BTreeSet::new(),
            keepers: Vec::new(),
            keeper_numbers: BTreeMap::new(),
            members: BTreeMap::new(),
            rulers: BTreeMap::new(),
            next_spare: topology.profile.pid_max.unwrap_or(crate::kernel::pid::PID_MAX_LIMIT) - 1,
            mounted: BTreeSet::new(),
            most_open: topology.tasks.values().map(|task| task.open.len()).max().unwrap_or(0),
        }
    }

    /// A line of the script, if it does what it says; else it is a comment, and false.
    fn line(&mut self, line: &str) -> bool {
        let done = match statement::parse(line) {
            Ok(Some(parsed)) => {
                self.session.execute(&mut self.k, &parsed).map(drop).map_err(|failure| failure.to_string())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.reason()),
        };
        match done {
            Ok(()) => {
                let _ = writeln!(self.text, "{line}");
                true
            }
            Err(why) => {
                let _ = writeln!(self.text, "# not here: {line}");
                let why = why.replace('\n', " ");
                self.unsaid.note(why.strip_prefix("expected success, got ").unwrap_or(&why));
                false
            }
        }
    }

    fn section(&mut self, title: &str) {
        let _ = writeln!(self.text, "\n# {title}");
    }

    /// A name that is not taken yet, made of words that may be any bytes.
    fn name(&mut self, words: &[u8], number: u32) -> String {
        let word: String = words
            .iter()
            .take(24)
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte) } else { '_' })
            .collect();
        let word = word.trim_matches('_');
        let start = if word.starts_with(|c: char| c.is_ascii_alphabetic()) { "" } else { "p" };
        let mut name = format!("{start}{word}_{number}");
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// A number that no task of the recording has, at any level.
    fn spare(&mut self) -> i32 {
        let mut number = self.next_spare;
        while self.used.contains(&number) && number > 2 {
            number -= 1;
        }
        self.next_spare = number - 1;
        number
    }

    /// The task of a name, with `$` in front or `1`.
    fn found(&self, number: i32) -> Option<TaskId> {
        self.k.find_task(number)
    }

    fn boot(&mut self) {
        let mut profile = self.topology.profile.clone();
        let initial: BTreeSet<u32> = profile.inums.values().copied().collect();
        let dynamic =
            self.topology.namespaces.keys().copied().filter(|inum| !initial.contains(inum) && *inum >= 0xf000_0000);
        // Boot's own first number, where nothing that was seen is below it.
        profile.first_inum = dynamic.min().filter(|first| !self.k.inums.pool.is_free(*first));
        profile.has_no_card = self.has_no_card();
        let fresh = &self.k.namespaces;
        profile.inums.retain(|ns_type, inum| fresh[self.k.initial(*ns_type)].common.inum != *inum);
        self.section("The machine.");
        let line = profile::line(&profile);
        self.line(line.trim_end());
    }

    fn cgroups(&mut self) {
        let cgroups = self.topology.cgroups();
        if !cgroups.is_empty() {
            self.section("Control groups.");
        }
        for path in cgroups {
            self.line(&format!("mkdir {}", quote(&[b"cgroup", &path[..]].concat())));
        }
    }

    /// The next number is the one after the last that was given out.
    fn last_pid(&mut self) {
        let Some(last) = self.topology.last_pid else { return };
        if self.k.namespaces[self.k.init.pid_ns].last_pid() != last {
            self.line(&format!("write proc/sys/kernel/ns_last_pid {last}"));
        }
    }
}
