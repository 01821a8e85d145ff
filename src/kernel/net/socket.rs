//! Sockets: their namespace for ever, the port or name they have taken, whom they are connected to.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::SocketId;
use crate::kernel::cred::Kuid;
use crate::kernel::ns::NetNamespace;
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, NetNsId};

/// Ports given out automatically (`net.ipv4.ip_local_port_range`).
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 32768..=60999;

/// Inode numbers of sockets count up from here: programs take the first few for no sockets.
const FIRST_INO: u64 = 10_000;

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
    /// The open sockets that have connected to this one.
    pub clients: BTreeSet<SocketId>,
    /// Connections that nobody has accepted and whose clients are closed.
    pub abandoned: u32,
}

/// What a local address takes, from others of the same family: an address with a port, or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    Port(u16, IpAddr),
    Abstract(Vec<u8>),
    File(Vec<u8>),
}

/// The addresses that stand for all of their kind.
const ALL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
const HIGHEST: IpAddr = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));

impl Endpoint {
    pub fn taken(&self) -> Taken {
        match self {
            Endpoint::Inet(addr) => Taken::Port(addr.port(), addr.ip()),
            Endpoint::Abstract(name) => Taken::Abstract(name.clone()),
            Endpoint::File(path) => Taken::File(path.clone()),
        }
    }
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

    /// The sockets that have taken just this.
    fn takers(&self, net: NetNsId, family: Family, taken: Taken) -> impl Iterator<Item = SocketId> {
        self.namespaces[net].bound.get(&(family, taken)).into_iter().flatten().copied()
    }

    /// A socket that bars `local` to others of its family.
    pub fn find_bound(&self, net: NetNsId, family: Family, local: &Endpoint) -> Option<SocketId> {
        let Endpoint::Inet(addr) = local else { return self.takers(net, family, local.taken()).next() };
        let (port, ip) = (addr.port(), addr.ip());
        if !ip.is_unspecified() {
            let barring = [ip].into_iter().chain(ALL).filter(|&bound| overlap(bound, ip));
            return barring.flat_map(|bound| self.takers(net, family, Taken::Port(port, bound))).next();
        }
        let of_port = (family, Taken::Port(port, ALL[0]))..=(family, Taken::Port(port, HIGHEST));
        let mut barring = self.namespaces[net].bound.range(of_port).filter(|((_, taken), _)| match taken {
            Taken::Port(_, bound) => overlap(*bound, ip),
            Taken::Abstract(_) | Taken::File(_) => false,
        });
        barring.next()?.1.first().copied()
    }

    /// The socket that takes connections to `remote`: of two, the one bound to just this address.
    pub fn find_listener(&self, net: NetNsId, family: Family, remote: &Endpoint) -> Option<SocketId> {
        let mut taken = vec![remote.taken()];
        if let Endpoint::Inet(remote) = remote {
            let for_all = ALL.into_iter().filter(|&local| takes(local, remote.ip()));
            taken.extend(for_all.map(|local| Taken::Port(remote.port(), local)));
        }
        let mut listening = taken.into_iter().filter_map(|taken| {
            let takers = self.takers(net, family, taken).map(|id| (id, &self.net.sockets[id]));
            takers.filter(|(_, socket)| socket.is_listening).min_by_key(|(_, socket)| socket.ino)
        });
        listening.next().map(|(id, _)| id)
    }

    /// The lowest free automatic port for a local address. Linux draws it at random.
    pub fn free_port(&self, net: NetNsId, family: Family, addr: IpAddr) -> Option<u16> {
        let is_free =
            |&port: &u16| self.find_bound(net, family, &Endpoint::Inet(SocketAddr::new(addr, port))).is_none();
        LOCAL_PORTS.into_iter().find(is_free)
    }

    /// The clients of a listening socket.
    pub fn clients_of(&self, server: SocketId) -> Vec<&Socket> {
        let mut clients: Vec<_> = self.net.sockets[server].clients.iter().map(|&id| &self.net.sockets[id]).collect();
        clients.sort_by_key(|socket| socket.ino);
        clients
    }

    /// Adds a socket to its namespace; it has the next inode number.
    pub(crate) fn insert_socket(&mut self, mut socket: Socket) -> SocketId {
        self.net.sockets_made += 1;
        socket.ino = FIRST_INO + self.net.sockets_made;
        let (net, server) = (socket.net.id(), socket.server);
        let taken = socket.local.as_ref().map(|local| (socket.family, local.taken()));
        let id = self.net.sockets.insert(socket);
        self.namespaces[net].sockets.insert(id);
        if let Some(taken) = taken {
            self.namespaces[net].bound.entry(taken).or_default().insert(id);
        }
        if let Some(server) = server {
            self.net.sockets[server].clients.insert(id);
        }
        id
    }

    /// The end of a socket, and perhaps of its namespace.
    pub(crate) fn close_socket(&mut self, id: SocketId) {
        if let Some(closed) = self.net.sockets.remove(id) {
            if let Some(server) = closed.server.and_then(|server| self.net.sockets.get_mut(server)) {
                server.abandoned += 1;
                server.clients.remove(&id);
            }
            let net = &mut self.namespaces[closed.net.id()];
            net.sockets.remove(&id);
            if let Some(local) = &closed.local
                && let Entry::Occupied(mut takers) = net.bound.entry((closed.family, local.taken()))
            {
                takers.get_mut().remove(&id);
                if takers.get().is_empty() {
                    takers.remove();
                }
            }
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
