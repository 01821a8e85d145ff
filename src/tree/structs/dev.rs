//! `kernel/ns/net/<inum>/dev_base_head/<name>` (`struct net_device`).

use super::{Field, Item, Struct, dir, list, pointer, show, value};
use crate::kernel::Kernel;
use crate::kernel::net::DevId;
use crate::kernel::net::addr::Scope;
use crate::kernel::node::Object;

impl Struct for DevId {
    fn fields(self, _: &Kernel) -> [&'static [Field<DevId>]; 2] {
        [FIELDS, &[]]
    }

    fn is_alive(self, k: &Kernel) -> bool {
        k.net.devices.contains(self)
    }
}

static FIELDS: &[Field<DevId>] = &[
    dir(""),
    value("name", |k, id| Some(k.net.devices[id].name.clone())),
    value("altnames", |k, id| Some(k.net.devices[id].altnames.join(&b'\n'))),
    value("ifindex", |k, id| show(k.net.devices[id].ifindex)),
    value("rtnl_link_ops", |k, id| show(k.net.devices[id].kind.link_ops().unwrap_or("NULL"))),
    value("netns_immutable", |k, id| show(u8::from(k.net.devices[id].kind.is_netns_immutable()))),
    value("mtu", |k, id| show(k.net.devices[id].kind.mtu())),
    value("dev_addr", |k, id| show(k.net.devices[id].mac.map(|byte| format!("{byte:02x}")).join(":"))),
    value("is_up", |k, id| show(u8::from(k.net.devices[id].is_up))),
    value("carrier", |k, id| show(u8::from(k.has_carrier(id)))),
    value("operstate", |k, id| show(k.operstate(id).name())),
    value("ip_ptr", |k, id| show(inet(k, id))),
    value("ip6_ptr", |k, id| show(inet6(k, id))),
    pointer("nd_net", |k, id| Some(Object::Ns(k.net.devices[id].net.any()))),
    pointer("master", |k, id| k.net.devices[id].master.map(Object::Dev)),
    pointer("peer", |k, id| k.net.devices[id].peer().map(Object::Dev)),
    list(
        "ports",
        |k, id| {
            let ports = k.ports_of(id);
            ports.map(|port| (k.net.devices[port].ifindex.unsigned_abs(), Item::Pointer(Object::Dev(port)))).collect()
        },
        |k, id, ifindex| {
            let net = &k.namespaces[k.net.devices[id].net];
            let port = *net.devices.get(&i32::try_from(ifindex).ok()?)?;
            (k.net.devices[port].master == Some(id)).then_some(Item::Pointer(Object::Dev(port)))
        },
    ),
];

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "universe",
        Scope::Link => "link",
        Scope::Host => "host",
    }
}

/// A line for each IPv4 address.
fn inet(k: &Kernel, id: DevId) -> String {
    let line = |inet: &crate::kernel::net::addr::Inet4| {
        let secondary = if inet.is_secondary { " secondary" } else { "" };
        format!("{}/{} scope {}{secondary}\n", inet.local, inet.prefixlen, scope(inet.scope))
    };
    k.net.devices[id].inet.iter().map(line).collect()
}

/// A line for each IPv6 address.
fn inet6(k: &Kernel, id: DevId) -> String {
    let line = |inet: &crate::kernel::net::addr::Inet6| {
        let tentative = if inet.is_tentative { " tentative" } else { "" };
        format!("{}/{} scope {}{tentative}\n", inet.addr, inet.prefixlen, scope(inet.scope))
    };
    k.net.devices[id].inet6.iter().map(line).collect()
}
