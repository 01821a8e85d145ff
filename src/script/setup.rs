//! Lines about a lab rather than about a task: what the host does to it. They are for files; in a mounted lab the host's
//! programs do it themselves.

use std::fmt;

use super::{profile, seen};
use crate::control::args::Args;
use crate::control::lex::{Word, quote};
use crate::errno::Result;
use crate::kernel::file::{Bound, OpenFlags};
use crate::kernel::node::Node;
use crate::kernel::profile::Profile;
use crate::kernel::{Kernel, TaskId};
use crate::lab;
use crate::syscall::{AnyCall, Become, LabCall};
use crate::tree::{self, ROOT};
use crate::{bail, err};

/// What is done to a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// `mkdir PATH [MODE]`, a path of the mount; the mode is the directory's.
    Mkdir { path: Vec<u8>, mode: u16 },
    /// `rmdir PATH`
    Rmdir { path: Vec<u8> },
    /// `write PATH [opened=N] [pos=N] TEXT…`
    Write { path: Vec<u8>, opened: Option<Opened>, pos: u64, bytes: Vec<u8> },
    /// `tick NANOSECONDS`: real time has passed.
    Tick { nanos: u64 },
    /// `faults TEXT…`: what is written to `kernel/faults`.
    Faults { text: Vec<u8> },
    /// `limits [tasks=N] [memory=BYTES]`: what the lab may use up; `None`: as before.
    Limits { tasks: Option<u32>, memory: Option<u64> },
    /// `become PID KEY=VALUE…`: a task is as it was seen on another machine.
    Become { pid: i32, seen: Box<Become> },
    /// `boot KEY=VALUE…`: the machine that the lab is; the first statement of a file.
    Boot(Profile),
    /// `attach PID HOSTPID [start=TICKS]`: only a process that started then.
    Attach { pid: i32, host_pid: u32, start: Option<u64> },
}

/// When a file was opened that would be another one if it were opened at the time of the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The line of the journal after which that was.
    pub line: u64,
    /// What the open decided, once it is known.
    pub file: Option<Bound>,
}

/// The first words of such lines, and what follows.
const USAGES: [(&str, &str); 9] = [
    ("mkdir", "PATH [MODE]"),
    ("rmdir", "PATH"),
    ("write", "PATH [opened=N] [pos=N] TEXT…"),
    ("tick", "NANOSECONDS"),
    ("faults", "TEXT…"),
    ("limits", "[tasks=N] [memory=BYTES]"),
    ("boot", profile::USAGE),
    ("become", seen::USAGE),
    ("attach", "PID HOSTPID [start=TICKS]"),
];

/// Of a directory that `mkdir` makes without one.
const MKDIR_MODE: u16 = 0o755;

/// The word that begins such a line, if it is one.
pub fn name_of(word: &[u8]) -> Option<&'static str> {
    USAGES.iter().map(|(name, _)| *name).find(|name| name.as_bytes() == word)
}

impl Setup {
    /// Parses the words after `name`, one of those that [`name_of`] gives.
    ///
    /// # Errors
    /// EINVAL
    pub fn new(name: &str, words: &[Word]) -> Result<Setup> {
        let mut args = Args::new(words);
        let parsed = parse(name, &mut args).and_then(|setup| args.finish().map(|()| setup));
        let usage = USAGES.iter().find(|(known, _)| *known == name).map_or("", |(_, usage)| usage);
        parsed.map_err(|error| err!(EINVAL, "{}; usage: {} {}", error.reason(), name.to_owned(), usage))
    }

    /// The call of the host that this is, and the task that makes it.
    ///
    /// # Errors
    /// ENOENT and others: what the path of the line leads through; EINVAL: it is no call.
    pub fn host_call(&self, k: &Kernel) -> Result<(TaskId, AnyCall)> {
        match self {
            Setup::Mkdir { path, mode } => {
                let (task, dir, name) = find_parent(k, path)?;
                Ok((task, LabCall::MkdirAt { dir, name, mode: *mode }.into()))
            }
            Setup::Rmdir { path } => {
                let (task, dir, name) = find_parent(k, path)?;
                Ok((task, LabCall::RmdirAt { dir, name }.into()))
            }
            Setup::Write { path, opened, pos, bytes } => {
                let file = match opened {
                    None => open(k, path)?,
                    Some(Opened { file: Some(file), .. }) => file.clone(),
                    Some(Opened { file: None, .. }) => bail!(EINVAL, "opened=N is for the lines of a journal"),
                };
                Ok((viewer(k, file.node), LabCall::WriteAt { file, pos: *pos, bytes: bytes.clone() }.into()))
            }
            Setup::Become { pid, seen } => match k.find_task(*pid) {
                Some(task) => Ok((task, LabCall::Become(seen.clone()).into())),
                None => bail!(ESRCH, "no task has the number {}", *pid),
            },
            Setup::Tick { nanos } => Ok((k.init.task, AnyCall::Tick { nanos: *nanos })),
            Setup::Faults { .. } | Setup::Limits { .. } | Setup::Boot(_) | Setup::Attach { .. } => {
                bail!(EINVAL, "this is no call")
            }
        }
    }
}

fn parse(name: &str, args: &mut Args<'_>) -> Result<Setup> {
    Ok(match name {
        "mkdir" => {
            let path = args.bytes("PATH")?.to_vec();
            let mode = args.optional_mode()?.unwrap_or(MKDIR_MODE);
            Setup::Mkdir { path, mode }
        }
        "rmdir" => Setup::Rmdir { path: args.bytes("PATH")?.to_vec() },
        "write" => {
            let path = args.bytes("PATH")?.to_vec();
            let opened = args.keyed_number("opened=")?.map(|line| Opened { line, file: None });
            let pos = args.keyed_number("pos=")?.unwrap_or(0);
            Setup::Write { path, opened, pos, bytes: args.rest().join(&b' ') }
        }
        "tick" => Setup::Tick { nanos: args.number("NANOSECONDS")? },
        "faults" => Setup::Faults { text: args.rest().join(&b' ') },
        "limits" => {
            let (tasks, memory) = (args.keyed_number("tasks=")?, args.keyed_number("memory=")?);
            if tasks == Some(0) || memory == Some(0) || tasks.or(memory).is_none() {
                bail!(EINVAL, "a limit is a number from 1 on");
            }
            let tasks = tasks.map(u32::try_from).transpose();
            Setup::Limits { tasks: tasks.map_err(|_| err!(EINVAL, "that many tasks are not possible"))?, memory }
        }
        "boot" => Setup::Boot(profile::parse(args)?),
        "become" => Setup::Become { pid: args.number("PID")?, seen: Box::new(seen::parse(args)?) },
        _ => {
            let (pid, host_pid) = (args.number("PID")?, args.number("HOSTPID")?);
            Setup::Attach { pid, host_pid, start: args.keyed_number("start=")? }
        }
    })
}

/// Opens the file at a path of the mount for writing.
///
/// # Errors
/// What the path leads through; those of [`lab::open`].
pub fn open(k: &Kernel, path: &[u8]) -> Result<Bound> {
    let node = find(k, path)?;
    // Programs may have written to files of their trees.
    tree::open(k, lab::eyes(viewer(k, node)), node, OpenFlags::WRITE)
}

/// The file at a path of the mount, which leads through no symbolic links.
fn find(k: &Kernel, path: &[u8]) -> Result<Node> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
    names.into_iter().try_fold(ROOT, |dir, name| tree::lookup(k, lab::eyes(viewer(k, dir)), dir, name))
}

/// The directory that a path of the mount is in.
///
/// # Errors
/// What the path leads through.
pub fn parent(k: &Kernel, path: &[u8]) -> Result<Node> {
    find_parent(k, path).map(|(_, dir, _)| dir)
}

fn find_parent(k: &Kernel, path: &[u8]) -> Result<(TaskId, Node, Vec<u8>)> {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    let (dir, name) = slash.map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]));
    let dir = find(k, dir)?;
    Ok((viewer(k, dir), dir, name.to_vec()))
}

/// The task whose eyes a file is seen with.
fn viewer(k: &Kernel, node: Node) -> TaskId {
    node.view.viewer().unwrap_or(k.init.task)
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setup::Mkdir { path, mode } => write!(f, "mkdir {} {mode:o}", quote(path)),
            Setup::Rmdir { path } => write!(f, "rmdir {}", quote(path)),
            Setup::Write { path, opened, pos, bytes } => {
                let opened = opened.as_ref().map_or(String::new(), |opened| format!(" opened={}", opened.line));
                write!(f, "write {}{opened} pos={pos} {}", quote(path), quote(bytes))
            }
            Setup::Tick { nanos } => write!(f, "tick {nanos}"),
            Setup::Faults { text } => write!(f, "faults {}", quote(text)),
            Setup::Limits { tasks, memory } => {
                f.write_str("limits")?;
                tasks.map_or(Ok(()), |tasks| write!(f, " tasks={tasks}"))?;
                memory.map_or(Ok(()), |memory| write!(f, " memory={memory}"))
            }
            Setup::Become { pid, seen } => write!(f, "become {pid}{}", seen::line(seen)),
            Setup::Boot(profile) => f.write_str(profile::line(profile).trim_end()),
            Setup::Attach { pid, host_pid, start } => {
                write!(f, "attach {pid} {host_pid}")?;
                start.map_or(Ok(()), |start| write!(f, " start={start}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Machine;

    fn limits(line: &str) -> Result<Setup> {
        let words = line.split(' ').skip(1).map(|word| Word { bytes: word.into(), column: 1 });
        Setup::new("limits", &words.collect::<Vec<_>>())
    }

    #[test]
    fn a_line_sets_both_limits_or_one() {
        let mut k = Kernel::boot();
        for (tasks, memory) in [(Some(7), Some(1 << 40)), (None, Some(5)), (Some(9), None)] {
            let setup = Setup::Limits { tasks, memory };
            assert_eq!(limits(&setup.to_string()).unwrap(), setup);
            k.set(&setup).unwrap();
        }
        assert_eq!((k.threads_max, k.memory.max), (9, 5));
        for line in ["limits", "limits tasks=0", "limits memory=0", "limits tasks=4294967296"] {
            assert!(limits(line).is_err(), "{line}");
        }
    }
}
