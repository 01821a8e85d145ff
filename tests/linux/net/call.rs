//! Network calls as what a worker of the machine does.

use std::net::SocketAddr;

use nslab::errno::Errno;
use nslab::kernel::file::FileKind;
use nslab::kernel::net::dev::{DevKind, NetDevice};
use nslab::kernel::ns::{ENTRIES, NsType};
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::ip::{Ip, LinkEnd, Netns};
use nslab::syscall::socket::SocketName;

use super::listing::{Net, masked_listing};
use super::netlink::{self, Caller};
use crate::encode::{Arg, Context, Job, Raw, call};
use crate::machine::{Machine, Prepared, Reply};
use crate::observe::real_links;
use crate::program::net::own_net;
use crate::raw;

/// The job of a network call; `None` where it could reach the host's network or has no counterpart.
pub fn encode_ip(c: &Context<'_>, ip: &Ip) -> Option<Job> {
    let net = own_net(c.k, c.me)?;
    if !named(ip).into_iter().flatten().all(|netns| is_safe(c, netns)) || !has_descriptors(c) {
        return None;
    }
    match ip {
        Ip::LinkShow { .. } | Ip::AddrShow { .. } | Ip::NetnsListId => Some(Job::Listing(ip.clone())),
        _ => Caller { k: c.k, me: c.me, net, numbers: c.numbers }.message(ip).map(Job::Netlink),
    }
}

/// A worker needs a descriptor for a moment.
fn has_descriptors(c: &Context<'_>) -> bool {
    c.k.signal_of(c.me).rlimits.nofile.soft > FD_NETLINK as u64
}

/// The namespaces that a call names and that devices may come to.
fn named(ip: &Ip) -> [Option<Netns>; 2] {
    match ip {
        Ip::LinkAdd(add) => [&add.end, &add.peer].map(|end: &LinkEnd| end.netns),
        Ip::LinkSet(set) => [set.netns, None],
        _ => [None, None],
    }
}

fn is_safe(c: &Context<'_>, netns: Netns) -> bool {
    match netns {
        Netns::Pid(pid) => {
            c.k.find_task(pid.number()).is_none_or(|task| own_net(c.k, task).is_some() || c.k.tasks[task].is_dead())
        }
        Netns::Fd(fd) => {
            let file = c.k.file_at(c.me, fd).map(|file| &c.k.open_files[file].kind);
            !matches!(file, Some(FileKind::Ns(ns)) if *ns == c.k.initial(NsType::Net))
        }
    }
}

/// How long a connection may take, microseconds: one that does not come at once does not come at all.
const CONNECT_TIME: u64 = 300_000;
const SO_SNDTIMEO: u64 = 21;

/// socket(2), then bind and listen, or connect.
pub fn encode_socket(c: &Context<'_>, name: &SocketName, connects: bool) -> Option<Job> {
    own_net(c.k, c.me)?;
    let (domain, kind) = match name {
        SocketName::Tcp(addr) => (inet_domain(addr), libc::SOCK_STREAM),
        SocketName::Udp(addr) => (inet_domain(addr), libc::SOCK_DGRAM),
        SocketName::Abstract(name) if name.len() < 100 => (libc::AF_UNIX, libc::SOCK_STREAM),
        SocketName::Abstract(_) | SocketName::Path(_) => return None,
    };
    let address = match name {
        SocketName::Tcp(addr) | SocketName::Udp(addr) if is_probed(c.k, c.me, addr, connects) => return None,
        SocketName::Tcp(addr) | SocketName::Udp(addr) => sockaddr(addr),
        SocketName::Abstract(name) | SocketName::Path(name) => {
            [&(libc::AF_UNIX as u16).to_ne_bytes(), &b"\0"[..], name].concat()
        }
    };
    let value = |value: i32| Arg::Value(value as u64);
    let open = call(libc::SYS_socket, &[value(domain), value(kind), value(0)]);
    let with_address = |number| {
        let length = Arg::Value(address.len() as u64);
        Raw { number, args: vec![Arg::Opened, Arg::Data(2048), length], data: vec![(2048, address.clone())] }
    };
    let mut calls = Vec::new();
    if connects {
        let time = [0, CONNECT_TIME].map(u64::to_ne_bytes).concat();
        let args = vec![Arg::Opened, value(libc::SOL_SOCKET), Arg::Value(SO_SNDTIMEO), Arg::Data(2048), value(16)];
        calls.push(Raw { number: libc::SYS_setsockopt, args, data: vec![(2048, time)] });
        calls.push(with_address(libc::SYS_connect));
    } else {
        calls.push(with_address(libc::SYS_bind));
        if kind == libc::SOCK_STREAM {
            calls.push(call(libc::SYS_listen, &[Arg::Opened, value(128)]));
        }
    }
    Some(Job::Socket { open, calls })
}

fn inet_domain(addr: &SocketAddr) -> i32 {
    if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }
}

fn sockaddr(addr: &SocketAddr) -> Vec<u8> {
    let mut bytes = (inet_domain(addr) as u16).to_ne_bytes().to_vec();
    bytes.extend(addr.port().to_be_bytes());
    match addr {
        SocketAddr::V4(addr) => {
            bytes.extend(addr.ip().octets());
            bytes.resize(16, 0);
        }
        SocketAddr::V6(addr) => {
            bytes.extend([0; 4]);
            bytes.extend(addr.ip().octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

/// The answer depends on IPv6 addresses that the machine may not have done probing for: that takes a second or two.
fn is_probed(k: &Kernel, me: TaskId, addr: &SocketAddr, connects: bool) -> bool {
    let SocketAddr::V6(addr) = addr else { return false };
    let Some(net) = own_net(k, me) else { return false };
    let is_own = addr.ip().is_loopback() || addr.ip().is_unspecified();
    let probes = |dev: &NetDevice| matches!(dev.kind, DevKind::Veth { .. } | DevKind::Bridge { .. });
    !(is_own && (!connects || k.is_loopback_up(net))) && k.devices_of(net).any(|(_, dev)| probes(dev))
}

const FD_NETLINK: i64 = 990;

impl Machine {
    /// Sends a message and reads the answer to it; `None` if the worker does not come back.
    fn netlink(&self, slot: usize, message: &[u8]) -> Option<Result<i32, Errno>> {
        const OUT: u64 = 8192;
        let kind = Arg::Value(libc::SOCK_RAW as u64);
        let open = call(libc::SYS_socket, &[Arg::Value(libc::AF_NETLINK as u64), kind, Arg::Value(0)]);
        let length = Arg::Value(message.len() as u64);
        let args = vec![Arg::Opened, Arg::Data(4096), length];
        let send = Raw { number: libc::SYS_write, args, data: vec![(4096, message.to_vec())] };
        let receive = call(libc::SYS_read, &[Arg::Opened, Arg::Data(OUT), Arg::Value(4096)]);
        let opened = self.make(slot, &open, None)?;
        if opened < 0 {
            return Some(Err(Errno::from_raw(-opened as i32)));
        }
        // Out of the way of the descriptors the message may name.
        self.make(slot, &call(libc::SYS_dup2, &[Arg::Opened, Arg::Value(FD_NETLINK as u64)]), Some(opened))?;
        self.close(slot, opened);
        let mut result = 0;
        for call in [send, receive] {
            result = self.make(slot, &call, Some(FD_NETLINK))?;
        }
        self.close(slot, FD_NETLINK);
        if result < 0 {
            return Some(Err(Errno::from_raw(-result as i32)));
        }
        Some(netlink::answer(&raw::slot(slot).read_data(OUT as usize, result as usize)))
    }

    /// A new socket and what is done with it: the last result, and the descriptor if that is no error.
    fn new_socket(&self, slot: usize, open: &Raw, calls: &[Raw]) -> Option<(i64, Option<i64>)> {
        let fd = self.make(slot, open, None)?;
        if fd < 0 {
            return Some((fd, None));
        }
        let mut last = 0;
        for call in calls {
            last = self.make(slot, call, Some(fd))?;
            if last < 0 {
                self.close(slot, fd);
                return Some((last, None));
            }
        }
        Some((last, Some(fd)))
    }

    fn close(&self, slot: usize, fd: i64) {
        self.make(slot, &call(libc::SYS_close, &[Arg::Value(fd as u64)]), None);
    }

    /// A network call. Never in the namespace of the host, whatever the lab believes.
    pub fn run_network(&self, prepared: &Prepared, job: &Job) -> Reply {
        const NET: usize = 0;
        debug_assert_eq!(ENTRIES[NET].name, "net");
        let host = real_links(self.init_pid())[NET];
        let Some(real) = self.numbers.real(prepared.nr()) else { return Reply::Hung };
        if real_links(real)[NET] == host {
            return Reply::Hung;
        }
        let slot = prepared.slot();
        let answer = match job {
            Job::Netlink(message) => self.netlink(slot, message).map(|answer| answer.map(|number| number.to_string())),
            Job::Listing(call) => {
                Some(Net::of(real).and_then(|net| net.listing(call)).map(|text| masked_listing(&text)))
            }
            Job::Socket { open, calls } => self.new_socket(slot, open, calls).map(|(result, fd)| match fd {
                Some(fd) => Ok(fd.to_string()),
                None if result == -i64::from(libc::EINPROGRESS) => Err(Errno::EAGAIN),
                None => Err(Errno::from_raw(-result as i32)),
            }),
            _ => None,
        };
        answer.map_or(Reply::Hung, Reply::Done)
    }
}
