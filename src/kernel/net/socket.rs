//! Sockets: their namespace for ever, the port or name they have taken, whom they are connected to.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::SocketId;
use super::bound::{ALL, Taken, takes};
use crate::kernel::cred::Kuid;
use crate::kernel::ns::NetNamespace;
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, NetNsId};

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
#[derive(Clone, Debug)]
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

impl Endpoint {
    pub fn taken(&self) -> Taken {
        match self {
            Endpoint::Inet(addr) => Taken::Port(addr.port(), addr.ip()),
            Endpoint::Abstract(name) => Taken::Abstract(name.clone()),
            Endpoint::File(path) => Taken::File(path.clone()),
        }
    }
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
        let bound = &self.namespaces[net].bound;
        match local {
            Endpoint::Inet(addr) => bound.barring(family, addr.port(), addr.ip()),
            Endpoint::Abstract(_) | Endpoint::File(_) => bound.takers(family, local.taken()).next(),
        }
    }

    /// The socket that takes connections to `remote`: of two, the one bound to just this address.
    pub fn find_listener(&self, net: NetNsId, family: Family, remote: &Endpoint) -> Option<SocketId> {
        let mut taken = vec![remote.taken()];
        if let Endpoint::Inet(remote) = remote {
            let for_all = ALL.into_iter().filter(|&local| takes(local, remote.ip()));
            taken.extend(for_all.map(|local| Taken::Port(remote.port(), local)));
        }
        let mut listening = taken.into_iter().filter_map(|taken| {
            let takers = self.namespaces[net].bound.takers(family, taken).map(|id| (id, &self.net.sockets[id]));
            takers.filter(|(_, socket)| socket.is_listening).min_by_key(|(_, socket)| socket.ino)
        });
        listening.next().map(|(id, _)| id)
    }

    /// The lowest free automatic port for a local address.
    pub fn free_port(&self, net: NetNsId, family: Family, addr: IpAddr) -> Option<u16> {
        self.namespaces[net].bound.free_port(family, addr)
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
        if let Some((family, taken)) = taken {
            self.namespaces[net].bound.insert(family, taken, id);
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
            if let Some(local) = &closed.local {
                net.bound.remove(closed.family, local.taken(), id);
            }
            self.put_ns(closed.net);
        }
    }
}
