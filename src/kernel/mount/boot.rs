//! The mounts every lab boots with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dentry::NewDentry;
use super::flags::MountFlags;
use super::mountpoints::Mountpoints;
use super::options::SbOptions;
use super::sb::{FsType, Keeps, NSFS, ROOTFS, SbPlan, SharedSbs, Sharing, SuperBlock, fs_type};
use super::site::{HeldPlace, HeldSite, Path, Site};
use super::tree::{Mount, MountTree};
use super::{FIRST_UNIQUE_ID, MOUNT_MAX, Vfs};
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID};
use crate::kernel::node::Place;
use crate::kernel::ns::{Namespace, NsType, Slot};
use crate::kernel::refcount::{Forever, Held};
use crate::kernel::table::{LowestFree, Table};
use crate::kernel::{Kernel, MntNsId, NsId, PidNsId, UserNsId};

/// Directories of the root file system, with their modes.
const DIRECTORIES: [(&[u8], u16); 10] = [
    (b"bin", 0o755),
    (b"dev", 0o755),
    (b"etc", 0o755),
    (b"home", 0o755),
    (b"proc", 0o555),
    (b"root", 0o700),
    (b"run", 0o755),
    (b"sys", 0o555),
    (b"tmp", 0o1777),
    (b"w", 0o755),
];

/// A mount of boot: type, which is its source too; the names of its place; data.
type BootMount = (&'static str, &'static [&'static [u8]], &'static [u8]);

const MOUNTS: [BootMount; 7] = [
    ("proc", &[b"proc"], b""),
    ("sysfs", &[b"sys"], b""),
    ("cgroup2", &[b"sys", b"fs", b"cgroup"], b"nsdelegate"),
    ("devtmpfs", &[b"dev"], b""),
    ("mqueue", &[b"dev", b"mqueue"], b""),
    ("tmpfs", &[b"run"], b""),
    ("tmpfs", &[b"tmp"], b""),
];

/// The root of nsfs, which nothing leads to.
/// The major number of the root file system's device.
const VIRTIO_MAJOR: u32 = 254;
/// The first minor number in use, that of nsfs on Linux: those below belong to superblocks nobody sees.
const FIRST_DEVICE: u32 = 4;

impl Vfs {
    /// Without any file system but nsfs.
    pub(in crate::kernel) fn boot(namespaces: &mut Table<Namespace>, user_ns: UserNsId) -> Vfs {
        let mut devices = LowestFree::starting_at(FIRST_DEVICE);
        let mut mount_ids = LowestFree::starting_at(1);
        let (mut sbs, mut mounts) = (Table::default(), Table::default());
        let sb = sbs.insert_held(SuperBlock {
            count: 0,
            fs: &NSFS,
            device: (0, devices.alloc()),
            has_own_minor: true,
            recorded: None,
            read_only: false,
            options: SbOptions::default(),
            keeps: Keeps::UserNs(namespaces.hold_typed(user_ns)),
            shared_in: None,
            root: HeldPlace::Other(Place::Nsfs),
        });
        // The first numbers are for the hidden root, the root and what boot mounts below it.
        let boot_ids: Vec<u32> = (0..MOUNTS.len() + 2).map(|_| mount_ids.alloc()).collect();
        let id = mounts.next_id();
        let root = HeldSite { file: HeldPlace::Other(Place::Nsfs), above: Arc::from([]) };
        let (mnt_id, unique_id) = (mount_ids.alloc(), FIRST_UNIQUE_ID);
        let nsfs = mounts.insert_held(Mount::new(
            id,
            sb,
            root,
            Some(Arc::from(*b"nsfs")),
            MountFlags::empty(),
            (mnt_id, unique_id),
        ));
        for id in boot_ids {
            mount_ids.free(id);
        }
        Vfs {
            sbs,
            dentries: Table::default(),
            mounts,
            trees: Table::default(),
            mount_max: MOUNT_MAX,
            nsfs: Forever::new(nsfs),
            shared_sbs: SharedSbs::new(),
            mountpoints: Mountpoints::default(),
            task_names: BTreeMap::new(),
            kept_sbs: Vec::new(),
            mount_ids,
            group_ids: LowestFree::starting_at(1),
            devices,
            next_unique_id: FIRST_UNIQUE_ID + 1,
            next_turn: 0,
        }
    }
}

impl Kernel {
    /// The root file system of the initial mount namespace, with the directories it has; gives the path of `/`.
    pub(in crate::kernel) fn boot_root(&mut self, ns: MntNsId) -> Path {
        let hidden = self.boot_mount(&ROOTFS, b"rootfs", b"", MountFlags::empty());
        let root = hidden.id();
        let tree =
            self.vfs.trees.insert(MountTree { ns: Some(ns), origin: None, root, mounts: BTreeMap::new(), event: 0 });
        self.namespaces[ns].tree = Some(tree);
        self.join_tree(tree, vec![hidden]);
        let ext4 = fs_type(b"ext4").expect("it is in the table");
        let disk = self.boot_mount(ext4, b"/dev/vda", b"", MountFlags::RELATIME);
        let sb = self.vfs.sb_of(disk.id());
        let minor = std::mem::replace(&mut self.vfs.sbs[sb].device, (VIRTIO_MAJOR, 0)).1;
        self.vfs.sbs[sb].has_own_minor = false;
        self.vfs.devices.free(minor);
        self.boot_attach(disk, Path { mount: root, place: self.vfs.mounts[root].root.place() });
        let top = self.topmost_root(ns);
        if let Place::Dentry(dir) = top.place {
            for (name, mode) in DIRECTORIES {
                self.create_dentry(dir, name, NewDentry::directory(mode));
            }
        }
        top
    }

    /// The mounts on the root file system.
    pub(in crate::kernel) fn boot_mounts(&mut self, ns: MntNsId) {
        let top = self.topmost_root(ns);
        for (name, place, data) in MOUNTS {
            let fs = fs_type(name.as_bytes()).expect("boot mounts are of types in the table");
            let mount = self.boot_mount(fs, name.as_bytes(), data, MountFlags::RELATIME);
            let at = place.iter().fold(top, |at, name| self.boot_walk(at, name));
            self.boot_attach(mount, at);
        }
        let tree = self.tree_of(ns);
        self.vfs.trees[tree].event = 0;
    }

    fn boot_mount(&mut self, fs: &'static FsType, source: &[u8], data: &[u8], flags: MountFlags) -> Held<Mount> {
        let init = self.init;
        let slot_ns = |slot| match slot {
            Slot::Net => self.initial(NsType::Net),
            _ => self.initial(NsType::Ipc),
        };
        let shared_in = match fs.sharing {
            Sharing::PerNs(slot) => Some(slot_ns(slot)),
            Sharing::Never | Sharing::Always => None,
        };
        let plan = SbPlan::of_boot(fs, init.user_ns, (fs.name == "proc").then_some(init.pid_ns), shared_in, data);
        let sb = self.get_sb(plan);
        if fs.sharing == Sharing::Always {
            let kept = self.vfs.sbs.hold(sb.id());
            self.vfs.kept_sbs.push(Forever::new(kept));
        }
        let root = Site::of(self.vfs.sbs[sb.id()].root.place());
        self.new_mount(sb, &root, Some(Arc::from(source)), flags)
    }

    fn boot_attach(&mut self, mount: Held<Mount>, at: Path) {
        let tree = self.vfs.mounts[at.mount].tree.expect("boot mounts are in the initial tree");
        self.attach(mount.id(), at.mount, &Site::of(at.place));
        self.join_tree(tree, vec![mount]);
    }

    fn boot_walk(&self, at: Path, name: &[u8]) -> Path {
        let Place::Dentry(dir) = at.place else { return at };
        let child = self.child_dentry(dir, name).expect("boot made the directories it mounts on");
        self.topmost(Path { place: Place::Dentry(child), ..at })
    }
}

impl SbPlan {
    fn of_boot(
        fs: &'static FsType,
        user_ns: UserNsId,
        pid_ns: Option<PidNsId>,
        shared_in: Option<NsId>,
        data: &[u8],
    ) -> SbPlan {
        let options = (fs.parse)(SbOptions::default(), data);
        SbPlan {
            fs,
            user_ns,
            options: options.expect("boot options are known"),
            read_only: false,
            shared_in,
            pid_ns,
            owner: (GLOBAL_ROOT_UID, GLOBAL_ROOT_GID),
            existing: None,
        }
    }
}
