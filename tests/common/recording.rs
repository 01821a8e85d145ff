//! Recording a lab, booting the recording, comparing the two.

use std::collections::BTreeSet;

use nslab::kernel::capability::CapSet;
use nslab::kernel::ns::{NsType, Slot};
use nslab::kernel::task::Task;
use nslab::kernel::{Kernel, TaskId};
use nslab::record::files::Bare;
use nslab::record::lab::LabFacts;
use nslab::record::net::Name;
use nslab::record::topology::{Missing, Open, Own};
use nslab::record::{Topology, Wanted, read, write};
use nslab::script::run::run_boot_file;

/// The recording of a lab.
pub fn record(k: &Kernel) -> (Topology, String) {
    let files = Bare(k);
    let topology = read::record(&files, &LabFacts(&files), &Wanted::default(), |_| {}).unwrap();
    let (script, _) = write(&topology);
    (topology, script)
}

/// The lab that boots from a recording.
pub fn boot(script: &str) -> Kernel {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("recording.lab");
    std::fs::write(&file, script).unwrap();
    let mut k = Kernel::boot();
    run_boot_file(&mut k, &file).unwrap_or_else(|error| panic!("{error}\n{script}"));
    k
}

/// All that was seen, but for the numbers and the order of mounts.
fn comparable(mut topology: Topology) -> Topology {
    topology.missing = Missing::default();
    let numbers: BTreeSet<i32> = topology.tasks.keys().copied().collect();
    let is_gone = |path: &[u8]| {
        let number = path.strip_prefix(b"/proc/").and_then(|rest| rest.split(|&byte| byte == b'/').next());
        let number = number.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
        number.is_some_and(|number: i32| !numbers.contains(&number))
    };
    for task in topology.tasks.values_mut() {
        // Who has the arguments of a parent that has become another program since is given them by an exec.
        task.forked_no_exec = false;
        // A recording has no files: sockets with one are left out. Numbers of descriptors are the lowest.
        let open = std::mem::take(&mut task.open).into_values();
        let has_file = |open: &Open| matches!(open, Open::Listening(socket) if socket.name == Name::File);
        task.open = (0..).zip(open.filter(|open| !has_file(open))).collect();
        // Who is in a directory of a process that is gone cannot be put there, and stays where it was born.
        if task.cwd.as_deref().is_some_and(is_gone) {
            task.cwd = Some(b"/".to_vec());
        }
        // Whether the links of the dead can be read depends on the dumpability they had, which nothing shows any more.
        if task.is_zombie() {
            task.namespaces.clear();
        }
    }
    for ns in topology.namespaces.values_mut() {
        if let Own::Mnt(mounts) = &mut ns.own {
            for mount in mounts.iter_mut() {
                (mount.id, mount.parent) = (0, 0);
            }
            mounts.sort_by_key(|mount| (mount.point.clone(), mount.device, mount.fs.clone()));
        }
    }
    topology
}

/// Not all of these is recorded (SEMANTICS.md): where a root directory was changed the mounts are those below it, and at the
/// deepest level of pid namespaces set_tid has too few numbers; init, who reads, sees paths of cgroups from its namespace on, and without capabilities
/// not all of others.
fn is_whole(k: &Kernel) -> bool {
    let is_deep = |(task, _): (TaskId, &Task)| k.pids[k.pid_of(task)].level() > 30;
    let init_sees_all = k.task_ns(k.init.task, Slot::Cgroup) == Some(k.initial(NsType::Cgroup));
    let cred = k.cred_of(k.init.task);
    let init_sees_all = init_sees_all && cred.user_ns.id() == k.init.user_ns && cred.effective == CapSet::FULL;
    init_sees_all && !k.tasks.iter().any(|task| k.is_chrooted(task.0) || is_deep(task))
}

/// Checks the recording of one lab; gives whether all of it is recorded and was compared, or what is wrong.
pub fn check(name: &str, k: &Kernel) -> Result<bool, String> {
    let (seen, script) = record(k);
    let again = boot(&script);
    let (seen_again, second) = record(&again);
    if !is_whole(k) {
        return Ok(false);
    }
    let (seen, seen_again) = (comparable(seen), comparable(seen_again));
    for (tid, task) in &seen.tasks {
        let other = seen_again.tasks.get(tid);
        if other != Some(task) {
            return Err(format!("{name}\n  - {task:?}\n  + {other:?}"));
        }
    }
    for (inum, ns) in &seen.namespaces {
        let other = seen_again.namespaces.get(inum);
        if other != Some(ns) {
            return Err(format!("{name}\n  - {ns:?}\n  + {other:?}"));
        }
    }
    // What is missing in the first is not there to be missed in the second.
    let is_said = |line: &&str| !line.starts_with("# Missing: ") && !line.starts_with("# not here: ");
    let lines = |text: &str| text.lines().filter(is_said).map(str::to_owned).collect::<Vec<_>>();
    if lines(&script) == lines(&second) {
        return Ok(true);
    }
    let (first, second) = (lines(&script), lines(&second));
    let lost: Vec<_> = first.iter().filter(|line| !second.contains(line)).take(6).cloned().collect();
    let new: Vec<_> = second.iter().filter(|line| !first.contains(line)).take(6).cloned().collect();
    Err(format!("{name}\n  - {}\n  + {}", lost.join("\n  - "), new.join("\n  + ")))
}
