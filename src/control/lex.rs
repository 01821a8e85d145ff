//! Lines to words. Words are separated by blanks; double quotes keep blanks and understand `\n \t \" \\ \0 \xNN`. In
//! scripts `$NAME` and `${NAME}` stand for a value, also inside quotes, and `#` at the start of a word begins a comment;
//! in control files both are ordinary characters.

use crate::errno::Result;
use crate::{bail, err};

/// Which of the two kinds of line is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A write to a control file.
    Control,
    /// A line of a `.lab` script.
    Script,
}

/// A word as written: text with the names of values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Vec<u8>,
    /// Before which byte of the text a value stands, and its name, in order.
    names: Vec<(usize, String)>,
    /// Where the word starts, from 1.
    pub column: usize,
}

/// A word as a verb sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub bytes: Vec<u8>,
    /// Where the word starts in its line, from 1.
    pub column: usize,
}

impl Template {
    /// The word if it is written without names.
    pub fn literal(&self) -> Option<&[u8]> {
        self.names.is_empty().then_some(&self.text)
    }

    /// Puts values in place of names.
    ///
    /// # Errors
    /// EINVAL: no value has that name.
    pub fn expand(&self, value: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Word> {
        let (mut bytes, mut done) = (Vec::with_capacity(self.text.len()), 0);
        for (at, name) in &self.names {
            bytes.extend_from_slice(&self.text[done..*at]);
            bytes.extend(value(name).ok_or_else(|| err!(EINVAL, "no value is called {}", name.clone()))?);
            done = *at;
        }
        bytes.extend_from_slice(&self.text[done..]);
        Ok(Word { bytes, column: self.column })
    }

    fn push_name(&mut self, name: String) {
        self.names.push((self.text.len(), name));
    }
}

/// The words of one line, which has no newline.
///
/// # Errors
/// EINVAL: a quote that is not closed, an unknown escape, a bad `${NAME}` (the reason names the column), a NUL byte.
pub fn split(line: &str, dialect: Dialect) -> Result<Vec<Template>> {
    if line.contains('\0') {
        bail!(EINVAL, "a NUL byte in the line (write it as \"\\0\")");
    }
    let mut lexer = Lexer { rest: line, column: 1, dialect };
    let mut words = Vec::new();
    while let Some(word) = lexer.word()? {
        words.push(word);
    }
    Ok(words)
}

/// The words of a control file's line.
///
/// # Errors
/// As [`split`].
pub fn control_words(line: &str) -> Result<Vec<Word>> {
    split(line, Dialect::Control)?.iter().map(|word| word.expand(|_| None)).collect()
}

/// Whether `name` can name a value: a letter or `_`, then letters, digits and `_`.
pub fn is_name(name: &str) -> bool {
    name.starts_with(is_name_start) && name.chars().all(is_name_char)
}

/// Writes a word so that both dialects read it back as `bytes`.
pub fn quote(bytes: &[u8]) -> String {
    let is_plain = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'$');
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.is_empty()
        && !text.starts_with('#')
        && bytes.iter().all(is_plain)
    {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            let is_value = c == '$' && chars.peek().is_some_and(|&next| next == '{' || is_name_start(next));
            push_quoted(&mut quoted, c, is_value);
        }
        chunk.invalid().iter().for_each(|byte| quoted.push_str(&format!("\\x{byte:02x}")));
    }
    quoted.push('"');
    quoted
}

fn push_quoted(quoted: &mut String, c: char, is_value: bool) {
    match c {
        '\n' => quoted.push_str("\\n"),
        '\t' => quoted.push_str("\\t"),
        '\0' => quoted.push_str("\\0"),
        '"' | '\\' => quoted.extend(['\\', c]),
        _ if c.is_ascii_control() || is_value => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
        _ => quoted.push(c),
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

struct Lexer<'a> {
    /// What is not yet read.
    rest: &'a str,
    /// The column of the next character.
    column: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    fn word(&mut self) -> Result<Option<Template>> {
        self.run(is_blank);
        let column = self.column;
        match self.peek() {
            None => return Ok(None),
            Some('#') if self.dialect == Dialect::Script => return Ok(None),
            Some(_) => {}
        }
        let mut word = Template { text: Vec::new(), names: Vec::new(), column };
        loop {
            word.text.extend_from_slice(self.run(|c| !is_blank(c) && !matches!(c, '"' | '$')).as_bytes());
            match self.eat(|c| !is_blank(c)) {
                Some('"') => self.quoted(&mut word)?,
                Some(_) => self.dollar(&mut word)?,
                None => return Ok(Some(word)),
            }
        }
    }

    /// The rest of a quoted part, its opening quote already read.
    fn quoted(&mut self, word: &mut Template) -> Result<()> {
        let opening = self.column - 1;
        loop {
            word.text.extend_from_slice(self.run(|c| !matches!(c, '"' | '\\' | '$')).as_bytes());
            match self.eat(|_| true) {
                Some('"') => return Ok(()),
                Some('\\') => word.text.push(self.escape()?),
                Some(_) => self.dollar(word)?,
                None => bail!(EINVAL, "column {}: the quote is not closed", opening),
            }
        }
    }

    fn escape(&mut self) -> Result<u8> {
        let column = self.column - 1;
        match self.eat(|_| true) {
            Some('n') => Ok(b'\n'),
            Some('t') => Ok(b'\t'),
            Some('0') => Ok(b'\0'),
            Some('"') => Ok(b'"'),
            Some('\\') => Ok(b'\\'),
            Some('x') => {
                let digits: String = (0..2).map_while(|_| self.eat(|c| c.is_ascii_hexdigit())).collect();
                if digits.len() < 2 {
                    bail!(EINVAL, "column {}: \\x wants two hexadecimal digits", column);
                }
                u8::from_str_radix(&digits, 16).map_err(|_| err!(EINVAL, "column {}: bad \\x escape", column))
            }
            _ => bail!(EINVAL, "column {}: unknown escape, known are \\n \\t \\\" \\\\ \\0 \\xNN", column),
        }
    }

    /// What follows a `$`: a name in a script, or the `$` stands for itself.
    fn dollar(&mut self, word: &mut Template) -> Result<()> {
        let column = self.column - 1;
        if self.dialect == Dialect::Control {
            word.text.push(b'$');
        } else if self.eat(|c| c == '{').is_some() {
            let name = self.name();
            if name.is_empty() || self.eat(|c| c == '}').is_none() {
                bail!(EINVAL, "column {}: ${ wants a name and a closing brace", column);
            }
            word.push_name(name);
        } else if self.peek().is_some_and(is_name_start) {
            word.push_name(self.name());
        } else {
            word.text.push(b'$');
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        if self.peek().is_some_and(is_name_start) { self.run(is_name_char).to_owned() } else { String::new() }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn eat(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let c = self.peek().filter(|&c| wanted(c))?;
        self.rest = &self.rest[c.len_utf8()..];
        self.column += 1;
        Some(c)
    }

    /// The characters from here on that are wanted.
    fn run(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let (run, rest) = self.rest.split_at(self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        self.column += run.chars().count();
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(line: &str) -> Vec<Vec<u8>> {
        control_words(line).unwrap().into_iter().map(|word| word.bytes).collect()
    }

    fn script(line: &str) -> Vec<Vec<u8>> {
        let value = |name: &str| (name == "A").then(|| b"7 8".to_vec());
        split(line, Dialect::Script).unwrap().iter().map(|word| word.expand(value).unwrap().bytes).collect()
    }

    fn reason(line: &str) -> String {
        split(line, Dialect::Script).unwrap_err().to_string()
    }

    #[test]
    fn blanks_separate_and_quotes_join() {
        assert_eq!(control("  a \t b"), [b"a", b"b"]);
        assert_eq!(control("\"a b\" x\"y z\" \"\""), [b"a b".to_vec(), b"xy z".to_vec(), vec![]]);
        assert_eq!(control(""), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn escapes_work_inside_quotes_only() {
        assert_eq!(control(r#""a\n\t\"\\\0\xfF" a\n"#), [b"a\n\t\"\\\0\xff".to_vec(), b"a\\n".to_vec()]);
    }

    #[test]
    fn names_stand_for_values_without_splitting_words() {
        assert_eq!(script("-$A pid:${A}1 \"<$A>\""), [b"-7 8".to_vec(), b"pid:7 81".to_vec(), b"<7 8>".to_vec()]);
        assert_eq!(script("\"^x$\" $ $1"), [b"^x$".to_vec(), b"$".to_vec(), b"$1".to_vec()]);
        assert_eq!(control("$A #b"), [b"$A", b"#b"]);
    }

    #[test]
    fn comments_begin_at_a_word() {
        assert_eq!(script("a#b \"#c\" # d \" e"), [b"a#b", b"#c".as_slice()]);
    }

    #[test]
    fn errors_name_the_column() {
        assert_eq!(reason("ä \"b"), "EINVAL: column 3: the quote is not closed");
        assert_eq!(reason("\"\\q\""), "EINVAL: column 2: unknown escape, known are \\n \\t \\\" \\\\ \\0 \\xNN");
        assert_eq!(reason("${1}"), "EINVAL: column 1: ${ wants a name and a closing brace");
        assert_eq!(reason("a \"\\x4\""), "EINVAL: column 4: \\x wants two hexadecimal digits");
    }

    #[test]
    fn unknown_names_are_refused() {
        let word = &split("$B", Dialect::Script).unwrap()[0];
        assert_eq!(word.expand(|_| None).unwrap_err().to_string(), "EINVAL: no value is called B");
        assert_eq!(word.literal(), None);
    }

    #[test]
    fn columns_count_characters_from_one() {
        let words = split("é  b", Dialect::Script).unwrap();
        assert_eq!(words.iter().map(|w| w.column).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn quote_is_read_back_by_both_dialects() {
        for bytes in
            [&b"a"[..], b"", b"a b", b"#x", b"$A", b"a$", b"${", b"\"\\\n\t\0\x01\xff", "é".as_bytes(), b"a\\b"]
        {
            assert_eq!(control(&quote(bytes)), [bytes]);
            assert_eq!(script(&quote(bytes)), [bytes]);
        }
        assert_eq!(quote(b"net:[4026531833]"), "net:[4026531833]");
    }

    #[test]
    fn names_start_with_a_letter() {
        assert!(is_name("a_1") && is_name("_"));
        assert!(!is_name("1a") && !is_name("") && !is_name("a-b"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_back(bytes: Vec<u8>) {
            let words = vec![bytes];
            assert_eq!(control(&quote(&words[0])), words);
            assert_eq!(script(&quote(&words[0])), words);
        }
    }
}
