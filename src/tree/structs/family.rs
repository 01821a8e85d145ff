//! What is below `kernel/`, as families of files.

use super::{field_path, item_target, item_type, lookup, lookup_ns, read, read_item, readdir, readdir_ns, target};
use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::node::{Object, Place};
use crate::kernel::ns::NsType;
use crate::tree::family::{Family, Link};
use crate::tree::look::Look;
use crate::tree::{Attr, Cacheable, FileType};

/// A member of a struct, or its directory.
pub(in crate::tree) struct Member {
    pub object: Object,
    pub row: u16,
}

/// An element of a list.
pub(in crate::tree) struct Element {
    pub object: Object,
    pub row: u16,
    pub key: u32,
}

/// `kernel/ns/<kind>`
pub(in crate::tree) struct NsKindDir(pub NsType);

/// Everybody may look at everything.
fn open_to_all(plain: Attr) -> Attr {
    let mode = match plain.file_type {
        FileType::Directory => 0o555,
        FileType::File | FileType::Socket => 0o444,
        FileType::Symlink => 0o777,
    };
    Attr { mode, ..plain }
}

fn unreadable() -> Result<Vec<u8>> {
    bail!(EINVAL, "this file cannot be read")
}

/// Where a pointer leads.
fn pointer(target: Option<Object>) -> Result<Option<Link>> {
    match target {
        Some(target) => Ok(Some(Link::Object(target))),
        None => bail!(ENOENT, "a null pointer"),
    }
}

impl Family for Member {
    fn is_alive(&self, k: &Kernel) -> bool {
        super::is_alive(k, self.object)
    }

    fn file_type(&self, k: &Kernel) -> Option<FileType> {
        super::file_type(k, self.object, self.row)
    }

    fn path(&self, look: &Look<'_>) -> String {
        format!("kernel/{}", field_path(look.k, self.object, self.row))
    }

    fn attr(&self, _: &Look<'_>, plain: Attr) -> Result<Attr> {
        Ok(open_to_all(plain))
    }

    fn caching(&self) -> Cacheable {
        // Operations are the same for ever.
        let stays = matches!(self.object, Object::Ops(_));
        Cacheable { name: stays, attr: stays }
    }

    fn lookup(&self, look: &Look<'_>, name: &[u8]) -> Option<Place> {
        lookup(look.k, self.object, self.row, name)
    }

    fn list(&self, look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        Ok(readdir(look.k, self.object, self.row))
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        read(look.k, self.object, self.row).map_or_else(unreadable, Ok)
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        match self.file_type(look.k) {
            Some(FileType::Symlink) => pointer(target(look.k, self.object, self.row)),
            Some(FileType::Directory | FileType::File | FileType::Socket) | None => Ok(None),
        }
    }
}

impl Family for Element {
    fn is_alive(&self, k: &Kernel) -> bool {
        super::is_alive(k, self.object)
    }

    fn file_type(&self, k: &Kernel) -> Option<FileType> {
        item_type(k, self.object, self.row, self.key)
    }

    fn path(&self, look: &Look<'_>) -> String {
        format!("kernel/{}/{}", field_path(look.k, self.object, self.row), self.key)
    }

    fn attr(&self, _: &Look<'_>, plain: Attr) -> Result<Attr> {
        Ok(open_to_all(plain))
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        read_item(look.k, self.object, self.row, self.key).map_or_else(unreadable, Ok)
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        match self.file_type(look.k) {
            Some(FileType::Symlink) => pointer(item_target(look.k, self.object, self.row, self.key)),
            Some(FileType::Directory | FileType::File | FileType::Socket) | None => Ok(None),
        }
    }
}

impl Family for NsKindDir {
    fn is_alive(&self, _: &Kernel) -> bool {
        true
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(FileType::Directory)
    }

    fn path(&self, _: &Look<'_>) -> String {
        format!("kernel/ns/{}", self.0.ops().name)
    }

    fn attr(&self, _: &Look<'_>, plain: Attr) -> Result<Attr> {
        Ok(open_to_all(plain))
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: true, attr: true }
    }

    fn lookup(&self, look: &Look<'_>, name: &[u8]) -> Option<Place> {
        lookup_ns(look.k, self.0, name)
    }

    fn list(&self, look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        Ok(readdir_ns(look.k, self.0))
    }
}
