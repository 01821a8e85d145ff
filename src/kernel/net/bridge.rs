//! Bridges and their ports (`net/bridge/br_if.c`, `net/bridge/br_stp_if.c`).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::DevId;
use super::dev::DevKind;
use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;

/// The ports of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgePorts {
    /// By ifindex.
    by_index: BTreeMap<i32, DevId>,
    /// The hardware address of each, with its ifindex.
    addresses: BTreeSet<([u8; 6], i32)>,
    /// Those that are up and have a carrier.
    forwarding: BTreeSet<DevId>,
}

impl Kernel {
    /// The ports of all bridges, from what the devices say.
    pub(in crate::kernel) fn recount_ports(&self) -> BTreeMap<DevId, BridgePorts> {
        let mut bridges: BTreeMap<DevId, BridgePorts> = BTreeMap::new();
        for (id, dev) in self.net.devices.iter() {
            if let Some(bridge) = dev.master {
                let ports = bridges.entry(bridge).or_default();
                ports.by_index.insert(dev.ifindex, id);
                ports.addresses.insert((dev.mac, dev.ifindex));
                ports.forwarding.extend(self.forwards(id).then_some(id));
            }
        }
        bridges
    }

    /// The ports of a bridge, by ifindex.
    pub fn ports_of(&self, bridge: DevId) -> impl Iterator<Item = DevId> {
        self.net.ports.get(&bridge).into_iter().flat_map(|ports| ports.by_index.values().copied())
    }

    fn forwards(&self, port: DevId) -> bool {
        self.net.devices[port].is_up && self.has_carrier(port)
    }

    fn list_port(&mut self, port: DevId, bridge: DevId) {
        self.net.devices[port].master = Some(bridge);
        let (ifindex, mac) = (self.net.devices[port].ifindex, self.net.devices[port].mac);
        let ports = self.net.ports.entry(bridge).or_default();
        ports.by_index.insert(ifindex, port);
        ports.addresses.insert((mac, ifindex));
        self.note_port(port);
    }

    /// Takes a device out of the list of its bridge, which it gives.
    pub(super) fn unlist_port(&mut self, port: DevId) -> Option<DevId> {
        let dev = &mut self.net.devices[port];
        let (bridge, ifindex, mac) = (dev.master.take()?, dev.ifindex, dev.mac);
        if let Entry::Occupied(mut ports) = self.net.ports.entry(bridge) {
            ports.get_mut().by_index.remove(&ifindex);
            ports.get_mut().addresses.remove(&(mac, ifindex));
            ports.get_mut().forwarding.remove(&port);
            if ports.get().by_index.is_empty() {
                ports.remove();
            }
        }
        Some(bridge)
    }

    /// Notes whether a device forwards for its bridge, after its state or that of its peer has changed.
    pub(super) fn note_port(&mut self, port: DevId) {
        let forwards = self.forwards(port);
        let bridge = self.net.devices[port].master;
        if let Some(ports) = bridge.and_then(|bridge| self.net.ports.get_mut(&bridge)) {
            let _ = if forwards { ports.forwarding.insert(port) } else { ports.forwarding.remove(&port) };
        }
    }

    /// Makes a device a port of the one with index `master`, 0: of none; it leaves the bridge it was in before
    /// (`do_set_master`).
    ///
    /// # Errors
    /// EINVAL: there is no such master, or the device has no Ethernet address. EOPNOTSUPP: the master has no ports. ELOOP:
    /// a bridge.
    pub(crate) fn set_master(&mut self, id: DevId, master: i32) -> Result<()> {
        let dev = &self.net.devices[id];
        let (kind, net) = (dev.kind, dev.net);
        if let Some(old) = dev.master {
            if self.net.devices[old].ifindex == master {
                return Ok(());
            }
            self.leave_bridges(id);
        }
        if master == 0 {
            return Ok(());
        }
        let Some(&master) = self.namespaces[net].devices.get(&master) else {
            bail!(EINVAL, "no device has the index {} in {}", master, self.ns_arg(net));
        };
        if !matches!(self.net.devices[master].kind, DevKind::Bridge { .. }) {
            bail!(EOPNOTSUPP, "the master is no bridge");
        }
        match kind {
            DevKind::Loopback => bail!(EINVAL, "the loopback device cannot be a port"),
            DevKind::Bridge { .. } => bail!(ELOOP, "a bridge cannot be a port of a bridge"),
            DevKind::Physical | DevKind::Dummy | DevKind::Veth { .. } => {}
        }
        self.list_port(id, master);
        self.rtmsg_ifinfo(id);
        self.recalculate_bridge_address(master);
        self.update_bridge(master, Ports::Other);
        Ok(())
    }

    /// Takes a port out of its bridge, and the ports out of a bridge.
    pub(crate) fn leave_bridges(&mut self, id: DevId) {
        let mut leaving = Vec::new();
        if self.net.devices[id].master.is_some() {
            leaving.push(id);
        }
        if matches!(self.net.devices[id].kind, DevKind::Bridge { .. }) {
            leaving.extend(self.ports_of(id));
        }
        for port in leaving {
            let Some(bridge) = self.unlist_port(port) else { continue };
            self.rtmsg_ifinfo(port);
            self.recalculate_bridge_address(bridge);
            self.update_bridge(bridge, Ports::Other);
        }
    }

    /// The lowest hardware address of the ports, unless the bridge was given one (`br_stp_recalculate_bridge_id`).
    fn recalculate_bridge_address(&mut self, bridge: DevId) {
        if self.net.devices[bridge].is_mac_set {
            return;
        }
        let lowest = self.net.ports.get(&bridge).and_then(|ports| ports.addresses.first());
        self.net.devices[bridge].mac = lowest.map(|(mac, _)| *mac).unwrap_or_default();
    }

    /// A bridge has a carrier while a port forwards; one that never had any port has one too
    /// (`br_port_state_selection`).
    pub(crate) fn update_bridge(&mut self, bridge: DevId, ports: Ports) {
        let forwards = self.net.ports.get(&bridge).is_some_and(|ports| !ports.forwarding.is_empty());
        let live = self.net.devices[bridge].is_up && forwards;
        if let DevKind::Bridge { carrier } = &mut self.net.devices[bridge].kind
            && (live || carrier.is_some() || ports == Ports::Other)
            && carrier.replace(live).unwrap_or(true) != live
        {
            self.net.linkwatch.push(bridge);
        }
        self.addrconf_link_ready(bridge);
    }
}

/// Why a bridge looks at its ports again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    Same,
    /// One came or left.
    Other,
}
