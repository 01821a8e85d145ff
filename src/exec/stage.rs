//! The processes that are made before anything else: the program's, which waits until it is traced, and the bell.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

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
/// directory.
#[derive(Debug)]
pub struct Bell {
    pub tid: Tid,
    _alive: OwnedFd,
}

impl Bell {
    /// Makes it. This process may have one thread only. `dir` is the directory of the lab, if it
    /// is to go.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM, EMFILE
    pub fn new(dir: Option<&Path>) -> io::Result<Bell> {
        let (end, alive) = pipe2(OFlag::O_CLOEXEC)?;
        let dir = dir.map(Path::to_owned);
        let tid = sys::fork(move || {
            // Who kills the supervisor with all of its process group does not mean us: we take the lab off then.
            let _ = nix::unistd::setsid();
            sys::close_all_but(end.as_raw_fd());
            // The end of the file. Until then each signal is taken from us by who traces us.
            let _ = File::from(end).read_exact(&mut [0]);
            dir.iter().for_each(|dir| clean_up(dir));
            0
        })?;
        Ok(Bell { tid, _alive: alive })
    }
}

/// Takes off what a supervisor has left that was killed.
fn clean_up(dir: &Path) {
    // It is gone already where the supervisor ended as it should.
    let _ = fuse::unmount(dir, Users::Leave);
    let _ = fs::remove_dir(dir);
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
