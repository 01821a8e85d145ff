//! The hidden files that namespace links lead to (`fs/nsfs.c`).

use super::family::{Family, Up};
use super::look::Look;
use super::open::{Access, check_mode};
use super::{Attr, Cacheable, FileType};
use crate::bail;
use crate::errno::Result;
use crate::kernel::{Kernel, NsId};

pub(super) struct NsFile(pub NsId);

impl Family for NsFile {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.namespaces.contains(self.0)
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(FileType::File)
    }

    fn path(&self, look: &Look<'_>) -> String {
        look.k.ns_arg(self.0).to_string()
    }

    fn attr(&self, _: &Look<'_>, plain: Attr) -> Result<Attr> {
        Ok(plain)
    }

    fn caching(&self) -> Cacheable {
        // A namespace may go without any task changing.
        Cacheable { name: false, attr: true }
    }

    fn up(&self, _: &Look<'_>) -> Up {
        Up::Top
    }

    fn ino(&self, k: &Kernel) -> Option<u64> {
        k.namespaces.get(self.0).map(|ns| u64::from(ns.common.inum))
    }

    fn check_access(&self, look: &Look<'_>, attr: &Attr, access: Access) -> Result<()> {
        if access.contains(Access::WRITE) {
            bail!(EPERM, "{} is immutable: namespace files open read-only", look.k.ns_arg(self.0));
        }
        check_mode(look.k, look.k.cred_of(look.reader).rights(), attr, access)
    }

    fn path_in_sb(&self, look: &Look<'_>) -> Option<Vec<u8>> {
        Some(look.k.ns_arg(self.0).to_string().into_bytes())
    }

    fn ns(&self) -> Option<NsId> {
        Some(self.0)
    }

    fn is_unseekable(&self) -> bool {
        true
    }

    fn is_immutable(&self) -> bool {
        true
    }
}
