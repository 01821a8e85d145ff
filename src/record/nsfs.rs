//! What ioctl(2) tells of a namespace file (ioctl_ns(2)).

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use rustix::ioctl::{Getter, Ioctl, IoctlOutput, Opcode, ioctl, opcode};

const NS_IOC: u8 = 0xb7;

/// A request whose result is a new descriptor.
struct Related(Opcode);

// SAFETY: these requests take no argument; what they return where they do not fail is a descriptor that nobody else has.
unsafe impl Ioctl for Related {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut rustix::ffi::c_void) -> rustix::io::Result<OwnedFd> {
        // SAFETY: as above.
        Ok(unsafe { OwnedFd::from_raw_fd(out) })
    }
}

/// The user namespace that owns a namespace (NS_GET_USERNS).
///
/// # Errors
/// EPERM: it is not below the caller's, or there is none.
pub(super) fn user_ns(ns: impl AsFd) -> io::Result<OwnedFd> {
    related(ns, 1)
}

/// The namespace that a pid or user namespace is nested in (NS_GET_PARENT).
///
/// # Errors
/// EPERM: it is not below the caller's, or there is none; EINVAL: the kind does not nest.
pub(super) fn parent(ns: impl AsFd) -> io::Result<OwnedFd> {
    related(ns, 2)
}

fn related(ns: impl AsFd, number: u8) -> io::Result<OwnedFd> {
    // SAFETY: the request is of nsfs, which knows it or refuses it.
    Ok(unsafe { ioctl(ns, Related(opcode::none(NS_IOC, number))) }?)
}

/// The user who made a user namespace, in ids of the caller's (NS_GET_OWNER_UID).
///
/// # Errors
/// EINVAL: it is no user namespace.
pub(super) fn owner_uid(ns: impl AsFd) -> io::Result<u32> {
    const NS_GET_OWNER_UID: Opcode = opcode::none(NS_IOC, 4);
    // SAFETY: the request writes a uid_t, which is a u32.
    Ok(unsafe { ioctl(ns, Getter::<NS_GET_OWNER_UID, u32>::new()) }?)
}
