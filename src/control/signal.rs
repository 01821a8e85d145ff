//! Signal names (signal(7), `arch/x86/include/uapi/asm/signal.h`).

use super::word::{number, unexpected};
use crate::errno::Result;

/// Names without SIG; the signal's number is the index plus one.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// `SIGTERM`, `TERM` in any case, or any number, whether or not a signal has it.
///
/// # Errors
/// EINVAL: no signal has that name.
pub fn parse(word: &str) -> Result<i32> {
    if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return number(word, "SIG");
    }
    let name = word.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    (1..).zip(NAMES).find(|(_, known)| *known == name).map(|(signo, _)| signo).ok_or_else(|| unexpected("SIG", word))
}

/// `SIGTERM`; the number of a signal without a name.
pub fn word(signo: i32) -> String {
    let name = signo.checked_sub(1).and_then(|index| NAMES.get(usize::try_from(index).ok()?));
    name.map_or_else(|| signo.to_string(), |name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_signals() {
        assert_eq!(parse("SIGHUP").unwrap(), 1);
        assert_eq!(parse("term").unwrap(), 15);
        assert_eq!(parse("CHLD").unwrap(), 17);
        assert_eq!(parse("SIGSYS").unwrap(), 31);
        assert_eq!(parse("-1").unwrap(), -1);
        assert_eq!(parse("65").unwrap(), 65);
        assert!(parse("SIGFOO").is_err() && parse("").is_err() && parse("SIG").is_err());
    }
}
