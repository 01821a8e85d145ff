//! Why a lab cannot be mounted or unmounted, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::labs::Reach;
use super::mountinfo::MOUNTINFO;
use crate::errno::describe;

const COVERED: &str = "a lab lies over /proc, so mounts are hidden here: run `nslab umount /proc` first";
const IN_LAB: &str = "this is a program of a lab, and no lab can be mounted in a lab: run nslab outside, or as `nslab exec \
                      LAB -- CMD` in a mounted one";

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
    /// A lab is mounted there whose process, if it is known, is stopped.
    Stopped(PathBuf, Option<i32>),
    NotMounted(PathBuf),
    /// Mounts are hidden: a lab is mounted on `/proc`.
    Covered,
    /// A directory for `proc`, and the lab that it is of: one is below the other.
    Nested(PathBuf, PathBuf),
    /// A lab with this directory is served by a process, but not mounted in this mount namespace.
    Hidden(PathBuf, Option<i32>, Reach),
    Busy(PathBuf),
    /// It was mounted by another user.
    NotOwner(PathBuf),
    /// Only root may end the connection by unmounting.
    NotForced(PathBuf),
    /// mount(2) is not allowed, and fusermount3 is missing.
    NoFusermount,
    /// Not even root or fusermount3 may use mount(2).
    NotCapable,
    /// This process is a program of a lab.
    InLab,
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
            MountError::Stopped(dir, pid) => {
                let pid = pid.map_or("PID".to_owned(), |pid| pid.to_string());
                write!(
                    f,
                    "a lab is mounted on {0} already, but its process is stopped: run `kill -CONT {pid}`, or \
                     `nslab umount {0}` first",
                    dir.display()
                )
            }
            MountError::Nested(dir, lab) => write!(
                f,
                "{} and the lab on {} are one below the other: take an empty directory elsewhere",
                dir.display(),
                lab.display()
            ),
            MountError::NotMounted(dir) => write!(f, "no lab is mounted on {}", dir.display()),
            MountError::Covered => f.write_str(COVERED),
            MountError::Hidden(dir, pid, reach) => hidden(f, dir, *pid, *reach),
            MountError::Busy(dir) => write!(
                f,
                "{0} is in use (a working directory or an open file): close it, or run `nslab umount --lazy {0}` or \
                 `--force`",
                dir.display()
            ),
            MountError::NotOwner(dir) => {
                write!(
                    f,
                    "the lab on {0} is another user's: run `nslab umount {0}` as that user or as root",
                    dir.display()
                )
            }
            MountError::NotForced(dir) => {
                write!(f, "the connection of {} may be ended by root only: run the command as root", dir.display())
            }
            MountError::NoFusermount => {
                f.write_str("mounting without privilege needs fusermount3: install the package fuse3, or run as root")
            }
            MountError::NotCapable => f.write_str(
                "CAP_SYS_ADMIN is missing: start the container with `--cap-add SYS_ADMIN --device /dev/fuse`, or put \
                 `unshare -Urm` before the command",
            ),
            MountError::InLab => f.write_str(IN_LAB),
            MountError::Fusermount(message) => write!(f, "{message}: `nslab doctor` says what is missing"),
            MountError::Io(path, error) => {
                write!(f, "{}: {}: {}", path.display(), describe(error), remedy(path, error))
            }
        }
    }
}

impl std::error::Error for MountError {}

/// What to do about an error of the host.
fn remedy(path: &Path, error: &io::Error) -> &'static str {
    match error.kind() {
        _ if path == Path::new(MOUNTINFO) => "mount proc on /proc",
        io::ErrorKind::InvalidFilename => "take a directory with a shorter path",
        _ => "`nslab doctor` looks for the cause",
    }
}

/// A lab that is not mounted here is still somewhere.
fn hidden(f: &mut fmt::Formatter<'_>, dir: &Path, pid: Option<i32>, reach: Reach) -> fmt::Result {
    let (dir, pid) = (dir.display(), pid.map_or("PID".to_owned(), |pid| pid.to_string()));
    match reach {
        Reach::Detached => {
            write!(
                f,
                "{dir} is unmounted already: process {pid} serves those who still have files open; `kill {pid}` ends it"
            )
        }
        Reach::Here | Reach::Elsewhere | Reach::Nowhere => write!(
            f,
            "no lab is mounted on {dir} here, but in the mount namespace of process {pid}: run `nslab umount` there, or \
             `kill {pid}`"
        ),
    }
}
