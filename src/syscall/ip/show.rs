//! What rtnetlink tells of the devices, addresses and ids of a network namespace (`net/core/rtnetlink.c`,
//! `net/ipv4/devinet.c`). The words of ip(8) for it are made in [`crate::control`].

use std::net::IpAddr;

use super::{Outcome, Return, find_dev};
use crate::errno::Result;
use crate::kernel::net::DevId;
use crate::kernel::net::addr::{Inet4, Inet6, Scope};
use crate::kernel::net::dev::{DevKind, NetDevice};
use crate::kernel::net::link::OperState;
use crate::kernel::net::name::NAME_MAX;
use crate::kernel::{Kernel, NetNsId};

bitflags::bitflags! {
    /// `ifi_flags` (`include/uapi/linux/if.h`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct IffFlags: u32 {
        const UP = 1;
        const BROADCAST = 1 << 1;
        const LOOPBACK = 1 << 3;
        const RUNNING = 1 << 6;
        const NOARP = 1 << 7;
        const MULTICAST = 1 << 12;
        const LOWER_UP = 1 << 16;
    }
}

/// A device (RTM_NEWLINK).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    pub ifindex: i32,
    pub name: Vec<u8>,
    pub flags: IffFlags,
    pub mtu: u32,
    pub qdisc: &'static str,
    pub operstate: OperState,
    /// The hardware address.
    pub mac: [u8; 6],
    /// The name of the bridge it is a port of.
    pub master: Option<Vec<u8>>,
    pub peer: Option<Peer>,
    pub altnames: Vec<Vec<u8>>,
}

/// The other end of a link (IFLA_LINK).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// In the same namespace.
    Here { name: Vec<u8>, is_up: bool },
    /// In the namespace with this id (IFLA_LINK_NETNSID).
    Elsewhere { ifindex: i32, nsid: i32 },
}

/// An address of a device (RTM_NEWADDR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    pub ifindex: i32,
    /// The name of the device.
    pub dev: Vec<u8>,
    pub addr: IpAddr,
    pub prefixlen: u8,
    pub scope: Scope,
    /// IFA_F_SECONDARY
    pub is_secondary: bool,
    /// IFA_F_TENTATIVE
    pub is_tentative: bool,
    /// IFA_LABEL; IPv6 has none.
    pub label: Option<Vec<u8>>,
}

/// The devices to list, by ifindex.
fn listed(k: &Kernel, net: NetNsId, dev: Option<&[u8]>) -> Result<Vec<DevId>> {
    match dev {
        Some(name) => Ok(vec![find_dev(k, net, name)?]),
        None => Ok(k.devices_of(net).map(|(id, _)| id).collect()),
    }
}

/// A namespace where a peer is gets its id when it is first listed.
///
/// # Errors
/// ENODEV
pub(super) fn links(k: &mut Kernel, net: NetNsId, dev: Option<&[u8]>) -> Outcome {
    let mut links = Vec::new();
    for id in listed(k, net, dev)? {
        let nsid = k.rtmsg_ifinfo(id);
        links.push(link(k, id, nsid));
    }
    Ok(Return::Links(links))
}

/// `rtnl_fill_ifinfo`
fn link(k: &Kernel, id: DevId, nsid: Option<i32>) -> LinkInfo {
    let dev = &k.net.devices[id];
    let peer = dev.peer().map(|peer| &k.net.devices[peer]).map(|peer| match nsid {
        None => Peer::Here { name: peer.name.clone(), is_up: peer.is_up },
        Some(nsid) => Peer::Elsewhere { ifindex: peer.ifindex, nsid },
    });
    LinkInfo {
        ifindex: dev.ifindex,
        name: dev.name.clone(),
        flags: flags(k, id),
        mtu: dev.kind.mtu(),
        qdisc: qdisc(dev),
        operstate: k.operstate(id),
        mac: dev.mac,
        master: dev.master.map(|master| k.net.devices[master].name.clone()),
        peer,
        altnames: dev.altnames.clone(),
    }
}

/// `netif_get_flags`
fn flags(k: &Kernel, id: DevId) -> IffFlags {
    let dev = &k.net.devices[id];
    let runs = dev.is_up && k.has_carrier(id);
    let mut flags = match dev.kind {
        DevKind::Loopback => IffFlags::LOOPBACK,
        DevKind::Dummy => IffFlags::BROADCAST | IffFlags::NOARP,
        DevKind::Physical | DevKind::Bridge { .. } | DevKind::Veth { .. } => IffFlags::BROADCAST | IffFlags::MULTICAST,
    };
    flags.set(IffFlags::UP, dev.is_up);
    flags.set(IffFlags::RUNNING | IffFlags::LOWER_UP, runs);
    flags
}

fn qdisc(dev: &NetDevice) -> &'static str {
    match dev.kind {
        _ if !dev.has_qdisc => "noop",
        DevKind::Physical => "pfifo_fast",
        _ => "noqueue",
    }
}

/// # Errors
/// ENODEV
pub(super) fn addresses(k: &Kernel, net: NetNsId, dev: Option<&[u8]>) -> Outcome {
    let mut addresses = Vec::new();
    for id in listed(k, net, dev)? {
        let dev = &k.net.devices[id];
        addresses.extend(dev.inet.iter().map(|inet| address4(dev, inet)));
        addresses.extend(dev.inet6.iter().map(|inet| address6(dev, inet)));
    }
    Ok(Return::Addresses(addresses))
}

/// `inet_fill_ifaddr`
fn address4(dev: &NetDevice, inet: &Inet4) -> AddressInfo {
    AddressInfo {
        ifindex: dev.ifindex,
        dev: dev.name.clone(),
        addr: inet.local.into(),
        prefixlen: inet.prefixlen,
        scope: inet.scope,
        is_secondary: inet.is_secondary,
        is_tentative: false,
        label: Some(label(&dev.name, inet.label)),
    }
}

/// `inet6_fill_ifaddr`
fn address6(dev: &NetDevice, inet: &Inet6) -> AddressInfo {
    AddressInfo {
        ifindex: dev.ifindex,
        dev: dev.name.clone(),
        addr: inet.addr.into(),
        prefixlen: inet.prefixlen,
        scope: inet.scope,
        is_secondary: false,
        is_tentative: inet.is_tentative,
        label: None,
    }
}

/// The name of the device and the number a rename has put behind it, which takes the place of the end of a long name
/// (`inetdev_changename`).
fn label(name: &[u8], number: Option<u32>) -> Vec<u8> {
    let end = number.map_or(String::new(), |number| format!(":{number}"));
    let kept = NAME_MAX.saturating_sub(end.len()).min(name.len());
    [&name[..kept], end.as_bytes()].concat()
}

pub(super) fn nsids(k: &Kernel, net: NetNsId) -> Return {
    Return::Nsids(k.namespaces[net].netns_ids.entries().map(|(id, _)| id).collect())
}
