//! Mounting: the connection to the host's kernel, the threads that serve it, and the end of both.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read};
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
use super::error::MountError;
use super::mountinfo::FS_TYPE;
use super::notify::{Notices, Notifier, Waiting};
use super::options::Options;
use super::point::{self, Point};
use crate::host::Lab;

const DEVICE: &str = "/dev/fuse";
/// What mountinfo shows as the source.
const SOURCE: &str = "nslab";
/// The most threads that serve one lab: beyond the host's cores more do not help.
const THREADS_MAX: usize = 8;

/// A lab on a directory, whose requests are answered once [`Mounted::serve`] runs.
#[derive(Debug)]
pub struct Mounted {
    point: Point,
    lab: Arc<Lab>,
    session: Session<LabFs>,
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
    config.n_threads = Some(thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX)));
    let lab = if options.realtime { lab.in_real_time() } else { lab };
    let (notices, waiting) = Notices::new();
    let shared = Shared::new(lab, geteuid().as_raw(), options.links, notices);
    let shared = Arc::new(shared.map_err(|error| MountError::Io(path.clone(), io::Error::other(error)))?);
    let lab = Arc::clone(&shared.lab);
    let device = attach(device, &path, options)?;
    let point = Point::of_new_mount(path, options.boot.as_deref())?;
    match start(shared, waiting, device, config) {
        Ok(session) => Ok(Mounted { point, lab, session }),
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
        &self.lab
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

/// Shakes hands with the host's kernel and starts the thread that notifies it.
fn start(shared: Arc<Shared>, waiting: Waiting, device: File, config: Config) -> io::Result<Session<LabFs>> {
    let (notifier, inodes) = (Notifier::new(device.try_clone()?), Arc::clone(&shared.inodes));
    // Who may use the mount at all is checked by the host's kernel.
    let connection = Notifier::new(device.try_clone()?);
    let session = Session::from_fd(LabFs { shared, connection }, device.into(), SessionACL::All, config)?;
    thread::Builder::new().name("notifier".to_owned()).spawn(move || notifier.run(&inodes, &waiting))?;
    Ok(session)
}
