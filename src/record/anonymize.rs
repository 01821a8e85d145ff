//! Stand-ins for what a machine's owner has chosen: names of hosts, programs, directories, cgroups. The same word gets the same
//! stand-in throughout, in the order of their appearance; what every machine has keeps its name.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::net::{Device, LOOPBACK, Name, Net};
use super::topology::{Open, Own, Topology};
use crate::kernel::net::addr::link_local;

/// Directories that every machine has, and names of files of the kernel's.
const KNOWN: [&str; 34] = [
    "",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "var",
    "lib",
    "lib64",
    "usr",
    "etc",
    "home",
    "root",
    "mnt",
    "srv",
    "opt",
    "boot",
    "bin",
    "sbin",
    "log",
    "cache",
    "fs",
    "cgroup",
    "kernel",
    "debug",
    "tracing",
    "security",
    "config",
    "mqueue",
    "pts",
    "shm",
    "hugepages",
    "user",
    "netns",
];
/// What systemd adds to names.
const ENDINGS: [&str; 6] = [".slice", ".service", ".scope", ".socket", ".mount", ".lock"];

/// Replaces all names in a topology.
pub fn anonymize(topology: &mut Topology) {
    let mut names = StandIns::default();
    let mut nets = Networks::default();
    for ns in topology.namespaces.values_mut() {
        if let Own::Net(net) = &mut ns.own {
            nets.rename(&mut names, net);
        }
    }
    for task in topology.tasks.values_mut() {
        if !task.is_kthread && task.tid != 1 {
            task.comm = names.of("program", &task.comm);
        }
        if !task.argv.is_empty() {
            task.argv = vec![task.comm.clone()];
        }
        for open in task.open.values_mut() {
            if let Open::Listening(socket) = open {
                nets.rename_socket(&mut names, &mut socket.name);
            }
        }
        task.cgroup = task.cgroup.take().map(|path| names.path("group", &path));
        task.root = task.root.take().map(|path| names.path("dir", &path));
        task.cwd = task.cwd.take().map(|path| names.path("dir", &path));
    }
    for ns in topology.namespaces.values_mut() {
        match &mut ns.own {
            Own::Names { node, domain } => {
                *node = names.of("host", node);
                if domain != b"(none)" {
                    *domain = names.of("domain", domain);
                }
            }
            Own::Mnt(mounts) => {
                for mount in mounts {
                    if mount.fs != "nsfs" {
                        mount.root = names.path("dir", &mount.root);
                    }
                    mount.point = names.path("dir", &mount.point);
                    if mount.source != mount.fs.as_bytes() && mount.source != b"none" {
                        mount.source = names.path("device", &mount.source);
                    }
                    mount.super_options = plain_options(&mount.super_options);
                }
            }
            Own::Cgroup { root } => *root = root.take().map(|path| names.path("group", &path)),
            Own::Ipc(ipc) => {
                for queue in &mut ipc.queues {
                    queue.name = names.of("queue", &queue.name);
                }
            }
            Own::User(_) | Own::Time(_) | Own::Net(_) | Own::Plain => {}
        }
    }
}

/// Options without values that name something: paths, labels.
fn plain_options(options: &str) -> String {
    let is_plain = |option: &&str| {
        option.split_once('=').is_none_or(|(_, value)| value.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    options.split(',').filter(is_plain).collect::<Vec<_>>().join(",")
}

/// Which word stands for which.
#[derive(Default)]
struct StandIns(BTreeMap<&'static str, BTreeMap<Vec<u8>, usize>>);

impl StandIns {
    /// The stand-in for a word of a kind: the kind and a number.
    fn of(&mut self, kind: &'static str, word: &[u8]) -> Vec<u8> {
        let of_kind = self.0.entry(kind).or_default();
        let next = of_kind.len() + 1;
        let number = *of_kind.entry(word.to_vec()).or_insert(next);
        format!("{kind}{number}").into_bytes()
    }

    /// A path, name by name.
    fn path(&mut self, kind: &'static str, path: &[u8]) -> Vec<u8> {
        let names = path.split(|&byte| byte == b'/').map(|name| match std::str::from_utf8(name) {
            Ok(known) if KNOWN.contains(&known) => name.to_vec(),
            Ok(text) => {
                let ending = ENDINGS.iter().find(|ending| text.ends_with(**ending)).copied().unwrap_or_default();
                [&self.of(kind, &name[..name.len() - ending.len()])[..], ending.as_bytes()].concat()
            }
            Err(_) => self.of(kind, name),
        });
        names.collect::<Vec<_>>().join(&b'/')
    }
}

/// Which addresses stand for which. Addresses of one subnet have stand-ins of one subnet.
#[derive(Default)]
struct Networks {
    /// Subnets with the lengths of their prefixes, by the order of their appearance.
    subnets: BTreeMap<(IpAddr, u8), u128>,
    /// The addresses seen, with how many of the subnet there were before.
    hosts: BTreeMap<(IpAddr, u8), u128>,
    addresses: BTreeMap<IpAddr, IpAddr>,
    macs: BTreeMap<[u8; 6], u32>,
}

impl Networks {
    fn rename(&mut self, names: &mut StandIns, net: &mut Net) {
        for device in net.devices.iter_mut().filter(|device| device.kind != LOOPBACK) {
            let own = IpAddr::V6(link_local(device.address));
            self.rename_device(names, device);
            for (address, prefixlen) in &mut device.addresses {
                *address =
                    if *address == own { link_local(device.address).into() } else { self.of(*address, *prefixlen) };
            }
        }
        for device in net.devices.iter_mut().filter(|device| device.kind == LOOPBACK) {
            for (address, prefixlen) in &mut device.addresses {
                *address = self.of(*address, *prefixlen);
            }
        }
    }

    fn rename_device(&mut self, names: &mut StandIns, device: &mut Device) {
        device.name = names.of("device", &device.name);
        for name in &mut device.altnames {
            *name = names.of("altname", name);
        }
        if device.address != [0; 6] {
            let next = u32::try_from(self.macs.len()).unwrap_or(u32::MAX) + 1;
            let [a, b, c, d] = self.macs.entry(device.address).or_insert(next).to_be_bytes();
            device.address = [2, 0, a, b, c, d];
        }
    }

    fn rename_socket(&mut self, names: &mut StandIns, name: &mut Name) {
        match name {
            Name::Tcp(addr) | Name::Udp(addr) => {
                let longest = if addr.is_ipv4() { 32 } else { 128 };
                *addr = SocketAddr::new(self.of(addr.ip(), longest), addr.port());
            }
            Name::Abstract(name) => *name = names.of("socket", name),
            Name::File => {}
        }
    }

    /// The stand-in of an address: in 10.0.0.0/8 or fd00::/8, if it is one that tells something.
    fn of(&mut self, address: IpAddr, prefixlen: u8) -> IpAddr {
        if let Some(known) = self.addresses.get(&address) {
            return *known;
        }
        let is_plain = address.is_loopback() || address.is_unspecified() || address.is_multicast();
        let (bits, first) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 10 << 120),
            IpAddr::V6(address) => (address.to_bits(), 0xfd << 120),
        };
        if is_plain || prefixlen < 16 {
            return address;
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let host_bits = u32::from(longest - prefixlen.min(longest));
        let subnet_shift = 128 - u32::from(prefixlen.min(longest));
        let network = bits.checked_shr(subnet_shift).and_then(|bits| bits.checked_shl(subnet_shift)).unwrap_or(0);
        let subnets = self.subnets.len() as u128;
        let subnet = *self.subnets.entry((ip(network, address), prefixlen)).or_insert(subnets);
        let hosts = self.hosts.entry((ip(network, address), prefixlen)).or_default();
        *hosts += 1;
        let host = if host_bits == 0 { 0 } else { *hosts % (1 << host_bits.min(64)) };
        let room = u32::from(prefixlen) - 8;
        let subnet = subnet % (1 << room.min(64));
        let host_shift = if address.is_ipv4() { 96 } else { 0 };
        let stand_in = ip(first | subnet << subnet_shift | host << host_shift, address);
        self.addresses.insert(address, stand_in);
        stand_in
    }
}

/// The upper bits as an address of the same family.
fn ip(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits((bits >> 96) as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_word_has_the_same_stand_in() {
        let mut names = StandIns::default();
        assert_eq!(names.path("group", b"/system.slice/nginx.service"), b"/group1.slice/group2.service");
        assert_eq!(names.path("group", b"/nginx.slice"), b"/group2.slice");
        assert_eq!(names.path("dir", b"/var/lib/secret"), b"/var/lib/dir1");
        assert_eq!(plain_options("rw,lowerdir=/a/b,size=5k"), "rw,size=5k");
    }
}
