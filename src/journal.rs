//! Layer 3: the journal of a mounted lab: a `.lab` file with a line for each call, in the order in which they were made.
//! A lab that boots with it comes to the same state, down to the last number.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::bail;
use crate::errno::{Error, Result};

/// The size beyond which no further call is made, in bytes.
const SIZE_MAX: u64 = 64 << 20;

/// A journal being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    size: u64,
    /// A line could not be written: what follows would be another story.
    broken: bool,
}

impl Journal {
    /// A journal in a new file. `boot` is the script the lab has booted with: the journal begins with it.
    ///
    /// # Errors
    /// The file exists already, or cannot be made.
    pub fn create(path: &Path, boot: Option<&Path>) -> io::Result<Journal> {
        let mut journal = Journal { file: File::create_new(path)?, size: 0, broken: false };
        if let Some(boot) = boot {
            journal.write(&format!("include {}\n", crate::control::lex::quote(boot.as_os_str().as_encoded_bytes())))?;
        }
        Ok(journal)
    }

    /// Whether one more call may be made.
    ///
    /// # Errors
    /// ENOSPC: the journal is full. EIO: it could not be written.
    pub fn check(&self) -> Result<()> {
        if self.broken {
            bail!(EIO, "the journal could not be written: mount a new lab");
        }
        if self.size >= SIZE_MAX {
            bail!(ENOSPC, "the journal has reached {} bytes: mount a new lab", SIZE_MAX);
        }
        Ok(())
    }

    /// Notes a call that was made, also one that failed: it may have used up a number.
    pub fn note(&mut self, call: &str, error: Option<&Error>) {
        let expected = error.map_or(String::new(), |error| format!("! {:?} ", error.errno));
        self.broken |= self.write(&format!("{expected}{call}\n")).is_err();
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.size += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::err;

    #[test]
    fn a_journal_is_a_script() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.lab");
        let mut journal = Journal::create(&path, Some(Path::new("/a b.lab"))).unwrap();
        journal.note("1 clone newnet", None);
        journal.note("1 kill 77 0", Some(&err!(ESRCH, "no")));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "include \"/a b.lab\"\n1 clone newnet\n! ESRCH 1 kill 77 0\n");
        assert!(Journal::create(&path, None).is_err());
    }

    #[test]
    fn a_full_journal_lets_no_call_through() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&dir.path().join("journal.lab"), None).unwrap();
        assert!(journal.check().is_ok());
        journal.size = SIZE_MAX;
        assert_eq!(journal.check().unwrap_err().errno, crate::errno::Errno::ENOSPC);
    }
}
