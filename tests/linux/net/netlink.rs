//! rtnetlink: what ip(8) would send for a command, and the kernel's answers.

use std::net::IpAddr;

use nslab::errno::Errno;
use nslab::kernel::net::DevId;
use nslab::kernel::{Kernel, NetNsId, TaskId};
use nslab::syscall::PidArg;
use nslab::syscall::ip::{DevAddress, Ip, LinkAdd, LinkEnd, LinkSet, Netns};

use crate::numbers::Numbers;

const NLM_F_REQUEST: u16 = 1;
pub const NLM_F_ACK: u16 = 4;
pub const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
pub const NLMSG_ERROR: u16 = 2;
pub const NLMSG_DONE: u16 = 3;
pub const NLMSG_HEADER: usize = 16;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
pub const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
pub const RTM_GETADDR: u16 = 22;
const RTM_NEWNSID: u16 = 88;
pub const RTM_GETNSID: u16 = 90;
const RTM_NEWLINKPROP: u16 = 108;

pub const IFLA_ADDRESS: u16 = 1;
pub const IFLA_IFNAME: u16 = 3;
pub const IFLA_MTU: u16 = 4;
pub const IFLA_LINK: u16 = 5;
pub const IFLA_QDISC: u16 = 6;
pub const IFLA_MASTER: u16 = 10;
pub const IFLA_OPERSTATE: u16 = 16;
pub const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_NET_NS_FD: u16 = 28;
pub const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_NEW_IFINDEX: u16 = 49;
pub const IFLA_PROP_LIST: u16 = 52 | 0x8000;
pub const IFLA_ALT_IFNAME: u16 = 53;
pub const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
pub const IFA_ADDRESS: u16 = 1;
pub const IFA_LOCAL: u16 = 2;
pub const IFA_LABEL: u16 = 3;
pub const IFA_FLAGS: u16 = 8;
pub const NETNSA_NSID: u16 = 1;
const NETNSA_PID: u16 = 2;

pub const IFF_UP: u32 = 1;
/// An index that no device has.
const NO_INDEX: i32 = 0x4000_0000;

/// The kind the machine has in place of the lab's dummy devices, which its kernel was built without.
pub const DUMMY: (&str, &str) = ("dummy", "ifb");

/// A message that is being written.
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Message {
        let mut bytes = vec![0; NLMSG_HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(body);
        Message(bytes)
    }

    /// `struct ifinfomsg`; the flags that change are those that are set, or IFF_UP.
    pub fn link(kind: u16, flags: u16, index: i32, up: Option<bool>) -> Message {
        Message::new(kind, flags, &ifinfomsg(index, up))
    }

    pub fn attribute(&mut self, kind: u16, payload: &[u8]) {
        let length = (4 + payload.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(payload);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message(Vec::new());
        fill(&mut inner);
        self.attribute(kind, &inner.0);
    }

    pub fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

fn ifinfomsg(index: i32, up: Option<bool>) -> Vec<u8> {
    let flags = if up == Some(true) { IFF_UP } else { 0 };
    let change = if up.is_some() { IFF_UP } else { 0 };
    let words = [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes()];
    words.concat()
}

/// What the messages of a call depend on, as it is before the call.
pub struct Caller<'a> {
    pub k: &'a Kernel,
    pub me: TaskId,
    pub net: NetNsId,
    pub numbers: &'a Numbers,
}

impl Caller<'_> {
    fn dev(&self, name: &[u8]) -> Option<DevId> {
        self.k.find_dev(self.net, name)
    }

    /// The index that ip(8) finds for a name before it asks for anything.
    fn index(&self, name: &[u8]) -> i32 {
        self.dev(name).map_or(NO_INDEX, |dev| self.k.net.devices[dev].ifindex)
    }

    fn netns(&self, message: &mut Message, netns: Option<Netns>) {
        match netns {
            None => {}
            Some(Netns::Pid(pid)) => message.attribute(IFLA_NET_NS_PID, &self.pid(pid).to_ne_bytes()),
            Some(Netns::Fd(fd)) => message.attribute(IFLA_NET_NS_FD, &fd.to_ne_bytes()),
        }
    }

    fn pid(&self, pid: PidArg) -> i32 {
        self.numbers.of_caller(self.k, self.me, pid.number())
    }

    /// The message of a command that is acknowledged, or answered with one namespace id. `None`: ip(8) refuses it before
    /// it asks the kernel.
    pub fn message(&self, call: &Ip) -> Option<Vec<u8>> {
        let message = match call {
            Ip::LinkAdd(add) => self.link_add(add),
            Ip::LinkSet(set) => self.link_set(set)?,
            Ip::LinkDel { dev } => Message::link(RTM_DELLINK, NLM_F_ACK, self.index(dev), None),
            Ip::AltnameAdd { dev, name } => {
                let flags = NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE | NLM_F_APPEND;
                let mut message = Message::link(RTM_NEWLINKPROP, flags, self.index(dev), None);
                message.nested(IFLA_PROP_LIST, |list| list.attribute(IFLA_ALT_IFNAME, &zero_ended(name)));
                message
            }
            Ip::AddrAdd(address) => self.address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address),
            Ip::AddrDel(address) => self.address(RTM_DELADDR, 0, address),
            Ip::NetnsSet { pid, id } => {
                let mut message = Message::new(RTM_NEWNSID, NLM_F_ACK, &[0; 4]);
                message.attribute(NETNSA_PID, &self.pid(*pid).to_ne_bytes());
                message.attribute(NETNSA_NSID, &id.max(&-1).to_ne_bytes());
                message
            }
            Ip::NetnsGet { pid } => {
                let mut message = Message::new(RTM_GETNSID, 0, &[0; 4]);
                message.attribute(NETNSA_PID, &self.pid(*pid).to_ne_bytes());
                message
            }
            Ip::LinkShow { .. } | Ip::AddrShow { .. } | Ip::NetnsListId => return None,
        };
        Some(message.finish())
    }

    fn link_add(&self, add: &LinkAdd) -> Message {
        let kind = if add.kind == DUMMY.0 { DUMMY.1 } else { &add.kind };
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let mut message = Message::link(RTM_NEWLINK, flags, add.end.index, None);
        // A name the kernel makes of the kind is made of the lab's kind.
        let made = LinkEnd { name: format!("{}%d", DUMMY.0).into_bytes(), ..add.end.clone() };
        self.end(&mut message, if add.end.name.is_empty() && add.kind == DUMMY.0 { &made } else { &add.end });
        message.nested(IFLA_LINKINFO, |info| {
            info.attribute(IFLA_INFO_KIND, kind.as_bytes());
            if add.kind == "veth" {
                info.nested(IFLA_INFO_DATA, |data| {
                    data.nested(VETH_INFO_PEER, |peer| {
                        peer.0.extend(ifinfomsg(add.peer.index, None));
                        self.end(peer, &add.peer);
                    });
                });
            }
        });
        message
    }

    fn end(&self, message: &mut Message, end: &LinkEnd) {
        if !end.name.is_empty() {
            message.attribute(IFLA_IFNAME, &zero_ended(&end.name));
        }
        if let Some(address) = end.address {
            message.attribute(IFLA_ADDRESS, &address);
        }
        self.netns(message, end.netns);
    }

    fn link_set(&self, set: &LinkSet) -> Option<Message> {
        let mut message = Message::link(RTM_NEWLINK, NLM_F_ACK, self.index(&set.dev), set.up);
        if let Some(name) = &set.name {
            message.attribute(IFLA_IFNAME, &zero_ended(name));
        }
        // ip(8) looks for the device before it looks at anything else.
        if self.dev(&set.dev).is_none() {
            return Some(message);
        }
        if let Some(master) = &set.master {
            let index = match master {
                Some(name) => self.k.net.devices[self.dev(name)?].ifindex,
                None => 0,
            };
            message.attribute(IFLA_MASTER, &index.to_ne_bytes());
        }
        if let Some(index) = set.index {
            message.attribute(IFLA_NEW_IFINDEX, &index.to_ne_bytes());
        }
        self.netns(&mut message, set.netns);
        Some(message)
    }

    fn address(&self, kind: u16, flags: u16, address: &DevAddress) -> Message {
        const SCOPE_HOST: u8 = 254;
        let (family, bytes) = match address.addr {
            IpAddr::V4(addr) => (libc::AF_INET, addr.octets().to_vec()),
            IpAddr::V6(addr) => (libc::AF_INET6, addr.octets().to_vec()),
        };
        if self.dev(&address.dev).is_none() {
            return Message::link(RTM_NEWLINK, NLM_F_ACK, NO_INDEX, None);
        }
        let is_host = address.addr.is_ipv4() && address.addr.is_loopback();
        let scope = if is_host { SCOPE_HOST } else { 0 };
        let mut body = vec![family as u8, address.prefixlen, 0, scope];
        body.extend(self.index(&address.dev).to_ne_bytes());
        let mut message = Message::new(kind, NLM_F_ACK | flags, &body);
        message.attribute(IFA_LOCAL, &bytes);
        message.attribute(IFA_ADDRESS, &bytes);
        message
    }
}

pub fn zero_ended(name: &[u8]) -> Vec<u8> {
    [name, b"\0"].concat()
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |word| u16::from_ne_bytes([word[0], word[1]]))
}

/// What the first message of an answer says: an errno, or an id, or 0.
pub fn answer(bytes: &[u8]) -> Result<i32, Errno> {
    match u16_at(bytes, 4) {
        NLMSG_ERROR => match u32_at(bytes, NLMSG_HEADER) as i32 {
            0 => Ok(0),
            error => Err(Errno::from_raw(-error)),
        },
        RTM_NEWNSID => Ok(Attributes(&bytes[NLMSG_HEADER + 4..]).number(NETNSA_NSID).unwrap_or(-1)),
        _ => Err(Errno::EIO),
    }
}

/// A chain of attributes.
#[derive(Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16_at(self.0, 0));
        let payload = self.0.get(4..length)?;
        let kind = u16_at(self.0, 2) & 0x3fff;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

impl<'a> Attributes<'a> {
    pub fn get(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|(known, _)| *known == kind).map(|(_, payload)| payload)
    }

    pub fn number(self, kind: u16) -> Option<i32> {
        self.get(kind).map(|payload| u32_at(payload, 0) as i32)
    }

    pub fn text(self, kind: u16) -> Option<String> {
        self.get(kind).map(text)
    }
}

pub fn text(payload: &[u8]) -> String {
    let end = payload.iter().position(|&byte| byte == 0).unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}
