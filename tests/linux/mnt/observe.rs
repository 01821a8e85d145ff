//! What is compared of mounts and files: `mountinfo` and its like, root and working directories, the files of the small
//! trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nslab::errno::Errno;
use nslab::kernel::node::View;
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::AnyCall;
use nslab::tree::{self, FileType, Viewer};

use crate::observe::{lab_file, lab_text, real_text};
use crate::pair::Pair;
use crate::patience::Wait;
use crate::program::mnt::directories;

/// What was seen last.
#[derive(Debug, Default)]
pub struct Known {
    /// Mounts, by the id that the lab never uses again: their numbers on the machine.
    mounts: BTreeMap<u64, u32>,
    /// Peer groups: their numbers on both.
    groups: BTreeMap<u32, u32>,
}

/// Numbers of the lab and those of the machine they stand for, one to one.
#[derive(Debug, Default)]
struct Renaming {
    to_real: BTreeMap<String, String>,
    to_lab: BTreeMap<String, String>,
}

impl Renaming {
    fn agree(&mut self, lab: &str, real: &str) -> bool {
        match (self.to_real.get(lab), self.to_lab.get(real)) {
            (None, None) => {
                self.to_real.insert(lab.to_owned(), real.to_owned());
                self.to_lab.insert(real.to_owned(), lab.to_owned());
                true
            }
            (Some(known_real), Some(known_lab)) => known_real == real && known_lab == lab,
            _ => false,
        }
    }

    fn numbers(&self) -> impl Iterator<Item = (u32, u32)> {
        self.to_real.iter().filter_map(|(lab, real)| Some((lab.parse().ok()?, real.parse().ok()?)))
    }
}

/// The renamings of one moment.
#[derive(Debug, Default)]
struct Moment {
    mounts: Renaming,
    groups: Renaming,
    devices: Renaming,
    namespaces: Renaming,
}

impl Moment {
    /// Two lines of `mountinfo` are the same but for numbers.
    fn same_line(&mut self, lab: &str, real: &str) -> bool {
        let (lab, real): (Vec<&str>, Vec<&str>) = (lab.split(' ').collect(), real.split(' ').collect());
        // What the hidden root file system is depends on the machine.
        let (lab, real) = match (lab.contains(&"rootfs"), real.contains(&"rootfs")) {
            (true, true) => (&lab[..5], &real[..5]),
            _ => (&lab[..], &real[..]),
        };
        lab.len() == real.len()
            && lab.iter().zip(real).enumerate().all(|(at, (lab, real))| match at {
                0 | 1 => self.mounts.agree(lab, real),
                2 => self.devices.agree(lab, real),
                3 => self.same_named(lab, real, ":["),
                _ => self.same_named(lab, real, ":"),
            })
    }

    /// The same words, with the same number of a group or a namespace behind the mark.
    fn same_named(&mut self, lab: &str, real: &str, mark: &str) -> bool {
        let renaming = if mark == ":" { &mut self.groups } else { &mut self.namespaces };
        match (lab.split_once(mark), real.split_once(mark)) {
            (Some((lab, lab_number)), Some((real, real_number))) => {
                lab == real && renaming.agree(lab_number, real_number)
            }
            _ => lab == real,
        }
    }
}

/// Compares all mounts and directories after a call; at the end of a program also what is rendered otherwise, and files.
pub fn observe(pair: &mut Pair, after: Option<(TaskId, &AnyCall)>) -> Result<(), String> {
    let wait = Wait::start();
    loop {
        let Err(difference) = compare(pair, after.is_none()) else { return Ok(()) };
        if wait.is_over(pair.patience()) {
            return Err(difference);
        }
        wait.pause();
    }
}

fn compare(pair: &mut Pair, is_end: bool) -> Result<(), String> {
    let mut moment = Moment::default();
    let mut seen = BTreeSet::new();
    let tasks: Vec<TaskId> = pair.k.tasks.iter().filter(|(_, task)| !task.is_dead()).map(|(id, _)| id).collect();
    for task in tasks {
        let Some(real) = pair.machine.numbers.real(pair.k.task_nr(task)) else { continue };
        if !pair.k.is_chrooted(pair.k.init.task) {
            compare_links(pair, task, real)?;
        }
        let (ns, root) = (pair.k.mnt_ns_of(task), pair.k.fs_of(task).map(|fs| fs.root.path()));
        if !seen.insert((ns, root)) {
            continue;
        }
        compare_mountinfo(pair, task, real, &mut moment)?;
        if is_end {
            compare_others(pair, task, real)?;
            compare_files(&pair.k, task, real)?;
        }
    }
    pair.mounts.learn_groups(moment.groups.numbers().collect())?;
    pair.mounts.learn_mounts(&pair.k, &moment.mounts)
}

impl Known {
    /// A group keeps its number; those made by one call have ascending ones, in the same order.
    fn learn_groups(&mut self, now: BTreeMap<u32, u32>) -> Result<(), String> {
        let before = std::mem::replace(&mut self.groups, now);
        if let Some((lab, real)) =
            self.groups.iter().find(|(lab, real)| before.get(lab).is_some_and(|known| known != *real))
        {
            return Err(format!("peer group {lab} was {:?} on the machine and is {real} now", before.get(lab)));
        }
        let new = self.groups.iter().filter(|(lab, _)| !before.contains_key(lab)).map(|(_, real)| real);
        if !new.is_sorted() {
            return Err(format!("order of new peer groups: {before:?}, now {:?}", self.groups));
        }
        Ok(())
    }

    /// A mount keeps its number.
    fn learn_mounts(&mut self, k: &Kernel, renaming: &Renaming) -> Result<(), String> {
        let by_id: BTreeMap<u32, u64> = k.vfs.mounts.iter().map(|(_, mount)| (mount.mnt_id, mount.unique_id)).collect();
        let live: BTreeSet<u64> = by_id.values().copied().collect();
        self.mounts.retain(|unique, _| live.contains(unique));
        for (lab, real) in renaming.numbers() {
            let Some(&unique) = by_id.get(&lab) else { continue };
            let known = *self.mounts.entry(unique).or_insert(real);
            if known != real {
                return Err(format!("mount {lab} was {known} on the machine and is {real} now"));
            }
        }
        Ok(())
    }
}

fn compare_mountinfo(pair: &Pair, task: TaskId, real: i32, moment: &mut Moment) -> Result<(), String> {
    let k = &pair.k;
    let there = real_text(real, "mountinfo").map(|text| pair.machine.numbers.paths_in_lab(&text));
    let lab = lab_text(k, task, "mountinfo");
    let same = match (&lab, &there) {
        (Ok(lab), Ok(there)) => {
            lab.lines().count() == there.lines().count()
                && lab.lines().zip(there.lines()).all(|(lab, real)| moment.same_line(lab, real))
        }
        (lab, there) => lab == there,
    };
    if same {
        return Ok(());
    }
    let text = |text: Result<String, Errno>| text.unwrap_or_else(|errno| format!("{errno}\n"));
    Err(format!("task {}: mountinfo: lab\n{}machine\n{}", k.task_nr(task), text(lab), text(there)))
}

/// `mounts` and `mountstats`, which have no numbers.
fn compare_others(pair: &Pair, task: TaskId, real: i32) -> Result<(), String> {
    let k = &pair.k;
    for file in ["mounts", "mountstats"] {
        let there = real_text(real, file).map(|text| pair.machine.numbers.paths_in_lab(&text));
        let [lab, there] = [lab_text(k, task, file), there].map(|text| text.map(without_the_bottom));
        if lab != there {
            return Err(format!("task {}: {file}: lab {lab:?}, machine {there:?}", k.task_nr(task)));
        }
    }
    Ok(())
}

/// What the hidden root file system is depends on the machine.
fn without_the_bottom(text: String) -> String {
    text.lines().filter(|line| !line.contains("rootfs")).collect::<Vec<_>>().join("\n")
}

fn compare_links(pair: &Pair, task: TaskId, real: i32) -> Result<(), String> {
    let k = &pair.k;
    for link in ["cwd", "root"] {
        let nr = k.task_nr(task);
        let lab = lab_file(k, &format!("proc/{nr}/{link}"), true);
        let lab = lab.map(|text| String::from_utf8_lossy(&text).into_owned()).map_err(|error| error.errno);
        let there = fs::read_link(format!("/proc/{real}/{link}"));
        let there = there.map(|path| pair.machine.numbers.paths_in_lab(&path.to_string_lossy())).map_err(errno_of);
        if lab != there {
            return Err(format!("task {nr}: {link}: lab {lab:?}, machine {there:?}"));
        }
    }
    Ok(())
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Names, types, modes and owners of the files of plain file systems.
fn compare_files(k: &Kernel, task: TaskId, real: i32) -> Result<(), String> {
    let nr = k.task_nr(task);
    for directory in directories(k, task) {
        let lab = lab_listing(k, &format!("proc/{nr}/root{directory}"));
        let there = real_listing(Path::new(&format!("/proc/{real}/root{directory}")));
        if lab != there {
            return Err(format!("task {nr}: files in {directory}: lab {lab:?}, machine {there:?}"));
        }
    }
    Ok(())
}

/// A file: name, type, mode, owner, group.
type Entry = (String, &'static str, u32, u32, u32);

fn lab_listing(k: &Kernel, path: &str) -> Result<Vec<Entry>, Errno> {
    let viewer = Viewer(k.init.task);
    let node = |path: &str, follow| tree::resolve(k, k.init.task, View::Caller, path.as_bytes(), follow);
    let mut entries = Vec::new();
    let dir = node(path, true).map_err(|error| error.errno)?;
    for entry in tree::readdir(k, viewer, dir).map_err(|error| error.errno)? {
        let child = node(&format!("{path}/{}", entry.name), false).map_err(|error| error.errno)?;
        let attr = tree::attr(k, viewer, child).map_err(|error| error.errno)?;
        let file_type = match attr.file_type {
            FileType::Directory => "directory",
            FileType::File => "file",
            FileType::Symlink => "symlink",
            FileType::Socket => "socket",
        };
        entries.push((entry.name, file_type, u32::from(attr.mode), attr.uid.0, attr.gid.0));
    }
    entries.sort();
    Ok(entries)
}

fn real_listing(path: &Path) -> Result<Vec<Entry>, Errno> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(errno_of)? {
        let entry = entry.map_err(errno_of)?;
        // What is mounted there, not what is below it.
        let metadata = fs::symlink_metadata(entry.path()).map_err(errno_of)?;
        let file_type = match metadata.mode() & libc::S_IFMT {
            libc::S_IFDIR => "directory",
            libc::S_IFREG => "file",
            libc::S_IFLNK => "symlink",
            _ => "socket",
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push((name, file_type, metadata.mode() & 0o7777, metadata.uid(), metadata.gid()));
    }
    entries.sort();
    Ok(entries)
}
