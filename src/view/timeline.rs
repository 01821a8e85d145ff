//! A lab of its own, every moment of which can be looked at again: copies of the kernel now and then, and what was done in
//! between.

use std::io;
use std::path::Path;

use super::lesson::{Lesson, Next};
use super::source::{Answer, Source, Step, no_step};
use crate::errno::{Error, Result};
use crate::kernel::Kernel;
use crate::kernel::node::View;
use crate::record::Files;
use crate::record::files::Bare;
use crate::script::file::FileError;
use crate::script::run::run_boot_file;
use crate::script::statement::{self, CallLine, Expect, Statement};
use crate::script::{Call, Failure, Machine, Opened, Session, Setup};
use crate::tree::{self, Viewer};

/// Steps of the kernel that a copy keeps for the trace.
const TRACE: usize = 4096;
/// Deeds after which the kernel is copied, at first, and copies beyond which every second one is dropped.
const STRIDE: usize = 32;
const COPIES_MAX: usize = 64;

/// Something done to the kernel.
#[derive(Clone, Debug)]
enum Deed {
    Call(i32, Call),
    Set(Setup),
}

impl Deed {
    /// Does it; what comes of it is known.
    fn redo(&self, kernel: &mut Kernel) {
        let _known = match self {
            Deed::Call(pid, call) => Machine::call(kernel, *pid, call),
            Deed::Set(setup) => kernel.set(setup),
        };
    }
}

/// A kernel, and all that was done to it.
#[derive(Debug)]
struct Recorder {
    kernel: Kernel,
    deeds: Vec<Deed>,
}

impl Machine for Recorder {
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        self.deeds.push(Deed::Call(pid, call.clone()));
        Machine::call(&mut self.kernel, pid, call)
    }

    fn open(&mut self, path: &[u8]) -> Result<Opened> {
        self.kernel.open(path)
    }

    fn set(&mut self, setup: &Setup) -> Result<Vec<u8>> {
        self.deeds.push(Deed::Set(setup.clone()));
        self.kernel.set(setup)
    }
}

/// A step that was taken.
#[derive(Debug, Default)]
struct Taken {
    line: String,
    answer: Option<Answer>,
    /// How many deeds there were after it.
    deeds: usize,
    /// The number of the last line of the trace then.
    traced: u64,
}

/// A kernel of the past.
#[derive(Debug)]
struct Copy {
    /// How many deeds had been done.
    deeds: usize,
    kernel: Kernel,
}

/// A lab that lives in this process.
#[derive(Debug)]
pub struct Timeline {
    now: Recorder,
    session: Session,
    steps: Vec<Taken>,
    /// The oldest first; the first is of step 0.
    copies: Vec<Copy>,
    stride: usize,
    /// The moment looked at last.
    looked: Option<Copy>,
    lesson: Option<Lesson>,
}

impl Timeline {
    /// A lab that has just booted.
    pub fn new() -> Timeline {
        let mut kernel = Kernel::boot();
        kernel.trace.start(TRACE);
        Timeline::of(kernel, None)
    }

    /// A lab that boots with a file: with its statements as a lesson, or, if it is a journal or too long to be read, with
    /// all of it done.
    ///
    /// # Errors
    /// The file cannot be read or is no script; a line of one that is done at once fails.
    pub fn open(file: &Path) -> std::result::Result<Timeline, FileError> {
        let mut kernel = Kernel::boot();
        kernel.trace.start(TRACE);
        let lesson = Lesson::read(file)?;
        if lesson.is_none() {
            run_boot_file(&mut kernel, file)?;
        }
        Ok(Timeline::of(kernel, lesson))
    }

    fn of(kernel: Kernel, lesson: Option<Lesson>) -> Timeline {
        let traced = last_traced(&kernel, 0);
        let copies = vec![Copy { deeds: 0, kernel: kernel.clone() }];
        Timeline {
            now: Recorder { kernel, deeds: Vec::new() },
            session: Session::default(),
            steps: vec![Taken { traced, ..Taken::default() }],
            copies,
            stride: STRIDE,
            looked: None,
            lesson,
        }
    }

    /// The kernel as it was after a step.
    ///
    /// # Errors
    /// ENOENT: there is no such step.
    pub fn kernel_at(&mut self, number: usize) -> io::Result<&Kernel> {
        let wanted = self.steps.get(number).ok_or_else(no_step)?.deeds;
        if wanted == self.now.deeds.len() {
            return Ok(&self.now.kernel);
        }
        let near = self.copies.iter().rev().find(|copy| copy.deeds <= wanted).ok_or_else(no_step)?;
        let mut looked = match self.looked.take() {
            Some(looked) if (near.deeds..=wanted).contains(&looked.deeds) => looked,
            _ => Copy { deeds: near.deeds, kernel: near.kernel.clone() },
        };
        for deed in &self.now.deeds[looked.deeds..wanted] {
            deed.redo(&mut looked.kernel);
        }
        looked.deeds = wanted;
        Ok(&self.looked.insert(looked).kernel)
    }

    /// Of a call that was expected to succeed, its errno says enough; of other statements, what was expected instead.
    fn execute(&mut self, statement: &Statement) -> Answer {
        let is_plain = matches!(statement, Statement::Call(CallLine { expect: Expect::Success, .. }));
        match self.session.execute(&mut self.now, statement) {
            Ok(result) => Answer::ok(&result),
            Err(Failure { got: Err(error), .. }) if is_plain => error.into(),
            Err(failure) => Answer::refused(failure.to_string()),
        }
    }

    /// Notes what was done since the last step as one step.
    fn note(&mut self, line: String, answer: Answer) {
        let (deeds, before) = (self.now.deeds.len(), self.steps.last().map_or(0, |step| step.traced));
        let traced = last_traced(&self.now.kernel, before);
        self.steps.push(Taken { line, answer: Some(answer), deeds, traced });
        if self.copies.last().is_none_or(|copy| deeds >= copy.deeds + self.stride) {
            self.copies.push(Copy { deeds, kernel: self.now.kernel.clone() });
        }
        if self.copies.len() > COPIES_MAX {
            self.stride *= 2;
            let mut at = 0;
            self.copies.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
    }
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline::new()
    }
}

/// The number of the last line of the trace, not before `seen`.
fn last_traced(kernel: &Kernel, seen: u64) -> u64 {
    kernel.trace.after(seen).last().map_or(seen, |record| record.number)
}

impl Source for Timeline {
    fn steps(&self) -> (usize, usize) {
        (0, self.steps.len() - 1)
    }

    fn step(&mut self, number: usize) -> io::Result<Step> {
        let before = number.checked_sub(1).and_then(|before| self.steps.get(before)).map_or(0, |step| step.traced);
        let trace = tree::trace_after(self.kernel_at(number)?, before).0;
        let Taken { line, answer, .. } = &self.steps[number];
        Ok(Step { line: line.clone(), answer: answer.clone(), trace: if number == 0 { String::new() } else { trace } })
    }

    fn tree(&mut self, number: usize) -> io::Result<String> {
        let kernel = self.kernel_at(number)?;
        let init = kernel.init.task;
        let read = || {
            let node = tree::resolve(kernel, init, View::Caller, b"kernel/tree.json", true)?;
            tree::read(kernel, Viewer(init), node)
        };
        let text = read().map_err(|error: Error| io::Error::other(error.to_string()))?;
        String::from_utf8(text).map_err(io::Error::other)
    }

    fn look(&mut self, number: usize, show: &mut dyn FnMut(&dyn Files)) -> io::Result<()> {
        show(&Bare(self.kernel_at(number)?));
        Ok(())
    }

    fn perform(&mut self, line: &str) -> Answer {
        let statement = match statement::parse(line) {
            Ok(Some(statement)) => statement,
            Ok(None) => return Answer::ok(b""),
            Err(error) => return error.into(),
        };
        let before = self.now.deeds.len();
        let answer = self.execute(&statement);
        if self.now.deeds.len() > before {
            self.note(line.to_owned(), answer.clone());
        }
        answer
    }

    fn lesson(&self) -> Option<&Lesson> {
        self.lesson.as_ref()
    }

    fn advance(&mut self) -> Option<Answer> {
        let Next { text, statements } = self.lesson.as_mut()?.next(self.steps.len())?;
        let mut answer = Answer::ok(b"");
        for statement in &statements {
            answer = self.execute(statement);
            if !answer.is_ok {
                break;
            }
        }
        self.note(text, answer.clone());
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn text(kernel: &Kernel) -> String {
        let mut text = String::new();
        write!(text, "{kernel:?}").unwrap();
        text
    }

    #[test]
    fn every_moment_is_as_it_was() {
        let mut line = Timeline::new();
        let mut moments = vec![text(&line.now.kernel)];
        for number in 0..STRIDE * 3 + 5 {
            let call =
                ["1 clone net", "1 clone", "1 sethostname x$", "1 unshare uts", "A = 1 clone", "$A exit 1"][number % 6];
            line.perform(&call.replace('$', &number.to_string()).replace(&format!("{number}A"), "$A"));
            moments.push(text(&line.now.kernel));
        }
        assert_eq!(line.steps.len(), moments.len());
        let order = (0..moments.len()).chain((0..moments.len()).rev()).chain([40, 3, 99, 41]);
        for number in order {
            assert_eq!(text(line.kernel_at(number).unwrap()), moments[number], "step {number}");
        }
        assert!(line.kernel_at(line.steps.len()).is_err());
    }

    #[test]
    fn a_step_has_its_line_its_answer_and_its_trace() {
        let mut line = Timeline::new();
        assert!(line.perform("1 clone net").is_ok);
        let refused = line.perform("1 setns fd:7");
        assert!(!refused.is_ok && refused.text.starts_with("EBADF: "), "{refused:?}");
        assert!(!line.perform("1 frob").is_ok && line.perform("# nothing").is_ok);
        assert_eq!(line.steps(), (0, 2), "what is no call is no step");
        let first = line.step(1).unwrap();
        assert_eq!((first.line.as_str(), first.answer), ("1 clone net", Some(Answer::ok(b"2"))));
        assert!(first.trace.contains("clone(CLONE_NEWNET)") && !first.trace.contains("setns"), "{}", first.trace);
        assert!(line.step(2).unwrap().trace.contains("setns = EBADF"));
        assert!(
            !line.tree(0).unwrap().contains("net:[4026532177]") && line.tree(1).unwrap().contains("net:[4026532177]")
        );
    }

    #[test]
    fn copies_are_few_however_long_it_goes_on() {
        let mut line = Timeline::new();
        for _ in 0..STRIDE * COPIES_MAX * 3 {
            line.perform("1 getsid 1");
        }
        assert!(line.copies.len() <= COPIES_MAX && line.copies[0].deeds == 0, "{}", line.copies.len());
        assert!(line.kernel_at(STRIDE * COPIES_MAX + 7).is_ok());
    }
}
