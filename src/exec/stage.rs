//! The processes that are made before anything else: the program's, which waits until it is traced, and the bell.

use std::cell::Cell;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::prctl::set_name;
use nix::unistd::{pipe2, setsid};

use super::filter;
use super::sys::{self, Resume, Tid};
use super::tracee::Stop;
use crate::errno::describe;
use crate::fuse::{self, Users};

/// What a shell's exit status is for a program that is not there, and for one that cannot be run.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;
/// What ours is when nslab itself fails.
pub const FAILED: i32 = 125;

/// A process that becomes the program when it is told to.
#[derive(Debug)]
pub struct Child {
    pub tid: Tid,
    go: File,
}

impl Child {
    /// Makes it. This process may have one thread only.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM, EMFILE
    pub fn new(argv: &[OsString]) -> io::Result<Child> {
        check_architecture()?;
        let argv = argv.iter().map(|word| CString::new(word.clone().into_vec())).collect::<Result<Vec<_>, _>>()?;
        let (wait, go) = pipe2(OFlag::O_CLOEXEC)?;
        let writer = go.as_raw_fd();
        let tid = sys::fork(move || {
            // Otherwise it would wait for itself.
            let _ = nix::unistd::close(writer);
            become_program(File::from(wait), &argv)
        })?;
        Ok(Child { tid, go: File::from(go) })
    }

    /// Lets it become the program.
    ///
    /// # Errors
    /// EPIPE: it is gone.
    pub fn go(&self) -> io::Result<()> {
        (&self.go).write_all(b"g")
    }
}

/// What the child does; the exit status if it does not become the program.
fn become_program(mut wait: File, argv: &[CString]) -> i32 {
    // The end of the file: nobody will run us.
    if wait.read_exact(&mut [0]).is_err() {
        return FAILED;
    }
    // The library of this language ignores it; programs expect the default.
    sys::set_action(libc::SIGPIPE, false);
    if let Err(error) = sys::drop_privileges().and_then(|()| sys::install_filter(&filter::program())) {
        eprintln!("nslab: {}: `nslab doctor` says what this host does not allow", describe(&error));
        return FAILED;
    }
    let error = sys::exec(argv);
    eprintln!("nslab: {}: {}", argv[0].to_string_lossy(), describe(&error));
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// A child of ours that does nothing. When somebody signals it, the supervisor, which waits for the stops of its children,
/// learns that there is something else to do. When the supervisor dies, however that is, the bell takes a private lab off its
/// directory. It has a session of its own: who kills the supervisor's process group leaves it.
#[derive(Debug)]
pub struct Bell {
    pub tid: Tid,
    _alive: OwnedFd,
}

/// The directory of a private lab, made by the bell. So it is never there without somebody who removes it.
#[derive(Debug)]
pub struct PrivateDir(PathBuf);

impl PrivateDir {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // The bell tries again.
        let _ = fs::remove_dir(&self.0);
    }
}

impl Bell {
    /// Makes it. This process may have one thread only.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM, EMFILE
    pub fn new() -> io::Result<Bell> {
        let (end, alive) = pipe2(OFlag::O_CLOEXEC)?;
        let tid = sys::fork(move || {
            stand_apart();
            sys::close_all_but(&[end.as_raw_fd()]);
            wait_for(end);
            0
        })?;
        Ok(Bell { tid, _alive: alive })
    }

    /// Makes one that has made a directory for a lab.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM, EMFILE; what mkdir(2) says of the directory for temporary files.
    pub fn with_dir() -> io::Result<(Bell, PrivateDir)> {
        let (end, alive) = pipe2(OFlag::O_CLOEXEC)?;
        let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
        let tid = sys::fork(move || {
            stand_apart();
            sys::close_all_but(&[end.as_raw_fd(), tell.as_raw_fd()]);
            let made = make_dir();
            let (errno, path) = match &made {
                Ok(dir) => (0, dir.as_os_str().as_bytes()),
                Err(errno) => (*errno, &b""[..]),
            };
            // Who does not hear of it is dead.
            let _ = File::from(tell).write_all(&[&errno.to_ne_bytes(), path].concat());
            wait_for(end);
            made.iter().for_each(|dir| clean_up(dir));
            0
        })?;
        let mut message = Vec::new();
        File::from(told).read_to_end(&mut message)?;
        match message.split_first_chunk() {
            Some((&errno, path)) => match i32::from_ne_bytes(errno) {
                0 => Ok((Bell { tid, _alive: alive }, PrivateDir(OsStr::from_bytes(path).into()))),
                errno => Err(io::Error::from_raw_os_error(errno)),
            },
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Makes a directory for nobody else, among the temporary ones; what mkdir(2) says otherwise, which the library keeps for itself.
fn make_dir() -> Result<PathBuf, i32> {
    let errno = Cell::new(libc::EIO);
    let made = tempfile::Builder::new().prefix("nslab-").make(|path| {
        let made = DirBuilder::new().mode(0o700).create(path);
        made.inspect_err(|error| errno.set(error.raw_os_error().unwrap_or(libc::EIO)))
    });
    made.ok().and_then(|made| made.into_temp_path().keep().ok()).ok_or_else(|| errno.get())
}

/// Leaves the process group, and the name, by which others kill the supervisor.
fn stand_apart() {
    // Neither fails for a child that was just made.
    let _ = setsid();
    let _ = set_name(c"bell");
}

/// Waits for the end of a file. Until then each signal is taken from us by who traces us.
fn wait_for(end: OwnedFd) {
    let _ = File::from(end).read_exact(&mut [0]);
}

/// Takes off what a supervisor has left that was killed. The program that mounts for users may still be at it.
fn clean_up(dir: &Path) {
    const TRIES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(50);
    for _ in 0..TRIES {
        // It is gone already where the supervisor ended as it should.
        let _ = fuse::unmount(dir, Users::Leave);
        match fs::remove_dir(dir) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Traces a child that does nothing but to set a filter and end, to see whether this host allows that.
///
/// # Errors
/// EPERM, EACCES, EINVAL, ENOSYS: it does not. This process may have one thread only.
pub fn try_to_trace() -> io::Result<()> {
    check_architecture()?;
    let (wait, mut go) = pipe2(OFlag::O_CLOEXEC).map(|(wait, go)| (File::from(wait), File::from(go)))?;
    let tid = sys::fork(move || {
        let mut wait = wait;
        let is_told = wait.read_exact(&mut [0]).is_ok();
        let is_filtered =
            is_told && sys::drop_privileges().and_then(|()| sys::install_filter(&filter::program())).is_ok();
        i32::from(!is_filtered)
    })?;
    let seized = sys::seize(tid, true);
    go.write_all(b"g")?;
    loop {
        match sys::wait()? {
            (found, status) if found == tid => match Stop::of(status) {
                Stop::Ended(0) => return seized,
                Stop::Ended(_) => return seized.and(Err(io::Error::from_raw_os_error(libc::EPERM))),
                _ => sys::resume(tid, Resume::Cont, 0)?,
            },
            _ => {}
        }
    }
}

/// # Errors
/// ENOSYS: the registers of this machine are not known.
pub fn check_architecture() -> io::Result<()> {
    if cfg!(target_arch = "x86_64") { Ok(()) } else { Err(io::Error::other("programs run on x86-64 only yet")) }
}
