//! The files that belong to no object: the directories at the top, `proc/*` and `proc/sys/**`.

mod table;

use super::census::Census;
use super::family::{Family, Link};
use super::look::Look;
use super::mqueue;
use super::proc::sys::{self, Rule};
use super::{
    Attr, Cacheable, Content, FileType, Polled, ROOT_INO, Special, Sysctl, WriteTarget, cgroup, net_conf, root, rows,
};
use crate::errno::{Error, Result};
use crate::kernel::file::About;
use crate::kernel::mount::options::HidePid;
use crate::kernel::node::{ITSELF, Node, Place, TaskDir, Top, View};
use crate::kernel::ns::{NS_TABLE, NsOps, Slot, UtsName};
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::{Kernel, TaskId};
use crate::{bail, err};
use table::{Dir, ROWS};

pub(super) use table::{Kind, Row};

/// The names at the top of the lab that lead to what the viewer sees; the others are the same for all.
const VIEWED: [&str; 4] = ["proc", "root", "cgroup", "mqueue"];

fn paths() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.path)
}

/// The place of a row: the tops of trees have one that the kernel knows.
fn place(row: u16) -> Place {
    match FixedFile::at(row).row.kind {
        Kind::Dir(Dir::Top(top)) => Place::Top(top),
        Kind::Dir(_)
        | Kind::File(_)
        | Kind::Live(_)
        | Kind::Picture(_)
        | Kind::Link(_)
        | Kind::Sysctl { .. }
        | Kind::Ipc(_)
        | Kind::SysvIpc(_)
        | Kind::Special(..) => Place::Fixed(row),
    }
}

impl Row {
    /// Links to the reader itself, and files owned by who owns a namespace of the reader. All else in the table has the
    /// same shape for all, for ever.
    fn depends_on_reader(&self) -> bool {
        match self.kind {
            Kind::Link(_) | Kind::Ipc(_) | Kind::Dir(Dir::Top(Top::Mqueue)) => true,
            Kind::Sysctl { write, .. } => matches!(write, Some(Sysctl::PidMax | Sysctl::Net(_))),
            Kind::Dir(_) | Kind::File(_) | Kind::Live(_) | Kind::Picture(_) | Kind::SysvIpc(_) | Kind::Special(..) => {
                false
            }
        }
    }

    fn file_type(&self) -> FileType {
        match self.kind {
            Kind::Dir(_) => FileType::Directory,
            Kind::File(_)
            | Kind::Live(_)
            | Kind::Picture(_)
            | Kind::Sysctl { .. }
            | Kind::Ipc(_)
            | Kind::SysvIpc(_)
            | Kind::Special(..) => FileType::File,
            Kind::Link(_) => FileType::Symlink,
        }
    }

    /// Hard links of a directory: one for each sub-directory and two for itself; 1, "not counted", where tasks come and
    /// go.
    fn nlink(&self) -> u32 {
        let trees = match self.kind {
            Kind::Dir(Dir::Plain | Dir::MaxNamespaces) => 0,
            Kind::Dir(Dir::Top(Top::Lab)) => VIEW_TREES,
            Kind::Dir(Dir::Top(Top::Proc | Top::Mqueue) | Dir::NetConf | Dir::As | Dir::Objects(_))
            | Kind::File(_)
            | Kind::Live(_)
            | Kind::Picture(_)
            | Kind::Link(_)
            | Kind::Sysctl { .. }
            | Kind::Ipc(_)
            | Kind::SysvIpc(_)
            | Kind::Special(..) => return 1,
        };
        let is_dir = |row: u16| FixedFile::at(row).row.file_type() == FileType::Directory;
        2 + trees + rows::children(paths(), self.path).map(|(child, _)| u32::from(is_dir(child))).sum::<u32>()
    }
}

/// A file of the table.
pub(super) struct FixedFile {
    row: &'static Row,
}

impl FixedFile {
    pub fn at(row: u16) -> FixedFile {
        FixedFile { row: &ROWS[usize::from(row)] }
    }

    pub fn top(top: Top) -> FixedFile {
        // The tops come first in the table.
        let is_top = |row: &&Row| matches!(row.kind, Kind::Dir(Dir::Top(of)) if of == top);
        FixedFile { row: ROWS.iter().find(is_top).unwrap_or(&ROWS[0]) }
    }
}

impl Family for FixedFile {
    fn is_alive(&self, _: &Kernel) -> bool {
        true
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(self.row.file_type())
    }

    fn path(&self, _: &Look<'_>) -> String {
        self.row.path.to_owned()
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let is_mqueue = matches!(self.row.kind, Kind::Dir(Dir::Top(Top::Mqueue)));
        let (uid, gid) = if is_mqueue { mqueue::root_owner(look) } else { sys::rule(look, self.row).owner(look.k) };
        let above = if self.is_lab_top() { look.files.tops.len() } else { 0 };
        let nlink = self.row.nlink() + u32::try_from(above).unwrap_or(0);
        let mode = sys::mode(look.k, self.row, look.bound);
        Ok(Attr { mode, nlink, uid, gid, size: self.size(), ..plain })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: true, attr: !self.row.depends_on_reader() && self.special() != Some(Special::Trace) }
    }

    fn content(&self) -> Content {
        match self.row.kind {
            Kind::Picture(_) | Kind::Special(..) => Content::Unsized,
            Kind::Live(_) => Content::Live,
            Kind::Dir(_) | Kind::File(_) | Kind::Link(_) | Kind::Sysctl { .. } | Kind::Ipc(_) | Kind::SysvIpc(_) => {
                Content::Version
            }
        }
    }

    fn keeps_names(&self) -> bool {
        matches!(self.row.kind, Kind::Dir(Dir::Plain | Dir::MaxNamespaces))
    }

    fn about(&self, look: &Look<'_>) -> About {
        let k = look.k;
        let own = |slot| k.task_ns(look.reader, slot).map_or(About::Itself, About::Table);
        match self.row.kind {
            Kind::SysvIpc(_) => {
                let about = |own: &NsProxy| About::SysvIpc { ipc_ns: own.ipc_ns(), pid_ns: look.opener_pid_ns };
                k.nsproxy_of(look.reader).map_or(About::Itself, about)
            }
            Kind::Ipc(_) => own(Slot::Ipc),
            Kind::Sysctl { write: Some(Sysctl::Net(_)), .. } => own(Slot::Net),
            Kind::Sysctl { write: Some(Sysctl::PidMax), .. } => About::Table(k.task_active_pid_ns(look.reader).any()),
            Kind::Sysctl { .. }
            | Kind::Dir(_)
            | Kind::File(_)
            | Kind::Live(_)
            | Kind::Picture(_)
            | Kind::Link(_)
            | Kind::Special(..) => About::Itself,
        }
    }

    fn write_target(&self) -> Option<WriteTarget> {
        match self.row.kind {
            Kind::Sysctl { write, .. } => write.map(WriteTarget::Sysctl),
            Kind::Ipc(sysctl) => Some(WriteTarget::Sysctl(Sysctl::Ipc(sysctl))),
            Kind::Dir(_)
            | Kind::File(_)
            | Kind::Live(_)
            | Kind::Picture(_)
            | Kind::Link(_)
            | Kind::SysvIpc(_)
            | Kind::Special(..) => None,
        }
    }

    fn lookup(&self, look: &Look<'_>, name: &[u8]) -> Option<Place> {
        let Kind::Dir(holds) = self.row.kind else { return None };
        if let Some(child) = rows::child(paths(), self.row.path, name) {
            return Some(place(child));
        }
        match holds {
            Dir::Plain => None,
            Dir::Top(Top::Lab) => {
                let mut trees = look.files.tops.iter().copied().chain(view_trees(look));
                trees.find(|(tree, _)| tree.as_bytes() == name).map(|(_, place)| place)
            }
            // `proc_pid_lookup`
            Dir::Top(Top::Proc) => {
                let task = look.find(name).filter(|task| {
                    look.hide_pid().hide_pid != HidePid::NotPtraceable || !look.hides(*task, HidePid::NoAccess)
                });
                task.map(|task| TaskDir::process(task).entry(ITSELF))
            }
            Dir::Top(Top::Mqueue) => mqueue::lookup(look, name),
            Dir::MaxNamespaces => {
                let kind = NS_TABLE.iter().find(|ops| ops.ucount_name.as_bytes() == name)?;
                Some(Place::MaxNamespaces(kind.ns_type))
            }
            Dir::NetConf => net_conf::lookup(look, name),
            Dir::As => look.find(name).map(Place::As),
            Dir::Objects(collection) => collection.lookup(look.k, name),
        }
    }

    /// In the order of the tables and of the numbers.
    fn list(&self, look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        let Kind::Dir(holds) = self.row.kind else { return Ok(Vec::new()) };
        let rows = rows::children(paths(), self.row.path);
        let rows = rows.map(|(child, name)| (name.to_owned(), place(child)));
        let above = if self.is_lab_top() { look.files.tops } else { &[] };
        let above = above.iter().map(|(name, place)| ((*name).to_owned(), *place));
        let mut entries: Vec<_> = above.chain(rows).collect();
        match holds {
            Dir::Plain => {}
            Dir::Top(Top::Lab) => entries.extend(view_trees(look).map(|(name, place)| (name.to_owned(), place))),
            Dir::Top(Top::Proc) => {
                let dir = |task| TaskDir::process(task).entry(ITSELF);
                let shown = processes(look).filter(|(_, task)| !look.hides(*task, HidePid::Invisible));
                entries.extend(shown.map(|(nr, task)| (nr.to_string(), dir(task))));
            }
            Dir::Top(Top::Mqueue) => entries.extend(mqueue::readdir(look)),
            Dir::MaxNamespaces => {
                let limit = |ops: &NsOps| (ops.ucount_name.to_owned(), Place::MaxNamespaces(ops.ns_type));
                entries.extend(NS_TABLE.into_iter().map(limit));
            }
            Dir::NetConf => entries.extend(net_conf::readdir(look)),
            Dir::As => entries.extend(processes(look).map(|(nr, task)| (nr.to_string(), Place::As(task)))),
            Dir::Objects(collection) => entries.extend(collection.readdir(look.k)),
        }
        Ok(entries)
    }

    fn child(&self, look: &Look<'_>, view: View, name: &[u8]) -> Result<Option<Node>> {
        if name == b"root" && self.is_lab_top() {
            return Ok(root::of_task(look.k, look.reader, view.viewer()));
        }
        Ok(self.lookup(look, name).map(|place| root::topmost(look.k, Node { view, place })))
    }

    fn children(&self, look: &Look<'_>, view: View) -> Result<Vec<(String, Node)>> {
        let root = if self.is_lab_top() { root::entry(look.k, look.reader, view.viewer()) } else { None };
        let seen = |(name, place)| (name, root::topmost(look.k, Node { view, place }));
        Ok(self.list(look)?.into_iter().map(seen).chain(root).collect())
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        match self.row.kind {
            Kind::File(render)
            | Kind::Live(render)
            | Kind::SysvIpc(render)
            | Kind::Special(_, render)
            | Kind::Sysctl { render, .. } => render(look),
            Kind::Picture(draw) => Ok(draw(&Census::take(look.k))),
            Kind::Ipc(sysctl) => sys::ipc(look, sysctl),
            Kind::Dir(_) | Kind::Link(_) => bail!(EINVAL, "this file cannot be read"),
        }
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        let Kind::Link(text) = self.row.kind else { return Ok(None) };
        text(look).map(|text| Some(Link::Relative(text.into_bytes())))
    }

    fn ino(&self, _: &Kernel) -> Option<u64> {
        self.is_lab_top().then_some(ROOT_INO)
    }

    fn special(&self) -> Option<Special> {
        match self.row.kind {
            Kind::Special(special, _) => Some(special),
            Kind::Dir(_)
            | Kind::File(_)
            | Kind::Live(_)
            | Kind::Picture(_)
            | Kind::Link(_)
            | Kind::Sysctl { .. }
            | Kind::Ipc(_)
            | Kind::SysvIpc(_) => None,
        }
    }

    fn is_viewed(&self, name: &[u8]) -> bool {
        self.is_lab_top() && VIEWED.iter().any(|viewed| viewed.as_bytes() == name)
    }

    fn drawing(&self) -> Option<fn(&Census) -> Vec<u8>> {
        match self.row.kind {
            Kind::Picture(draw) => Some(draw),
            Kind::Dir(_)
            | Kind::File(_)
            | Kind::Live(_)
            | Kind::Link(_)
            | Kind::Sysctl { .. }
            | Kind::Ipc(_)
            | Kind::SysvIpc(_)
            | Kind::Special(..) => None,
        }
    }

    fn write_error(&self) -> Error {
        err!(EIO, "the file cannot be written")
    }

    fn polled(&self, look: &Look<'_>) -> Polled {
        let name = match self.row.kind {
            Kind::Sysctl { write: Some(Sysctl::Hostname), .. } => UtsName::Node,
            Kind::Sysctl { write: Some(Sysctl::Domainname), .. } => UtsName::Domain,
            Kind::Sysctl { .. }
            | Kind::Dir(_)
            | Kind::File(_)
            | Kind::Live(_)
            | Kind::Picture(_)
            | Kind::Link(_)
            | Kind::Ipc(_)
            | Kind::SysvIpc(_)
            | Kind::Special(..) => return Polled::Ready,
        };
        Polled::Sysctl(look.k.uts_events.of(name))
    }

    fn rule(&self, look: &Look<'_>) -> Option<Rule> {
        matches!(self.row.kind, Kind::Sysctl { .. } | Kind::Ipc(_)).then(|| sys::rule(look, self.row))
    }
}

impl FixedFile {
    /// Of a link the length of its text, where that is the same for all (`proc_symlink`).
    fn size(&self) -> u64 {
        match self.row.path {
            "proc/mounts" => "self/mounts".len() as u64,
            "proc/net" => "self/net".len() as u64,
            _ => 0,
        }
    }

    fn is_lab_top(&self) -> bool {
        matches!(self.row.kind, Kind::Dir(Dir::Top(Top::Lab)))
    }
}

/// The processes a view's `proc` lists: group leaders, by number.
fn processes<'k>(look: &Look<'k>) -> impl Iterator<Item = (i32, TaskId)> {
    let k = look.k;
    let numbers = k.namespaces.state(look.pid_ns).map(|ns| ns.idr.iter());
    numbers.into_iter().flatten().filter_map(move |(nr, pid)| {
        let task = k.pids[pid].attached.task?;
        k.is_leader(task).then_some((nr, task))
    })
}

/// How many trees a view has besides its fixed directories.
const VIEW_TREES: u32 = 1;

/// The trees of a view whose tops depend on who looks, by name.
pub(super) fn view_trees(look: &Look<'_>) -> [(&'static str, Place); VIEW_TREES as usize] {
    [("cgroup", Place::Cgroup(cgroup::root(look), None))]
}

/// The directories at the top that `as/<pid>` holds once more, as that task sees them.
pub(super) fn as_dirs() -> impl Iterator<Item = (&'static str, Place)> {
    let is_top = |row: u16| matches!(FixedFile::at(row).row.kind, Kind::Dir(Dir::Top(_)));
    rows::children(paths(), "").filter(move |(row, _)| is_top(*row)).map(|(row, name)| (name, place(row)))
}

/// An index into a table of at most 256 rows.
pub(super) fn index_u8(index: usize) -> u8 {
    u8::try_from(index).expect("the tables of kinds have less than 256 rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_top_has_its_row() {
        let path = |top| FixedFile::top(top).row.path;
        assert_eq!([Top::Lab, Top::Proc, Top::Mqueue].map(path), ["", "proc", "mqueue"]);
    }
}
