//! Listings as `ip -o` prints them (iproute2 6.1).

use std::fmt::Write as _;

use super::{Outcome, Return, find_dev};
use crate::errno::Result;
use crate::kernel::net::DevId;
use crate::kernel::net::addr::Scope;
use crate::kernel::net::dev::{DevKind, NetDevice};
use crate::kernel::net::name::NAME_MAX;
use crate::kernel::{Kernel, NetNsId};

/// What one-line mode prints for a new line.
const BREAK: &str = "\\   ";

/// The devices to list, by ifindex.
fn listed(k: &Kernel, net: NetNsId, dev: Option<&[u8]>) -> Result<Vec<DevId>> {
    match dev {
        Some(name) => Ok(vec![find_dev(k, net, name)?]),
        None => Ok(k.devices_of(net).map(|(id, _)| id).collect()),
    }
}

/// `ip -o link`. A namespace where a peer is gets its id when it is first listed.
///
/// # Errors
/// ENODEV
pub(super) fn links(k: &mut Kernel, net: NetNsId, dev: Option<&[u8]>) -> Outcome {
    let mut lines = Vec::new();
    for id in listed(k, net, dev)? {
        let nsid = k.rtmsg_ifinfo(id);
        lines.push(link(k, id, nsid));
    }
    Ok(Return::Listing(lines.join("\n")))
}

fn link(k: &Kernel, id: DevId, nsid: Option<i32>) -> String {
    let dev = &k.net.devices[id];
    let peer = dev.peer().map(|peer| &k.net.devices[peer]);
    let at_peer = match (peer, nsid) {
        (None, _) => String::new(),
        (Some(peer), None) => format!("@{}", text(&peer.name)),
        (Some(peer), Some(_)) => format!("@if{}", peer.ifindex),
    };
    let master = dev.master.map_or(String::new(), |master| format!("master {} ", text(&k.net.devices[master].name)));
    let mut line = format!(
        "{}: {}{at_peer}: <{}> mtu {} qdisc {} {master}state {} mode DEFAULT group default qlen 1000{BREAK} {}",
        dev.ifindex,
        text(&dev.name),
        flags(k, id, nsid.is_none()).join(","),
        dev.kind.mtu(),
        qdisc(dev),
        k.operstate(id).name(),
        address(dev),
    );
    if let Some(nsid) = nsid {
        let _ = write!(line, " link-netnsid {nsid}");
    }
    for altname in &dev.altnames {
        let _ = write!(line, "{BREAK} altname {}", text(altname));
    }
    line
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// `peer_is_here`: the state of a peer elsewhere is not known.
fn flags(k: &Kernel, id: DevId, peer_is_here: bool) -> Vec<&'static str> {
    let dev = &k.net.devices[id];
    let runs = dev.is_up && k.has_carrier(id);
    let peer_is_down = dev.peer().is_some_and(|peer| !k.net.devices[peer].is_up);
    let all = [
        (dev.is_up && !runs, "NO-CARRIER"),
        (dev.kind == DevKind::Loopback, "LOOPBACK"),
        (dev.kind != DevKind::Loopback, "BROADCAST"),
        (!matches!(dev.kind, DevKind::Loopback | DevKind::Dummy), "MULTICAST"),
        (dev.kind == DevKind::Dummy, "NOARP"),
        (dev.is_up, "UP"),
        (runs, "LOWER_UP"),
        (peer_is_here && peer_is_down, "M-DOWN"),
    ];
    all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
}

fn qdisc(dev: &NetDevice) -> &'static str {
    match dev.kind {
        _ if !dev.has_qdisc => "noop",
        DevKind::Physical => "pfifo_fast",
        _ => "noqueue",
    }
}

fn address(dev: &NetDevice) -> String {
    let mac = dev.mac.map(|byte| format!("{byte:02x}")).join(":");
    match dev.kind {
        DevKind::Loopback => format!("link/loopback {mac} brd {mac}"),
        _ => format!("link/ether {mac} brd ff:ff:ff:ff:ff:ff"),
    }
}

/// `ip -o addr`.
///
/// # Errors
/// ENODEV
pub(super) fn addresses(k: &Kernel, net: NetNsId, dev: Option<&[u8]>) -> Outcome {
    let mut lines = Vec::new();
    for id in listed(k, net, dev)? {
        let dev = &k.net.devices[id];
        let name = text(&dev.name);
        let mut line = |family: &str, what: String| {
            lines.push(format!(
                "{}: {name}    {family} {what}{BREAK}    valid_lft forever preferred_lft forever",
                dev.ifindex
            ));
        };
        for inet in &dev.inet {
            let secondary = if inet.is_secondary { "secondary " } else { "" };
            let label = label(&name, inet.label);
            let scope = scope(inet.scope);
            line("inet", format!("{}/{} scope {scope} {secondary}{label}", inet.local, inet.prefixlen));
        }
        for inet in &dev.inet6 {
            let tentative = if inet.is_tentative { "tentative " } else { "" };
            line("inet6", format!("{}/{} scope {} {tentative}", inet.addr, inet.prefixlen, scope(inet.scope)));
        }
    }
    Ok(Return::Listing(lines.join("\n")))
}

/// The name of the device and the number a rename has put behind it, which takes the place of the end of a long name
/// (`inetdev_changename`).
fn label(name: &str, number: Option<u32>) -> String {
    let end = number.map_or(String::new(), |number| format!(":{number}"));
    name.chars().take(NAME_MAX.saturating_sub(end.len())).chain(end.chars()).collect()
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "global",
        Scope::Link => "link",
        Scope::Host => "host",
    }
}

/// `ip netns list-id`.
pub(super) fn nsids(k: &Kernel, net: NetNsId) -> Return {
    let ids = k.namespaces[net].netns_ids.entries();
    Return::Listing(ids.map(|(id, _)| format!("nsid {id}")).collect::<Vec<_>>().join("\n"))
}
