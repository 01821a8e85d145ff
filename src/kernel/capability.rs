//! Capability sets and names (capabilities(7), `include/uapi/linux/capability.h`).

use std::fmt;

/// A capability by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cap(u8);

macro_rules! capabilities {
    ($($name:ident = $number:literal),* $(,)?) => {
        impl Cap {
            $(pub const $name: Cap = Cap($number);)*
        }
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        const FULL_NAMES: &[&str] = &[$(concat!("CAP_", stringify!($name))),*];
    };
}

capabilities! {
    CHOWN = 0, DAC_OVERRIDE = 1, DAC_READ_SEARCH = 2, FOWNER = 3, FSETID = 4, KILL = 5, SETGID = 6, SETUID = 7,
    SETPCAP = 8, LINUX_IMMUTABLE = 9, NET_BIND_SERVICE = 10, NET_BROADCAST = 11, NET_ADMIN = 12, NET_RAW = 13,
    IPC_LOCK = 14, IPC_OWNER = 15, SYS_MODULE = 16, SYS_RAWIO = 17, SYS_CHROOT = 18, SYS_PTRACE = 19, SYS_PACCT = 20,
    SYS_ADMIN = 21, SYS_BOOT = 22, SYS_NICE = 23, SYS_RESOURCE = 24, SYS_TIME = 25, SYS_TTY_CONFIG = 26, MKNOD = 27,
    LEASE = 28, AUDIT_WRITE = 29, AUDIT_CONTROL = 30, SETFCAP = 31, MAC_OVERRIDE = 32, MAC_ADMIN = 33, SYSLOG = 34,
    WAKE_ALARM = 35, BLOCK_SUSPEND = 36, AUDIT_READ = 37, PERFMON = 38, BPF = 39, CHECKPOINT_RESTORE = 40,
}

/// The highest capability (`/proc/sys/kernel/cap_last_cap`).
pub const CAP_LAST_CAP: u8 = 40;

impl Cap {
    /// The capability with this number, if the kernel knows it.
    pub fn from_number(number: u64) -> Option<Cap> {
        u8::try_from(number).ok().filter(|&n| n <= CAP_LAST_CAP).map(Cap)
    }

    /// `cap_sys_admin` or `CAP_SYS_ADMIN`.
    pub fn from_name(name: &str) -> Option<Cap> {
        let bare = name.get(..4).filter(|p| p.eq_ignore_ascii_case("cap_")).map(|_| &name[4..])?;
        NAMES.iter().position(|n| n.eq_ignore_ascii_case(bare)).and_then(|n| Cap::from_number(n as u64))
    }

    /// `CAP_SYS_ADMIN`.
    pub fn name(self) -> &'static str {
        FULL_NAMES[usize::from(self.0)]
    }

    pub fn number(self) -> u8 {
        self.0
    }
}

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CapSet(u64);

impl CapSet {
    pub const EMPTY: CapSet = CapSet(0);
    pub const FULL: CapSet = CapSet((1 << (CAP_LAST_CAP + 1)) - 1);
    /// What follows fsuid (`CAP_FS_SET` in `include/linux/capability.h`).
    pub const FS: CapSet = CapSet(
        1 << Cap::CHOWN.0
            | 1 << Cap::MKNOD.0
            | 1 << Cap::DAC_OVERRIDE.0
            | 1 << Cap::DAC_READ_SEARCH.0
            | 1 << Cap::FOWNER.0
            | 1 << Cap::FSETID.0
            | 1 << Cap::LINUX_IMMUTABLE.0
            | 1 << Cap::MAC_OVERRIDE.0,
    );

    /// The known capabilities among `bits`; others are masked off, as capset(2) does.
    pub fn from_bits_truncate(bits: u64) -> CapSet {
        CapSet(bits) & CapSet::FULL
    }
    pub fn bits(self) -> u64 {
        self.0
    }
    pub fn has(self, cap: Cap) -> bool {
        self.0 & 1 << cap.0 != 0
    }
    pub const fn with(self, cap: Cap) -> CapSet {
        CapSet(self.0 | 1 << cap.0)
    }
    pub fn without(self, cap: Cap) -> CapSet {
        CapSet(self.0 & !(1 << cap.0))
    }
    pub fn is_subset(self, of: CapSet) -> bool {
        self.0 & !of.0 == 0
    }
    /// The lowest capability in this set that is not in `limit`.
    pub fn first_beyond(self, limit: CapSet) -> Option<Cap> {
        Cap::from_number(u64::from((self.0 & !limit.0).trailing_zeros()))
    }
}

impl std::ops::BitAnd for CapSet {
    type Output = CapSet;
    fn bitand(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }
}
impl std::ops::BitOr for CapSet {
    type Output = CapSet;
    fn bitor(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }
}
impl std::ops::Not for CapSet {
    type Output = CapSet;
    fn not(self) -> CapSet {
        CapSet(!self.0) & CapSet::FULL
    }
}
impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        assert_eq!(Cap::from_name("cap_sys_admin"), Some(Cap::SYS_ADMIN));
        assert_eq!(Cap::from_name("CAP_CHECKPOINT_RESTORE"), Cap::from_number(40));
        assert_eq!(Cap::from_number(41), None);
        assert_eq!(Cap::SYS_ADMIN.name(), "CAP_SYS_ADMIN");
        assert_eq!(CapSet::FULL.bits(), 0x1ff_ffff_ffff);
        assert_eq!((CapSet::FULL & !CapSet::FS).bits(), 0x1fe_f7ff_fde0);
    }
}
