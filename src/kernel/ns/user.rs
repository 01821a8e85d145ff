//! User namespaces (`kernel/user_namespace.c`).

use super::{Holds, InstallCtx, NsKind, NsType, Slot, UserNsId};
use crate::bail;
use crate::errno::Result;
use crate::kernel::boot::THREADS_MAX;
use crate::kernel::capability::Cap;
use crate::kernel::cred::{GLOBAL_ROOT_UID, Kgid, Kuid};
use crate::kernel::signal::RLIM_INFINITY;
use crate::kernel::ucounts::{UCOUNT_KINDS, UCOUNT_MAX, UCOUNT_RLIMITS};
use crate::kernel::uid_map::{MapKind, UidGidMap};
use crate::kernel::{Current, Kernel, TaskId};

/// Deepest level a user namespace may be created *in*: levels 1 to 33 exist.
pub const USER_NS_LEVEL_MAX: u32 = 32;

#[derive(Clone, Debug)]
pub struct UserNamespace {
    pub uid_map: UidGidMap,
    pub gid_map: UidGidMap,
    pub projid_map: UidGidMap,
    /// Nesting: 0 for the initial one.
    pub level: u32,
    /// The creator's euid and egid. Not to be mixed up with the owner of a namespace.
    pub owner: Kuid,
    pub group: Kgid,
    /// USERNS_SETGROUPS_ALLOWED
    pub setgroups_allowed: bool,
    /// The creator had CAP_SETFCAP.
    pub parent_could_setfcap: bool,
    /// `max_<kind>_namespaces` by ucount index.
    pub ucount_max: [i64; UCOUNT_KINDS],
    /// Resource limits of the creator, the bound for all inside, at the index [`UcountRlimit`] gives.
    ///
    /// [`UcountRlimit`]: crate::kernel::ucounts::UcountRlimit
    pub rlimit_max: [u64; UCOUNT_RLIMITS],
}

impl UserNamespace {
    pub fn map(&self, kind: MapKind) -> &UidGidMap {
        match kind {
            MapKind::Uid => &self.uid_map,
            MapKind::Gid => &self.gid_map,
            MapKind::Projid => &self.projid_map,
        }
    }
    pub fn map_mut(&mut self, kind: MapKind) -> &mut UidGidMap {
        match kind {
            MapKind::Uid => &mut self.uid_map,
            MapKind::Gid => &mut self.gid_map,
            MapKind::Projid => &mut self.projid_map,
        }
    }
    /// The kuid of an id inside (`make_kuid`).
    pub fn make_kuid(&self, uid: u32) -> Option<Kuid> {
        self.uid_map.map_id_down(uid).map(Kuid)
    }
    /// The kgid of an id inside (`make_kgid`).
    pub fn make_kgid(&self, gid: u32) -> Option<Kgid> {
        self.gid_map.map_id_down(gid).map(Kgid)
    }
    /// The id inside of a kuid (`from_kuid`).
    pub fn from_kuid(&self, kuid: Kuid) -> Option<u32> {
        self.uid_map.map_id_up(kuid.0)
    }
    /// The id inside of a kgid (`from_kgid`).
    pub fn from_kgid(&self, kgid: Kgid) -> Option<u32> {
        self.gid_map.map_id_up(kgid.0)
    }
}

impl NsKind for UserNamespace {
    const NAME: &'static str = "user";
    const CLONE_FLAG: u64 = 0x1000_0000;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWUSER";
    const INIT_INUM: u32 = 4_026_531_837;
    const INIT_NS_ID: u64 = 7;
    const UCOUNT: usize = 0;
    const UCOUNT_NAME: &'static str = "max_user_namespaces";
    const SLOT: Option<Slot> = None;
    const HOLDS: Holds = Holds::IdMaps;
    const HAS_PARENT: bool = true;

    fn initial() -> UserNamespace {
        UserNamespace {
            uid_map: UidGidMap::identity(),
            gid_map: UidGidMap::identity(),
            projid_map: UidGidMap::identity(),
            level: 0,
            owner: Kuid(0),
            group: Kgid(0),
            setgroups_allowed: true,
            parent_could_setfcap: false,
            ucount_max: [i64::from(THREADS_MAX / 2); UCOUNT_KINDS],
            rlimit_max: [RLIM_INFINITY; UCOUNT_RLIMITS],
        }
    }

    /// A user namespace may be made by anyone whose ids have a name where it is made.
    fn check_create(k: &Kernel, task: Current, _owner: Option<UserNsId>) -> Result<()> {
        k.check_create_user_ns(*task)
    }

    fn create(k: &Kernel, task: Current) -> UserNamespace {
        k.new_user_namespace(*task)
    }

    fn parent(k: &Kernel, task: Current) -> Option<UserNsId> {
        Some(k.cred_of(*task).user_ns.id())
    }

    /// The rules of `userns_install`, which come before what the other kinds ask.
    fn check_install(k: &Kernel, ctx: &InstallCtx, target: UserNsId) -> Result<()> {
        if k.cred_of(ctx.task).user_ns.id() == target {
            bail!(EINVAL, "{} is the caller's own user namespace", k.ns_arg(target));
        }
        if k.is_multithreaded(ctx.task) {
            bail!(EINVAL, "the caller has more than one thread");
        }
        // Of the task itself: unlike for a mount namespace, a private copy does not help.
        if k.is_fs_shared(ctx.task) {
            bail!(EINVAL, "the caller shares its root and working directory (CLONE_FS)");
        }
        if !k.ns_capable(ctx.task, target, Cap::SYS_ADMIN) {
            bail!(EPERM, "CAP_SYS_ADMIN missing in {}", k.ns_arg(target));
        }
        Ok(())
    }
}

impl Kernel {
    /// Whether `task` may make a user namespace (`create_user_ns`).
    ///
    /// # Errors
    /// ENOSPC: nested too deep, or `max_user_namespaces` reached; EPERM: the task is chrooted, euid or egid is not
    /// mapped.
    pub fn check_create_user_ns(&self, task: TaskId) -> Result<()> {
        let cred = self.cred_of(task);
        let parent = cred.user_ns.id();
        let user = &self.namespaces[parent];
        if user.level > USER_NS_LEVEL_MAX {
            bail!(ENOSPC, "{} is at level {}, user namespaces nest no deeper", self.ns_arg(parent), user.level);
        }
        self.check_ucount(parent, cred.ids.euid, NsType::User.ops())?;
        if self.is_chrooted(task) {
            bail!(EPERM, "the root directory of the caller is not that of its mount namespace");
        }
        if user.from_kuid(cred.ids.euid).is_none() {
            bail!(EPERM, "the caller's euid has no mapping in {}", self.ns_arg(parent));
        }
        if user.from_kgid(cred.ids.egid).is_none() {
            bail!(EPERM, "the caller's egid has no mapping in {}", self.ns_arg(parent));
        }
        Ok(())
    }

    /// The state of a user namespace made by `task`: no maps yet, limits wide open.
    pub fn new_user_namespace(&self, task: TaskId) -> UserNamespace {
        let cred = self.cred_of(task);
        let parent = &self.namespaces[cred.user_ns.id()];
        UserNamespace {
            uid_map: UidGidMap::default(),
            gid_map: UidGidMap::default(),
            projid_map: UidGidMap::default(),
            level: parent.level + 1,
            owner: cred.ids.euid,
            group: cred.ids.egid,
            setgroups_allowed: parent.setgroups_allowed,
            parent_could_setfcap: cred.effective.has(Cap::SETFCAP),
            ucount_max: [UCOUNT_MAX; UCOUNT_KINDS],
            rlimit_max: [self.enforced_nproc_rlimit(task), self.signal_of(task).rlimits.msgqueue.soft],
        }
    }

    /// RLIMIT_NPROC as it binds `task`: not at all for kuid 0 in the initial user namespace (`enforced_nproc_rlimit`).
    pub(crate) fn enforced_nproc_rlimit(&self, task: TaskId) -> u64 {
        let cred = self.cred_of(task);
        if cred.ids.uid == GLOBAL_ROOT_UID && cred.user_ns.id() == self.init.user_ns {
            RLIM_INFINITY
        } else {
            self.signal_of(task).rlimits.nproc.soft
        }
    }
}
