//! Devices of network namespaces with their addresses, and sockets that wait for others.

use std::net::IpAddr;

use super::Writer;
use crate::control::lex::quote;
use crate::kernel::capability::Cap;
use crate::kernel::net::DevId;
use crate::kernel::net::dev::{DevKind, LINK_KINDS};
use crate::kernel::ns::{NsType, Slot};
use crate::kernel::{Kernel, NetNsId};
use crate::record::net::{BRIDGE, Device, LOOPBACK, Listening, Net, VETH};
use crate::record::topology::Task;
use crate::script::seen;
use crate::syscall::Become;
use crate::syscall::ip::PHYSICAL;

/// The index of a port that a bridge had once.
const GONE_PORT: i32 = i32::MAX;

impl Writer<'_> {
    /// Whether the initial network namespace was seen without the card that a lab has.
    pub(super) fn has_no_card(&self) -> bool {
        let Some(net) = self.topology.initial(NsType::Net).and_then(|inum| self.topology.net(inum)) else {
            return false;
        };
        let card = self.k.devices_of(self.k.init_ns()).map(|(_, dev)| dev).find(|dev| dev.kind == DevKind::Physical);
        let is_card = |device: &Device| {
            card.is_some_and(|card| {
                (card.ifindex, &card.name, card.mac) == (device.index, &device.name, device.address)
                    && device.kind == PHYSICAL
            })
        };
        !net.devices.is_empty() && !net.devices.iter().any(is_card)
    }

    /// All devices, then what relates them, then their addresses, some of which come from that.
    pub(super) fn nets(&mut self) {
        let nets = self.topology.nets();
        let start = self.text.len();
        self.section("Networks.");
        let before = self.text.len();
        for (inum, net) in &nets {
            self.ids(*inum, net);
        }
        for (inum, net) in &nets {
            for device in &net.devices {
                self.device(*inum, net, device);
            }
        }
        for (inum, net) in &nets {
            for device in &net.devices {
                self.relations(*inum, net, device);
            }
        }
        for (inum, net) in &nets {
            for device in &net.devices {
                self.state(*inum, device);
            }
        }
        for (inum, net) in &nets {
            for device in &net.devices {
                self.addresses(*inum, device);
            }
        }
        if self.text.len() == before {
            self.text.truncate(start);
        }
    }

    /// A task in a network or IPC namespace.
    pub(super) fn actor(&self, inum: u32) -> Option<String> {
        self.members.get(&inum).cloned()
    }

    fn net_ns(&self, inum: u32) -> Option<NetNsId> {
        self.k.find_ns(NsType::Net, inum).and_then(|ns| self.k.namespaces.typed(ns))
    }

    /// The device with this index, as it is now.
    fn device_there(&self, inum: u32, index: i32) -> Option<DevId> {
        let net = self.net_ns(inum)?;
        self.k.devices_of(net).find(|(_, dev)| dev.ifindex == index).map(|(id, _)| id)
    }

    /// The ids that others have.
    fn ids(&mut self, inum: u32, net: &Net) {
        for (id, other) in &net.ids {
            let (Some(actor), Some(peer)) = (self.actor(inum), self.actor(*other)) else { continue };
            let known = self.net_ns(inum).zip(self.net_ns(*other)).and_then(|(net, peer)| self.k.peernet2id(net, peer));
            if known != Some(*id) {
                self.line(&format!("{actor} ip netns set {peer} {id}"));
            }
        }
    }

    fn device(&mut self, inum: u32, net: &Net, device: &Device) {
        let Some(actor) = self.actor(inum) else { return };
        let name = quote(&device.name);
        if let Some(there) = self.device_there(inum, device.index) {
            let there = &self.k.net.devices[there].name;
            if *there != device.name {
                let there = quote(there);
                self.line(&format!("{actor} ip link set {there} name {name}"));
            }
            return;
        }
        match &*device.kind {
            VETH => self.veth(inum, device),
            BRIDGE => {
                // Otherwise it has that of a port.
                let lowest = net.ports(device.index).map(|port| port.address).min();
                let address = if lowest == Some(device.address) { None } else { Some(device.address) };
                self.line(&format!("1 ip link add {} type bridge", self.device_words(inum, device, address)));
                if lowest.is_none() && !device.has_carrier {
                    self.line(&format!("{actor} ip link add port index {GONE_PORT} type dummy"));
                    self.line(&format!("{actor} ip link set port master {name}"));
                    self.line(&format!("{actor} ip link del port"));
                }
            }
            kind if kind == PHYSICAL || LINK_KINDS.iter().any(|(known, _)| *known == kind) => {
                let end = self.device_words(inum, device, Some(device.address));
                self.line(&format!("1 ip link add {end} type {kind}"));
            }
            LOOPBACK => {}
            kind => self.unsaid.note(format!("a device of a kind that the language does not have: {kind}")),
        }
    }

    /// The words for a device that is made: `eth0 index 2 address 02:00:00:00:00:01 netns $net_1`.
    fn device_words(&self, inum: u32, device: &Device, address: Option<[u8; 6]>) -> String {
        let mut words = format!("{} index {}", quote(&device.name), device.index);
        if let Some(address) = address.filter(|address| *address != [0; 6]) {
            words += &format!(" address {}", address.map(|byte| format!("{byte:02x}")).join(":"));
        }
        match self.actor(inum) {
            Some(actor) if actor != "1" => words + &format!(" netns {actor}"),
            _ => words,
        }
    }

    /// A pair of devices, made from one end.
    fn veth(&mut self, inum: u32, device: &Device) {
        let peer = device.peer.and_then(|(net, index)| Some((net, self.topology.net(net)?.device(index)?)));
        let Some((peer_net, peer)) = peer.filter(|(net, _)| self.members.contains_key(net)) else {
            self.unsaid.note("a veth device whose other end is in no network namespace that was seen");
            return;
        };
        let knows = |net: u32, other: u32| {
            self.topology.net(net).is_some_and(|net| net.ids.values().any(|known| *known == other))
        };
        let (this, other) = ((inum, device), (peer_net, peer));
        // The namespace of the first end is told of the other.
        let is_first = inum == peer_net || knows(inum, peer_net);
        let (first, second) = if is_first { (this, other) } else { (other, this) };
        let [first, second] = [first, second].map(|(net, device)| self.device_words(net, device, Some(device.address)));
        self.line(&format!("1 ip link add {first} type veth peer name {second}"));
    }

    /// Further names, and the bridge that it is a port of.
    fn relations(&mut self, inum: u32, net: &Net, device: &Device) {
        let (Some(actor), Some(there)) = (self.actor(inum), self.device_there(inum, device.index)) else { return };
        let name = quote(&device.name);
        for altname in &device.altnames {
            if !self.k.net.devices[there].altnames.contains(altname) {
                self.line(&format!("{actor} ip link property add dev {name} altname {}", quote(altname)));
            }
        }
        if let Some(master) = device.master.and_then(|index| net.device(index)) {
            if master.kind == BRIDGE {
                self.line(&format!("{actor} ip link set {name} master {}", quote(&master.name)));
            } else {
                self.unsaid.note(format!("a port of a device of the kind {}", master.kind));
            }
        }
    }

    /// Whether it is up.
    fn state(&mut self, inum: u32, device: &Device) {
        let (Some(actor), Some(there)) = (self.actor(inum), self.device_there(inum, device.index)) else { return };
        if self.k.net.devices[there].is_up != device.is_up {
            let state = if device.is_up { "up" } else { "down" };
            self.line(&format!("{actor} ip link set {} {state}", quote(&device.name)));
        }
    }

    /// IPv4 addresses come behind, IPv6 ones in front of those that are there: what is there of each is kept from the end
    /// where nothing comes.
    fn addresses(&mut self, inum: u32, device: &Device) {
        let (Some(actor), Some(there)) = (self.actor(inum), self.device_there(inum, device.index)) else { return };
        let name = quote(&device.name);
        let (mut new4, mut new6): (Vec<_>, Vec<_>) =
            device.addresses.iter().copied().partition(|(address, _)| address.is_ipv4());
        new6.reverse();
        let (old4, mut old6): (Vec<_>, Vec<_>) =
            addresses(&self.k, there).into_iter().partition(|(address, _)| address.is_ipv4());
        old6.reverse();
        for (old, new) in [(old4, &mut new4), (old6, &mut new6)] {
            let kept = old.iter().zip(new.iter()).take_while(|(old, new)| old == new).count();
            for (address, prefixlen) in &old[kept..] {
                // With an address go others.
                if addresses(&self.k, there).contains(&(*address, *prefixlen)) {
                    self.line(&format!("{actor} ip addr del {address}/{prefixlen} dev {name}"));
                }
            }
            for (address, prefixlen) in new.drain(..).skip(kept) {
                self.line(&format!("{actor} ip addr add {address}/{prefixlen} dev {name}"));
            }
        }
    }

    /// A socket that a task has open and that waits for others. It is made by the user and where it was.
    pub(super) fn listening(&mut self, task: &Task, name: &str, socket: &Listening) {
        let Some(words) = socket.name.words() else {
            self.unsaid.note("a socket of the local host with a file: a recording has no files");
            return;
        };
        let (Some(id), Some(net)) = (self.found(task.tid), self.net_ns(socket.net)) else { return };
        let mut becomes = Become::default();
        if self.k.task_ns(id, Slot::Net) != Some(net.any()) {
            becomes.slots.push((Slot::Net, NsType::Net, socket.net));
        }
        let cred = self.k.cred_of(id);
        becomes.uids = socket.uid.filter(|uid| *uid != cred.ids.fsuid.0).map(|uid| [uid; 4]);
        let is_free = !socket.name.port().is_some_and(|port| (1..1024).contains(&port))
            || self.k.ns_capable(id, self.k.owner_of(net), Cap::NET_BIND_SERVICE);
        if !is_free {
            becomes.user_ns = self.topology.initial(NsType::User);
            becomes.effective = Some(1 << Cap::NET_BIND_SERVICE.number());
        }
        self.line_as(task, name, &becomes, &format!("{name} bind {words}"));
    }

    /// A line that a task could say only when it was another, which it is for that.
    pub(super) fn line_as(&mut self, task: &Task, name: &str, other: &Become, line: &str) {
        let is_other = *other != Become::default();
        if is_other {
            self.line(&format!("become {name}{}", seen::line(other)));
        }
        self.line(line);
        if is_other {
            self.becomes(task, name);
        }
    }
}

fn addresses(k: &Kernel, device: DevId) -> Vec<(IpAddr, u8)> {
    let device = &k.net.devices[device];
    let inet = device.inet.iter().map(|inet| (IpAddr::V4(inet.local), inet.prefixlen));
    inet.chain(device.inet6.iter().map(|inet| (IpAddr::V6(inet.addr), inet.prefixlen))).collect()
}
