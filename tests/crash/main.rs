//! Rounds of a crash: writers at random on a lab with a journal, and a SIGKILL for its daemon at a random moment. The
//! mount can be taken off; the journal has all that was acknowledged, in the order of each writer, and of each writer at
//! most what it was not yet told of more; a lab that boots with the journal comes to the state that the lines say.
//!
//! `NSLAB_CRASH_ROUNDS` says how many rounds there are, `NSLAB_CRASH_SEED` with which they start.

#[path = "../common/needs.rs"]
mod needs;
mod writer;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nslab::control::lex::quote;
use nslab::fuse::is_lab;
use nslab::host::{Booting, Lab};
use nslab::journal::whole;
use nslab::kernel::Kernel;
use nslab::kernel::file::OpenFlags;
use nslab::script::run::run_boot_file;
use nslab::tree::{self, ROOT};
use nslab::{host, lab};

use writer::{Deed, Outcome, Writer};

const NSLAB: &str = env!("CARGO_BIN_EXE_nslab");
/// As much time as a command may take, in seconds. Machines that run tests are busy.
const MOMENT: &str = "30";
const ROUNDS: u64 = 10;
const WRITERS: i32 = 10;
/// The longest that writers go on, in microseconds.
const LIFE: u64 = 300_000;

/// How the lab of a round is mounted.
#[derive(Debug)]
struct Round {
    number: u64,
    options: Vec<String>,
}

impl Round {
    /// Every other waits for the disk, some have a clock that goes, or memory for a while only.
    fn new(number: u64) -> Round {
        let mut options = Vec::new();
        if number % 2 == 1 {
            options.push("--journal-sync".to_owned());
        }
        if number % 3 == 1 {
            options.push("-orealtime".to_owned());
        }
        if number % 5 == 2 {
            let used = Kernel::boot().memory_used();
            options.push(format!("--max-memory={}", used + (96 << 10)));
        }
        Round { number, options }
    }

    fn life(&self) -> Duration {
        Duration::from_micros(self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % LIFE)
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn nslab(args: &[&str]) -> Output {
    Command::new("timeout").args([MOMENT, NSLAB]).args(args).output().unwrap()
}

/// A daemon that serves a lab; it ends with the test.
struct Daemon(Child);

impl Daemon {
    fn mount(dir: &str, args: &[String]) -> Daemon {
        let mut command = Command::new(NSLAB);
        let mut child = command.args(["mount", "-f"]).args(args).arg(dir).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("mounted on {dir}\n"));
        Daemon(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of a journal: what came of it, and the line itself.
fn split(line: &str) -> (String, String) {
    if let Some(rest) = line.strip_prefix("! ") {
        let (errno, line) = rest.split_once(' ').unwrap();
        return (format!("! {errno} "), line.to_owned());
    }
    let Some(rest) = line.strip_prefix("= ") else { return (String::new(), line.to_owned()) };
    let end = match rest.strip_prefix('"') {
        Some(quoted) => quoted.find("\" ").unwrap() + 2,
        None => rest.find(' ').unwrap(),
    };
    (format!("= {} ", &rest[..end]), rest[end + 1..].to_owned())
}

/// Whether what the journal says came of it is what the writer was told.
fn is_same(noted: &str, told: &Outcome) -> bool {
    match told {
        Outcome::Text(text) => noted == format!("= {} ", quote(text.as_bytes())) || noted.is_empty() && text.len() > 64,
        Outcome::Done => !noted.starts_with('!'),
        Outcome::Failed(errno) => noted == format!("! {errno:?} "),
        Outcome::Refused => noted.starts_with("! "),
    }
}

/// Compares what a writer was told with its lines of the journal.
fn check(writer: &Writer, lines: &[(String, String)]) {
    let own: Vec<_> = lines.iter().filter(|(_, line)| writer.wrote(line)).collect();
    for (number, Deed { line, outcome }) in writer.deeds.iter().enumerate() {
        let Some((noted, found)) = own.get(number) else { panic!("{line} was acknowledged and is not noted") };
        assert!(found == line && is_same(noted, outcome), "{line} {outcome:?} is noted as {noted}{found}");
    }
    let more: Vec<_> = own[writer.deeds.len()..].iter().map(|(_, line)| line).collect();
    assert!(more.iter().zip(&writer.pending).all(|(a, b)| **a == *b), "{more:?}, pending {:?}", writer.pending);
    assert!(more.len() <= writer.pending.len(), "{more:?}, pending {:?}", writer.pending);
}

/// The lab that a file leads to.
fn booted(file: &Path) -> Lab {
    let booted = Lab::new(Kernel::boot());
    run_boot_file(&mut Booting(&booted), file).unwrap_or_else(|error| panic!("{error}"));
    booted
}

/// The whole kernel as text.
fn state(of_lab: &Lab) -> String {
    of_lab.read(|k| format!("{k:#?}")).unwrap()
}

/// What the whole lab looks like from outside.
fn picture(of_lab: &Lab) -> Vec<u8> {
    let picture = of_lab.read(|k| {
        let viewer = lab::eyes(host::find_caller(k, 1)?);
        let dir = tree::lookup(k, viewer, ROOT, b"kernel")?;
        let file = tree::lookup(k, viewer, dir, b"tree.json")?;
        tree::read_open(k, viewer, &lab::open(k, viewer, file, OpenFlags::READ)?)
    });
    picture.unwrap().unwrap()
}

/// One round; how many deeds were acknowledged in it.
fn crash(round: &Round) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| fs::canonicalize(dir.path()).unwrap().join(name).to_str().unwrap().to_owned();
    let [point, boot, journal, again] = ["m", "boot.lab", "journal.lab", "again.lab"].map(path);
    fs::create_dir(&point).unwrap();
    fs::write(&boot, "1 clone\n".repeat(WRITERS.try_into().unwrap())).unwrap();
    let mut options = round.options.clone();
    options.extend(["--journal".to_owned(), journal.clone()]);
    let first: Vec<_> = options.iter().cloned().chain(["--boot".to_owned(), boot]).collect();
    let mut daemon = Daemon::mount(&point, &first);
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|number| Writer::new(number + 2, round.number * 1000 + u64::try_from(number).unwrap()))
        .collect();
    thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(|| writer.run(Path::new(&point)));
        }
        thread::sleep(round.life());
        daemon.kill();
    });
    let unmounted = nslab(&["umount", &point]);
    assert!(unmounted.status.success() && !is_lab(Path::new(&point)), "{unmounted:?}");

    let text = fs::read(&journal).unwrap();
    let noted = String::from_utf8(text[..whole(&text).unwrap().len].to_vec()).unwrap();
    let lines: Vec<_> = noted.lines().skip(1).map(|line| line.rsplit_once(" #").unwrap().0).collect();
    let done: Vec<_> = lines.iter().skip(1 + usize::try_from(WRITERS).unwrap()).map(|line| split(line)).collect();
    writers.iter().for_each(|writer| check(writer, &done));
    let others: Vec<_> = done.iter().filter(|(_, line)| !writers.iter().any(|writer| writer.wrote(line))).collect();
    assert!(others.iter().all(|(_, line)| line.starts_with("tick ")), "{others:?}");

    // The lines alone, as a script like any other, lead to the same state.
    fs::write(&again, lines.join("\n") + "\n").unwrap();
    let repeated = booted(Path::new(&journal));
    assert!(state(&repeated) == state(&booted(Path::new(&again))), "{noted}");
    let mut resumed = Daemon::mount(&point, &["--journal".to_owned(), journal.clone(), "--resume".to_owned()]);
    let shown = fs::read(Path::new(&point).join("kernel/tree.json")).unwrap();
    assert!(shown == picture(&repeated), "{}\n{noted}", String::from_utf8_lossy(&shown));
    let unmounted = nslab(&["umount", &point]);
    assert!(unmounted.status.success(), "{unmounted:?}");
    assert!(resumed.0.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&journal).unwrap(), noted);
    writers.iter().map(|writer| writer.deeds.len()).sum()
}

#[test]
fn what_was_acknowledged_survives_the_death_of_the_daemon() {
    if !needs::has(&["fuse", "timeout"]) {
        return;
    }
    let (first, rounds) = (number("NSLAB_CRASH_SEED").unwrap_or(0), number("NSLAB_CRASH_ROUNDS").unwrap_or(ROUNDS));
    let mut deeds = 0;
    for number in first..first + rounds {
        let round = Round::new(number);
        // What a failed test shows.
        println!("{round:?}");
        deeds += crash(&round);
    }
    println!("{rounds} rounds, {deeds} deeds acknowledged, 0 lost");
    assert!(deeds > 0);
}
