//! Mountpoints: what may be mounted on, what is mounted there, and taking it off again. A mount is found by what
//! mountinfo says and never looked at: whoever looks at a lab that does not answer waits with all others.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, openat, statx};

use super::card::{Card, Part};
use super::connection;
use super::error::MountError;
use super::handle::lock;
use super::labs::{self, Daemon, Found, Health, Reach};
use super::mountinfo::{self, MOUNTINFO, Mount, PROC, is_proc_covered, mounts};
use crate::errno::Errno;

/// Asks statx(2) for a number of the mount that no other mount ever gets: `STATX_MNT_ID_UNIQUE`, since Linux 6.8.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
/// As many links as Linux follows in a path.
const LINKS_MAX: usize = 40;
/// Names what a descriptor shows.
const DESCRIPTORS: &str = "/proc/self/fd";
/// How often, and how long apart, a mount that is busy is tried again.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(15);

/// A directory with a lab that this process has mounted.
#[derive(Clone, Debug)]
pub struct Point {
    path: PathBuf,
    mount: Identity,
    card: Arc<Card>,
    /// Other mounts of the lab, which go with this one.
    others: Arc<Mutex<Vec<Point>>>,
}

/// Ends the lab when a panic ends the thread that has it, which clients would wait for. Who serves a lab by the command has
/// the error printed as well, and its place noted; in a library the hook for panics is not ours.
#[derive(Debug)]
pub(super) struct Watch(Point);

impl Watch {
    pub(super) fn new(point: &Point) -> Watch {
        Watch(point.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.breaks("a panic has ended a thread that serves this lab");
            // Should this fail, the mount stays, dead.
            let _ = self.0.abort();
        }
    }
}

/// Which mount it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u32,
    id: u64,
    /// No mount gets the same number later.
    is_unique: bool,
}

impl Point {
    /// What has just been mounted on `path`, for a lab that has booted with a script.
    pub(super) fn of_new_mount(path: PathBuf, boot: Option<&Path>, part: Part) -> Result<Point, MountError> {
        let failed = |error: io::Error| MountError::Io(path.clone(), error);
        let (_, mount) = Identity::of_top(&path).map_err(failed)?;
        let card = Arc::new(Card::new(&path, mount.device, boot, part).map_err(failed)?);
        Ok(Point { path, mount, card, others: Arc::default() })
    }

    /// The number of its device, which no other mount has as long as it is there.
    pub fn device(&self) -> u32 {
        self.mount.device
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets those who look for labs know of an internal error.
    pub fn breaks(&self, how: &str) {
        self.card.breaks(how);
    }

    /// Has another mount of the lab go when this one goes.
    pub(super) fn takes_along(&self, other: Point) {
        lock(&self.others).push(other);
    }

    /// Has it go alone, or knows that it is gone.
    pub(super) fn leaves(&self, other: &Point) {
        lock(&self.others).retain(|point| !Arc::ptr_eq(&point.card, &other.card));
    }

    /// Whether neither of a directory and this mount is below the other: whoever looks for a place in a lab that is not yet
    /// served waits for ever.
    ///
    /// # Errors
    /// One is.
    pub(super) fn check_apart(&self, dir: &Path) -> Result<(), MountError> {
        let other = locate(dir, &mounts()?)?;
        let is_apart = !other.starts_with(&self.path) && !self.path.starts_with(&other);
        if is_apart { Ok(()) } else { Err(MountError::Nested(other, self.path.clone())) }
    }

    /// Takes the lab out of everybody's reach, if it is still there; it ends when nobody uses it any more.
    ///
    /// # Errors
    /// The caller may not unmount it.
    pub fn detach(&self) -> Result<(), MountError> {
        self.each(|point| point.take_off(MntFlags::MNT_DETACH))
    }

    /// Does the same to all mounts of the lab, first to one that covers `/proc`, which the others are taken off by; gives the
    /// first error.
    fn each(&self, act: impl Fn(&Point) -> Result<(), MountError>) -> Result<(), MountError> {
        let mut points = lock(&self.others).clone();
        points.insert(0, self.clone());
        points.sort_by_key(|point| !point.is_over_descriptors());
        points.iter().map(act).fold(Ok(()), Result::and)
    }

    fn is_over_descriptors(&self) -> bool {
        Path::new(DESCRIPTORS).starts_with(&self.path)
    }

    /// As [`Point::detach`], and all who use it get errors from now on.
    ///
    /// # Errors
    /// As [`Point::detach`].
    pub fn abort(&self) -> Result<(), MountError> {
        self.each(Point::abort_one)
    }

    fn abort_one(&self) -> Result<(), MountError> {
        match self.take_off(MntFlags::MNT_DETACH | MntFlags::MNT_FORCE) {
            Err(MountError::NotForced(_)) => {
                // It is this process's own connection as long as the mount is there. If that fails, the end of the
                // process ends it.
                if self.mount_there().is_some() {
                    let _ = connection::abort(self.mount.device);
                }
                self.take_off(MntFlags::MNT_DETACH)
            }
            result => result,
        }
    }

    /// After the last request: a connection that was aborted leaves a dead mount behind. Where another mount may have
    /// the number of this one by now, it is left to `nslab umount`.
    pub(super) fn clean_up(&self) -> Result<(), MountError> {
        self.card.withdraw();
        let own = if self.mount.is_unique { self.take_off(MntFlags::MNT_DETACH) } else { Ok(()) };
        // Those of the others are still served.
        let others = lock(&self.others).clone();
        others.iter().map(Point::detach).fold(own, Result::and)
    }

    fn take_off(&self, flags: MntFlags) -> Result<(), MountError> {
        let Some(top) = self.mount_there() else { return Ok(()) };
        // What the descriptor shows is this very mount, even if another has been put on it or in its place.
        let exact = PathBuf::from(format!("{DESCRIPTORS}/{}", top.as_raw_fd()));
        let unmounted = match self.is_over_descriptors() {
            true => umount2(&self.path, flags | MntFlags::UMOUNT_NOFOLLOW),
            false => umount2(&exact, flags),
        };
        drop(top);
        match unmounted {
            Err(Errno::EPERM) if flags.contains(MntFlags::MNT_FORCE) => Err(MountError::NotForced(self.path.clone())),
            Err(Errno::EPERM) => fusermount_unmount(&self.path, flags),
            // Somebody else was faster.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            Err(error) => Err(MountError::Io(self.path.clone(), error.into())),
        }
    }

    /// Holds the mount, if it is still on its directory.
    fn mount_there(&self) -> Option<OwnedFd> {
        let (top, identity) = Identity::of_top(&self.path).ok()?;
        (identity == self.mount).then_some(top)
    }
}

impl Identity {
    /// Of what is mounted on top of `path`, and a descriptor that holds it there. No file system is asked anything.
    fn of_top(path: &Path) -> io::Result<(OwnedFd, Identity)> {
        let top = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let Statx { stx_dev_major, stx_dev_minor, stx_mnt_id, stx_mask, .. } = statx(&top, "", flags, MNT_ID_UNIQUE)?;
        let device = mountinfo::device_of(stx_dev_major, stx_dev_minor).ok_or(Errno::EOVERFLOW)?;
        let is_unique = StatxFlags::from_bits_retain(stx_mask).contains(MNT_ID_UNIQUE);
        Ok((top, Identity { device, id: stx_mnt_id, is_unique }))
    }
}

/// The absolute path of a directory to mount on, and a lock that keeps others from mounting there at the same time. A
/// dead lab that lies on it is taken off first.
///
/// # Errors
/// The directory is missing, none, in use by a live lab, or not empty where it has to be.
pub(super) fn prepare(dir: &Path, nonempty: bool) -> Result<(PathBuf, Option<File>), MountError> {
    let mut mounts = mounts()?;
    let point = locate(dir, &mounts)?;
    while let Some(mount) = top_lab(&mounts, &point) {
        let daemon = labs::daemon_of(mount);
        match labs::health(mount, daemon.as_ref()) {
            Health::Dead => abort(mount, daemon.as_ref())?,
            Health::Stopped => return Err(MountError::Stopped(point, daemon.map(|daemon| daemon.pid))),
            _ => return Err(MountError::Mounted(point)),
        };
        mounts = self::mounts()?;
    }
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => MountError::NoDirectory(point.clone()),
        io::ErrorKind::NotADirectory => MountError::NotADirectory(point.clone()),
        _ => MountError::Io(point.clone(), error),
    };
    if !fs::metadata(&point).map_err(failed)?.is_dir() {
        return Err(MountError::NotADirectory(point));
    }
    let claim = claim(&point)?;
    if is_lab(&point) {
        return Err(MountError::Mounted(point));
    }
    if !nonempty && fs::read_dir(&point).map_err(failed)?.next().is_some() {
        return Err(MountError::NotEmpty(point));
    }
    Ok((point, claim))
}

/// Locks a directory; `None` where the file system has no locks or the directory cannot be read.
fn claim(point: &Path) -> Result<Option<File>, MountError> {
    let Ok(dir) = File::open(point) else { return Ok(None) };
    match dir.try_lock() {
        Err(TryLockError::WouldBlock) => Err(MountError::Mounted(point.to_owned())),
        Err(TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(dir)),
    }
}

/// What happens to those who use a lab that is unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// The lab stays, unless it does not answer them anyway.
    Keep,
    /// It lives on for them, out of reach of all others.
    Leave,
    /// They get errors.
    Abort,
}

/// What unmounting could not do, for the user to know; the lab is off its directory.
pub type Remark = Option<String>;

/// Takes the lab off `dir`, whatever state it is in.
///
/// # Errors
/// Nothing of ours is mounted there, it is in use, or the caller may not.
pub fn unmount(dir: &Path, users: Users) -> Result<Remark, MountError> {
    if dir == Path::new(PROC) && is_proc_covered() {
        return uncover_proc(users).map(|()| None);
    }
    let mounts = mounts()?;
    let point = locate(dir, &mounts)?;
    if let Some(mount) = top_lab(&mounts, &point) {
        // Who serves it is to be known before: then the process may be gone.
        let others = labs::daemon_of(mount).map(|daemon| labs::taken_along(daemon.pid, &point)).unwrap_or_default();
        let mut remark = unmount_one(mount, users)?;
        let users = if users == Users::Keep { Users::Leave } else { users };
        for (place, device) in others {
            let mounts = self::mounts()?;
            // A device that its process has let go of may be another lab's by now.
            let mount = top_lab(&mounts, &place).filter(|mount| mount.device == device);
            let Some(mount) = mount else { continue };
            remark = match unmount_one(mount, users) {
                // Its process was faster.
                Err(_) if !self::mounts()?.contains(mount) => remark,
                result => remark.or(result?),
            };
        }
        return Ok(remark);
    }
    match find_lab(&point)? {
        lab if lab.reach == Reach::Nowhere => end(&lab),
        lab => Err(MountError::Hidden(point, lab.pid, lab.reach)),
    }
}

/// Takes off the lab that lies over `/proc`. Nobody can tell who serves it.
fn uncover_proc(users: Users) -> Result<(), MountError> {
    let flags = if users == Users::Keep { MntFlags::empty() } else { MntFlags::MNT_DETACH };
    detach(Path::new(PROC), flags)
}

/// The lab on `dir`, or else one that says that it is there.
///
/// # Errors
/// There is none.
pub fn find_lab(dir: &Path) -> Result<Found, MountError> {
    let point = locate(dir, &mounts()?)?;
    let mut labs = all_labs()?;
    labs.retain(|lab| lab.dir == point);
    labs.sort_by_key(|lab| lab.reach != Reach::Here);
    labs.into_iter().next().ok_or(MountError::NotMounted(point))
}

fn all_labs() -> Result<Vec<Found>, MountError> {
    labs::labs().map_err(|error| MountError::Io(MOUNTINFO.into(), error))
}

/// Takes off all labs that are mounted here, and parts of them that are mounted elsewhere, and ends those of the caller
/// that nobody can reach. Gives what became of each.
///
/// # Errors
/// There is no `/proc`.
pub fn unmount_all(users: Users) -> Result<Vec<Result<Remark, MountError>>, MountError> {
    let mut done = Vec::new();
    let mut found: Vec<Mount> = mounts()?.into_iter().rev().filter(Mount::is_lab).collect();
    // A `proc` goes with its lab, whoever uses it.
    found.sort_by_key(labs::goes_with_another);
    for mount in &found {
        // Taking off one may have taken off others.
        if mounts()?.contains(mount) {
            done.push(unmount(&mount.place, users));
        }
    }
    let unreachable = all_labs()?.into_iter().filter(|lab| lab.reach == Reach::Nowhere);
    done.extend(unreachable.map(|lab| end(&lab)));
    Ok(done)
}

fn unmount_one(mount: &Mount, users: Users) -> Result<Remark, MountError> {
    match users {
        Users::Leave => detach(&mount.place, MntFlags::MNT_DETACH).map(|()| None),
        Users::Abort => abort(mount, labs::daemon_of(mount).as_ref()),
        Users::Keep => {
            // Whether it answers is to be known before: then the process may be gone.
            let daemon = labs::daemon_of(mount);
            match detach(&mount.place, MntFlags::empty()) {
                Err(MountError::Busy(point)) => match labs::health(mount, daemon.as_ref()) {
                    Health::Serving | Health::Broken | Health::Unknown => Err(MountError::Busy(point)),
                    Health::Stopped | Health::Stuck | Health::Dead => abort(mount, daemon.as_ref()),
                },
                result => {
                    daemon.iter().for_each(Daemon::wake_if_over);
                    result.map(|()| None)
                }
            }
        }
    }
}

/// Ends a connection, so that nobody waits for it any more, and takes the mount off.
fn abort(mount: &Mount, daemon: Option<&Daemon>) -> Result<Remark, MountError> {
    let force = MntFlags::MNT_FORCE | MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    // Forced, FUSE aborts the connection of the very mount that is taken off. Only root may.
    let remark = match umount2(&mount.place, force) {
        Ok(()) => None,
        Err(Errno::EPERM) => {
            let is_aborted = connection::abort(mount.device).is_ok() || daemon.is_some_and(Daemon::kill);
            detach(&mount.place, MntFlags::MNT_DETACH)?;
            (!is_aborted).then(|| {
                let number = mount.device;
                format!(
                    "{} is unmounted, but its connection could not be ended: programs that wait for it go on waiting; \
                     `echo 1 > /sys/fs/fuse/connections/{number}/abort` as root ends that",
                    mount.place.display()
                )
            })
        }
        Err(error) => return Err(MountError::Io(mount.place.clone(), error.into())),
    };
    daemon.into_iter().for_each(Daemon::wake_if_over);
    Ok(remark)
}

/// Ends a lab that nobody can reach by ending its process.
fn end(lab: &Found) -> Result<Remark, MountError> {
    let Some(pid) = lab.pid else { return Ok(None) };
    let failed = |error: Errno| MountError::Io(lab.dir.clone(), error.into());
    kill(Pid::from_raw(pid), Signal::SIGKILL).map_err(failed)?;
    // Where that is not enough, as a thread waits in the kernel.
    let _ = connection::abort(lab.device);
    Ok(None)
}

/// umount2(2), or fusermount3 where that is not allowed. Who only looks at a mount, as `df` and `nslab list` do, uses it
/// for a moment: one that is busy is tried again before that is said.
fn detach(point: &Path, flags: MntFlags) -> Result<(), MountError> {
    let mut tries = BUSY_TRIES;
    loop {
        match detach_now(point, flags) {
            Err(MountError::Busy(_)) if tries > 0 => thread::sleep(BUSY_PAUSE),
            result => return result,
        }
        tries -= 1;
    }
}

fn detach_now(point: &Path, flags: MntFlags) -> Result<(), MountError> {
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
        // It looks for mounts of the caller only.
        false if message.contains("not found in") => Err(MountError::NotOwner(point.to_owned())),
        false => Err(MountError::Fusermount(message.trim().to_owned())),
    }
}

/// The set-uid helper of the package fuse3, where there is one.
pub fn find_fusermount() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/bin", "/bin", "/sbin"].map(PathBuf::from));
    places.map(|dir| dir.join("fusermount3")).find(|file| file.is_file())
}

/// The absolute path of `dir` without links. What is below a lab has none for us: a lab is never asked.
fn locate(dir: &Path, mounts: &[Mount]) -> Result<PathBuf, MountError> {
    let absolute = std::path::absolute(dir).map_err(|error| MountError::Io(dir.to_owned(), error))?;
    let names =
        |path: &Path| -> Vec<OsString> { path.components().rev().map(|name| name.as_os_str().into()).collect() };
    let mut ahead = names(&absolute);
    let mut place = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match Path::new(&name).components().next() {
            Some(Component::ParentDir) => {
                place.pop();
                continue;
            }
            Some(Component::CurDir) | None => continue,
            Some(_) => place.push(&name),
        }
        let is_in_lab = mounts.iter().any(|mount| mount.is_lab() && place.starts_with(&mount.place));
        if let Some(target) = (!is_in_lab).then(|| fs::read_link(&place).ok()).flatten() {
            links += 1;
            if links > LINKS_MAX {
                return Err(MountError::Io(dir.to_owned(), Errno::ELOOP.into()));
            }
            place.pop();
            ahead.extend(names(&target));
        }
    }
    Ok(place)
}

/// The file system on top of `point` is a lab, dead or alive. It is not asked.
pub fn is_lab(point: &Path) -> bool {
    mounts().is_ok_and(|mounts| top_lab(&mounts, point).is_some())
}

fn top_lab<'a>(mounts: &'a [Mount], point: &Path) -> Option<&'a Mount> {
    mountinfo::top(mounts, point).filter(|mount| mount.is_lab())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_place_is_found_through_links_and_parents() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        symlink("a/b", top.join("relative")).unwrap();
        symlink(top.join("relative/.."), top.join("absolute")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        let located = |path: &str| locate(&top.join(path), &[]).map_err(|error| error.to_string());
        assert_eq!(located("relative"), Ok(top.join("a/b")));
        assert_eq!(located("absolute/./b/missing"), Ok(top.join("a/b/missing")));
        assert!(located("loop").unwrap_err().contains("symbolic links"));
    }
}
