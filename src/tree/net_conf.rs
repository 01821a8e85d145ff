//! `proc/sys/net/ipv4/conf`: a directory for the settings of all devices, for those of new ones and for each device.

use super::family::Family;
use super::look::Look;
use super::proc::sys::Rule;
use super::{Attr, Cacheable, FileType, NetSysctl, Sysctl, WriteTarget};
use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::file::About;
use crate::kernel::net::conf::{ConfOf, MC_FORWARDING, SETTINGS};
use crate::kernel::node::Place;
use crate::kernel::ns::Slot;

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

/// The directory of a device or of all, or by row a setting in it.
pub(super) struct Conf {
    pub of: ConfOf,
    pub row: Option<u8>,
}

impl Conf {
    fn settings(&self) -> impl Iterator<Item = (&'static str, Place)> {
        let rows = (0..).zip(&SETTINGS).filter(|_| self.row.is_none());
        rows.map(|(row, (name, _))| (*name, Place::NetConf(self.of, Some(row))))
    }

    fn mode(&self) -> u16 {
        match self.row.map(usize::from) {
            None => 0o555,
            Some(MC_FORWARDING) => 0o444,
            Some(_) => 0o644,
        }
    }
}

impl Family for Conf {
    fn is_alive(&self, k: &Kernel) -> bool {
        match self.of {
            ConfOf::All | ConfOf::Default => true,
            ConfOf::Dev(dev) => k.net.devices.contains(dev),
        }
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(if self.row.is_some() { FileType::File } else { FileType::Directory })
    }

    fn path(&self, look: &Look<'_>) -> String {
        let dir = match self.of {
            ConfOf::All => "all".to_owned(),
            ConfOf::Default => "default".to_owned(),
            ConfOf::Dev(dev) => {
                let dev = look.k.net.devices.get(dev);
                dev.map_or(String::new(), |dev| String::from_utf8_lossy(&dev.name).into_owned())
            }
        };
        let name = self.row.map_or(String::new(), |row| format!("/{}", SETTINGS[usize::from(row)].0));
        format!("proc/sys/net/ipv4/conf/{dir}{name}")
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let owner = look.bound_to().map(|net| Rule::Net(net).owner(look.k));
        let (uid, gid) = owner.unwrap_or((plain.uid, plain.gid));
        Ok(Attr { mode: self.mode(), uid, gid, ..plain })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    fn about(&self, look: &Look<'_>) -> About {
        look.k.task_ns(look.reader, Slot::Net).map_or(About::Itself, About::Table)
    }

    fn write_target(&self) -> Option<WriteTarget> {
        let row = self.row.filter(|_| self.mode() & 0o222 != 0)?;
        Some(WriteTarget::Sysctl(Sysctl::Net(NetSysctl::Conf(self.of, usize::from(row)))))
    }

    fn lookup(&self, _: &Look<'_>, name: &[u8]) -> Option<Place> {
        self.settings().find(|(setting, _)| setting.as_bytes() == name).map(|(_, place)| place)
    }

    fn list(&self, _: &Look<'_>) -> Result<Vec<(String, Place)>> {
        Ok(self.settings().map(|(name, place)| (name.to_owned(), place)).collect())
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        match self.row {
            Some(row) => read(look, self.of, row),
            None => bail!(EINVAL, "this file cannot be read"),
        }
    }

    fn rule(&self, look: &Look<'_>) -> Option<Rule> {
        self.row.map(|_| look.bound_to().map_or(Rule::Root, Rule::Net))
    }
}

/// # Errors
/// ENOENT: the device is elsewhere. ESRCH: the reader is a zombie and in no network namespace.
fn read(look: &Look<'_>, of: ConfOf, row: u8) -> Result<Vec<u8>> {
    let Some(net) = look.bound_to() else { bail!(ESRCH, "the reader is a zombie and in no network namespace") };
    if let ConfOf::Dev(dev) = of
        && look.k.net.devices[dev].net != net
    {
        bail!(ENOENT, "the device is no longer in {}", look.k.ns_arg(net));
    }
    Ok(format!("{}\n", look.k.conf_values(net, of)[usize::from(row)]).into_bytes())
}
