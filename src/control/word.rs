//! What one word says: a number, an id, a text, one of a table; and the errors where it does not.

use super::lex::quote;
use crate::err;
use crate::errno::Result;

/// The value of `word` in a table of words.
pub(super) fn choose<T: Copy>(word: &str, table: &[(&str, T)]) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

/// A decimal or `0x` number, with `-` in front where `T` has negative numbers.
///
/// # Errors
/// EINVAL: it is no number, or does not fit into `T`.
pub(super) fn number<T: TryFrom<i128>>(word: &str, what: &'static str) -> Result<T> {
    let value = integer(word).ok_or_else(|| unexpected(what, word))?;
    T::try_from(value).map_err(|_| err!(EINVAL, "{} is out of range for {}", value.to_string(), what))
}

/// Seconds with up to nine digits behind the point, as nanoseconds.
///
/// # Errors
/// EINVAL: it is none, or too large.
pub fn seconds(word: &str, what: &'static str) -> Result<u64> {
    let (whole, part) = word.split_once('.').unwrap_or((word, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let nanos = (is_number(whole) && is_number(part) && part.len() <= 9).then(|| {
        format!("{part:0<9}").parse::<u64>().ok()?.checked_add(whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?)
    });
    nanos.flatten().ok_or_else(|| unexpected(what, word))
}

/// A user or group id, -1 being 4294967295.
///
/// # Errors
/// EINVAL: it is outside -1 to 4294967295.
pub(super) fn id(word: &str, what: &'static str) -> Result<u32> {
    match word {
        "-1" => Ok(u32::MAX),
        _ => number(word, what),
    }
}

/// A mode, octal however it starts.
///
/// # Errors
/// EINVAL: it is none, or greater than 7777.
pub(super) fn mode(word: &str) -> Result<u16> {
    u16::from_str_radix(word, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| unexpected("MODE", word))
}

/// A word as a message shows it: quoted, and no longer than a line can take.
pub(super) fn shown(word: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    if word.len() <= SHOWN_MAX {
        quote(word)
    } else {
        format!("{}… ({} bytes)", quote(&word[..SHOWN_MAX]), word.len())
    }
}

/// The error of a word that stands where `what` belongs.
#[track_caller]
pub(super) fn unexpected(what: &'static str, word: &str) -> crate::errno::Error {
    err!(EINVAL, "{} expected, not {}", what, shown(word.as_bytes()))
}

fn integer(word: &str) -> Option<i128> {
    let (sign, digits) = word.strip_prefix('-').map_or((1, word), |digits| (-1, digits));
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |digits| (digits, 16));
    // from_str_radix takes a sign of its own.
    let value = digits.starts_with(|c: char| c.is_digit(radix)).then(|| i128::from_str_radix(digits, radix).ok())??;
    Some(sign * value)
}

/// A word as text.
///
/// # Errors
/// EINVAL: it is not UTF-8.
pub(super) fn text(word: &[u8]) -> Result<&str> {
    std::str::from_utf8(word).map_err(|_| err!(EINVAL, "the word {} is not UTF-8", shown(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(number::<i32>("-2147483648", "N").unwrap(), i32::MIN);
        assert_eq!(number::<u64>("0xffffffffffffffff", "N").unwrap(), u64::MAX);
        assert_eq!(number::<i32>("0x10", "N").unwrap(), 16);
        for word in ["", "-", "0x", "+1", "-+1", "1 ", "0b1", "x"] {
            assert!(number::<i64>(word, "N").is_err(), "{word}");
        }
    }

    #[test]
    fn seconds_have_a_point_and_up_to_nine_digits() {
        for (word, nanos) in [("0", 0), ("12", 12_000_000_000), ("1.5", 1_500_000_000), ("0.000000001", 1)] {
            assert_eq!(seconds(word, "start").unwrap(), nanos);
        }
        for word in ["", ".", "1.", ".5", "-1", "1.0000000001", "99999999999", "1e3", "+1"] {
            assert!(seconds(word, "start").is_err(), "{word}");
        }
    }

    #[test]
    fn a_long_word_is_shown_by_its_beginning() {
        let reason = unexpected("FLAGS", &"x".repeat(4000)).reason();
        assert!(reason.len() < 120 && reason.ends_with("(4000 bytes)"), "{reason}");
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_value() {
        let error = number::<i32>("2147483648", "PID").unwrap_err();
        assert_eq!(error.to_string(), "EINVAL: 2147483648 is out of range for PID");
        assert!(number::<u64>("-1", "N").is_err());
        assert!(number::<u64>("999999999999999999999999999999999999999999", "N").is_err());
    }
}
