//! Networks: devices with their addresses, ids of other namespaces, sockets that wait for others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use procfs_core::net::{TcpNetEntries, TcpState, UdpNetEntries, UdpState};
use procfs_core::{ExplicitSystemInfo, FromBufReadSI};

use super::Files;
use crate::control::lex::quote;

/// The kind of the loopback device, which has no link operations.
pub const LOOPBACK: &str = "loopback";

/// The kind of devices that come in pairs.
pub const VETH: &str = "veth";
/// The kind of devices that have ports.
pub const BRIDGE: &str = "bridge";

/// Only the order of bytes counts for the files of networks.
const HERE: ExplicitSystemInfo = ExplicitSystemInfo {
    boot_time_secs: 0,
    ticks_per_second: 100,
    page_size: 4096,
    is_little_endian: cfg!(target_endian = "little"),
};

/// A network namespace. Without devices: nothing could be seen of it, since each has a loopback device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Net {
    /// By index.
    pub devices: Vec<Device>,
    /// The ids that other namespaces, by inum, have in it.
    pub ids: BTreeMap<i32, u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub index: i32,
    pub name: Vec<u8>,
    pub altnames: Vec<Vec<u8>>,
    /// The name of its link operations, [`LOOPBACK`], or what the language calls hardware.
    pub kind: String,
    /// Hardware address; 0: none.
    pub address: [u8; 6],
    pub is_up: bool,
    pub has_carrier: bool,
    /// The index of the bridge it is a port of.
    pub master: Option<i32>,
    /// The namespace and the index of the other end of a pair.
    pub peer: Option<(u32, i32)>,
    /// With the lengths of their prefixes, in the order of the kernel's list.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Net {
    pub fn device(&self, index: i32) -> Option<&Device> {
        self.devices.iter().find(|device| device.index == index)
    }

    pub fn ports(&self, bridge: i32) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| device.master == Some(bridge))
    }
}

/// A socket that waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The namespace it was made in, by inum.
    pub net: u32,
    /// The user who made it, of the initial user namespace; of a socket of the local host no file shows it.
    pub uid: Option<u32>,
    pub name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Tcp(std::net::SocketAddr),
    Udp(std::net::SocketAddr),
    /// Of a socket of the local host, without a file.
    Abstract(Vec<u8>),
    /// With a file.
    File,
}

impl Name {
    /// The words of `bind`; none where the language has none.
    pub fn words(&self) -> Option<String> {
        match self {
            Name::Tcp(addr) => Some(format!("tcp {addr}")),
            Name::Udp(addr) => Some(format!("udp {addr}")),
            Name::Abstract(name) => Some(format!("unix {}", quote(&[b"@", &name[..]].concat()))),
            Name::File => None,
        }
    }

    pub fn port(&self) -> Option<u16> {
        match self {
            Name::Tcp(addr) | Name::Udp(addr) => Some(addr.port()),
            Name::Abstract(_) | Name::File => None,
        }
    }
}

/// The sockets of the namespace that a task is in which wait for others, by their inodes.
pub(super) fn listening(files: &dyn Files, tid: i32, net: u32) -> BTreeMap<u64, Listening> {
    let read = |file: &str| files.read(&format!("proc/{tid}/net/{file}")).unwrap_or_default();
    let mut all = BTreeMap::new();
    for file in ["tcp", "tcp6"] {
        let entries = TcpNetEntries::from_buf_read(&read(file)[..], &HERE).unwrap_or(TcpNetEntries(Vec::new()));
        for entry in entries.0.into_iter().filter(|entry| entry.state == TcpState::Listen) {
            all.insert(entry.inode, Listening { net, uid: Some(entry.uid), name: Name::Tcp(entry.local_address) });
        }
    }
    for file in ["udp", "udp6"] {
        let entries = UdpNetEntries::from_buf_read(&read(file)[..], &HERE).unwrap_or(UdpNetEntries(Vec::new()));
        for entry in entries.0.into_iter().filter(|entry| entry.state == UdpState::Close) {
            all.insert(entry.inode, Listening { net, uid: Some(entry.uid), name: Name::Udp(entry.local_address) });
        }
    }
    let unix = read("unix");
    let names = unix.split(|&byte| byte == b'\n').filter_map(unix_name);
    all.extend(names.map(|(inode, name)| (inode, Listening { net, uid: None, name })));
    all
}

/// Reads `num: refs protocol flags type state inode name` of a socket that listens (`unix_seq_show`). The parser of
/// `procfs-core` cuts names at blanks.
fn unix_name(line: &[u8]) -> Option<(u64, Name)> {
    const SO_ACCEPTCON: u32 = 0x10000;
    let mut rest = line;
    let mut word = || {
        let start = rest.iter().position(|&byte| byte != b' ')?;
        let end = rest[start..].iter().position(|&byte| byte == b' ').map_or(rest.len(), |length| start + length);
        let word = std::str::from_utf8(&rest[start..end]).ok()?;
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(word)
    };
    let (_num, _refs, _protocol, flags) = (word()?, word()?, word()?, word()?);
    let (_type, _state, inode) = (word()?, word()?, word()?);
    let is_listening = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & SO_ACCEPTCON != 0);
    let name = match rest {
        [b'@', name @ ..] => Name::Abstract(name.to_vec()),
        [] => return None,
        _ => Name::File,
    };
    Some((inode.parse().ok()?, name)).filter(|_| is_listening)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_local_host_may_have_blanks() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 27000 @a b ";
        assert_eq!(unix_name(line), Some((27000, Name::Abstract(b"a b ".to_vec()))));
        let line = b"0000000000000000: 00000002 00000000 00010000 0005 01   270 /run/x";
        assert_eq!(unix_name(line), Some((270, Name::File)));
        for line in ["Num       RefCount Protocol Flags    Type St Inode Path", "", "0: 3 0 00000000 0001 03 7 @a"] {
            assert_eq!(unix_name(line.as_bytes()), None, "{line}");
        }
    }
}
