//! What a program and its descendants did in a lab, as a script to read: of the complete log, a journal, the calls that have
//! changed namespaces, identities and tasks, with names for numbers. It boots into the topology that the journal leads to.
//!
//! Both are executed side by side, each on a kernel of its own. A task of the script is no real process: it dies by a call of its
//! own, where the journal says that its process has ended.

mod emit;
mod line;

use std::collections::BTreeMap;
use std::path::Path;

use super::files::Bare;
use super::lab::LabFacts;
use super::topology::{Missing, Open, Topology};
use super::{Wanted, read};
use crate::errno::describe;
use crate::kernel::Kernel;
use crate::kernel::ns::NsType;
use crate::script::Session;
use crate::script::file::{FileError, Line, Lines};
use crate::syscall::program::Program;
use crate::syscall::{AnyCall, LabCall, Syscall};

use emit::Emitter;
use line::Told;

/// A script, and what it does not bring about.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub script: String,
    pub missing: Missing,
    /// How many lines of the journal it stands for.
    pub lines: usize,
    /// Tasks that are alive then.
    pub alive: usize,
}

/// What a first look at a journal tells.
#[derive(Debug, Default)]
struct Scan {
    /// How many lines come before the first program.
    first: usize,
    /// How many are told of.
    end: usize,
    alive: usize,
    /// What each task is called, by number, and the command line that it was started with.
    names: BTreeMap<i32, (Vec<u8>, String)>,
    /// Namespaces that descriptors of programs still hold at the end, by inum, with how many do.
    pins: BTreeMap<(NsType, u32), usize>,
}

/// A journal that is executed line by line.
struct Replay {
    k: Kernel,
    session: Session,
    lines: Lines,
    /// Lines executed.
    done: usize,
}

impl Replay {
    fn new(journal: &Path) -> Result<Replay, FileError> {
        Ok(Replay { k: Kernel::boot(), session: Session::default(), lines: Lines::of(journal)?, done: 0 })
    }

    fn read(&mut self) -> Result<Option<Line>, FileError> {
        let line = self.lines.next().transpose()?;
        while let Some((after, path)) = self.lines.next_open() {
            self.session.open(&mut self.k, after, path);
        }
        Ok(line)
    }

    fn execute(&mut self, line: &Line) -> Result<(), FileError> {
        self.done += 1;
        let done = self.session.execute(&mut self.k, &line.statement);
        done.map(drop).map_err(|failure| FileError::at(&line.place, failure.to_string()))
    }
}

/// Makes a script of a journal. `at_most`: up to the moment at which the most tasks are alive, the first such.
///
/// # Errors
/// The journal cannot be read, or does not lead to what it says.
pub fn convert(journal: &Path, command: &str, at_most: bool) -> Result<Recorded, FileError> {
    let scan = scan(journal, at_most)?;
    let mut replay = Replay::new(journal)?;
    let mut emitter = Emitter::new(&scan);
    while replay.done < scan.end
        && let Some(line) = replay.read()?
    {
        let last_pid = last_pid(&replay.k);
        replay.execute(&line)?;
        if replay.done <= scan.first {
            emitter.verbatim(&line);
        } else {
            emitter.emit(&replay.k, &line, last_pid != self::last_pid(&replay.k));
        }
    }
    let mut missing = emitter.missing.clone();
    compare(&topology(&replay.k)?, &topology(&emitter.k)?, &mut missing);
    let moment = if at_most { "up to where the most tasks are alive" } else { "up to the end of the command" };
    let mut script = format!("# nslab exec --record: {command}\n");
    script.push_str(&format!(
        "# So far: {} lines of the journal, {moment}. Tasks that are alive then: {}.\n",
        scan.end, scan.alive
    ));
    for what in missing.0.keys() {
        script.push_str(&format!("# Not as it was: {what}.\n"));
    }
    script.push_str(&emitter.text);
    Ok(Recorded { script, missing, lines: scan.end, alive: scan.alive })
}

fn last_pid(k: &Kernel) -> i32 {
    k.namespaces[k.init.pid_ns].last_pid()
}

fn alive(k: &Kernel) -> usize {
    k.tasks.iter().filter(|(_, task)| !task.is_dead()).count()
}

fn scan(journal: &Path, at_most: bool) -> Result<Scan, FileError> {
    let mut replay = Replay::new(journal)?;
    let mut scan = Scan::default();
    let mut pins = BTreeMap::new();
    let (mut has_begun, mut last_clone) = (false, 0);
    while let Some(line) = replay.read()? {
        replay.execute(&line)?;
        let Some(told) = Told::of(&line.statement).filter(|told| !told.has_failed) else { continue };
        if let AnyCall::Lab(LabCall::Program(program)) = &told.call {
            note_pin(&mut pins, *program);
            if *program == Program::Runs && !has_begun {
                has_begun = true;
                scan.first = last_clone;
            }
        } else if let AnyCall::Linux(Syscall::Exec { comm, argv }) = &told.call {
            let words = std::iter::once(comm).chain(argv).map(|word| String::from_utf8_lossy(word));
            let title = words.collect::<Vec<_>>().join(" ");
            // As what it was started, whatever it becomes later.
            if scan.names.get(&told.pid).is_none_or(|(_, known)| known.is_empty()) {
                scan.names.insert(told.pid, (comm.clone(), title));
            }
        } else if let AnyCall::Linux(Syscall::Clone(_)) = &told.call {
            last_clone = replay.done - 1;
            let (name, _) = scan.names.get(&told.pid).cloned().unwrap_or_default();
            scan.names.insert(told.number().unwrap_or_default(), (name, String::new()));
            let count = alive(&replay.k);
            if at_most && count > scan.alive {
                (scan.alive, scan.end, scan.pins) = (count, replay.done, pins.clone());
            }
        }
    }
    if !at_most || scan.end == 0 {
        (scan.alive, scan.end, scan.pins) = (alive(&replay.k), replay.done, pins);
    }
    Ok(scan)
}

fn note_pin(pins: &mut BTreeMap<(NsType, u32), usize>, program: Program) {
    if let Program::Pins { ns_type, inum } = program {
        *pins.entry((ns_type, inum)).or_default() += 1;
    } else if let Program::Unpins { ns_type, inum } = program
        && let Some(count) = pins.get_mut(&(ns_type, inum))
    {
        *count -= 1;
    }
}

/// What a kernel has, without times, descriptors of namespaces and what these alone keep: of programs, nobody knows which task they
/// are of.
fn topology(k: &Kernel) -> Result<Topology, FileError> {
    let files = Bare(k);
    let read = read::record(&files, &LabFacts(&files), &Wanted::default(), |_| {});
    let mut topology = read.map_err(|error| FileError { place: "the lab".to_owned(), reason: describe(&error) })?;
    for task in topology.tasks.values_mut() {
        // The script has no clock.
        task.start = 0;
        task.open.retain(|_, open| !matches!(open, Open::Ns(..)));
    }
    topology.prune();
    Ok(topology)
}

/// Notes what is not the same.
fn compare(wanted: &Topology, got: &Topology, missing: &mut Missing) {
    differences(&wanted.tasks, &got.tasks, |nr| format!("task {nr}"), missing);
    differences(&wanted.namespaces, &got.namespaces, |inum| format!("namespace {inum}"), missing);
    if wanted.last_pid != got.last_pid {
        missing.note("the number that was given out last");
    }
}

fn differences<K: Ord, V: PartialEq>(
    wanted: &BTreeMap<K, V>,
    got: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
    missing: &mut Missing,
) {
    let more = got.keys().filter(|key| !wanted.contains_key(key));
    wanted.iter().filter(|(key, value)| got.get(key) != Some(value)).map(|(key, _)| key).chain(more).for_each(|key| {
        missing.note(name(key));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Booting, Lab};
    use crate::journal::{Journal, Sync};
    use crate::script::run::run_boot_file;

    /// What becomes of these lines once they are noted.
    fn recorded(lines: &str, at_most: bool) -> Recorded {
        let dir = tempfile::tempdir().unwrap();
        let [journal, file] = ["journal.lab", "lines.lab"].map(|name| dir.path().join(name));
        std::fs::write(&file, lines).unwrap();
        let lab = Lab::new(Kernel::boot()).with_journal(Some(Journal::create(&journal, Sync::Kernel).unwrap()));
        run_boot_file(&mut Booting(&lab), &file).unwrap();
        drop(lab);
        convert(&journal, "x", at_most).unwrap()
    }

    /// The lines that say something, without comments.
    fn said(recorded: &Recorded) -> Vec<&str> {
        let lines = recorded.script.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split("  #").next().unwrap_or(line)).collect()
    }

    #[test]
    fn numbers_become_names_and_what_changes_nothing_is_left_out() {
        let lines = "1 clone 0x4000 exit_signal=17\n2 program runs\n2 exec sh -c x\n2 sigaction SIGUSR1 handler\n2 getsid 0\n\
                     2 clone 0x4000\n3 program runs\n2 setpgid 3 3\n3 exec web\n3 unshare 0x4000000\nF = 3 open pidfd:2\n\
                     3 setns fd:$F newuts\n3 close $F\n3 program ended 256\n2 program waits wait -1\n";
        let recorded = recorded(lines, false);
        let expected = [
            "sh_2 = 1 clone vfork",
            "$sh_2 exec sh -c x",
            "web_3 = $sh_2 clone vfork",
            "$sh_2 setpgid $web_3 $web_3",
            "$web_3 exec web",
            "$web_3 unshare newuts",
            "fd_0 = $web_3 open pidfd:$sh_2",
            "$web_3 setns fd:$fd_0 newuts",
            "$web_3 close $fd_0",
            "$web_3 exit 1",
            "$sh_2 wait $web_3",
        ];
        assert_eq!(said(&recorded), expected);
        assert!(recorded.missing.0.is_empty(), "{:?}\n{}", recorded.missing, recorded.script);
        assert_eq!(recorded.alive, 2);
    }

    #[test]
    fn it_ends_where_the_most_tasks_are_alive() {
        let lines = "1 clone\n2 program runs\n2 clone\n3 program runs\n2 clone\n4 program runs\n3 program ended 9\n\
                     2 wait 3\n2 clone newuts\n5 program runs\n";
        let recorded = recorded(lines, true);
        assert_eq!((recorded.alive, said(&recorded).len()), (4, 3), "{}", recorded.script);
        assert!(recorded.missing.0.is_empty(), "{:?}", recorded.missing);
    }

    #[test]
    fn what_was_before_the_first_program_stays_as_it_was() {
        let recorded = recorded("A = 1 clone newnet\n$A sethostname a\n1 clone\n3 program runs\n", false);
        assert_eq!(said(&recorded)[..2], ["= 2 1 clone newnet", "= 0 2 sethostname a"]);
        assert!(recorded.missing.0.is_empty(), "{:?}", recorded.missing);
    }

    #[test]
    fn a_namespace_that_a_descriptor_of_a_program_holds_to_the_end_is_there() {
        let lines = "1 clone\n2 program runs\n2 clone newuts\n3 program runs\n2 program pins uts:[4026532177]\n\
                     3 program ended 0\n2 wait 3\n";
        let recorded = recorded(lines, false);
        assert!(said(&recorded).iter().any(|line| line.ends_with("open uts:[4026532177]")), "{}", recorded.script);
        assert!(recorded.missing.0.is_empty(), "{:?}\n{}", recorded.missing, recorded.script);
    }
}
