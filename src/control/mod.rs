//! Layer 2: text to [`AnyCall`]; no kernel in sight. Control files, scripts, the journal and the command all use it.
//!
//! A line becomes words ([`lex`]), the verb's row in [`VERBS`] turns the words after the verb into a call.

pub mod answer;
pub mod args;
pub mod flags;
pub mod ioctl;
mod ip;
mod ipc;
mod ipc_words;
pub mod lex;
mod listing;
mod mount;
mod mqueue_words;
mod parse;
pub mod program;
pub mod siginfo;
mod signal;
pub mod target;
mod verb;
mod word;
mod words;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use args::Args;
use lex::Word;

use crate::errno::{Arg, Error, Result};
use crate::syscall::AnyCall;
use crate::{bail, err};

pub use answer::answer;
pub use signal::word as signal_word;
pub use verb::{Parse, RESOURCES, VERBS, Verb};
pub use word::seconds;
pub use words::words;

/// What may be written to a control file at once, in bytes, the final newline included.
pub const WRITE_MAX: usize = 4096;

/// The verb called `name`.
pub fn verb(name: &str) -> Option<&'static Verb> {
    static BY_NAME: LazyLock<BTreeMap<&str, &Verb>> =
        LazyLock::new(|| VERBS.iter().map(|verb| (verb.name, verb)).collect());
    BY_NAME.get(name).copied()
}

/// The verb called `name`, or why there is none.
///
/// # Errors
/// EINVAL
pub fn find_verb(name: &str) -> Result<&'static Verb> {
    match verb(name) {
        Some(verb) => Ok(verb),
        None => bail!(EINVAL, "there is no verb {}", lex::quote(name.as_bytes())),
    }
}

/// A verb's line in `usage`, without newline: its name and its arguments.
pub fn usage_line(verb: &Verb) -> String {
    format!("{} {}", verb.name, verb.usage).trim_end().to_owned()
}

/// Parses the words after a verb.
///
/// # Errors
/// EINVAL with the usage in its reason.
pub fn parse_words(verb: &Verb, words: &[Word]) -> Result<AnyCall> {
    let mut args = Args::new(words);
    verb.parse.parse(&mut args).and_then(|call| args.finish().map(|()| call)).map_err(|error| {
        let column = args.column.map_or(String::new(), |column| format!(" in column {column}"));
        with_usage(error, &column, verb)
    })
}

/// Parses what was written to a control file: one line, its newline optional; an empty one is a call without arguments.
///
/// # Errors
/// EINVAL with the usage in its reason: more than [`WRITE_MAX`] bytes, two lines, a NUL byte, text that is not UTF-8,
/// or words the verb does not know.
pub fn parse_write(verb: &Verb, bytes: &[u8]) -> Result<AnyCall> {
    parse_words(verb, &write_words(verb, bytes)?)
}

/// The words of what was written to a control file.
///
/// # Errors
/// Those of [`parse_write`] that do not depend on the verb.
pub fn write_words(verb: &Verb, bytes: &[u8]) -> Result<Vec<Word>> {
    write_line(bytes).and_then(lex::control_words).map_err(|error| with_usage(error, "", verb))
}

/// The one line of a write.
fn write_line(bytes: &[u8]) -> Result<&str> {
    if bytes.len() > WRITE_MAX {
        bail!(EINVAL, "{} bytes in one write, at most {} are allowed", bytes.len(), WRITE_MAX);
    }
    let line = std::str::from_utf8(bytes).map_err(|_| err!(EINVAL, "the line is not UTF-8"))?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    if line.contains('\n') {
        bail!(EINVAL, "two lines in one write");
    }
    Ok(line)
}

/// The same error, the place and the verb's usage added to its reason.
fn with_usage(error: Error, place: &str, verb: &Verb) -> Error {
    let args = [error.reason(), place.to_owned(), usage_line(verb)].map(Arg::from).to_vec();
    Error { check: "{}{}; usage: {}", args, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;

    fn write(name: &str, bytes: &[u8]) -> Result<AnyCall> {
        parse_write(verb(name).unwrap(), bytes)
    }

    fn reason(name: &str, bytes: &[u8]) -> String {
        write(name, bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_write_is_one_line_with_an_optional_newline() {
        assert_eq!(write("close", b"3").unwrap(), Syscall::Close { fd: 3 }.into());
        assert_eq!(write("close", b"3\n").unwrap(), Syscall::Close { fd: 3 }.into());
        assert_eq!(write("setsid", b"").unwrap(), Syscall::Setsid.into());
        assert_eq!(write("setsid", b"\n").unwrap(), Syscall::Setsid.into());
    }

    #[test]
    fn a_refused_write_says_why_and_shows_the_usage() {
        assert_eq!(reason("dup", b"3\n4\n"), "EINVAL: two lines in one write; usage: dup FD");
        assert_eq!(reason("dup", b"3\0"), "EINVAL: a NUL byte in the line (write it as \"\\0\"); usage: dup FD");
        assert_eq!(reason("dup", b"\xff"), "EINVAL: the line is not UTF-8; usage: dup FD");
        assert_eq!(reason("dup", b""), "EINVAL: FD is missing; usage: dup FD");
        assert_eq!(reason("dup", b"3 x"), "EINVAL: unexpected word x in column 3; usage: dup FD");
        assert_eq!(reason("dup", b" y"), "EINVAL: FD expected, not y in column 2; usage: dup FD");
        assert_eq!(reason("setsid", b"x"), "EINVAL: unexpected word x in column 1; usage: setsid");
    }

    #[test]
    fn a_write_has_at_most_4096_bytes() {
        let name = vec![b'x'; WRITE_MAX];
        assert_eq!(write("sethostname", &name).unwrap(), Syscall::Sethostname { name }.into());
        let reason = reason("sethostname", &[b'x'; WRITE_MAX + 1]);
        assert_eq!(reason, "EINVAL: 4097 bytes in one write, at most 4096 are allowed; usage: sethostname NAME");
    }

    #[test]
    fn there_are_no_other_verbs() {
        assert_eq!(find_verb("frob").err().unwrap().to_string(), "EINVAL: there is no verb frob");
    }

    #[test]
    fn the_example_of_every_verb_parses() {
        for verb in VERBS {
            parse_write(verb, verb.example.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", verb.name));
            assert_eq!(verb.usage, verb.usage.trim());
            // Usage, reasons and the journal have the verb's name, a trace has the call's: they are the same.
            assert_eq!(parse_write(verb, verb.example.as_bytes()).unwrap().name(), verb.name);
        }
    }

    #[test]
    fn verb_names_are_unique() {
        let names: std::collections::BTreeSet<_> = VERBS.iter().map(|verb| verb.name).collect();
        assert_eq!(names.len(), VERBS.len());
    }

    proptest::proptest! {
        #[test]
        fn no_write_panics(line in r#"([-a-z0-9=:,|\[\]/"\\]{0,12} ?){0,5}\n?"#, bytes: Vec<u8>) {
            for verb in VERBS {
                for write in [line.as_bytes(), &bytes] {
                    if let Err(error) = parse_write(verb, write) {
                        assert_eq!(error.errno, crate::errno::Errno::EINVAL);
                        assert!(!error.to_string().contains('\n'));
                    }
                }
            }
        }
    }
}
