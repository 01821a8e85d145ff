//! mount and umount2 (`fs/namespace.c`).

use super::{Asked, Decoded, Host};
use crate::abi::Answer;
use crate::errno::Result;
use crate::kernel::mount::flags::{MsFlags, UmountFlags};
use crate::syscall::Syscall;
use crate::syscall::mount::MountArgs;

/// Flags from before 2.4 may stand in the upper half (`MS_MGC_VAL`).
const MS_MGC_VAL: u32 = 0xc0ed_0000;
const MS_MGC_MSK: u32 = 0xffff_0000;

/// A page at most of what a file system is told (`copy_mount_options`); what follows the 0 byte is nobody's.
const DATA_MAX: usize = 4095;

pub(in crate::abi) fn mount(a: &Asked<'_>) -> Result<Decoded> {
    let [source, target, fs_type, flags, data, _] = a.args;
    let text = |addr: u64| if addr == 0 { Ok(None) } else { a.memory.path(addr).map(Some) };
    let fs_type = text(fs_type)?;
    let source = text(source)?;
    let data = if data == 0 { Vec::new() } else { a.memory.string(data, DATA_MAX)? };
    let mut flags = flags as u32;
    if flags & MS_MGC_MSK == MS_MGC_VAL {
        flags &= !MS_MGC_MSK;
    }
    let (target, flags) = (a.memory.path(target)?, MsFlags::from_bits_retain(flags));
    let call = Syscall::Mount(MountArgs { source, target, fs_type, flags, data });
    Ok(Decoded::Call { call, answer: Answer::Number, host: Host::Skip })
}

pub(in crate::abi) fn umount2(a: &Asked<'_>) -> Result<Decoded> {
    let flags = UmountFlags::from_bits_retain(a.uint(1));
    Decoded::call(Syscall::Umount { path: a.memory.path(a.args[0])?, flags })
}
