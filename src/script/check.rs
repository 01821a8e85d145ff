//! Statements about a mounted lab that have to hold: files of the language, of which `ctl/batch` executes the lines.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use super::file::{FileError, Line, Lines};
use super::statement::Statement;

/// The lines of a file.
#[derive(Debug)]
pub struct Check {
    lines: Vec<Line>,
}

impl Check {
    /// # Errors
    /// The file cannot be read; a line is none of the language, or `case`, which wants a lab of its own.
    pub fn load(file: &Path) -> Result<Check, FileError> {
        let lines = Lines::of(file)?.collect::<Result<Vec<_>, _>>()?;
        match lines.iter().find(|line| matches!(line.statement, Statement::Case(_))) {
            Some(line) => Err(FileError::at(&line.place, "a check is of the lab as it is and has no cases".to_owned())),
            None => Ok(Check { lines }),
        }
    }
}

/// Executes the lines on a lab, by its mount, up to the first that fails.
///
/// # Errors
/// A line fails: where it stands, and why. The lab is not there, or is another user's.
pub fn run(lab: &Path, check: &Check) -> Result<(), FileError> {
    let path = lab.join("ctl/batch");
    let open = OpenOptions::new().read(true).write(true).open(&path);
    let place = path.display().to_string();
    let mut batch = open.map_err(|error| FileError { place, reason: crate::errno::describe(&error) })?;
    for line in &check.lines {
        execute(&mut batch, &line.text).map_err(|reason| FileError::at(&line.place, reason))?;
    }
    Ok(())
}

/// A reason without the number of the line: the place tells where that stands.
fn without_number(reason: &str) -> String {
    let Some((before, after)) = reason.split_once("line ") else { return reason.to_owned() };
    match after.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(": ") {
        Some(rest) if before.is_empty() || before.ends_with(": ") => format!("{before}{rest}"),
        _ => reason.to_owned(),
    }
}

/// Executes a line; its result, or the reason why it has none.
fn execute(batch: &mut File, line: &str) -> Result<String, String> {
    let written = batch.write_all(format!("{line}\n").as_bytes());
    let mut answer = String::new();
    let read = batch.read_to_string(&mut answer);
    match (written, read) {
        (Ok(()), Ok(_)) => Ok(answer),
        (Err(error), Ok(_)) if answer.is_empty() => Err(crate::errno::describe(&error)),
        // EBADMSG is only how a write says that something else came.
        (Err(_), Ok(_)) => Err(without_number(answer.trim_end().trim_start_matches("EBADMSG: "))),
        (_, Err(error)) => Err(crate::errno::describe(&error)),
    }
}
