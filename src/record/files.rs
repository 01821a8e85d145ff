//! Where a recording is read from: a directory, or a lab that is not mounted.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::errno;
use crate::kernel::Kernel;
use crate::kernel::file::OpenFlags;
use crate::kernel::node::Node;
use crate::lab;
use crate::tree::{self, ROOT, Style};

/// A name as a path.
pub(super) fn name(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

/// Files by their paths below some root, which begin with no slash.
pub trait Files {
    /// # Errors
    /// What reading it gives.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The names in a directory.
    ///
    /// # Errors
    /// What listing it gives.
    fn names(&self, path: &str) -> io::Result<Vec<Vec<u8>>>;

    /// The text of a link.
    ///
    /// # Errors
    /// What reading it gives.
    fn link(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The user who owns a file.
    ///
    /// # Errors
    /// What asking gives.
    fn owner(&self, path: &str) -> io::Result<u32>;
}

/// Files of the host: of the machine itself, of a mounted lab.
#[derive(Clone, Debug)]
pub struct Disk(pub PathBuf);

impl Files for Disk {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.0.join(path))
    }

    fn names(&self, path: &str) -> io::Result<Vec<Vec<u8>>> {
        std::fs::read_dir(self.0.join(path))?.map(|entry| Ok(entry?.file_name().into_vec())).collect()
    }

    fn link(&self, path: &str) -> io::Result<Vec<u8>> {
        Ok(std::fs::read_link(self.0.join(path))?.into_os_string().into_vec())
    }

    fn owner(&self, path: &str) -> io::Result<u32> {
        Ok(std::fs::symlink_metadata(self.0.join(path))?.uid())
    }
}

/// The files of a lab that is not mounted, as its init sees them.
#[derive(Clone, Copy, Debug)]
pub struct Bare<'a>(pub &'a Kernel);

impl Bare<'_> {
    fn find(&self, path: &str) -> errno::Result<Node> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.into_iter().try_fold(ROOT, |dir, name| {
            tree::lookup(self.0, lab::eyes(self.0.init.task), dir, OsStr::new(name).as_bytes())
        })
    }
}

impl Files for Bare<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let eyes = lab::eyes(self.0.init.task);
        let read = || tree::read_open(self.0, eyes, &tree::open(self.0, eyes, self.find(path)?, OpenFlags::empty())?);
        read().map_err(from_errno)
    }

    fn names(&self, path: &str) -> io::Result<Vec<Vec<u8>>> {
        let list = || tree::readdir(self.0, lab::eyes(self.0.init.task), self.find(path)?);
        Ok(list().map_err(from_errno)?.into_iter().map(|entry| entry.name.into_bytes()).collect())
    }

    fn link(&self, path: &str) -> io::Result<Vec<u8>> {
        let link = || tree::readlink(self.0, lab::eyes(self.0.init.task), self.find(path)?, Style::Mount);
        link().map_err(from_errno)
    }

    fn owner(&self, path: &str) -> io::Result<u32> {
        let attr = || tree::attr(self.0, lab::eyes(self.0.init.task), self.find(path)?);
        Ok(attr().map_err(from_errno)?.uid.0)
    }
}

fn from_errno(error: errno::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno as i32)
}
