//! What `/proc/<pid>/mountinfo` says of mounted labs. Reading it asks no file system that is mounted.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FUSE_SUPER_MAGIC, statfs};

use super::error::MountError;
use crate::tree::unescape;

/// What mountinfo calls the file system.
pub(super) const FS_TYPE: &str = "fuse.nslab";
/// The table of this process.
pub(super) const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Where the host's procfs is.
pub(super) const PROC: &str = "/proc";

/// All that is mounted here.
///
/// # Errors
/// There is no `/proc`, or a lab lies over it.
pub(super) fn mounts() -> Result<Vec<Mount>, MountError> {
    if is_proc_covered() {
        return Err(MountError::Covered);
    }
    read(Path::new(MOUNTINFO)).map_err(|error| MountError::Io(MOUNTINFO.into(), error))
}

/// Whether what is on `/proc` is a lab, by the type of file system, which only FUSE could have there.
pub(super) fn is_proc_covered() -> bool {
    statfs(PROC).is_ok_and(|found| found.filesystem_type() == FUSE_SUPER_MAGIC)
}

/// A line: something that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The device as the host's kernel numbers it; connections of FUSE have the same number.
    pub(super) device: u32,
    /// What of the file system is mounted: `/` is all of it.
    pub(super) root: PathBuf,
    /// The directory it is mounted on.
    pub(super) place: PathBuf,
    fs_type: Vec<u8>,
    /// The user who mounted it, where the file system says so.
    pub(super) owner: Option<u32>,
}

impl Mount {
    /// Whether this is a lab, or a part of one.
    pub(super) fn is_lab(&self) -> bool {
        self.fs_type == FS_TYPE.as_bytes()
    }

    /// Reads `id parent major:minor root place options… - type source options` (proc_pid_mountinfo(5)).
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|&byte| byte == b' ');
        let device = device_number(std::str::from_utf8(fields.nth(2)?).ok()?)?;
        let mut path = || Some(PathBuf::from(OsString::from_vec(unescape(fields.next()?))));
        let (root, place) = (path()?, path()?);
        let mut of_fs = fields.skip_while(|field| *field != b"-").skip(1);
        let fs_type = of_fs.next()?.to_vec();
        let options = String::from_utf8_lossy(of_fs.nth(1)?);
        let owner = options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
        Some(Mount { device, root, place, fs_type, owner })
    }
}

/// The number of the device `major:minor`, as `MKDEV` makes it.
fn device_number(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    device_of(major.parse().ok()?, minor.parse().ok()?)
}

/// `MKDEV(major, minor)`.
pub(super) fn device_of(major: u32, minor: u32) -> Option<u32> {
    Some(major.checked_mul(1 << 20)? | minor)
}

/// All that is mounted in the mount namespace of the process whose table this is, in the order of mounting.
///
/// # Errors
/// The table cannot be read.
pub(super) fn read(table: &Path) -> io::Result<Vec<Mount>> {
    Ok(fs::read(table)?.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect())
}

/// The last thing mounted on `place`.
pub(super) fn top<'a>(mounts: &'a [Mount], place: &Path) -> Option<&'a Mount> {
    mounts.iter().rfind(|mount| mount.place == place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_device_places_type_and_owner() {
        let line =
            b"36 35 98:3 /proc /mnt/a\\040b rw,noatime master:1 - fuse.nslab nslab rw,user_id=7,group_id=8,allow_other";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.device, mount.owner), (98 << 20 | 3, Some(7)));
        assert_eq!((mount.root.to_str(), mount.place.to_str()), (Some("/proc"), Some("/mnt/a b")));
        assert!(mount.is_lab());
        assert_eq!(Mount::parse(b""), None);
    }

    #[test]
    fn the_last_mount_on_a_place_is_on_top() {
        let line = |device: u32| Mount::parse(format!("1 0 0:{device} / /m rw - tmpfs t rw").as_bytes()).unwrap();
        let mounts = [line(5), line(6)];
        assert_eq!(top(&mounts, Path::new("/m")), Some(&mounts[1]));
        assert_eq!(top(&mounts, Path::new("/n")), None);
    }
}
