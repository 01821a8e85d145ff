//! fork, vfork, clone and clone3 (`kernel/fork.c`).

use super::{Asked, Decoded};
use crate::bail;
use crate::errno::Result;
use crate::kernel::signal::{SIGCHLD, SIGNAL_MAX};
use crate::syscall::{CloneArgs, CloneFlags};

/// A new task: what the lab is asked, and what of it is of the program's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    pub call: CloneArgs,
    /// Where a pidfd goes, with CLONE_PIDFD.
    pub pidfd: u64,
    /// Where the child's number goes in the parent's memory, with CLONE_PARENT_SETTID.
    pub parent_tid: u64,
    /// Where it goes in the child's, with CLONE_CHILD_SETTID.
    pub child_tid: u64,
    /// `struct clone_args` as the program gave it to clone3, cut to what Linux 6.18 knows; `None`: an older call.
    pub clone3: Option<Vec<u8>>,
}

/// The lower byte of the flags of the old clone: the signal.
const CSIGNAL: u64 = 0xff;

impl Birth {
    fn plain(flags: CloneFlags) -> Birth {
        let call = CloneArgs { flags: flags.bits(), exit_signal: Some(SIGCHLD as u64), ..CloneArgs::default() };
        Birth { call, pidfd: 0, parent_tid: 0, child_tid: 0, clone3: None }
    }
}

pub(in crate::abi) fn fork(_: &Asked<'_>) -> Result<Decoded> {
    Ok(Decoded::Birth(Birth::plain(CloneFlags::empty())))
}

pub(in crate::abi) fn vfork(_: &Asked<'_>) -> Result<Decoded> {
    Ok(Decoded::Birth(Birth::plain(CloneFlags::VFORK | CloneFlags::VM)))
}

/// The old clone takes any exit signal. One that is none is never sent, as 0 is not, and a thread or a sibling has none of
/// its own. CLONE_DETACHED does nothing.
pub(in crate::abi) fn clone(a: &Asked<'_>) -> Result<Decoded> {
    let low = a.args[0] & u64::from(u32::MAX);
    let mut flags = CloneFlags::from_bits_retain(low & !CSIGNAL);
    let (parent_tid, child_tid) = (a.args[2], a.args[3]);
    if flags.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) {
        bail!(EINVAL, "the old clone has one address for CLONE_PIDFD and CLONE_PARENT_SETTID");
    }
    if flags.contains(CloneFlags::PIDFD | CloneFlags::DETACHED) {
        bail!(EINVAL, "CLONE_PIDFD and CLONE_DETACHED exclude each other");
    }
    flags.remove(CloneFlags::DETACHED);
    let is_sibling = flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT);
    let signal = Some(low & CSIGNAL).filter(|&signal| !is_sibling && signal <= SIGNAL_MAX as u64).unwrap_or(0);
    let call = CloneArgs { flags: flags.bits(), exit_signal: Some(signal), ..CloneArgs::default() };
    Ok(Decoded::Birth(Birth { call, pidfd: parent_tid, parent_tid, child_tid, clone3: None }))
}

/// Bytes of `struct clone_args` in its versions: 0, then with set_tid, then with the cgroup.
const SIZE_VER0: usize = 64;
const SIZE_VER2: usize = 88;
const PAGE_SIZE: u64 = 4096;
const MAX_PID_NS_LEVEL: u64 = 32;

/// `copy_clone_args_from_user`, then what `clone3_args_valid` and `kernel_clone` say about addresses.
pub(in crate::abi) fn clone3(a: &Asked<'_>) -> Result<Decoded> {
    let raw = struct_from_user(a)?;
    let given = raw.len();
    let field = |index: usize| {
        let bytes = raw.get(8 * index..8 * index + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    };
    let [flags, pidfd, child_tid, parent_tid, exit_signal] = [0, 1, 2, 3, 4].map(field);
    let [stack, stack_size, set_tid, set_tid_size, cgroup] = [5, 6, 8, 9, 10].map(field);
    if set_tid_size > MAX_PID_NS_LEVEL {
        bail!(EINVAL, "set_tid has {} numbers, at most {} are possible", set_tid_size, MAX_PID_NS_LEVEL);
    }
    if (set_tid == 0) != (set_tid_size == 0) {
        bail!(EINVAL, "set_tid and set_tid_size go together");
    }
    if exit_signal > SIGNAL_MAX as u64 {
        bail!(EINVAL, "exit_signal {} is no signal", exit_signal);
    }
    let into_cgroup = CloneFlags::from_bits_retain(flags).contains(CloneFlags::INTO_CGROUP);
    if into_cgroup && (cgroup > i32::MAX as u64 || given < SIZE_VER2) {
        bail!(EINVAL, "CLONE_INTO_CGROUP without a descriptor of a cgroup");
    }
    let set_tid = a.memory.bytes(set_tid, 4 * set_tid_size as usize)?;
    let set_tid = set_tid.chunks_exact(4).map(|nr| i64::from(i32::from_ne_bytes([nr[0], nr[1], nr[2], nr[3]])));
    let cgroup = into_cgroup.then_some(cgroup as i32);
    let call = CloneArgs { flags, set_tid: set_tid.collect(), exit_signal: Some(exit_signal), cgroup };
    check_stack(stack, stack_size)?;
    let both = CloneFlags::PIDFD | CloneFlags::PARENT_SETTID;
    if CloneFlags::from_bits_retain(flags).contains(both) && pidfd == parent_tid {
        bail!(EINVAL, "CLONE_PIDFD and CLONE_PARENT_SETTID have the same address");
    }
    Ok(Decoded::Birth(Birth { call, pidfd, parent_tid, child_tid, clone3: Some(raw) }))
}

/// `struct clone_args`, as much of it as was given and is known (`copy_struct_from_user`).
fn struct_from_user(a: &Asked<'_>) -> Result<Vec<u8>> {
    let [addr, size, ..] = a.args;
    if size > PAGE_SIZE {
        bail!(E2BIG, "struct clone_args of {} bytes is larger than a page", size);
    }
    let size = size as usize;
    if size < SIZE_VER0 {
        bail!(EINVAL, "struct clone_args of {} bytes, of which it has at least {}", size, SIZE_VER0);
    }
    let mut raw = a.memory.bytes(addr, size)?;
    if raw.iter().skip(SIZE_VER2).any(|&byte| byte != 0) {
        bail!(E2BIG, "struct clone_args has fields beyond {} bytes, which Linux 6.18 does not know", SIZE_VER2);
    }
    raw.truncate(SIZE_VER2);
    Ok(raw)
}

/// `clone3_stack_valid`: both or neither, within what a program can address.
fn check_stack(stack: u64, size: u64) -> Result<()> {
    const TASK_SIZE_MAX: u64 = (1 << 47) - PAGE_SIZE;
    if (stack == 0) != (size == 0) {
        bail!(EINVAL, "stack and stack_size go together");
    }
    if stack.checked_add(size).is_none_or(|end| end > TASK_SIZE_MAX) {
        bail!(EINVAL, "the stack is not in the program's memory");
    }
    Ok(())
}
