//! Network devices: their life in a namespace (`net/core/dev.c`) and the kinds there are.

use super::DevId;
use super::addr::{Inet4, Inet6};
use super::conf::DevConf;
use super::link::OperState;
use crate::bail;
use crate::errno::Result;
use crate::kernel::{Kernel, NetNsId};

/// `struct net_device`
#[derive(Clone, Debug)]
pub struct NetDevice {
    /// The namespace it is in.
    pub net: NetNsId,
    pub ifindex: i32,
    /// At most 15 bytes.
    pub name: Vec<u8>,
    pub altnames: Vec<Vec<u8>>,
    pub kind: DevKind,
    /// Hardware address; all 0 for the loopback device.
    pub mac: [u8; 6],
    /// Somebody has chosen it (NET_ADDR_SET).
    pub is_mac_set: bool,
    /// IFF_UP
    pub is_up: bool,
    /// The state of the link after its last change of carrier.
    pub operstate: OperState,
    /// It has been up since it came into this namespace.
    pub has_qdisc: bool,
    /// The bridge it is a port of.
    pub master: Option<DevId>,
    pub inet: Vec<Inet4>,
    pub inet6: Vec<Inet6>,
    pub conf: DevConf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevKind {
    Loopback,
    /// Hardware: cannot be made or deleted, and survives its namespace.
    Physical,
    Dummy,
    Bridge {
        /// Whether a port forwards; `None` before there ever was a port.
        carrier: Option<bool>,
    },
    Veth {
        /// The other end; `None` only while the two are made or deleted.
        peer: Option<DevId>,
    },
}

/// The kinds that can be made, by the name of their link operations.
pub const LINK_KINDS: [(&str, DevKind); 3] =
    [("dummy", DevKind::Dummy), ("bridge", DevKind::Bridge { carrier: None }), ("veth", DevKind::Veth { peer: None })];

impl DevKind {
    /// The name of the link operations; `None` where there are none.
    pub fn link_ops(self) -> Option<&'static str> {
        match self {
            DevKind::Loopback | DevKind::Physical => None,
            DevKind::Dummy => Some("dummy"),
            DevKind::Bridge { .. } => Some("bridge"),
            DevKind::Veth { .. } => Some("veth"),
        }
    }

    /// It cannot be moved (`netns_immutable`).
    pub fn is_netns_immutable(self) -> bool {
        matches!(self, DevKind::Loopback | DevKind::Bridge { .. })
    }

    /// Largest packet, bytes.
    pub fn mtu(self) -> u32 {
        if self == DevKind::Loopback { 65536 } else { 1500 }
    }
}

impl NetDevice {
    /// Its name, then the altnames.
    pub fn names(&self) -> impl Iterator<Item = &Vec<u8>> {
        std::iter::once(&self.name).chain(&self.altnames)
    }

    /// The other end of a veth pair.
    pub fn peer(&self) -> Option<DevId> {
        match self.kind {
            DevKind::Veth { peer } => peer,
            _ => None,
        }
    }
}

impl Kernel {
    /// The devices of a namespace by ifindex; none of one that has ended.
    pub fn devices_of(&self, net: NetNsId) -> impl Iterator<Item = (DevId, &NetDevice)> {
        let ids = self.namespaces.state(net).map(|ns| ns.devices.values());
        ids.into_iter().flatten().map(|&id| (id, &self.net.devices[id]))
    }

    /// The device with this name or altname.
    pub fn find_dev(&self, net: NetNsId, name: &[u8]) -> Option<DevId> {
        self.namespaces.state(net)?.names.get(name)
    }

    /// Takes the next free index of a namespace (0: any, from the last one given out on) or a certain one
    /// (`dev_index_reserve`). The device gets it by [`Kernel::list_netdevice`].
    ///
    /// # Errors
    /// EBUSY: it is taken.
    fn reserve_ifindex(&mut self, net: NetNsId, wanted: i32) -> Result<i32> {
        let net = &mut self.namespaces[net];
        if wanted != 0 {
            if net.devices.contains_key(&wanted) {
                bail!(EBUSY, "ifindex {} is in use", wanted);
            }
            return Ok(wanted);
        }
        let free = (net.ifindex..=i32::MAX).chain(1..net.ifindex).find(|index| !net.devices.contains_key(index));
        let index = free.expect("there are fewer devices than numbers");
        net.ifindex = index.checked_add(1).unwrap_or(1);
        Ok(index)
    }

    /// Makes a device in a namespace (`register_netdevice`); `ifindex` 0 takes the next one, no `mac` one of the kernel's.
    ///
    /// # Errors
    /// EINVAL: the name is no device name; EEXIST: it is taken; EBUSY: the index is taken.
    pub(crate) fn register_netdevice(
        &mut self,
        net: NetNsId,
        name: &[u8],
        ifindex: i32,
        kind: DevKind,
        mac: Option<[u8; 6]>,
    ) -> Result<DevId> {
        let name = self.dev_prep_valid_name(net, name)?;
        let ifindex = self.reserve_ifindex(net, ifindex)?;
        let conf = self.namespaces[net].conf.of_new_device(kind);
        let dev = NetDevice {
            net,
            ifindex,
            name,
            altnames: Vec::new(),
            kind,
            mac: mac.unwrap_or_else(|| self.new_mac(kind)),
            is_mac_set: mac.is_some(),
            is_up: false,
            operstate: if kind == DevKind::Physical { OperState::Up } else { OperState::Unknown },
            has_qdisc: false,
            master: None,
            inet: Vec::new(),
            inet6: Vec::new(),
            conf,
        };
        let id = self.net.devices.insert(dev);
        self.list_netdevice(net, id);
        Ok(id)
    }

    /// Locally administered addresses, counting up from 02:00:00:00:00:01. Linux draws them at random.
    fn new_mac(&mut self, kind: DevKind) -> [u8; 6] {
        if kind == DevKind::Loopback {
            return [0; 6];
        }
        self.net.devices_made += 1;
        let [a, b, c, d] = self.net.devices_made.to_be_bytes();
        [2, 0, a, b, c, d]
    }

    fn list_netdevice(&mut self, net: NetNsId, id: DevId) {
        let dev = &self.net.devices[id];
        let net = &mut self.namespaces[net];
        net.devices.insert(dev.ifindex, id);
        dev.names().for_each(|name| net.names.insert(name, id));
        net.bump_dev_base_seq();
    }

    fn unlist_netdevice(&mut self, id: DevId) {
        let dev = &self.net.devices[id];
        // The namespace is gone already when its devices end with it.
        if let Some(ns) = self.namespaces.state_mut(dev.net) {
            ns.devices.remove(&dev.ifindex);
            for name in dev.names() {
                ns.names.remove(name);
            }
            ns.bump_dev_base_seq();
        }
    }

    /// Makes the two ends of a veth pair one another's peers (`veth_newlink`).
    pub(crate) fn pair_veth(&mut self, a: DevId, b: DevId) {
        self.net.devices[a].kind = DevKind::Veth { peer: Some(b) };
        self.net.devices[b].kind = DevKind::Veth { peer: Some(a) };
        self.net.linkwatch.extend([b, a]);
    }

    /// Deletes a device; with one end of a veth pair goes the other (`unregister_netdevice`, `veth_dellink`).
    pub(crate) fn unregister_netdevice(&mut self, id: DevId) {
        let ends: Vec<DevId> = std::iter::once(id).chain(self.net.devices[id].peer()).collect();
        for &end in ends.iter().filter(|_| ends.len() > 1) {
            self.net.devices[end].kind = DevKind::Veth { peer: None };
            self.note_port(end);
        }
        for id in ends {
            self.dev_close(id);
            self.leave_bridges(id);
            self.unlist_netdevice(id);
            self.net.devices.remove(id);
        }
    }

    /// Moves a device to another namespace: it goes down, loses its addresses and its bridge, and keeps its index if that
    /// is free there. `pattern` names it there if its own name is taken (`__dev_change_net_namespace`).
    ///
    /// # Errors
    /// EINVAL: it cannot be moved. EEXIST: its name is taken and there is no other, or that is taken too, or an altname
    /// is. EBUSY: the wanted index is taken.
    pub(crate) fn dev_change_net_namespace(
        &mut self,
        id: DevId,
        to: NetNsId,
        pattern: Option<&[u8]>,
        wanted: Option<i32>,
    ) -> Result<()> {
        let dev = &self.net.devices[id];
        let from = dev.net;
        if dev.kind.is_netns_immutable() {
            bail!(EINVAL, "{} cannot be moved between namespaces", String::from_utf8_lossy(&dev.name).into_owned());
        }
        let name = match (self.find_dev(to, &dev.name), pattern) {
            (None, _) => dev.name.clone(),
            (Some(_), Some(pattern)) => self.dev_prep_valid_name(to, pattern)?,
            (Some(_), None) => bail!(EEXIST, "the name is taken in {}", self.ns_arg(to)),
        };
        if dev.altnames.iter().any(|alt| self.find_dev(to, alt).is_some()) {
            bail!(EEXIST, "an altname is taken in {}", self.ns_arg(to));
        }
        let ifindex = dev.ifindex;
        let ifindex = match wanted {
            Some(wanted) => self.reserve_ifindex(to, wanted)?,
            None => self.reserve_ifindex(to, ifindex).or_else(|_| self.reserve_ifindex(to, 0))?,
        };
        self.dev_close(id);
        self.leave_bridges(id);
        self.unlist_netdevice(id);
        if self.namespaces.contains(from.any()) {
            self.peernet2id_alloc(from, to);
            self.rtmsg_ifinfo(id);
        }
        let conf = self.namespaces[to].conf.of_new_device(self.net.devices[id].kind);
        let dev = &mut self.net.devices[id];
        (dev.net, dev.ifindex, dev.name, dev.conf) = (to, ifindex, name, conf);
        dev.has_qdisc = false;
        dev.inet.clear();
        dev.inet6.clear();
        self.list_netdevice(to, id);
        self.rtmsg_ifinfo(id);
        Ok(())
    }
}
