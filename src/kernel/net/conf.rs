//! `net.ipv4.conf`: settings of devices, of all devices and for new ones (`net/ipv4/devinet.c`).

use super::DevId;
use super::dev::DevKind;
use crate::kernel::{Kernel, NetNsId};

/// The settings by name, with the value a kernel boots with, in Linux's order of listing.
pub const SETTINGS: [(&str, i32); 33] = [
    ("accept_local", 0),
    ("accept_redirects", 1),
    ("accept_source_route", 1),
    ("arp_accept", 0),
    ("arp_announce", 0),
    ("arp_evict_nocarrier", 1),
    ("arp_filter", 0),
    ("arp_ignore", 0),
    ("arp_notify", 0),
    ("bc_forwarding", 0),
    ("bootp_relay", 0),
    ("disable_policy", 0),
    ("disable_xfrm", 0),
    ("drop_gratuitous_arp", 0),
    ("drop_unicast_in_l2_multicast", 0),
    ("force_igmp_version", 0),
    ("forwarding", 0),
    ("igmpv2_unsolicited_report_interval", 10000),
    ("igmpv3_unsolicited_report_interval", 1000),
    ("ignore_routes_with_linkdown", 0),
    ("log_martians", 0),
    ("mc_forwarding", 0),
    ("medium_id", 0),
    ("promote_secondaries", 0),
    ("proxy_arp", 0),
    ("proxy_arp_pvlan", 0),
    ("route_localnet", 0),
    ("rp_filter", 0),
    ("secure_redirects", 1),
    ("send_redirects", 1),
    ("shared_media", 1),
    ("src_valid_mark", 0),
    ("tag", 0),
];

const ACCEPT_REDIRECTS: usize = 1;
const ACCEPT_SOURCE_ROUTE: usize = 2;
const DISABLE_POLICY: usize = 11;
const DISABLE_XFRM: usize = 12;
/// Packets are passed on; of all devices: `net.ipv4.ip_forward`.
pub const FORWARDING: usize = 16;
/// Shown only.
pub const MC_FORWARDING: usize = 21;
/// Secondary addresses outlive the primary one.
pub const PROMOTE_SECONDARIES: usize = 23;

/// The values of [`SETTINGS`].
pub type Values = [i32; SETTINGS.len()];

/// Bits of [`DevConf::is_set`], all of them.
pub const ALL_SET: u64 = u64::MAX;

/// The settings of a device (`struct ipv4_devconf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevConf {
    pub values: Values,
    /// Bit n: setting n was set for this device and no longer follows the default.
    pub is_set: u64,
}

/// The settings of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConf {
    pub all: Values,
    pub default: Values,
}

/// Whose settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ConfOf {
    All,
    Default,
    Dev(DevId),
}

impl Default for NetConf {
    fn default() -> NetConf {
        let default = SETTINGS.map(|(_, value)| value);
        let mut all = default;
        all[ACCEPT_SOURCE_ROUTE] = 0;
        NetConf { all, default }
    }
}

impl NetConf {
    pub(crate) fn of_new_device(&self, kind: DevKind) -> DevConf {
        let mut conf = DevConf { values: self.default, is_set: 0 };
        if kind == DevKind::Loopback {
            for setting in [DISABLE_POLICY, DISABLE_XFRM] {
                conf.values[setting] = 1;
                conf.is_set |= 1 << setting;
            }
        }
        conf
    }
}

impl Kernel {
    /// Settings of a namespace, or of a device in it.
    pub fn conf_values(&self, net: NetNsId, of: ConfOf) -> &Values {
        match of {
            ConfOf::All => &self.namespaces[net].conf.all,
            ConfOf::Default => &self.namespaces[net].conf.default,
            ConfOf::Dev(dev) => &self.net.devices[dev].conf.values,
        }
    }

    /// Changes a setting; a default reaches all devices that have no value of their own (`devinet_conf_proc`).
    pub(crate) fn set_conf(&mut self, net: NetNsId, of: ConfOf, setting: usize, value: i32) {
        match of {
            ConfOf::All if setting == FORWARDING => self.set_forwarding(net, value),
            ConfOf::All => self.namespaces[net].conf.all[setting] = value,
            ConfOf::Default => {
                self.namespaces[net].conf.default[setting] = value;
                if setting != FORWARDING {
                    self.set_devices(net, setting, value, |conf| conf.is_set & 1 << setting == 0);
                }
            }
            ConfOf::Dev(dev) => {
                let conf = &mut self.net.devices[dev].conf;
                conf.values[setting] = value;
                conf.is_set |= 1 << setting;
            }
        }
    }

    /// `ip_forward`: of all devices there are and will be; redirects are accepted by hosts only
    /// (`inet_forward_change`).
    fn set_forwarding(&mut self, net: NetNsId, value: i32) {
        let conf = &mut self.namespaces[net].conf;
        conf.all[FORWARDING] = value;
        conf.all[ACCEPT_REDIRECTS] = i32::from(value == 0);
        conf.default[FORWARDING] = value;
        self.set_devices(net, FORWARDING, value, |_| true);
    }

    fn set_devices(&mut self, net: NetNsId, setting: usize, value: i32, follows: impl Fn(&DevConf) -> bool) {
        let devices: Vec<DevId> =
            self.devices_of(net).filter(|(_, dev)| follows(&dev.conf)).map(|(id, _)| id).collect();
        for dev in devices {
            self.net.devices[dev].conf.values[setting] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_used_by_number_have_their_names() {
        let numbers = [ACCEPT_REDIRECTS, ACCEPT_SOURCE_ROUTE, DISABLE_POLICY, DISABLE_XFRM, FORWARDING, MC_FORWARDING];
        let names = [
            "accept_redirects",
            "accept_source_route",
            "disable_policy",
            "disable_xfrm",
            "forwarding",
            "mc_forwarding",
        ];
        assert_eq!(numbers.map(|number| SETTINGS[number].0), names);
        assert_eq!(SETTINGS[PROMOTE_SECONDARIES].0, "promote_secondaries");
    }
}
