//! Mounting: the connection to the host's kernel, the threads that serve it, and the end of both.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
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
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::unistd::{getegid, geteuid};

use super::LabFs;
use super::answer::{Connection, Shared};
use super::barrier::Barrier;
use super::card::Part;
use super::drawer::{self, Drawers, Jobs};
use super::error::MountError;
use super::mountinfo::FS_TYPE;
use super::notify::{Notices, Waiting};
use super::options::Options;
use super::point::{self, Point, Watch};
use super::poll::{self, Pollers};
use super::requests::Opcode;
use crate::errno;
use crate::host::Lab;
use crate::kernel::node::Top;
use crate::kernel::{Kernel, TaskId};
use crate::syscall::{AnyCall, Outcome};

const DEVICE: &str = "/dev/fuse";
/// What mountinfo shows as the source.
const SOURCE: &str = "nslab";
/// How many threads serve one lab: as many as the host has cores, up to so many. Each more is woken in its turn and makes
/// every request dearer; those that look at all of a large lab have threads of their own.
const THREADS: RangeInclusive<usize> = 1..=8;

/// A mount of a lab, whose requests are answered once [`Mounted::serve`] runs.
#[derive(Debug)]
pub struct Mounted {
    point: Point,
    connection: Arc<Connection>,
    options: Options,
    session: Session<LabFs>,
    /// The mount that this one goes with.
    goes_with: Option<Point>,
}

/// What serving a mount takes at a moment, for those who watch that it does not grow, or what an operation costs.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Connection>);

impl Gauge {
    /// How many inodes the host's kernel knows through this mount.
    pub fn inodes(&self) -> usize {
        self.0.inodes.count()
    }

    /// How many files and directories are open, through all mounts of the lab.
    pub fn open_files(&self) -> usize {
        self.0.shared.handles.count()
    }

    /// How many requests of each kind there were.
    pub fn requests(&self) -> BTreeMap<Opcode, u64> {
        self.0.requests.counts()
    }
}

/// A lab that is mounted, for more mounts of it.
#[derive(Clone, Debug)]
pub struct Served {
    point: Point,
    shared: Arc<Shared>,
    barrier: Arc<Barrier>,
    options: Options,
}

/// Mounts `lab` on `dir`.
///
/// # Errors
/// The directory or the machine will not do; nothing is left mounted then.
pub fn mount(lab: Lab, dir: &Path, options: &Options) -> Result<Mounted, MountError> {
    mount_first(lab, Top::Lab, dir, options)
}

/// Mounts the `proc` of `lab` on `dir`, and nothing else of it.
///
/// # Errors
/// As [`mount`].
pub fn mount_proc(lab: Lab, dir: &Path, options: &Options) -> Result<Mounted, MountError> {
    mount_first(lab, Top::Proc, dir, options)
}

/// Whether this process is a program of a lab: its `/proc` is one of Linux's by its type, and of a lab by its text. The `proc` of
/// a lab that is mounted on `/proc` of the host is a FUSE file system.
pub fn is_in_lab() -> bool {
    let is_of_lab =
        || fs::read("/proc/version").is_ok_and(|text| text.windows(13).any(|part| part == b"(nslab@nslab)"));
    statfs("/proc").is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC) && is_of_lab()
}

fn mount_first(lab: Lab, top: Top, dir: &Path, options: &Options) -> Result<Mounted, MountError> {
    let device = open_device()?;
    let (path, _claim) = point::prepare(dir, options.nonempty)?;
    // The lab may cover `/proc`, which nobody answers for until the lab does. Counting the cores looks there, and so
    // do the tables of `Shared`.
    let config = config(options);
    let lab = if options.realtime { lab.in_real_time() } else { lab };
    let (notices, waiting) = Notices::new();
    let (drawers, jobs) = Drawers::new();
    let (pollers, rung) = Pollers::new();
    let shared = Shared::new(lab, geteuid().as_raw(), options.bounds, (notices, drawers, pollers));
    let shared = Arc::new(shared.map_err(|error| MountError::Io(path.clone(), io::Error::other(error)))?);
    let device = attach(device, &path, options).map_err(|error| if is_in_lab() { MountError::InLab } else { error })?;
    let part = if top == Top::Proc { Part::Proc } else { Part::Whole };
    let point = Point::of_new_mount(path, options.boot.as_deref(), part)?;
    let started = start(Arc::clone(&shared), (top, options), device, config)
        .and_then(|started| poll::start(Arc::downgrade(&shared), rung, &point).map(|()| started))
        .and_then(|started| start_threads((waiting, jobs), &point).map(|()| started));
    Mounted::of(started, point, options)
}

impl Served {
    /// Mounts `proc` of the lab on a directory as well. It goes when the lab goes.
    ///
    /// # Errors
    /// As [`mount`]; the directory is in the lab, or the lab below it.
    pub fn mount_proc(&self, dir: &Path) -> Result<Mounted, MountError> {
        let device = open_device()?;
        self.point.check_apart(dir)?;
        let (path, _claim) = point::prepare(dir, self.options.nonempty)?;
        let config = config(&self.options);
        let device = attach(device, &path, &self.options)?;
        let part = Part::ProcOf(self.point.path().to_owned());
        let point = Point::of_new_mount(path, self.options.boot.as_deref(), part)?;
        let started = start(Arc::clone(&self.shared), (Top::Proc, &self.options), device, config);
        let mounted = Mounted::of(started, point, &self.options)?;
        self.point.takes_along(mounted.point.clone());
        Ok(Mounted { goes_with: Some(self.point.clone()), ..mounted })
    }
}

impl Served {
    /// The lab itself. What changes it goes through [`Served::perform`], so that no cache shows what was before.
    pub fn lab(&self) -> &Arc<Lab> {
        &self.shared.lab
    }

    /// Where it is.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// As [`Lab::perform`]; who looks through a mount afterwards may see what was before until [`Served::settle`] returns.
    ///
    /// # Errors
    /// As [`Lab::perform`].
    pub fn perform(
        &self,
        caller: impl FnOnce(&Kernel) -> errno::Result<TaskId>,
        call: &AnyCall,
        line: impl FnOnce(&Kernel, TaskId) -> String,
    ) -> Outcome {
        self.shared.change(|lab| lab.perform(caller, call, line))
    }

    /// Returns when what was asked through this mount before has been done: the real kernel tells late that a file is closed,
    /// but asks for nothing else before.
    pub fn catch_up(&self) {
        self.barrier.pass(self.point.path());
    }

    /// Returns when nobody can get from a cache what changes up to now made stale.
    pub fn settle(&self) {
        self.shared.notices.wait();
    }
}

impl Mounted {
    fn of(
        started: io::Result<(Arc<Connection>, Session<LabFs>)>,
        point: Point,
        options: &Options,
    ) -> Result<Mounted, MountError> {
        match started {
            Ok((connection, session)) => {
                let options = options.clone();
                Ok(Mounted { point, connection, options, session, goes_with: None })
            }
            Err(error) => {
                point.detach()?;
                Err(MountError::Io(point.path().to_owned(), error))
            }
        }
    }

    /// Where it is.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// What is there.
    pub fn lab(&self) -> &Arc<Lab> {
        &self.connection.shared.lab
    }

    /// What it takes to serve it.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.connection))
    }

    /// The lab, for more mounts of it.
    pub fn served(&self) -> Served {
        let (point, options) = (self.point.clone(), self.options.clone());
        let Connection { shared, barrier, .. } = &*self.connection;
        Served { point, shared: Arc::clone(shared), barrier: Arc::clone(barrier), options }
    }

    /// Answers requests until this is unmounted and nobody uses it any more.
    ///
    /// # Errors
    /// The connection failed.
    pub fn serve(self) -> io::Result<()> {
        let ended = self.session.run();
        let Connection { shared, notifier, .. } = &*self.connection;
        shared.notices.remove(notifier);
        shared.lab.note_faults();
        // Of a mount that was aborted nobody says that they are closed.
        shared.handles.of_mount(notifier).into_iter().for_each(|fh| shared.close(fh));
        if let Some(lab) = &self.goes_with {
            lab.leaves(&self.point);
        }
        self.point.clean_up().map_err(io::Error::other)?;
        ended.or_else(|error| if is_unmount(&error) { Ok(()) } else { Err(error) })
    }
}

/// How a mount is served.
fn config(options: &Options) -> Config {
    let mut config = Config::default();
    let cores = if options.in_order { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
    config.n_threads = Some(cores.clamp(*THREADS.start(), *THREADS.end()));
    config
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

/// Shakes hands with the host's kernel.
fn start(
    shared: Arc<Shared>,
    (top, options): (Top, &Options),
    device: File,
    config: Config,
) -> io::Result<(Arc<Connection>, Session<LabFs>)> {
    let threads = config.n_threads.unwrap_or(1);
    let connection = Arc::new(Connection::new(shared, (top, options.links), device.try_clone()?, threads));
    if options.allow_other {
        connection.inodes.keep_no_task_names();
    }
    let lab_fs = LabFs { connection: Arc::clone(&connection) };
    // Who may use the mount at all is checked by the host's kernel.
    let session = Session::from_fd(lab_fs, device.into(), SessionACL::All, config)?;
    Ok((connection, session))
}

/// Starts the threads of a lab, whatever mounts it has: the one that notifies the host's kernel, and those that draw.
fn start_threads((waiting, jobs): (Waiting, Jobs), point: &Point) -> io::Result<()> {
    drawer::start(jobs, point)?;
    let watch = Watch::new(point);
    let notify = move || {
        let _watch = watch;
        waiting.run();
    };
    thread::Builder::new().name("notifier".to_owned()).spawn(notify)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::fuse::inode::{Inodes, Stale};
    use crate::fuse::notify::Notifier;
    use crate::fuse::point::{Users, is_lab, unmount};
    use crate::kernel::Kernel;

    /// A lab of this process, as `testing::Lab` has it, until it is taken off.
    fn with_lab(act: impl FnOnce(&Connection, &Path)) {
        if open_device().is_err() {
            return eprintln!("skipped: no FUSE here");
        }
        let dir = tempfile::tempdir().unwrap();
        let mounted = mount(Lab::new(Kernel::boot()), dir.path(), &Options::default()).unwrap();
        let connection = Arc::clone(&mounted.connection);
        let session = thread::spawn(move || mounted.serve());
        assert!(is_lab(dir.path()));
        act(&connection, dir.path());
        drop(connection);
        session.join().unwrap().unwrap();
        assert!(!is_lab(dir.path()));
    }

    #[test]
    fn a_panic_in_a_thread_that_draws_ends_the_lab() {
        with_lab(|lab, _| lab.shared.drawers.hand_over(false, Box::new(|| panic!("provoked by a test"))));
    }

    #[test]
    fn a_panic_in_the_thread_that_notifies_ends_the_lab() {
        with_lab(|lab, _| {
            let slow = Box::new(|| thread::sleep(Duration::from_millis(100)));
            lab.shared.notices.push(slow);
            lab.shared.notices.push(Box::new(|| panic!("provoked by a test")));
        });
    }

    /// Names are not kept there: each use is a request, and nothing but that tells of what has gone.
    #[test]
    fn on_older_kernels_each_use_of_a_name_asks() {
        with_lab(|lab, dir| {
            let keeps = lab.inodes.keeps_names();
            let uses = |name: &str| {
                let ino = fs::metadata(dir.join(name)).unwrap().ino();
                let before = lab.inodes.answers(ino);
                fs::metadata(dir.join(name)).unwrap();
                lab.inodes.answers(ino) - before
            };
            assert_eq!(uses("proc/1"), u64::from(!keeps));
            lab.inodes.keep_no_names();
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
        let device = tempfile::tempfile().unwrap();
        notices.add(Arc::new(Notifier::new(device, Arc::new(Inodes::new(9, Top::Lab)))));
        let stale = |_: &Inodes| Stale { attrs: [7].into(), ..Stale::default() };
        notices.after(note(0));
        assert_eq!(*order.lock().unwrap(), [0], "nothing was changed before: it is done at once");
        assert_eq!(notices.change(|| (1, stale)), 1);
        notices.after(note(1));
        notices.change(|| ((), |_: &Inodes| Stale::default()));
        notices.after(note(2));
        notices.change(|| ((), stale));
        notices.after(note(3));
        assert_eq!(*order.lock().unwrap(), [0], "caches may be stale");
        let notifier = thread::spawn(move || waiting.run());
        drop(notices);
        notifier.join().unwrap();
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    }
}
