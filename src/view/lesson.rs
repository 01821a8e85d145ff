//! A script as a lesson: its comments are the text, its statements what is done one by one.

use std::path::Path;

use serde_json::{Value, json};

use crate::journal::is_journal;
use crate::script::file::{FileError, Lines, Place};
use crate::script::statement::{self, Statement};

/// Statements beyond which a file is no lesson but a lab to boot.
const STATEMENTS_MAX: usize = 2000;

/// A statement as written, with what stands above it.
#[derive(Debug)]
struct Part {
    /// The comments since the last statement, a paragraph each.
    text: Vec<String>,
    line: String,
    number: usize,
    /// What it comes to: of an `include` the statements of that file.
    statements: Vec<Statement>,
    /// The step in which it was done.
    step: Option<usize>,
}

/// A script, and how far it has been done.
#[derive(Debug)]
pub struct Lesson {
    name: String,
    parts: Vec<Part>,
    done: usize,
}

/// What is to be done next.
#[derive(Debug)]
pub struct Next {
    pub text: String,
    pub statements: Vec<Statement>,
}

impl Lesson {
    /// Reads a script; `None` if it is a journal, or longer than anybody would read.
    ///
    /// # Errors
    /// It cannot be read, is not of the language, or has cases.
    pub fn read(file: &Path) -> Result<Option<Lesson>, FileError> {
        let place = |number: usize| Place { file: file.into(), line: number };
        let unreadable = |reason: String| FileError { place: file.display().to_string(), reason };
        let bytes = std::fs::read(file).map_err(|error| unreadable(crate::errno::describe(&error)))?;
        if is_journal(&bytes) {
            return Ok(None);
        }
        let text = String::from_utf8(bytes).map_err(|_| unreadable("not UTF-8 text".to_owned()))?;
        let (mut parts, mut comments): (Vec<Part>, Comments) = (Vec::new(), Comments::default());
        for (number, line) in (1..).zip(text.lines()) {
            let parsed = statement::parse(line).map_err(|error| FileError::at(&place(number), error.reason()))?;
            let statements = match parsed {
                None => {
                    comments.add(line);
                    continue;
                }
                Some(Statement::Case(_)) => {
                    let reason = "case is for case files: nslab run executes those".to_owned();
                    return Err(FileError::at(&place(number), reason));
                }
                Some(Statement::Include(name)) => included(&file.with_file_name(name))?,
                Some(statement) => vec![statement],
            };
            if parts.len() >= STATEMENTS_MAX {
                return Ok(None);
            }
            parts.push(Part { text: comments.take(), line: line.trim().to_owned(), number, statements, step: None });
        }
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        Ok(Some(Lesson { name, parts, done: 0 }))
    }

    /// The next statement, which is done in this step.
    pub fn next(&mut self, step: usize) -> Option<Next> {
        let part = self.parts.get_mut(self.done)?;
        self.done += 1;
        part.step = Some(step);
        Some(Next { text: part.line.clone(), statements: part.statements.clone() })
    }

    /// How many statements are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The whole, for the page.
    pub fn json(&self) -> Value {
        let parts = self
            .parts
            .iter()
            .map(|part| json!({ "text": part.text, "line": part.line, "number": part.number, "step": part.step }));
        json!({ "name": self.name, "done": self.done, "parts": parts.collect::<Vec<_>>() })
    }
}

/// The statements of a file that another one includes.
fn included(file: &Path) -> Result<Vec<Statement>, FileError> {
    Lines::of(file)?.map(|line| line.map(|line| line.statement)).collect()
}

/// Comments as paragraphs: an empty line, or an empty comment, is between two.
#[derive(Default)]
struct Comments {
    paragraphs: Vec<String>,
    is_open: bool,
}

impl Comments {
    fn add(&mut self, line: &str) {
        let comment = line.trim().trim_start_matches('#');
        let text = comment.trim();
        // What is set in is an example, a line of its own.
        if comment.starts_with("  ") && !text.is_empty() {
            self.paragraphs.push(text.to_owned());
            self.is_open = false;
            return;
        }
        match (text.is_empty(), self.is_open) {
            (true, _) => self.is_open = false,
            (false, true) => {
                if let Some(last) = self.paragraphs.last_mut() {
                    last.push(' ');
                    last.push_str(text);
                }
            }
            (false, false) => {
                self.paragraphs.push(text.to_owned());
                self.is_open = true;
            }
        }
    }

    fn take(&mut self) -> Vec<String> {
        self.is_open = false;
        std::mem::take(&mut self.paragraphs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stand_above_the_statements_that_follow() {
        let file = tempfile::Builder::new().suffix(".lab").tempfile().unwrap();
        std::fs::write(
            file.path(),
            "# One\n# text.\n#   x\n# Two.\n1 clone\n1 clone # at the end\n\n# Three.\n1 setsid\n",
        )
        .unwrap();
        let lesson = Lesson::read(file.path()).unwrap().unwrap();
        let texts: Vec<_> = lesson.parts.iter().map(|part| (part.text.join("|"), part.number)).collect();
        assert_eq!(texts, [("One text.|x|Two.".to_owned(), 5), (String::new(), 6), ("Three.".to_owned(), 9)]);
    }

    #[test]
    fn the_scenarios_are_lessons() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let mut lesson = Lesson::read(&folder.join("docker.lab")).unwrap().unwrap();
        assert!(lesson.parts[0].text[0].starts_with("A container as Docker makes it"));
        let include = lesson.parts.iter().position(|part| part.line.starts_with("include")).unwrap();
        assert!(lesson.parts[include].statements.len() > 3);
        assert_eq!(lesson.next(1).unwrap().text, "dockerd = 1 clone");
        assert_eq!((lesson.done(), lesson.json()["done"].as_u64()), (1, Some(1)));
    }
}
