//! What ip(8) asks of the kernel over rtnetlink (`net/core/rtnetlink.c`): devices, addresses, namespace ids. The capability
//! comes first, then the limits of the message, then the objects it names.

mod link;
mod show;

use std::net::IpAddr;

use super::{Outcome, PidArg, Return};
use crate::bail;
use crate::err;
use crate::errno::Result;
use crate::kernel::file::FileKind;
use crate::kernel::net::DevId;
use crate::kernel::{Current, Kernel, NetNsId};

pub use show::{AddressInfo, IffFlags, LinkInfo, Peer};

/// The kind of a device that is hardware. No link operations make one: files that describe a machine do.
pub const PHYSICAL: &str = "physical";

/// A command of ip(8). Names are as given: too long ones too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ip {
    LinkAdd(LinkAdd),
    LinkSet(LinkSet),
    LinkDel {
        dev: Vec<u8>,
    },
    LinkShow {
        dev: Option<Vec<u8>>,
    },
    AltnameAdd {
        dev: Vec<u8>,
        name: Vec<u8>,
    },
    AddrAdd(DevAddress),
    AddrDel(DevAddress),
    AddrShow {
        dev: Option<Vec<u8>>,
    },
    /// Below 0: the lowest free id.
    NetnsSet {
        netns: Netns,
        id: i32,
    },
    NetnsGet {
        netns: Netns,
    },
    NetnsListId,
}

impl Ip {
    /// The namespaces it names.
    pub fn netns_mut(&mut self) -> impl Iterator<Item = &mut Netns> {
        let named = match self {
            Ip::LinkAdd(LinkAdd { end, peer, .. }) => [end.netns.as_mut(), peer.netns.as_mut()],
            Ip::LinkSet(set) => [set.netns.as_mut(), None],
            Ip::NetnsSet { netns, .. } | Ip::NetnsGet { netns } => [Some(netns), None],
            Ip::LinkDel { .. } | Ip::LinkShow { .. } | Ip::AltnameAdd { .. } => [None, None],
            Ip::AddrAdd(_) | Ip::AddrDel(_) | Ip::AddrShow { .. } | Ip::NetnsListId => [None, None],
        };
        named.into_iter().flatten()
    }
}

/// One end of a link that is made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LinkEnd {
    /// Empty: the kind's name and a number.
    pub name: Vec<u8>,
    /// 0: the next one.
    pub index: i32,
    /// Its hardware address; `None`: one of the kernel's choice.
    pub address: Option<[u8; 6]>,
    /// `None`: where the caller is.
    pub netns: Option<Netns>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkAdd {
    pub end: LinkEnd,
    /// The name of link operations; in files also [`PHYSICAL`].
    pub kind: String,
    /// Of veth the other end.
    pub peer: LinkEnd,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LinkSet {
    pub dev: Vec<u8>,
    pub up: Option<bool>,
    pub name: Option<Vec<u8>>,
    pub index: Option<i32>,
    pub netns: Option<Netns>,
    /// `Some(None)`: nomaster.
    pub master: Option<Option<Vec<u8>>>,
}

/// A network namespace by a process in it or by a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netns {
    Pid(PidArg),
    Fd(i32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevAddress {
    pub addr: IpAddr,
    pub prefixlen: u8,
    pub dev: Vec<u8>,
}

/// Performs a command in the caller's network namespace.
///
/// # Errors
/// EPERM: CAP_NET_ADMIN is missing over the owner of the caller's or another namespace concerned; ENODEV: no such
/// device; ESRCH, EBADF, EINVAL: no such namespace; then those of the change.
pub(super) fn sys_ip(k: &mut Kernel, me: Current, call: &Ip) -> Outcome {
    let net = k.current_nsproxy(me).net_ns();
    match call {
        Ip::LinkShow { dev } => return show::links(k, net, dev.as_deref()),
        Ip::AddrShow { dev } => return show::addresses(k, net, dev.as_deref()),
        Ip::NetnsGet { netns: named } => {
            let peer = netns(k, me, *named)?;
            return Ok(Return::Num(i64::from(k.peernet2id(net, peer).unwrap_or(-1))));
        }
        Ip::NetnsListId => return Ok(show::nsids(k, net)),
        _ => {}
    }
    k.check_net_admin(*me, net)?;
    match call {
        Ip::LinkAdd(add) => link::add(k, me, net, add)?,
        Ip::LinkSet(set) => link::set(k, me, net, set)?,
        Ip::LinkDel { dev } => link::del(k, net, dev)?,
        Ip::AltnameAdd { dev, name } => link::add_altname(k, net, dev, name)?,
        Ip::AddrAdd(address) => {
            let dev = find_dev(k, net, &address.dev)?;
            k.add_address(dev, address.addr, address.prefixlen)?;
        }
        Ip::AddrDel(address) => {
            let dev = find_dev(k, net, &address.dev)?;
            k.del_address(dev, address.addr, address.prefixlen)?;
        }
        Ip::NetnsSet { netns: named, id } => {
            let peer = netns(k, me, *named)?;
            k.set_nsid(net, peer, *id)?;
        }
        Ip::LinkShow { .. } | Ip::AddrShow { .. } | Ip::NetnsGet { .. } | Ip::NetnsListId => {}
    }
    Ok(Return::DONE)
}

/// The namespace a message names (`rtnl_link_get_net_ifla`).
fn netns(k: &Kernel, me: Current, named: Netns) -> Result<NetNsId> {
    match named {
        Netns::Pid(pid) => {
            let task = pid.find_task(k, me);
            match task.and_then(|task| k.nsproxy_of(task)) {
                Some(nsproxy) => Ok(nsproxy.net_ns()),
                None => bail!(ESRCH, "pid {} does not exist, is not visible or is a zombie", pid.number()),
            }
        }
        Netns::Fd(fd) => {
            let Some(file) = k.file_at(*me, fd) else { bail!(EBADF, "descriptor {} is not open", fd) };
            let net = if let FileKind::Ns(ns) = k.open_files[file].kind { k.namespaces.typed(ns) } else { None };
            net.ok_or_else(|| err!(EINVAL, "descriptor {} is no network namespace", fd))
        }
    }
}

fn find_dev(k: &Kernel, net: NetNsId, name: &[u8]) -> Result<DevId> {
    match k.find_dev(net, name) {
        Some(dev) => Ok(dev),
        None => bail!(ENODEV, "no device {} in {}", String::from_utf8_lossy(name).into_owned(), k.ns_arg(net)),
    }
}
