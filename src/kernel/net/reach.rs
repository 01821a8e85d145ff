//! Who hears a frame: the far end of a veth pair, through bridges too. Which namespace answers for an address.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
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
        let (mut heard, mut asked) = (BTreeSet::new(), BTreeSet::new());
        // The bridges that have sent it on, each with the port that it came in by and was not sent out by yet.
        let mut flooded: BTreeMap<DevId, Option<DevId>> = BTreeMap::new();
        let mut sending = vec![from];
        while let Some(dev) = sending.pop() {
            match self.net.devices[dev].kind {
                DevKind::Veth { peer: Some(peer) } if self.has_carrier(dev) && heard.insert(peer) => {
                    let bridge = self.forwarding_bridge(peer);
                    let net = self.net.devices[bridge.unwrap_or(peer)].net;
                    if asked.insert(net) && self.local_source(net, addr).is_some() {
                        return Some(net);
                    }
                    let Some(bridge) = bridge else { continue };
                    match flooded.entry(bridge) {
                        Entry::Vacant(first) => {
                            first.insert(Some(peer));
                            sending.extend(self.ports_of(bridge).filter(|&port| port != peer));
                        }
                        Entry::Occupied(mut again) => {
                            sending.extend(again.get_mut().take_if(|port| *port != peer));
                        }
                    }
                }
                DevKind::Bridge { .. } => {
                    flooded.insert(dev, None);
                    sending.extend(self.ports_of(dev));
                }
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
