//! Ids that a network namespace has for others, and the end of a namespace with its devices
//! (`net/core/net_namespace.c`, `default_device_exit_net` in `net/core/dev.c`).

use super::DevId;
use super::dev::DevKind;
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::ns::NetNamespace;
use crate::kernel::{Kernel, NetNsId, TaskId};

impl Kernel {
    /// Whether a task may change a network namespace (`netlink_net_capable`).
    ///
    /// # Errors
    /// EPERM: CAP_NET_ADMIN is missing over its owner.
    pub fn check_net_admin(&self, me: TaskId, net: NetNsId) -> Result<()> {
        let owner = self.owner_of(net);
        if !self.ns_capable(me, owner, Cap::NET_ADMIN) {
            bail!(EPERM, "CAP_NET_ADMIN missing in {}, owner of {}", self.ns_arg(owner), self.ns_arg(net));
        }
        Ok(())
    }

    /// The id `net` has for `peer` (`peernet2id`).
    pub fn peernet2id(&self, net: NetNsId, peer: NetNsId) -> Option<i32> {
        self.namespaces.state(peer)?.known_as.get(&net).copied()
    }

    /// The id `net` has for `peer`, the lowest free one if it had none (`peernet2id_alloc`).
    pub(crate) fn peernet2id_alloc(&mut self, net: NetNsId, peer: NetNsId) -> i32 {
        if let Some(id) = self.peernet2id(net, peer) {
            return id;
        }
        let id = self.namespaces[net].netns_ids.first_free(0, i32::MAX);
        let id = id.expect("there are fewer namespaces than numbers");
        self.insert_nsid(net, peer, id);
        id
    }

    /// Gives `peer` an id in `net`; below 0: the lowest free one (`rtnl_net_newid`).
    ///
    /// # Errors
    /// EEXIST: it has one, or the id is taken.
    pub(crate) fn set_nsid(&mut self, net: NetNsId, peer: NetNsId, id: i32) -> Result<()> {
        if let Some(id) = self.peernet2id(net, peer) {
            bail!(EEXIST, "{} has the id {} here", self.ns_arg(peer), id);
        }
        if id < 0 {
            self.peernet2id_alloc(net, peer);
            return Ok(());
        }
        if self.namespaces[net].netns_ids.peek(id).is_some() {
            bail!(EEXIST, "the id {} is taken", id);
        }
        self.insert_nsid(net, peer, id);
        Ok(())
    }

    fn insert_nsid(&mut self, net: NetNsId, peer: NetNsId, id: i32) {
        self.namespaces[net].netns_ids.insert(id, peer);
        self.namespaces[peer].known_as.insert(net, id);
    }

    /// A message about a device, as every change of it sends, whose peer is elsewhere names that namespace by an id, which
    /// it gets now if it had none (`rtmsg_ifinfo`, `rtnl_fill_link_netnsid`).
    pub(crate) fn rtmsg_ifinfo(&mut self, id: DevId) -> Option<i32> {
        let net = self.net.devices[id].net;
        let peer_net = self.net.devices[self.net.devices[id].peer()?].net;
        (peer_net != net).then(|| self.peernet2id_alloc(net, peer_net))
    }

    /// The end of a namespace: hardware goes back to the initial one, other devices are destroyed, a veth with its other
    /// end wherever that is; ids for the namespace are free (`cleanup_net`).
    pub(crate) fn cleanup_net(&mut self, ns: NetNsId, state: NetNamespace) {
        for &id in state.devices.values() {
            self.unlist_port(id);
        }
        for &id in state.devices.values() {
            match self.net.devices.get(id).map(|dev| dev.kind) {
                Some(DevKind::Physical) => self.return_to_init_net(id),
                // Its peer, which came first, took it along.
                None => {}
                Some(_) => self.unregister_netdevice(id),
            }
        }
        for (observer, id) in state.known_as {
            if let Some(observer) = self.namespaces.state_mut(observer) {
                observer.netns_ids.remove(id);
            }
        }
        for peer in state.netns_ids.into_values() {
            if let Some(peer) = self.namespaces.state_mut(peer) {
                peer.known_as.remove(&ns);
            }
        }
    }

    /// Under its name, else as `dev<ifindex>`, else as the first free `dev<n>`; altnames that are taken are dropped.
    fn return_to_init_net(&mut self, id: DevId) {
        let init = self.init_ns();
        let dev = &self.net.devices[id];
        let fallback = format!("dev{}", dev.ifindex).into_bytes();
        let fallback = if self.find_dev(init, &fallback).is_some() { b"dev%d".to_vec() } else { fallback };
        let kept = dev.altnames.iter().filter(|alt| self.find_dev(init, alt).is_none()).cloned().collect();
        self.net.devices[id].altnames = kept;
        self.dev_change_net_namespace(id, init, Some(&fallback), None)
            .expect("hardware can be moved and there is a name for it");
    }
}
