//! `as/<pid>`: the trees of the lab as a task sees them.

use super::family::Family;
use super::look::Look;
use super::{Attr, Cacheable, Eyes, FileType, ROOT, fixed, root};
use crate::errno::Result;
use crate::kernel::node::{Node, View};
use crate::kernel::{Kernel, TaskId};

pub(super) struct SeenAs(pub TaskId);

impl Family for SeenAs {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.tasks.contains(self.0)
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(FileType::Directory)
    }

    fn path(&self, look: &Look<'_>) -> String {
        format!("as/{}", look.nr(self.0))
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        Ok(plain.of_task(look.k, self.0, 0o555))
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: true, attr: true }
    }

    fn is_view_top(&self) -> bool {
        true
    }

    fn child(&self, look: &Look<'_>, view: View, name: &[u8]) -> Result<Option<Node>> {
        let trees = self.children(look, view)?.into_iter();
        Ok(trees.filter(|(tree, _)| tree.as_bytes() == name).map(|(_, node)| node).next())
    }

    fn children(&self, look: &Look<'_>, _: View) -> Result<Vec<(String, Node)>> {
        let (k, view) = (look.k, View::As(self.0));
        let own = Look::now(k, Eyes { task: self.0, files: look.files }, Node { view, ..ROOT })?;
        let trees = fixed::as_dirs().chain(fixed::view_trees(&own));
        let trees = trees.map(|(name, place)| (name.to_owned(), Node { view, place }));
        Ok(trees.chain(root::entry(k, self.0, Some(self.0))).collect())
    }
}
