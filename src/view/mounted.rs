//! A mounted lab, driven and watched through its files. Its time line begins when the page does.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::pulse::Pulse;
use super::source::{Answer, Source, Step, no_step};
use crate::errno::{Errno, describe};
use crate::host::lock;
use crate::record::Files;
use crate::record::files::Disk;

/// How often the trace is looked at, and how long the lab has to be quiet for a step to be over.
const POLL: Duration = Duration::from_millis(20);
/// Bytes of trees and traces that are kept; the oldest steps are forgotten then.
const BYTES_MAX: usize = 64 << 20;

/// A moment that was seen.
#[derive(Debug)]
struct Seen {
    step: Step,
    tree: Arc<str>,
}

impl Seen {
    fn bytes(&self) -> usize {
        self.tree.len() + self.step.trace.len()
    }
}

/// The moments seen, oldest first.
#[derive(Debug, Default)]
struct Moments {
    seen: VecDeque<Seen>,
    /// The number of the first.
    first: usize,
    bytes: usize,
}

impl Moments {
    fn push(&mut self, seen: Seen) {
        self.bytes += seen.bytes();
        self.seen.push_back(seen);
        while self.bytes > BYTES_MAX && self.seen.len() > 1 {
            self.bytes -= self.seen.pop_front().map_or(0, |seen| seen.bytes());
            self.first += 1;
        }
    }

    fn at(&self, number: usize) -> io::Result<&Seen> {
        number.checked_sub(self.first).and_then(|index| self.seen.get(index)).ok_or_else(no_step)
    }
}

/// A lab mounted on a directory.
#[derive(Debug)]
pub struct Mounted {
    dir: PathBuf,
    moments: Arc<Mutex<Moments>>,
    /// `ctl/batch`, open for as long as the page is, so that names stay.
    batch: File,
}

impl Mounted {
    /// Watches the lab at `dir` from now on; `pulse` beats at each step.
    ///
    /// # Errors
    /// Its files cannot be opened.
    pub fn open(dir: &Path, pulse: Arc<Pulse>) -> io::Result<Mounted> {
        let batch = File::options().read(true).write(true).open(dir.join("ctl/batch"))?;
        let mut trace = BufReader::new(File::open(dir.join("kernel/trace"))?);
        while !lines(&mut trace)?.is_empty() {}
        let mut moments = Moments::default();
        moments.push(Seen { step: Step::default(), tree: read_tree(dir)? });
        let moments = Arc::new(Mutex::new(moments));
        let watched = Watched { dir: dir.to_owned(), moments: Arc::clone(&moments), trace, pulse };
        thread::Builder::new().name("watch".to_owned()).spawn(move || watched.watch())?;
        Ok(Mounted { dir: dir.to_owned(), moments, batch })
    }

    fn batch(&mut self, line: &str) -> io::Result<Answer> {
        let text = format!("{line}\n");
        let written = self.batch.write(text.as_bytes());
        let mut answer = Vec::new();
        self.batch.read_to_end(&mut answer)?;
        let answer = Answer::ok(&answer);
        match written {
            Ok(_) => Ok(answer),
            Err(error) if answer.text.is_empty() => Err(error),
            Err(_) => Ok(Answer { is_ok: false, ..answer }),
        }
    }
}

fn read_tree(dir: &Path) -> io::Result<Arc<str>> {
    std::fs::read_to_string(dir.join("kernel/tree.json")).map(Arc::from)
}

/// What there is to read of a trace, in whole lines.
fn lines(trace: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    while trace.read_line(&mut text)? > 0 {}
    Ok(text)
}

/// The thread that follows the trace.
struct Watched {
    dir: PathBuf,
    moments: Arc<Mutex<Moments>>,
    trace: BufReader<File>,
    pulse: Arc<Pulse>,
}

impl Watched {
    /// Until the lab is unmounted.
    fn watch(mut self) {
        while let Ok(trace) = lines(&mut self.trace) {
            if trace.is_empty() {
                thread::sleep(POLL);
                continue;
            }
            let Ok(tree) = read_tree(&self.dir) else { break };
            lock(&self.moments).push(Seen { step: step_of(trace), tree });
            self.pulse.beat();
        }
        self.pulse.beat();
    }
}

/// The step that lines of the trace are of: a call, if there is only one.
fn step_of(trace: String) -> Step {
    // Number, pid, step; what a call does is set in.
    let calls: Vec<(&str, &str)> =
        trace.lines().filter_map(|line| line.trim_start().split_once(' ')?.1.trim_start().split_once("  ")).collect();
    let outer: Vec<&(&str, &str)> = calls.iter().filter(|(_, step)| !step.starts_with(' ')).collect();
    let (line, answer) = match outer[..] {
        [(pid, call), (_, result)] => {
            let answer = result.split_once(" = ").map(|(_, text)| text);
            let is_errno = |text: &str| {
                text.split_once(':').is_some_and(|(name, _)| crate::errno::errno_from_name(name).is_some())
            };
            (format!("{pid} {call}"), answer.map(|text| Answer { is_ok: !is_errno(text), text: text.to_owned() }))
        }
        _ => (format!("{} lines of trace", trace.lines().count()), None),
    };
    Step { line, answer, trace }
}

impl Source for Mounted {
    fn steps(&self) -> (usize, usize) {
        let moments = lock(&self.moments);
        (moments.first, moments.first + moments.seen.len() - 1)
    }

    fn step(&mut self, number: usize) -> io::Result<Step> {
        lock(&self.moments).at(number).map(|seen| seen.step.clone())
    }

    fn tree(&mut self, number: usize) -> io::Result<String> {
        lock(&self.moments).at(number).map(|seen| seen.tree.to_string())
    }

    fn look(&mut self, number: usize, show: &mut dyn FnMut(&dyn Files)) -> io::Result<()> {
        if number != self.steps().1 {
            return Err(io::Error::from_raw_os_error(Errno::EOPNOTSUPP as i32));
        }
        show(&Disk(self.dir.clone()));
        Ok(())
    }

    fn perform(&mut self, line: &str) -> Answer {
        self.batch(line).unwrap_or_else(|error| Answer::refused(describe(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_is_a_step_with_its_answer() {
        let trace = "     1     1  unshare(CLONE_NEWUTS)\n     2     1    create uts:[1] owner user:[2]\n     3     1  unshare = 0\n";
        let step = step_of(trace.to_owned());
        assert_eq!((step.line.as_str(), step.answer), ("1 unshare(CLONE_NEWUTS)", Some(Answer::ok(b"0"))));
        let step = step_of("     4    17  setns(3)\n     5    17  setns = EPERM: no\n".to_owned());
        assert_eq!(step.answer, Some(Answer::refused("EPERM: no")));
        assert_eq!(
            step_of("     6     1  a()\n     7     1  a = 0\n     8     2  b()\n     9     2  b = 0\n".repeat(2))
                .answer,
            None
        );
    }

    #[test]
    fn the_oldest_moments_are_forgotten_when_there_are_too_many() {
        let mut moments = Moments::default();
        let tree: Arc<str> = "x".repeat(BYTES_MAX / 3).into();
        for _ in 0..5 {
            moments.push(Seen { step: Step::default(), tree: Arc::clone(&tree) });
        }
        assert_eq!((moments.first, moments.seen.len()), (2, 3));
        assert!(moments.at(1).is_err() && moments.at(2).is_ok() && moments.at(5).is_err());
    }
}
