//! Runs cases and boot files.

use std::fmt;
use std::path::Path;

use super::file::{Case, FileError, Lines};
use super::statement::Statement;
use super::{Failure, Machine, Session};
use crate::errno::{Errno, Error};

/// How a case went.
#[derive(Debug)]
pub enum Outcome {
    Passed,
    /// The lab that runs it has no such call (ENOSYS).
    NotHere,
    /// What to tell: place, case, line, what was expected and what came. The lines after it were not run.
    Failed(String),
}

/// Counts of outcomes; its text is the last line of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub passed: usize,
    pub failed: usize,
}

impl Summary {
    pub fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::NotHere => {}
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs a case on a freshly booted lab, up to its first line that fails.
pub fn run_case(lab: &mut impl Machine, case: &Case) -> Outcome {
    let mut session = Session::default();
    for line in &case.lines {
        match session.execute(lab, &line.statement) {
            Ok(_) => {}
            Err(Failure { got: Err(Error { errno: Errno::ENOSYS, .. }), .. }) => return Outcome::NotHere,
            Err(failure) => {
                return Outcome::Failed(format!("{}: {}\n  {}\n  {failure}", line.place, case.name, line.text));
            }
        }
    }
    Outcome::Passed
}

/// Runs the lines of a file, which has no cases, on the lab as it is. Each runs as soon as it is read: a file of millions of
/// lines takes no memory.
///
/// # Errors
/// The file cannot be read or has cases, or a line failed; the reason says what came. The lines before have been run.
pub fn run_boot_file(lab: &mut impl Machine, path: &Path) -> Result<(), FileError> {
    run_file(&mut Session::default(), lab, path)
}

/// The same, by an interpreter that keeps the names of the file.
///
/// # Errors
/// As [`run_boot_file`].
pub fn run_file(session: &mut Session, lab: &mut impl Machine, path: &Path) -> Result<(), FileError> {
    let mut lines = Lines::of(path)?;
    while let Some(line) = lines.next().transpose()? {
        if let Statement::Case(_) = line.statement {
            return Err(FileError::at(&line.place, "case is for case files: nslab run executes those".to_owned()));
        }
        while let Some((after, path)) = lines.next_open() {
            session.open(lab, after, path);
        }
        lab.repeats(lines.is_journal());
        session.execute(lab, &line.statement).map_err(|failure| FileError::at(&line.place, failure.to_string()))?;
    }
    lab.repeats(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::file::load;
    use super::super::testing::FakeLab;
    use super::*;

    fn with_file<T>(text: &str, run: impl FnOnce(&Path) -> T) -> T {
        let file = tempfile::Builder::new().suffix(".lab").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        run(file.path())
    }

    /// Failures, the summary, and the calls made of the lab of the last case.
    fn run(text: &str) -> (Vec<String>, Summary, Vec<String>) {
        let (mut failures, mut summary, mut calls) = (Vec::new(), Summary::default(), Vec::new());
        for case in with_file(text, |path| load(path).unwrap()) {
            let mut lab = FakeLab::default();
            let outcome = run_case(&mut lab, &case);
            calls = lab.calls;
            summary.add(&outcome);
            if let Outcome::Failed(message) = outcome {
                failures.push(message);
            }
        }
        (failures, summary, calls)
    }

    #[test]
    fn each_case_starts_with_no_names() {
        let (failures, summary, _) = run("case a\nA = 1 clone\ncase b\n= 2 1 clone\ncase c\n$A clone\n");
        assert_eq!(summary, Summary { passed: 2, failed: 1 });
        assert!(failures[0].ends_with(".lab:6: c\n  $A clone\n  expected success, got EINVAL: no value is called A"));
    }

    #[test]
    fn a_case_ends_at_its_first_failure() {
        let (failures, _, calls) = run("case a\n  ! ESRCH 1 kill 2 0 # why\n1 clone\n");
        assert_eq!(calls.len(), 1);
        assert!(failures[0].ends_with(":2: a\n  ! ESRCH 1 kill 2 0 # why\n  expected ESRCH, got EPERM: refused"));
    }

    #[test]
    fn a_boot_file_runs_on_the_lab_as_it_is_and_has_no_cases() {
        let mut lab = FakeLab::default();
        with_file("A = 1 clone\n$A clone\n", |path| run_boot_file(&mut lab, path)).unwrap();
        assert_eq!(lab.calls.len(), 2);
        let error = with_file("1 clone\ncase x\n", |path| run_boot_file(&mut lab, path)).unwrap_err();
        assert!(error.to_string().ends_with(".lab:2: case is for case files: nslab run executes those"));
        let error = with_file("\n1 kill 2 0\n", |path| run_boot_file(&mut lab, path)).unwrap_err();
        assert!(error.to_string().ends_with(".lab:2: expected success, got EPERM: refused"), "{error}");
    }
}
