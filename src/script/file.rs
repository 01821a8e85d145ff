//! Script files: their lines, what they include, and the cases they consist of.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::statement::{self, Statement};
use crate::errno::describe;
use crate::journal;

/// One story on one freshly booted lab.
#[derive(Debug)]
pub struct Case {
    /// After `case`; of lines before the first `case` the file's name.
    pub name: String,
    /// The line that says `case`.
    pub start: Option<Place>,
    pub lines: Vec<Line>,
}

/// A statement and where it stands.
#[derive(Debug)]
pub struct Line {
    pub place: Place,
    /// As written.
    pub text: String,
    pub statement: Statement,
}

/// A line of a file, from 1.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: Rc<Path>,
    pub line: usize,
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct FileError {
    /// The file, and the line if it is about one: `FILE` or `FILE:LINE`.
    pub place: String,
    pub reason: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for FileError {}

/// Reads the cases of a file. Lines before the first `case` are a case of their own, named by the file, as are all
/// lines of a file without any; `include FILE` stands for the lines of that file.
///
/// # Errors
/// A file that cannot be read, a line that is not of the language, a file that includes itself.
pub fn load(path: &Path) -> Result<Vec<Case>, FileError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut loader = Loader { cases: vec![Case { name, start: None, lines: Vec::new() }], open: Vec::new() };
    let text = loader.open(path).map_err(|reason| FileError { place: path.display().to_string(), reason })?;
    loader.file(path, &text)?;
    let mut cases = loader.cases;
    if cases.len() > 1 && cases[0].lines.is_empty() {
        cases.remove(0);
    }
    Ok(cases)
}

/// Why a file cannot be read, and what to do.
fn no_script(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "not UTF-8 text: a script is lines such as `A = 1 clone newnet`".to_owned(),
        _ => format!("{}: name a script, such as fixtures/docker.lab", describe(error)),
    }
}

/// A file without what is torn at the end of a journal.
fn whole(path: &Path, mut text: Vec<u8>) -> Result<Vec<u8>, String> {
    if journal::is_journal(&text) {
        let whole = journal::whole(&text).map_err(journal::damaged)?;
        if whole.is_torn {
            eprintln!("nslab: {}: line {} is torn and left out", path.display(), whole.lines + 1);
        }
        text.truncate(whole.len);
    }
    Ok(text)
}

struct Loader {
    cases: Vec<Case>,
    /// The files being read, outermost first.
    open: Vec<PathBuf>,
}

impl Loader {
    /// Reads a file, which stays on the list of open ones until [`Loader::file`] is through with it.
    fn open(&mut self, path: &Path) -> Result<String, String> {
        let real = path.canonicalize().map_err(|error| no_script(&error))?;
        if self.open.contains(&real) {
            return Err("the file includes itself".to_owned());
        }
        let text = std::fs::read(&real).map_err(|error| no_script(&error))?;
        let text = String::from_utf8(whole(path, text)?).map_err(|_| no_script(&io::ErrorKind::InvalidData.into()))?;
        self.open.push(real);
        Ok(text)
    }

    fn file(&mut self, path: &Path, text: &str) -> Result<(), FileError> {
        let file: Rc<Path> = path.into();
        for (line, text) in (1..).zip(text.lines()) {
            self.line(Place { file: Rc::clone(&file), line }, text)?;
        }
        self.open.pop();
        Ok(())
    }

    fn line(&mut self, place: Place, text: &str) -> Result<(), FileError> {
        let at_place = |reason| FileError { place: place.to_string(), reason };
        match statement::parse(text).map_err(|error| at_place(error.reason()))? {
            None => {}
            Some(Statement::Case(name)) => self.cases.push(Case { name, start: Some(place), lines: Vec::new() }),
            Some(Statement::Include(name)) => {
                let path = place.file.with_file_name(&name);
                let included = self.open(&path).map_err(|reason| at_place(format!("include {name}: {reason}")))?;
                self.file(&path, &included)?;
            }
            Some(statement) => {
                let case = self.cases.last_mut().expect("a loader starts with a case");
                case.lines.push(Line { place, text: text.trim().to_owned(), statement });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files into a new directory and loads the first.
    fn load_files(files: &[(&str, &str)]) -> Result<Vec<Case>, FileError> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        load(&dir.path().join(files[0].0)).map_err(|error| FileError {
            place: error.place.replace(&format!("{}/", dir.path().display()), ""),
            ..error
        })
    }

    fn shape(cases: &[Case]) -> Vec<(&str, usize)> {
        cases.iter().map(|case| (case.name.as_str(), case.lines.len())).collect()
    }

    fn error(files: &[(&str, &str)]) -> String {
        load_files(files).unwrap_err().to_string()
    }

    #[test]
    fn a_file_without_cases_is_one_case_named_by_the_file() {
        assert_eq!(shape(&load_files(&[("a.lab", "1 clone\n\n# x\n1 clone")]).unwrap()), [("a.lab", 2)]);
        assert_eq!(shape(&load_files(&[("a.lab", "")]).unwrap()), [("a.lab", 0)]);
    }

    #[test]
    fn cases_begin_at_their_line() {
        let cases = load_files(&[("a.lab", "# x\ncase b\n1 clone\ncase c\n")]).unwrap();
        assert_eq!(shape(&cases), [("b", 1), ("c", 0)]);
        let cases = load_files(&[("a.lab", "1 clone\ncase b\n")]).unwrap();
        assert_eq!(shape(&cases), [("a.lab", 1), ("b", 0)]);
    }

    #[test]
    fn includes_are_relative_to_the_file_that_has_them() {
        let files = [("a.lab", "include d/b.lab\n1 clone"), ("d/b.lab", "include c.lab"), ("d/c.lab", "\n1 setsid")];
        let cases = load_files(&files).unwrap();
        let places: Vec<_> = cases[0].lines.iter().map(|line| line.place.to_string()).collect();
        assert!(places[0].ends_with("d/c.lab:2") && places[1].ends_with("a.lab:2"), "{places:?}");
    }

    #[test]
    fn a_file_may_be_included_twice_but_not_by_itself() {
        let files = [("a.lab", "include b.lab\ninclude b.lab"), ("b.lab", "1 clone")];
        assert_eq!(shape(&load_files(&files).unwrap()), [("a.lab", 2)]);
        let files = [("a.lab", "include b.lab"), ("b.lab", "include a.lab")];
        assert_eq!(error(&files), "b.lab:1: include a.lab: the file includes itself");
    }

    #[test]
    fn errors_name_file_and_line() {
        assert_eq!(error(&[("a.lab", "1 clone\n1 frob")]), "a.lab:2: there is no verb frob");
        assert_eq!(
            error(&[("a.lab", "include b.lab"), ("b.lab", "1 \"")]),
            "b.lab:1: column 3: the quote is not closed"
        );
        let error = error(&[("a.lab", "\ninclude b.lab")]);
        assert!(error.starts_with("a.lab:2: include b.lab: No such file"), "{error}");
    }
}
