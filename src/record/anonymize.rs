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
/// Programs that are process 1 of many machines and containers. Any other is what somebody runs.
const INITS: [&str; 14] = [
    "init",
    "systemd",
    "tini",
    "dumb-init",
    "docker-init",
    "podman-init",
    "catatonit",
    "runit",
    "runsvinit",
    "s6-svscan",
    "openrc-init",
    "procd",
    "finit",
    "busybox",
];
/// Options of file systems whose values are numbers and words of the kernel's.
const OPTIONS: [&str; 46] = [
    "size",
    "nr_inodes",
    "nr_blocks",
    "mode",
    "dmode",
    "fmode",
    "uid",
    "gid",
    "umask",
    "fmask",
    "dmask",
    "ptmxmode",
    "user_id",
    "group_id",
    "resuid",
    "resgid",
    "max_read",
    "blksize",
    "errors",
    "data",
    "commit",
    "barrier",
    "stripe",
    "huge",
    "pagesize",
    "min_size",
    "hidepid",
    "subset",
    "fd",
    "pgrp",
    "timeout",
    "minproto",
    "maxproto",
    "pipe_ino",
    "logbufs",
    "logbsize",
    "sunit",
    "swidth",
    "subvolid",
    "redirect_dir",
    "index",
    "metacopy",
    "xino",
    "nfs_export",
    "vers",
    "proto",
];
/// What the kernel puts before the name of a device, a port or a file system when it names one of its threads.
const CARRIERS: [&str; 9] =
    ["wg-crypt-", "wg-kex-", "kcryptd-", "kcryptd_io-", "md_", "btrfs-", "bond_", "rbd_", "ceph-"];
/// What the kernel calls a thread that manages the state of an NFS server, after the server's address.
const NFS_MANAGER: &str = "-manager";

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
        if task.is_kthread {
            task.comm = names.kthread(&task.comm);
        } else if task.tid != 1 || !std::str::from_utf8(&task.comm).is_ok_and(|comm| INITS.contains(&comm)) {
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
                    let is_own_name = mount.source == mount.fs.as_bytes();
                    mount.fs = plain_type(&mount.fs).to_owned();
                    if is_own_name {
                        mount.source = mount.fs.clone().into_bytes();
                    } else if mount.source != b"none" {
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

/// Options without values, and those whose values name nothing that somebody has chosen.
fn plain_options(options: &str) -> String {
    let is_plain = |option: &&str| {
        option.split_once('=').is_none_or(|(key, value)| {
            OPTIONS.contains(&key) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        })
    };
    options.split(',').filter(is_plain).collect::<Vec<_>>().join(",")
}

/// The type of a file system without the name that its daemon has given it: `fuse` of `fuse.sshfs`.
fn plain_type(fs: &str) -> &str {
    fs.split_once('.').map_or(fs, |(fs, _)| fs)
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

    /// The name of a kernel thread: without what it is named after, where that is a device, a server or a file system.
    /// Numbers stay, of processors and the like.
    fn kthread(&self, comm: &[u8]) -> Vec<u8> {
        let Ok(comm) = std::str::from_utf8(comm) else { return b"kthread".to_vec() };
        // `kworker/R-NAME` and `kworker/u8:2-NAME` are named after work that a worker does.
        let (worker, name) = match comm.strip_prefix("kworker/").and_then(|rest| rest.split_once(['-', '+'])) {
            Some((_, work)) => comm.split_at(comm.len() - work.len()),
            None => ("", comm),
        };
        let (end, is_cut) = match name.split_once('/') {
            Some((before, after)) => {
                let digits = after.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(after.len());
                let end = before.len() + if digits == 0 { 0 } else { 1 + digits };
                (end, end < name.len() && !name.starts_with("kworker/"))
            }
            None => (name.len(), false),
        };
        let name = if is_cut { &name[..end] } else { name };
        let carrier = CARRIERS.iter().find(|carrier| name.starts_with(**carrier));
        let device = self.known("device", name.as_bytes());
        let name = match (carrier, device) {
            (Some(carrier), _) => carrier.trim_end_matches(['-', '_']).to_owned(),
            (None, Some(device)) => device,
            (None, None) if name.ends_with(NFS_MANAGER) => format!("nfs{NFS_MANAGER}"),
            (None, None) => name.to_owned(),
        };
        format!("{worker}{name}").into_bytes()
    }

    /// The stand-in of a word that has one.
    fn known(&self, kind: &'static str, word: &[u8]) -> Option<String> {
        self.0.get(kind)?.get(word).map(|number| format!("{kind}{number}"))
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

    /// The stand-in of an address: in 10.0.0.0/8 or fd00::/8, if it is one that tells something. Subnets for which there is no
    /// room there differ in the first eight bits.
    fn of(&mut self, address: IpAddr, prefixlen: u8) -> IpAddr {
        if let Some(known) = self.addresses.get(&address) {
            return *known;
        }
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
            return address;
        }
        let (bits, longest) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let prefixlen = prefixlen.min(longest);
        let subnet_shift = 128 - u32::from(prefixlen);
        let network = bits.checked_shr(subnet_shift).and_then(|bits| bits.checked_shl(subnet_shift)).unwrap_or(0);
        let subnets = self.subnets.len() as u128;
        let subnet = *self.subnets.entry((ip(network, address), prefixlen)).or_insert(subnets);
        let hosts = self.hosts.entry((ip(network, address), prefixlen)).or_default();
        *hosts += 1;
        let host = *hosts % (1 << u32::from(longest - prefixlen).min(64));
        let room = u32::from(prefixlen.saturating_sub(8)).min(64);
        let first = first_octet(prefixlen, subnet >> room, address);
        // Without room there is nothing to shift, by 120 bits or more.
        let subnet = (subnet % (1 << room)).checked_shl(subnet_shift).unwrap_or(0);
        let host_shift = if address.is_ipv4() { 96 } else { 0 };
        let stand_in = ip(first << 120 | subnet | host << host_shift, address);
        self.addresses.insert(address, stand_in);
        stand_in
    }
}

/// The first eight bits of a stand-in, of which as many as the prefix has tell subnets apart: 10 or 0xfd, and then others that
/// are of no special use.
fn first_octet(prefixlen: u8, nth: u128, like: IpAddr) -> u128 {
    let bits = prefixlen.min(8);
    let (first, is_usable): (u128, fn(u128) -> bool) = match like {
        IpAddr::V4(_) => (10, |octet| !matches!(octet, 0 | 127 | 224..)),
        IpAddr::V6(_) => (0xfd, |octet| !matches!(octet, 0 | 0xfe | 0xff)),
    };
    let all: Vec<u128> =
        (0..1 << bits).map(|step| (first + (step << (8 - bits))) & 0xff).filter(|octet| is_usable(*octet)).collect();
    all[usize::try_from(nth % all.len() as u128).unwrap_or(0)]
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
        assert_eq!(plain_options("rw,lowerdir=/a/b,size=5k,username=me,name=me"), "rw,size=5k");
        assert_eq!((plain_type("fuse.secret"), plain_type("ext4")), ("fuse", "ext4"));
    }

    #[test]
    fn kernel_threads_are_not_called_by_what_they_work_for() {
        let mut names = StandIns::default();
        names.of("device", b"home");
        for (comm, plain) in [
            ("kthreadd", "kthreadd"),
            ("kworker/0:1H-kblockd", "kworker/0:1H-kblockd"),
            ("kworker/u8:2-ext4-rsv-conversion", "kworker/u8:2-ext4-rsv-conversion"),
            ("kworker/0:1", "kworker/0:1"),
            ("ksoftirqd/1", "ksoftirqd/1"),
            ("kdmflush/254:0", "kdmflush/254:0"),
            ("kworker/R-wg-crypt-secret", "kworker/R-wg-crypt"),
            ("kworker/u8:1+wg-kex-secret", "kworker/u8:1+wg-kex"),
            ("kworker/R-xfs-log/secret", "kworker/R-xfs-log"),
            ("kworker/R-home", "kworker/R-device1"),
            ("irq/24-secret", "irq/24"),
            ("napi/secret-8193", "napi"),
            ("jbd2/secret-8", "jbd2"),
            ("md_secret_raid1", "md"),
            ("198.51.100.7-manager", "nfs-manager"),
        ] {
            assert_eq!(String::from_utf8(names.kthread(comm.as_bytes())).unwrap(), plain, "{comm}");
        }
    }

    #[test]
    fn addresses_with_short_prefixes_have_stand_ins_that_are_as_near() {
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        for prefixlen in 0..=32 {
            let mut nets = Networks::default();
            let [one, same, other] = ["9.1.1.1", "9.1.1.2", "203.0.113.9"].map(|text| nets.of(of(text), prefixlen));
            for stand_in in [one, same, other] {
                assert!(
                    !stand_in.is_multicast() && !stand_in.is_unspecified() && !stand_in.is_loopback(),
                    "{stand_in}"
                );
            }
            let network = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_bits().checked_shr(32 - u32::from(prefixlen)).unwrap_or(0),
                IpAddr::V6(_) => unreachable!(),
            };
            assert!(one != same && other != same && one != other, "{prefixlen}: {one} {same} {other}");
            assert_eq!(network(one) == network(same), prefixlen <= 30, "{prefixlen}: {one} {same}");
            assert_eq!(network(one) == network(other), prefixlen == 0, "{prefixlen}: {one} {other}");
            let mut nets = Networks::default();
            let all = ["2001:db8::1", "2001:db8::2", "a001::1"].map(|text| nets.of(of(text), prefixlen));
            assert!(all.iter().all(|address| !address.is_multicast()), "{prefixlen}: {all:?}");
            assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{prefixlen}: {all:?}");
        }
    }
}
