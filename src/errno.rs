//! Layer 0: errors. An [`Error`] is the errno Linux gives plus the check that failed, kept as data and turned into
//! text only at the edge (control files, scripts, the command).

use std::fmt;
use std::io;
use std::panic::Location;

pub use nix::errno::Errno;

pub type Result<T> = std::result::Result<T, Error>;

/// A refused call: the errno, the check that refused it, and the place in our source that decided.
///
/// The check is a template in the field's own terms; each `{}` in it stands for the next of `args`.
#[derive(Clone, Debug)]
pub struct Error {
    pub errno: Errno,
    pub check: &'static str,
    pub args: Vec<Arg>,
    /// Where the error was made: the key for coverage of error paths.
    pub site: &'static Location<'static>,
}

/// A value named by a failed check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    Num(i64),
    Name(&'static str),
    Text(Box<str>),
    /// A namespace, shown as its link text `type:[inum]`.
    Ns(&'static str, u32),
}

/// What a system call of our own failed with, in words, without the number.
pub fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

impl Error {
    #[track_caller]
    pub fn new(errno: Errno, check: &'static str, args: Vec<Arg>) -> Error {
        Error { errno, check, args, site: Location::caller() }
    }

    /// The same refusal as procfs reports it: what ptrace rules forbid is EACCES there.
    pub fn into_eacces(self) -> Error {
        Error { errno: Errno::EACCES, ..self }
    }

    /// The same refusal in other words.
    pub fn told(self, check: &'static str, args: Vec<Arg>) -> Error {
        Error { check, args, ..self }
    }

    /// The reason without the errno: the template with its arguments filled in.
    pub fn reason(&self) -> String {
        let mut text = String::new();
        let mut args = self.args.iter();
        let mut parts = self.check.split("{}");
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            if let Some(arg) = args.next() {
                text.push_str(&arg.to_string());
            }
            text.push_str(part);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.errno, self.reason())
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arg::Num(n) => write!(f, "{n}"),
            Arg::Name(name) => f.write_str(name),
            Arg::Text(text) => f.write_str(text),
            Arg::Ns(kind, inum) => write!(f, "{kind}:[{inum}]"),
        }
    }
}

macro_rules! arg_from {
    ($($source:ty => $make:expr),* $(,)?) => {
        $(impl From<$source> for Arg {
            fn from(value: $source) -> Arg {
                $make(value)
            }
        })*
    };
}

arg_from! {
    i64 => Arg::Num,
    i32 => |n| Arg::Num(i64::from(n)),
    u32 => |n| Arg::Num(i64::from(n)),
    usize => |n| Arg::Num(i64::try_from(n).unwrap_or(i64::MAX)),
    u64 => |n| Arg::Num(i64::try_from(n).unwrap_or(i64::MAX)),
    &'static str => Arg::Name,
    String => |s: String| Arg::Text(s.into_boxed_str()),
}

/// The errno named `name` (`EPERM`), if there is one.
pub fn errno_from_name(name: &str) -> Option<Errno> {
    (1..=133).map(Errno::from_raw).find(|e| format!("{e:?}") == name)
}

/// Makes an [`Error`]: `err!(EPERM, "{} missing in {}", cap, ns)`.
#[macro_export]
macro_rules! err {
    ($errno:ident, $check:literal $(, $arg:expr)* $(,)?) => {
        $crate::errno::Error::new($crate::errno::Errno::$errno, $check, vec![$($crate::errno::Arg::from($arg)),*])
    };
}

/// Returns an [`Error`]: `bail!(EINVAL, "…")`.
#[macro_export]
macro_rules! bail {
    ($($tokens:tt)*) => {
        return Err($crate::err!($($tokens)*).into())
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_fills_the_template_in_order() {
        let error = err!(EPERM, "{} missing in {}, pid {}", "CAP_SYS_ADMIN", Arg::Ns("user", 7), 3);
        assert_eq!(error.to_string(), "EPERM: CAP_SYS_ADMIN missing in user:[7], pid 3");
    }

    #[test]
    fn names_go_both_ways() {
        assert_eq!(errno_from_name("ESRCH"), Some(Errno::ESRCH));
        assert_eq!(errno_from_name("EFOO"), None);
    }
}
