//! Layer 3: the journal of a lab: a `.lab` file with a line for each thing that was done to it, in order, and what came of
//! it. A lab that boots with it comes to the same state, down to the last number, without any other file.
//!
//! Each line ends in a comment, ` #` and a sum over its number and its text: a line that was cut, and one that is missing
//! or changed, are recognised. What follows the last whole line is torn: the daemon or the machine died while it
//! was written, before the call it notes was acknowledged.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno as HostErrno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::errno::{Error, Result, describe};
use crate::{bail, err};

/// The first line of every journal, without its sum.
const HEADER: &str = "# nslab journal 1";
/// The size beyond which no further call is made, in bytes.
const SIZE_MAX: u64 = 64 << 20;
/// What an outcome and a sum add to a line, at most, in bytes.
const OUTCOME_MAX: usize = 400;
/// Room is reserved in pieces of this size, in bytes.
const PIECE: u64 = 1 << 16;

/// No journal is longer, in bytes, with room for the next line.
pub const LEN_MAX: u64 = SIZE_MAX + 2 * PIECE;

/// How often a journal that somebody else holds is asked for again: a lab that was unmounted lets go of it a moment later.
const LOCK_TRIES: usize = 200;
/// The pause between.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A journal being written. Its file is locked for as long as this value lives: two labs that write one journal would
/// write over each other's lines.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    /// Where the next line goes, in bytes.
    end: u64,
    /// Up to where the file has room on the disk, in bytes.
    room: u64,
    /// Lines written.
    lines: u64,
    /// Whether a call waits for the disk before it is acknowledged.
    sync: Sync,
    /// What became of it, if what follows would be another story.
    broken: Option<String>,
}

/// What a line in a journal has to have reached before its call is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// The host's kernel: it survives the death of the daemon.
    #[default]
    Kernel,
    /// The disk: it survives the death of the host.
    Disk,
}

/// What of a journal is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its length, in bytes.
    pub len: usize,
    pub lines: u64,
    /// Something else follows.
    pub is_torn: bool,
}

impl Journal {
    /// A journal in a new file.
    ///
    /// # Errors
    /// The file exists already, or cannot be made: there is none then.
    pub fn create(path: &Path, sync: Sync) -> io::Result<Journal> {
        let file = File::create_new(path)?;
        lock(&file)?;
        let file = Arc::new(file);
        let mut journal = Journal { file, end: 0, room: 0, lines: 0, sync, broken: None };
        let begun = journal.reserve(HEADER).and_then(|()| journal.note(HEADER, ""));
        begun.map(|()| journal).map_err(|error| {
            // What is wrong with the file is told already.
            let _ = fs::remove_file(path);
            io::Error::from_raw_os_error(error.errno as i32)
        })
    }

    /// Makes a journal that exists the caller's alone, who boots from it and then goes on with it.
    ///
    /// # Errors
    /// It cannot be read and written. [`ErrorKind::InvalidData`]: a pipe or a device, or larger than a journal can be.
    /// [`ErrorKind::ResourceBusy`]: another lab writes it.
    pub fn claim(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.len() > LEN_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "this is no journal"));
        }
        lock(&file)?;
        Ok(file)
    }

    /// Continues a journal that was claimed: what is torn at its end is cut off.
    ///
    /// # Errors
    /// It cannot be read and written, or is none, or is damaged.
    pub fn resume(mut file: File, sync: Sync) -> io::Result<Journal> {
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let invalid = |reason: String| io::Error::new(ErrorKind::InvalidData, reason);
        if !is_journal(&text) {
            return Err(invalid("this is no journal".to_owned()));
        }
        let whole = whole(&text).map_err(|line| invalid(damaged(line)))?;
        let end = whole.len as u64;
        file.set_len(end)?;
        let (file, lines) = (Arc::new(file), whole.lines);
        Ok(Journal { file, end, room: end, lines, sync, broken: None })
    }

    /// Makes sure that `line` can be noted, whatever comes of it.
    ///
    /// # Errors
    /// ENOSPC: the disk or the journal is full. EIO: the file cannot be written now, or is not what it
    /// was: an earlier line could not be written, or somebody has cut it off or removed it.
    pub fn reserve(&mut self, line: &str) -> Result<()> {
        self.check()?;
        let end = self.end + (line.len() + OUTCOME_MAX) as u64;
        if end > SIZE_MAX {
            bail!(ENOSPC, "the journal has reached {} bytes: mount a new lab", SIZE_MAX);
        }
        let has_room = end <= self.room;
        let grown = if has_room { Ok(()) } else { self.grow(end + PIECE).or_else(|_| self.grow(end)) };
        match grown.and_then(|()| self.write(b"\n", self.end)) {
            Ok(()) => Ok(()),
            Err(HostErrno::ENOSPC | HostErrno::EDQUOT) => bail!(ENOSPC, "there is no room for the journal on its disk"),
            Err(error) => bail!(EIO, "the journal cannot be written: {}", error.desc()),
        }
    }

    /// Whether all that was noted is still there.
    ///
    /// # Errors
    /// EIO: a line could not be written, or somebody has cut off or removed the file.
    fn check(&mut self) -> Result<()> {
        if self.broken.is_none() {
            self.broken = match self.file.metadata() {
                Ok(found) if found.nlink() == 0 => Some("was removed".to_owned()),
                Ok(found) if found.len() < self.end => Some("was cut off by somebody else".to_owned()),
                Ok(_) => None,
                Err(error) => Some(format!("is out of reach: {}", describe(&error))),
            };
        }
        self.broken.as_ref().map_or(Ok(()), |what| Err(lost(what)))
    }

    fn write(&self, text: &[u8], at: u64) -> std::result::Result<(), HostErrno> {
        let written = self.file.write_all_at(text, at);
        written.map_err(|error| error.raw_os_error().map_or(HostErrno::EIO, HostErrno::from_raw))
    }

    /// Reserves room on the disk up to `end`. A file system that cannot gets blank lines to be written over, which say
    /// nothing.
    fn grow(&mut self, end: u64) -> std::result::Result<(), HostErrno> {
        let number = |bytes: u64| i64::try_from(bytes).map_err(|_| HostErrno::EFBIG);
        let length = number(end - self.room)?;
        match fallocate(&*self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, number(self.room)?, length) {
            Err(HostErrno::EOPNOTSUPP) => {
                self.write(&vec![b'\n'; usize::try_from(length).unwrap_or_default()], self.room)?;
            }
            done => done?,
        }
        self.room = end;
        Ok(())
    }

    /// Notes what was done; `outcome` stands in front of it, as the language has it.
    ///
    /// # Errors
    /// EIO: it could not be written, and nothing will be any more.
    pub fn note(&mut self, line: &str, outcome: &str) -> Result<()> {
        let text = format!("{outcome}{line}");
        let whole = format!("{text} #{:08x}\n", sum(self.lines + 1, text.as_bytes()));
        if let Err(error) = self.file.write_all_at(whole.as_bytes(), self.end) {
            return Err(self.fail(&error));
        }
        self.end += whole.len() as u64;
        self.room = self.room.max(self.end);
        self.lines += 1;
        Ok(())
    }

    /// The number of lines noted so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The file, if it has to be waited for before what was noted is acknowledged.
    pub fn disk(&self) -> Option<Arc<File>> {
        (self.sync == Sync::Disk).then(|| Arc::clone(&self.file))
    }

    /// Nothing is noted any more: a line may be missing.
    pub fn fail(&mut self, error: &io::Error) -> Error {
        let what = format!("could not be written: {}", describe(error));
        lost(self.broken.insert(what))
    }
}

impl Drop for Journal {
    /// Gives back the room that was not needed.
    fn drop(&mut self) {
        if self.check().is_ok() {
            let _ = self.file.set_len(self.end);
        }
    }
}

fn lost(what: &str) -> Error {
    err!(EIO, "the journal {}: mount a new lab", what.to_owned())
}

/// Locks a journal for as long as the file is open. A file system without locks does without.
fn lock(file: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(_)) | Ok(()) => return Ok(()),
        }
    }
    Err(io::Error::new(ErrorKind::ResourceBusy, "in use"))
}

/// Whether a file begins as journals do.
pub fn is_journal(text: &[u8]) -> bool {
    text.starts_with(HEADER.as_bytes())
}

/// What of a journal is whole. A line that was cut is the last one and has no end, or the blanks that kept room for it
/// follow.
///
/// # Errors
/// The number of a line that is damaged otherwise.
pub fn whole(text: &[u8]) -> std::result::Result<Whole, usize> {
    let mut whole = Whole { len: 0, lines: 0, is_torn: false };
    for (number, line) in (1..).zip(text.split_inclusive(|&byte| byte == b'\n')) {
        if !is_whole(number, line) {
            break;
        }
        whole.len += line.len();
        whole.lines = number;
    }
    let rest = &text[whole.len..];
    let cut = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let blanks = &rest[cut..];
    whole.is_torn = cut > 0;
    if blanks.iter().any(|&byte| byte != b'\n') || whole.is_torn && blanks.len() == 1 {
        return Err(usize::try_from(whole.lines + 1).unwrap_or(usize::MAX));
    }
    Ok(whole)
}

/// What to say of a damaged line.
pub fn damaged(line: usize) -> String {
    format!("line {line} of the journal is damaged, not only cut: boot from the lines before it")
}

fn is_whole(number: u64, line: &[u8]) -> bool {
    let Some((text, check)) =
        line.strip_suffix(b"\n").and_then(|line| line.split_at_checked(line.len().checked_sub(10)?))
    else {
        return false;
    };
    format!(" #{:08x}", sum(number, text)).as_bytes() == check
}

/// FNV-1a over the number of a line and its text.
fn sum(number: u64, text: &[u8]) -> u32 {
    let bytes = number.to_le_bytes();
    let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().chain(text).fold(0x811c_9dc5, mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;

    fn written(lines: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.lab");
        let mut journal = Journal::create(&path, Sync::Disk).unwrap();
        for line in lines {
            journal.reserve(line).unwrap();
            journal.note(line, "= 0 ").unwrap();
        }
        (dir, path)
    }

    #[test]
    fn what_is_noted_is_there_at_once_and_whole() {
        let (_dir, path) = written(&["1 setsid", "1 setsid"]);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split(" #").next().unwrap()).collect();
        assert_eq!(lines[1..], ["= 0 1 setsid"; 2]);
        let sums: Vec<_> = text.lines().map(|line| &line[line.len() - 8..]).collect();
        assert_ne!(sums[1], sums[2]);
        assert_eq!(whole(text.as_bytes()), Ok(Whole { len: text.len(), lines: 3, is_torn: false }));
    }

    #[test]
    fn a_journal_torn_anywhere_keeps_its_whole_lines() {
        let (_dir, path) = written(&["1 sethostname core", "1 setsid"]);
        let text = fs::read(&path).unwrap();
        for cut in HEADER.len()..text.len() {
            let kept = text[..cut].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            let found = whole(&text[..cut]).unwrap();
            assert_eq!((found.len, found.is_torn), (kept, kept != cut), "{cut}");
            let padded = [&text[..cut], b"\n\n\n"].concat();
            // Only its newline was missing.
            let end = if text[cut] == b'\n' { cut + 1 } else { kept };
            assert_eq!(whole(&padded).unwrap().len, end, "{cut}");
            assert_eq!(whole(&[&text[..cut], &[0; 30]].concat()).unwrap().len, kept, "{cut}");
        }
    }

    #[test]
    fn a_changed_or_missing_line_is_no_torn_end() {
        let (_dir, path) = written(&["1 setsid", "1 clone", "1 clone"]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(whole(text.replace("setsid", "setsix").as_bytes()), Err(2));
        let without: String = text.split_inclusive('\n').enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| l).collect();
        assert_eq!(whole(without.as_bytes()), Err(2));
        let last = text.len() - 1;
        assert_eq!(whole(text.replacen("\n= 0 1 clone", "\r= 0 1 clone", 1).as_bytes()), Err(2));
        assert_eq!(whole([&text[..last], "0\n"].concat().as_bytes()), Err(4));
    }

    #[test]
    fn a_resumed_journal_goes_on_after_its_last_whole_line() {
        let (_dir, path) = written(&["1 setsid", "1 clone"]);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 3]).unwrap();
        let mut journal = Journal::resume(Journal::claim(&path).unwrap(), Sync::Kernel).unwrap();
        journal.reserve("1 clone").unwrap();
        journal.note("1 clone", "= 0 ").unwrap();
        drop(journal);
        assert_eq!(fs::read(&path).unwrap(), text);
        fs::write(&path, "1 setsid\n").unwrap();
        let resumed = Journal::claim(&path).and_then(|file| Journal::resume(file, Sync::Kernel));
        assert!(resumed.is_err() && Journal::create(&path, Sync::Kernel).is_err());
    }

    /// Who reads them comes to no end.
    #[test]
    fn a_pipe_a_device_and_a_huge_file_are_no_journals() {
        let (dir, path) = written(&[]);
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(LEN_MAX + 1).unwrap();
        for path in [&pipe, &path, Path::new("/dev/zero")] {
            assert_eq!(Journal::claim(path).unwrap_err().kind(), ErrorKind::InvalidData, "{path:?}");
        }
    }

    #[test]
    fn a_journal_has_one_writer() {
        let (_dir, path) = written(&["1 setsid"]);
        let first = Journal::claim(&path).unwrap();
        assert_eq!(Journal::claim(&path).unwrap_err().kind(), ErrorKind::ResourceBusy);
        drop(first);
        let written = Journal::resume(Journal::claim(&path).unwrap(), Sync::Kernel).unwrap();
        assert_eq!(Journal::claim(&path).unwrap_err().kind(), ErrorKind::ResourceBusy);
        drop(written);
        Journal::claim(&path).unwrap();
    }

    /// What was noted is lost then: nothing more is done that would be acknowledged and lost as well.
    #[test]
    fn a_journal_that_somebody_cuts_off_or_removes_lets_no_call_through() {
        for (cut, what) in [(true, "was cut off by somebody else"), (false, "was removed")] {
            let (_dir, path) = written(&[]);
            let mut journal = Journal::resume(Journal::claim(&path).unwrap(), Sync::Kernel).unwrap();
            journal.reserve("1 setsid").unwrap();
            journal.note("1 setsid", "= 0 ").unwrap();
            let end = fs::metadata(&path).unwrap().len();
            if cut {
                OpenOptions::new().write(true).open(&path).unwrap().set_len(end - 3).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            for _ in 0..2 {
                let error = journal.reserve("1 clone").unwrap_err();
                assert_eq!((error.errno, error.reason()), (Errno::EIO, format!("the journal {what}: mount a new lab")));
            }
            drop(journal);
            assert_eq!(fs::metadata(&path).map(|file| file.len()).ok(), cut.then_some(end - 3));
        }
    }

    #[test]
    fn a_full_journal_and_a_full_disk_let_no_call_through() {
        let (_dir, path) = written(&[]);
        let mut journal = Journal::resume(Journal::claim(&path).unwrap(), Sync::Kernel).unwrap();
        journal.end = SIZE_MAX;
        journal.file.set_len(SIZE_MAX).unwrap();
        assert_eq!(journal.reserve("1 setsid").unwrap_err().errno, Errno::ENOSPC);
        journal.file = Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap());
        (journal.end, journal.room) = (0, 0);
        assert!(journal.reserve("1 setsid").is_err());
        journal.room = 1000;
        assert_eq!(journal.note("1 setsid", "").unwrap_err().errno, Errno::EIO);
        assert_eq!(journal.reserve("1 setsid").unwrap_err().errno, Errno::EIO);
    }
}
