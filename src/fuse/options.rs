//! `-o` options, those of mount(8) included.

use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use super::bounds::Bounds;
use crate::tree::Style;

/// How a lab is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Users besides the one who mounts may look.
    pub allow_other: bool,
    /// What is on the directory now may be covered.
    pub nonempty: bool,
    /// The clock of the lab goes.
    pub realtime: bool,
    /// What those who use the mount may use up.
    pub bounds: Bounds,
    /// What links of tasks to files show.
    pub links: Style,
    /// One thread takes all requests, in their order, so that what an answer follows is done.
    pub(super) in_order: bool,
    /// The script that the lab has booted with, for `nslab list`.
    pub(super) boot: Option<PathBuf>,
    pub(super) flags: MsFlags,
}

/// Options that set flags of mount(2).
const FLAGS: [(&str, MsFlags); 4] = [
    ("ro", MsFlags::MS_RDONLY),
    ("noexec", MsFlags::MS_NOEXEC),
    ("sync", MsFlags::MS_SYNCHRONOUS),
    ("dirsync", MsFlags::MS_DIRSYNC),
];

/// Options that mount(8) and fstab hand on to every file system and that make no difference here.
const IGNORED: [&str; 27] = [
    "rw",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "exec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "async",
    "auto",
    "noauto",
    "defaults",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "_netdev",
    "nofail",
];

impl Default for Options {
    fn default() -> Options {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let (links, bounds) = (Style::Mount, Bounds::default());
        Options {
            allow_other: false,
            nonempty: false,
            realtime: false,
            links,
            bounds,
            in_order: false,
            boot: None,
            flags,
        }
    }
}

impl Options {
    /// One thread takes all requests.
    pub fn in_order(self) -> Options {
        Options { in_order: true, ..self }
    }

    /// The clock of the lab goes with real time.
    pub fn in_real_time(self) -> Options {
        Options { realtime: true, ..self }
    }

    /// For a lab that has booted with this script.
    pub fn booted_with(self, file: Option<&Path>) -> Options {
        let boot = file.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
        Options { boot, ..self }
    }

    /// Adds the comma-separated words of an `-o`; the last of two that contradict each other counts.
    ///
    /// # Errors
    /// The word that is no option.
    pub fn add<'a>(&mut self, words: &'a str) -> Result<(), &'a str> {
        for word in words.split(',').filter(|word| !word.is_empty()) {
            match word {
                "allow_other" => self.allow_other = true,
                "nonempty" => self.nonempty = true,
                "realtime" => self.realtime = true,
                "links=linux" => self.links = Style::Linux,
                "links=lab" => self.links = Style::Mount,
                "rw" => self.flags.remove(MsFlags::MS_RDONLY),
                _ => match FLAGS.iter().find(|(name, _)| *name == word) {
                    Some((_, flag)) => self.flags.insert(*flag),
                    None if IGNORED.contains(&word) || is_comment(word) => {}
                    None if self.bounds.add(word).is_some() => {}
                    None => return Err(word),
                },
            }
        }
        Ok(())
    }

    /// The words for fusermount3, which takes no flags.
    pub(super) fn words(&self) -> String {
        let flags = FLAGS.iter().filter(|(_, flag)| self.flags.contains(*flag)).map(|(name, _)| *name);
        let others = self.allow_other.then_some("allow_other");
        ["nosuid", "nodev"].into_iter().chain(flags).chain(others).collect::<Vec<_>>().join(",")
    }
}

/// Notes that fstab holds for other programs.
fn is_comment(word: &str) -> bool {
    word.starts_with("x-") || word.starts_with("X-") || word.starts_with("comment=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Options {
        let mut options = Options::default();
        options.add(words).unwrap();
        options
    }

    #[test]
    fn generic_options_are_taken_and_make_no_difference() {
        assert_eq!(parse("rw,dev,suid,nofail,x-systemd.automount,,_netdev"), Options::default());
    }

    #[test]
    fn the_last_of_ro_and_rw_counts() {
        assert!(parse("rw,ro").flags.contains(MsFlags::MS_RDONLY));
        assert!(!parse("ro,rw").flags.contains(MsFlags::MS_RDONLY));
    }

    #[test]
    fn an_unknown_option_is_named() {
        assert_eq!(Options::default().add("ro,frob=1"), Err("frob=1"));
    }

    #[test]
    fn fusermount_gets_words() {
        assert_eq!(parse("allow_other,ro").words(), "nosuid,nodev,ro,allow_other");
    }
}
