//! What the controller sees of a network namespace: its devices, and listings as `ip -o` prints them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nslab::errno::Errno;
use nslab::kernel::net::name::NAME_MAX;
use nslab::syscall::ip::Ip;

use super::netlink::*;
use crate::observe::real_text;
use crate::raw;

/// The messages of a dump, without their headers, or the errno it ended with.
fn dump(socket: &OwnedFd, request: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let fd = socket.as_raw_fd() as u64;
    let sent = raw::call(libc::SYS_write, [fd, request.as_ptr() as u64, request.len() as u64, 0, 0, 0]);
    check(sent)?;
    let mut found = Vec::new();
    loop {
        let mut buffer = vec![0u8; 32 * 1024];
        let length =
            check(raw::call(libc::SYS_read, [fd, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0, 0, 0]))? as usize;
        let mut rest = &buffer[..length];
        while rest.len() >= NLMSG_HEADER {
            let length = u32_at(rest, 0) as usize;
            match u16_at(rest, 4) {
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => return answer(rest).map(|_| found),
                _ => found.push(rest[NLMSG_HEADER..length].to_vec()),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn check(result: i64) -> Result<i64, Errno> {
    if result < 0 { Err(Errno::from_raw(-result as i32)) } else { Ok(result) }
}

/// A device as the machine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub index: i32,
    pub name: String,
    pub flags: u32,
}

/// The network namespace of a task of the machine, seen by the controller: looking changes nothing there.
pub struct Net {
    real: i32,
    socket: OwnedFd,
}

impl Net {
    /// The namespace that the task with this real number is in. The controller is in it while it makes the socket it
    /// asks through, and not longer.
    ///
    /// # Errors
    /// The task is gone.
    pub fn of(real: i32) -> Result<Net, Errno> {
        let open = |path: String| {
            let path = path + "\0";
            check(raw::call(libc::SYS_open, [path.as_ptr() as u64, libc::O_CLOEXEC as u64, 0, 0, 0, 0]))
                .map(|fd| raw::own(fd as i32))
        };
        let enter = |ns: &OwnedFd| {
            check(raw::call(libc::SYS_setns, [ns.as_raw_fd() as u64, libc::CLONE_NEWNET as u64, 0, 0, 0, 0]))
        };
        let (own, other) = (open("/proc/self/ns/net".to_owned())?, open(format!("/proc/{real}/ns/net"))?);
        enter(&other)?;
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let socket = raw::call(libc::SYS_socket, [libc::AF_NETLINK as u64, kind as u64, 0, 0, 0, 0]);
        enter(&own).expect("the way back is open");
        Ok(Net { real, socket: raw::own(check(socket)? as i32) })
    }

    fn ioctl(&self, request: u64, argument: &mut [u8; 40]) -> Result<i64, Errno> {
        let fd = self.socket.as_raw_fd() as u64;
        check(raw::call(libc::SYS_ioctl, [fd, request, argument.as_mut_ptr() as u64, 0, 0, 0]))
    }

    /// The devices in the order of `/proc/net/dev`. Without rtnetlink, whose listings give ids to namespaces.
    ///
    /// # Errors
    /// The task is gone, or a device has just gone.
    pub fn devices(&self) -> Result<Vec<Device>, Errno> {
        let text = real_text(self.real, "net/dev")?;
        let names = text.lines().skip(2).filter_map(|line| line.rsplit_once(": ").map(|(name, _)| name.trim_start()));
        names
            .map(|name| {
                let mut ifreq = [0; 40];
                ifreq[..name.len()].copy_from_slice(name.as_bytes());
                self.ioctl(libc::SIOCGIFINDEX, &mut ifreq)?;
                let index = u32_at(&ifreq, 16) as i32;
                self.ioctl(libc::SIOCGIFFLAGS, &mut ifreq)?;
                Ok(Device { index, name: name.to_owned(), flags: u32::from(u16_at(&ifreq, 16)) })
            })
            .collect()
    }

    /// Has the machine work off what it still has to do about changes of carrier, as it does when a program asks for one
    /// device. Ports come before the bridges they are in, whose carrier follows theirs.
    ///
    /// # Errors
    /// The task is gone.
    pub fn settle_links(&self, indexes: &[i32]) -> Result<(), Errno> {
        for &index in ["ports", "bridges"].iter().flat_map(|_| indexes) {
            match dump(&self.socket, &Message::link(RTM_GETLINK, NLM_F_ACK, index, None).finish()) {
                Ok(_) | Err(Errno::ENODEV) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// What ip(8) prints for a listing, as far as the lab prints it.
    ///
    /// # Errors
    /// ENODEV, or the task is gone.
    pub fn listing(&self, call: &Ip) -> Result<String, Errno> {
        let lines = match call {
            Ip::LinkShow { dev } => self.links(dev.as_deref())?,
            Ip::AddrShow { dev } => self.addresses(dev.as_deref())?,
            _ => self.nsids()?,
        };
        Ok(lines.join("\n"))
    }

    fn links(&self, dev: Option<&[u8]>) -> Result<Vec<String>, Errno> {
        let request = match dev {
            None => Message::link(RTM_GETLINK, NLM_F_DUMP, 0, None),
            Some(name) => {
                let mut request = Message::link(RTM_GETLINK, NLM_F_ACK, 0, None);
                // As ip(8), which takes what is too long for a name for an altname.
                let kind = if name.len() > NAME_MAX { IFLA_ALT_IFNAME } else { IFLA_IFNAME };
                request.attribute(kind, &zero_ended(name));
                request
            }
        };
        let links = dump(&self.socket, &request.finish())?;
        let devices = self.devices()?;
        Ok(links.iter().map(|link| link_line(link, &devices)).collect())
    }

    fn addresses(&self, dev: Option<&[u8]>) -> Result<Vec<String>, Errno> {
        let devices = self.devices()?;
        let only = match dev {
            None => None,
            Some(name) => {
                let mut ifreq = [0; 40];
                let length = name.len().min(15);
                ifreq[..length].copy_from_slice(&name[..length]);
                self.ioctl(libc::SIOCGIFINDEX, &mut ifreq)?;
                Some(u32_at(&ifreq, 16) as i32)
            }
        };
        let mut found = dump(&self.socket, &Message::new(RTM_GETADDR, NLM_F_DUMP, &[0; 8]).finish())?;
        let index = |message: &[u8]| u32_at(message, 4) as i32;
        found.retain(|message| only.is_none_or(|only| index(message) == only));
        found.sort_by_key(|message| (index(message), message[0]));
        Ok(found.iter().map(|message| address_line(message, &devices)).collect())
    }

    fn nsids(&self) -> Result<Vec<String>, Errno> {
        let found = dump(&self.socket, &Message::new(RTM_GETNSID, NLM_F_DUMP, &[0; 4]).finish())?;
        let mut ids: Vec<i32> =
            found.iter().filter_map(|message| Attributes(&message[4..]).number(NETNSA_NSID)).collect();
        ids.sort_unstable();
        Ok(ids.iter().map(|id| format!("nsid {id}")).collect())
    }
}

/// The lab's words for bits of `ifi_flags`, in iproute2's order.
const FLAGS: [(u32, &str); 6] = [
    (0x8, "LOOPBACK"),
    (0x2, "BROADCAST"),
    (0x1000, "MULTICAST"),
    (0x80, "NOARP"),
    (IFF_UP, "UP"),
    (0x1_0000, "LOWER_UP"),
];
const IFF_RUNNING: u32 = 0x40;
const OPERSTATES: [&str; 7] = ["UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"];

fn link_line(message: &[u8], devices: &[Device]) -> String {
    let (index, flags) = (u32_at(message, 4) as i32, u32_at(message, 8));
    let all = Attributes(&message[16..]);
    let name = all.text(IFLA_IFNAME).unwrap_or_default();
    let by_index = |index: i32| devices.iter().find(|dev| dev.index == index);
    let nsid = all.number(IFLA_LINK_NETNSID);
    let link = all.number(IFLA_LINK);
    let peer = link.filter(|_| nsid.is_none()).and_then(by_index);
    let at_peer = match (link, peer) {
        (None, _) => String::new(),
        (Some(_), Some(peer)) => format!("@{}", peer.name),
        (Some(link), None) => format!("@if{link}"),
    };
    let mut words: Vec<&str> = Vec::new();
    if flags & IFF_UP != 0 && flags & IFF_RUNNING == 0 {
        words.push("NO-CARRIER");
    }
    words.extend(FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| *word));
    if peer.is_some_and(|peer| peer.flags & IFF_UP == 0) {
        words.push("M-DOWN");
    }
    let master =
        all.number(IFLA_MASTER).and_then(by_index).map_or(String::new(), |dev| format!("master {} ", dev.name));
    let kind = all.get(IFLA_LINKINFO).and_then(|info| Attributes(info).text(IFLA_INFO_KIND));
    let qdisc = match all.text(IFLA_QDISC) {
        Some(qdisc) if qdisc != "noop" && kind.as_deref() == Some(DUMMY.1) => "noqueue".to_owned(),
        qdisc => qdisc.unwrap_or_default(),
    };
    let mac = all.get(IFLA_ADDRESS).unwrap_or_default();
    let mac = mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<String>>().join(":");
    let state = all.get(IFLA_OPERSTATE).and_then(|state| OPERSTATES.get(usize::from(state[0]))).unwrap_or(&"?");
    let hardware = if flags & 8 != 0 {
        format!("link/loopback {mac} brd {mac}")
    } else {
        format!("link/ether {mac} brd ff:ff:ff:ff:ff:ff")
    };
    let mut line = format!(
        "{index}: {name}{at_peer}: <{}> mtu {} qdisc {qdisc} {master}state {state} mode DEFAULT group default qlen 1000\\    \
         {hardware}",
        words.join(","),
        all.number(IFLA_MTU).unwrap_or(-1),
    );
    if let Some(nsid) = nsid {
        let _ = write!(line, " link-netnsid {nsid}");
    }
    for (_, altname) in Attributes(all.get(IFLA_PROP_LIST & 0x3fff).unwrap_or_default()) {
        let _ = write!(line, "\\    altname {}", text(altname));
    }
    line
}

fn address_line(message: &[u8], devices: &[Device]) -> String {
    const SECONDARY: u32 = 1;
    let (family, prefixlen, scope, index) = (message[0], message[1], message[3], u32_at(message, 4) as i32);
    let all = Attributes(&message[8..]);
    let name = devices.iter().find(|dev| dev.index == index).map_or("?", |dev| &dev.name);
    let scope = match scope {
        0 => "global".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        other => other.to_string(),
    };
    let bytes = all.get(IFA_LOCAL).or(all.get(IFA_ADDRESS)).unwrap_or_default();
    let what = if i32::from(family) == libc::AF_INET {
        let addr = <[u8; 4]>::try_from(bytes).map_or("?".to_owned(), |octets| Ipv4Addr::from(octets).to_string());
        let secondary = if all.number(IFA_FLAGS).unwrap_or(0) as u32 & SECONDARY != 0 { "secondary " } else { "" };
        format!("inet {addr}/{prefixlen} scope {scope} {secondary}{}", all.text(IFA_LABEL).unwrap_or_default())
    } else {
        let addr = <[u8; 16]>::try_from(bytes).map_or("?".to_owned(), |octets| Ipv6Addr::from(octets).to_string());
        format!("inet6 {addr}/{prefixlen} scope {scope} ")
    };
    format!("{index}: {name}    {what}\\       valid_lft forever preferred_lft forever")
}

/// A listing without what each machine has of its own: hardware addresses and the IPv6 addresses made of them, and
/// whether duplicate address detection is over.
pub fn masked_listing(text: &str) -> String {
    let is_mac = |word: &str| word.len() == 17 && word.matches(':').count() == 5;
    let mask = |word: &str| {
        if is_mac(word) && word != "00:00:00:00:00:00" && word != "ff:ff:ff:ff:ff:ff" {
            return "MAC".to_owned();
        }
        let is_made = |addr: &str| addr.parse::<Ipv6Addr>().is_ok_and(is_made_of_mac);
        match word.split_once('/') {
            Some((addr, "64")) if is_made(addr) => "EUI64/64".to_owned(),
            _ => word.to_owned(),
        }
    };
    let lines = text.replace(" tentative ", " ");
    lines.split(' ').map(mask).collect::<Vec<String>>().join(" ")
}

fn is_made_of_mac(addr: Ipv6Addr) -> bool {
    addr.is_unicast_link_local() && addr.octets()[11..13] == [0xff, 0xfe]
}

/// As [`masked_listing`], of `/proc/<pid>/net/if_inet6`.
pub fn masked_if_inet6(text: &str) -> String {
    const DAD: u32 = 0x48;
    let line = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if words.len() < 5 {
            return line.to_owned();
        }
        if u128::from_str_radix(&words[0], 16).is_ok_and(|bits| is_made_of_mac(Ipv6Addr::from_bits(bits))) {
            words[0] = "EUI64".to_owned();
        }
        words[4] = format!("{:02x}", u32::from_str_radix(&words[4], 16).unwrap_or(0) & !DAD);
        words.join(" ")
    };
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.sort();
    lines.join("\n")
}
