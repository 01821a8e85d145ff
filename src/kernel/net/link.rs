//! Link state: up and down, carrier, what follows from them for addresses.

use super::DevId;
use super::addr::{Inet4, Scope};
use super::bridge::Ports;
use super::dev::DevKind;
use crate::kernel::Kernel;
use std::net::Ipv4Addr;

/// The state of RFC 2863 by its name in iproute2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperState {
    Unknown,
    Down,
    LowerLayerDown,
    Up,
}

impl OperState {
    pub fn name(self) -> &'static str {
        match self {
            OperState::Unknown => "UNKNOWN",
            OperState::Down => "DOWN",
            OperState::LowerLayerDown => "LOWERLAYERDOWN",
            OperState::Up => "UP",
        }
    }
}

impl Kernel {
    /// Whether the link works (`netif_carrier_ok`).
    pub fn has_carrier(&self, id: DevId) -> bool {
        let dev = &self.net.devices[id];
        match dev.kind {
            DevKind::Loopback | DevKind::Physical | DevKind::Dummy => true,
            DevKind::Bridge { carrier } => carrier.unwrap_or(true),
            DevKind::Veth { peer } => dev.is_up && peer.is_some_and(|peer| self.net.devices[peer].is_up),
        }
    }

    /// `operstate` as rtnetlink shows it.
    pub fn operstate(&self, id: DevId) -> OperState {
        let dev = &self.net.devices[id];
        if dev.is_up { dev.operstate } else { OperState::Down }
    }

    /// Works off the changes of carrier: the state of the link follows from what is then, and who listens is told
    /// (`linkwatch_run_queue`).
    pub(crate) fn linkwatch_run(&mut self) {
        for id in std::mem::take(&mut self.net.linkwatch) {
            if !self.net.devices.contains(id) {
                continue;
            }
            self.net.devices[id].operstate = self.default_operstate(id);
            if self.net.devices[id].is_up {
                self.rtmsg_ifinfo(id);
            }
        }
    }

    /// A link without carrier blames the one below it, looked for in its own namespace by the index of its peer, wherever
    /// that is (`default_operstate`).
    fn default_operstate(&self, id: DevId) -> OperState {
        let dev = &self.net.devices[id];
        if self.has_carrier(id) {
            return OperState::Up;
        }
        let iflink = dev.peer().map_or(dev.ifindex, |peer| self.net.devices[peer].ifindex);
        let below = self.namespaces[dev.net].devices.get(&iflink);
        match below.filter(|_| iflink != dev.ifindex) {
            Some(&below) if !self.has_carrier(below) => OperState::LowerLayerDown,
            _ => OperState::Down,
        }
    }

    /// Sets a device up: its subnets are routed, the loopback device has its own address (`dev_open`, `inetdev_event`).
    pub(crate) fn dev_open(&mut self, id: DevId) {
        let dev = &mut self.net.devices[id];
        if dev.is_up {
            return;
        }
        dev.is_up = true;
        dev.has_qdisc = true;
        for inet in &mut dev.inet {
            inet.was_up = true;
        }
        if dev.kind == DevKind::Loopback {
            // It may have the address already.
            let _ = self.insert_inet(id, Inet4::new(Ipv4Addr::LOCALHOST, 8, Scope::Host));
        }
        self.link_changed(id);
    }

    /// Sets a device down: IPv6 addresses go, IPv4 ones stay, and stay local (`dev_close`).
    pub(crate) fn dev_close(&mut self, id: DevId) {
        let dev = &mut self.net.devices[id];
        if !dev.is_up {
            return;
        }
        dev.is_up = false;
        dev.inet6.clear();
        self.link_changed(id);
    }

    /// Tells those whom the state of a link concerns: listeners, the other end, bridges, IPv6.
    fn link_changed(&mut self, id: DevId) {
        self.rtmsg_ifinfo(id);
        if let Some(peer) = self.net.devices[id].peer().filter(|&peer| self.net.devices[peer].is_up) {
            self.net.linkwatch.extend([id, peer]);
        }
        for end in std::iter::once(id).chain(self.net.devices[id].peer()) {
            self.addrconf_link_ready(end);
            self.note_port(end);
            if let Some(bridge) = self.net.devices[end].master {
                self.update_bridge(bridge, Ports::Same);
            }
        }
        if matches!(self.net.devices[id].kind, DevKind::Bridge { .. }) {
            self.update_bridge(id, Ports::Same);
        }
    }
}
