//! Reading numbers out of written text the way Linux's string functions do (`simple_strtoull`, `skip_spaces`,
//! `proc_get_long`), quirks included.

/// What is left of a text that is read from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// Reads `text` up to its first NUL.
    pub fn new(text: &'a [u8]) -> Scanner<'a> {
        Scanner { rest: until_nul(text) }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn is_at_space(&self) -> bool {
        self.rest.first().is_some_and(|&b| is_space(b))
    }

    pub fn skip_spaces(&mut self) {
        let spaces = self.rest.iter().take_while(|&&b| is_space(b)).count();
        self.rest = &self.rest[spaces..];
    }

    /// Goes past `byte`, if it is next.
    pub fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    /// The next word of at most `max` bytes; empty at a space or the end.
    pub fn word(&mut self, max: usize) -> &'a [u8] {
        let len = self.rest.iter().take(max).take_while(|&&b| !is_space(b)).count();
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        word
    }

    /// Decimal digits as a number modulo 2^64 (`simple_strtoull` ignores overflow); `None` without a digit.
    pub fn wrapping_decimal(&mut self) -> Option<u64> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let push = |n: u64, digit: &u8| n.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        (digits > 0).then(|| number.iter().fold(0, push))
    }
}

/// The text before its first NUL.
pub fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&b| b == 0).next().unwrap_or_default()
}

/// White space as the kernel sees it: ASCII's, and the no-break space of Latin-1 (`isspace` in `lib/ctype.c`).
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_need_a_digit() {
        assert_eq!(Scanner::new(b"18446744073709551621 ").wrapping_decimal(), Some(5));
        assert_eq!(Scanner::new(b"x").wrapping_decimal(), None);
        assert_eq!(Scanner::new(b"").wrapping_decimal(), None);
    }

    #[test]
    fn text_ends_at_a_nul() {
        let mut scan = Scanner::new(b" \t\xa0ab\0cd");
        scan.skip_spaces();
        assert_eq!(scan.word(9), b"ab");
        assert!(scan.is_at_end());
    }
}
