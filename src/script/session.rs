//! Runs lines one by one and keeps the names they make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::bytes::Regex;

use super::statement::{self, CallLine, Expect, Relation, SetupLine, Statement};
use super::{Call, Machine, Opened, Setup, without_newline};
use crate::control::args::Args;
use crate::control::lex::{Template, Word, quote};
use crate::errno::{Errno, Error, Result};
use crate::{bail, err};

/// An interpreter: the values kept so far. `ctl/batch` has one per open file.
#[derive(Debug, Default)]
pub struct Session {
    values: BTreeMap<String, Vec<u8>>,
    /// Something has been said of the lab or asked of it, besides how large it may become.
    has_begun: bool,
    /// Bytes of the names and their values.
    kept: usize,
    /// Files that later lines of a journal write to, by the line they were opened after and by path.
    opened: BTreeMap<(u64, Vec<u8>), Opened>,
    /// Lines of batches that have succeeded.
    lines: u64,
}

/// Bytes that all names of a script and their values may have.
pub const VALUES_MAX: usize = 1 << 26;

/// Why a script stops at a line.
#[derive(Debug)]
pub struct Failure {
    pub expected: String,
    pub got: Result<Vec<u8>>,
}

impl Failure {
    fn unexpected(error: Error) -> Failure {
        Failure { expected: SUCCESS.to_owned(), got: Err(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got ", self.expected)?;
        match &self.got {
            Ok(text) => f.write_str(&quote(text)),
            Err(error) => write!(f, "{error}"),
        }
    }
}

impl Failure {
    /// A call's own errno, EBADMSG where a call succeeded but not as expected; the reason says in which line.
    fn at(self, line: u64) -> Error {
        let is_plain = self.expected == SUCCESS;
        match &self.got {
            Err(error) if is_plain => error.clone().told("line {}: {}", vec![line.into(), error.reason().into()]),
            Err(error) => error.clone().told("line {}: {}", vec![line.into(), self.to_string().into()]),
            Ok(_) => err!(EBADMSG, "line {}: {}", line, self.to_string()),
        }
    }
}

/// A line of a script that failed.
#[derive(Debug)]
pub struct ScriptError {
    /// From 1; the lines of all scripts of a session are counted on.
    pub line: u64,
    /// As written.
    pub text: String,
    pub failure: Failure,
}

impl ScriptError {
    /// What the call gave; `None`: it succeeded, but otherwise than expected.
    pub fn errno(&self) -> Option<Errno> {
        self.failure.got.as_ref().err().map(|error| error.errno)
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: ", self.line, self.text)?;
        match &self.failure {
            Failure { expected, got: Err(error) } if expected == SUCCESS => write!(f, "{error}"),
            failure => write!(f, "{failure}"),
        }
    }
}

impl std::error::Error for ScriptError {}

/// What is expected of a line that says nothing about it.
const SUCCESS: &str = "success";

impl Session {
    /// Executes the lines of one write to `ctl/batch` in order, up to the first that fails. The number is of the bytes
    /// of those that succeeded; the result is that of the last call that succeeded. A last line without newline counts
    /// too.
    pub fn batch(&mut self, lab: &mut impl Machine, bytes: &[u8]) -> (usize, Result<Vec<u8>>) {
        let (mut done, mut last) = (0, Vec::new());
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match self.line(lab, without_newline(line)) {
                Ok(result) => last = result.unwrap_or(last),
                Err(failure) => return (done, Err(failure.at(self.lines + 1))),
            }
            self.lines += 1;
            done += line.len();
        }
        (done, Ok(last))
    }

    /// Executes the lines of a text.
    ///
    /// # Errors
    /// One fails; those before it have been executed.
    pub fn script(&mut self, lab: &mut impl Machine, text: &str) -> std::result::Result<(), ScriptError> {
        for text in text.lines() {
            if let Err(failure) = self.line(lab, text.as_bytes()) {
                return Err(ScriptError { line: self.lines + 1, text: text.trim().to_owned(), failure });
            }
            self.lines += 1;
        }
        Ok(())
    }

    /// What is kept by a name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).map(Vec::as_slice)
    }

    /// Executes one line without its newline. `None`: it has no result, because it says nothing, compares values, or
    /// expects a call to fail.
    ///
    /// # Errors
    /// As [`Session::execute`]; EINVAL: it is no line of the language.
    fn line(&mut self, lab: &mut impl Machine, line: &[u8]) -> std::result::Result<Option<Vec<u8>>, Failure> {
        let line = std::str::from_utf8(line).map_err(|_| err!(EINVAL, "the line is not UTF-8"));
        let Some(statement) = line.and_then(statement::parse).map_err(Failure::unexpected)? else { return Ok(None) };
        let result = self.execute(lab, &statement)?;
        Ok(has_result(&statement).then_some(result))
    }

    /// Executes a statement and gives its result: of a comparison nothing, of a call that failed as expected its error.
    ///
    /// # Errors
    /// Something else came than was expected.
    pub fn execute(&mut self, lab: &mut impl Machine, statement: &Statement) -> std::result::Result<Vec<u8>, Failure> {
        let is_first = !self.has_begun;
        self.has_begun |= begins(statement);
        match statement {
            Statement::Call(line) => self.call(lab, line),
            Statement::Setup(line) => self.set(lab, line, is_first),
            Statement::Compare(relation, values) => self.compare(*relation, values).map(|()| Vec::new()),
            Statement::Case(_) | Statement::Include(_) => {
                Err(Failure::unexpected(err!(EINVAL, "case and include are for files only")))
            }
        }
    }

    fn call(&mut self, lab: &mut impl Machine, line: &CallLine) -> std::result::Result<Vec<u8>, Failure> {
        let wanted = self.wanted(&line.expect).map_err(Failure::unexpected)?;
        let (pid, words) = self.words(line).map_err(Failure::unexpected)?;
        let got = Call::new(line.verb, words).and_then(|call| lab.call(pid, &call));
        let result = wanted.check(got)?;
        if let Some(name) = &line.name {
            self.keep(name, without_newline(&result)).map_err(Failure::unexpected)?;
        }
        Ok(result)
    }

    fn keep(&mut self, name: &str, value: &[u8]) -> Result<()> {
        let old = self.values.get(name).map_or(0, |old| name.len() + old.len());
        let kept = self.kept - old + name.len() + value.len();
        if kept > VALUES_MAX {
            bail!(ENOMEM, "the names of the script would keep {} bytes, at most {} are possible", kept, VALUES_MAX);
        }
        self.kept = kept;
        self.values.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn set(&self, lab: &mut impl Machine, line: &SetupLine, is_first: bool) -> std::result::Result<Vec<u8>, Failure> {
        let wanted = self.wanted(&line.expect).map_err(Failure::unexpected)?;
        if line.name == "boot" && !is_first {
            return wanted.check(Err(err!(EINVAL, "boot is the first statement of a file")));
        }
        let words: Result<Vec<_>> = line.args.iter().map(|word| self.expand(word)).collect();
        let mut setup = match words.and_then(|words| Setup::new(line.name, &words)) {
            Ok(setup) => setup,
            Err(error) => return wanted.check(Err(error)),
        };
        if let Setup::Write { path, opened: Some(opened), .. } = &mut setup
            && let Some(found) = self.opened.get(&(opened.line, path.clone()))
        {
            *opened = found.clone();
        }
        wanted.check(lab.set(&setup))
    }

    /// Opens a file after a line of a journal, as the host's program did that writes to it later.
    pub fn open(&mut self, lab: &mut impl Machine, line: u64, path: Vec<u8>) {
        // One that cannot be opened is missing when it is written to.
        if let Ok(opened) = lab.open(&path) {
            self.opened.insert((line, path), opened);
        }
    }

    fn words(&self, line: &CallLine) -> Result<(i32, Vec<Word>)> {
        let pid = [self.expand(&line.pid)?];
        let words = line.args.iter().map(|word| self.expand(word)).collect::<Result<_>>()?;
        Ok((Args::new(&pid).number("PID")?, words))
    }

    fn expand(&self, word: &Template) -> Result<Word> {
        word.expand(|name| self.values.get(name).cloned())
    }

    fn wanted(&self, expect: &Expect) -> Result<Wanted> {
        Ok(match expect {
            Expect::Success => Wanted::Success,
            Expect::Errno(errno) => Wanted::Errno(*errno),
            Expect::Text(word) => Wanted::Text(self.expand(word)?.bytes),
            Expect::Match(word) => Wanted::Match(self.regex(word)?),
        })
    }

    /// A regular expression in which values match themselves.
    fn regex(&self, word: &Template) -> Result<Regex> {
        let escaped = |value: &Vec<u8>| regex::escape(&String::from_utf8_lossy(value)).into_bytes();
        let pattern = word.expand(|name| self.values.get(name).map(escaped))?.bytes;
        let pattern = String::from_utf8(pattern).map_err(|_| err!(EINVAL, "the regular expression is not UTF-8"))?;
        Regex::new(&pattern).map_err(|_| err!(EINVAL, "bad regular expression {}", quote(pattern.as_bytes())))
    }

    fn compare(&self, relation: Relation, words: &[Template]) -> std::result::Result<(), Failure> {
        let values = words.iter().map(|word| self.expand(word).map(|word| word.bytes)).collect::<Result<Vec<_>>>();
        let values = values.map_err(Failure::unexpected)?;
        let expected = match relation {
            Relation::Same => "equal values",
            Relation::Differ => "different values",
        };
        let distinct = values.iter().collect::<BTreeSet<_>>().len();
        let holds = match relation {
            Relation::Same => distinct == 1,
            Relation::Differ => distinct == values.len(),
        };
        if !holds {
            return Err(Failure { expected: expected.to_owned(), got: Ok(values.join(&b' ')) });
        }
        Ok(())
    }
}

/// Whether nothing after this statement is the first of a file: a journal may say how large the lab may become before.
fn begins(statement: &Statement) -> bool {
    !matches!(statement, Statement::Setup(SetupLine { name: "limits", .. }))
}

/// Whether a statement that went as expected has a result to show: a refusal that was expected is none.
fn has_result(statement: &Statement) -> bool {
    match statement {
        Statement::Call(CallLine { expect, .. }) | Statement::Setup(SetupLine { expect, .. }) => {
            !matches!(expect, Expect::Errno(_))
        }
        Statement::Compare(..) | Statement::Case(_) | Statement::Include(_) => false,
    }
}

/// An [`Expect`] with values in place of names.
enum Wanted {
    Success,
    Errno(Errno),
    Text(Vec<u8>),
    Match(Regex),
}

impl Wanted {
    /// The text of a result that is as wanted.
    fn check(&self, got: Result<Vec<u8>>) -> std::result::Result<Vec<u8>, Failure> {
        match (self, got) {
            (Wanted::Success, Ok(text)) => Ok(text),
            (Wanted::Errno(errno), Err(error)) if error.errno == *errno => Ok(error.to_string().into_bytes()),
            (Wanted::Text(wanted), Ok(text)) if without_newline(wanted) == without_newline(&text) => Ok(text),
            (Wanted::Match(regex), Ok(text)) if regex.is_match(without_newline(&text)) => Ok(text),
            (_, got) => Err(Failure { expected: self.to_string(), got }),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Success => f.write_str(SUCCESS),
            Wanted::Errno(errno) => write!(f, "{errno:?}"),
            Wanted::Text(text) => f.write_str(&quote(text)),
            Wanted::Match(regex) => write!(f, "a match of {}", quote(regex.as_str().as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::FakeLab;
    use super::*;

    /// What a batch did, and what it asked of the lab.
    fn batch(text: &str) -> (usize, String, Vec<String>) {
        let mut lab = FakeLab::default();
        let (done, result) = Session::default().batch(&mut lab, text.as_bytes());
        let result = result.map_or_else(|error| error.to_string(), |text| String::from_utf8(text).unwrap());
        (done, result, lab.calls)
    }

    fn result(text: &str) -> String {
        batch(text).1
    }

    #[test]
    fn names_keep_results_without_the_final_newline() {
        let (_, result, calls) = batch("A = 1 clone\nb = $A read x\n$A write \"<$b>\" ${A}1 \"$\"\n");
        assert_eq!(calls, ["1 clone", "2 read x", "2 write \"<text of x>\" 21 \"$\""]);
        assert_eq!(result, "0");
    }

    #[test]
    fn a_batch_stops_at_the_first_line_that_fails() {
        let (done, result, calls) = batch("1 clone\n\n# x\n1 kill 2 0\n1 clone\n");
        assert_eq!((done, calls.len()), ("1 clone\n\n# x\n".len(), 2));
        assert_eq!(result, "EPERM: line 4: refused");
        assert_eq!(batch("1 kill 2 0").0, 0);
    }

    #[test]
    fn the_lines_of_all_batches_are_counted_together_and_those_that_fail_are_not() {
        let (mut lab, mut session) = (FakeLab::default(), Session::default());
        session.batch(&mut lab, b"1 clone\n# x\n").1.unwrap();
        // A writer that is told of two lines writes the third again.
        for _ in 0..2 {
            let (done, result) = session.batch(&mut lab, b"1 kill 2 0\n1 clone\n");
            assert_eq!((done, result.unwrap_err().reason()), (0, "line 3: refused".to_owned()));
        }
    }

    #[test]
    fn a_batch_gives_the_last_result_and_needs_no_final_newline() {
        assert_eq!(batch("1 clone\n1 clone"), (15, "3".into(), vec!["1 clone".into(), "1 clone".into()]));
        assert_eq!(result("1 clone\n# x\n"), "2");
        assert_eq!(result(""), "");
    }

    #[test]
    fn the_names_of_a_script_keep_so_many_bytes() {
        let (mut session, half) = (Session::default(), vec![b'x'; VALUES_MAX / 2]);
        session.keep("a", &half[1..]).unwrap();
        session.keep("a", &half[1..]).unwrap();
        session.keep("b", &half[1..]).unwrap();
        assert_eq!(session.keep("c", b"").unwrap_err().errno, Errno::ENOMEM);
        session.keep("a", b"").unwrap();
        session.keep("c", b"").unwrap();
    }

    #[test]
    fn failures_can_be_expected() {
        assert_eq!(batch("! EPERM 1 kill 2 0\n1 clone").2.len(), 2);
        assert_eq!(result("! ESRCH 1 kill 2 0"), "EPERM: line 1: expected ESRCH, got EPERM: refused");
        assert_eq!(result("! EPERM 1 clone"), "EBADMSG: line 1: expected EPERM, got 2");
    }

    #[test]
    fn a_refusal_that_was_expected_is_no_result() {
        assert_eq!(result("1 clone\n! EPERM 1 kill 2 0\nsame 1 1\n"), "2");
        assert_eq!(result("! EPERM 1 kill 2 0\n"), "");
    }

    #[test]
    fn a_name_that_keeps_nothing_fails_even_where_einval_is_expected() {
        assert_eq!(batch("! EINVAL $x clone"), (0, "EINVAL: line 1: no value is called x".into(), vec![]));
    }

    #[test]
    fn texts_are_compared_without_one_final_newline() {
        assert_eq!(result("= \"text of x\" 1 read x"), "text of x\n");
        assert_eq!(result("a = 1 read x\n= $a 1 read x"), "text of x\n");
        assert_eq!(result("= text 1 read x"), "EBADMSG: line 1: expected text, got \"text of x\\n\"");
    }

    #[test]
    fn regular_expressions_match_anywhere_and_values_match_themselves() {
        assert_eq!(result("~ \"(?m)^text of .$\" 1 read x"), "text of x\n");
        assert_eq!(
            result("a = 1 read .\n~ ^$a$ 1 read x"),
            "EBADMSG: line 2: expected a match of \"^text of \\\\.$\", got \"text of x\\n\""
        );
        assert_eq!(result("~ x$ 1 read x"), "text of x\n");
        assert_eq!(result("~ ( 1 read x"), "EINVAL: line 1: bad regular expression (");
    }

    #[test]
    fn comparisons_are_pairwise() {
        assert_eq!(result("a = 1 clone\nsame 2 $a 2\ndiffer $a 3 4"), "2");
        assert_eq!(result("differ 1 2 1"), "EBADMSG: line 1: expected different values, got \"1 2 1\"");
        assert_eq!(result("same 1 1 2"), "EBADMSG: line 1: expected equal values, got \"1 1 2\"");
    }

    #[test]
    fn lines_that_are_not_calls_are_einval() {
        for line in ["case x", "include x", "1", "x clone", "1 frob", "1 clone frob", "1 clone \0"] {
            let (done, result, calls) = batch(line);
            assert!(done == 0 && calls.is_empty() && result.starts_with("EINVAL: "), "{line}: {result}");
        }
    }
}
