//! Ids, groups and capabilities (`kernel/sys.c`, `kernel/groups.c`, `kernel/capability.c`).

use super::{Asked, Decoded};
use crate::abi::Question;
use crate::abi::question::{Id, Ids};
use crate::bail;
use crate::errno::Result;
use crate::syscall::{PidArg, Syscall};

pub(in crate::abi) fn getuid(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::question(Question::Id(Id::Uid))
}

pub(in crate::abi) fn geteuid(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::question(Question::Id(Id::Euid))
}

pub(in crate::abi) fn getgid(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::question(Question::Id(Id::Gid))
}

pub(in crate::abi) fn getegid(_: &Asked<'_>) -> Result<Decoded> {
    Decoded::question(Question::Id(Id::Egid))
}

pub(in crate::abi) fn getresuid(a: &Asked<'_>) -> Result<Decoded> {
    Ok(Decoded::Question { question: Question::Ids(Ids::Users), to: [a.args[0], a.args[1], a.args[2]] })
}

pub(in crate::abi) fn getresgid(a: &Asked<'_>) -> Result<Decoded> {
    Ok(Decoded::Question { question: Question::Ids(Ids::Groups), to: [a.args[0], a.args[1], a.args[2]] })
}

pub(in crate::abi) fn getgroups(a: &Asked<'_>) -> Result<Decoded> {
    let Ok(room) = usize::try_from(a.int(0)) else { bail!(EINVAL, "{} groups", a.int(0)) };
    Ok(Decoded::Question { question: Question::Getgroups { room }, to: [a.args[1], 0, 0] })
}

pub(in crate::abi) fn setuid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setuid { uid: a.id(0) })
}

pub(in crate::abi) fn setgid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setgid { gid: a.id(0) })
}

pub(in crate::abi) fn setreuid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setreuid { ruid: a.id(0), euid: a.id(1) })
}

pub(in crate::abi) fn setregid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setregid { rgid: a.id(0), egid: a.id(1) })
}

pub(in crate::abi) fn setresuid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setresuid { ruid: a.id(0), euid: a.id(1), suid: a.id(2) })
}

pub(in crate::abi) fn setresgid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setresgid { rgid: a.id(0), egid: a.id(1), sgid: a.id(2) })
}

pub(in crate::abi) fn setfsuid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setfsuid { uid: a.id(0) })
}

pub(in crate::abi) fn setfsgid(a: &Asked<'_>) -> Result<Decoded> {
    Decoded::call(Syscall::Setfsgid { gid: a.id(0) })
}

pub(in crate::abi) fn setgroups(a: &Asked<'_>) -> Result<Decoded> {
    const NGROUPS_MAX: u32 = 65536;
    // The lab refuses more than these by their number, whatever they are.
    let given = a.uint(0).min(NGROUPS_MAX + 1) as usize;
    let bytes = match given {
        0 => Vec::new(),
        given if given > NGROUPS_MAX as usize => vec![0; 4 * given],
        given => a.memory.bytes(a.args[1], 4 * given)?,
    };
    let groups = bytes.chunks_exact(4).map(|gid| u32::from_ne_bytes([gid[0], gid[1], gid[2], gid[3]])).collect();
    Decoded::call(Syscall::Setgroups { groups })
}

/// How many 32-bit words a set has, by the version of the header (`cap_validate_magic`). An unknown one is told the newest,
/// which is written into the header.
const CAPABILITY_VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];

fn words(a: &Asked<'_>) -> Result<Option<usize>> {
    let version = a.memory.u32(a.args[0])?;
    Ok(CAPABILITY_VERSIONS.iter().find(|(known, _)| *known == version).map(|(_, words)| *words))
}

pub(in crate::abi) fn capget(a: &Asked<'_>) -> Result<Decoded> {
    let [header, data, ..] = a.args;
    let Some(words) = words(a)? else {
        return Ok(Decoded::Question { question: Question::CapVersion { is_probe: data == 0 }, to: [header, 0, 0] });
    };
    if data == 0 {
        return Decoded::question(Question::Nothing);
    }
    let pid = a.memory.u32(header.wrapping_add(4))? as i32;
    if pid < 0 {
        bail!(EINVAL, "pid {} is out of range", pid);
    }
    Ok(Decoded::Question { question: Question::Capget { pid: PidArg::Own(pid), words }, to: [data, 0, 0] })
}

pub(in crate::abi) fn capset(a: &Asked<'_>) -> Result<Decoded> {
    let [header, data, ..] = a.args;
    let Some(words) = words(a)? else {
        return Ok(Decoded::Question { question: Question::CapVersion { is_probe: false }, to: [header, 0, 0] });
    };
    let pid = PidArg::Own(a.memory.u32(header.wrapping_add(4))? as i32);
    let bytes = a.memory.bytes(data, 12 * words)?;
    let set = |index: usize| {
        let word =
            |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes);
        Some(u64::from(word(4 * index)) | u64::from(word(12 + 4 * index)) << 32)
    };
    Decoded::call(Syscall::Capset { pid, effective: set(0), permitted: set(1), inheritable: set(2) })
}
