//! The one walk through a file tree of the lab that tests share.

use nslab::errno::Error;
use nslab::kernel::Kernel;
use nslab::kernel::node::Node;
use nslab::tree::{self, Eyes, FileType};

/// A file that was found.
pub struct Found {
    /// `/proc/1/comm`; empty for the top.
    pub path: String,
    pub node: Node,
    pub file_type: FileType,
}

/// All that is listed below the directory `top`, nearest first, itself included. `enters` says of a directory, with what
/// was found before, whether it is listed; `fails` gets the error if it cannot be.
pub fn walk(
    k: &Kernel,
    eyes: Eyes,
    top: Node,
    enters: impl Fn(&Found, &[Found]) -> bool,
    fails: impl Fn(&Found, Error),
) -> Vec<Found> {
    let mut found = vec![Found { path: String::new(), node: top, file_type: FileType::Directory }];
    let mut at = 0;
    while let Some(file) = found.get(at) {
        at += 1;
        if file.file_type != FileType::Directory || !enters(file, &found) {
            continue;
        }
        match tree::readdir(k, eyes, file.node) {
            Ok(entries) => {
                let dir = file.path.clone();
                let child = |entry: tree::DirEntry| Found {
                    path: format!("{dir}/{}", entry.name),
                    node: entry.node,
                    file_type: entry.file_type,
                };
                found.extend(entries.into_iter().map(child));
            }
            Err(error) => fails(file, error),
        }
    }
    found
}
