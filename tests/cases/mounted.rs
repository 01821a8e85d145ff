//! Calls of a script through a mounted lab: control files for what has one, file operations below `as/<pid>/` for what
//! a host program would do with them, and `ctl/batch` for the rest.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nslab::err;
use nslab::errno::{Arg, Errno, Error, Result};
use nslab::script::{Call, Machine};
use nslab::syscall::{AnyCall, LabCall, Syscall};

/// A mounted lab that scripts run against.
pub struct Mounted(nslab::testing::Lab);

impl Mounted {
    /// A lab in the boot state.
    pub fn boot() -> Mounted {
        Mounted(nslab::testing::Lab::new().unwrap_or_else(|error| panic!("{error}")))
    }
}

impl Machine for Mounted {
    fn call(&mut self, pid: i32, request: &Call) -> Result<Vec<u8>> {
        call(self.0.path(), pid, request)
    }
}

/// Makes the task `pid` of the lab mounted at `root` do a call.
fn call(root: &Path, pid: i32, call: &Call) -> Result<Vec<u8>> {
    if call.verb.is_file {
        let file = root.join(format!("ctl/{pid}/{}", call.verb.name));
        return task_gone(root, pid, open_control(&file)).and_then(|file| command(file, &call.line()));
    }
    match file_operation(root, pid, &call.syscall) {
        Some(result) => task_gone(root, pid, result),
        None => {
            let line = format!("{pid} {} {}", call.verb.name, call.line());
            command(open_control(&root.join("ctl/batch")).map_err(from_io)?, &line)
        }
    }
}

fn open_control(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Writes a line and reads the answer from the same open file.
fn command(mut file: File, line: &str) -> Result<Vec<u8>> {
    let written = file.write(format!("{line}\n").as_bytes());
    let mut answer = Vec::new();
    file.read_to_end(&mut answer).map_err(from_io)?;
    let answer = answer.strip_suffix(b"\n").unwrap_or(&answer).to_vec();
    let Err(error) = written else { return Ok(answer) };
    let errno = from_io(error).errno;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let reason = answer.strip_prefix(&format!("{errno:?}: ")).unwrap_or_else(|| panic!("{errno:?} but: {answer}"));
    Err(Error::new(errno, "{}", vec![Arg::from(reason.to_owned())]))
}

/// What a host program would do below `as/<pid>/`; `None` for a path that only the task itself can resolve, and for a
/// write of nothing, which Linux does not pass on to a file system in user space.
fn file_operation(root: &Path, pid: i32, call: &AnyCall) -> Option<io::Result<Vec<u8>>> {
    let at = |path: &[u8]| host_path(root, pid, path);
    Some(match call {
        AnyCall::Lab(LabCall::Read { path }) => std::fs::read(at(path)?),
        AnyCall::Linux(Syscall::Readlink { path }) => {
            std::fs::read_link(at(path)?).map(|text| in_own_tree(pid, text.as_os_str().as_bytes()))
        }
        AnyCall::Linux(Syscall::Stat { path }) => std::fs::metadata(at(path)?).map(stat_text),
        AnyCall::Linux(Syscall::Lstat { path }) => std::fs::symlink_metadata(at(path)?).map(stat_text),
        AnyCall::Lab(LabCall::Ls { path }) => list(&at(path)?),
        AnyCall::Lab(LabCall::Write { bytes, .. }) if bytes.is_empty() => return None,
        AnyCall::Lab(LabCall::Write { path, bytes }) => {
            OpenOptions::new().write(true).open(at(path)?).and_then(|mut file| write_once(&mut file, bytes))
        }
        _ => return None,
    })
}

/// The path in the task's own file tree that a link of the mount means, which leads there by way of `as/<pid>/root`.
fn in_own_tree(pid: i32, text: &[u8]) -> Vec<u8> {
    let root = format!("as/{pid}/root");
    let below = std::str::from_utf8(text).ok().and_then(|text| text.trim_start_matches("../").strip_prefix(&root));
    match below {
        Some("") => b"/".to_vec(),
        Some(path) if text.starts_with(b"../") => path.as_bytes().to_vec(),
        _ => text.to_vec(),
    }
}

fn write_once(file: &mut File, bytes: &[u8]) -> io::Result<Vec<u8>> {
    file.write(bytes).map(|written| written.to_string().into_bytes())
}

/// Where `path` is on the host, if it is in the lab's view and not in the task's own tree.
fn host_path(root: &Path, pid: i32, path: &[u8]) -> Option<PathBuf> {
    let text = std::str::from_utf8(path).ok()?;
    let is_own = ["fd:", "/", "./", "../"].iter().any(|start| text.starts_with(start));
    (!is_own).then(|| root.join(format!("as/{pid}")).join(text))
}

fn list(path: &Path) -> io::Result<Vec<u8>> {
    let names: io::Result<Vec<_>> = std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect();
    Ok(names?.iter().map(|name| name.as_bytes()).collect::<Vec<_>>().join(&b'\n'))
}

/// "type mode uid gid ino"
fn stat_text(stat: Metadata) -> Vec<u8> {
    let file_type = match stat.file_type() {
        t if t.is_dir() => "directory",
        t if t.is_symlink() => "symlink",
        _ => "file",
    };
    format!("{file_type} {:04o} {} {} {}", stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.ino()).into_bytes()
}

/// A file that is missing because the task is dead or gone means what a call by that task would give.
fn task_gone<T>(root: &Path, pid: i32, result: io::Result<T>) -> Result<T> {
    result.map_err(|error| match from_io(error) {
        error if error.errno == Errno::ENOENT && !root.join(format!("ctl/{pid}/clone")).exists() => {
            err!(ESRCH, "pid {} is dead or gone", pid)
        }
        error => error,
    })
}

fn from_io(error: io::Error) -> Error {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    Error::new(errno, "{}", vec![Arg::from(error.to_string())])
}
