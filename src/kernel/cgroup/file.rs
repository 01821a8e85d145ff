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

/// One row (`struct cftype`); its name and mode are the tree's.
#[derive(Debug)]
pub struct Cftype {
    pub file: CgroupFile,
    /// The root cgroup has it too (not `CFTYPE_NOT_ON_ROOT`).
    pub on_root: bool,
    /// May be written at the root of a cgroup namespace from inside (`CFTYPE_NS_DELEGATABLE`).
    pub ns_delegatable: bool,
}

const fn row(file: CgroupFile) -> Cftype {
    Cftype { file, on_root: true, ns_delegatable: false }
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
    row(CgroupFile::Type).not_on_root(),
    row(CgroupFile::Procs).ns_delegatable(),
    row(CgroupFile::Threads).ns_delegatable(),
    row(CgroupFile::Controllers),
    row(CgroupFile::SubtreeControl).ns_delegatable(),
    row(CgroupFile::Events).not_on_root(),
    row(CgroupFile::MaxDescendants),
    row(CgroupFile::MaxDepth),
    row(CgroupFile::Stat),
    row(CgroupFile::StatLocal).not_on_root(),
    row(CgroupFile::Freeze).not_on_root(),
    row(CgroupFile::Kill).not_on_root(),
    row(CgroupFile::Pressure),
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
