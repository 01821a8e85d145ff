//! `proc/<pid>/net`: of the task's network namespace (`net/core/net-procfs.c`, `net/ipv4/{fib_trie,tcp_ipv4,udp}.c`,
//! `net/ipv6/addrconf.c`, `net/unix/af_unix.c`).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::bail;
use crate::errno::Result;
use crate::kernel::net::addr::Scope;
use crate::kernel::net::socket::{Endpoint, Family, Socket};
use crate::kernel::{Kernel, NetNsId, TaskId};
use crate::tree::look::Look;

/// Widths to which lines are filled with blanks.
const ROUTE_WIDTH: usize = 127;
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;

/// TCP states (`include/net/tcp_states.h`).
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// The namespace the file was opened in.
///
/// # Errors
/// ENOENT: the task is a zombie.
pub(super) fn namespace(look: &Look<'_>) -> Result<NetNsId> {
    match look.bound_to() {
        Some(net) => Ok(net),
        None => bail!(ENOENT, "a zombie has no network namespace"),
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// No device has received or sent anything.
pub(super) fn dev(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let net = namespace(look)?;
    let mut out = String::from(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n",
    );
    for (_, dev) in look.k.devices_of(net) {
        let _ = writeln!(
            out,
            "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} {:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}",
            text(&dev.name),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0
        );
    }
    Ok(out.into_bytes())
}

fn padded(line: &str, width: usize) -> String {
    format!("{line:<width$}\n")
}

/// An IPv4 address as the kernel has it in memory, read as a number.
fn word(octets: [u8; 4]) -> String {
    format!("{:08X}", u32::from_le_bytes(octets))
}

/// Not even a header where no address was ever configured: there is no routing table then (`fib_route_seq_start`).
pub(super) fn route(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let net = namespace(look)?;
    if !look.k.namespaces[net].has_local_table {
        return Ok(Vec::new());
    }
    let mut out =
        padded("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT", ROUTE_WIDTH);
    for route in look.k.routes(net) {
        let mask = u32::MAX.checked_shl(32 - u32::from(route.prefixlen)).unwrap_or(0);
        let line = format!(
            "{}\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0",
            text(&look.k.net.devices[route.dev].name),
            word(route.destination.octets()),
            word(mask.to_be_bytes()),
        );
        out.push_str(&padded(&line, ROUTE_WIDTH));
    }
    Ok(out.into_bytes())
}

pub(super) fn if_inet6(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    const PERMANENT: u8 = 0x80;
    const TENTATIVE: u8 = 0x40;
    let net = namespace(look)?;
    let mut out = String::new();
    for (_, dev) in look.k.devices_of(net) {
        for inet in &dev.inet6 {
            let scope = match inet.scope {
                Scope::Global => 0,
                Scope::Host => 0x10,
                Scope::Link => 0x20,
            };
            let flags = PERMANENT | if inet.is_tentative { TENTATIVE } else { 0 };
            let _ = writeln!(
                out,
                "{:032x} {:02x} {:02x} {scope:02x} {flags:02x} {:>8}",
                inet.addr.to_bits(),
                dev.ifindex,
                inet.prefixlen,
                text(&dev.name)
            );
        }
    }
    Ok(out.into_bytes())
}

/// Names in the namespace's own space; socket files are of a file tree, but their sockets show here too.
pub(super) fn unix(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let net = namespace(look)?;
    let mut out = String::from("Num       RefCount Protocol Flags    Type St Inode Path\n");
    let mut line = |refs: u32, flags: u32, state: u8, ino: u64, name: Option<&Endpoint>| {
        let name = match name {
            Some(Endpoint::Abstract(name)) => format!(" @{}", text(name)),
            Some(Endpoint::File(path)) => format!(" {}", text(path)),
            _ => String::new(),
        };
        let _ = writeln!(out, "{:016x}: {refs:08X} {:08X} {flags:08X} 0001 {state:02X} {ino:5}{name}", 0, 0);
    };
    for (id, socket) in look.k.sockets_of(net).into_iter().filter(|(_, socket)| socket.family == Family::Unix) {
        if socket.is_listening {
            line(2, 0x10000, 1, socket.ino, socket.local.as_ref());
            for _ in look.k.clients_of(id) {
                line(3, 0, 2, 0, socket.local.as_ref());
            }
            for _ in 0..socket.abandoned {
                line(2, 0, 2, 0, socket.local.as_ref());
            }
        } else if socket.server.is_some() {
            // It stays connected when the other end is gone, which no longer refers to it.
            line(if is_connected(look.k, socket) { 3 } else { 2 }, 0, 3, socket.ino, None);
        } else {
            line(2, 0, 1, socket.ino, None);
        }
    }
    Ok(out.into_bytes())
}

/// Of a stream: the server's socket is still there.
fn is_connected(k: &Kernel, socket: &Socket) -> bool {
    socket.server.is_some_and(|server| k.net.sockets.contains(server))
}

/// Which of the files of a protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Version {
    fn has(self, addr: &SocketAddr) -> bool {
        addr.is_ipv4() == (self == Version::V4)
    }

    /// An address as the file has it: an IPv4 client of an IPv6 server has a mapped one.
    fn shown(self, addr: SocketAddr) -> SocketAddr {
        match (self, addr.ip()) {
            (Version::V6, IpAddr::V4(ip)) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), addr.port()),
            _ => addr,
        }
    }

    /// No address and no port.
    fn nowhere(self) -> SocketAddr {
        match self {
            Version::V4 => SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
            Version::V6 => SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0),
        }
    }
}

fn address(addr: &SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => word(ip.octets()),
        IpAddr::V6(ip) => ip.octets().as_chunks::<4>().0.iter().map(|four| word(*four)).collect(),
    };
    format!("{ip}:{:04X}", addr.port())
}

fn inet(endpoint: Option<&Endpoint>) -> Option<SocketAddr> {
    match endpoint {
        Some(Endpoint::Inet(addr)) => Some(*addr),
        Some(Endpoint::Abstract(_) | Endpoint::File(_)) | None => None,
    }
}

pub(super) fn tcp(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    let lines = tcp_lines(look, Version::V4)?;
    let all = std::iter::once(header.to_owned()).chain(lines);
    Ok(all.map(|line| padded(&line, TCP_WIDTH)).collect::<String>().into_bytes())
}

pub(super) fn tcp6(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let header = "  sl  local_address                         remote_address                        st tx_queue rx_queue \
                  tr tm->when retrnsmt   uid  timeout inode";
    let lines = tcp_lines(look, Version::V6)?;
    let all = std::iter::once(header.to_owned()).chain(lines);
    Ok(all.map(|line| line + "\n").collect::<String>().into_bytes())
}

/// Listening sockets first, then connections; one that is not accepted has no inode.
fn tcp_lines(look: &Look<'_>, version: Version) -> Result<Vec<String>> {
    let k = look.k;
    let (mut listening, mut connected) = (Vec::new(), Vec::new());
    for (id, socket) in k.sockets_of(namespace(look)?) {
        let Some(local) = inet(socket.local.as_ref()).filter(|addr| version.has(addr)) else { continue };
        if socket.family != Family::Tcp {
            continue;
        }
        let owner = (look.uid(socket.uid), socket.ino);
        if socket.is_listening {
            let clients = k.clients_of(id);
            listening.push(format!(
                "{} {} {LISTEN:02X} 00000000:{:08X} {} 100 0 0 10 0",
                address(&local),
                address(&version.nowhere()),
                clients.len(),
                tcp_tail(owner.0, owner.1, if clients.is_empty() { 1 } else { 2 })
            ));
            for client in clients {
                let ends = (inet(client.remote.as_ref()), inet(client.local.as_ref()));
                if let (Some(own), Some(other)) = ends {
                    connected.push(established(&version.shown(own), &version.shown(other), tcp_tail(0, 0, 1)));
                }
            }
        } else if let Some(remote) = inet(socket.remote.as_ref()).filter(|_| is_connected(k, socket)) {
            connected.push(established(&local, &remote, tcp_tail(owner.0, owner.1, 2)));
        }
    }
    Ok((0..).zip(listening.into_iter().chain(connected)).map(|(slot, line)| format!("{slot:4}: {line}")).collect())
}

fn established(local: &SocketAddr, remote: &SocketAddr, tail: String) -> String {
    format!("{} {} {ESTABLISHED:02X} 00000000:00000000 {tail} 20 0 0 10 -1", address(local), address(remote))
}

/// Timer, retransmissions, owner, timeout, inode, references and the hidden address of the object.
fn tcp_tail(uid: u32, ino: u64, refs: u32) -> String {
    format!("00:00000000 00000000 {uid:5} {:8} {ino} {refs} {:016x}", 0, 0)
}

pub(super) fn udp(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let header = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
    let lines = udp_lines(look, Version::V4)?;
    let all = std::iter::once(header.to_owned()).chain(lines);
    Ok(all.map(|line| padded(&line, UDP_WIDTH)).collect::<String>().into_bytes())
}

pub(super) fn udp6(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let header = "  sl  local_address                         remote_address                        st tx_queue rx_queue \
                  tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
    let lines = udp_lines(look, Version::V6)?;
    let all = std::iter::once(header.to_owned()).chain(lines);
    Ok(all.map(|line| line + "\n").collect::<String>().into_bytes())
}

/// The first number is that of the hash bucket, which Linux derives from the port.
fn udp_lines(look: &Look<'_>, version: Version) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (_, socket) in look.k.sockets_of(namespace(look)?) {
        let Some(local) = inet(socket.local.as_ref()).filter(|addr| version.has(addr)) else { continue };
        if socket.family != Family::Udp {
            continue;
        }
        let remote = inet(socket.remote.as_ref());
        lines.push(format!(
            "{:5}: {} {} {:02X} 00000000:00000000 00:00000000 00000000 {:5} {:8} {} 2 {:016x} 0",
            local.port(),
            address(&local),
            address(&remote.unwrap_or(version.nowhere())),
            if remote.is_some() { ESTABLISHED } else { CLOSE },
            look.uid(socket.uid),
            0,
            socket.ino,
            0
        ));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_as_in_memory() {
        assert_eq!(address(&"127.0.0.1:5000".parse().unwrap()), "0100007F:1388");
        assert_eq!(address(&"[::1]:80".parse().unwrap()), "00000000000000000000000001000000:0050");
    }
}
