//! The files of a cgroup's directory (`cgroup_base_files` in `kernel/cgroup/cgroup.c`).

/// A file, by its place in [`FILES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CgroupFile {
    Type,
    Procs,
    Threads,
    Controllers,
    SubtreeControl,
    Events,
    MaxDescendants,
    MaxDepth,
    Stat,
    StatLocal,
    Freeze,
    Kill,
    Pressure,
}

/// One row (`struct cftype`).
#[derive(Debug)]
pub struct Cftype {
    pub file: CgroupFile,
    pub name: &'static str,
    pub mode: u16,
    /// The root cgroup has it too (not `CFTYPE_NOT_ON_ROOT`).
    pub on_root: bool,
    /// May be written at the root of a cgroup namespace from inside (`CFTYPE_NS_DELEGATABLE`).
    pub ns_delegatable: bool,
}

const fn row(file: CgroupFile, name: &'static str, mode: u16) -> Cftype {
    Cftype { file, name, mode, on_root: true, ns_delegatable: false }
}

impl Cftype {
    const fn not_on_root(self) -> Cftype {
        Cftype { on_root: false, ..self }
    }
    const fn ns_delegatable(self) -> Cftype {
        Cftype { ns_delegatable: true, ..self }
    }
}

/// All files, in Linux's order.
pub static FILES: [Cftype; 13] = [
    row(CgroupFile::Type, "cgroup.type", 0o644).not_on_root(),
    row(CgroupFile::Procs, "cgroup.procs", 0o644).ns_delegatable(),
    row(CgroupFile::Threads, "cgroup.threads", 0o644).ns_delegatable(),
    row(CgroupFile::Controllers, "cgroup.controllers", 0o444),
    row(CgroupFile::SubtreeControl, "cgroup.subtree_control", 0o644).ns_delegatable(),
    row(CgroupFile::Events, "cgroup.events", 0o444).not_on_root(),
    row(CgroupFile::MaxDescendants, "cgroup.max.descendants", 0o644),
    row(CgroupFile::MaxDepth, "cgroup.max.depth", 0o644),
    row(CgroupFile::Stat, "cgroup.stat", 0o444),
    row(CgroupFile::StatLocal, "cgroup.stat.local", 0o444).not_on_root(),
    row(CgroupFile::Freeze, "cgroup.freeze", 0o644).not_on_root(),
    row(CgroupFile::Kill, "cgroup.kill", 0o200).not_on_root(),
    row(CgroupFile::Pressure, "cgroup.pressure", 0o644),
];

impl CgroupFile {
    pub fn row(self) -> &'static Cftype {
        &FILES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_the_place_of_their_file() {
        assert!(FILES.iter().enumerate().all(|(at, row)| row.file as usize == at));
    }
}
