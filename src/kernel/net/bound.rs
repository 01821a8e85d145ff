//! What the sockets of a network namespace have taken: local addresses with ports, and names.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::SocketId;
use super::socket::Family;
use crate::kernel::runs::Runs;

/// What a local address takes, from others of the same family: an address with a port, or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    Port(u16, IpAddr),
    Abstract(Vec<u8>),
    File(Vec<u8>),
}

/// Ports given out automatically (`net.ipv4.ip_local_port_range`).
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 32768..=60999;

/// The addresses that stand for all of their kind.
pub(super) const ALL: [IpAddr; 2] = [ALL_IPV4, ALL_IPV6];
const ALL_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ALL_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const HIGHEST: IpAddr = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));

/// Addresses whose ports are listed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// One address.
    Just(IpAddr),
    /// All with which this address that stands for all of its kind overlaps.
    All(IpAddr),
}

impl Group {
    /// The groups that an address is in.
    fn of(ip: IpAddr) -> impl Iterator<Item = Group> {
        std::iter::once(Group::Just(ip)).chain(ALL.into_iter().filter(move |&all| overlap(all, ip)).map(Group::All))
    }

    /// The groups that bar a socket of this address from their ports.
    fn barring(ip: IpAddr) -> Vec<Group> {
        if ip.is_unspecified() {
            return vec![Group::All(ip)];
        }
        let for_all = ALL.into_iter().filter(|&all| overlap(all, ip));
        std::iter::once(ip).chain(for_all).map(Group::Just).collect()
    }

    /// The lowest and highest of its addresses, in an order in which no others are between them.
    fn range(self) -> [IpAddr; 2] {
        match self {
            Group::Just(ip) => [ip; 2],
            Group::All(ip) if ip.is_ipv4() => ALL,
            Group::All(_) => [ALL_IPV4, HIGHEST],
        }
    }
}

/// Whether a local address is `other` or stands for all, which of IPv6 includes those of IPv4.
pub(super) fn takes(addr: IpAddr, other: IpAddr) -> bool {
    addr == other || addr.is_unspecified() && (addr.is_ipv6() || other.is_ipv4())
}

/// Whether two local addresses cannot both be bound to one port: they are equal, or one stands for all.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    takes(a, b) || takes(b, a)
}

/// The books of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    takers: BTreeMap<(Family, Taken), BTreeSet<SocketId>>,
    /// The ports that are taken of the addresses of a group.
    ports: BTreeMap<(Family, Group), Runs>,
}

impl Bound {
    /// The sockets that have taken just this.
    pub(super) fn takers(&self, family: Family, taken: Taken) -> impl Iterator<Item = SocketId> {
        self.takers.get(&(family, taken)).into_iter().flatten().copied()
    }

    /// A socket that has one of the addresses of a group with this port.
    fn first_of(&self, family: Family, port: u16, group: Group) -> Option<SocketId> {
        let [lowest, highest] = group.range().map(|ip| (family, Taken::Port(port, ip)));
        self.takers.range(lowest..=highest).next()?.1.first().copied()
    }

    /// A socket that bars an address with a port to others of its family.
    pub(super) fn barring(&self, family: Family, port: u16, ip: IpAddr) -> Option<SocketId> {
        Group::barring(ip).into_iter().find_map(|group| self.first_of(family, port, group))
    }

    /// The lowest automatic port that is free for a local address. Linux draws it at random.
    pub(super) fn free_port(&self, family: Family, ip: IpAddr) -> Option<u16> {
        let ports = Group::barring(ip).into_iter().filter_map(|group| self.ports.get(&(family, group)));
        let ports: Vec<&Runs> = ports.collect();
        let mut port = i32::from(*LOCAL_PORTS.start());
        loop {
            let free = ports.iter().fold(port, |port, taken| taken.first_free(port));
            if free == port {
                return u16::try_from(port).ok().filter(|port| LOCAL_PORTS.contains(port));
            }
            port = free;
        }
    }

    pub(in crate::kernel) fn insert(&mut self, family: Family, taken: Taken, id: SocketId) {
        if let Taken::Port(port, ip) = taken {
            for group in Group::of(ip).filter(|&group| self.first_of(family, port, group).is_none()).collect::<Vec<_>>()
            {
                self.ports.entry((family, group)).or_default().insert(port.into());
            }
        }
        self.takers.entry((family, taken)).or_default().insert(id);
    }

    pub(super) fn remove(&mut self, family: Family, taken: Taken, id: SocketId) {
        let Entry::Occupied(mut takers) = self.takers.entry((family, taken.clone())) else { return };
        takers.get_mut().remove(&id);
        if !takers.get().is_empty() {
            return;
        }
        takers.remove();
        let Taken::Port(port, ip) = taken else { return };
        for group in Group::of(ip).filter(|&group| self.first_of(family, port, group).is_none()).collect::<Vec<_>>() {
            if let Entry::Occupied(mut ports) = self.ports.entry((family, group)) {
                ports.get_mut().remove(port.into());
                if ports.get().is_empty() {
                    ports.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::table::Table;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_overlap_if_one_stands_for_all() {
        assert!(overlap(addr("127.0.0.1"), addr("0.0.0.0")) && overlap(addr("::"), addr("10.0.0.1")));
        assert!(overlap(addr("::"), addr("0.0.0.0")) && overlap(addr("::1"), addr("::")));
        assert!(!overlap(addr("127.0.0.1"), addr("127.0.0.2")) && !overlap(addr("0.0.0.0"), addr("::1")));
    }

    /// Whatever comes and goes: a port is barred by who overlaps, and the free port is the one that a search finds.
    #[test]
    fn the_free_port_is_that_of_a_search() {
        let ips = ["0.0.0.0", "::", "10.0.0.1", "10.0.0.2", "::1", "fd00::1"].map(addr);
        let (mut bound, mut taken) = (Bound::default(), BTreeMap::new());
        let mut ids = Table::default();
        for step in 0_u32..4000 {
            let ip = ips[(step * 7919 % 61) as usize % ips.len()];
            let port = 32768 + (step * 104_729 % 11) as u16;
            if step % 5 < 2 {
                let oldest = taken.keys().nth(step as usize % taken.len().max(1)).copied();
                if let Some(id) = oldest {
                    let (port, ip) = taken.remove(&id).unwrap();
                    bound.remove(Family::Tcp, Taken::Port(port, ip), id);
                }
            } else {
                let id = ids.insert(()).cast();
                bound.insert(Family::Tcp, Taken::Port(port, ip), id);
                taken.insert(id, (port, ip));
            }
            for ip in ips {
                let bars = |port| taken.values().any(|&(other, at)| other == port && overlap(at, ip));
                let barring = bound.barring(Family::Tcp, port, ip);
                assert_eq!(barring.is_some(), bars(port), "{step}: {ip} {port}");
                assert!(barring.is_none_or(|id| overlap(taken[&id].1, ip)));
                assert_eq!(
                    bound.free_port(Family::Tcp, ip),
                    LOCAL_PORTS.into_iter().find(|&port| !bars(port)),
                    "{step}: {ip}"
                );
            }
            let mut again = Bound::default();
            taken.iter().for_each(|(&id, &(port, ip))| again.insert(Family::Tcp, Taken::Port(port, ip), id));
            assert_eq!(bound, again);
        }
    }
}
