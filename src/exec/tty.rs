//! ioctl(2) requests to terminals that name process groups and sessions.

pub const TIOCGPGRP: u32 = 0x540f;
pub const TIOCSPGRP: u32 = 0x5410;
pub const TIOCGSID: u32 = 0x5429;
