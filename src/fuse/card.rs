//! What a process says about each lab that it serves, for those who look for labs (`nslab list`). It is a file in memory
//! that only this process has open: it is found below `/proc/<pid>/fd`, also when the process is stopped or the lab out
//! of reach, and it is gone with the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Value, json};

use super::handle::lock;

const NAME: &str = "nslab-lab";
/// What the link to an open card says.
pub(super) const LINK: &str = "/memfd:nslab-lab (deleted)";

/// What of a lab a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// `proc`; the rest is nowhere.
    Proc,
    /// `proc`, besides the whole lab on this directory, with which it goes.
    ProcOf(PathBuf),
}

/// What a card says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) dir: PathBuf,
    pub(super) device: u32,
    pub(super) part: Part,
    /// The script that the lab booted with.
    pub(super) boot: Option<PathBuf>,
    /// The first internal error, with its place.
    pub(super) broken: Option<String>,
}

/// The card of a lab of this process.
#[derive(Debug)]
pub(super) struct Card {
    file: File,
    text: Mutex<Text>,
}

impl Card {
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new(dir: &Path, device: u32, boot: Option<&Path>, part: Part) -> io::Result<Card> {
        let file = File::from(memfd_create(NAME, MFdFlags::MFD_CLOEXEC)?);
        let text = Text { dir: dir.to_owned(), device, part, boot: boot.map(Path::to_owned), broken: None };
        file.write_all_at(text.to_json().as_bytes(), 0)?;
        Ok(Card { file, text: Mutex::new(text) })
    }

    /// Notes an internal error; the first one counts.
    pub(super) fn breaks(&self, how: &str) {
        let mut text = lock(&self.text);
        if text.broken.is_none() {
            text.broken = Some(how.to_owned());
            // It has only grown. Without memory for it, nobody hears of the error here.
            let _ = self.file.write_all_at(text.to_json().as_bytes(), 0);
        }
    }

    /// Says nothing any more: what it was about has ended, and its device may be another lab's, while this process goes on.
    pub(super) fn withdraw(&self) {
        let mut text = lock(&self.text);
        // No error is noted later.
        text.broken.get_or_insert_default();
        // A card that could not be emptied is taken for one of a lab that is unmounted.
        let _ = self.file.set_len(0);
    }
}

impl Text {
    fn to_json(&self) -> String {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let (proc, lab) = match &self.part {
            Part::Whole => (false, None),
            Part::Proc => (true, None),
            Part::ProcOf(lab) => (true, Some(path(lab))),
        };
        let (dir, boot) = (path(&self.dir), self.boot.as_ref().map(path));
        json!({ "dir": dir, "device": self.device, "proc": proc, "lab": lab, "boot": boot, "broken": self.broken })
            .to_string()
    }

    /// What a card says, whoever wrote it.
    pub(super) fn parse(text: &str) -> Option<Text> {
        let value: Value = serde_json::from_str(text).ok()?;
        let string = |key: &str| value[key].as_str().map(str::to_owned);
        Some(Text {
            dir: string("dir")?.into(),
            device: value["device"].as_u64()?.try_into().ok()?,
            part: match (value["proc"].as_bool()?, string("lab")) {
                (false, _) => Part::Whole,
                (true, None) => Part::Proc,
                (true, Some(lab)) => Part::ProcOf(lab.into()),
            },
            boot: string("boot").map(PathBuf::from),
            broken: string("broken"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_what_was_written_last() {
        for part in [Part::Whole, Part::Proc, Part::ProcOf("/n".into())] {
            let card = Card::new(Path::new("/m"), 39, Some(Path::new("/a.lab")), part.clone()).unwrap();
            let read = || Text::parse(&io::read_to_string(&File::open(link(&card)).unwrap()).unwrap()).unwrap();
            let fresh = Text { dir: "/m".into(), device: 39, part, boot: Some("/a.lab".into()), broken: None };
            assert_eq!(read(), fresh);
            card.breaks("first");
            card.breaks("second");
            assert_eq!(read(), Text { broken: Some("first".to_owned()), ..fresh });
            card.withdraw();
            card.breaks("third");
            assert_eq!(io::read_to_string(&File::open(link(&card)).unwrap()).unwrap(), "");
        }
    }

    fn link(card: &Card) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", card.file.as_raw_fd())
    }
}
