//! What rtnetlink(7) tells: devices, addresses, routes and namespace ids as messages, and what became of a request.

use std::net::IpAddr;

use super::message::{Header, Message, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_MULTI};
use super::request::{
    AF_INET, AF_INET6, IFA_ADDRESS, IFA_LOCAL, IFLA_ALT_IFNAME, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO,
    IFLA_MASTER, IFLA_PROP_LIST, Wanted,
};
use crate::bail;
use crate::errno::{Error, Result};
use crate::kernel::net::addr::{Route, Scope};
use crate::kernel::net::link::OperState;
use crate::kernel::{Kernel, NetNsId};
use crate::syscall::Return;
use crate::syscall::ip::{AddressInfo, IffFlags, LinkInfo, Peer};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
pub const RTM_NEWLINK: u16 = 16;
pub const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
pub const RTM_NEWNSID: u16 = 88;

/// The reason in words (`NLMSGERR_ATTR_MSG`).
const REASON: u16 = 1;

const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_QDISC: u16 = 6;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKMODE: u16 = 17;
const IFLA_GROUP: u16 = 27;
const IFLA_CARRIER: u16 = 33;
const IFLA_LINK_NETNSID: u16 = 37;

const IFA_LABEL: u16 = 3;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_F_SECONDARY: u8 = 1;
const IFA_F_TENTATIVE: u8 = 0x40;
const IFA_F_PERMANENT: u8 = 0x80;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_KERNEL: u8 = 2;
const RTN_UNICAST: u8 = 1;
const RTNH_F_LINKDOWN: u32 = 16;

const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_HOST: u8 = 254;

/// How many packets wait at most: what all devices of a lab have.
const TX_QUEUE_LEN: u32 = 1000;
/// A datagram has no more bytes, unless one message has: those with small buffers read it whole.
const DATAGRAM_MAX: usize = 4096;
/// What a program is handed in one piece.
const MESSAGE_MAX: usize = 8192;

/// Who is told.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The port of its socket.
    pub portid: u32,
    /// What it has called its request.
    pub seq: u32,
}

impl Reader {
    fn header(self, kind: u16, flags: u16) -> Header {
        Header { kind, flags, seq: self.seq, portid: self.portid }
    }
}

/// What a command gave, as datagrams.
///
/// # Errors
/// EMSGSIZE: a device has so many other names that no message takes them.
pub fn answer(k: &Kernel, net: NetNsId, given: &Return, wanted: &Wanted, reader: Reader) -> Result<Vec<Vec<u8>>> {
    let flags = if *wanted == Wanted::One { 0 } else { NLM_F_MULTI };
    let head = |kind| reader.header(kind, flags);
    let messages: Vec<Vec<u8>> = match (wanted, given) {
        (Wanted::Nothing, _) => return Ok(Vec::new()),
        (Wanted::Routes { family }, _) => {
            let routes = if matches!(*family, 0 | AF_INET) { k.routes(net) } else { Vec::new() };
            routes.iter().map(|found| route(k, found, head(RTM_NEWROUTE))).collect()
        }
        (Wanted::All | Wanted::One, Return::Links(links)) => {
            links.iter().map(|info| link(k, net, info, head(RTM_NEWLINK))).collect()
        }
        (Wanted::Addresses { family, index }, Return::Addresses(addresses)) => {
            let is_wanted = |info: &&AddressInfo| {
                let has_family = *family == 0 || *family == family_of(info.addr);
                has_family && (*index == 0 || info.ifindex == index.cast_signed())
            };
            addresses.iter().filter(is_wanted).map(|info| address(info, head(RTM_NEWADDR))).collect()
        }
        (Wanted::All, Return::Nsids(ids)) => ids.iter().map(|id| nsid(*id, head(RTM_NEWNSID))).collect(),
        (Wanted::One, Return::Num(id)) => vec![nsid(i32::try_from(*id).unwrap_or(-1), head(RTM_NEWNSID))],
        _ => Vec::new(),
    };
    if let Some(long) = messages.iter().find(|message| message.len() > MESSAGE_MAX) {
        bail!(EMSGSIZE, "a message of {} bytes, at most {} are possible", long.len(), MESSAGE_MAX);
    }
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for message in messages {
        match datagrams.last_mut() {
            Some(last) if last.len() + message.len() <= DATAGRAM_MAX => last.extend(message),
            _ => datagrams.push(message),
        }
    }
    if *wanted != Wanted::One {
        datagrams.push(Message::new(head(NLMSG_DONE), &[0; 4]).finish());
    }
    Ok(datagrams)
}

/// That a request is done.
pub fn acknowledge(request: &Header, reader: Reader) -> Vec<u8> {
    let mut message = Message::new(reader.header(NLMSG_ERROR, NLM_F_CAPPED), &[0; 4]);
    message.bytes(&request.bytes(super::message::HEADER_LEN));
    message.finish()
}

/// That a request has failed: with the request, or only its header if it is to be capped, and the reason for who reads it
/// (`netlink_ack`).
pub fn refuse(
    request: &Header,
    body: &[u8],
    error: &Error,
    reader: Reader,
    reason: Option<&str>,
    is_capped: bool,
) -> Vec<u8> {
    let flags = if is_capped { NLM_F_CAPPED } else { 0 } | if reason.is_some() { NLM_F_ACK_TLVS } else { 0 };
    let mut message = Message::new(reader.header(NLMSG_ERROR, flags), &(-(error.errno as i32)).to_ne_bytes());
    message.bytes(&request.bytes(super::message::HEADER_LEN + body.len()));
    if !is_capped {
        message.bytes(body);
    }
    if let Some(reason) = reason {
        message.text(REASON, reason.as_bytes());
    }
    message.finish()
}

/// `rtnl_fill_ifinfo`: `struct ifinfomsg`, and what the device is.
fn link(k: &Kernel, net: NetNsId, info: &LinkInfo, header: Header) -> Vec<u8> {
    let index_of = |name: &[u8]| k.find_dev(net, name).map_or(0, |dev| k.net.devices[dev].ifindex.cast_unsigned());
    let is_loopback = info.flags.contains(IffFlags::LOOPBACK);
    let kind = if is_loopback { ARPHRD_LOOPBACK } else { ARPHRD_ETHER };
    let mut body = vec![0, 0];
    body.extend(kind.to_ne_bytes());
    body.extend([info.ifindex.cast_unsigned(), info.flags.bits(), 0].map(u32::to_ne_bytes).concat());
    let mut message = Message::new(header, &body);
    message.text(IFLA_IFNAME, &info.name);
    message.number(IFLA_TXQLEN, TX_QUEUE_LEN);
    message.attribute(IFLA_OPERSTATE, &[operstate(info.operstate)]);
    message.attribute(IFLA_LINKMODE, &[0]);
    message.number(IFLA_MTU, info.mtu);
    message.number(IFLA_GROUP, 0);
    message.attribute(IFLA_CARRIER, &[u8::from(info.flags.contains(IffFlags::LOWER_UP))]);
    message.text(IFLA_QDISC, info.qdisc.as_bytes());
    message.attribute(IFLA_ADDRESS, &info.mac);
    message.attribute(IFLA_BROADCAST, &if is_loopback { [0; 6] } else { [0xff; 6] });
    match &info.peer {
        None => {}
        Some(Peer::Here { name, .. }) => message.number(IFLA_LINK, index_of(name)),
        Some(Peer::Elsewhere { ifindex, nsid }) => {
            message.number(IFLA_LINK, ifindex.cast_unsigned());
            message.number(IFLA_LINK_NETNSID, nsid.cast_unsigned());
        }
    }
    if let Some(master) = &info.master {
        message.number(IFLA_MASTER, index_of(master));
    }
    if let Some(ops) = k.find_dev(net, &info.name).and_then(|dev| k.net.devices[dev].kind.link_ops()) {
        message.nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, ops.as_bytes()));
    }
    if !info.altnames.is_empty() {
        message.nested(IFLA_PROP_LIST, |list| {
            info.altnames.iter().for_each(|name| list.text(IFLA_ALT_IFNAME, name));
        });
    }
    message.finish()
}

/// As RFC 2863 numbers them (`IF_OPER_UNKNOWN` and so on).
fn operstate(state: OperState) -> u8 {
    match state {
        OperState::Unknown => 0,
        OperState::Down => 2,
        OperState::LowerLayerDown => 3,
        OperState::Up => 6,
    }
}

fn family_of(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

/// `inet_fill_ifaddr`, `inet6_fill_ifaddr`: `struct ifaddrmsg`, and the address.
fn address(info: &AddressInfo, header: Header) -> Vec<u8> {
    let set = |is_set, flag| if is_set { flag } else { 0 };
    let flags = IFA_F_PERMANENT | set(info.is_secondary, IFA_F_SECONDARY) | set(info.is_tentative, IFA_F_TENTATIVE);
    let scope = match info.scope {
        Scope::Global => RT_SCOPE_UNIVERSE,
        Scope::Link => RT_SCOPE_LINK,
        Scope::Host => RT_SCOPE_HOST,
    };
    let mut body = vec![family_of(info.addr), info.prefixlen, flags, scope];
    body.extend(info.ifindex.to_ne_bytes());
    let mut message = Message::new(header, &body);
    message.attribute(IFA_ADDRESS, &octets(info.addr));
    if info.addr.is_ipv4() {
        message.attribute(IFA_LOCAL, &octets(info.addr));
    }
    if let Some(label) = &info.label {
        message.text(IFA_LABEL, label);
    }
    message.number(IFA_FLAGS, flags.into());
    // Valid for ever; made and changed when the machine was.
    message.attribute(IFA_CACHEINFO, &[u32::MAX, u32::MAX, 0, 0].map(u32::to_ne_bytes).concat());
    message.finish()
}

/// `fib_dump_info`: `struct rtmsg`, and the route.
fn route(k: &Kernel, route: &Route, header: Header) -> Vec<u8> {
    let flags = if k.has_carrier(route.dev) { 0 } else { RTNH_F_LINKDOWN };
    let mut body = vec![AF_INET, route.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_KERNEL, RT_SCOPE_LINK, RTN_UNICAST];
    body.extend(flags.to_ne_bytes());
    let mut message = Message::new(header, &body);
    message.number(RTA_TABLE, RT_TABLE_MAIN.into());
    message.attribute(RTA_DST, &route.destination.octets());
    message.attribute(RTA_PREFSRC, &route.source.octets());
    message.number(RTA_OIF, k.net.devices[route.dev].ifindex.cast_unsigned());
    message.finish()
}

/// `rtnl_net_fill`: `struct rtgenmsg`, and the id.
fn nsid(id: i32, header: Header) -> Vec<u8> {
    const NETNSA_NSID: u16 = 1;
    let mut message = Message::new(header, &[0; 4]);
    message.number(NETNSA_NSID, id.cast_unsigned());
    message.finish()
}
