//! One line of a script: what is asked of whom, what has to come of it, and the name that keeps the result.

use super::setup;
use crate::control::lex::{Dialect, Template, is_name, split};
use crate::control::{self};
use crate::errno::{Errno, Result, errno_from_name};
use crate::{bail, err};

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    Call(CallLine),
    Setup(SetupLine),
    /// `same A B …`, `differ A B …`
    Compare(Relation, Vec<Template>),
    /// `case NAME`
    Case(String),
    /// `include FILE`
    Include(String),
}

/// `[EXPECT] [NAME =] PID VERB ARGS`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLine {
    pub expect: Expect,
    /// The name that keeps the result.
    pub name: Option<String>,
    pub pid: Template,
    /// One of the language's.
    pub verb: &'static str,
    pub args: Vec<Template>,
}

/// `[EXPECT] mkdir|rmdir|write|tick|faults|limits|boot|become|attach ARGS`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupLine {
    pub expect: Expect,
    pub name: &'static str,
    pub args: Vec<Template>,
}

/// What a call has to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    Success,
    /// `! ERRNO`
    Errno(Errno),
    /// `= TEXT`, compared without one final newline.
    Text(Template),
    /// `~ REGEX`, matched anywhere in the result without one final newline.
    Match(Template),
}

impl Statement {
    /// Of a line that writes to a file which was opened earlier: after which line of the journal, and the path it had.
    pub fn opened(&self) -> Option<(u64, Vec<u8>)> {
        let Statement::Setup(SetupLine { name: "write", args, .. }) = self else { return None };
        let [path, opened, ..] = &args[..] else { return None };
        let line = text(opened)?.strip_prefix("opened=")?.parse().ok()?;
        Some((line, path.literal()?.to_vec()))
    }
}

/// How the values of a comparison have to relate, pairwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Same,
    Differ,
}

/// Reads one line without its newline; `None` if it is blank or a comment.
///
/// # Errors
/// EINVAL: what does not belong to the language, an unknown verb included.
pub fn parse(line: &str) -> Result<Option<Statement>> {
    let words = split(line, Dialect::Script)?;
    let Some((first, rest)) = words.split_first() else { return Ok(None) };
    let statement = match first.literal() {
        Some(b"same") => compare(Relation::Same, rest)?,
        Some(b"differ") => compare(Relation::Differ, rest)?,
        Some(b"case") => Statement::Case(only_word(rest, "case NAME")?),
        Some(b"include") => Statement::Include(only_word(rest, "include FILE")?),
        _ => call_or_setup(words)?,
    };
    Ok(Some(statement))
}

fn compare(relation: Relation, values: &[Template]) -> Result<Statement> {
    if values.len() < 2 {
        bail!(EINVAL, "a comparison wants at least two values");
    }
    Ok(Statement::Compare(relation, values.to_vec()))
}

/// The one word a line consists of, written out.
fn only_word(words: &[Template], usage: &'static str) -> Result<String> {
    let [word] = words else { bail!(EINVAL, "usage: {}", usage) };
    text(word).ok_or_else(|| err!(EINVAL, "usage: {}", usage))
}

fn call_or_setup(mut words: Vec<Template>) -> Result<Statement> {
    let expect = expectation(&mut words)?;
    let first = words.first().and_then(Template::literal);
    match first.and_then(setup::name_of) {
        Some(name) => Ok(Statement::Setup(SetupLine { expect, name, args: words.split_off(1) })),
        None => call(expect, words).map(Statement::Call),
    }
}

fn call(expect: Expect, mut words: Vec<Template>) -> Result<CallLine> {
    let name = match &words[..] {
        [name, equals, ..] if equals.literal() == Some(b"=") => Some(value_name(name)?),
        _ => None,
    };
    let mut words = words.drain(if name.is_some() { 2.. } else { 0.. });
    let (Some(pid), Some(verb)) = (words.next(), words.next()) else { bail!(EINVAL, "usage: [NAME =] PID VERB ARGS") };
    Ok(CallLine { expect, name, pid, verb: verb_name(&verb)?, args: words.collect() })
}

/// Takes what is expected off the front of a line.
fn expectation(words: &mut Vec<Template>) -> Result<Expect> {
    let expect = match &words[..] {
        [mark, errno, ..] if mark.literal() == Some(b"!") => {
            let errno = text(errno).and_then(|name| errno_from_name(&name));
            Expect::Errno(errno.ok_or_else(|| err!(EINVAL, "! wants the name of an errno"))?)
        }
        [mark, text, ..] if mark.literal() == Some(b"=") => Expect::Text(text.clone()),
        [mark, regex, ..] if mark.literal() == Some(b"~") => Expect::Match(regex.clone()),
        _ => return Ok(Expect::Success),
    };
    words.drain(..2);
    Ok(expect)
}

fn value_name(word: &Template) -> Result<String> {
    text(word).filter(|name| is_name(name)).ok_or_else(|| err!(EINVAL, "a name wants letters, digits and _"))
}

/// The verb's name: one of the language's.
fn verb_name(word: &Template) -> Result<&'static str> {
    let name = word.literal().and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(|| err!(EINVAL, "the verb has to be written out"))?;
    control::find_verb(name).map(|verb| verb.name)
}

fn text(word: &Template) -> Option<String> {
    word.literal().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_line(line: &str) -> CallLine {
        match parse(line).unwrap() {
            Some(Statement::Call(call)) => call,
            other => panic!("{other:?}"),
        }
    }

    fn reason(line: &str) -> String {
        parse(line).unwrap_err().reason()
    }

    #[test]
    fn blank_lines_and_comments_say_nothing() {
        for line in ["", "  \t", "# 1 clone", "   # x \""] {
            assert_eq!(parse(line).unwrap(), None);
        }
    }

    #[test]
    fn a_call_has_a_pid_a_verb_and_maybe_a_name() {
        let call = call_line("A = 1 clone newpid ipc");
        assert_eq!((call.name.as_deref(), call.verb, call.args.len()), (Some("A"), "clone", 2));
        assert_eq!(call.pid.literal(), Some(b"1".as_slice()));
        assert_eq!(call.expect, Expect::Success);
        assert_eq!(call_line("$A exit").name, None);
    }

    #[test]
    fn expectations_stand_in_front() {
        assert_eq!(call_line("! EPERM 1 clone").expect, Expect::Errno(Errno::EPERM));
        let call = call_line("= \"a b\" B = 1 read x");
        assert_eq!(call.name.as_deref(), Some("B"));
        assert!(matches!(call.expect, Expect::Text(word) if word.literal() == Some(b"a b")));
        assert!(matches!(call_line("~ ^[0-9]+$ 1 read x").expect, Expect::Match(_)));
    }

    #[test]
    fn comparisons_want_two_values() {
        assert!(matches!(parse("same $a $b 3").unwrap(), Some(Statement::Compare(Relation::Same, v)) if v.len() == 3));
        assert!(matches!(parse("differ a b").unwrap(), Some(Statement::Compare(Relation::Differ, _))));
        assert_eq!(reason("same $a"), "a comparison wants at least two values");
    }

    #[test]
    fn cases_and_includes_take_one_word() {
        assert_eq!(parse("case a-1").unwrap(), Some(Statement::Case("a-1".into())));
        assert_eq!(parse("include \"a b.lab\"").unwrap(), Some(Statement::Include("a b.lab".into())));
        assert_eq!(reason("case"), "usage: case NAME");
        assert_eq!(reason("include $A"), "usage: include FILE");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert_eq!(reason("1"), "usage: [NAME =] PID VERB ARGS");
        assert_eq!(reason("= x"), "usage: [NAME =] PID VERB ARGS");
        assert_eq!(reason("! EFOO 1 clone"), "! wants the name of an errno");
        assert_eq!(reason("1a = 1 clone"), "a name wants letters, digits and _");
        assert_eq!(reason("1 frob"), "there is no verb frob");
        assert_eq!(reason("1 $verb"), "the verb has to be written out");
        assert_eq!(reason("! EPERM same a b"), "there is no verb a");
    }

    #[test]
    fn verbs_not_built_yet_belong_to_the_language() {
        assert_eq!(call_line("1 mount proc proc /w").verb, "mount");
    }
}
