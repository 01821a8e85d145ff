//! Writes to sysctls that hold one integer (`do_proc_dointvec`, `proc_doulongvec_minmax` in `kernel/sysctl.c`).

use std::ops::RangeInclusive;

use super::write::{Writing, Written};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::ipc::IPC_MNI;
use crate::kernel::net::conf::{ConfOf, FORWARDING};
use crate::kernel::ns::NsType;
use crate::kernel::ns::ipc::{IpcSysctl, SysctlPlace};
use crate::kernel::pid::{PID_MAX_LIMIT, PID_MAX_MIN};
use crate::kernel::scan::is_space;
use crate::kernel::ucounts::UCOUNT_MAX;
use crate::kernel::{IpcNsId, Kernel, NetNsId, PidNsId, UserNsId};
use crate::tree::NetSysctl;

/// Smallest `rmem_max`, bytes (`SOCK_MIN_RCVBUF`).
const RMEM_MIN: i32 = 2304;
/// Longest number, bytes (`TMPBUFLEN - 1`, exclusive).
const NUMBER_LEN_LIMIT: usize = 21;

/// `pid_max` of a pid namespace. Numbers beyond it stay in use.
///
/// # Errors
/// EINVAL: not an integer from 301 to 4194304.
pub fn write_pid_max(k: &mut Kernel, pid_ns: PidNsId, w: &Writing) -> Result<Written> {
    let (value, written) = integer(w, PID_MAX_MIN..=PID_MAX_LIMIT)?;
    if let Some(value) = value {
        k.namespaces[pid_ns].pid_max = value;
    }
    Ok(written)
}

/// `ns_last_pid`: the next number in the writer's pid namespace will be one more, if free (`pid_ns_ctl_handler`).
///
/// # Errors
/// EPERM: neither CAP_CHECKPOINT_RESTORE nor CAP_SYS_ADMIN over the owner of the namespace; EINVAL: not an integer from
/// 0 to its pid_max.
pub fn write_ns_last_pid(k: &mut Kernel, w: &Writing) -> Result<Written> {
    let pid_ns = k.task_active_pid_ns(w.task);
    let owner = k.owner_of(pid_ns);
    if !k.checkpoint_restore_capable(w.task, owner) {
        bail!(
            EPERM,
            "CAP_CHECKPOINT_RESTORE and CAP_SYS_ADMIN missing in {}, owner of {}",
            k.ns_arg(owner),
            k.ns_arg(pid_ns)
        );
    }
    let pid_ns = &mut k.namespaces[pid_ns];
    let (value, written) = integer(w, 0..=pid_ns.pid_max)?;
    if let Some(value) = value {
        pid_ns.idr.cursor = value + 1;
    }
    Ok(written)
}

/// `max_<kind>_namespaces` of a user namespace.
///
/// # Errors
/// EINVAL: not an integer from 0 to 2147483647.
pub fn write_max_namespaces(k: &mut Kernel, user_ns: UserNsId, ns_type: NsType, w: &Writing) -> Result<Written> {
    let (value, written) = unsigned_long(w, 0..=UCOUNT_MAX)?;
    if let Some(value) = value {
        k.namespaces[user_ns].ucount_max[ns_type.ops().ucount] = value;
    }
    Ok(written)
}

/// A setting of a network namespace.
///
/// # Errors
/// ENOENT: the device is gone or elsewhere. EPERM: forwarding, without CAP_NET_ADMIN over the owner of the namespace (`devinet_sysctl_forward`); EINVAL: not an
/// integer, or one out of range.
pub fn write_net(k: &mut Kernel, net: NetNsId, which: NetSysctl, w: &Writing) -> Result<Written> {
    if let NetSysctl::Conf(ConfOf::Dev(dev), _) = which
        && k.net.devices.get(dev).is_none_or(|dev| dev.net != net)
    {
        bail!(ENOENT, "the device is no longer in {}", k.ns_arg(net));
    }
    let owner = k.owner_of(net);
    let forwards = matches!(which, NetSysctl::IpForward | NetSysctl::Conf(_, FORWARDING));
    if forwards && !k.ns_capable(w.task, owner, Cap::NET_ADMIN) {
        bail!(EPERM, "CAP_NET_ADMIN missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(net));
    }
    let range = match which {
        NetSysctl::Somaxconn => 0..=i32::MAX,
        NetSysctl::RmemMax => RMEM_MIN..=i32::MAX,
        NetSysctl::IpForward | NetSysctl::Conf(..) => i32::MIN..=i32::MAX,
    };
    let (value, written) = integer(w, range)?;
    if let Some(value) = value {
        match which {
            NetSysctl::Somaxconn => k.namespaces[net].somaxconn = value,
            NetSysctl::RmemMax => k.namespaces[net].rmem_max = value,
            NetSysctl::IpForward => k.set_conf(net, ConfOf::All, FORWARDING, value),
            NetSysctl::Conf(of, setting) => k.set_conf(net, of, setting, value),
        }
    }
    Ok(written)
}

/// `fs.mount-max`, one for the whole machine. Namespaces with more mounts keep them.
///
/// # Errors
/// EINVAL: not an integer from 1 to 2147483647.
pub fn write_mount_max(k: &mut Kernel, w: &Writing) -> Result<Written> {
    let (value, written) = integer(w, 1..=i32::MAX)?;
    if let Some(value) = value {
        k.vfs.mount_max = value.unsigned_abs();
    }
    Ok(written)
}

/// A sysctl of an IPC namespace. Objects beyond a lowered limit stay.
///
/// # Errors
/// EINVAL: not an integer in its range; of `sem` ERANGE too: SEMMNI out of range, the three before it being set.
pub fn write_ipc(k: &mut Kernel, ns: IpcNsId, sysctl: IpcSysctl, w: &Writing) -> Result<Written> {
    let written = match k.ipc_mut(ns).sysctl_mut(sysctl) {
        SysctlPlace::Int(int) => set(int, integer(w, sysctl.range())?),
        SysctlPlace::Long(long) => set(long, unsigned_long(w, 0..=u64::MAX)?),
        SysctlPlace::Vector(limits) => write_sem(limits, w)?,
        SysctlPlace::Nowhere => integer(w, sysctl.range())?.1,
    };
    if sysctl == IpcSysctl::ShmRmidForced && k.ipc(ns).shm_rmid_forced != 0 {
        k.shm_destroy_orphaned(ns);
    }
    Ok(written)
}

/// `sem`: up to four integers; what was read before an error is kept, but for the last (`proc_ipc_sem_dointvec`).
fn write_sem(limits: &mut [i32; 4], w: &Writing) -> Result<Written> {
    if w.is_void() {
        return Ok(Written::advancing(w.bytes.len()));
    }
    let semmni = limits[3];
    let outcome = read_vector(limits, w.bytes);
    if outcome.is_err() {
        limits[3] = semmni;
    } else if !(0..=IPC_MNI).contains(&limits[3]) {
        let asked = std::mem::replace(&mut limits[3], semmni);
        bail!(ERANGE, "SEMMNI {} is not from 0 to {}", asked, IPC_MNI);
    }
    outcome.map(Written::advancing)
}

/// Integers between white space into the first places, and the bytes taken (`do_proc_dointvec`).
fn read_vector(places: &mut [i32], text: &[u8]) -> Result<usize> {
    let mut taken = 0;
    for place in places {
        let rest = &text[taken..];
        if taken > 0 && rest.iter().all(|&b| is_space(b)) {
            break;
        }
        let number = parse_integer(rest).and_then(|(number, len)| Some((i32::try_from(number).ok()?, len)));
        let Some((number, len)) = number else { bail!(EINVAL, "not an integer of 32 bits") };
        *place = number;
        taken += len;
    }
    Ok(taken)
}

fn set<T>(place: &mut T, (value, written): (Option<T>, Written)) -> Written {
    if let Some(value) = value {
        *place = value;
    }
    written
}

/// As [`integer`], of an unsigned long: it has no sign, and be it that of -0 (`proc_doulongvec_minmax`).
fn unsigned_long<T>(w: &Writing, range: RangeInclusive<T>) -> Result<(Option<T>, Written)>
where
    T: TryFrom<i128> + Into<i128> + Copy,
{
    if !w.is_void() && w.bytes.iter().find(|&&byte| !is_space(byte)) == Some(&b'-') {
        bail!(EINVAL, "a number with a sign");
    }
    integer(w, range)
}

/// The integer of a write, and the bytes taken. Nothing written, or a write that does not start at 0, sets nothing
/// (`sysctl_writes_strict`).
///
/// # Errors
/// EINVAL: no integer, or one out of range.
fn integer<T>(w: &Writing, range: RangeInclusive<T>) -> Result<(Option<T>, Written)>
where
    T: TryFrom<i128> + Into<i128> + Copy,
{
    if w.is_void() {
        return Ok((None, Written::advancing(w.bytes.len())));
    }
    let Some((number, taken)) = parse_integer(w.bytes) else {
        bail!(EINVAL, "not an integer");
    };
    let (min, max): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
    match T::try_from(number) {
        Ok(value) if (min..=max).contains(&number) => Ok((Some(value), Written::advancing(taken))),
        _ => bail!(EINVAL, "{} is not from {} to {}", number.to_string(), min.to_string(), max.to_string()),
    }
}

/// An integer between white space, decimal, octal (`0…`) or hexadecimal (`0x…`), and the bytes with the white space
/// behind it (`proc_get_long`). What follows is not looked at.
fn parse_integer(text: &[u8]) -> Option<(i128, usize)> {
    let spaces = |text: &[u8]| text.iter().take_while(|&&b| is_space(b)).count();
    let start = spaces(text);
    let (negative, unsigned) = match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (radix, prefix) = match unsigned {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, 2),
        [b'0', ..] => (8, 0),
        _ => (10, 0),
    };
    let digits = unsigned[prefix..].iter().take_while(|&&b| char::from(b).is_digit(radix)).count();
    let end = start + usize::from(negative) + prefix + digits;
    if digits == 0 || end - start >= NUMBER_LEN_LIMIT || !matches!(text.get(end), None | Some(b' ' | b'\t' | b'\n')) {
        return None;
    }
    let digits = std::str::from_utf8(&unsigned[prefix..prefix + digits]).ok()?;
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    Some((if negative { -magnitude } else { magnitude }, end + spaces(&text[end..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_in_three_radixes() {
        assert_eq!(parse_integer(b"  500\n"), Some((500, 6)));
        assert_eq!(parse_integer(b"0x200"), Some((512, 5)));
        assert_eq!(parse_integer(b"01000"), Some((512, 5)));
        assert_eq!(parse_integer(b"-400"), Some((-400, 4)));
    }

    #[test]
    fn what_follows_the_white_space_is_left_for_the_next_write() {
        assert_eq!(parse_integer(b"400 500"), Some((400, 4)));
        assert_eq!(parse_integer(b"400\n\n"), Some((400, 5)));
    }

    #[test]
    fn other_text_is_no_integer() {
        for text in ["", " ", "-", "+500", "500x", "500,600", "08", "0x", "4194304\0x", "99999999999999999999999"] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }
}
