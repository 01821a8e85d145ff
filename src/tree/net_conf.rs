//! `proc/sys/net/ipv4/conf`: a directory for the settings of all devices, for those of new ones and for each device.

use super::look::Look;
use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::net::conf::{ConfOf, MC_FORWARDING, SETTINGS};
use crate::kernel::node::Place;
use crate::tree::fixed::index_u8;

/// The directories, of the devices in the reader's network namespace.
fn directories(look: &Look<'_>) -> Vec<(String, ConfOf)> {
    let devices = look.net_ns().into_iter().flat_map(|net| look.k.devices_of(net));
    let devices = devices.map(|(id, dev)| (String::from_utf8_lossy(&dev.name).into_owned(), ConfOf::Dev(id)));
    [("all".to_owned(), ConfOf::All), ("default".to_owned(), ConfOf::Default)].into_iter().chain(devices).collect()
}

pub(super) fn readdir(look: &Look<'_>) -> Vec<(String, Place)> {
    directories(look).into_iter().map(|(name, of)| (name, Place::NetConf(of, None))).collect()
}

pub(super) fn lookup(look: &Look<'_>, name: &[u8]) -> Option<Place> {
    readdir(look).into_iter().find(|(known, _)| known.as_bytes() == name).map(|(_, place)| place)
}

pub(super) fn settings(of: ConfOf) -> impl Iterator<Item = (String, Place)> {
    SETTINGS
        .iter()
        .enumerate()
        .map(move |(row, (name, _))| ((*name).to_owned(), Place::NetConf(of, Some(index_u8(row)))))
}

/// The path below the top of the lab.
pub(super) fn path(k: &Kernel, of: ConfOf, row: Option<u8>) -> String {
    let dir = match of {
        ConfOf::All => "all".to_owned(),
        ConfOf::Default => "default".to_owned(),
        ConfOf::Dev(dev) => {
            k.net.devices.get(dev).map_or(String::new(), |dev| String::from_utf8_lossy(&dev.name).into_owned())
        }
    };
    let name = row.map_or(String::new(), |row| format!("/{}", SETTINGS[usize::from(row)].0));
    format!("proc/sys/net/ipv4/conf/{dir}{name}")
}

pub(super) fn is_alive(k: &Kernel, of: ConfOf) -> bool {
    match of {
        ConfOf::All | ConfOf::Default => true,
        ConfOf::Dev(dev) => k.net.devices.contains(dev),
    }
}

pub(super) fn mode(row: Option<u8>) -> u16 {
    match row.map(usize::from) {
        None => 0o555,
        Some(MC_FORWARDING) => 0o444,
        Some(_) => 0o644,
    }
}

/// # Errors
/// ENOENT: the device is elsewhere. ESRCH: the reader is a zombie and in no network namespace.
pub(super) fn read(look: &Look<'_>, of: ConfOf, row: u8) -> Result<Vec<u8>> {
    let Some(net) = look.bound_to() else { bail!(ESRCH, "the reader is a zombie and in no network namespace") };
    if let ConfOf::Dev(dev) = of
        && look.k.net.devices[dev].net != net
    {
        bail!(ENOENT, "the device is no longer in {}", look.k.ns_arg(net));
    }
    Ok(format!("{}\n", look.k.conf_values(net, of)[usize::from(row)]).into_bytes())
}
