//! Addresses of devices and the routes that follow from them (`net/ipv4/devinet.c`, `net/ipv4/fib_frontend.c`,
//! `net/ipv6/addrconf.c`).

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::DevId;
use super::conf::{ALL_SET, PROMOTE_SECONDARIES};
use super::dev::{DevKind, NetDevice};
use crate::bail;
use crate::errno::Result;
use crate::kernel::{Kernel, NetNsId};

/// How far an address is valid (`rt_scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Global,
    Link,
    Host,
}

/// An IPv4 address of a device (`struct in_ifaddr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inet4 {
    pub local: Ipv4Addr,
    pub prefixlen: u8,
    pub scope: Scope,
    /// Not the first one of its subnet.
    pub is_secondary: bool,
    /// The device has been up since it was added: of the loopback device the whole subnet is local from then on.
    pub was_up: bool,
    /// The number a rename of the device put behind its label.
    pub label: Option<u32>,
}

/// An IPv6 address of a device (`struct inet6_ifaddr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inet6 {
    pub addr: Ipv6Addr,
    pub prefixlen: u8,
    pub scope: Scope,
    /// The link has not been ready since it was added.
    pub is_tentative: bool,
}

/// A route to what is directly on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub dev: DevId,
    pub destination: Ipv4Addr,
    pub prefixlen: u8,
    /// The source address for what is sent there.
    pub source: Ipv4Addr,
}

fn mask4(prefixlen: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefixlen)).unwrap_or(0)
}

fn mask6(prefixlen: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefixlen)).unwrap_or(0)
}

impl Inet4 {
    /// A primary address.
    pub fn new(local: Ipv4Addr, prefixlen: u8, scope: Scope) -> Inet4 {
        Inet4 { local, prefixlen, scope, is_secondary: false, was_up: false, label: None }
    }

    /// The address of its subnet.
    pub fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.local.to_bits() & mask4(self.prefixlen))
    }

    fn has(&self, addr: Ipv4Addr) -> bool {
        (self.local.to_bits() ^ addr.to_bits()) & mask4(self.prefixlen) == 0
    }

    fn is_same_subnet(&self, other: &Inet4) -> bool {
        self.prefixlen == other.prefixlen && self.has(other.local)
    }

    /// The address of all hosts of its subnet, if that is more than two.
    fn broadcast(&self) -> Option<Ipv4Addr> {
        let has_one = self.makes_routes() && self.prefixlen < 31 && self.network().octets()[0] != 0;
        has_one.then(|| Ipv4Addr::from_bits(self.local.to_bits() | !mask4(self.prefixlen)))
    }

    /// It makes a route to its subnet.
    fn has_subnet(&self) -> bool {
        self.makes_routes() && self.prefixlen < 32 && !self.network().is_multicast() && !self.network().is_unspecified()
    }

    /// What is sent to others has it as its source (`fib_valid_prefsrc`).
    fn makes_routes(&self) -> bool {
        !self.is_secondary && !self.local.is_broadcast()
    }
}

impl Inet6 {
    fn new(addr: Ipv6Addr, prefixlen: u8) -> Inet6 {
        let scope = match addr {
            _ if addr.is_loopback() => Scope::Host,
            _ if addr.is_unicast_link_local() => Scope::Link,
            _ => Scope::Global,
        };
        Inet6 { addr, prefixlen, scope, is_tentative: false }
    }

    fn has(&self, addr: Ipv6Addr) -> bool {
        (self.addr.to_bits() ^ addr.to_bits()) & mask6(self.prefixlen) == 0
    }
}

impl Kernel {
    /// Adds an IPv4 address. Primary ones stand before secondary ones, those of a wider scope last among them
    /// (`inet_insert_ifa`). 0.0.0.0 is none.
    ///
    /// # Errors
    /// EEXIST: the device has it with this prefix. EINVAL: it has another scope than its subnet.
    pub(crate) fn insert_inet(&mut self, id: DevId, mut inet: Inet4) -> Result<()> {
        if inet.local.is_unspecified() {
            return Ok(());
        }
        let dev = &mut self.net.devices[id];
        let subnet: Vec<&Inet4> = dev.inet.iter().filter(|other| other.is_same_subnet(&inet)).collect();
        if subnet.iter().any(|other| other.local == inet.local) {
            bail!(EEXIST, "{} is an address of the device already", inet.local.to_string());
        }
        if subnet.iter().any(|other| other.scope != inet.scope) {
            bail!(EINVAL, "the subnet of {} has another scope", inet.local.to_string());
        }
        inet.is_secondary = !subnet.is_empty();
        inet.was_up = dev.is_up;
        let goes_first = |other: &Inet4| !other.is_secondary && inet.scope <= other.scope;
        let after_last = dev.inet.iter().rposition(goes_first).map_or(0, |last| last + 1);
        let at = if inet.is_secondary { dev.inet.len() } else { after_last };
        dev.inet.insert(at, inet);
        let net = dev.net;
        self.namespaces[net].has_local_table = true;
        Ok(())
    }

    /// An address given by a user, who has looked at the settings of the device by that (`inet_rtm_newaddr`).
    ///
    /// # Errors
    /// As [`Kernel::insert_inet`]; of an IPv6 address EADDRNOTAVAIL: ::, a multicast address, or ::1 on another device than
    /// the loopback one; EEXIST.
    pub(crate) fn add_address(&mut self, id: DevId, addr: IpAddr, prefixlen: u8) -> Result<()> {
        match addr {
            IpAddr::V4(local) => {
                self.net.devices[id].conf.is_set = ALL_SET;
                let scope = if local.is_loopback() { Scope::Host } else { Scope::Global };
                self.insert_inet(id, Inet4::new(local, prefixlen, scope))
            }
            IpAddr::V6(addr) => {
                let is_loopback = self.net.devices[id].kind == DevKind::Loopback;
                if addr.is_loopback() && !is_loopback {
                    bail!(EADDRNOTAVAIL, "::1 is for the loopback device");
                }
                if addr.is_multicast() || addr.is_unspecified() {
                    bail!(EADDRNOTAVAIL, "{} is no address of one device", addr.to_string());
                }
                let is_tentative = !self.is_dad_done(id);
                self.insert_inet6(id, Inet6 { is_tentative, ..Inet6::new(addr, prefixlen) })
            }
        }
    }

    /// Deletes an address; with a primary IPv4 address go the secondary ones of its subnet, or the first of them becomes
    /// primary (`__inet_del_ifa`).
    ///
    /// # Errors
    /// EADDRNOTAVAIL: the device does not have it.
    pub(crate) fn del_address(&mut self, id: DevId, addr: IpAddr, prefixlen: u8) -> Result<()> {
        let dev = &mut self.net.devices[id];
        let found = match addr {
            IpAddr::V4(local) => {
                let at = dev.inet.iter().position(|inet| inet.local == local && inet.prefixlen == prefixlen);
                at.map(|at| dev.inet.remove(at))
                    .inspect(|gone| {
                        if !gone.is_secondary {
                            let promotes = dev.conf.values[PROMOTE_SECONDARIES] != 0;
                            drop_or_promote(&mut dev.inet, gone, promotes);
                        }
                    })
                    .is_some()
            }
            IpAddr::V6(addr) => {
                let before = dev.inet6.len();
                dev.inet6.retain(|inet| inet.addr != addr || inet.prefixlen != prefixlen);
                dev.inet6.len() < before
            }
        };
        if !found {
            bail!(EADDRNOTAVAIL, "{}/{} is no address of the device", addr.to_string(), u32::from(prefixlen));
        }
        Ok(())
    }

    /// Adds an IPv6 address before others of its scope, behind those of a wider one; ::1 counts as link-local here
    /// (`ipv6_link_dev_addr`).
    fn insert_inet6(&mut self, id: DevId, inet: Inet6) -> Result<()> {
        let list = &mut self.net.devices[id].inet6;
        if list.iter().any(|other| other.addr == inet.addr) {
            bail!(EEXIST, "{} is an address of the device already", inet.addr.to_string());
        }
        let is_before = |other: &Inet6| inet.scope == Scope::Global || other.scope != Scope::Global;
        let at = list.iter().position(is_before).unwrap_or(list.len());
        list.insert(at, inet);
        Ok(())
    }

    /// Nothing is left to do before an address is sure to be unique: the link works, or needs no such test.
    fn is_dad_done(&self, id: DevId) -> bool {
        let dev = &self.net.devices[id];
        matches!(dev.kind, DevKind::Loopback | DevKind::Dummy) || dev.is_up && self.has_carrier(id)
    }

    /// A link that works has its own IPv6 address, and those it was given are no longer tentative (`addrconf_notify`,
    /// `addrconf_dad_completed`).
    pub(crate) fn addrconf_link_ready(&mut self, id: DevId) {
        if !self.net.devices[id].is_up || !self.has_carrier(id) {
            return;
        }
        let dev = &mut self.net.devices[id];
        for inet in &mut dev.inet6 {
            inet.is_tentative = false;
        }
        let (own, prefixlen) = match dev.kind {
            DevKind::Loopback => (Ipv6Addr::LOCALHOST, 128),
            _ if dev
                .inet6
                .iter()
                .any(|inet| inet.scope == Scope::Link && inet.prefixlen == 64 && is_eui64(inet.addr)) =>
            {
                return;
            }
            _ => (link_local(dev.mac), 64),
        };
        // It may be there already.
        let _ = self.insert_inet6(id, Inet6::new(own, prefixlen));
    }

    /// The routes of a namespace in the order of `/proc/net/route`: by destination, the narrower first.
    pub fn routes(&self, net: NetNsId) -> Vec<Route> {
        let up = self.devices_of(net).filter(|(_, dev)| dev.is_up && dev.kind != DevKind::Loopback);
        let mut routes: Vec<Route> = up
            .flat_map(|(id, dev)| {
                let subnets = dev.inet.iter().filter(|inet| inet.has_subnet());
                subnets.map(move |inet| Route {
                    dev: id,
                    destination: inet.network(),
                    prefixlen: inet.prefixlen,
                    source: inet.local,
                })
            })
            .collect();
        routes.sort_by_key(|route| (route.destination, Reverse(route.prefixlen)));
        routes
    }

    /// The source address for what is sent to this namespace itself: the primary one of the subnet of `addr`, whether its
    /// device is up or not. On the loopback device whole subnets are local, the narrowest of which counts, but for their
    /// broadcast addresses (`RTN_LOCAL`, `fib_add_ifaddr`).
    pub fn local_source(&self, net: NetNsId, addr: IpAddr) -> Option<IpAddr> {
        let devices = || self.devices_of(net).map(|(_, dev)| dev);
        match addr {
            IpAddr::V4(addr) => {
                let has_own = |dev: &NetDevice, first: &Inet4| {
                    dev.inet.iter().any(|inet| inet.local == addr && first.is_same_subnet(inet))
                };
                let mut primary = devices().flat_map(|dev| dev.inet.iter().filter(move |first| has_own(dev, first)));
                if let Some(primary) = primary.next() {
                    return Some(IpAddr::V4(primary.local));
                }
                let loopback = devices().find(|dev| dev.kind == DevKind::Loopback)?;
                let is_broadcast = |inet: &Inet4| loopback.is_up && inet.broadcast() == Some(addr);
                let stands = |inet: &&Inet4| inet.was_up && inet.has(addr) && !is_broadcast(inet);
                let narrowest = loopback.inet.iter().filter(stands).min_by_key(|inet| Reverse(inet.prefixlen));
                narrowest.map(|inet| IpAddr::V4(inet.local))
            }
            IpAddr::V6(addr) => {
                let is_there = |inet: &Inet6| inet.addr == addr && !inet.is_tentative;
                devices().any(|dev| dev.inet6.iter().any(is_there)).then_some(IpAddr::V6(addr))
            }
        }
    }

    /// The link that is up and whose subnet has this address for all its hosts, and the source address of what is sent
    /// there (`RTN_BROADCAST`).
    pub fn broadcast(&self, net: NetNsId, addr: Ipv4Addr) -> Option<(DevId, Ipv4Addr)> {
        let mut up = self.devices_of(net).filter(|(_, dev)| dev.is_up);
        up.find_map(|(id, dev)| {
            let inet = dev.inet.iter().find(|inet| inet.broadcast() == Some(addr))?;
            Some((id, inet.local))
        })
    }

    /// The device and source address for what is sent to an address on a link; the narrowest subnet counts.
    pub fn on_link(&self, net: NetNsId, addr: IpAddr) -> Option<(DevId, IpAddr)> {
        match addr {
            IpAddr::V4(addr) => {
                let covers =
                    |route: &Route| (route.destination.to_bits() ^ addr.to_bits()) & mask4(route.prefixlen) == 0;
                let routes = self.routes(net).into_iter().filter(covers);
                routes.max_by_key(|route| route.prefixlen).map(|route| (route.dev, IpAddr::V4(route.source)))
            }
            IpAddr::V6(addr) => {
                let ready = self.devices_of(net).filter(|(_, dev)| dev.is_up);
                let subnets = ready.flat_map(|(id, dev)| dev.inet6.iter().map(move |inet| (id, inet)));
                let covering = subnets.filter(|(_, inet)| inet.scope == Scope::Global && inet.has(addr));
                covering.max_by_key(|(_, inet)| inet.prefixlen).map(|(id, inet)| (id, IpAddr::V6(inet.addr)))
            }
        }
    }
}

/// After a primary address has gone: the others of its subnet go too, or the first of them takes its place.
fn drop_or_promote(list: &mut Vec<Inet4>, gone: &Inet4, promotes: bool) {
    let is_heir = |inet: &Inet4| inet.is_secondary && inet.is_same_subnet(gone);
    if !promotes {
        list.retain(|inet| !is_heir(inet));
        return;
    }
    if let Some(heir) = list.iter().position(is_heir).map(|at| list.remove(at)) {
        let at = list.iter().position(|inet| inet.is_secondary).unwrap_or(list.len());
        list.insert(at, Inet4 { is_secondary: false, ..heir });
    }
}

/// `fe80::` and the hardware address, the universal bit turned over and `ff:fe` in the middle.
pub fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

fn is_eui64(addr: Ipv6Addr) -> bool {
    addr.octets()[11..13] == [0xff, 0xfe]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_as_many_bits_as_the_prefix() {
        assert_eq!([0, 8, 24, 32].map(mask4), [0, 0xff00_0000, 0xffff_ff00, u32::MAX]);
        assert_eq!([0, 128].map(mask6), [0, u128::MAX]);
    }

    #[test]
    fn a_link_local_address_comes_from_the_hardware_address() {
        assert_eq!(link_local([0xa2, 0x4b, 0x0d, 0xca, 0x90, 0xb6]).to_string(), "fe80::a04b:dff:feca:90b6");
    }

    #[test]
    fn an_heir_stands_behind_the_primary_addresses() {
        let inet =
            |last, is_secondary| Inet4 { is_secondary, ..Inet4::new(Ipv4Addr::new(10, 0, 0, last), 24, Scope::Global) };
        let mut list = vec![inet(2, true), inet(3, true)];
        drop_or_promote(&mut list, &inet(1, false), true);
        assert_eq!(list, [inet(2, false), inet(3, true)]);
        drop_or_promote(&mut list, &inet(2, false), false);
        assert_eq!(list, [inet(2, false)]);
    }
}
