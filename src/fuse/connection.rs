//! Ending a connection to the host's kernel by its number, as fusectl does: all who wait for an answer get an error.

use std::fs::{self, File};
use std::io::{self, Write};

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

const FUSECTL: &str = "/sys/fs/fuse/connections";

/// Ends the connection of the lab with this device. Its number must not be that of another by now: a mount or an open
/// file of it keeps it.
///
/// # Errors
/// There is no fusectl and the caller may not mount it, or the connection is another user's.
pub(super) fn abort(device: u32) -> io::Result<()> {
    let file = format!("{device}/abort");
    match fs::write(format!("{FUSECTL}/{file}"), "1") {
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => abort_privately(&file),
        result => result,
    }
}

/// By a fusectl that nobody else sees, for root where none is mounted.
fn abort_privately(file: &str) -> io::Result<()> {
    let context = fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let top = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let file = openat(&top, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(file).write_all(b"1")
}
