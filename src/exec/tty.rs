//! ioctl(2) requests that name processes or namespaces.

/// Requests that stop for the supervisor: TIOCGPGRP, TIOCSPGRP and TIOCGSID of terminals; those of namespace files
/// (`NSIO`) and of pidfds that open or tell something; SIOCGSKNS.
pub const REQUESTS: &[u32] = &[
    TIOCGPGRP,
    TIOCSPGRP,
    TIOCGSID,
    0xb701,
    0xb702,
    0xb703,
    0xb704,
    0x8008_b705,
    0x8004_b706,
    0x8004_b707,
    0x8004_b708,
    0x8004_b709,
    0x8010_b70a,
    0x8010_b70b,
    0x8010_b70c,
    0x8008_b70d,
    0x894c,
    0xff01,
    0xff02,
    0xff03,
    0xff04,
    0xff05,
    0xff06,
    0xff07,
    0xff08,
    0xff09,
    0xff0a,
];

pub const TIOCGPGRP: u32 = 0x540f;
pub const TIOCSPGRP: u32 = 0x5410;
pub const TIOCGSID: u32 = 0x5429;
