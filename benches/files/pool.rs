//! The paths of a lab that a client knows.

use std::fs;
use std::path::{Path, PathBuf};

use crate::client::Random;

/// As many paths as are known at once.
const PATHS: usize = 20_000;

#[derive(Debug, Default)]
pub struct Pool {
    /// Each with whether it is a directory.
    paths: Vec<(PathBuf, bool)>,
}

impl Pool {
    /// All that is listed, nearest first. No link is followed: some lead into the file tree of the host.
    pub fn walk(lab: &Path) -> Pool {
        let mut paths: Vec<(PathBuf, bool)> = ["", "../procfs"].map(|top| (lab.join(top), true)).into();
        let mut at = 0;
        while at < paths.len() && paths.len() < PATHS {
            let entries = paths[at].1.then(|| fs::read_dir(&paths[at].0)).into_iter().flatten().flatten().flatten();
            paths.extend(entries.map(|entry| (entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir()))));
            at += 1;
        }
        Pool { paths }
    }

    /// A path at random; now and then one that may not exist.
    pub fn pick(&self, random: &mut Random) -> PathBuf {
        let (path, is_dir) = &self.paths[random.below(self.paths.len())];
        match random.below(8) {
            0 if *is_dir => path.join(["other", "x", "3", "self"][random.below(4)]),
            _ => path.clone(),
        }
    }
}
