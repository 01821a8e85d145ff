//! Script files: their lines, what they include, and the cases they consist of.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
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

impl FileError {
    /// About a line.
    pub fn at(place: &Place, reason: String) -> FileError {
        FileError { place: place.to_string(), reason }
    }
}

/// How deep files may include files.
pub const DEPTH_MAX: usize = 64;
/// The longest line, in bytes. One of a journal may be longer, as long as a journal: what was written is quoted there.
pub const LINE_MAX: usize = 1 << 20;
/// Lines that a script may have, those of included files each time they are included.
pub const LINES_MAX: usize = 1 << 23;
/// Memory that the lines of a script take which is read as a whole, in bytes.
pub const BYTES_MAX: usize = 1 << 30;

/// Reads the cases of a file. Lines before the first `case` are a case of their own, named by the file, as are all
/// lines of a file without any; `include FILE` stands for the lines of that file.
///
/// # Errors
/// A file that cannot be read, a line that is not of the language, a file that includes itself, more than one of the
/// limits above.
pub fn load(path: &Path) -> Result<Vec<Case>, FileError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut cases = vec![Case { name, start: None, lines: Vec::new() }];
    let mut left = BYTES_MAX;
    for line in Lines::of(path)? {
        let line = line?;
        // The text is kept as it is written, and in the words of the statement.
        let bytes = size_of::<Line>() + 2 * line.text.len();
        let Some(rest) = left.checked_sub(bytes) else {
            let reason = format!("the script takes more than {BYTES_MAX} bytes of memory, included lines counted");
            return Err(FileError::at(&line.place, reason));
        };
        left = rest;
        match line.statement {
            Statement::Case(name) => cases.push(Case { name, start: Some(line.place), lines: Vec::new() }),
            _ => cases.last_mut().expect("there is a case from the start").lines.push(line),
        }
    }
    if cases.len() > 1 && cases[0].lines.is_empty() {
        cases.remove(0);
    }
    Ok(cases)
}

/// Why a file cannot be read, and what to do.
fn no_script(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "not UTF-8 text: a script is lines such as `A = 1 clone newnet`".to_owned(),
        io::ErrorKind::PermissionDenied => format!("{}: it is somebody else's, or in his directory", describe(error)),
        _ => format!("{}: name a script, such as fixtures/docker.lab", describe(error)),
    }
}

/// How many bytes of a file are not torn off at the end of a journal, and the files that this writes to later; of other
/// files all, and none.
fn whole(path: &Path, reader: &mut impl BufRead) -> Result<(u64, Opens), String> {
    if !journal::is_journal(reader.fill_buf().map_err(|error| no_script(&error))?) {
        return Ok((u64::MAX, Opens::new()));
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| no_script(&error))?;
    file.take(journal::LEN_MAX + 1).read_to_end(&mut text).map_err(|error| no_script(&error))?;
    if text.len() as u64 > journal::LEN_MAX {
        return Err(format!("a journal has no more than {} bytes", journal::LEN_MAX));
    }
    let whole = journal::whole(&text).map_err(journal::damaged)?;
    if whole.is_torn {
        eprintln!("nslab: {}: line {} is torn and left out", path.display(), whole.lines + 1);
    }
    Ok((whole.len as u64, opens(&text[..whole.len])))
}

/// The files that a journal writes to some lines after they were opened. A line that is wrong is found when it is read.
fn opens(text: &[u8]) -> Opens {
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let marked = lines.filter(|line| line.contains(" opened="));
    marked.filter_map(|line| statement::parse(line).ok().flatten()?.opened()).collect()
}

/// Files to open: after which line, and the path.
type Opens = BTreeSet<(u64, Vec<u8>)>;

/// The statements of a file one by one, those of included files in the place of `include`.
#[derive(Debug)]
pub struct Lines {
    /// The files being read, outermost first.
    open: Vec<OpenFile>,
    /// How many lines may still be read.
    left: usize,
}

#[derive(Debug)]
struct OpenFile {
    /// As it was named.
    path: Rc<Path>,
    /// Where it is, whatever its name.
    real: PathBuf,
    reader: Take<BufReader<File>>,
    /// Lines read of it.
    line: usize,
    /// What has to be opened before later ones of its lines.
    opens: Opens,
    /// Its lines repeat what was done to a lab.
    is_journal: bool,
}

impl Lines {
    /// # Errors
    /// The file cannot be read.
    pub fn of(path: &Path) -> Result<Lines, FileError> {
        let mut lines = Lines { open: Vec::new(), left: LINES_MAX };
        lines.open(path).map_err(|reason| FileError { place: path.display().to_string(), reason })?;
        Ok(lines)
    }

    fn open(&mut self, path: &Path) -> Result<(), String> {
        let real = path.canonicalize().map_err(|error| no_script(&error))?;
        if self.open.iter().any(|open| open.real == real) {
            return Err("the file includes itself".to_owned());
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("files include files more than {DEPTH_MAX} deep"));
        }
        let file = File::open(&real).map_err(|error| no_script(&error))?;
        let mut reader = BufReader::new(file);
        let (length, opens) = whole(path, &mut reader)?;
        let is_journal = length != u64::MAX;
        self.open.push(OpenFile { path: path.into(), real, reader: reader.take(length), line: 0, opens, is_journal });
        Ok(())
    }

    /// Whether the line read last is one of a journal.
    pub fn is_journal(&self) -> bool {
        self.open.last().is_some_and(|file| file.is_journal)
    }

    /// A file that has to be opened before the line read last: after which line of the journal it was, and its path.
    pub fn next_open(&mut self) -> Option<(u64, Vec<u8>)> {
        let file = self.open.last_mut()?;
        let is_due = file.opens.first().is_some_and(|(after, _)| *after < file.line as u64);
        if is_due { file.opens.pop_first() } else { None }
    }

    /// The next line that says something, not an `include`; `None` at the end.
    fn next_line(&mut self) -> Result<Option<Line>, FileError> {
        while let Some(file) = self.open.last_mut() {
            let place = Place { file: Rc::clone(&file.path), line: file.line + 1 };
            let at_place = |reason| FileError::at(&place, reason);
            let Some(text) = file.next_line().map_err(at_place)? else {
                self.open.pop();
                continue;
            };
            let Some(left) = self.left.checked_sub(1) else {
                return Err(at_place(format!("the script has more than {LINES_MAX} lines, included ones counted")));
            };
            self.left = left;
            match statement::parse(&text).map_err(|error| at_place(error.reason()))? {
                None => {}
                Some(Statement::Include(name)) => {
                    let path = place.file.with_file_name(&name);
                    self.open(&path).map_err(|reason| FileError::at(&place, format!("include {name}: {reason}")))?;
                }
                Some(statement) => return Ok(Some(Line { place, text: trimmed(text), statement })),
            }
        }
        Ok(None)
    }
}

impl Iterator for Lines {
    type Item = Result<Line, FileError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_line();
        if next.is_err() {
            self.open.clear();
        }
        next.transpose()
    }
}

impl OpenFile {
    /// The next line without its end; `None` at the end of the file.
    fn next_line(&mut self) -> Result<Option<String>, String> {
        let mut bytes = Vec::new();
        let most = if self.is_journal { journal::LEN_MAX } else { LINE_MAX as u64 };
        let read =
            self.reader.by_ref().take(most + 1).read_until(b'\n', &mut bytes).map_err(|error| no_script(&error))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() as u64 > most {
            return Err(format!("the line has more than {most} bytes"));
        }
        String::from_utf8(bytes).map(Some).map_err(|_| no_script(&io::ErrorKind::InvalidData.into()))
    }
}

/// The text without the blanks around it; most has none and stays where it is.
fn trimmed(text: String) -> String {
    let inner = text.trim();
    if inner.len() == text.len() { text } else { inner.to_owned() }
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
    fn includes_end_at_a_depth_and_a_script_at_its_limits() {
        let names: Vec<(String, String)> =
            (0..=DEPTH_MAX).map(|n| (format!("{n}.lab"), format!("include {}.lab", n + 1))).collect();
        let mut files: Vec<(&str, &str)> = names.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(error(&files), "63.lab:1: include 64.lab: files include files more than 64 deep");
        files[DEPTH_MAX - 1].1 = "1 clone";
        assert_eq!(shape(&load_files(&files).unwrap()), [("0.lab", 1)]);
        let long = format!("1 setsid #{}", "x".repeat(LINE_MAX - 10));
        assert_eq!(shape(&load_files(&[("a.lab", &long)]).unwrap()), [("a.lab", 1)]);
        assert_eq!(error(&[("a.lab", &format!("1 clone\n{long}x"))]), "a.lab:2: the line has more than 1048576 bytes");
    }

    #[test]
    fn a_script_ends_at_its_last_line_however_includes_multiply() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..20 {
            std::fs::write(dir.path().join(format!("{n}.lab")), format!("include {}.lab\n", n + 1).repeat(4)).unwrap();
        }
        std::fs::write(dir.path().join("20.lab"), "1 setsid\n").unwrap();
        let mut lines = Lines::of(&dir.path().join("0.lab")).unwrap();
        lines.left = 1000;
        let last = lines.by_ref().last().unwrap().unwrap_err().to_string();
        assert!(last.ends_with(": the script has more than 8388608 lines, included ones counted"), "{last}");
        assert!(lines.next().is_none());
    }

    #[test]
    fn a_script_ends_at_its_memory_however_few_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.lab"), dir.path().join("b.lab"));
        std::fs::write(&a, "include b.lab\n".repeat(1000)).unwrap();
        std::fs::write(&b, format!("1 setsid #{}\n", "x".repeat(LINE_MAX - 10))).unwrap();
        let error = load(&a).unwrap_err().to_string();
        assert!(
            error.ends_with("b.lab:1: the script takes more than 1073741824 bytes of memory, included lines counted"),
            "{error}"
        );
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
