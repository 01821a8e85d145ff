//! Layer 4: [`Lab`], a mounted lab for tests. Each is on its own and unmounts when dropped, so any number may be used
//! at once. A test that needs no mount is faster with [`headless::Lab`].
//!
//! ```no_run
//! use nslab::testing::Lab;
//!
//! let lab = Lab::boot("WEB = 1 clone newnet newpid")?;
//! let web = lab.pid("WEB").expect("the script has made it");
//! assert_ne!(lab.read_link("proc/1/ns/net")?, lab.read_link(format!("proc/{web}/ns/net"))?);
//! let child = lab.spawn(web, "newipc")?;
//! lab.call(child, "prctl name inner")?;
//! let procfs = lab.at("proc"); // hand this to the code under test
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::error::Error;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;

use crate::errno::Errno;
use crate::exec;
use crate::fuse::{self, Gauge, Mounted, Options, Point, Served};
use crate::headless::{self, Pid};
use crate::host;
use crate::kernel::Kernel;
use crate::record::files::Disk;
use crate::record::leaks::Holdings;
use crate::script::check::{self, Check};
use crate::script::file::FileError;
use crate::script::{ScriptError, Session};

/// A lab, mounted on a temporary directory and served by threads of this process.
#[derive(Debug)]
pub struct Lab {
    point: Point,
    served: Served,
    gauge: Gauge,
    /// The names that the script has made which it booted with.
    names: Session,
    // Removed after the lab was taken off it.
    _dir: TempDir,
}

/// The `proc` of a [`Lab`] as a mount of its own, for programs that insist on a mount point. It goes when it is dropped, or
/// with the lab.
#[derive(Debug)]
pub struct Procfs {
    point: Point,
    gauge: Gauge,
    _dir: TempDir,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    pub errno: Errno,
    /// The failed check, or what kept the control file from being used.
    pub reason: String,
}

impl Lab {
    /// A lab in the boot state.
    ///
    /// # Errors
    /// Nothing can be mounted on this machine: [`fuse::MountError`] says what is missing.
    pub fn new() -> io::Result<Lab> {
        Lab::mount(Kernel::boot())
    }

    /// A lab that has executed the lines of `script`, in the `.lab` language.
    ///
    /// # Errors
    /// As [`Lab::new`]; a line fails: the error says which.
    pub fn boot(script: &str) -> io::Result<Lab> {
        Lab::of(headless::Lab::headless(script).map_err(io::Error::other)?)
    }

    /// The same of a script file, which may include others.
    ///
    /// # Errors
    /// As [`Lab::boot`]; the file cannot be read.
    pub fn boot_file(file: impl AsRef<Path>) -> io::Result<Lab> {
        Lab::of(headless::Lab::headless_file(file).map_err(io::Error::other)?)
    }

    /// A lab without a mount, for tests that need none: see [`headless::Lab::headless`].
    ///
    /// # Errors
    /// A line fails: the error says which.
    pub fn headless(script: &str) -> Result<headless::Lab, ScriptError> {
        headless::Lab::headless(script)
    }

    fn of(lab: headless::Lab) -> io::Result<Lab> {
        let (kernel, names) = lab.into_parts();
        let mut lab = Lab::mount(kernel)?;
        lab.names = names;
        Ok(lab)
    }

    /// # Errors
    /// As [`Lab::new`].
    pub fn mount(kernel: Kernel) -> io::Result<Lab> {
        Lab::mount_with(kernel, &Options::default())
    }

    /// # Errors
    /// As [`Lab::new`].
    pub fn mount_with(kernel: Kernel, options: &Options) -> io::Result<Lab> {
        let dir = temporary()?;
        let mounted = fuse::mount(host::Lab::new(kernel), dir.path(), options).map_err(io::Error::other)?;
        let (point, served, gauge) = (mounted.point().clone(), mounted.served(), mounted.gauge());
        let lab = Lab { point, served, gauge, names: Session::default(), _dir: dir };
        serve(mounted)?;
        Ok(lab)
    }

    /// Mounts `proc` of this lab on a temporary directory as well: both show the same at every moment.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn procfs(&self) -> io::Result<Procfs> {
        let dir = temporary()?;
        let mounted = self.served.mount_proc(dir.path()).map_err(io::Error::other)?;
        let procfs = Procfs { point: mounted.point().clone(), gauge: mounted.gauge(), _dir: dir };
        serve(mounted)?;
        Ok(procfs)
    }

    /// What serving the lab takes, and what operations on it cost.
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// The top of the lab.
    pub fn path(&self) -> &Path {
        self.point.path()
    }

    /// Where `file`, a path of the lab such as `proc/1/status`, is on the host.
    pub fn at(&self, file: impl AsRef<Path>) -> PathBuf {
        self.path().join(file)
    }

    /// # Errors
    /// As [`fs::read_to_string`].
    pub fn read(&self, file: impl AsRef<Path>) -> io::Result<String> {
        fs::read_to_string(self.at(file))
    }

    /// # Errors
    /// As [`fs::read_link`].
    pub fn read_link(&self, file: impl AsRef<Path>) -> io::Result<PathBuf> {
        fs::read_link(self.at(file))
    }

    /// Lets `nslab exec LAB` run programs in the lab, for as long as this process lives.
    ///
    /// # Errors
    /// A socket or a thread cannot be made.
    pub fn serve_programs(&self) -> io::Result<()> {
        exec::listen(&self.served)
    }

    /// Lets calls and reads fail on demand, as lines written to `kernel/faults` say: `ENOSPC unshare comm=runc after=2`.
    ///
    /// # Errors
    /// EINVAL: a line is none of those; ESRCH: it names a task that is not there; ENOSPC: too many faults.
    pub fn fault(&self, lines: &str) -> Result<(), CallError> {
        let mut file = OpenOptions::new().read(true).write(true).open(self.at("kernel/faults"))?;
        let written = file.write_all(lines.as_bytes());
        written.map_err(|error| {
            let mut answer = String::new();
            // Then the error says what there is to say.
            let _ = file.read_to_string(&mut answer);
            refused(error, &answer)
        })
    }

    /// Executes the lines of a file, in the `.lab` language, on the lab as it is: all have to hold.
    ///
    /// # Errors
    /// The first line that does not, with its place and the reason.
    pub fn check(&self, file: impl AsRef<Path>) -> Result<(), FileError> {
        check::run(self.path(), &Check::load(file.as_ref())?)
    }

    /// The tasks, namespaces, pins and IPC objects that there are now. [`Holdings::left_since`] tells what somebody leaves
    /// behind, and who holds it.
    pub fn holdings(&self) -> Holdings {
        Holdings::of(&Disk(self.path().to_owned()))
    }

    /// The task whose number the script that the lab booted with has kept by this name.
    pub fn pid(&self, name: &str) -> Option<Pid> {
        headless::pid(&self.names, name)
    }

    /// Makes task `parent` clone itself, with the namespaces that `flags` name (`"newpid newnet"`, or nothing: a fork).
    ///
    /// # Errors
    /// As [`Lab::call`].
    pub fn spawn(&self, parent: impl Into<Pid>, flags: &str) -> Result<Pid, CallError> {
        let number = self.call(parent, &format!("clone {flags}"))?;
        let nonsense = || CallError { errno: Errno::EIO, reason: format!("the child has no number but {number}") };
        number.parse::<i32>().map(Pid::from).map_err(|_| nonsense())
    }

    /// Makes task `pid` do `call`, a verb and its arguments, through its control file. Gives the result without its
    /// newline.
    ///
    /// # Errors
    /// The call failed, or there is no such control file.
    pub fn call(&self, pid: impl Into<Pid>, call: &str) -> Result<String, CallError> {
        let pid = pid.into();
        let (verb, arguments) = call.split_once(' ').unwrap_or((call, ""));
        let control = self.at(format!("ctl/{pid}/{verb}"));
        let mut file = OpenOptions::new().read(true).write(true).open(control)?;
        let written = file.write_all(format!("{arguments}\n").as_bytes());
        let mut answer = String::new();
        file.read_to_string(&mut answer)?;
        let answer = answer.strip_suffix('\n').unwrap_or(&answer);
        written.map(|()| answer.to_owned()).map_err(|error| refused(error, answer))
    }
}

impl Drop for Lab {
    /// Takes the lab off its directory. Files that are still open keep working.
    fn drop(&mut self) {
        if let Err(error) = self.point.detach() {
            eprintln!("nslab: {error}");
        }
    }
}

impl Procfs {
    /// The top of this `proc`.
    pub fn path(&self) -> &Path {
        self.point.path()
    }

    /// Where `file`, a path of `proc` such as `1/status`, is on the host.
    pub fn at(&self, file: impl AsRef<Path>) -> PathBuf {
        self.path().join(file)
    }

    /// As [`Lab::gauge`].
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }
}

impl Drop for Procfs {
    fn drop(&mut self) {
        if let Err(error) = self.point.detach() {
            eprintln!("nslab: {error}");
        }
    }
}

/// The error of a write, with the reason that reading the same file gives.
fn refused(error: io::Error, answer: &str) -> CallError {
    let error = CallError::from(error);
    let answer = answer.trim_end();
    let reason = answer.split_once(": ").map_or(answer, |(_, reason)| reason);
    if reason.is_empty() { error } else { CallError { reason: reason.to_owned(), ..error } }
}

fn temporary() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("nslab-").tempdir()
}

fn serve(mounted: Mounted) -> io::Result<()> {
    thread::Builder::new().name("session".to_owned()).spawn(move || mounted.serve()).map(drop)
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> CallError {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        CallError { errno, reason: error.to_string() }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.errno, self.reason)
    }
}

impl Error for CallError {}
