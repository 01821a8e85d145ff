//! Bridges and their ports (`net/bridge/br_if.c`, `net/bridge/br_stp_if.c`).

use super::DevId;
use super::dev::DevKind;
use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;

impl Kernel {
    /// The ports of a bridge, by ifindex.
    pub fn ports_of(&self, bridge: DevId) -> Vec<DevId> {
        let ports = self.devices_of(self.net.devices[bridge].net);
        ports.filter(|(_, dev)| dev.master == Some(bridge)).map(|(id, _)| id).collect()
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
        self.net.devices[id].master = Some(master);
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
            let Some(bridge) = self.net.devices[port].master.take() else { continue };
            self.rtmsg_ifinfo(port);
            self.recalculate_bridge_address(bridge);
            self.update_bridge(bridge, Ports::Other);
        }
    }

    /// The lowest hardware address of the ports (`br_stp_recalculate_bridge_id`).
    fn recalculate_bridge_address(&mut self, bridge: DevId) {
        let lowest = self.ports_of(bridge).into_iter().map(|port| self.net.devices[port].mac).min();
        self.net.devices[bridge].mac = lowest.unwrap_or_default();
    }

    /// A bridge has a carrier while a port forwards; one that never had any port has one too
    /// (`br_port_state_selection`).
    pub(crate) fn update_bridge(&mut self, bridge: DevId, ports: Ports) {
        let is_up = self.net.devices[bridge].is_up;
        let forwards = |&port: &DevId| is_up && self.net.devices[port].is_up && self.has_carrier(port);
        let live = self.ports_of(bridge).iter().any(forwards);
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
