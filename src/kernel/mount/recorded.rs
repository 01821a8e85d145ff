//! Superblocks that a file of lines describes: of any type, with the device number and the options that were seen. What shows
//! the kernel (proc, sysfs, cgroup2, mqueue) is made as ever where the whole of it was mounted; all others hold nothing but the
//! directories that are mounted, or mounted on.

use std::sync::Arc;

use super::dentry::NewDentry;
use super::flags::MsFlags;
use super::options::SbOptions;
use super::sb::{RECORDED, SbPlan, SuperBlock, fs_type};
use super::site::Site;
use crate::errno::Result;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID};
use crate::kernel::node::Place;
use crate::kernel::refcount::Held;
use crate::kernel::{Current, DentryId, Kernel, SbId};

/// What was seen of a superblock, and the directory in it that a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedSb {
    /// The type's name.
    pub fs: String,
    /// `major:minor`
    pub device: (u32, u32),
    pub root: Vec<u8>,
    pub read_only: bool,
    /// Behind `ro` or `rw`, as shown.
    pub words: Vec<String>,
}

/// Types whose content is the kernel's.
const LIVE: [&str; 4] = ["proc", "sysfs", "cgroup2", "mqueue"];

impl Kernel {
    /// The superblock of a mount that was seen, which is made for the first of them, and the directory that the mount shows.
    ///
    /// # Errors
    /// EINVAL: the type does not take what it is mounted with here.
    pub(crate) fn get_recorded_sb(&mut self, task: Current, seen: &RecordedSb) -> Result<(Held<SuperBlock>, Site)> {
        if let Some(cgroup) = self.recorded_cgroup(seen) {
            let sb = self.live_sb(task, seen)?;
            return Ok((sb, self.cgroup_site(cgroup)));
        }
        if seen.fs != "cgroup2" && seen.root == b"/" && LIVE.contains(&&*seen.fs) {
            let sb = self.live_sb(task, seen)?;
            let root = self.root_for(*task, sb.id());
            return Ok((sb, root));
        }
        let sb = self.dead_sb(task, seen);
        let Place::Dentry(top) = self.vfs.sbs[sb.id()].root.place() else { unreachable!("its root is a directory") };
        let names = seen.root.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let root = names.fold(top, |dir, name| self.directory_in(dir, name));
        Ok((sb, Site::of(Place::Dentry(root))))
    }

    /// The cgroup that a mount of the hierarchy shows; `None`: it is no such mount, or there is no such cgroup.
    fn recorded_cgroup(&self, seen: &RecordedSb) -> Option<CgroupId> {
        let mut names = seen.root.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let child = |dir: CgroupId, name: &[u8]| self.cgroup.table[dir].children.get(name).map(Held::id);
        (seen.fs == "cgroup2").then(|| names.try_fold(self.cgroup.root(), child)).flatten()
    }

    /// The directory called `name` in another, made where it is missing.
    pub(crate) fn directory_in(&mut self, dir: DentryId, name: &[u8]) -> DentryId {
        self.child_dentry(dir, name).unwrap_or_else(|| self.create_dentry(dir, name, NewDentry::directory(0o755)))
    }

    fn live_sb(&mut self, task: Current, seen: &RecordedSb) -> Result<Held<SuperBlock>> {
        let same = |sb: &SuperBlock| sb.fs.name == seen.fs && sb.device == seen.device;
        if let Some(found) = self.find_sb(same) {
            return Ok(self.vfs.sbs.hold(found));
        }
        let fs = fs_type(seen.fs.as_bytes()).unwrap_or(&RECORDED);
        let plan = self.plan_sb(task, fs, b"", MsFlags::empty())?;
        let sb = self.get_sb(plan);
        self.describe_sb(sb.id(), seen);
        let options = self.vfs.sbs[sb.id()].options.clone();
        self.apply_cgroup_options(*task, sb.id(), options);
        Ok(sb)
    }

    fn dead_sb(&mut self, task: Current, seen: &RecordedSb) -> Held<SuperBlock> {
        let same = |sb: &SuperBlock| sb.recorded.as_deref() == Some(&*seen.fs) && sb.device == seen.device;
        if let Some(found) = self.find_sb(same) {
            return self.vfs.sbs.hold(found);
        }
        let sb = self.get_sb(SbPlan {
            fs: &RECORDED,
            user_ns: self.cred_of(*task).user_ns.id(),
            options: SbOptions::default(),
            read_only: false,
            shared_in: None,
            pid_ns: None,
            owner: (GLOBAL_ROOT_UID, GLOBAL_ROOT_GID),
            existing: None,
        });
        self.vfs.sbs[sb.id()].recorded = Some(Arc::from(&*seen.fs));
        self.describe_sb(sb.id(), seen);
        sb
    }

    fn find_sb(&self, is_it: impl Fn(&SuperBlock) -> bool) -> Option<SbId> {
        self.vfs.sbs.iter().find(|(_, sb)| is_it(sb)).map(|(id, _)| id)
    }

    fn describe_sb(&mut self, id: SbId, seen: &RecordedSb) {
        let vfs = &mut self.vfs;
        let sb = &mut vfs.sbs[id];
        sb.read_only = seen.read_only;
        sb.options = SbOptions { words: seen.words.clone(), ..SbOptions::default() };
        if sb.device == seen.device {
            return;
        }
        if sb.has_own_minor {
            vfs.devices.free(sb.device.1);
        }
        sb.device = seen.device;
        sb.has_own_minor = seen.device.0 == 0 && vfs.devices.is_free(seen.device.1);
        if sb.has_own_minor {
            vfs.devices.take(seen.device.1);
        }
    }
}

impl SuperBlock {
    /// The name of the type, as it is shown.
    pub fn fs_name(&self) -> &str {
        self.recorded.as_deref().unwrap_or(self.fs.name)
    }
}

impl RecordedSb {
    /// Whether this can be the name of a type.
    pub fn is_type(name: &str) -> bool {
        const NAME_MAX: usize = 64;
        (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
    }
}
