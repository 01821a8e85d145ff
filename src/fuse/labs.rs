//! Labs and the processes that serve them, found in `/proc` without asking any lab: what is mounted says mountinfo, who
//! serves it say the [`card`](super::card)s of processes. Nothing is kept anywhere that could be out of date.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::statfs::fstatfs;
use nix::unistd::{Pid, geteuid};

use super::card::{self, Part, Text};
use super::error::MountError;
use super::mountinfo::{self, MOUNTINFO, Mount};

/// More is in no card.
const CARD_MAX: u64 = 1 << 16;
/// How long a file system may take to answer before it counts as stuck.
const PATIENCE: Duration = Duration::from_millis(500);
/// A thread that waits in the kernel whenever it is looked at, so many times in that time, is stuck.
const LOOKS: u32 = 10;

/// How a lab is, as far as its users are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Serving,
    /// It answers, after an internal error.
    Broken,
    /// Its process is stopped by a signal or a debugger.
    Stopped,
    /// Its process does not get on.
    Stuck,
    /// Its process is gone.
    Dead,
    /// It is another user's.
    Unknown,
}

impl Health {
    pub fn name(self) -> &'static str {
        match self {
            Health::Serving => "serving",
            Health::Broken => "broken",
            Health::Stopped => "stopped",
            Health::Stuck => "stuck",
            Health::Dead => "dead",
            Health::Unknown => "unknown",
        }
    }
}

/// From where a lab can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From here.
    Here,
    /// From another mount namespace, by other processes.
    Elsewhere,
    /// From a mount namespace in which nobody is but the process that serves it.
    Nowhere,
    /// By those who had files open when it was unmounted.
    Detached,
}

/// A lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is mounted, in the mount namespace it is mounted in.
    pub dir: PathBuf,
    /// The process that serves it.
    pub pid: Option<i32>,
    /// The user who mounted it.
    pub uid: Option<u32>,
    pub boot: Option<PathBuf>,
    pub age: Option<Duration>,
    pub health: Health,
    pub reach: Reach,
    /// What of the lab is there.
    pub part: Part,
    /// The first internal error, with its place.
    pub broken: Option<String>,
    /// The number of its device, which no other mount has as long as it is there.
    pub device: u32,
}

/// A process that serves a lab.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    pub(super) pid: i32,
    uid: u32,
    age: Option<Duration>,
    card: Text,
}

/// The labs that are mounted in this mount namespace, and those of the caller that are mounted in no other that
/// anybody sees.
///
/// # Errors
/// There is no `/proc`, or a lab lies over it.
pub fn labs() -> io::Result<Vec<Found>> {
    if mountinfo::is_proc_covered() {
        return Err(io::Error::other(MountError::Covered));
    }
    let mut daemons = daemons()?;
    let mut found = Vec::new();
    let mut mounts = mountinfo::read(Path::new(MOUNTINFO))?;
    mounts.retain(Mount::is_lab);
    // Parts of a lab that are mounted besides the whole are no labs of their own.
    mounts.sort_by_key(|mount| (mount.device, mount.root.as_os_str().len()));
    mounts.dedup_by_key(|mount| mount.device);
    for mount in &mounts {
        let served = daemons.iter().position(|daemon| daemon.serves(mount)).map(|index| daemons.swap_remove(index));
        found.push(Found { health: health(mount, served.as_ref()), ..Found::here(mount, served) });
    }
    for daemon in daemons {
        let (reach, health) = (daemon.reach(), daemon.health());
        found.push(Found::of_daemon(daemon, reach, health));
    }
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(found)
}

impl Found {
    fn here(mount: &Mount, served: Option<Daemon>) -> Found {
        match served {
            Some(daemon) => {
                Found { dir: mount.place.clone(), ..Found::of_daemon(daemon, Reach::Here, Health::Unknown) }
            }
            None => Found {
                dir: mount.place.clone(),
                pid: None,
                uid: mount.owner,
                boot: None,
                age: None,
                health: Health::Unknown,
                reach: Reach::Here,
                part: Part::Whole,
                broken: None,
                device: mount.device,
            },
        }
    }

    fn of_daemon(daemon: Daemon, reach: Reach, health: Health) -> Found {
        let Daemon { pid, uid, age, card: Text { dir, device, part, boot, broken } } = daemon;
        Found { dir, pid: Some(pid), uid: Some(uid), boot, age, health, reach, part, broken, device }
    }
}

/// The process that serves this mount, as far as the caller may know.
pub(super) fn daemon_of(mount: &Mount) -> Option<Daemon> {
    daemons().ok()?.into_iter().find(|daemon| daemon.serves(mount))
}

/// Whether the mount is of the `proc` of a lab that is mounted itself.
pub(super) fn goes_with_another(mount: &Mount) -> bool {
    daemon_of(mount).is_some_and(|daemon| matches!(daemon.card.part, Part::ProcOf(_)))
}

/// Places and devices of the mounts of `proc` that go with the lab of this process on that directory.
pub(super) fn taken_along(pid: i32, lab: &Path) -> Vec<(PathBuf, u32)> {
    let texts = cards(pid).into_iter().filter_map(|card| Some(Daemon::of(pid, &card)?.card));
    texts.filter(|text| text.part == Part::ProcOf(lab.to_owned())).map(|text| (text.dir, text.device)).collect()
}

/// What the users of a mount have to expect of it.
pub(super) fn health(mount: &Mount, served: Option<&Daemon>) -> Health {
    match served {
        Some(daemon) => daemon.health(),
        None => asked(mount),
    }
}

/// The state of a lab whose process is invisible: dead, another user's, or in another pid namespace.
fn asked(mount: &Mount) -> Health {
    let (tell, told) = mpsc::channel();
    let place = mount.place.clone();
    // A thread, as it may wait for ever. A request that nobody takes does not outlive this process.
    thread::spawn(move || {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let answer = open(&place, flags, Mode::empty()).and_then(|top| fstatfs(&top));
        let _ = tell.send(answer.map(|_| ()));
    });
    match told.recv_timeout(PATIENCE) {
        Ok(Err(Errno::ENOTCONN | Errno::ECONNABORTED)) => Health::Dead,
        // For other users Linux answers itself.
        Ok(Ok(())) if mount.owner == Some(geteuid().as_raw()) => Health::Serving,
        Ok(_) => Health::Unknown,
        Err(_) => Health::Stuck,
    }
}

/// All processes that the caller may look into and that serve a lab, once for each.
fn daemons() -> io::Result<Vec<Daemon>> {
    Ok(processes()?.flat_map(|pid| cards(pid).into_iter().filter_map(move |card| Daemon::of(pid, &card))).collect())
}

fn processes() -> io::Result<impl Iterator<Item = i32>> {
    Ok(fs::read_dir("/proc")?.flatten().filter_map(|entry| number(&entry.file_name())))
}

fn number(name: &OsStr) -> Option<i32> {
    name.to_str()?.parse().ok()
}

/// The open cards of a process. Where its first thread has ended, the others still have them.
fn cards(pid: i32) -> Vec<PathBuf> {
    let cards_in = |folder: PathBuf| -> Vec<PathBuf> {
        let open = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        open.filter(|file| fs::read_link(file).is_ok_and(|link| link == Path::new(card::LINK)) && is_writable(file))
            .collect()
    };
    let all = cards_in(format!("/proc/{pid}/fd").into());
    if !all.is_empty() || !is_ended(thread_state(pid, pid)) {
        return all;
    }
    let of_thread = |tid| cards_in(format!("/proc/{pid}/task/{tid}/fd").into());
    threads(pid).into_iter().map(of_thread).find(|cards| !cards.is_empty()).unwrap_or_default()
}

/// Whether a descriptor of `/proc/<pid>/fd` is open for writing: its link has the rights of the open file. Who has a card open
/// to read it, as we do here, does not serve the lab.
fn is_writable(descriptor: &Path) -> bool {
    const S_IWUSR: u32 = 0o200;
    fs::symlink_metadata(descriptor).is_ok_and(|link| link.permissions().mode() & S_IWUSR != 0)
}

fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| number(&entry.file_name())).collect()
}

/// The letter of proc_pid_stat(5); `None` when the thread is gone.
fn thread_state(pid: i32, tid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn is_ended(state: Option<char>) -> bool {
    matches!(state, None | Some('Z' | 'X'))
}

/// The effective user of a process.
fn user(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

impl Daemon {
    fn of(pid: i32, card: &Path) -> Option<Daemon> {
        let card = File::open(card).ok()?;
        let age = card.metadata().and_then(|of_card| of_card.created()).ok().and_then(|made| made.elapsed().ok());
        let mut text = String::new();
        card.take(CARD_MAX).read_to_string(&mut text).ok()?;
        Some(Daemon { pid, uid: user(pid)?, age, card: Text::parse(&text)? })
    }

    /// A card of another user says nothing.
    fn serves(&self, mount: &Mount) -> bool {
        self.card.device == mount.device && mount.owner == Some(self.uid)
    }

    pub(super) fn health(&self) -> Health {
        if is_ended(thread_state(self.pid, self.pid)) {
            return Health::Dead;
        }
        let waiting = |tid: &i32| thread_state(self.pid, *tid) == Some('D');
        let mut threads = threads(self.pid);
        if threads.iter().any(|&tid| matches!(thread_state(self.pid, tid), Some('T' | 't'))) {
            return Health::Stopped;
        }
        threads.retain(waiting);
        for _ in 1..LOOKS {
            if threads.is_empty() {
                return if self.card.broken.is_some() { Health::Broken } else { Health::Serving };
            }
            thread::sleep(PATIENCE / LOOKS);
            threads.retain(waiting);
        }
        Health::Stuck
    }

    /// Lets a process that is stopped find out that its lab is unmounted, and end.
    pub(super) fn wake_if_over(&self) {
        if !self.is_mounted() {
            // It may be gone, which is what is wanted.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGCONT);
        }
    }

    /// Whether the lab is mounted in the mount namespace of its process.
    fn is_mounted(&self) -> bool {
        let mounts = mountinfo::read(Path::new(&format!("/proc/{}/mountinfo", self.pid))).unwrap_or_default();
        mounts.iter().any(|mount| mount.is_lab() && mount.device == self.card.device)
    }

    /// Ends the process, and with it the connection; whether that was allowed.
    pub(super) fn kill(&self) -> bool {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).is_ok()
    }

    /// For a lab that is not mounted here.
    fn reach(&self) -> Reach {
        if !self.is_mounted() {
            return Reach::Detached;
        }
        if is_alone_in_mount_namespace(&[self.pid]) { Reach::Nowhere } else { Reach::Elsewhere }
    }
}

/// Whether no process but these is in the mount namespace of the first of them.
pub fn is_alone_in_mount_namespace(pids: &[i32]) -> bool {
    let namespace = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let Some(first) = pids.first().map(ToString::to_string) else { return false };
    let Some(own) = namespace(&first, "mnt") else { return false };
    // Processes that may not be looked into are elsewhere, unless they are just other users here.
    let is_unsure = !geteuid().is_root() && namespace(&first, "user") == namespace("self", "user");
    let is_other = |pid: i32| {
        !pids.contains(&pid) && namespace(&pid.to_string(), "mnt").map_or(is_unsure, |namespace| namespace == own)
    };
    processes().is_ok_and(|mut processes| !processes.any(is_other))
}
