//! The words after a verb, taken one by one, and the numbers among them.

use super::lex::Word;
use super::word::{choose, id, mode, number, shown, text, unexpected};
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

    /// Whether the next word is `word`, which is taken then.
    pub fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.first().is_some_and(|next| next.bytes == word.as_bytes());
        if is_next {
            self.optional();
        }
        is_next
    }

    /// The process behind `pid=` in the next word; without that the caller, 0.
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn keyed_pid(&mut self) -> Result<PidArg> {
        let next = self.words.first().and_then(|word| word.bytes.strip_prefix(b"pid="));
        let Some(digits) = next else { return Ok(PidArg::Initial(0)) };
        self.optional();
        number(text(digits)?, "PID").map(PidArg::Initial)
    }

    /// What is behind `key` in the next word, `root=` for example; `None`, and the word is not taken, if it does not begin with
    /// that.
    pub fn keyed(&mut self, key: &str) -> Option<&'a [u8]> {
        let value = self.words.first()?.bytes.strip_prefix(key.as_bytes())?;
        self.optional();
        Some(value)
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

    /// The next word as a mode, if there is one.
    ///
    /// # Errors
    /// EINVAL: the word is not an octal number, or it is more than 7777.
    pub fn optional_mode(&mut self) -> Result<Option<u16>> {
        self.optional_text()?.map(mode).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;

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
