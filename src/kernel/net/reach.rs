//! Who hears a frame: the far end of a veth pair, through bridges too. Which namespace answers for an address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::DevId;
use super::dev::DevKind;
use crate::kernel::{Kernel, NetNsId};

impl Kernel {
    /// Whether a namespace hears what it sends to itself.
    pub fn is_loopback_up(&self, net: NetNsId) -> bool {
        self.devices_of(net).any(|(_, dev)| dev.kind == DevKind::Loopback && dev.is_up)
    }

    /// The namespace that has `addr` among those that hear what `from` sends.
    pub fn neighbour(&self, from: DevId, addr: IpAddr) -> Option<NetNsId> {
        let mut heard = BTreeSet::new();
        let mut sending = vec![from];
        while let Some(dev) = sending.pop() {
            match self.net.devices[dev].kind {
                DevKind::Veth { peer: Some(peer) } if self.has_carrier(dev) && heard.insert(peer) => {
                    match self.forwarding_bridge(peer) {
                        None if self.local_source(self.net.devices[peer].net, addr).is_some() => {
                            return Some(self.net.devices[peer].net);
                        }
                        None => {}
                        Some(bridge) if self.local_source(self.net.devices[bridge].net, addr).is_some() => {
                            return Some(self.net.devices[bridge].net);
                        }
                        Some(bridge) => sending.extend(self.ports_of(bridge).into_iter().filter(|&port| port != peer)),
                    }
                }
                DevKind::Bridge { .. } => sending.extend(self.ports_of(dev)),
                _ => {}
            }
        }
        None
    }

    /// The bridge that takes what arrives at a device.
    fn forwarding_bridge(&self, dev: DevId) -> Option<DevId> {
        self.net.devices[dev].master.filter(|&bridge| self.net.devices[bridge].is_up)
    }
}
