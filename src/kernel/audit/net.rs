//! Recounts what network namespaces hold.

use std::collections::BTreeSet;

use super::differ;
use crate::kernel::Kernel;
use crate::kernel::file::{File, FileKind};
use crate::kernel::net::bound::Bound;
use crate::kernel::net::name::DevNames;
use crate::kernel::net::{DevId, SocketId};
use crate::kernel::ns::NetNamespace;

/// Devices are listed where they are, under names nobody else has there; pairs and bridges agree with both sides; every
/// socket has a file.
pub(super) fn audit(k: &Kernel, wrong: &mut Vec<String>) {
    let mut devices: BTreeSet<DevId> = BTreeSet::new();
    let mut sockets: BTreeSet<SocketId> = BTreeSet::new();
    for (id, net) in k.namespaces.of_kind::<NetNamespace>() {
        let mut names = DevNames::default();
        for (ifindex, dev_id) in &net.devices {
            devices.insert(*dev_id);
            let dev = &k.net.devices[*dev_id];
            differ(wrong, (k.ns_arg(id), "device", dev_id), (dev.net, &dev.ifindex), (id, ifindex));
            for name in dev.names() {
                differ(wrong, (dev_id, "name", name), net.names.get(name), Some(*dev_id));
                names.insert(name, *dev_id);
            }
            if let Some(peer) = dev.peer() {
                differ(wrong, (dev_id, "peer of its peer"), k.net.devices[peer].peer(), Some(*dev_id));
            }
            if let Some(master) = dev.master {
                differ(wrong, (dev_id, "namespace of its bridge"), k.net.devices[master].net, id);
            }
        }
        differ(wrong, (k.ns_arg(id), "names"), &net.names, &names);
        let known: BTreeSet<_> = net.netns_ids.iter().map(|(nsid, peer)| (peer, nsid)).collect();
        let others = k.namespaces.of_kind::<NetNamespace>();
        let knowing = others.filter_map(|(peer, other)| other.known_as.get(&id).map(|&nsid| (peer, nsid)));
        differ(wrong, (k.ns_arg(id), "ids of other namespaces"), known, knowing.collect());
        let mut bound = Bound::default();
        for &socket_id in &net.sockets {
            let socket = &k.net.sockets[socket_id];
            differ(wrong, (socket_id, "namespace"), socket.net.id(), id);
            sockets.insert(socket_id);
            if let Some(local) = &socket.local {
                bound.insert(socket.family, local.taken(), socket_id);
            }
        }
        differ(wrong, (k.ns_arg(id), "bound sockets"), &net.bound, &bound);
    }
    differ(wrong, "ports of bridges", &k.net.ports, &k.recount_ports());
    differ(wrong, "devices", k.net.devices.iter().map(|(id, _)| id).collect(), devices);
    differ(wrong, "listed sockets", k.net.sockets.iter().map(|(id, _)| id).collect(), sockets.clone());
    for (id, socket) in k.net.sockets.iter() {
        let clients = k.net.sockets.iter().filter(|(_, client)| client.server == Some(id)).map(|(client, _)| client);
        differ(wrong, (id, "clients"), &socket.clients, &clients.collect());
    }
    let socket = |file: &File| if let FileKind::Socket(id) = file.kind { Some(id) } else { None };
    let files = k.open_files.iter().filter_map(|(_, file)| socket(file));
    differ(wrong, "sockets with a file", files.collect(), sockets);
}
