//! `proc/sys/user/max_<kind>_namespaces`.

use super::sys::{self, Rule};
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::file::About;
use crate::kernel::ns::NsType;
use crate::tree::family::Family;
use crate::tree::look::Look;
use crate::tree::{Attr, Cacheable, FileType, Sysctl, WriteTarget};

pub(in crate::tree) struct MaxNamespaces(pub NsType);

impl Family for MaxNamespaces {
    fn is_alive(&self, _: &Kernel) -> bool {
        true
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(FileType::File)
    }

    fn path(&self, _: &Look<'_>) -> String {
        format!("proc/sys/user/{}", self.0.ops().ucount_name)
    }

    fn attr(&self, _: &Look<'_>, plain: Attr) -> Result<Attr> {
        Ok(Attr { mode: 0o644, ..plain })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: true, attr: true }
    }

    fn about(&self, look: &Look<'_>) -> About {
        About::Table(look.user_ns.any())
    }

    fn write_target(&self) -> Option<WriteTarget> {
        Some(WriteTarget::Sysctl(Sysctl::MaxNamespaces(self.0)))
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        sys::max_namespaces(look, self.0.ops())
    }

    fn rule(&self, look: &Look<'_>) -> Option<Rule> {
        Some(Rule::UserNs(look.bound_to().unwrap_or(look.user_ns)))
    }
}
