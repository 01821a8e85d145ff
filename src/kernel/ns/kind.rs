//! Kinds of namespaces as types. An `Id<PidNamespace>` names a namespace that is known to be a pid namespace, so that
//! [`Table<Namespace>`](Table) gives its state for it. An id of no particular kind ([`NsId`]) becomes one of a kind in
//! [`Table::typed`] alone.

use std::ops::{Index, IndexMut};

use super::{
    CgroupNamespace, InstallCtx, IpcNamespace, MntNamespace, Namespace, NetNamespace, NsOps, PidNamespace, Slot,
    TimeNamespace, UserNamespace, UtsNamespace,
};
use crate::errno::Result;
use crate::kernel::refcount::Held;
use crate::kernel::table::{Id, Table};
use crate::kernel::{Current, Kernel, NsId, TaskId};

pub type UserNsId = Id<UserNamespace>;
pub type MntNsId = Id<MntNamespace>;
pub type UtsNsId = Id<UtsNamespace>;
pub type IpcNsId = Id<IpcNamespace>;
pub type PidNsId = Id<PidNamespace>;
pub type CgroupNsId = Id<CgroupNamespace>;
pub type NetNsId = Id<NetNamespace>;
pub type TimeNsId = Id<TimeNamespace>;

/// What a namespace has besides its owner and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    IdMaps,
    HostNames,
    Mounts,
    IpcObjects,
    PidNumbers,
    CgroupRoot,
    Devices,
    Offsets,
}

/// A kind of namespace: all that differs between kinds. [`NsOps::of`] makes a row of the table of it.
pub trait NsKind: InState {
    /// The name in links, `kernel/ns/<name>` and flags (`<name>` and `new<name>`).
    const NAME: &'static str;
    /// `CLONE_NEW…`
    const CLONE_FLAG: u64;
    const CLONE_FLAG_NAME: &'static str;
    /// The inum of the initial namespace.
    const INIT_INUM: u32;
    /// The ns_id of the initial namespace: boot makes them in Linux's order.
    const INIT_NS_ID: u64;
    /// The index in ucounts.
    const UCOUNT: usize;
    /// `max_<name>_namespaces`
    const UCOUNT_NAME: &'static str;
    /// The slot a new namespace goes into; `None`: not in the nsproxy (user).
    const SLOT: Option<Slot>;
    /// The further slot setns sets (time).
    const SETNS_SLOT: Option<Slot> = None;
    /// Numbers beyond its own inum a namespace takes from the pool.
    const EXTRA_INUMS: usize = 0;

    /// What such a namespace has besides its owner and its number.
    const HOLDS: Holds;
    /// They nest, and NS_GET_PARENT works.
    const HAS_PARENT: bool = false;

    /// The state of the initial namespace.
    fn initial() -> Self;

    /// What may forbid creation besides privilege and limits. `owner` is `None` for a user namespace made in this call.
    ///
    /// # Errors
    /// What the kind says.
    fn check_create(_k: &Kernel, _task: Current, _owner: Option<UserNsId>) -> Result<()> {
        Ok(())
    }

    /// The state of a new namespace made by a task.
    fn create(k: &Kernel, task: Current) -> Self;

    /// The namespace that a new one made by a task is nested in; `None`: kinds that do not nest.
    fn parent(_k: &Kernel, _task: Current) -> Option<Id<Self>> {
        None
    }

    /// What the task's new namespace gets once it exists.
    fn setup(_k: &mut Kernel, _ns: Id<Self>, _task: TaskId) {}

    /// The bytes of the lists that it has, about.
    fn bytes(&self) -> usize {
        0
    }

    /// The end of what a namespace held, after its last reference went. The id names nothing any more.
    fn teardown(self, _k: &mut Kernel, _ns: Id<Self>) {}

    /// setns: may the task join `target`? `_install` of the kind, its checks in order.
    ///
    /// # Errors
    /// What the kind says.
    fn check_install(k: &Kernel, ctx: &InstallCtx, target: Id<Self>) -> Result<()> {
        super::check_install_admin(k, ctx, target)
    }
}

/// The kinds whose owner is a user namespace beside them: all but user namespaces, whose owner is their parent.
pub trait Owned: NsKind {}

/// The variants of [`NsType`] and [`NsState`] that are a kind.
pub trait InState: Sized + 'static {
    const TYPE: NsType;
    fn wrap(self) -> NsState;
    fn unwrap(state: NsState) -> Option<Self>;
    fn of(state: &NsState) -> Option<&Self>;
    fn of_mut(state: &mut NsState) -> Option<&mut Self>;
}

macro_rules! kinds {
    ($($kind:ident($state:ident)),*) => {
        /// The kinds, in the order in which one call creates and joins them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum NsType {
            $($kind),*
        }

        /// What a kind has of its own. Kinds differ much in size, so it has a place apart.
        #[derive(Clone, Debug)]
        pub enum NsState {
            $($kind(Box<$state>)),*
        }

        impl NsState {
            pub fn ns_type(&self) -> NsType {
                match self {
                    $(NsState::$kind(_) => NsType::$kind),*
                }
            }

            /// Bytes of the state itself, without what it points to.
            pub(in crate::kernel) fn size(&self) -> usize {
                match self {
                    $(NsState::$kind(_) => size_of::<$state>(),)*
                }
            }
        }

        $(
            impl InState for $state {
                const TYPE: NsType = NsType::$kind;
                fn wrap(self) -> NsState {
                    NsState::$kind(Box::new(self))
                }
                fn unwrap(state: NsState) -> Option<$state> {
                    if let NsState::$kind(state) = state { Some(*state) } else { None }
                }
                fn of(state: &NsState) -> Option<&$state> {
                    if let NsState::$kind(state) = state { Some(state) } else { None }
                }
                fn of_mut(state: &mut NsState) -> Option<&mut $state> {
                    if let NsState::$kind(state) = state { Some(state) } else { None }
                }
            }
        )*
    };
}

kinds! {
    User(UserNamespace),
    Mnt(MntNamespace),
    Uts(UtsNamespace),
    Ipc(IpcNamespace),
    Pid(PidNamespace),
    Cgroup(CgroupNamespace),
    Net(NetNamespace),
    Time(TimeNamespace)
}

impl NsOps {
    /// The row of a kind.
    pub const fn of<S: NsKind>() -> NsOps {
        NsOps {
            ns_type: S::TYPE,
            name: S::NAME,
            clone_flag: S::CLONE_FLAG,
            clone_flag_name: S::CLONE_FLAG_NAME,
            init_inum: S::INIT_INUM,
            init_ns_id: S::INIT_NS_ID,
            initial: || S::initial().wrap(),
            ucount: S::UCOUNT,
            ucount_name: S::UCOUNT_NAME,
            slot: S::SLOT,
            setns_slot: S::SETNS_SLOT,
            extra_inums: S::EXTRA_INUMS,
            holds: S::HOLDS,
            has_parent: S::HAS_PARENT,
            check_create: S::check_create,
            create: |k, task| S::create(k, task).wrap(),
            parent: |k, task| S::parent(k, task).map(Id::any),
            setup: |k, ns, task| {
                if let Some(ns) = k.namespaces.typed::<S>(ns) {
                    S::setup(k, ns, task);
                }
            },
            bytes: |state| S::of(state).map_or(0, S::bytes),
            teardown: |k, ns, state| {
                if let Some(state) = S::unwrap(state) {
                    state.teardown(k, ns.cast());
                }
            },
            check_install: |k, ctx, ns| match k.namespaces.typed::<S>(ns) {
                Some(ns) => S::check_install(k, ctx, ns),
                None => Err(crate::err!(EINVAL, "{} is of another kind", k.ns_arg(ns))),
            },
        }
    }
}

impl<S: NsKind> Id<S> {
    /// The namespace, whatever its kind.
    pub fn any(self) -> NsId {
        self.cast()
    }
}

impl<S: NsKind> From<Id<S>> for NsId {
    fn from(ns: Id<S>) -> NsId {
        ns.any()
    }
}

impl<S: NsKind> From<Held<S>> for Held<Namespace> {
    fn from(held: Held<S>) -> Held<Namespace> {
        held.cast()
    }
}

impl Table<Namespace> {
    /// The id as one of a kind; `None` for a namespace of another kind and for one that is gone.
    pub fn typed<S: NsKind>(&self, ns: NsId) -> Option<Id<S>> {
        self.get(ns).and_then(Namespace::as_kind::<S>).map(|_| ns.cast())
    }

    /// The state of a namespace that may be gone.
    pub fn state<S: NsKind>(&self, ns: Id<S>) -> Option<&S> {
        self.get(ns.any()).and_then(Namespace::as_kind)
    }

    /// As [`Table::state`], to change it.
    pub fn state_mut<S: NsKind>(&mut self, ns: Id<S>) -> Option<&mut S> {
        self.get_mut(ns.any()).and_then(|ns| S::of_mut(&mut ns.state))
    }

    /// All namespaces of a kind, in the order of their slots.
    pub fn of_kind<S: NsKind>(&self) -> impl Iterator<Item = (Id<S>, &S)> {
        self.iter().filter_map(|(id, ns)| Some((id.cast(), ns.as_kind()?)))
    }

    /// Takes one more reference to a live namespace of a kind.
    pub(in crate::kernel) fn hold_typed<S>(&mut self, ns: Id<S>) -> Held<S>
    where
        Id<S>: Into<NsId>,
    {
        self.hold(ns.into()).cast()
    }
}

impl<S: NsKind> Index<Id<S>> for Table<Namespace> {
    type Output = S;
    /// Panics on a stale id: the kernel keeps ids only of objects it holds.
    fn index(&self, ns: Id<S>) -> &S {
        self.state(ns).expect("an id held by the kernel names a live namespace")
    }
}

impl<S: NsKind> IndexMut<Id<S>> for Table<Namespace> {
    fn index_mut(&mut self, ns: Id<S>) -> &mut S {
        self.state_mut(ns).expect("an id held by the kernel names a live namespace")
    }
}
