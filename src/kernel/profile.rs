//! What a lab is booted as where that is not the fixed state: the numbers and names of another machine. How it behaves stays
//! the same.

use std::collections::BTreeMap;

use super::capability::CAP_LAST_CAP;
use super::clock::CLOCK_MAX;
use super::ns::time::BOOT_TIME;
use super::ns::{NS_TABLE, NsType};
use super::pid::{PID_MAX_LIMIT, PID_MAX_MIN};
use super::table::LowestFree;
use super::{Kernel, NsId};
use crate::bail;
use crate::errno::Result;

/// What a file of lines says of the machine it describes; `None`: as ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// What uname(2) gives, to all tasks.
    pub release: Option<Vec<u8>>,
    pub version: Option<Vec<u8>>,
    pub machine: Option<Vec<u8>>,
    pub pid_max: Option<i32>,
    pub cap_last_cap: Option<u8>,
    /// How long it has been up, nanoseconds.
    pub uptime: Option<u64>,
    /// When it was booted, seconds since the epoch.
    pub btime: Option<u64>,
    /// The numbers of initial namespaces.
    pub inums: BTreeMap<NsType, u32>,
    /// The initial network namespace is without the card that a lab has.
    pub has_no_card: bool,
    /// The first number that a namespace which is made later may have.
    pub first_inum: Option<u32>,
}

/// Numbers of the machine that no call changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Seconds since the epoch.
    pub boot_time: u64,
    /// `/proc/sys/kernel/cap_last_cap`. What is checked is [`CAP_LAST_CAP`].
    pub cap_last_cap: u8,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine { boot_time: BOOT_TIME, cap_last_cap: CAP_LAST_CAP }
    }
}

/// Latest moment of boot, seconds since the epoch: clocks have 64 bits of nanoseconds.
const BOOT_TIME_MAX: u64 = (i64::MAX as u64 - CLOCK_MAX) / super::ns::time::NSEC_PER_SEC;
/// What leaves numbers for the namespaces of a lab.
const FIRST_INUM_MAX: u32 = 0xfff0_0000;
/// Numbers of capabilities are those of 64 bits.
const CAP_MAX: u8 = 63;

impl Kernel {
    /// Makes a kernel that has just booted that of another machine.
    ///
    /// # Errors
    /// EBUSY: something has been done already; EINVAL: a number is out of range; EEXIST: two namespaces would have one
    /// number.
    pub fn boot_as(&mut self, profile: &Profile) -> Result<()> {
        if self.tasks.len() > 1 || self.namespaces.len() > NS_TABLE.len() || self.clock.moved() > 0 {
            bail!(EBUSY, "the lab is in use already: boot comes before all else");
        }
        check_range("pid_max", profile.pid_max, PID_MAX_MIN, PID_MAX_LIMIT)?;
        check_range("cap_last_cap", profile.cap_last_cap, 0, CAP_MAX)?;
        check_range("uptime", profile.uptime, 0, CLOCK_MAX)?;
        check_range("btime", profile.btime, 0, BOOT_TIME_MAX)?;
        check_range("inum.first", profile.first_inum, 1, FIRST_INUM_MAX)?;
        let numbered = self.renumbered(&profile.inums)?;
        self.commit_profile(profile, numbered);
        Ok(())
    }

    /// The namespaces by their new numbers.
    fn renumbered(&self, inums: &BTreeMap<NsType, u32>) -> Result<BTreeMap<u32, NsId>> {
        let mut by_inum = BTreeMap::new();
        for ops in NS_TABLE {
            let ns = self.initial(ops.ns_type);
            let inum = inums.get(&ops.ns_type).copied().unwrap_or(self.namespaces[ns].common.inum);
            if inum == 0 {
                bail!(EINVAL, "the initial {} namespace has a number from 1 on", ops.name);
            }
            if let Some(other) = by_inum.insert(inum, ns) {
                bail!(
                    EEXIST,
                    "{} is the number of two initial namespaces, {} and {}",
                    inum,
                    self.ns_arg(other),
                    ops.name
                );
            }
        }
        Ok(by_inum)
    }

    fn commit_profile(&mut self, profile: &Profile, by_inum: BTreeMap<u32, NsId>) {
        for (&inum, &ns) in &by_inum {
            self.namespaces[ns].common.inum = inum;
        }
        self.ns_by_inum = by_inum;
        if let Some(first) = profile.first_inum {
            self.inums.pool = LowestFree::starting_at(first);
        }
        for &inum in self.ns_by_inum.keys() {
            self.inums.pool.take(inum);
        }
        self.name_machine([&profile.release, &profile.version, &profile.machine]);
        if let Some(pid_max) = profile.pid_max {
            self.namespaces[self.init.pid_ns].pid_max = pid_max;
        }
        self.machine.cap_last_cap = profile.cap_last_cap.unwrap_or(self.machine.cap_last_cap);
        self.machine.boot_time = profile.btime.unwrap_or(self.machine.boot_time);
        self.clock.advance(profile.uptime.unwrap_or(0));
        let card = self.find_dev(self.init_ns(), b"eth0").filter(|_| profile.has_no_card);
        if let Some(card) = card {
            self.unregister_netdevice(card);
        }
    }
}

fn check_range<T: PartialOrd + ToString>(what: &'static str, value: Option<T>, least: T, most: T) -> Result<()> {
    if value.is_some_and(|value| value < least || value > most) {
        bail!(EINVAL, "{} is from {} to {}", what, least.to_string(), most.to_string());
    }
    Ok(())
}
