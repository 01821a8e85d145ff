//! What a message of rtnetlink(7) asks for.

use std::net::IpAddr;

use super::message::{Attributes, Header, NLM_F_CREATE, u32_at};
use super::reply::{RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNSID};
use crate::bail;
use crate::err;
use crate::errno::Result;
use crate::kernel::{Kernel, NetNsId, TaskId};
use crate::syscall::PidArg;
use crate::syscall::ip::{DevAddress, Ip, LinkAdd, LinkEnd, LinkSet, Netns, PHYSICAL};

const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETNSID: u16 = 90;
const RTM_NEWLINKPROP: u16 = 108;

pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;

const IFLA_ADDRESS: u16 = 1;
pub const IFLA_IFNAME: u16 = 3;
pub const IFLA_MASTER: u16 = 10;
pub const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_NEW_IFINDEX: u16 = 49;
pub const IFLA_PROP_LIST: u16 = 52;
pub const IFLA_ALT_IFNAME: u16 = 53;
pub const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

pub const IFA_ADDRESS: u16 = 1;
pub const IFA_LOCAL: u16 = 2;

const NETNSA_NSID: u16 = 1;
const NETNSA_PID: u16 = 2;
const NETNSA_FD: u16 = 3;

/// IFF_UP, the one flag that can be changed.
const IFF_UP: u32 = 1;

/// A command, and what of its result goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub ip: Ip,
    pub wanted: Wanted,
}

/// What goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing but that it is done, for who wants to know.
    Nothing,
    /// One message.
    One,
    /// All there is.
    All,
    /// The addresses of one family, 0 for both, and of one device, 0 for all.
    Addresses { family: u8, index: u32 },
    /// The routes of one family, 0 for both.
    Routes { family: u8 },
    /// No message but that there are no others: a lab has none of these.
    None,
}

/// What a message asks for, in a network namespace.
///
/// # Errors
/// EPERM: it asks for a change, and CAP_NET_ADMIN is missing over the owner of the namespace. EINVAL: it is too short, names nothing, or an attribute has another size. ENODEV: there is no such device. EOPNOTSUPP: the
/// lab does not have it.
pub fn asked(k: &Kernel, me: TaskId, net: NetNsId, header: &Header, body: &[u8]) -> Result<Asked> {
    if !is_question(header.kind) {
        k.check_net_admin(me, net)?;
    }
    let message = Decoder { k, net, header, body };
    let nothing = |ip| Ok(Asked { ip, wanted: Wanted::Nothing });
    match header.kind {
        RTM_GETLINK if header.is_dump() => Ok(Asked { ip: Ip::LinkShow { dev: None }, wanted: Wanted::All }),
        RTM_GETLINK => Ok(Asked { ip: Ip::LinkShow { dev: Some(message.device()?) }, wanted: Wanted::One }),
        RTM_NEWLINK if header.flags & NLM_F_CREATE != 0 => nothing(Ip::LinkAdd(message.link_add()?)),
        RTM_NEWLINK | RTM_SETLINK => nothing(Ip::LinkSet(message.link_set()?)),
        RTM_DELLINK => nothing(Ip::LinkDel { dev: message.device()? }),
        RTM_NEWLINKPROP => nothing(message.altname()?),
        RTM_GETADDR if header.is_dump() => {
            let family = body.first().copied().unwrap_or(0);
            let index = u32_at(body, 4).unwrap_or(0);
            Ok(Asked { ip: Ip::AddrShow { dev: None }, wanted: Wanted::Addresses { family, index } })
        }
        RTM_NEWADDR => nothing(Ip::AddrAdd(message.address()?)),
        RTM_DELADDR => nothing(Ip::AddrDel(message.address()?)),
        RTM_GETROUTE if header.is_dump() => {
            let family = body.first().copied().unwrap_or(0);
            Ok(Asked { ip: Ip::LinkShow { dev: None }, wanted: Wanted::Routes { family } })
        }
        RTM_GETNEIGH if header.is_dump() => Ok(Asked { ip: Ip::LinkShow { dev: None }, wanted: Wanted::None }),
        RTM_GETNSID if header.is_dump() => Ok(Asked { ip: Ip::NetnsListId, wanted: Wanted::All }),
        RTM_GETNSID => Ok(Asked { ip: Ip::NetnsGet { netns: message.netns()? }, wanted: Wanted::One }),
        RTM_NEWNSID => {
            let id = message.attribute(4, NETNSA_NSID).map(word).transpose()?;
            let id = id.ok_or_else(|| err!(EINVAL, "the message has no namespace id"))?.cast_signed();
            nothing(Ip::NetnsSet { netns: message.netns()?, id })
        }
        kind => bail!(EOPNOTSUPP, "the lab has nothing for rtnetlink messages of type {}", u32::from(kind)),
    }
}

/// Whether messages of a kind only ask: each object has four, to make, remove, ask and change (`rtnl_msgtype_kind`).
fn is_question(kind: u16) -> bool {
    kind % 4 == 2
}

/// A value of 32 bits.
fn word(value: &[u8]) -> Result<u32> {
    match u32_at(value, 0) {
        Some(word) if value.len() == 4 => Ok(word),
        _ => bail!(EINVAL, "an attribute has {} bytes, not 4", value.len()),
    }
}

/// A hardware address.
fn hardware(value: &[u8]) -> Result<[u8; 6]> {
    value.try_into().map_err(|_| err!(EINVAL, "a hardware address has {} bytes, not 6", value.len()))
}

/// A text without its 0 byte.
fn text(value: &[u8]) -> Vec<u8> {
    value.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
}

struct Decoder<'a> {
    k: &'a Kernel,
    net: NetNsId,
    header: &'a Header,
    body: &'a [u8],
}

/// Bytes of `struct ifinfomsg`.
const LINK_LEN: usize = 16;
/// Bytes of `struct ifaddrmsg`.
const ADDR_LEN: usize = 8;

impl<'a> Decoder<'a> {
    /// The attributes behind a struct of `length` bytes.
    ///
    /// # Errors
    /// EINVAL: the message is shorter.
    fn attributes(&self, length: usize) -> Result<Attributes<'a>> {
        match self.body.get(length..) {
            Some(rest) => Ok(Attributes(rest)),
            None => bail!(EINVAL, "the message has {} bytes, not {} or more", self.body.len(), length),
        }
    }

    fn attribute(&self, length: usize, kind: u16) -> Option<&'a [u8]> {
        self.attributes(length).ok()?.find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The name of the device with an index.
    fn name_of(&self, index: i32) -> Result<Vec<u8>> {
        let dev = self.k.namespaces[self.net].devices.get(&index);
        match dev {
            Some(&dev) => Ok(self.k.net.devices[dev].name.clone()),
            None => bail!(ENODEV, "no device with index {} in {}", index, self.k.ns_arg(self.net)),
        }
    }

    fn index(&self) -> i32 {
        u32_at(self.body, 4).unwrap_or(0).cast_signed()
    }

    /// The device that is to be changed.
    ///
    /// # Errors
    /// ENODEV: there is none, or none is named.
    fn changed_device(&self) -> Result<Vec<u8>> {
        match self.attribute(LINK_LEN, IFLA_IFNAME) {
            None if self.index() == 0 && self.header.kind == RTM_NEWLINK => {
                bail!(ENODEV, "the message names no device")
            }
            _ => self.device(),
        }
    }

    /// The device that is meant, by its index, name or other name.
    fn device(&self) -> Result<Vec<u8>> {
        self.attributes(LINK_LEN)?;
        let name = self.attribute(LINK_LEN, IFLA_IFNAME).or_else(|| self.attribute(LINK_LEN, IFLA_ALT_IFNAME));
        match (self.index(), name) {
            (0, None) => bail!(EINVAL, "the message names no device"),
            (0, Some(name)) => Ok(text(name)),
            (index, _) => self.name_of(index),
        }
    }

    fn link_add(&self) -> Result<LinkAdd> {
        let mut add =
            LinkAdd { end: self.end(self.body, self.index())?, kind: String::new(), peer: LinkEnd::default() };
        let info = Attributes(self.attribute(LINK_LEN, IFLA_LINKINFO).unwrap_or_default());
        for (kind, value) in info {
            match kind {
                IFLA_INFO_KIND => add.kind = String::from_utf8_lossy(&text(value)).into_owned(),
                IFLA_INFO_DATA => {
                    for (kind, value) in Attributes(value) {
                        if kind != VETH_INFO_PEER {
                            return Err(not_here(kind, "a new device"));
                        }
                        add.peer = self.end(value, u32_at(value, 4).unwrap_or(0).cast_signed())?;
                    }
                }
                kind => return Err(not_here(kind, "a new device")),
            }
        }
        if add.kind == PHYSICAL {
            bail!(EOPNOTSUPP, "there is no kind of device called {}", add.kind);
        }
        Ok(add)
    }

    /// One end of a link, of a `struct ifinfomsg` and attributes.
    fn end(&self, message: &[u8], index: i32) -> Result<LinkEnd> {
        let mut end = LinkEnd { index, ..LinkEnd::default() };
        let Some(rest) = message.get(LINK_LEN..) else { bail!(EINVAL, "the message has no device") };
        for (kind, value) in Attributes(rest) {
            match kind {
                IFLA_IFNAME => end.name = text(value),
                IFLA_ADDRESS => end.address = Some(hardware(value)?),
                IFLA_NET_NS_PID => end.netns = Some(by_pid(value)?),
                IFLA_NET_NS_FD => end.netns = Some(by_descriptor(value)?),
                IFLA_LINKINFO | IFLA_EXT_MASK => {}
                kind => return Err(not_here(kind, "a new device")),
            }
        }
        Ok(end)
    }

    fn link_set(&self) -> Result<LinkSet> {
        let (flags, change) = (u32_at(self.body, 8).unwrap_or(0), u32_at(self.body, 12).unwrap_or(0));
        let mut set = LinkSet { dev: self.changed_device()?, ..LinkSet::default() };
        // Without a mask the flags are all meant, and of those none but IFF_UP can be another than it is.
        match if change == 0 { flags & IFF_UP } else { change } {
            0 => {}
            IFF_UP => set.up = Some(flags & IFF_UP != 0),
            other => {
                bail!(
                    EOPNOTSUPP,
                    "flags {} of a device are changed, and the lab has IFF_UP only",
                    format!("{other:#x}")
                )
            }
        }
        for (kind, value) in self.attributes(LINK_LEN)? {
            match kind {
                // With an index it is a new name, without one the device's.
                IFLA_IFNAME if self.index() == 0 => {}
                IFLA_IFNAME => set.name = Some(text(value)),
                IFLA_NET_NS_PID => set.netns = Some(by_pid(value)?),
                IFLA_NET_NS_FD => set.netns = Some(by_descriptor(value)?),
                IFLA_NEW_IFINDEX => set.index = Some(word(value)?.cast_signed()),
                IFLA_MASTER => {
                    let index = word(value)?.cast_signed();
                    set.master = Some(if index == 0 { None } else { Some(self.name_of(index)?) });
                }
                IFLA_ALT_IFNAME | IFLA_EXT_MASK => {}
                kind => return Err(not_here(kind, "a device")),
            }
        }
        Ok(set)
    }

    fn altname(&self) -> Result<Ip> {
        let list = Attributes(self.attribute(LINK_LEN, IFLA_PROP_LIST).unwrap_or_default());
        let names: Vec<_> = list.filter(|(kind, _)| *kind == IFLA_ALT_IFNAME).map(|(_, name)| text(name)).collect();
        match <[_; 1]>::try_from(names) {
            Ok([name]) => Ok(Ip::AltnameAdd { dev: self.device()?, name }),
            Err(names) => bail!(EOPNOTSUPP, "{} altnames in a message, the lab takes 1", names.len()),
        }
    }

    /// Of `struct ifaddrmsg`: family, length of the prefix, flags, scope, index.
    fn address(&self) -> Result<DevAddress> {
        let (mut local, mut peer) = (None, None);
        for (kind, value) in self.attributes(ADDR_LEN)? {
            match kind {
                IFA_LOCAL => local = Some(value),
                IFA_ADDRESS => peer = Some(value),
                kind => return Err(not_here(kind, "an address")),
            }
        }
        if local.is_some() && peer.is_some() && local != peer {
            bail!(EOPNOTSUPP, "the lab has no links with two ends of one address");
        }
        let value = local.or(peer).ok_or_else(|| err!(EINVAL, "the message has no address"))?;
        let addr: IpAddr = match (self.body[0], value.len()) {
            (AF_INET, 4) => <[u8; 4]>::try_from(value).map(IpAddr::from).ok(),
            (AF_INET6, 16) => <[u8; 16]>::try_from(value).map(IpAddr::from).ok(),
            _ => None,
        }
        .ok_or_else(|| err!(EINVAL, "{} bytes are no address of family {}", value.len(), u32::from(self.body[0])))?;
        let (prefixlen, longest) = (self.body[1], if addr.is_ipv4() { 32 } else { 128 });
        if prefixlen > longest {
            bail!(EINVAL, "a prefix of {} bits", u32::from(prefixlen));
        }
        Ok(DevAddress { addr, prefixlen, dev: self.name_of(self.index())? })
    }

    /// The namespace that a message about ids names.
    fn netns(&self) -> Result<Netns> {
        for (kind, value) in self.attributes(4)? {
            match kind {
                NETNSA_PID => return by_pid(value),
                NETNSA_FD => return by_descriptor(value),
                _ => {}
            }
        }
        bail!(EINVAL, "the message names no network namespace: type {}", u32::from(self.header.kind))
    }
}

fn by_pid(value: &[u8]) -> Result<Netns> {
    Ok(Netns::Pid(PidArg::Own(word(value)?.cast_signed())))
}

fn by_descriptor(value: &[u8]) -> Result<Netns> {
    Ok(Netns::Fd(word(value)?.cast_signed()))
}

fn not_here(kind: u16, of: &'static str) -> crate::errno::Error {
    err!(
        EOPNOTSUPP,
        "the lab does not keep attribute {} of {}: it has names, states, masters, namespaces",
        u32::from(kind),
        of
    )
}
