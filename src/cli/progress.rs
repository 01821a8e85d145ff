//! What a long boot says on a terminal.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::errno::Result;
use crate::script::{Call, Machine, Opened, Setup};

/// Boots that take less say nothing.
const SILENCE: Duration = Duration::from_millis(500);

/// A machine that counts the calls made on it, aloud.
pub struct Progress<'a, M> {
    machine: &'a mut M,
    file: &'a Path,
    calls: u64,
    said: Option<Instant>,
    has_spoken: bool,
}

impl<'a, M> Progress<'a, M> {
    pub fn new(machine: &'a mut M, file: &'a Path) -> Progress<'a, M> {
        let said = io::stderr().is_terminal().then(now);
        Progress { machine, file, calls: 0, said, has_spoken: false }
    }

    fn say(&mut self) {
        let Some(said) = self.said.filter(|said| said.elapsed() >= SILENCE) else { return };
        let _ = write!(io::stderr(), "\r{}: {} calls", self.file.display(), self.calls);
        self.said = Some(said + SILENCE);
        self.has_spoken = true;
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
            self.say();
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

impl<M> Drop for Progress<'_, M> {
    fn drop(&mut self) {
        if self.has_spoken {
            eprintln!();
        }
    }
}
