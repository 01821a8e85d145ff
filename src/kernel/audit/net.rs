//! Recounts what network namespaces hold.

use std::collections::BTreeSet;

use super::differ;
use crate::kernel::Kernel;
use crate::kernel::file::{File, FileKind};
use crate::kernel::net::{DevId, SocketId};
use crate::kernel::ns::NetNamespace;

/// Devices are listed where they are, under names nobody else has there; pairs and bridges agree with both sides; every
/// socket has a file.
pub(super) fn audit(k: &Kernel, wrong: &mut Vec<String>) {
    let mut devices: BTreeSet<DevId> = BTreeSet::new();
    let mut sockets: BTreeSet<SocketId> = BTreeSet::new();
    for (id, net) in k.namespaces.of_kind::<NetNamespace>() {
        let mut names: BTreeSet<&[u8]> = BTreeSet::new();
        for (ifindex, dev_id) in &net.devices {
            devices.insert(*dev_id);
            let dev = &k.net.devices[*dev_id];
            differ(wrong, (k.ns_arg(id), "device", dev_id), (dev.net, &dev.ifindex), (id, ifindex));
            if !std::iter::once(&dev.name).chain(&dev.altnames).all(|name| names.insert(name)) {
                wrong.push(format!("a name of device {dev_id:?} is used twice"));
            }
            if let Some(peer) = dev.peer() {
                differ(wrong, (dev_id, "peer of its peer"), k.net.devices[peer].peer(), Some(*dev_id));
            }
            if let Some(master) = dev.master {
                differ(wrong, (dev_id, "namespace of its bridge"), k.net.devices[master].net, id);
            }
        }
        if !net.netns_ids.values().all(|peer| k.namespaces.contains(peer.any())) {
            wrong.push(format!("{} has an id for a freed namespace", k.ns_arg(id)));
        }
        for socket in &net.sockets {
            differ(wrong, (socket, "namespace"), k.net.sockets[*socket].net.id(), id);
            sockets.insert(*socket);
        }
    }
    differ(wrong, "devices", k.net.devices.iter().map(|(id, _)| id).collect(), devices);
    differ(wrong, "listed sockets", k.net.sockets.iter().map(|(id, _)| id).collect(), sockets.clone());
    let socket = |file: &File| if let FileKind::Socket(id) = file.kind { Some(id) } else { None };
    let files = k.open_files.iter().filter_map(|(_, file)| socket(file));
    differ(wrong, "sockets with a file", files.collect(), sockets);
}
