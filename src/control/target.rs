//! What setns and open are pointed at, as text: `type:[inum]`, `fd:N`, `pidfd:PID`, `handed:PID` or a path.

use super::word::number;
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::NsType;
use crate::syscall::PidArg;

/// What a word means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Ns { ns_type: NsType, inum: u32 },
    Fd(i32),
    Pidfd(PidArg),
    Path(Vec<u8>),
}

/// Reads a TARGET or PATH. Whatever is not of another form is a path, which the call resolves.
///
/// # Errors
/// EINVAL: a bad number after `fd:`, `pidfd:` or `handed:`, an unknown type or bad number in `type:[inum]`.
pub fn parse(word: &[u8]) -> Result<Target> {
    let Ok(text) = std::str::from_utf8(word) else { return Ok(Target::Path(word.to_vec())) };
    if let Some(pid) = text.strip_prefix("pidfd:") {
        return Ok(Target::Pidfd(PidArg::Initial(number(pid, "the PID of pidfd:PID")?)));
    }
    if let Some(pid) = text.strip_prefix("handed:") {
        return Ok(Target::Pidfd(PidArg::Held(number(pid, "the PID of handed:PID")?)));
    }
    if let Some(fd) = text.strip_prefix("fd:")
        && !fd.contains('/')
    {
        return Ok(Target::Fd(number(fd, "the number of fd:N")?));
    }
    if let Some((name, inum)) = link_text(text) {
        let Some(ns_type) = NsType::from_name(name) else {
            bail!(EINVAL, "there is no namespace type {}", name.to_owned());
        };
        return Ok(Target::Ns { ns_type, inum: number(inum, "the number of type:[inum]")? });
    }
    Ok(Target::Path(word.to_vec()))
}

/// The parts of `type:[inum]`.
fn link_text(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once(":[")?;
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Some((name, rest.strip_suffix(']')?)).filter(|_| is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_text_decides() {
        assert_eq!(parse(b"fd:-1").unwrap(), Target::Fd(-1));
        assert_eq!(parse(b"pidfd:7").unwrap(), Target::Pidfd(PidArg::Initial(7)));
        assert_eq!(parse(b"handed:7").unwrap(), Target::Pidfd(PidArg::Held(7)));
        assert_eq!(parse(b"net:[4026531833]").unwrap(), Target::Ns { ns_type: NsType::Net, inum: 4026531833 });
        for path in ["fd:3/ns/net", "7/ns/net", "/proc/7/ns/net", "/tmp/a:[1]", "./fd:3", "", "fd"] {
            assert_eq!(parse(path.as_bytes()).unwrap(), Target::Path(path.into()), "{path}");
        }
    }

    #[test]
    fn bad_numbers_and_types_are_refused() {
        for word in ["fd:", "fd:x", "pidfd:", "handed:", "handed:x", "net:[x]", "net:[4294967296]"] {
            assert!(parse(word.as_bytes()).is_err(), "{word}");
        }
        assert_eq!(parse(b"foo:[1]").unwrap_err().to_string(), "EINVAL: there is no namespace type foo");
    }
}
