//! `cgroup`: the cgroup2 hierarchy from the root of the viewer's cgroup namespace downwards.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::family::{Family, Up};
use super::look::Look;
use super::{Attr, Cacheable, Content, FileType, Polled, WriteTarget};
use crate::bail;
use crate::errno::Result;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::file::{CgroupFile, FILES};
use crate::kernel::file::About;
use crate::kernel::node::Place;
use crate::kernel::ns::Slot;
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::{Kernel, TaskId};

/// The cgroup that the reader's namespace shows as `/`; a zombie has no namespace and gets the whole hierarchy.
pub(super) fn root(look: &Look<'_>) -> CgroupId {
    let ns = look.k.nsproxy_of(look.reader).map(NsProxy::cgroup_ns);
    ns.map_or(look.k.cgroup.root(), |ns| look.k.cgroup_ns_root(ns))
}

/// What a file of a cgroup is called, and its mode.
fn name_and_mode(file: CgroupFile) -> (&'static str, u16) {
    match file {
        CgroupFile::Type => ("cgroup.type", 0o644),
        CgroupFile::Procs => ("cgroup.procs", 0o644),
        CgroupFile::Threads => ("cgroup.threads", 0o644),
        CgroupFile::Controllers => ("cgroup.controllers", 0o444),
        CgroupFile::SubtreeControl => ("cgroup.subtree_control", 0o644),
        CgroupFile::Events => ("cgroup.events", 0o444),
        CgroupFile::MaxDescendants => ("cgroup.max.descendants", 0o644),
        CgroupFile::MaxDepth => ("cgroup.max.depth", 0o644),
        CgroupFile::Stat => ("cgroup.stat", 0o444),
        CgroupFile::StatLocal => ("cgroup.stat.local", 0o444),
        CgroupFile::Freeze => ("cgroup.freeze", 0o644),
        CgroupFile::Kill => ("cgroup.kill", 0o200),
        CgroupFile::Pressure => ("cgroup.pressure", 0o644),
    }
}

/// What a file of a cgroup is called.
pub fn name(file: CgroupFile) -> &'static str {
    name_and_mode(file).0
}

fn mode(file: CgroupFile) -> u16 {
    name_and_mode(file).1
}

/// The directory of a cgroup, or a file in it.
pub(super) struct CgroupEntry {
    pub cgroup: CgroupId,
    pub file: Option<CgroupFile>,
}

impl Family for CgroupEntry {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.cgroup.table.get(self.cgroup).is_some_and(|cgroup| !cgroup.is_dead)
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(if self.file.is_some() { FileType::File } else { FileType::Directory })
    }

    fn path(&self, look: &Look<'_>) -> String {
        let below = look.k.cgroup_path(self.cgroup, root(look));
        let dir = format!("cgroup{}", String::from_utf8_lossy(if below == b"/" { b"" } else { &below }));
        self.file.map_or(dir.clone(), |file| format!("{dir}/{}", name(file)))
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let cgroup = &look.k.cgroup.table[self.cgroup];
        let owner = cgroup.owner(self.file);
        let (mode, nlink) = match self.file {
            Some(file) => (mode(file), plain.nlink),
            None => (cgroup.mode, u32::try_from(cgroup.children.len()).unwrap_or(u32::MAX).saturating_add(2)),
        };
        Ok(Attr { mode, nlink, uid: owner.uid, gid: owner.gid, ..plain })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    fn content(&self) -> Content {
        Content::Live
    }

    fn polled(&self, look: &Look<'_>) -> Polled {
        let Some(CgroupFile::Events) = self.file else { return Polled::Ready };
        let cgroup = &look.k.cgroup.table[self.cgroup];
        let state = [cgroup.is_populated(), look.k.is_cgroup_frozen(self.cgroup)];
        Polled::Cgroup(state.into_iter().fold(0, |number, flag| number * 2 + u64::from(flag)))
    }

    fn about(&self, look: &Look<'_>) -> About {
        let own = self.file.and_then(|_| look.k.task_ns(look.reader, Slot::Cgroup));
        own.map_or(About::Itself, About::Ns)
    }

    fn write_target(&self) -> Option<WriteTarget> {
        let file = self.file.filter(|file| mode(*file) & 0o222 != 0)?;
        Some(WriteTarget::Cgroup(self.cgroup, file))
    }

    fn lookup(&self, look: &Look<'_>, name: &[u8]) -> Option<Place> {
        if self.file.is_none() { lookup(look.k, self.cgroup, name) } else { None }
    }

    fn list(&self, look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        Ok(if self.file.is_none() { readdir(look.k, self.cgroup) } else { Vec::new() })
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        match self.file {
            Some(file) => read(look, self.cgroup, file),
            None => bail!(EINVAL, "this file cannot be read"),
        }
    }

    /// As seen from the reader's cgroup namespace (`cgroup_show_path`).
    fn path_in_sb(&self, look: &Look<'_>) -> Option<Vec<u8>> {
        let dir = look.k.cgroup_path(self.cgroup, root(look));
        Some(match self.file {
            None => dir,
            Some(file) => [if dir == b"/" { b"" } else { &dir[..] }, b"/", name(file).as_bytes()].concat(),
        })
    }

    fn takes_dirs(&self) -> bool {
        self.file.is_none()
    }

    fn up(&self, look: &Look<'_>) -> Up {
        let cgroup = &look.k.cgroup.table[self.cgroup];
        match (self.file, &cgroup.parent) {
            (Some(file), _) => Up::To(name(file).into(), Place::Cgroup(self.cgroup, None)),
            (None, Some(parent)) => Up::To(cgroup.name.clone(), Place::Cgroup(parent.id(), None)),
            (None, None) => Up::Top,
        }
    }
}

/// The file or child called `name` in the directory of a cgroup.
fn lookup(k: &Kernel, cgroup: CgroupId, name: &[u8]) -> Option<Place> {
    if let Some(child) = k.cgroup.table[cgroup].children.get(name) {
        return Some(Place::Cgroup(child.id(), None));
    }
    let file = files(k, cgroup).find(|file| self::name(*file).as_bytes() == name)?;
    Some(Place::Cgroup(cgroup, Some(file)))
}

/// The files a cgroup has: the root has less.
fn files(k: &Kernel, cgroup: CgroupId) -> impl Iterator<Item = CgroupFile> {
    let is_root = k.cgroup.table[cgroup].is_root();
    FILES.iter().filter(move |row| row.on_root || !is_root).map(|row| row.file)
}

fn readdir(k: &Kernel, cgroup: CgroupId) -> Vec<(String, Place)> {
    let files = files(k, cgroup).map(|file| (name(file).to_owned(), Place::Cgroup(cgroup, Some(file))));
    let children = k.cgroup.table[cgroup].children.iter();
    let children =
        children.map(|(name, child)| (String::from_utf8_lossy(name).into_owned(), Place::Cgroup(child.id(), None)));
    files.chain(children).collect()
}

/// The content of a file.
///
/// # Errors
/// EINVAL: a file that is only written. EOPNOTSUPP: the processes of a threaded cgroup.
fn read(look: &Look<'_>, id: CgroupId, file: CgroupFile) -> Result<Vec<u8>> {
    let k = look.k;
    let cgroup = &k.cgroup.table[id];
    let text = match file {
        CgroupFile::Type => format!("{}\n", k.cgroup_type(id)),
        CgroupFile::Procs => processes(look, id)?,
        CgroupFile::Threads => numbers(look.k.tasks_in(id).map(|thread| look.own_nr(thread))),
        // Not even a newline where there are none (`cgroup_print_ss_mask`).
        CgroupFile::Controllers | CgroupFile::SubtreeControl => String::new(),
        CgroupFile::Events => {
            let flag = |set| u8::from(set);
            format!("populated {}\nfrozen {}\n", flag(cgroup.is_populated()), flag(k.is_cgroup_frozen(id)))
        }
        CgroupFile::MaxDescendants => limit(cgroup.max_descendants),
        CgroupFile::MaxDepth => limit(cgroup.max_depth),
        CgroupFile::Stat => {
            format!("nr_descendants {}\nnr_dying_descendants {}\n", cgroup.descendants, k.dying_cgroups_below(id))
        }
        CgroupFile::StatLocal => "frozen_usec 0\n".to_owned(),
        CgroupFile::Freeze => format!("{}\n", u8::from(cgroup.freeze)),
        CgroupFile::Pressure => format!("{}\n", u8::from(cgroup.pressure)),
        CgroupFile::Kill => bail!(EINVAL, "{} cannot be read", name(file)),
    };
    Ok(text.into_bytes())
}

/// A number a line.
fn numbers(numbers: impl Iterator<Item = i32>) -> String {
    numbers.fold(String::new(), |mut text, nr| {
        let _ = writeln!(text, "{nr}");
        text
    })
}

/// The processes whose leaders are here or in threaded cgroups that belong to this domain; a dead leader counts while
/// other threads live (`cgroup_procs_start`). One that has no number in the reader's pid namespace shows as 0.
fn processes(look: &Look<'_>, id: CgroupId) -> Result<String> {
    let k = look.k;
    if k.cgroup.table[id].is_threaded {
        bail!(EOPNOTSUPP, "processes are in the domain of this threaded cgroup");
    }
    let has_threaded = k.cgroup.table[id].kinds.threaded > 0;
    let threaded = if has_threaded { k.cgroups_below(id, |other| other.is_threaded) } else { Vec::new() };
    let domain = || std::iter::once(id).chain(threaded.iter().copied());
    let live = domain().flat_map(|id| k.tasks_in(id)).filter(|&task| k.is_leader(task));
    let dying: BTreeSet<TaskId> = domain().flat_map(|id| k.cgroup.table[id].dying.iter().copied()).collect();
    let dying = dying.into_iter().filter(|&task| k.signal_of(task).live > 0);
    Ok(numbers(live.chain(dying).map(|task| look.own_nr(task))))
}

fn limit(value: Option<i32>) -> String {
    value.map_or("max\n".to_owned(), |value| format!("{value}\n"))
}
