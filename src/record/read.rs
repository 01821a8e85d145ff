//! Reads what `/proc` of a machine and `proc` of a lab show in the same way: tasks and their links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};

use procfs_core::FromRead;
use procfs_core::process::{LimitValue, Limits, Stat, StatFlags, Status};

use super::net::{Listening, listening};
use super::topology::{Caps, Missing, Open, Own, State, Task, Topology};
use super::{Facts, Files, Seen, Wanted};
use crate::kernel::ns::{ENTRIES, NsType};
use crate::kernel::profile::Profile;
use crate::kernel::signal::{RLIM_INFINITY, Rlimit};
use crate::syscall::Resource;

/// Nanoseconds in a hundredth of a second.
pub(super) const TICK: u64 = 10_000_000;

/// Records what there is. `say` hears now and then how many tasks have been read.
///
/// # Errors
/// There is no `proc`, or it cannot be read at all.
pub fn record(
    files: &dyn Files,
    facts: &dyn Facts,
    wanted: &Wanted,
    mut say: impl FnMut(usize),
) -> io::Result<Topology> {
    let mut topology = Topology { profile: profile(files), ..Topology::default() };
    topology.profile.inums = facts.initial().into_iter().collect();
    topology.last_pid = number(files, "proc/sys/kernel/ns_last_pid");
    let mut missing = Missing::default();
    for tgid in numbers(files.names("proc")?) {
        if wanted.recorder == Some(tgid) {
            continue;
        }
        let threads = if wanted.threads {
            match files.names(&format!("proc/{tgid}/task")) {
                Ok(names) => numbers(names),
                Err(error) => {
                    unread(&error, &mut missing);
                    continue;
                }
            }
        } else {
            vec![tgid]
        };
        for tid in threads {
            match steady(|| task(files, facts, tgid, tid, &mut missing)) {
                Ok(task) if task.is_kthread && !wanted.kernel_threads => {}
                Ok(task) => drop(topology.tasks.insert(tid, task)),
                Err(error) => unread(&error, &mut missing),
            }
        }
        say(topology.tasks.len());
    }
    assume(&mut topology, &mut missing);
    choose(&mut topology, wanted);
    // A thread whose leader has gone in between has no process.
    let leaders: Vec<i32> = topology.tasks.keys().copied().collect();
    topology.tasks.retain(|_, task| leaders.binary_search(&task.tgid).is_ok());
    namespaces(&mut topology, facts, &mut missing);
    sockets(&mut topology, files);
    attachments(&mut topology, files);
    topology.missing = missing;
    topology.prune();
    // Read last: no task is younger.
    let youngest = topology.tasks.values().map(|task| task.start * TICK).max();
    topology.profile.uptime = uptime(files).or(youngest);
    Ok(topology)
}

/// Why a task is not recorded.
fn unread(error: &io::Error, missing: &mut Missing) {
    missing.note(match error.kind() {
        ErrorKind::PermissionDenied => "a task that is hidden: CAP_SYS_PTRACE would show it",
        _ => "a task that ended while it was read",
    });
}

fn profile(files: &dyn Files) -> Profile {
    let sysctl = |name: &str| {
        let text = files.read(&format!("proc/sys/kernel/{name}")).ok()?;
        Some(text.strip_suffix(b"\n").unwrap_or(&text).to_vec())
    };
    let stat = files.read("proc/stat").unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    Profile {
        release: sysctl("osrelease"),
        version: sysctl("version"),
        machine: sysctl("arch"),
        pid_max: number(files, "proc/sys/kernel/pid_max"),
        cap_last_cap: number(files, "proc/sys/kernel/cap_last_cap"),
        btime: stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok()),
        ..Profile::default()
    }
}

/// Nanoseconds, in whole hundredths of a second.
fn uptime(files: &dyn Files) -> Option<u64> {
    let text = files.read("proc/uptime").ok()?;
    let text = String::from_utf8_lossy(&text);
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    Some((seconds.parse::<u64>().ok()? * 100 + hundredths.parse::<u64>().ok()?) * TICK)
}

fn number<T: std::str::FromStr>(files: &dyn Files, path: &str) -> Option<T> {
    String::from_utf8_lossy(&files.read(path).ok()?).trim().parse().ok()
}

fn numbers(names: Vec<Vec<u8>>) -> Vec<i32> {
    let mut all: Vec<i32> = names.iter().filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok()).collect();
    all.sort_unstable();
    all
}

/// A task whose namespaces are hidden is taken to be in those of its parent; process 1 in the initial ones. It then has no
/// numbers in pid namespaces below those of its parent, nor have the dead below it.
fn assume(topology: &mut Topology, missing: &mut Missing) {
    let initial: BTreeMap<&'static str, u32> =
        ENTRIES.iter().filter_map(|entry| Some((entry.name, topology.initial(entry.ns_type)?))).collect();
    let mut hidden: Vec<(u64, i32)> =
        topology.tasks.values().filter(|task| is_hidden(task)).map(|task| (task.start, task.tid)).collect();
    hidden.sort_unstable();
    let assumed: BTreeSet<i32> = hidden.iter().map(|(_, tid)| *tid).collect();
    let above = |task: &Task| if task.is_leader() { task.ppid } else { task.tgid };
    for (_, tid) in hidden {
        let parent = topology.tasks.get(&tid).and_then(|task| topology.tasks.get(&above(task)));
        let namespaces = parent.map_or(&initial, |parent| &parent.namespaces).clone();
        let levels = parent.map_or(1, |parent| parent.numbers.len());
        if let Some(task) = topology.tasks.get_mut(&tid) {
            task.namespaces = namespaces;
            cut(task, levels, missing);
        }
    }
    let levels: BTreeMap<i32, usize> =
        assumed.iter().filter_map(|tid| Some((*tid, topology.tasks.get(tid)?.numbers.len()))).collect();
    for task in topology.tasks.values_mut().filter(|task| task.is_zombie()) {
        if let Some(&levels) = levels.get(&above(task)) {
            cut(task, levels, missing);
        }
    }
}

/// Leaves the numbers of so many pid namespaces, the outermost.
fn cut(task: &mut Task, levels: usize, missing: &mut Missing) {
    if task.numbers.len() > levels {
        missing.note("the numbers of a task in a hidden pid namespace: CAP_SYS_PTRACE would show which it is");
    }
    for numbers in [&mut task.numbers, &mut task.group_numbers, &mut task.session_numbers] {
        numbers.truncate(levels);
    }
}

fn is_hidden(task: &Task) -> bool {
    task.namespaces.is_empty() && !task.is_zombie()
}

/// Leaves the processes that are wanted, what is above them and what is below them.
fn choose(topology: &mut Topology, wanted: &Wanted) {
    if wanted.pids.is_empty() {
        return;
    }
    let parent = |pid: i32| topology.tasks.get(&pid).map(|task| task.ppid);
    // Two that were seen one after the other may seem to be each other's parents: a number was used anew in between.
    let line = |pid: i32| {
        let mut met = BTreeSet::new();
        std::iter::successors(Some(pid), |pid| parent(*pid)).take_while(|pid| met.insert(*pid)).collect::<Vec<_>>()
    };
    let above: Vec<i32> = wanted.pids.iter().flat_map(|&pid| line(pid)).collect();
    let is_kept =
        |task: &Task| above.contains(&task.tgid) || line(task.tgid).iter().any(|pid| wanted.pids.contains(pid));
    let kept: Vec<i32> =
        topology.tasks.values().filter(|task| task.tgid == 1 || is_kept(task)).map(|task| task.tid).collect();
    topology.tasks.retain(|tid, _| kept.binary_search(tid).is_ok());
}

/// How often a task is read that becomes another one meanwhile.
const TRIES: u32 = 4;

/// Reads again what changed while it was read.
fn steady<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let changed = |error: &io::Error| error.kind() == ErrorKind::Interrupted;
    (1..TRIES).map(|_| read()).find(|read| !read.as_ref().is_err_and(changed)).unwrap_or_else(read)
}

/// Reads a task; what it was at the end it was at the beginning.
///
/// # Errors
/// Those of its files; NotFound: it ends; Interrupted: it has become another program, or another's child.
fn task(files: &dyn Files, facts: &dyn Facts, tgid: i32, tid: i32, missing: &mut Missing) -> io::Result<Task> {
    let dir = format!("proc/{tgid}/task/{tid}");
    let stat = || -> io::Result<Stat> { parsed(&files.read(&format!("{dir}/stat"))?) };
    let before = stat()?;
    let status: Status = parsed(&files.read(&format!("{dir}/status"))?)?;
    let comm = files.read(&format!("{dir}/comm"))?;
    let argv = files.read(&format!("proc/{tgid}/cmdline")).unwrap_or_default();
    let flags = StatFlags::from_bits_truncate(before.flags);
    let mut task = Task {
        tid,
        tgid,
        ppid: before.ppid,
        numbers: status.nspid.clone().unwrap_or_else(|| vec![tid]),
        comm: comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec(),
        argv: arguments(&argv),
        state: state(&before),
        is_kthread: flags.contains(StatFlags::PF_KTHREAD),
        forked_no_exec: flags.contains(StatFlags::PF_FORKNOEXEC),
        start: if tid == 1 { 0 } else { before.starttime },
        pgrp: before.pgrp,
        session: before.session,
        group_numbers: status.nspgid.clone().unwrap_or_default(),
        session_numbers: status.nssid.clone().unwrap_or_default(),
        uids: [status.ruid, status.euid, status.suid, status.fuid],
        gids: [status.rgid, status.egid, status.sgid, status.fgid],
        groups: status.groups.clone(),
        caps: caps(&status),
        no_new_privs: status.nonewprivs == Some(1),
        securebits: None,
        is_dumpable: files.owner(&dir).is_ok_and(|owner| owner == status.euid),
        namespaces: BTreeMap::new(),
        open: if tid == tgid { open(files, &dir) } else { BTreeMap::new() },
        attached: Vec::new(),
        cgroup: files.read(&format!("{dir}/cgroup")).ok().and_then(|text| cgroup(&text)),
        rlimits: if tid == tgid { rlimits(files, &dir) } else { Vec::new() },
        root: None,
        cwd: None,
    };
    links(files, &dir, &mut task, missing);
    facts.complete(&mut task);
    let after = stat()?;
    // A thread that has ended is gone at once; only a process waits for its parent.
    let has_ended = !task.is_leader() && task.is_zombie();
    // The init of a pid namespace waits there for the last others.
    let ends = matches!(task.state, State::Exiting(_)) && task.numbers.last() != Some(&1);
    if has_ended || ends || after.starttime != before.starttime {
        return Err(ErrorKind::NotFound.into());
    }
    let told = |stat: &Stat| {
        let flags = StatFlags::from_bits_truncate(stat.flags) & (StatFlags::PF_FORKNOEXEC | StatFlags::PF_EXITING);
        (stat.ppid, stat.pgrp, stat.session, stat.comm.clone(), flags, stat.state == 'Z')
    };
    if told(&after) != told(&before) {
        return Err(ErrorKind::Interrupted.into());
    }
    Ok(task)
}

pub(super) fn parsed<T: FromRead>(text: &[u8]) -> io::Result<T> {
    // Names may be any bytes; these files are text otherwise.
    let text = String::from_utf8_lossy(text);
    T::from_read(text.as_bytes()).map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))
}

fn state(stat: &Stat) -> State {
    match stat.state {
        'Z' | 'X' => State::Zombie(stat.exit_code.unwrap_or(0)),
        _ if StatFlags::from_bits_truncate(stat.flags).contains(StatFlags::PF_EXITING) => {
            State::Exiting(stat.exit_code.unwrap_or(0))
        }
        'T' => State::Stopped,
        'I' => State::Idle,
        _ => State::Alive,
    }
}

fn caps(status: &Status) -> Caps {
    Caps {
        inheritable: status.capinh,
        permitted: status.capprm,
        effective: status.capeff,
        bounding: status.capbnd.unwrap_or(0),
        ambient: status.capamb.unwrap_or(0),
    }
}

fn arguments(text: &[u8]) -> Vec<Vec<u8>> {
    let Some(text) = text.strip_suffix(b"\0").or((!text.is_empty()).then_some(text)) else { return Vec::new() };
    text.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
}

/// Limits of a process, those that a lab has.
fn rlimits(files: &dyn Files, dir: &str) -> Vec<(Resource, Rlimit)> {
    let limits: Limits = match files.read(&format!("{dir}/limits")).map(|text| parsed(&text)) {
        Ok(Ok(limits)) => limits,
        _ => return Vec::new(),
    };
    let bound = |bound| match bound {
        LimitValue::Unlimited => RLIM_INFINITY,
        LimitValue::Value(bound) => bound,
    };
    let all = [
        (Resource::Nproc, limits.max_processes),
        (Resource::Msgqueue, limits.max_msgqueue_size),
        (Resource::Nofile, limits.max_open_files),
    ];
    all.map(|(resource, limit)| (resource, Rlimit { soft: bound(limit.soft_limit), hard: bound(limit.hard_limit) }))
        .into()
}

/// The path in the one hierarchy of cgroup2.
fn cgroup(text: &[u8]) -> Option<Vec<u8>> {
    let path = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    path.starts_with(b"/").then(|| path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec())
}

fn links(files: &dyn Files, dir: &str, task: &mut Task, missing: &mut Missing) {
    for entry in &ENTRIES {
        match files.link(&format!("{dir}/ns/{}", entry.name)) {
            Ok(text) => drop(inum(&text).map(|inum| task.namespaces.insert(entry.name, inum))),
            Err(error) if error.kind() == ErrorKind::PermissionDenied && !task.is_zombie() => {
                missing
                    .note("the namespaces of a task, taken to be those of its parent: CAP_SYS_PTRACE would show them");
                return;
            }
            Err(_) => {}
        }
    }
}

/// The namespaces and sockets that descriptors keep.
fn open(files: &dyn Files, dir: &str) -> BTreeMap<i32, Open> {
    let fds = numbers(files.names(&format!("{dir}/fd")).unwrap_or_default());
    let shown = |fd: i32| {
        let text = files.link(&format!("{dir}/fd/{fd}")).ok()?;
        if let Some(inode) = text.strip_prefix(b"socket:[").and_then(|rest| rest.strip_suffix(b"]")) {
            return Some(Open::Socket(std::str::from_utf8(inode).ok()?.parse().ok()?));
        }
        link(&text).map(|(ns_type, inum)| Open::Ns(ns_type, inum))
    };
    fds.into_iter().filter_map(|fd| Some((fd, shown(fd)?))).collect()
}

/// The namespace that `net:[4026531833]` names.
fn link(text: &[u8]) -> Option<(NsType, u32)> {
    let (kind, _) = std::str::from_utf8(text).ok()?.split_once(":[")?;
    Some((NsType::from_name(kind)?, inum(text)?))
}

/// The number in `net:[4026531833]`.
pub(super) fn inum(link: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(link).ok()?;
    text.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// Describes the namespaces that tasks are in or have open, those that mounts show, and those that own them or that they are
/// nested in.
fn namespaces(topology: &mut Topology, facts: &dyn Facts, missing: &mut Missing) {
    // Those that tasks are in come first: the tasks tell more of them.
    let (mut queue, mut others) = (VecDeque::new(), Vec::new());
    for task in topology.tasks.values() {
        for (name, inum) in &task.namespaces {
            let Some(entry) = ENTRIES.iter().find(|entry| entry.name == *name) else { continue };
            let at = Some(format!("proc/{}/ns/{name}", task.tid).into_bytes());
            let member = Some(task.tid).filter(|_| task.tells_of(name));
            let seen = Seen { ns_type: entry.ns_type, inum: *inum, at, member };
            if member.is_some() { queue.push_back(seen) } else { others.push(seen) }
        }
        for (fd, open) in &task.open {
            if let Open::Ns(ns_type, inum) = open {
                let at = Some(format!("proc/{}/fd/{fd}", task.tid).into_bytes());
                others.push(Seen { ns_type: *ns_type, inum: *inum, at, member: None });
            }
        }
    }
    queue.extend(others);
    queue.extend(facts.others());
    while let Some(seen) = queue.pop_front() {
        if topology.namespaces.contains_key(&seen.inum) {
            continue;
        }
        let namespace = facts.describe(&seen, missing);
        if let Own::Mnt(mounts) = &namespace.own {
            queue.extend(mounts.iter().filter_map(|mount| {
                let (ns_type, inum) = link(&mount.root).filter(|_| mount.fs == "nsfs")?;
                let at = seen.member.map(|tid| [format!("proc/{tid}/root").as_bytes(), &mount.point].concat());
                Some(Seen { ns_type, inum, at, member: None })
            }));
        }
        topology.namespaces.insert(seen.inum, namespace);
        queue.extend(facts.above(&seen));
    }
    facts.relate(&mut topology.namespaces, missing);
}

/// Finds out who has attached System V memory. Where there is none no maps are read.
fn attachments(topology: &mut Topology, files: &dyn Files) {
    let ipc = NsType::Ipc.ops().name;
    let of_namespaces: BTreeSet<u32> =
        topology.tasks.values().filter_map(|task| task.namespaces.get(ipc)).copied().collect();
    let segments: BTreeMap<u32, BTreeSet<i32>> = of_namespaces
        .into_iter()
        .map(|inum| (inum, topology.segments(inum)))
        .filter(|(_, ids)| !ids.is_empty())
        .collect();
    for task in topology.tasks.values_mut().filter(|task| task.is_leader()) {
        if let Some(known) = task.namespaces.get(ipc).and_then(|inum| segments.get(inum)) {
            task.attached = super::ipc::attached(files, task.tid, known);
        }
    }
}

/// Finds out which sockets wait for others. One that several tasks have open is that of the first of them.
fn sockets(topology: &mut Topology, files: &dyn Files) {
    let mut members: BTreeMap<u32, i32> = BTreeMap::new();
    for task in topology.tasks.values() {
        if let Some(&net) = task.namespaces.get(NsType::Net.ops().name) {
            members.entry(net).or_insert(task.tid);
        }
    }
    let mut all: BTreeMap<u64, Listening> = BTreeMap::new();
    for (net, tid) in members {
        all.extend(listening(files, tid, net));
    }
    for task in topology.tasks.values_mut() {
        task.open = std::mem::take(&mut task.open)
            .into_iter()
            .filter_map(|(fd, open)| match open {
                Open::Socket(inode) => Some((fd, Open::Listening(all.remove(&inode)?))),
                other => Some((fd, other)),
            })
            .collect();
    }
}
