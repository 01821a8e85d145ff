//! Files of plain file systems: dentries.

use super::family::{Family, Link, Up};
use super::look::Look;
use super::{Attr, Cacheable, FileType, WriteTarget};
use crate::bail;
use crate::errno::Result;
use crate::kernel::mount::dentry::{Content, Dentry};
use crate::kernel::node::Place;
use crate::kernel::{DentryId, Kernel};

pub(super) struct Plain(pub DentryId);

impl Family for Plain {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.vfs.dentries.contains(self.0)
    }

    fn file_type(&self, k: &Kernel) -> Option<FileType> {
        k.vfs.dentries.get(self.0).map(|dentry| match dentry.content {
            Content::Directory(_) => FileType::Directory,
            Content::File(_) => FileType::File,
            Content::Symlink(_) => FileType::Symlink,
            Content::Socket(_) => FileType::Socket,
        })
    }

    fn path(&self, look: &Look<'_>) -> String {
        String::from_utf8_lossy(&look.k.vfs.dentries[self.0].name).into_owned()
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let dentry = &look.k.vfs.dentries[self.0];
        let (mode, uid, gid) = (dentry.mode, dentry.uid, dentry.gid);
        Ok(Attr { mode, uid, gid, nlink: nlink(dentry), size: link_length(dentry), ..plain })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    fn write_target(&self) -> Option<WriteTarget> {
        Some(WriteTarget::File(self.0))
    }

    fn lookup(&self, look: &Look<'_>, name: &[u8]) -> Option<Place> {
        look.k.child_dentry(self.0, name).map(Place::Dentry)
    }

    fn list(&self, look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        let entries = look.k.vfs.dentries[self.0].entries().into_iter().flatten();
        let entries = entries.map(|(name, dentry)| (String::from_utf8_lossy(name), Place::Dentry(dentry.id())));
        Ok(entries.map(|(name, place)| (name.into_owned(), place)).collect())
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        match &look.k.vfs.dentries[self.0].content {
            Content::File(bytes) => Ok(bytes.clone()),
            Content::Directory(_) | Content::Symlink(_) | Content::Socket(_) => {
                bail!(EINVAL, "this file cannot be read")
            }
        }
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        Ok(match &look.k.vfs.dentries[self.0].content {
            Content::Symlink(text) => Some(Link::Symlink(text.to_vec())),
            Content::Directory(_) | Content::File(_) | Content::Socket(_) => None,
        })
    }

    fn is_dentry(&self) -> bool {
        true
    }

    fn up(&self, look: &Look<'_>) -> Up {
        let dentry = &look.k.vfs.dentries[self.0];
        match &dentry.parent {
            Some(parent) => Up::To(dentry.name.to_vec(), Place::Dentry(parent.id())),
            None => Up::Top,
        }
    }
}

/// Bytes of the text of a symbolic link.
fn link_length(dentry: &Dentry) -> u64 {
    match &dentry.content {
        Content::Symlink(text) => text.len() as u64,
        Content::Directory(_) | Content::File(_) | Content::Socket(_) => 0,
    }
}

fn nlink(dentry: &Dentry) -> u32 {
    match dentry.is_directory() {
        true if !dentry.is_linked => 0,
        true => 2 + dentry.subdirs,
        false => u32::from(dentry.is_linked),
    }
}
