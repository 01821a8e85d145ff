//! socket(2) and bind(2), with listen(2) where there is one; socket(2) and connect(2). Observables of network isolation:
//! nothing is sent.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fd::{free_fd, install_fd, new_file, open_ns_fd};
use super::outcome::{Stop, WaitFor};
use super::{Outcome, Return, namei};
use crate::errno::{Errno, Error, Result};
use crate::kernel::capability::Cap;
use crate::kernel::file::{FileKind, OpenFlags};
use crate::kernel::mount::dentry::Content;
use crate::kernel::net::dev::DevKind;
use crate::kernel::net::socket::{Endpoint, Family, Socket};
use crate::kernel::net::{DevId, SocketId};
use crate::kernel::node::{Node, Place};
use crate::kernel::{Current, Kernel, NetNsId};
use crate::tree;
use crate::{bail, err};

/// Ports below this one are privileged (`net.ipv4.ip_unprivileged_port_start`).
const UNPRIVILEGED_PORT_START: u16 = 1024;
/// The network namespace of a socket (`include/uapi/linux/sockios.h`).
pub const SIOCGSKNS: u32 = 0x894c;
/// Longest path of a socket file, bytes (`sockaddr_un.sun_path`).
const PATH_MAX: usize = 108;

/// An address as a task gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketName {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    /// `@name`
    Abstract(Vec<u8>),
    /// A socket file.
    Path(Vec<u8>),
}

impl SocketName {
    fn family(&self) -> Family {
        match self {
            SocketName::Tcp(_) => Family::Tcp,
            SocketName::Udp(_) => Family::Udp,
            SocketName::Abstract(_) | SocketName::Path(_) => Family::Unix,
        }
    }
}

/// A new socket, bound and listening (of UDP: bound): its descriptor.
///
/// # Errors
/// EMFILE; EADDRNOTAVAIL: no address of the caller's network namespace, unless none was ever configured there; EACCES:
/// a port below 1024 without CAP_NET_BIND_SERVICE; EADDRINUSE; those of making a socket file.
pub(super) fn sys_bind(k: &mut Kernel, me: Current, name: &SocketName) -> Outcome {
    let fd = free_fd(k, me)?;
    let net = own_net(k, me);
    let family = name.family();
    let local = match name {
        SocketName::Tcp(addr) | SocketName::Udp(addr) => Endpoint::Inet(check_bind(k, me, net, family, *addr)?),
        SocketName::Abstract(name) => Endpoint::Abstract(name.clone()),
        SocketName::Path(path) => return bind_file(k, me, fd, path),
    };
    if k.find_bound(net, family, &local).is_some() {
        bail!(EADDRINUSE, "another socket of {} has this address", k.ns_arg(net));
    }
    let is_listening = family != Family::Udp;
    install(k, me, fd, Parts { family, local: Some(local), remote: None, is_listening, server: None });
    Ok(Return::Fd(fd))
}

fn own_net(k: &Kernel, me: Current) -> NetNsId {
    k.current_nsproxy(me).net_ns()
}

/// A listening socket with a file (`unix_bind_bsd`).
///
/// # Errors
/// EINVAL: the path is too long; EADDRINUSE: the file exists; those of making it.
fn bind_file(k: &mut Kernel, me: Current, fd: i32, path: &[u8]) -> Outcome {
    check_path(path)?;
    let file = namei::create_socket(k, me, path).map_err(|error| match error.errno {
        Errno::EEXIST => Error { errno: Errno::EADDRINUSE, ..error },
        _ => error,
    })?;
    let local = Some(Endpoint::File(path.to_vec()));
    let parts = Parts { family: Family::Unix, local, remote: None, is_listening: true, server: None };
    let socket = install(k, me, fd, parts);
    k.vfs.dentries[file].content = Content::Socket(Some(socket));
    Ok(Return::Fd(fd))
}

fn check_path(path: &[u8]) -> Result<()> {
    if path.len() > PATH_MAX {
        bail!(EINVAL, "a path of {} bytes, at most {} fit an address", path.len(), PATH_MAX);
    }
    Ok(())
}

/// The socket behind a socket file, whatever network namespace it is of (`unix_find_bsd`).
///
/// # Errors
/// EINVAL: the path is too long; those of finding the file; EACCES: no write access to it; ECONNREFUSED: no socket file,
/// or its socket is gone.
fn file_listener(k: &mut Kernel, me: Current, path: &[u8]) -> Result<SocketId> {
    check_path(path)?;
    let node = Node::from(namei::find(k, me, path, true)?);
    tree::may_write_as(k, k.cred_of(*me).rights(), node)?;
    let Place::Dentry(file) = node.place else { bail!(ECONNREFUSED, "this is no socket file") };
    match k.vfs.dentries[file].content {
        Content::Socket(Some(socket)) if k.net.sockets.contains(socket) => Ok(socket),
        Content::Socket(_) => bail!(ECONNREFUSED, "the socket of this file is gone"),
        Content::Directory(_) | Content::File(_) | Content::Symlink(_) => {
            bail!(ECONNREFUSED, "this is no socket file")
        }
    }
}

/// `__inet_bind`, and `__inet6_bind`, which asks for the port first; port 0 becomes a free one.
fn check_bind(k: &Kernel, me: Current, net: NetNsId, family: Family, addr: SocketAddr) -> Result<SocketAddr> {
    let ip = addr.ip();
    let check_address = || -> Result<()> {
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || k.broadcast(net, ip).is_some());
        let is_virgin = ip.is_ipv4() && !k.namespaces[net].has_local_table;
        if !(ip.is_unspecified() || ip.is_multicast() || is_broadcast || is_virgin) && k.local_source(net, ip).is_none()
        {
            bail!(EADDRNOTAVAIL, "{} is no address of {}", ip.to_string(), k.ns_arg(net));
        }
        Ok(())
    };
    if ip.is_ipv4() {
        check_address()?;
    }
    let owner = k.owner_of(net);
    let is_privileged = (1..UNPRIVILEGED_PORT_START).contains(&addr.port());
    if is_privileged && !k.ns_capable(*me, owner, Cap::NET_BIND_SERVICE) {
        bail!(EACCES, "CAP_NET_BIND_SERVICE missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(net));
    }
    if ip.is_ipv6() {
        check_address()?;
    }
    if addr.port() != 0 {
        return Ok(addr);
    }
    match k.free_port(net, family, ip) {
        Some(port) => Ok(SocketAddr::new(ip, port)),
        None => bail!(EADDRINUSE, "no port is free"),
    }
}

/// A new socket, connected: its descriptor.
///
/// # Errors
/// EMFILE; ENETUNREACH: no route, or TCP to a broadcast address; EACCES: UDP to one; ECONNREFUSED: nobody listens there;
/// EADDRNOTAVAIL: no port is free, or no IPv6 address to send from; EINVAL: a link-local address, or the source would be a
/// multicast or broadcast address; those of finding a socket file. Blocks: nobody has the address or answers.
pub(super) fn sys_connect(k: &mut Kernel, me: Current, name: &SocketName) -> Outcome {
    let fd = free_fd(k, me)?;
    let net = own_net(k, me);
    let parts = match name {
        SocketName::Tcp(addr) => connect_inet(k, net, Family::Tcp, *addr)?,
        SocketName::Udp(addr) => connect_inet(k, net, Family::Udp, *addr)?,
        SocketName::Abstract(name) => {
            let remote = Endpoint::Abstract(name.clone());
            let server = Some(listener(k, net, Family::Unix, &remote)?);
            Parts { family: Family::Unix, local: None, remote: Some(remote), is_listening: false, server }
        }
        SocketName::Path(path) => {
            let server = Some(file_listener(k, me, path)?);
            let remote = Some(Endpoint::File(path.clone()));
            Parts { family: Family::Unix, local: None, remote, is_listening: false, server }
        }
    };
    install(k, me, fd, parts);
    Ok(Return::Fd(fd))
}

fn listener(k: &Kernel, net: NetNsId, family: Family, remote: &Endpoint) -> Result<SocketId> {
    match k.find_listener(net, family, remote) {
        Some(server) => Ok(server),
        None => bail!(ECONNREFUSED, "nobody in {} listens there", k.ns_arg(net)),
    }
}

/// `tcp_v4_connect`, `__ip4_datagram_connect` and those of IPv6.
fn connect_inet(k: &Kernel, net: NetNsId, family: Family, addr: SocketAddr) -> Outcome<Parts> {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => bail!(EINVAL, "a link-local address without its device"),
        ip => ip,
    };
    let remote = Endpoint::Inet(SocketAddr::new(ip, addr.port()));
    if let IpAddr::V4(ip) = ip
        && k.local_source(net, ip.into()).is_none()
        && let Some((dev, source)) = k.broadcast(net, ip)
    {
        check_source(k, Some(dev), source.into())?;
        match family {
            Family::Udp => bail!(EACCES, "{} is a broadcast address", ip.to_string()),
            Family::Tcp | Family::Unix => bail!(ENETUNREACH, "{} is a broadcast address", ip.to_string()),
        }
    }
    // No address at all is 127.0.0.1 on both sides, and only on the loopback device.
    let on_link = if addr.ip() == Ipv4Addr::UNSPECIFIED { None } else { k.on_link(net, ip) };
    let (source, dev) = match (k.local_source(net, ip), on_link) {
        (Some(_), _) if addr.ip() == Ipv4Addr::UNSPECIFIED => (ip, None),
        (Some(source), _) => (source, None),
        (None, Some((dev, source))) => (source, Some(dev)),
        (None, None) if ip.is_ipv6() && !k.devices_of(net).any(|(_, dev)| !dev.inet6.is_empty()) => {
            bail!(EADDRNOTAVAIL, "{} has no IPv6 address to send from", k.ns_arg(net));
        }
        (None, None) => bail!(ENETUNREACH, "{} has no route to {}", k.ns_arg(net), ip.to_string()),
    };
    check_source(k, dev, source)?;
    let peer_net = dev.map_or(Some(net), |dev| k.neighbour(dev, ip));
    let server = match (family, peer_net) {
        (Family::Tcp, Some(peer_net)) if peer_net == net && !k.is_loopback_up(net) => {
            return Err(unanswered(err!(
                EAGAIN,
                "the loopback device, over which a namespace talks to itself, is down"
            )));
        }
        (Family::Tcp, Some(peer_net)) => Some(listener(k, peer_net, family, &remote)?),
        (Family::Tcp, None) => {
            return Err(unanswered(err!(EAGAIN, "nobody on the link has the address {}", ip.to_string())));
        }
        (Family::Udp | Family::Unix, _) => None,
    };
    let Some(port) = k.free_port(net, family, source) else { bail!(EADDRNOTAVAIL, "no port is free") };
    let local = Some(Endpoint::Inet(SocketAddr::new(source, port)));
    Ok(Parts { family, local, remote: Some(remote), is_listening: false, server })
}

/// Nobody answers, which takes Linux seconds to find out.
fn unanswered(why: Error) -> Stop {
    Stop::Blocked { on: WaitFor::Network, why }
}

/// Whether something can be sent from an address, through a device if it is for others (`__mkroute_output`).
///
/// # Errors
/// EINVAL
fn check_source(k: &Kernel, dev: Option<DevId>, source: IpAddr) -> Result<()> {
    let IpAddr::V4(source) = source else { return Ok(()) };
    if source.is_multicast() || source.is_broadcast() {
        bail!(EINVAL, "{} is no address to send from", source.to_string());
    }
    if source.is_loopback() && dev.is_some_and(|dev| k.net.devices[dev].kind != DevKind::Loopback) {
        bail!(EINVAL, "{} is sent from on the loopback device only", source.to_string());
    }
    Ok(())
}

/// A socket without what it gets when it is made.
struct Parts {
    family: Family,
    local: Option<Endpoint>,
    remote: Option<Endpoint>,
    is_listening: bool,
    server: Option<SocketId>,
}

fn install(k: &mut Kernel, me: Current, fd: i32, parts: Parts) -> SocketId {
    let net = own_net(k, me);
    let net = k.get_ns(net);
    let Parts { family, local, remote, is_listening, server } = parts;
    let uid = k.cred_of(*me).ids.fsuid;
    let socket = k.insert_socket(Socket {
        net,
        ino: 0,
        uid,
        family,
        local,
        remote,
        is_listening,
        server,
        clients: BTreeSet::new(),
        abandoned: 0,
    });
    let file = new_file(k, me, FileKind::Socket(socket), OpenFlags::READ | OpenFlags::WRITE, None);
    install_fd(k, me, fd, file, false);
    socket
}

/// ioctl(2) on a socket: SIOCGSKNS opens its network namespace (`sock_ioctl`).
///
/// # Errors
/// EPERM: CAP_NET_ADMIN is missing over the owner of that namespace; ENOTTY: another request; EMFILE.
pub(super) fn socket_ioctl(k: &mut Kernel, me: Current, socket: SocketId, request: u32) -> Outcome {
    if request != SIOCGSKNS {
        bail!(ENOTTY, "request {} is none of a socket", format!("{request:#x}"));
    }
    let net = k.net.sockets[socket].net.id();
    let owner = k.owner_of(net);
    if !k.ns_capable(*me, owner, Cap::NET_ADMIN) {
        bail!(EPERM, "CAP_NET_ADMIN missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(net));
    }
    open_ns_fd(k, me, net.any())
}
