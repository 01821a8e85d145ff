//! Mountpoints: what may be mounted on, what is mounted there, and taking it off again.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::mount::{MntFlags, umount2};

use crate::errno::{Errno, describe};

/// What mountinfo calls the file system.
pub(super) const FS_TYPE: &str = "fuse.nslab";
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// A directory with a lab that this process has mounted.
#[derive(Clone, Debug)]
pub struct Point {
    path: PathBuf,
    /// The number of the lab's device, `major:minor`: no other mount that is alive has it.
    device: Vec<u8>,
    mounts: Arc<File>,
}

impl Point {
    /// What has just been mounted on `path`; `mounts` was opened before that, as the lab may be covering `/proc` now.
    pub(super) fn of_new_mount(path: PathBuf, mounts: File) -> Result<Point, MountError> {
        match top_mount(&mounts, &path) {
            Ok(Some(mount)) => Ok(Point { path, device: mount.device, mounts: Arc::new(mounts) }),
            Ok(None) => Err(MountError::NotMounted(path)),
            Err(error) => Err(MountError::Io(MOUNTINFO.into(), error)),
        }
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lab out of everybody's reach, if it is still there; it ends when nobody uses it any more.
    ///
    /// # Errors
    /// The caller may not unmount it.
    pub fn detach(&self) -> Result<(), MountError> {
        match top_mount(&self.mounts, &self.path) {
            Ok(Some(mount)) if mount.device == self.device => detach(&self.path, MntFlags::MNT_DETACH),
            Ok(_) => Ok(()),
            Err(error) => Err(MountError::Io(MOUNTINFO.into(), error)),
        }
    }
}

/// Why a lab cannot be mounted or unmounted: one line that says what to do about it.
#[derive(Debug)]
pub enum MountError {
    /// `/dev/fuse` does not exist.
    NoDevice,
    /// `/dev/fuse` may not be opened.
    Device(io::Error),
    NoDirectory(PathBuf),
    NotADirectory(PathBuf),
    NotEmpty(PathBuf),
    /// A lab is mounted there already.
    Mounted(PathBuf),
    NotMounted(PathBuf),
    Busy(PathBuf),
    /// mount(2) is not allowed, and fusermount3 is missing.
    NoFusermount,
    /// Not even root or fusermount3 may use mount(2).
    NotCapable,
    /// What fusermount3 said.
    Fusermount(String),
    /// Anything else, with the path it was about.
    Io(PathBuf, io::Error),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::NoDevice => f.write_str(
                "/dev/fuse is missing: run `modprobe fuse`, or start the container with `--device /dev/fuse`",
            ),
            MountError::Device(error) => write!(f, "/dev/fuse: {}: run `chmod 666 /dev/fuse` as root", describe(error)),
            MountError::NoDirectory(dir) => write!(f, "{0} does not exist: run `mkdir -p {0}`", dir.display()),
            MountError::NotADirectory(dir) => {
                write!(f, "{} is not a directory: take an empty one, `mkdir` makes it", dir.display())
            }
            MountError::NotEmpty(dir) => {
                write!(
                    f,
                    "{} is not empty: take an empty directory, or cover this one with `-o nonempty`",
                    dir.display()
                )
            }
            MountError::Mounted(dir) => {
                write!(f, "a lab is mounted on {0} already: use it, or run `nslab umount {0}` first", dir.display())
            }
            MountError::NotMounted(dir) => write!(f, "no lab is mounted on {}", dir.display()),
            MountError::Busy(dir) => write!(
                f,
                "{0} is in use (a working directory or an open file): close it, or run `nslab umount --lazy {0}`",
                dir.display()
            ),
            MountError::NoFusermount => {
                f.write_str("mounting without privilege needs fusermount3: install the package fuse3, or run as root")
            }
            MountError::NotCapable => f.write_str(
                "CAP_SYS_ADMIN is missing: start the container with `--cap-add SYS_ADMIN --device /dev/fuse`, or put \
                 `unshare -Urm` before the command",
            ),
            MountError::Fusermount(message) => f.write_str(message),
            MountError::Io(path, error) if path == Path::new(MOUNTINFO) => {
                write!(f, "{MOUNTINFO}: {}: mount proc on /proc", describe(error))
            }
            MountError::Io(path, error) => {
                write!(f, "{}: {}: `nslab doctor` looks for the cause", path.display(), describe(error))
            }
        }
    }
}

impl std::error::Error for MountError {}

/// The absolute path of a directory to mount on. A dead lab that lies on it is taken off first.
///
/// # Errors
/// The directory is missing, none, in use by a live lab, or not empty where it has to be.
pub(super) fn prepare(dir: &Path, nonempty: bool) -> Result<PathBuf, MountError> {
    let point = resolve(dir)?;
    while is_lab(&point) {
        if !is_dead(&point) {
            return Err(MountError::Mounted(point));
        }
        detach(&point, MntFlags::MNT_DETACH)?;
    }
    let failed = |error| MountError::Io(point.clone(), error);
    if !fs::metadata(&point).map_err(failed)?.is_dir() {
        return Err(MountError::NotADirectory(point));
    }
    if !nonempty && fs::read_dir(&point).map_err(failed)?.next().is_some() {
        return Err(MountError::NotEmpty(point));
    }
    Ok(point)
}

/// Takes the lab off `dir`, dead or alive; at once also when it is in use if `lazy`: it then lives on for those who
/// use it, out of reach of all others.
///
/// # Errors
/// Nothing of ours is mounted there, it is in use, or the caller may not.
pub fn unmount(dir: &Path, lazy: Lazy) -> Result<(), MountError> {
    let point = resolve(dir).map_err(|error| match error {
        MountError::NoDirectory(dir) | MountError::NotADirectory(dir) => MountError::NotMounted(dir),
        error => error,
    })?;
    if !is_lab(&point) {
        return Err(MountError::NotMounted(point));
    }
    let flags = if lazy == Lazy::Yes || is_dead(&point) { MntFlags::MNT_DETACH } else { MntFlags::empty() };
    detach(&point, flags)
}

/// Whether a lab in use is taken away from its users' paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lazy {
    No,
    Yes,
}

/// umount2(2), or fusermount3 where that is not allowed.
pub(super) fn detach(point: &Path, flags: MntFlags) -> Result<(), MountError> {
    match umount2(point, flags | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::EBUSY) => Err(MountError::Busy(point.to_owned())),
        Err(Errno::EPERM) => fusermount_unmount(point, flags),
        Err(error) => Err(MountError::Io(point.to_owned(), error.into())),
    }
}

fn fusermount_unmount(point: &Path, flags: MntFlags) -> Result<(), MountError> {
    let mut command = Command::new(find_fusermount().ok_or(MountError::NoFusermount)?);
    command.arg("-u").args(flags.contains(MntFlags::MNT_DETACH).then_some("-z")).arg("--").arg(point);
    let output = command.stdin(Stdio::null()).output().map_err(|error| MountError::Io(point.to_owned(), error))?;
    let message = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false if message.contains("busy") => Err(MountError::Busy(point.to_owned())),
        false => Err(MountError::Fusermount(message.trim().to_owned())),
    }
}

/// The set-uid helper of the package fuse3, where there is one.
pub fn find_fusermount() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/bin", "/bin", "/sbin"].map(PathBuf::from));
    places.map(|dir| dir.join("fusermount3")).find(|file| file.is_file())
}

/// The absolute path of `dir`, also when a dead lab lies on it.
fn resolve(dir: &Path) -> Result<PathBuf, MountError> {
    let resolved = match fs::canonicalize(dir) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOTCONN as i32) => {
            let absolute = std::path::absolute(dir).map_err(|error| MountError::Io(dir.to_owned(), error))?;
            match (absolute.parent().map(fs::canonicalize), absolute.file_name()) {
                (Some(parent), Some(name)) => parent.map(|parent| parent.join(name)),
                _ => Err(error),
            }
        }
        resolved => resolved,
    };
    resolved.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MountError::NoDirectory(dir.to_owned()),
        io::ErrorKind::NotADirectory => MountError::NotADirectory(dir.to_owned()),
        _ => MountError::Io(dir.to_owned(), error),
    })
}

/// A FUSE file system whose daemon is gone lies on `point`.
pub(super) fn is_dead(point: &Path) -> bool {
    fs::metadata(point).is_err_and(|error| error.raw_os_error() == Some(Errno::ENOTCONN as i32))
}

/// The file system on top of `point` is a lab, dead or alive.
pub fn is_lab(point: &Path) -> bool {
    let top = open_mountinfo().ok().and_then(|mounts| top_mount(&mounts, point).ok().flatten());
    top.is_some_and(|mount| mount.fs_type == FS_TYPE.as_bytes())
}

pub(super) fn open_mountinfo() -> Result<File, MountError> {
    File::open(MOUNTINFO).map_err(|error| MountError::Io(MOUNTINFO.into(), error))
}

/// A line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: Vec<u8>,
    place: PathBuf,
    fs_type: Vec<u8>,
}

/// The last thing mounted on `point`.
fn top_mount(mounts: &File, point: &Path) -> io::Result<Option<Mount>> {
    let table = read_all(mounts)?;
    Ok(table.split(|&byte| byte == b'\n').filter_map(Mount::parse).rfind(|mount| mount.place == point))
}

/// The file from its start, wherever others have read to.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match file.read_at(&mut chunk, content.len() as u64)? {
            0 => return Ok(content),
            count => content.extend(&chunk[..count]),
        }
    }
}

impl Mount {
    /// Reads `id parent major:minor root place options… - type source options` (proc_pid_mountinfo(5)).
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|&byte| byte == b' ');
        let device = fields.nth(2)?.to_vec();
        let place = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
        let fs_type = fields.skip_while(|field| *field != b"-").nth(1)?.to_vec();
        Some(Mount { device, place, fs_type })
    }
}

/// Replaces `\040` and its like, three octal digits of a byte.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if *byte == b'\\' => {
                plain.push(escaped);
                rest = &after[3..];
            }
            _ => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mountinfo_line_gives_device_place_and_type() {
        let line = b"36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - fuse.nslab nslab rw,errors=continue";
        let (device, place, fs_type) = (b"98:0".to_vec(), "/mnt/a b".into(), b"fuse.nslab".to_vec());
        assert_eq!(Mount::parse(line), Some(Mount { device, place, fs_type }));
        assert_eq!(Mount::parse(b""), None);
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(unescape(b"a\\9\\134"), b"a\\9\\");
    }
}
