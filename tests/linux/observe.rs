//! What can be seen of a task: its namespaces, its status, its maps. From the lab through the lab's own files, from the
//! machine through `/proc`; both as the same text, read by the same code.

use std::fmt::Write as _;

use nslab::errno::{Errno, Result};
use nslab::kernel::node::View;
use nslab::kernel::ns::{ENTRIES, NsType};
use nslab::kernel::{Kernel, NsId, TaskId};
use nslab::tree::{self, Viewer};

use crate::raw;

/// Lines of `status` that have to be the same, with pids of the initial namespace mapped in those marked so.
const LINES: [(&str, Numbered); 26] = [
    ("Umask", Numbered::No),
    ("State", Numbered::No),
    ("Tgid", Numbered::First),
    ("Pid", Numbered::First),
    ("PPid", Numbered::First),
    ("Uid", Numbered::No),
    ("Gid", Numbered::No),
    ("Groups", Numbered::No),
    ("NStgid", Numbered::First),
    ("NSpid", Numbered::First),
    ("NSpgid", Numbered::First),
    ("NSsid", Numbered::First),
    ("Threads", Numbered::No),
    ("SigPnd", Numbered::No),
    ("ShdPnd", Numbered::No),
    ("SigBlk", Numbered::No),
    ("SigIgn", Numbered::No),
    ("SigCgt", Numbered::No),
    ("CapInh", Numbered::No),
    ("CapPrm", Numbered::No),
    ("CapEff", Numbered::No),
    ("CapBnd", Numbered::No),
    ("CapAmb", Numbered::No),
    ("NoNewPrivs", Numbered::No),
    ("Seccomp", Numbered::No),
    ("TracerPid", Numbered::First),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbered {
    No,
    /// The first number of the line is one of the initial pid namespace.
    First,
}

/// The lines of a `status` that are compared, by name.
pub type Status = Vec<(&'static str, String)>;

/// The files compared besides `status`.
pub const MAP_FILES: [&str; 4] = ["uid_map", "gid_map", "projid_map", "setgroups"];

/// The namespaces an `ns` directory shows, in the order of [`ENTRIES`]: the number, or why there is none.
pub type Links = [std::result::Result<u32, Errno>; 10];

/// The lab's links, by way of its files.
pub fn lab_links(k: &Kernel, task: TaskId) -> Links {
    let nr = k.task_nr(task);
    std::array::from_fn(|at| {
        let text = lab_file(k, &format!("proc/{nr}/ns/{}", ENTRIES[at].name), true).map_err(|error| error.errno)?;
        Ok(link_number(&text).expect("a namespace link has a number"))
    })
}

/// A link or a file as the lab's init sees it, in the view that no mount hides.
pub fn lab_file(k: &Kernel, path: &str, is_link: bool) -> Result<Vec<u8>> {
    let node = tree::resolve(k, k.init.task, View::Caller, path.as_bytes(), !is_link)?;
    if is_link { tree::readlink_as_task(k, k.init.task, node) } else { tree::read(k, Viewer(k.init.task), node) }
}

/// The namespace behind an entry, whether the entry may be read or not.
pub fn lab_ns(k: &Kernel, task: TaskId, at: usize) -> Option<NsId> {
    k.ns_entry(task, &ENTRIES[at])
}

/// The initial number of an entry's kind.
pub fn initial_number(at: usize) -> u32 {
    ENTRIES[at].ns_type.ops().init_inum
}

/// The order in which one call creates namespaces.
pub fn creation_order(ns_type: NsType) -> usize {
    ns_type as usize
}

pub fn lab_text(k: &Kernel, task: TaskId, file: &str) -> std::result::Result<String, Errno> {
    let path = format!("proc/{}/{file}", k.task_nr(task));
    lab_file(k, &path, false).map(|text| String::from_utf8_lossy(&text).into_owned()).map_err(|error| error.errno)
}

/// The machine's links of the task with this real number.
pub fn real_links(real: i32) -> Links {
    let mut path = String::new();
    std::array::from_fn(|at| {
        path.clear();
        let _ = write!(path, "/proc/{real}/ns/{}\0", ENTRIES[at].name);
        let mut text = [0u8; 64];
        let args = [path.as_ptr() as u64, text.as_mut_ptr() as u64, 64, 0, 0, 0];
        let length = check(raw::call(libc::SYS_readlink, args))?;
        link_number(&text[..length]).ok_or(Errno::EINVAL)
    })
}

fn link_number(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

fn check(result: i64) -> std::result::Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::from_raw(-result as i32))
}

/// A file of the machine's `/proc/<real>`.
pub fn real_text(real: i32, file: &str) -> std::result::Result<String, Errno> {
    let path = format!("/proc/{real}/{file}\0");
    let fd = check(raw::call(libc::SYS_open, [path.as_ptr() as u64, libc::O_RDONLY as u64, 0, 0, 0, 0]))?;
    let mut text = vec![0u8; 16 * 1024];
    let mut used = 0;
    let read = loop {
        if used == text.len() {
            text.resize(2 * used, 0);
        }
        let args = [fd as u64, text[used..].as_mut_ptr() as u64, (text.len() - used) as u64, 0, 0, 0];
        match check(raw::call(libc::SYS_read, args)) {
            Ok(0) => break Ok(()),
            Ok(length) => used += length,
            Err(errno) => break Err(errno),
        }
    };
    raw::call(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
    read?;
    text.truncate(used);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether a real task is there at all: not reaped, not about to vanish.
pub fn is_there(real: i32) -> bool {
    let path = format!("/proc/{real}\0");
    raw::call(libc::SYS_access, [path.as_ptr() as u64, 0, 0, 0, 0, 0]) == 0
}

/// The lines of a `status` text that are compared; pids through `map`.
pub fn status_lines(text: &str, map: impl Fn(i32) -> Option<i32>) -> Status {
    let mut found = Vec::with_capacity(LINES.len());
    for line in text.lines() {
        let Some((name, value)) = line.split_once(":\t") else { continue };
        let Some((known, numbered)) = LINES.iter().find(|(known, _)| *known == name) else { continue };
        let value = match *known {
            // A worker is caught running when it has just done something.
            "State" if value.starts_with(['R', 'D', 'S']) => "S".to_owned(),
            "State" => value[..1].to_owned(),
            _ if *numbered == Numbered::First => map_first(value, &map),
            _ => value.to_owned(),
        };
        found.push((*known, value));
    }
    found
}

fn map_first(value: &str, map: impl Fn(i32) -> Option<i32>) -> String {
    let end = value.find('\t').unwrap_or(value.len());
    let number = match value[..end].parse() {
        Ok(0) => "0".to_owned(),
        Ok(number) => map(number).map_or_else(|| format!("real:{number}"), |lab: i32| lab.to_string()),
        Err(_) => value[..end].to_owned(),
    };
    number + &value[end..]
}

/// The same, of the machine, in the lab's numbers.
pub fn real_status(real: i32, map: impl Fn(i32) -> Option<i32>) -> std::result::Result<Status, Errno> {
    real_text(real, "status").map(|text| status_lines(&text, map))
}

pub fn lab_status(k: &Kernel, task: TaskId) -> Status {
    lab_text(k, task, "status").map(|text| status_lines(&text, Some)).unwrap_or_default()
}
