//! The words after a verb, taken one by one, and the numbers among them.

use super::lex::{Word, quote};
use super::{flags, signal};
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::syscall::PidArg;
use crate::{bail, err};

/// A cursor over the words of one call.
#[derive(Debug)]
pub struct Args<'a> {
    words: &'a [Word],
    /// The column of the word taken last, for messages; `None` when the words ran out.
    pub(super) column: Option<usize>,
}

impl<'a> Args<'a> {
    /// Over the words that follow the verb.
    pub fn new(words: &'a [Word]) -> Args<'a> {
        Args { words, column: None }
    }

    /// The next word, if there is one.
    pub fn optional(&mut self) -> Option<&'a [u8]> {
        let next = self.words.split_first();
        self.column = next.map(|(word, _)| word.column);
        let (word, rest) = next?;
        self.words = rest;
        Some(&word.bytes)
    }

    /// The next word, which `what` names in messages.
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8]> {
        self.optional().ok_or_else(|| err!(EINVAL, "{} is missing", what))
    }

    /// The next word as text.
    ///
    /// # Errors
    /// EINVAL: there is none, or it is not UTF-8.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str> {
        text(self.bytes(what)?)
    }

    /// The next word as text, if there is one.
    ///
    /// # Errors
    /// EINVAL: it is not UTF-8.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>> {
        self.optional().map(text).transpose()
    }

    /// The next word as a number.
    ///
    /// # Errors
    /// EINVAL: there is none, it is no number, or it does not fit.
    pub fn number<T: TryFrom<i128>>(&mut self, what: &'static str) -> Result<T> {
        number(self.text(what)?, what)
    }

    /// The next word as the number of a process, thread or group. In words it is one of the initial pid namespace.
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn pid(&mut self, what: &'static str) -> Result<PidArg> {
        self.number(what).map(PidArg::Initial)
    }

    /// The number behind `key` in the next word, `pos=` for example; `None`, and the word is not taken, if it does not
    /// begin with that.
    ///
    /// # Errors
    /// EINVAL: it is no number.
    pub fn keyed_number(&mut self, key: &'static str) -> Result<Option<u64>> {
        let next = self.words.first().and_then(|word| word.bytes.strip_prefix(key.as_bytes()));
        let Some(digits) = next else { return Ok(None) };
        self.optional();
        number(text(digits)?, key).map(Some)
    }

    /// The next word as a signal: a name with or without SIG, or any number.
    ///
    /// # Errors
    /// EINVAL: there is none, or no signal has that name.
    pub fn signal(&mut self) -> Result<i32> {
        signal::parse(self.text("SIG")?)
    }

    /// The next word as a user or group id; -1, which means "unchanged", is `None`.
    ///
    /// # Errors
    /// EINVAL: there is none, or it is outside -1 to 4294967295.
    pub fn id(&mut self, what: &'static str) -> Result<Option<u32>> {
        Ok(Some(id(self.text(what)?, what)?).filter(|&id| id != u32::MAX))
    }

    /// The next word as a capability: a name or any number.
    ///
    /// # Errors
    /// EINVAL: there is none, or no capability has that name.
    pub fn capability(&mut self) -> Result<u64> {
        let word = self.text("CAP")?;
        match Cap::from_name(word) {
            Some(cap) => Ok(u64::from(cap.number())),
            None => number(word, "CAP"),
        }
    }

    /// The next word, which has to be in `table`.
    ///
    /// # Errors
    /// EINVAL: there is none, or it is another word.
    pub fn choice<T: Copy>(&mut self, what: &'static str, table: &[(&str, T)]) -> Result<T> {
        let word = self.text(what)?;
        choose(word, table).ok_or_else(|| unexpected(what, word))
    }

    /// As [`Args::choice`], `None` if no word is left.
    ///
    /// # Errors
    /// EINVAL: a word that is not in the table.
    pub fn optional_choice<T: Copy>(&mut self, what: &'static str, table: &[(&str, T)]) -> Result<Option<T>> {
        let word = self.optional_text()?;
        word.map(|word| choose(word, table).ok_or_else(|| unexpected(what, word))).transpose()
    }

    /// All that is left, as clone flags.
    ///
    /// # Errors
    /// EINVAL: a word that is no flag.
    pub fn clone_flags(&mut self) -> Result<u64> {
        let mut bits = 0;
        while let Some(word) = self.optional_text()? {
            bits |= flags::parse(word)?;
        }
        Ok(bits)
    }

    /// All that is left, as it is.
    pub fn rest(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.optional()).map(<[u8]>::to_vec).collect()
    }

    /// # Errors
    /// EINVAL: words are left over.
    pub fn finish(&mut self) -> Result<()> {
        match self.optional() {
            Some(word) => bail!(EINVAL, "unexpected word {}", shown(word)),
            None => Ok(()),
        }
    }
}

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

/// A word as a message shows it: quoted, and no longer than a line can take.
fn shown(word: &[u8]) -> String {
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

fn text(word: &[u8]) -> Result<&str> {
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

    #[test]
    fn the_id_minus_one_is_unchanged() {
        let words = super::super::lex::control_words("-1 4294967295 4294967294 4294967296").unwrap();
        let mut args = Args::new(&words);
        assert_eq!(args.id("UID").unwrap(), None);
        assert_eq!(args.id("UID").unwrap(), None);
        assert_eq!(args.id("UID").unwrap(), Some(u32::MAX - 1));
        assert!(args.id("UID").is_err());
        assert_eq!(args.id("UID").unwrap_err().reason(), "UID is missing");
    }
}
