//! Mounting: the connection to the host's kernel, the threads that serve it, and the end of both.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read};
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use fuser::{Config, Session, SessionACL};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{getegid, geteuid};

use super::LabFs;
use super::answer::Shared;
use super::drawer::{self, Drawers, Jobs};
use super::error::MountError;
use super::mountinfo::FS_TYPE;
use super::notify::{Notices, Notifier, Waiting};
use super::options::Options;
use super::point::{self, Point, Watch};
use crate::host::Lab;

const DEVICE: &str = "/dev/fuse";
/// What mountinfo shows as the source.
const SOURCE: &str = "nslab";
/// How many threads serve one lab: as the host has cores, but so many at least, as those that look at all of a large lab keep
/// theirs for a while, and so many at most.
const THREADS: RangeInclusive<usize> = 4..=8;

/// A lab on a directory, whose requests are answered once [`Mounted::serve`] runs.
#[derive(Debug)]
pub struct Mounted {
    point: Point,
    shared: Arc<Shared>,
    session: Session<LabFs>,
}

/// What serving a lab takes at a moment, for those who watch that it does not grow.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Shared>);

impl Gauge {
    /// How many inodes the host's kernel knows.
    pub fn inodes(&self) -> usize {
        self.0.inodes.count()
    }

    /// How many files and directories are open.
    pub fn open_files(&self) -> usize {
        self.0.handles.count()
    }
}

/// Mounts `lab` on `dir`.
///
/// # Errors
/// The directory or the machine will not do; nothing is left mounted then.
pub fn mount(lab: Lab, dir: &Path, options: &Options) -> Result<Mounted, MountError> {
    let device = open_device()?;
    let (path, _claim) = point::prepare(dir, options.nonempty)?;
    // The lab may cover `/proc`, which nobody answers for until the lab does. Counting the cores looks there, and so
    // do the tables of `Shared`.
    let mut config = Config::default();
    config.n_threads =
        Some(thread::available_parallelism().map_or(1, usize::from).clamp(*THREADS.start(), *THREADS.end()));
    let lab = if options.realtime { lab.in_real_time() } else { lab };
    let (notices, waiting) = Notices::new();
    let (drawers, jobs) = Drawers::new();
    let shared = Shared::new(lab, (geteuid().as_raw(), options.links), options.bounds, (notices, drawers));
    let shared = Arc::new(shared.map_err(|error| MountError::Io(path.clone(), io::Error::other(error)))?);
    let device = attach(device, &path, options)?;
    let point = Point::of_new_mount(path, options.boot.as_deref())?;
    match start(Arc::clone(&shared), (waiting, jobs), (device, &point), config) {
        Ok(session) => Ok(Mounted { point, shared, session }),
        Err(error) => {
            point.detach()?;
            Err(MountError::Io(point.path().to_owned(), error))
        }
    }
}

impl Mounted {
    /// Where the lab is.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// What is there.
    pub fn lab(&self) -> &Arc<Lab> {
        &self.shared.lab
    }

    /// What it takes to serve it.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.shared))
    }

    /// Answers requests until the lab is unmounted and nobody uses it any more.
    ///
    /// # Errors
    /// The connection failed.
    pub fn serve(self) -> io::Result<()> {
        let ended = self.session.run();
        self.point.clean_up().map_err(io::Error::other)?;
        ended.or_else(|error| if is_unmount(&error) { Ok(()) } else { Err(error) })
    }
}

/// A thread that is just taking a request when the lab is unmounted gets this instead of ENODEV (`fuse_dev_do_read`).
fn is_unmount(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ECONNABORTED as i32)
}

/// Opens the FUSE device, as a new connection.
///
/// # Errors
/// It is missing or may not be opened.
pub fn open_device() -> Result<File, MountError> {
    OpenOptions::new().read(true).write(true).open(DEVICE).map_err(|error| {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => MountError::NoDevice,
            _ => MountError::Device(error),
        }
    })
}

/// mount(2) with `device` where we may, else by fusermount3, which brings a connection of its own.
fn attach(device: File, point: &Path, options: &Options) -> Result<File, MountError> {
    let mut data = format!("fd={},rootmode=40755,user_id={},group_id={}", device.as_raw_fd(), geteuid(), getegid());
    if options.allow_other {
        data.push_str(",allow_other");
    }
    match nix::mount::mount(Some(SOURCE), point, Some(FS_TYPE), options.flags, Some(data.as_str())) {
        Ok(()) => Ok(device),
        Err(Errno::EPERM) => fusermount(point, options),
        Err(Errno::ENODEV) => Err(MountError::NoDevice),
        Err(error) => Err(MountError::Io(point.to_owned(), error.into())),
    }
}

/// Mounts with the set-uid helper of libfuse: it sends the connection over the socket that `_FUSE_COMMFD` names, here
/// its standard input.
fn fusermount(point: &Path, options: &Options) -> Result<File, MountError> {
    let failed = |error| MountError::Io(point.to_owned(), error);
    let none = if geteuid().is_root() { MountError::NotCapable } else { MountError::NoFusermount };
    let helper = point::find_fusermount().ok_or(none)?;
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let subtype = FS_TYPE.trim_start_matches("fuse.");
    let mut child = Command::new(helper)
        .args(["-o", &format!("{},fsname={SOURCE},subtype={subtype}", options.words()), "--"])
        .arg(point)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let device = receive_device(&ours).map_err(failed)?;
    let mut message = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut message).map_err(failed)?;
    }
    child.wait().map_err(failed)?;
    let is_refused = message.contains(Errno::EPERM.desc());
    device.ok_or(if is_refused { MountError::NotCapable } else { MountError::Fusermount(message.trim().to_owned()) })
}

/// The descriptor that comes over `socket`; `None` if it is closed without one.
#[allow(unsafe_code)]
fn receive_device(socket: &UnixStream) -> io::Result<Option<File>> {
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!([i32; 1]);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let received = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made this descriptor for us in recvmsg; nothing else knows its number.
    Ok(received.map(|descriptor| unsafe { File::from_raw_fd(descriptor) }))
}

/// Shakes hands with the host's kernel and starts the threads that notify it and that draw.
fn start(
    shared: Arc<Shared>,
    (waiting, jobs): (Waiting, Jobs),
    (device, point): (File, &Point),
    config: Config,
) -> io::Result<Session<LabFs>> {
    let (notifier, inodes) = (Notifier::new(device.try_clone()?), Arc::clone(&shared.inodes));
    // Who may use the mount at all is checked by the host's kernel.
    let connection = Notifier::new(device.try_clone()?);
    let session = Session::from_fd(LabFs { shared, connection }, device.into(), SessionACL::All, config)?;
    drawer::start(jobs, point)?;
    let watch = Watch::new(point);
    let notify = move || {
        let _watch = watch;
        notifier.run(&inodes, &waiting);
    };
    thread::Builder::new().name("notifier".to_owned()).spawn(notify)?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::fuse::inode::Stale;
    use crate::fuse::point::{Users, is_lab, unmount};
    use crate::kernel::Kernel;

    /// A lab of this process, as `testing::Lab` has it, until it is taken off.
    fn with_lab(act: impl FnOnce(&Shared, &Path)) {
        if open_device().is_err() {
            return eprintln!("skipped: no FUSE here");
        }
        let dir = tempfile::tempdir().unwrap();
        let mounted = mount(Lab::new(Kernel::boot()), dir.path(), &Options::default()).unwrap();
        let shared = Arc::clone(&mounted.shared);
        let session = thread::spawn(move || mounted.serve());
        assert!(is_lab(dir.path()));
        act(&shared, dir.path());
        drop(shared);
        session.join().unwrap().unwrap();
        assert!(!is_lab(dir.path()));
    }

    #[test]
    fn a_panic_in_a_thread_that_draws_ends_the_lab() {
        with_lab(|shared, _| shared.drawers.hand_over(false, Box::new(|| panic!("provoked by a test"))));
    }

    #[test]
    fn a_panic_in_the_thread_that_notifies_ends_the_lab() {
        with_lab(|shared, _| {
            let slow = Box::new(|| thread::sleep(Duration::from_millis(100)));
            shared.notices.push(slow);
            shared.notices.push(Box::new(|| panic!("provoked by a test")));
        });
    }

    /// Names are not kept there: each use is a request, and nothing but that tells of what has gone.
    #[test]
    fn on_older_kernels_each_use_of_a_name_asks() {
        with_lab(|shared, dir| {
            let keeps = shared.inodes.keeps_names();
            let uses = |name: &str| {
                let ino = fs::metadata(dir.join(name)).unwrap().ino();
                let before = shared.inodes.answers(ino);
                fs::metadata(dir.join(name)).unwrap();
                shared.inodes.answers(ino) - before
            };
            assert_eq!(uses("proc/1"), u64::from(!keeps));
            shared.inodes.keep_no_names();
            assert_eq!([uses("ctl/1/exec"), uses("ctl/1/exec")], [1, 1]);
            let call = |task: i32, call: &str, words: &str| {
                fs::write(dir.join(format!("ctl/{task}/{call}")), format!("{words}\n")).unwrap();
            };
            let mut seen = Vec::new();
            for _ in 0..50 {
                fs::write(dir.join("proc/sys/kernel/ns_last_pid"), "1").unwrap();
                call(1, "clone", "newuts");
                assert_eq!(fs::read_to_string(dir.join("proc/2/comm")).unwrap(), "init\n");
                call(2, "exec", "web");
                assert_eq!(fs::read_to_string(dir.join("proc/2/comm")).unwrap(), "web\n");
                seen.push(fs::read_link(dir.join("proc/2/ns/uts")).unwrap());
                call(2, "unshare", "newuts");
                seen.push(fs::read_link(dir.join("proc/2/ns/uts")).unwrap());
                call(2, "exit", "0");
                assert_eq!(fs::metadata(dir.join("ctl/2/clone")).unwrap_err().kind(), io::ErrorKind::NotFound);
                call(1, "wait", "2");
                assert_eq!(fs::metadata(dir.join("proc/2")).unwrap_err().kind(), io::ErrorKind::NotFound);
            }
            assert!(seen.windows(2).step_by(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
            unmount(dir, Users::Leave).unwrap();
        });
    }

    /// A change that is made later, and its answer, never go past an earlier one whose caches are not dropped.
    #[test]
    fn answers_leave_in_the_order_of_the_changes() {
        let (notices, waiting) = Notices::new();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = |number: u32| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(number)
        };
        let stale = || Stale { attrs: [7].into(), ..Stale::default() };
        notices.after(note(0));
        assert_eq!(*order.lock().unwrap(), [0], "nothing was changed before: it is done at once");
        assert_eq!(notices.change(|| (1, stale())), 1);
        notices.after(note(1));
        notices.change(|| ((), Stale::default()));
        notices.after(note(2));
        notices.change(|| ((), stale()));
        notices.after(note(3));
        assert_eq!(*order.lock().unwrap(), [0], "caches may be stale");
        let device = tempfile::tempfile().unwrap();
        let inodes = Arc::new(crate::fuse::inode::Inodes::new(9));
        let notifier = thread::spawn(move || Notifier::new(device).run(&inodes, &waiting));
        drop(notices);
        notifier.join().unwrap();
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    }
}
