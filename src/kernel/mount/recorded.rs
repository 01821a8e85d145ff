//! Superblocks that a file of lines describes: of any type, with the device number and the options that were seen. What shows
//! the kernel (proc, sysfs, cgroup2, mqueue) is made as ever where the whole of it was mounted; all others hold nothing but the
//! directories that are mounted, or mounted on.

use std::sync::Arc;

use super::dentry::{Content, NewDentry};
use super::flags::{MountFlags, MsFlags};
use super::options::SbOptions;
use super::sb::{RECORDED, SbPlan, SuperBlock, fs_type};
use super::site::Site;
use super::tree::Mount;
use super::umount::Umounting;
use crate::bail;
use crate::errno::Result;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID};
use crate::kernel::node::Place;
use crate::kernel::ns::NsType;
use crate::kernel::refcount::Held;
use crate::kernel::task::Task;
use crate::kernel::{Current, DentryId, Kernel, MntNsId, MountId, SbId, TaskId};

/// What was seen of a mount and its superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedMount {
    /// The type's name.
    pub fs: String,
    /// `major:minor`
    pub device: (u32, u32),
    /// The directory of the superblock that it shows.
    pub root: Vec<u8>,
    /// The namespace whose file it shows, of a mount of nsfs.
    pub ns: Option<(NsType, u32)>,
    /// The numbers of its peer group and of the one it receives from.
    pub shared: Option<u32>,
    pub master: Option<u32>,
    pub is_unbindable: bool,
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
    /// EINVAL: the type does not take what it is mounted with here; ENOENT: the namespace whose file it shows is not there.
    pub(crate) fn get_recorded_sb(&mut self, task: Current, seen: &RecordedMount) -> Result<(Held<SuperBlock>, Site)> {
        if let Some((ns_type, inum)) = seen.ns {
            let Some(ns) = self.find_ns(ns_type, inum) else {
                bail!(ENOENT, "there is no {}:[{}]", ns_type.ops().name, inum);
            };
            let nsfs = self.vfs.sb_of(self.vfs.nsfs.id());
            self.describe_sb(nsfs, seen);
            return Ok((self.vfs.sbs.hold(nsfs), Site::of(Place::NsFile(ns))));
        }
        let cgroup = self.recorded_cgroup(seen);
        let is_live = cgroup.is_some() || seen.fs != "cgroup2" && seen.root == b"/" && LIVE.contains(&&*seen.fs);
        if let Some(sb) = is_live.then(|| self.live_sb(task, seen)).transpose()?.flatten() {
            let root = match cgroup {
                Some(cgroup) => self.cgroup_site(cgroup),
                None => self.root_for(*task, sb.id()),
            };
            return Ok((sb, root));
        }
        let sb = self.dead_sb(task, seen);
        let Place::Dentry(top) = self.vfs.sbs[sb.id()].root.place() else { unreachable!("its root is a directory") };
        let names = seen.root.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let root = names.fold(top, |dir, name| self.directory_in(dir, name));
        Ok((sb, Site::of(Place::Dentry(root))))
    }

    /// A mount of the group with this number; `None`: there is no such group.
    pub(crate) fn find_peer(&self, group: u32) -> Option<MountId> {
        self.vfs.mounts.iter().find(|(_, mount)| mount.group == group && group != 0).map(|(id, _)| id)
    }

    /// Gives a new mount the relations that were seen. The group it receives from is there.
    pub(crate) fn relate_recorded(&mut self, mount: MountId, seen: &RecordedMount) {
        if let Some(master) = seen.master.and_then(|group| self.find_peer(group)) {
            self.become_slave(mount, master);
        }
        match seen.shared.map(|group| (group, self.find_peer(group))) {
            Some((_, Some(peer))) => self.join_peers(mount, peer),
            Some((group, None)) => {
                self.vfs.group_ids.take(group);
                self.vfs.mounts[mount].group = group;
            }
            None => self.vfs.mounts[mount].flags.set(MountFlags::UNBINDABLE, seen.is_unbindable),
        }
    }

    /// Puts a mount in the place of all mounts of a namespace. Whoever is in it has its top as root and working directory.
    pub(crate) fn replace_root(&mut self, ns: MntNsId, mount: Held<Mount>) {
        let tree = self.tree_of(ns);
        let hidden = self.vfs.trees[tree].root;
        let old: Vec<MountId> = self.vfs.mounts[hidden].at.values().copied().collect();
        for old in old {
            self.umount_tree(old, Umounting::Namespace);
        }
        let site = self.vfs.mounts[hidden].root.site();
        self.attach(mount.id(), hidden, &site);
        self.join_tree(tree, vec![mount]);
        let fs_of = |(id, task): (TaskId, &Task)| {
            task.live.as_ref().filter(|_| self.mnt_ns_of(id) == Some(ns)).map(|live| live.fs.id())
        };
        let inside: Vec<_> = self.tasks.iter().filter_map(fs_of).collect();
        let top = self.topmost_root(ns);
        for fs in inside {
            self.set_fs_root(fs, top);
            self.set_fs_pwd(fs, top);
        }
    }

    /// The cgroup that a mount of the hierarchy shows; `None`: it is no such mount, or there is no such cgroup.
    fn recorded_cgroup(&self, seen: &RecordedMount) -> Option<CgroupId> {
        let mut names = seen.root.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let child = |dir: CgroupId, name: &[u8]| self.cgroup.table[dir].children.get(name).map(Held::id);
        (seen.fs == "cgroup2").then(|| names.try_fold(self.cgroup.root(), child)).flatten()
    }

    /// A file or directory called `name` in a directory, made where it is missing.
    pub(crate) fn mountpoint_in(&mut self, dir: DentryId, name: &[u8], is_file: bool) -> DentryId {
        if !is_file {
            return self.directory_in(dir, name);
        }
        let file = NewDentry { content: Content::File(Vec::new()), ..NewDentry::directory(0o444) };
        self.child_dentry(dir, name).unwrap_or_else(|| self.create_dentry(dir, name, file))
    }

    /// The directory called `name` in another, made where it is missing.
    pub(crate) fn directory_in(&mut self, dir: DentryId, name: &[u8]) -> DentryId {
        self.child_dentry(dir, name).unwrap_or_else(|| self.create_dentry(dir, name, NewDentry::directory(0o755)))
    }

    /// The superblock of the kernel's that was seen; `None`: that of the task's namespace is another one, which was seen too.
    fn live_sb(&mut self, task: Current, seen: &RecordedMount) -> Result<Option<Held<SuperBlock>>> {
        let same = |sb: &SuperBlock| sb.fs.name == seen.fs && sb.device == seen.device;
        if let Some(found) = self.find_sb(same) {
            // It may be that of boot, which has the same number by chance.
            self.describe_sb(found, seen);
            return Ok(Some(self.vfs.sbs.hold(found)));
        }
        let fs = fs_type(seen.fs.as_bytes()).unwrap_or(&RECORDED);
        let plan = self.plan_sb(task, fs, b"", MsFlags::empty())?;
        if plan.existing.is_some_and(|sb| self.vfs.sbs[sb].recorded.is_some()) {
            return Ok(None);
        }
        let sb = self.get_sb(plan);
        self.describe_sb(sb.id(), seen);
        let options = self.vfs.sbs[sb.id()].options.clone();
        self.apply_cgroup_options(*task, sb.id(), options);
        Ok(Some(sb))
    }

    fn dead_sb(&mut self, task: Current, seen: &RecordedMount) -> Held<SuperBlock> {
        let is_named = |sb: &SuperBlock| sb.fs.name == RECORDED.name && sb.recorded.as_deref() == Some(&*seen.fs);
        let same = |sb: &SuperBlock| is_named(sb) && sb.device == seen.device;
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
        self.describe_sb(sb.id(), seen);
        sb
    }

    fn find_sb(&self, is_it: impl Fn(&SuperBlock) -> bool) -> Option<SbId> {
        self.vfs.sbs.iter().find(|(_, sb)| is_it(sb)).map(|(id, _)| id)
    }

    fn describe_sb(&mut self, id: SbId, seen: &RecordedMount) {
        let vfs = &mut self.vfs;
        let sb = &mut vfs.sbs[id];
        sb.recorded = Some(Arc::from(&*seen.fs));
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

impl RecordedMount {
    /// Whether this can be the name of a type.
    pub fn is_type(name: &str) -> bool {
        const NAME_MAX: usize = 64;
        (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
    }
}
