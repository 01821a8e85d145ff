//! RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK and RTM_NEWLINKPROP.

use super::{LinkAdd, LinkEnd, LinkSet, Netns, PHYSICAL, find_dev, netns};
use crate::bail;
use crate::errno::Result;
use crate::kernel::net::dev::{DevKind, LINK_KINDS};
use crate::kernel::net::name::{ALTNAME_MAX, NAME_MAX};
use crate::kernel::{Current, Kernel, NetNsId};

/// The length of a name in a message (`ifla_policy`).
fn check_length(name: &[u8], max: usize) -> Result<()> {
    if name.len() > max {
        bail!(ERANGE, "a name of {} bytes, at most {} are possible", name.len(), max);
    }
    Ok(())
}

/// A hardware address that a device can have (`is_valid_ether_addr`).
fn check_address(end: &LinkEnd) -> Result<()> {
    let Some(address) = end.address else { return Ok(()) };
    if address[0] & 1 != 0 || address == [0; 6] {
        bail!(EADDRNOTAVAIL, "a hardware address is not 0 and no address of a group");
    }
    Ok(())
}

/// Another namespace, if the caller may change it too (`rtnl_link_get_net_capable`).
fn other_net(k: &Kernel, me: Current, own: NetNsId, named: Option<Netns>) -> Result<NetNsId> {
    let Some(named) = named else { return Ok(own) };
    let net = netns(k, me, named)?;
    k.check_net_admin(*me, net)?;
    Ok(net)
}

/// Makes a device. What the caller names must not exist where the device will be (`__rtnl_newlink`).
///
/// # Errors
/// ERANGE, EINVAL: a name; EADDRNOTAVAIL: a hardware address; EEXIST; EBUSY: an index in use; EOPNOTSUPP: an unknown kind.
pub(super) fn add(k: &mut Kernel, me: Current, net: NetNsId, add: &LinkAdd) -> Result<()> {
    check_length(&add.end.name, NAME_MAX)?;
    check_length(&add.peer.name, NAME_MAX)?;
    let hardware = (PHYSICAL, DevKind::Physical);
    let known = LINK_KINDS.iter().chain([&hardware]).find(|(ops, _)| *ops == add.kind);
    if known.is_some() {
        check_address(&add.end)?;
        check_address(&add.peer)?;
    }
    let peer_net = other_net(k, me, net, add.peer.netns)?;
    let target = other_net(k, me, net, add.end.netns)?;
    let exists = match add.end.index {
        0 => k.find_dev(target, &add.end.name).is_some(),
        index => k.namespaces[target].devices.contains_key(&index),
    };
    if exists {
        bail!(EEXIST, "a device with this name or index exists in {}", k.ns_arg(target));
    }
    let Some((ops, kind)) = known else {
        bail!(EOPNOTSUPP, "there is no kind of device called {}", add.kind.clone());
    };
    let named = |name: &[u8]| if name.is_empty() { format!("{ops}%d").into_bytes() } else { name.to_vec() };
    if !matches!(kind, DevKind::Veth { .. }) {
        k.register_netdevice(target, &named(&add.end.name), add.end.index, *kind, add.end.address)?;
        return Ok(());
    }
    let peer_index = if add.end.index == 0 { 0 } else { add.peer.index };
    let peer = k.register_netdevice(peer_net, &named(&add.peer.name), peer_index, *kind, add.peer.address)?;
    match k.register_netdevice(target, &named(&add.end.name), add.end.index, *kind, add.end.address) {
        Ok(end) => {
            k.pair_veth(end, peer);
            k.rtmsg_ifinfo(end);
            Ok(())
        }
        Err(refused) => {
            k.unregister_netdevice(peer);
            Err(refused)
        }
    }
}

/// Changes a device, one thing after the other: namespace, name, state, master. What was done before a failure stays
/// done (`do_setlink`).
///
/// # Errors
/// ERANGE; ENODEV; those of each change.
pub(super) fn set(k: &mut Kernel, me: Current, net: NetNsId, set: &LinkSet) -> Result<()> {
    let name = set.name.as_deref().filter(|name| !name.is_empty());
    check_length(name.unwrap_or_default(), NAME_MAX)?;
    let dev = find_dev(k, net, &set.dev)?;
    // ip(8) sends an index, whatever the device with it is where the device has come to.
    let master = match &set.master {
        None => None,
        Some(None) => Some(0),
        Some(Some(name)) => Some(k.net.devices[find_dev(k, net, name)?].ifindex),
    };
    let target = other_net(k, me, net, set.netns)?;
    if target != net {
        k.dev_change_net_namespace(dev, target, name, set.index)?;
    }
    if let Some(name) = name {
        k.dev_change_name(dev, name)?;
    }
    match set.up {
        Some(true) => k.dev_open(dev),
        Some(false) => k.dev_close(dev),
        None => {}
    }
    if let Some(master) = master {
        k.set_master(dev, master)?;
    }
    Ok(())
}

/// # Errors
/// ENODEV; EOPNOTSUPP: a device that is not made by link operations.
pub(super) fn del(k: &mut Kernel, net: NetNsId, name: &[u8]) -> Result<()> {
    let dev = find_dev(k, net, name)?;
    if k.net.devices[dev].kind.link_ops().is_none() {
        bail!(EOPNOTSUPP, "{} cannot be deleted", String::from_utf8_lossy(name).into_owned());
    }
    k.unregister_netdevice(dev);
    Ok(())
}

/// # Errors
/// ENODEV; ERANGE; EEXIST.
pub(super) fn add_altname(k: &mut Kernel, net: NetNsId, dev: &[u8], name: &[u8]) -> Result<()> {
    let dev = find_dev(k, net, dev)?;
    check_length(name, ALTNAME_MAX)?;
    k.add_altname(dev, name)
}
