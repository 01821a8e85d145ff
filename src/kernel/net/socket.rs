//! Sockets: their namespace for ever, the port or name they have taken, whom they are connected to.

use std::net::{IpAddr, SocketAddr};

use super::SocketId;
use crate::kernel::cred::Kuid;
use crate::kernel::ns::NetNamespace;
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, NetNsId};

/// Ports given out automatically (`net.ipv4.ip_local_port_range`).
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 32768..=60999;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Tcp,
    Udp,
    /// Stream sockets of the local host.
    Unix,
}

/// Where a socket is bound or connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Inet(SocketAddr),
    /// A name without a file, in the namespace's own space.
    Abstract(Vec<u8>),
    /// A socket file, by the path it was bound with.
    File(Vec<u8>),
}

/// `struct sock`
#[derive(Debug)]
pub struct Socket {
    /// The namespace in which it was made.
    pub net: Held<NetNamespace>,
    pub ino: u64,
    /// The owner: file system uid of the maker.
    pub uid: Kuid,
    pub family: Family,
    /// `None`: a local socket without a name.
    pub local: Option<Endpoint>,
    pub remote: Option<Endpoint>,
    pub is_listening: bool,
    /// The listening socket it has connected to; that one may be closed since.
    pub server: Option<SocketId>,
    /// Connections that nobody has accepted and whose clients are closed.
    pub abandoned: u32,
}

/// Whether a local address is `other` or stands for all, which of IPv6 includes those of IPv4.
fn takes(addr: IpAddr, other: IpAddr) -> bool {
    addr == other || addr.is_unspecified() && (addr.is_ipv6() || other.is_ipv4())
}

/// Whether two local addresses cannot both be bound to one port: they are equal, or one stands for all.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    takes(a, b) || takes(b, a)
}

impl Kernel {
    /// The sockets of a namespace, oldest first.
    pub fn sockets_of(&self, net: NetNsId) -> Vec<(SocketId, &Socket)> {
        let ids = self.namespaces[net].sockets.iter();
        let mut sockets: Vec<_> = ids.map(|&id| (id, &self.net.sockets[id])).collect();
        sockets.sort_by_key(|(_, socket)| socket.ino);
        sockets
    }

    /// A socket that bars `local` to others of its family.
    pub fn find_bound(&self, net: NetNsId, family: Family, local: &Endpoint) -> Option<SocketId> {
        let bars = |bound: &Endpoint| match (bound, local) {
            (Endpoint::Inet(bound), Endpoint::Inet(local)) => {
                bound.port() == local.port() && overlap(bound.ip(), local.ip())
            }
            (bound, local) => bound == local,
        };
        let sockets = self.sockets_of(net).into_iter();
        let mut taken =
            sockets.filter(|(_, socket)| socket.family == family && socket.local.as_ref().is_some_and(bars));
        taken.next().map(|(id, _)| id)
    }

    /// The socket that takes connections to `remote`: of two, the one bound to just this address.
    pub fn find_listener(&self, net: NetNsId, family: Family, remote: &Endpoint) -> Option<SocketId> {
        let takes = |socket: &Socket| match (&socket.local, remote) {
            (Some(Endpoint::Inet(local)), Endpoint::Inet(remote)) => {
                local.port() == remote.port() && takes(local.ip(), remote.ip())
            }
            (local, remote) => local.as_ref() == Some(remote),
        };
        let listeners =
            self.sockets_of(net).into_iter().filter(|(_, socket)| socket.family == family && socket.is_listening);
        let mut taking: Vec<_> = listeners.filter(|(_, socket)| takes(socket)).collect();
        taking.sort_by_key(|(_, socket)| socket.local.as_ref() != Some(remote));
        taking.first().map(|(id, _)| *id)
    }

    /// The lowest free automatic port for a local address. Linux draws it at random.
    pub fn free_port(&self, net: NetNsId, family: Family, addr: IpAddr) -> Option<u16> {
        let is_free =
            |&port: &u16| self.find_bound(net, family, &Endpoint::Inet(SocketAddr::new(addr, port))).is_none();
        LOCAL_PORTS.into_iter().find(is_free)
    }

    /// The clients of a listening socket.
    pub fn clients_of(&self, server: SocketId) -> Vec<&Socket> {
        let mut clients: Vec<_> =
            self.net.sockets.iter().map(|(_, socket)| socket).filter(|socket| socket.server == Some(server)).collect();
        clients.sort_by_key(|socket| socket.ino);
        clients
    }

    /// Adds a socket to its namespace; it has the next inode number.
    pub(crate) fn insert_socket(&mut self, mut socket: Socket) -> SocketId {
        self.net.sockets_made += 1;
        socket.ino = self.net.sockets_made;
        let net = socket.net.id();
        let id = self.net.sockets.insert(socket);
        self.namespaces[net].sockets.insert(id);
        id
    }

    /// The end of a socket, and perhaps of its namespace.
    pub(crate) fn close_socket(&mut self, id: SocketId) {
        if let Some(closed) = self.net.sockets.remove(id) {
            if let Some(server) = closed.server.and_then(|server| self.net.sockets.get_mut(server)) {
                server.abandoned += 1;
            }
            self.namespaces[closed.net.id()].sockets.remove(&id);
            self.put_ns(closed.net);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_if_one_stands_for_all() {
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(overlap(addr("127.0.0.1"), addr("0.0.0.0")) && overlap(addr("::"), addr("10.0.0.1")));
        assert!(overlap(addr("::"), addr("0.0.0.0")) && overlap(addr("::1"), addr("::")));
        assert!(!overlap(addr("127.0.0.1"), addr("127.0.0.2")) && !overlap(addr("0.0.0.0"), addr("::1")));
    }
}
