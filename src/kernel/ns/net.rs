//! Network namespaces (`net/core/net_namespace.c`): their devices, ids for other namespaces, sockets and sysctls.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::{Holds, NetNsId, NsKind, Owned, Slot};
use crate::kernel::memory::ENTRY;
use crate::kernel::net::addr::{Inet4, Scope};
use crate::kernel::net::bound::Bound;
use crate::kernel::net::conf::NetConf;
use crate::kernel::net::dev::DevKind;
use crate::kernel::net::name::DevNames;
use crate::kernel::net::{DevId, SocketId};
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::table::Cyclic;
use crate::kernel::{Current, Kernel, TaskId};

/// `struct net`
#[derive(Clone, Debug)]
pub struct NetNamespace {
    /// `dev_base_head` by ifindex.
    pub devices: BTreeMap<i32, DevId>,
    /// The devices by name, and by each altname.
    pub names: DevNames,
    /// Where the search for the next ifindex starts.
    pub ifindex: i32,
    /// Counts changes of the list of devices; never 0.
    pub dev_base_seq: u32,
    /// Ids of other namespaces.
    pub netns_ids: Cyclic<NetNsId>,
    /// The ids that other namespaces have for this one.
    pub known_as: BTreeMap<NetNsId, i32>,
    /// The sockets that belong here.
    pub sockets: BTreeSet<SocketId>,
    /// What those of them that have a local address have taken.
    pub bound: Bound,
    /// An IPv4 address was configured once: there is a local routing table.
    pub has_local_table: bool,
    pub conf: NetConf,
    /// `net.core.somaxconn`
    pub somaxconn: i32,
    /// `net.core.rmem_max`, which only the initial namespace can change.
    pub rmem_max: i32,
}

impl Default for NetNamespace {
    /// Without devices, and with the sysctls a kernel boots with.
    fn default() -> NetNamespace {
        NetNamespace {
            devices: BTreeMap::new(),
            names: DevNames::default(),
            ifindex: 1,
            dev_base_seq: 1,
            netns_ids: Cyclic::default(),
            known_as: BTreeMap::new(),
            sockets: BTreeSet::new(),
            bound: Bound::default(),
            has_local_table: false,
            conf: NetConf::default(),
            somaxconn: 4096,
            rmem_max: 4_194_304,
        }
    }
}

impl NetNamespace {
    pub(crate) fn bump_dev_base_seq(&mut self) {
        self.dev_base_seq = self.dev_base_seq.checked_add(1).unwrap_or(1);
    }
}

impl NsKind for NetNamespace {
    const NAME: &'static str = "net";
    const CLONE_FLAG: u64 = 0x4000_0000;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWNET";
    const INIT_INUM: u32 = 4_026_531_833;
    const INIT_NS_ID: u64 = 3;
    const UCOUNT: usize = 4;
    const UCOUNT_NAME: &'static str = "max_net_namespaces";
    const SLOT: Option<Slot> = Some(Slot::Net);
    const HOLDS: Holds = Holds::Devices;
    const EXTRA_INUMS: usize = 68;

    fn bytes(&self) -> usize {
        let ids = self.known_as.len() + self.netns_ids.len();
        ENTRY * (3 * self.devices.len() + 3 * self.sockets.len() + ids)
    }

    fn initial() -> NetNamespace {
        NetNamespace::default()
    }

    /// Device settings come from the initial namespace, all else has its default (`devinet_init_net` with
    /// `devconf_inherit_init_net` 0).
    fn create(k: &Kernel, _task: Current) -> NetNamespace {
        let conf = k.namespaces[k.init_ns::<NetNamespace>()].conf.clone();
        NetNamespace { conf, ..NetNamespace::default() }
    }

    /// Index 1 is `lo`; the initial namespace also has a network card.
    fn setup(k: &mut Kernel, ns: NetNsId, _task: TaskId) {
        let lo =
            k.register_netdevice(ns, b"lo", 0, DevKind::Loopback, None).expect("nothing else is in a new namespace");
        if ns == k.init_ns() {
            let eth0 =
                k.register_netdevice(ns, b"eth0", 0, DevKind::Physical, None).expect("only lo is in the namespace");
            k.dev_open(lo);
            k.dev_open(eth0);
            // The lab has no router, from which IPv6 would be configured.
            k.net.devices[eth0].inet6.clear();
            let address = Inet4::new(Ipv4Addr::new(192, 0, 2, 2), 24, Scope::Global);
            k.insert_inet(eth0, address).expect("the device has no address yet");
        }
    }

    fn teardown(self, k: &mut Kernel, ns: NetNsId) {
        k.cleanup_net(ns, self);
    }
}

impl Owned for NetNamespace {}

impl NsProxy {
    /// The network namespace.
    pub fn net_ns(&self) -> NetNsId {
        self.typed(Slot::Net)
    }
}
