//! File system types and superblocks (`struct file_system_type`, `struct super_block`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dentry::{Dentry, NewDentry};
use super::flags::MsFlags;
use super::options::{self, SbOptions};
use super::site::{HeldPlace, Site};
use crate::errno::Result;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cred::{Kgid, Kuid};
use crate::kernel::ipc::mqueue::MqueueFs;
use crate::kernel::node::{Place, Top};
use crate::kernel::ns::{PidNamespace, Slot, UserNamespace};
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::refcount::{Counted, Held};
use crate::kernel::{Current, Kernel, NsId, PidNsId, SbId, TaskId, UserNsId};

/// A type of file system.
#[derive(Debug)]
pub struct FsType {
    pub name: &'static str,
    pub sharing: Sharing,
    pub asks: Asks,
    /// Shows so much of the kernel that whoever mounts it in a user namespace has to see one already
    /// (SB_I_USERNS_VISIBLE).
    pub reveals: bool,
    pub on_device: bool,
    /// Parses the data of mount(2) on top of the options so far.
    pub parse: fn(SbOptions, &[u8]) -> Result<SbOptions>,
}

/// When two mounts of a type are of one superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    Never,
    Always,
    /// In the same namespace of this slot.
    PerNs(Slot),
}

/// In which user namespace a mount takes CAP_SYS_ADMIN; it also owns the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// The initial one.
    Init,
    /// The caller's.
    Own,
    /// The owner of the caller's active pid namespace.
    ActivePidNs,
    /// The owner of the caller's namespace in this slot.
    OwnerOf(Slot),
    /// Nobody may: the kernel mounts it for itself (SB_NOUSER).
    Kernel,
}

const fn fs(name: &'static str, sharing: Sharing, asks: Asks) -> FsType {
    FsType { name, sharing, asks, reveals: false, on_device: false, parse: options::none }
}

const MQUEUE: &str = "mqueue";
const CGROUP2: &str = "cgroup2";

/// The types mount(2) knows.
pub static FS_TYPES: [FsType; 12] = [
    FsType { on_device: true, ..fs("ext4", Sharing::Never, Asks::Init) },
    FsType { parse: options::tmpfs, ..fs("tmpfs", Sharing::Never, Asks::Own) },
    FsType { parse: options::ramfs, ..fs("ramfs", Sharing::Never, Asks::Own) },
    FsType { parse: options::proc, reveals: true, ..fs("proc", Sharing::Never, Asks::ActivePidNs) },
    FsType { reveals: true, ..fs("sysfs", Sharing::PerNs(Slot::Net), Asks::OwnerOf(Slot::Net)) },
    FsType { parse: options::cgroup2, ..fs(CGROUP2, Sharing::Always, Asks::OwnerOf(Slot::Cgroup)) },
    FsType { parse: options::tmpfs, ..fs("devtmpfs", Sharing::Always, Asks::Init) },
    FsType { parse: options::devpts, ..fs("devpts", Sharing::Never, Asks::Own) },
    fs(MQUEUE, Sharing::PerNs(Slot::Ipc), Asks::OwnerOf(Slot::Ipc)),
    fs("pipefs", Sharing::Never, Asks::Kernel),
    fs("sockfs", Sharing::Never, Asks::Kernel),
    fs("bdev", Sharing::Never, Asks::Kernel),
];

/// The hidden file system at the bottom of every mount namespace.
pub(super) static ROOTFS: FsType = fs("rootfs", Sharing::Never, Asks::Kernel);
/// What was seen on another machine. Its name is that of a superblock.
pub(super) static RECORDED: FsType = fs("", Sharing::Never, Asks::Init);
/// The one namespace files are of.
pub(super) static NSFS: FsType = fs("nsfs", Sharing::Never, Asks::Kernel);

/// The type called `name`.
pub fn fs_type(name: &[u8]) -> Option<&'static FsType> {
    FS_TYPES.iter().find(|fs| fs.name.as_bytes() == name)
}

/// A file system instance.
#[derive(Clone, Debug)]
pub struct SuperBlock {
    /// Mounts, and one of the kernel's own for what outlives them.
    pub count: u32,
    pub fs: &'static FsType,
    /// `major:minor`
    pub device: (u32, u32),
    /// The minor number is one of the pool for file systems without a device.
    pub has_own_minor: bool,
    /// The name of the type, of one that a file of lines describes.
    pub recorded: Option<Arc<str>>,
    pub read_only: bool,
    pub options: SbOptions,
    pub keeps: Keeps,
    /// The namespace that tells it from others of its type, which it does not keep.
    pub shared_in: Option<NsId>,
    pub root: HeldPlace,
}

/// What lives as long as a superblock.
#[derive(Clone, Debug)]
pub enum Keeps {
    /// The user namespace its ids are of.
    UserNs(Held<UserNamespace>),
    /// The same, and the pid namespace its numbers are of.
    Proc { user_ns: Held<UserNamespace>, pid_ns: Held<PidNamespace> },
    /// The queues of an IPC namespace, which keep their user namespace.
    Mqueue(Held<MqueueFs>),
}

impl SuperBlock {
    /// The pid namespace whose numbers the files have.
    pub fn pid_ns(&self) -> Option<PidNsId> {
        match &self.keeps {
            Keeps::Proc { pid_ns, .. } => Some(pid_ns.id()),
            Keeps::UserNs(_) | Keeps::Mqueue(_) => None,
        }
    }

    /// The namespaces it keeps itself.
    pub fn held(&self) -> impl Iterator<Item = NsId> {
        match &self.keeps {
            Keeps::UserNs(user_ns) => [Some(user_ns.id().any()), None],
            Keeps::Proc { user_ns, pid_ns } => [Some(user_ns.id().any()), Some(pid_ns.id().any())],
            Keeps::Mqueue(_) => [None, None],
        }
        .into_iter()
        .flatten()
    }
}

impl Counted for SuperBlock {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

/// Shared superblocks by type and namespace.
pub(super) type SharedSbs = BTreeMap<(&'static str, Option<NsId>), SbId>;

/// What decides which superblock a mount gets, fixed before anything changes (`struct fs_context`).
#[derive(Debug)]
pub struct SbPlan {
    pub fs: &'static FsType,
    /// The owner of a new superblock; CAP_SYS_ADMIN is asked here.
    pub user_ns: UserNsId,
    pub options: SbOptions,
    pub read_only: bool,
    pub(super) shared_in: Option<NsId>,
    pub(super) pid_ns: Option<PidNsId>,
    pub(super) owner: (Kuid, Kgid),
    pub existing: Option<SbId>,
}

impl Kernel {
    /// The superblock `task` gets for a mount of `fs`: one there is, or a new one.
    ///
    /// # Errors
    /// EINVAL: the type does not take these options.
    pub fn plan_sb(&self, task: Current, fs: &'static FsType, data: &[u8], flags: MsFlags) -> Result<SbPlan> {
        let slot = |slot| self.current_nsproxy(task).get(slot);
        let owner_of = |ns| self.ns_owner(ns).expect("all kinds in an nsproxy have an owner");
        let shared_in = match fs.sharing {
            Sharing::PerNs(kind) => Some(slot(kind)),
            Sharing::Never | Sharing::Always => None,
        };
        let active = self.task_active_pid_ns(*task);
        let (user_ns, pid_ns) = match fs.asks {
            Asks::Init | Asks::Kernel => (self.init.user_ns, None),
            Asks::Own => (self.cred_of(*task).user_ns.id(), None),
            Asks::ActivePidNs => (self.owner_of(active), Some(active)),
            Asks::OwnerOf(kind) => (owner_of(slot(kind)), None),
        };
        let existing = if fs.sharing == Sharing::Never { None } else { self.find_shared_sb(fs, shared_in) };
        let ids = &self.cred_of(*task).ids;
        let own = SbOptions { uid: ids.fsuid.0, gid: ids.fsgid.0, ..SbOptions::default() };
        let options = (fs.parse)(SbOptions { sb_flags: flags.sb_names(), ..own }, data)?;
        let read_only = flags.contains(MsFlags::RDONLY);
        Ok(SbPlan { fs, user_ns, options, read_only, shared_in, pid_ns, owner: (ids.fsuid, ids.fsgid), existing })
    }

    fn find_shared_sb(&self, fs: &FsType, shared_in: Option<NsId>) -> Option<SbId> {
        self.vfs.shared_sbs.get(&(fs.name, shared_in)).copied()
    }

    /// Takes a reference to the superblock of a plan, which is made now if there was none (`vfs_get_tree`).
    pub(crate) fn get_sb(&mut self, plan: SbPlan) -> Held<SuperBlock> {
        if let Some(existing) = plan.existing {
            return self.vfs.sbs.hold(existing);
        }
        let id = self.vfs.sbs.next_id();
        let root = match plan.fs.name {
            "proc" => HeldPlace::Other(Place::Top(Top::Proc)),
            MQUEUE => HeldPlace::Other(Place::Top(Top::Mqueue)),
            CGROUP2 => self.hold_place(Place::Cgroup(self.cgroup.root(), None)),
            _ => HeldPlace::Dentry(self.new_root(id, &plan)),
        };
        let keeps = self.keep_for(&plan);
        let made = self.vfs.sbs.insert_held(SuperBlock {
            count: 0,
            fs: plan.fs,
            device: (0, self.vfs.devices.alloc()),
            has_own_minor: true,
            recorded: None,
            read_only: plan.read_only,
            options: plan.options,
            keeps,
            shared_in: plan.shared_in,
            root,
        });
        if plan.fs.sharing != Sharing::Never {
            self.vfs.shared_sbs.insert((plan.fs.name, plan.shared_in), made.id());
        }
        made
    }

    /// The root of a new mount of a superblock: its own; of cgroup2 the root of the mounter's cgroup namespace
    /// (`cgroup_do_get_tree`).
    pub(crate) fn root_for(&self, task: TaskId, sb: SbId) -> Site {
        let sb = &self.vfs.sbs[sb];
        match self.nsproxy_of(task) {
            Some(nsproxy) if sb.fs.name == CGROUP2 => self.cgroup_site(self.cgroup_ns_root(nsproxy.cgroup_ns())),
            _ => Site::of(sb.root.place()),
        }
    }

    pub(super) fn cgroup_site(&self, cgroup: CgroupId) -> Site {
        let place = |id| Place::Cgroup(id, None);
        let above = self.cgroup_ancestors(cgroup).skip(1).map(place).collect();
        Site { place: place(cgroup), above }
    }

    /// The options of the cgroup2 hierarchy are one for all mounts; only the initial cgroup namespace changes them
    /// (`apply_cgroup_root_flags`).
    pub(crate) fn apply_cgroup_options(&mut self, task: TaskId, sb: SbId, options: SbOptions) {
        let is_init = self.nsproxy_of(task).map(NsProxy::cgroup_ns) == Some(self.init_ns());
        if self.vfs.sbs[sb].fs.name == CGROUP2 && is_init {
            self.cgroup.ns_delegate = options.words.iter().any(|word| word == options::NSDELEGATE);
            self.vfs.sbs[sb].options = options;
        }
    }

    /// Gives a superblock new options (`reconfigure_super`).
    pub(crate) fn reconfigure_sb(&mut self, task: TaskId, sb: SbId, options: SbOptions, read_only: bool) {
        self.vfs.sbs[sb].read_only = read_only;
        if self.vfs.sbs[sb].fs.name == CGROUP2 {
            self.apply_cgroup_options(task, sb, options);
        } else {
            self.vfs.sbs[sb].options = options;
        }
    }

    fn keep_for(&mut self, plan: &SbPlan) -> Keeps {
        let ipc_ns = plan.shared_in.and_then(|ns| self.namespaces.typed(ns));
        match (ipc_ns, plan.pid_ns) {
            (Some(ipc_ns), _) => {
                let queues = self.mqueue_fs_of(ipc_ns);
                Keeps::Mqueue(self.mqueue_fs.hold(queues))
            }
            (_, Some(pid_ns)) => {
                let user_ns = self.get_ns(plan.user_ns);
                Keeps::Proc { user_ns, pid_ns: self.get_ns(pid_ns) }
            }
            (_, None) => Keeps::UserNs(self.get_ns(plan.user_ns)),
        }
    }

    /// The user namespace a superblock's ids are of (`s_user_ns`).
    pub fn sb_user_ns(&self, sb: SbId) -> UserNsId {
        match &self.vfs.sbs[sb].keeps {
            Keeps::UserNs(user_ns) | Keeps::Proc { user_ns, .. } => user_ns.id(),
            Keeps::Mqueue(queues) => self.mqueue_fs[queues.id()].user_ns.id(),
        }
    }

    fn new_root(&mut self, sb: SbId, plan: &SbPlan) -> Held<Dentry> {
        let (uid, gid) = match plan.fs.asks {
            Asks::Own => (Kuid(plan.options.uid), Kgid(plan.options.gid)),
            _ => plan.owner,
        };
        let mode = plan.options.mode.unwrap_or(match plan.fs.name {
            "tmpfs" => 0o1777,
            "sysfs" => 0o555,
            _ => 0o755,
        });
        let root = self.new_root_dentry(sb, NewDentry { uid, gid, ..NewDentry::directory(mode) });
        let stubs: &[&[&[u8]]] = match plan.fs.name {
            "sysfs" => &[&[b"fs", b"cgroup"]],
            "devtmpfs" => &[&[b"mqueue"], &[b"pts"], &[b"shm"]],
            _ => &[],
        };
        for path in stubs {
            let leaf =
                path.iter().fold(root.id(), |dir, name| self.create_dentry(dir, name, NewDentry::directory(0o755)));
            // Directories made to be mounted on hide nothing when they are (`sysfs_create_mount_point`).
            self.vfs.dentries[leaf].is_mount_stub = plan.fs.name == "sysfs";
        }
        root
    }

    /// Drops a reference to a superblock; with the last one it goes, with all its files.
    pub(crate) fn put_sb(&mut self, held: Held<SuperBlock>) {
        let id = held.id();
        let Some(freed) = self.vfs.sbs.release(held) else { return };
        if freed.has_own_minor {
            self.vfs.devices.free(freed.device.1);
        }
        let key = (freed.fs.name, freed.shared_in);
        if self.vfs.shared_sbs.get(&key) == Some(&id) {
            self.vfs.shared_sbs.remove(&key);
        }
        match freed.root {
            HeldPlace::Dentry(root) => self.put_dentry_tree(root),
            root @ (HeldPlace::Cgroup(..) | HeldPlace::Other(_)) => self.put_place(root),
        }
        match freed.keeps {
            Keeps::UserNs(user_ns) => self.put_ns(user_ns),
            Keeps::Proc { user_ns, pid_ns } => {
                self.put_ns(user_ns);
                self.put_ns(pid_ns);
            }
            Keeps::Mqueue(queues) => self.put_mqueue_fs(queues),
        }
    }
}
