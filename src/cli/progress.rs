//! What a long boot, or a long recording, says on a terminal.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::errno::Result;
use crate::script::{Call, Machine, Opened, Setup};

/// What takes less says nothing.
const SILENCE: Duration = Duration::from_millis(500);

/// A line on a terminal that tells how far something is.
#[derive(Debug)]
pub struct Line {
    /// When it was last written; `None`: there is no terminal.
    said: Option<Instant>,
    has_spoken: bool,
}

impl Line {
    pub fn new() -> Line {
        Line { said: io::stderr().is_terminal().then(now), has_spoken: false }
    }

    /// Writes the line anew, unless it was written just now.
    pub fn say(&mut self, text: impl FnOnce() -> String) {
        let Some(said) = self.said.filter(|said| said.elapsed() >= SILENCE) else { return };
        // What was longer goes.
        let _ = write!(io::stderr(), "\r{}\x1b[K", text());
        self.said = Some(said + SILENCE);
        self.has_spoken = true;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.has_spoken {
            eprintln!();
        }
    }
}

/// A machine that counts the calls made on it, aloud.
pub struct Progress<'a, M> {
    machine: &'a mut M,
    file: &'a Path,
    calls: u64,
    line: Line,
}

impl<'a, M> Progress<'a, M> {
    pub fn new(machine: &'a mut M, file: &'a Path) -> Progress<'a, M> {
        Progress { machine, file, calls: 0, line: Line::new() }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a person waits is real time, not the lab's")]
fn now() -> Instant {
    Instant::now()
}

impl<M: Machine> Machine for Progress<'_, M> {
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        self.calls += 1;
        if self.calls.is_multiple_of(1024) {
            self.line.say(|| format!("{}: {} calls", self.file.display(), self.calls));
        }
        self.machine.call(pid, call)
    }

    fn open(&mut self, path: &[u8]) -> Result<Opened> {
        self.machine.open(path)
    }

    fn repeats(&mut self, repeats: bool) {
        self.machine.repeats(repeats);
    }

    fn set(&mut self, setup: &Setup) -> Result<Vec<u8>> {
        self.machine.set(setup)
    }
}
