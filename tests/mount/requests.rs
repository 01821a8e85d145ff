//! What operations cost in requests to the lab, which do not vary with the machine. What the host's kernel says on the side
//! (RELEASE, FORGET) nobody waits for.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::Command;

use nslab::fuse::{Gauge, Opcode, Options};
use nslab::kernel::Kernel;
use nslab::testing::Lab;

use super::lab;
use super::needs::has;

/// The requests that an operation waits for.
fn cost(gauge: &Gauge, operation: impl FnOnce()) -> BTreeMap<Opcode, u64> {
    let before = gauge.requests();
    operation();
    let mut counts = gauge.requests();
    for (opcode, count) in &mut counts {
        *count -= before.get(opcode).copied().unwrap_or_default();
    }
    counts.retain(|opcode, count| opcode.is_waited_for() && *count > 0);
    counts
}

fn counts<const N: usize>(counts: [(Opcode, u64); N]) -> BTreeMap<Opcode, u64> {
    counts.into()
}

/// Whether names are kept; the way to them is then, and closing is known to need no word.
fn is_warm(lab: &Lab) -> bool {
    drop(File::open(lab.at("proc/1/comm")).unwrap());
    let keeps_names = cost(lab.gauge(), || drop(fs::metadata(lab.at("proc/1")))).is_empty();
    if !keeps_names {
        super::needs::skipped("before Linux 6.18 each name is asked for at each use");
    }
    keeps_names
}

/// Each thing is done once before: then it is warm.
#[test]
fn operations_cost_few_requests() {
    let Some(lab) = lab() else { return };
    if !is_warm(&lab) {
        return;
    }
    let gauge = lab.gauge();
    let read = |path: &str| {
        let mut text = Vec::new();
        let mut file = File::open(lab.at(path)).unwrap();
        text.resize(1 << 16, 0);
        assert!(file.read(&mut text).unwrap() > 0);
    };
    let cold = cost(gauge, || read("proc/1/status"));
    assert_eq!(cold, counts([(Opcode::Lookup, 1), (Opcode::Open, 1), (Opcode::Read, 1)]));
    let warm = cost(gauge, || read("proc/1/status"));
    assert_eq!(warm, counts([(Opcode::Lookup, 1), (Opcode::Open, 1)]));

    let list = || assert_eq!(fs::read_dir(lab.at("proc/1/ns")).unwrap().count(), 10);
    // After a listing that was asked for, the host's kernel asks once more when the directory was last read.
    (0..2).for_each(|_| list());
    assert_eq!(cost(gauge, list), counts([(Opcode::Opendir, 1)]));

    let cat = || assert!(Command::new("cat").arg(lab.at("proc/1/status")).output().unwrap().status.success());
    let warm = cost(gauge, cat);
    assert!(warm.values().sum::<u64>() <= 4, "{warm:?}");
    lab.call(1, "prctl name other").unwrap();
    let cold = cost(gauge, cat);
    assert!(cold.values().sum::<u64>() <= 4, "{cold:?}");

    let mut control = OpenOptions::new().write(true).open(lab.at("ctl/1/unshare")).unwrap();
    let write = cost(gauge, || control.write_all(b"newuts\n").unwrap());
    assert_eq!(write, counts([(Opcode::Write, 1)]));

    let link = || drop(fs::read_link(lab.at("proc/1/ns/net")).unwrap());
    link();
    assert_eq!(cost(gauge, link), counts([]));

    // Nobody but the user who mounted is there to hold a name that leads nowhere later.
    lab.call(1, "clone").unwrap();
    let link = || drop(fs::read_link(lab.at("proc/2/ns/net")).unwrap());
    link();
    assert_eq!(cost(gauge, link), counts([]));
}

/// Where other users look, a name that leads nowhere later is asked for, and no use of it makes others ask for theirs.
#[test]
fn with_other_users_names_of_tasks_are_asked_for_and_all_others_stay() {
    if !has(&["fuse", "root"]) {
        return;
    }
    let mut options = Options::default();
    options.add("allow_other").unwrap();
    let lab = Lab::mount_with(Kernel::boot(), &options).unwrap();
    for _ in 0..2 {
        lab.call(1, "clone").unwrap();
    }
    let gauge = lab.gauge();
    let link = |pid: i32| drop(fs::read_link(lab.at(format!("proc/{pid}/ns/net"))).unwrap());
    let control = || drop(OpenOptions::new().write(true).open(lab.at("ctl/batch")).unwrap());
    (1..=2).for_each(link);
    control();
    if !cost(gauge, || link(1)).is_empty() {
        return super::needs::skipped("before Linux 6.18 each name is asked for at each use");
    }
    assert_eq!(cost(gauge, || link(2)), counts([(Opcode::Lookup, 1)]));
    let held = ["proc", "ctl", "as"].map(|dir| {
        let dir = lab.at(format!("{dir}/3"));
        fs::symlink_metadata(dir.join("no such name")).unwrap_err();
        File::open(dir).unwrap()
    });
    lab.call(3, "exit 0").unwrap();
    lab.call(1, "wait 3").unwrap();
    assert!(["proc", "ctl", "as"].iter().all(|dir| !lab.at(format!("{dir}/3")).exists()));
    assert_eq!(cost(gauge, || link(1)), counts([]));
    assert_eq!(cost(gauge, || link(2)), counts([(Opcode::Lookup, 1)]));
    assert_eq!(cost(gauge, control), counts([(Opcode::Open, 1)]));
    drop(held);
}

/// What is refused says nothing of the name, which the host's kernel would otherwise drop and look up anew under the lock of
/// its directory.
#[test]
fn attempts_to_change_a_name_leave_it_in_the_cache() {
    let Some(lab) = lab() else { return };
    let gauge = lab.gauge();
    let control = || drop(OpenOptions::new().write(true).open(lab.at("ctl/batch")).unwrap());
    let link = || drop(fs::read_link(lab.at("proc/1/ns/net")).unwrap());
    let uses = || [cost(gauge, control), cost(gauge, link)];
    uses();
    let warm = uses();
    if warm != [counts([(Opcode::Open, 1)]), counts([])] {
        return super::needs::skipped("before Linux 6.18 each name is asked for at each use");
    }
    let other = lab.at("ctl/other");
    for name in ["ctl/batch", "ctl", "proc/1", "proc/1/ns", "proc/1/ns/net"].map(|name| lab.at(name)) {
        let attempts: [(&str, &dyn Fn() -> io::Result<()>); 6] = [
            ("rename", &|| fs::rename(&name, name.with_file_name("other"))),
            ("rename into another directory", &|| fs::rename(&name, &other)),
            ("link", &|| fs::hard_link(&name, &other)),
            ("unlink", &|| fs::remove_file(&name)),
            ("rmdir", &|| fs::remove_dir(&name)),
            ("mkdir", &|| fs::create_dir(&name)),
        ];
        for (what, attempt) in attempts {
            attempt().unwrap_err();
            assert_eq!(uses(), warm, "{what} {}", name.display());
        }
    }
}

/// What `ps` with columns of namespaces does for each task: the second time all but names and opens of files with content is
/// answered by the host's kernel.
#[test]
fn what_ps_looks_at_costs_few_requests() {
    let Some(lab) = lab() else { return };
    let task = lab.call(1, "clone").unwrap();
    if !is_warm(&lab) {
        return;
    }
    let gauge = lab.gauge();
    let look = || {
        let at = |name: &str| lab.at(format!("proc/{task}/{name}"));
        fs::metadata(at("")).unwrap();
        for (file, is_empty) in [("stat", false), ("status", false), ("environ", true), ("cmdline", false)] {
            let length = File::open(at(file)).unwrap().read(&mut [0; 4096]).unwrap();
            assert_eq!(length == 0, is_empty, "{file}");
        }
        for link in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
            fs::metadata(at(&format!("ns/{link}"))).unwrap();
        }
    };
    let first = [(Opcode::Lookup, 22), (Opcode::Readlink, 8), (Opcode::Open, 4), (Opcode::Read, 3)];
    assert_eq!(cost(gauge, look), counts(first));
    assert_eq!(cost(gauge, look), counts([(Opcode::Lookup, 4), (Opcode::Open, 4)]));
}
