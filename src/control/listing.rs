//! Listings as `ip -o` prints them (iproute2 6.1).

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::kernel::net::addr::Scope;
use crate::syscall::ip::{AddressInfo, IffFlags, LinkInfo, Peer};

/// What one-line mode prints for a new line.
const BREAK: &str = "\\   ";

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn lines<T>(items: &[T], line: impl Fn(&T) -> String) -> String {
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `ip -o link`
pub(super) fn links(links: &[LinkInfo]) -> String {
    lines(links, link)
}

fn link(link: &LinkInfo) -> String {
    let at_peer = match &link.peer {
        None => String::new(),
        Some(Peer::Here { name, .. }) => format!("@{}", text(name)),
        Some(Peer::Elsewhere { ifindex, .. }) => format!("@if{ifindex}"),
    };
    let master = link.master.as_ref().map_or(String::new(), |master| format!("master {} ", text(master)));
    let mut line = format!(
        "{}: {}{at_peer}: <{}> mtu {} qdisc {} {master}state {} mode DEFAULT group default qlen 1000{BREAK} {}",
        link.ifindex,
        text(&link.name),
        flags(link).join(","),
        link.mtu,
        link.qdisc,
        link.operstate.name(),
        address(link),
    );
    if let Some(Peer::Elsewhere { nsid, .. }) = link.peer {
        let _ = write!(line, " link-netnsid {nsid}");
    }
    for altname in &link.altnames {
        let _ = write!(line, "{BREAK} altname {}", text(altname));
    }
    line
}

/// The state of a peer elsewhere is not known.
fn flags(link: &LinkInfo) -> Vec<&'static str> {
    let has = |flag| link.flags.contains(flag);
    let all = [
        (has(IffFlags::UP) && !has(IffFlags::RUNNING), "NO-CARRIER"),
        (has(IffFlags::LOOPBACK), "LOOPBACK"),
        (has(IffFlags::BROADCAST), "BROADCAST"),
        (has(IffFlags::MULTICAST), "MULTICAST"),
        (has(IffFlags::NOARP), "NOARP"),
        (has(IffFlags::UP), "UP"),
        (has(IffFlags::LOWER_UP), "LOWER_UP"),
        (matches!(link.peer, Some(Peer::Here { is_up: false, .. })), "M-DOWN"),
    ];
    all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
}

fn address(link: &LinkInfo) -> String {
    let mac = link.mac.map(|byte| format!("{byte:02x}")).join(":");
    match link.flags.contains(IffFlags::LOOPBACK) {
        true => format!("link/loopback {mac} brd {mac}"),
        false => format!("link/ether {mac} brd ff:ff:ff:ff:ff:ff"),
    }
}

/// `ip -o addr`
pub(super) fn addresses(addresses: &[AddressInfo]) -> String {
    lines(addresses, |info| {
        let AddressInfo { ifindex, dev, addr, prefixlen, .. } = info;
        let family = match addr {
            IpAddr::V4(_) => "inet",
            IpAddr::V6(_) => "inet6",
        };
        let secondary = if info.is_secondary { "secondary " } else { "" };
        let tentative = if info.is_tentative { "tentative " } else { "" };
        let label = info.label.as_deref().map(text).unwrap_or_default();
        format!(
            "{ifindex}: {}    {family} {addr}/{prefixlen} scope {} {secondary}{tentative}{label}{BREAK}    valid_lft forever \
             preferred_lft forever",
            text(dev),
            scope(info.scope),
        )
    })
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "global",
        Scope::Link => "link",
        Scope::Host => "host",
    }
}

/// `ip netns list-id`
pub(super) fn nsids(ids: &[i32]) -> String {
    lines(ids, |id| format!("nsid {id}"))
}
