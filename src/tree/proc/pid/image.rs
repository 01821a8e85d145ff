//! The memory every simulated task has: that of a small sleeping program.

/// Sizes in KiB.
pub(super) const VM_SIZE: u64 = 2920;
pub(super) const VM_RSS: u64 = 1744;
pub(super) const RSS_ANON: u64 = 112;
pub(super) const RSS_FILE: u64 = 1632;
pub(super) const VM_DATA: u64 = 224;
pub(super) const VM_STACK: u64 = 132;
pub(super) const VM_EXE: u64 = 20;
pub(super) const VM_LIB: u64 = 1528;
pub(super) const VM_PTE: u64 = 48;

/// KiB of a page.
pub(super) const PAGE: u64 = 4;

/// Addresses.
pub(super) const START_CODE: u64 = 0x5555_5555_4000;
pub(super) const END_CODE: u64 = START_CODE + VM_EXE * 1024;
pub(super) const END_BRK: u64 = START_BRK + (VM_DATA * 1024 - (END_DATA - START_DATA));
/// Above all that mmap(2) chooses.
pub(super) const START_LIB: u64 = 0x7fff_f800_0000;
pub(super) const START_STACK: u64 = 0x7fff_ffff_e000;
pub(super) const START_DATA: u64 = 0x5555_5555_b000;
pub(super) const END_DATA: u64 = 0x5555_5555_c000;
pub(super) const START_BRK: u64 = 0x5555_5555_d000;
pub(super) const ARG_START: u64 = 0x7fff_ffff_e800;
pub(super) const ARG_END: u64 = 0x7fff_ffff_e900;
pub(super) const ENV_END: u64 = 0x7fff_ffff_efe0;
