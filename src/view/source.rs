//! What the page shows, wherever it comes from.

use std::io;

use super::lesson::Lesson;
use crate::errno::Error;
use crate::record::Files;

/// What came of a call, as the page says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub is_ok: bool,
    /// The result, or errno and reason: `EPERM: CAP_SYS_ADMIN missing …`.
    pub text: String,
}

impl Answer {
    pub fn ok(text: &[u8]) -> Answer {
        Answer { is_ok: true, text: String::from_utf8_lossy(text).trim_end_matches('\n').to_owned() }
    }

    pub fn refused(text: impl Into<String>) -> Answer {
        Answer { is_ok: false, text: text.into() }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        Answer::refused(error.to_string())
    }
}

/// One step of the time line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The statement, as a script has it; empty of the first step, which is the lab as it was when the page began.
    pub line: String,
    pub answer: Option<Answer>,
    /// What the kernel did, a line for each step of it.
    pub trace: String,
}

/// A lab with its time line. Steps are numbered from 0; after step N the lab is in moment N.
pub trait Source: Send {
    /// The first step that is still known, and the last one.
    fn steps(&self) -> (usize, usize);

    /// # Errors
    /// ENOENT: there is no such step, or not any more.
    fn step(&mut self, number: usize) -> io::Result<Step>;

    /// `kernel/tree.json` of a moment.
    ///
    /// # Errors
    /// As [`Source::step`].
    fn tree(&mut self, number: usize) -> io::Result<String>;

    /// Shows the lab's files at a moment.
    ///
    /// # Errors
    /// As [`Source::step`]; EOPNOTSUPP: the files of that moment are gone, only its tree is known.
    fn look(&mut self, number: usize, show: &mut dyn FnMut(&dyn Files)) -> io::Result<()>;

    /// Executes a statement now.
    fn perform(&mut self, line: &str) -> Answer;

    /// What is told beside the lab, if anything is.
    fn lesson(&self) -> Option<&Lesson> {
        None
    }

    /// Executes the next statement of the lesson; `None`: there is no more.
    fn advance(&mut self) -> Option<Answer> {
        None
    }
}

/// No such step.
pub(super) fn no_step() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "this step is not known")
}
