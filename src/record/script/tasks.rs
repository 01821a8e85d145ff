//! Tasks: their births, what they become, their ends.

use std::collections::{BTreeMap, BTreeSet};

use super::Writer;
use crate::control::lex::quote;
use crate::kernel::ns::NsType;
use crate::kernel::{Kernel, TaskId};
use crate::record::Files;
use crate::record::files::Bare;
use crate::record::topology::{Open, State, Task};
use crate::script::seen;
use crate::syscall::Become;

impl Writer<'_> {
    /// All processes, each after its parent and after the leaders of its session and group, by age.
    pub(super) fn tasks(&mut self, say: &mut dyn FnMut(usize)) {
        self.section("Processes, top down.");
        let order = Order::new(self.topology.tasks.values().filter(|task| task.is_leader()).collect());
        if order.processes.first().is_none_or(|task| task.tid != 1) {
            self.unsaid.note("process 1");
        }
        let mut threads: BTreeMap<i32, Vec<&Task>> = BTreeMap::new();
        for thread in self.topology.tasks.values().filter(|task| !task.is_leader()) {
            threads.entry(thread.tgid).or_default().push(thread);
        }
        for task in order {
            self.process(task, threads.get(&task.tid).map_or(&[][..], |threads| &threads[..]));
            say(self.names.len());
        }
        self.open_files();
        self.attachments();
        self.for_children();
        self.unused_mounts();
        self.tight_limits();
    }

    fn process(&mut self, task: &Task, threads: &[&Task]) {
        if task.tid != 1 && !self.birth(task) {
            return;
        }
        let name = self.names[&task.tid].clone();
        self.program(task, &name);
        self.group_and_session(task, &name);
        self.becomes(task, &name);
        for thread in threads {
            self.thread(thread, &name);
        }
    }

    /// The first line of a process.
    fn birth(&mut self, task: &Task) -> bool {
        let name = self.name(&task.comm, task.tid.unsigned_abs());
        let start = seconds(task.start);
        let line = if task.is_kthread {
            let idle = if task.state == State::Idle { " idle" } else { "" };
            let comm = quote(&[b"comm=", &task.comm[..]].concat());
            format!("{name} = 1 clone kthread {comm}{idle} set_tid={} start={start}", task.tid)
        } else {
            let parent = if self.names.contains_key(&task.ppid) { task.ppid } else { 1 };
            self.lead_to(parent, task);
            format!("{name} = {} clone set_tid={} start={start}", self.names[&parent], numbers(&task.numbers))
        };
        if !self.line(&line) {
            return false;
        }
        self.names.insert(task.tid, format!("${name}"));
        true
    }

    /// Makes the next child of a task be born in the pid namespace it has to be in.
    fn lead_to(&mut self, parent: i32, child: &Task) {
        let Some(&wanted) = child.namespaces.get("pid") else { return };
        self.nested_pid_namespace(wanted);
        self.lead(parent, wanted);
    }

    /// The same, by the number of the namespace.
    fn lead(&mut self, parent: i32, wanted: u32) {
        let nsproxy = self.found(parent).and_then(|task| self.k.nsproxy_of(task));
        let for_children = nsproxy.map(|nsproxy| nsproxy.pid_ns_for_children());
        if for_children.is_some_and(|ns| self.k.namespaces[ns.any()].common.inum != wanted) {
            let name = self.names[&parent].clone();
            self.line(&format!("become {name} pid_for_children={wanted}"));
        }
    }

    /// Its program, and its name where that is another.
    fn program(&mut self, task: &Task, name: &str) {
        if task.is_kthread {
            return;
        }
        let Some(id) = self.found(task.tid) else { return };
        let is_other = self.k.tasks[id].argv[..] != task.argv[..];
        let has_run = !task.forked_no_exec && task.tid != 1;
        if let Some((first, rest)) = task.argv.split_first().filter(|_| is_other || has_run) {
            let words: Vec<String> = rest.iter().map(|word| quote(word)).collect();
            self.line(format!("{name} exec {} {}", quote(first), words.join(" ")).trim_end());
        }
        if task.is_zombie() && has_run {
            // Its arguments are gone with its memory.
            self.line(&format!("{name} exec {}", quote(&task.comm)));
        }
        if self.k.tasks[id].comm[..] != task.comm[..] {
            self.line(&format!("{name} prctl name {}", quote(&task.comm)));
        }
    }

    fn thread(&mut self, thread: &Task, leader: &str) {
        let name = self.name(&thread.comm, thread.tid.unsigned_abs());
        let (numbers, start) = (numbers(&thread.numbers), seconds(thread.start));
        if !self.line(&format!("{name} = {leader} clone thread,vm,sighand,fs,files set_tid={numbers} start={start}")) {
            return;
        }
        let name = format!("${name}");
        self.names.insert(thread.tid, name.clone());
        if self.found(thread.tid).is_some_and(|id| self.k.tasks[id].comm[..] != thread.comm[..]) {
            self.line(&format!("{name} prctl name {}", quote(&thread.comm)));
        }
        self.becomes(thread, &name);
    }

    fn group_and_session(&mut self, task: &Task, name: &str) {
        if task.is_kthread || task.session == 0 {
            return;
        }
        let now = |writer: &Self| {
            let id = writer.found(task.tid)?;
            let signal = writer.k.signal_of(id);
            Some((writer.k.pids[signal.session.id()].nr(), writer.k.pids[signal.pgrp.id()].nr()))
        };
        if task.session == task.tid && now(self).is_some_and(|(session, _)| session != task.tid) {
            self.line(&format!("{name} setsid"));
        } else if now(self).is_some_and(|(session, _)| session != task.session) {
            let leader = self.absent_leader(task, task.session, &task.session_numbers, "setsid");
            self.line(&format!("become {name} session={}", task.session));
            self.dismiss(leader);
        }
        if task.pgrp == task.tid && now(self).is_some_and(|(_, pgrp)| pgrp != task.tid) {
            self.line(&format!("{name} setpgid 0 0"));
        } else if task.pgrp != 0 && now(self).is_some_and(|(_, pgrp)| pgrp != task.pgrp) {
            let leader = self.absent_leader(task, task.pgrp, &task.group_numbers, "setpgid 0 0");
            self.line(&format!("become {name} pgrp={}", task.pgrp));
            self.dismiss(leader);
        }
    }

    /// A task with the number of a session or group whose leader is gone: it is there until the number is kept by its members.
    fn absent_leader(&mut self, member: &Task, number: i32, levels: &[i32], leads: &str) -> Option<String> {
        if self.k.find_pid_ns(number, self.k.init.pid_ns).is_some() {
            return None;
        }
        let levels: Vec<i32> = levels.iter().copied().take_while(|number| *number != 0).collect();
        let levels = if levels.first() == Some(&number) { levels } else { vec![number] };
        let of_member = member.namespaces.get("pid").copied().filter(|_| levels.len() == member.numbers.len());
        let initial = self.topology.initial(NsType::Pid);
        if let Some(inum) = of_member.or(initial) {
            self.lead(1, inum);
        }
        let name = self.name(b"leader", number.unsigned_abs());
        let made = self.line(&format!("{name} = 1 clone set_tid={} start=0", numbers(&levels)));
        if !made {
            return None;
        }
        self.line(&format!("${name} {leads}"));
        Some(format!("${name}"))
    }

    fn dismiss(&mut self, leader: Option<String>) {
        if let Some(leader) = leader {
            self.line(&format!("{leader} exit"));
            self.line(&format!("1 wait {leader}"));
        }
    }

    /// Namespaces, credentials and the cgroup, as far as they are not those of the parent.
    pub(super) fn becomes(&mut self, task: &Task, name: &str) {
        let Some(id) = self.found(task.tid) else { return };
        if let Some(cgroup) = &task.cgroup
            && self.k.cgroup_path(self.k.cgroup_of(id), self.k.cgroup.root()) != *cgroup
        {
            let file = if task.is_leader() { "cgroup.procs" } else { "cgroup.threads" };
            let dir = if &cgroup[..] == b"/" { &b""[..] } else { &cgroup[..] };
            let path = [b"cgroup", dir, b"/", file.as_bytes()].concat();
            self.line(&format!("write {} {name}", quote(&path)));
        }
        let becomes = Become { rlimits: self.rlimits(id, task, false), ..difference(&self.k, id, task) };
        if becomes != Become::default() {
            self.line(&format!("become {name}{}", seen::line(&becomes)));
        }
        if let Some(&mnt) = task.namespaces.get("mnt") {
            self.mounts_of(name, task.tid, mnt);
        }
        self.directories(task, name);
    }

    /// Root and working directory. Each has a line of its own: where one cannot be, the other may.
    fn directories(&mut self, task: &Task, name: &str) {
        if task.is_kthread || task.is_zombie() {
            return;
        }
        for (file, wanted) in [("root", &task.root), ("pwd", &task.cwd)] {
            let now = Bare(&self.k).read(&format!("kernel/task/{}/fs/{file}", task.tid)).unwrap_or_default();
            let Some(wanted) = wanted.as_ref().filter(|wanted| now.strip_suffix(b"\n") != Some(&wanted[..])) else {
                continue;
            };
            let mut becomes = Become::default();
            *(if file == "root" { &mut becomes.root } else { &mut becomes.cwd }) = Some(wanted.clone());
            self.line(&format!("become {name}{}", seen::line(&becomes)));
        }
    }

    /// Namespaces and sockets that descriptors keep.
    fn open_files(&mut self) {
        for task in self.topology.tasks.values() {
            let Some(name) = self.names.get(&task.tid).cloned() else { continue };
            for open in task.open.values() {
                match open {
                    Open::Ns(ns_type, inum) => {
                        self.nested_pid_namespace(*inum);
                        self.line(&format!("{name} open {}:[{inum}]", ns_type.ops().name));
                    }
                    Open::Listening(socket) => self.listening(task, &name, socket),
                    Open::Socket(_) => {}
                }
            }
        }
    }

    /// Where further children would be born.
    fn for_children(&mut self) {
        for task in self.topology.tasks.values() {
            let (Some(id), Some(name)) = (self.found(task.tid), self.names.get(&task.tid).cloned()) else { continue };
            let own = task.namespaces.get("pid");
            let Some(&wanted) = task.namespaces.get("pid_for_children").or(own) else { continue };
            let Some(nsproxy) = self.k.nsproxy_of(id) else { continue };
            if self.k.namespaces[nsproxy.pid_ns_for_children().any()].common.inum != wanted {
                self.nested_pid_namespace(wanted);
                self.line(&format!("become {name} pid_for_children={wanted}"));
            }
        }
    }

    /// Who is dead, and who is stopped.
    pub(super) fn ends(&mut self) {
        let tasks: Vec<&Task> = self.topology.tasks.values().collect();
        let ended: Vec<(&Task, String)> = tasks.into_iter().filter_map(|task| Some((task, self.end(task)?))).collect();
        if ended.is_empty() {
            return;
        }
        self.section("Who is dead, and who is stopped.");
        // Who waits for others comes after them.
        let (waiting, others): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|(task, _)| matches!(task.state, State::Exiting(_)));
        for (_, line) in others.into_iter().chain(waiting) {
            self.line(&line);
        }
    }

    fn end(&self, task: &Task) -> Option<String> {
        let name = self.names.get(&task.tid)?;
        match task.state {
            State::Alive | State::Idle => None,
            State::Stopped => task.is_leader().then(|| format!("1 kill {name} SIGSTOP")),
            State::Zombie(status) | State::Exiting(status) if status & 0x7f != 0 && task.is_leader() => {
                Some(format!("1 kill {name} {}", status & 0x7f))
            }
            State::Zombie(status) | State::Exiting(status) => Some(format!("{name} exit {}", (status >> 8) & 0xff)),
        }
    }
}

/// The order in which processes are made: by age, but each after its parent and after the leaders of its session and group.
/// Where those wait for one another the parent counts.
struct Order<'a> {
    /// By age.
    processes: Vec<&'a Task>,
    /// Indices of processes that are not made yet, that have a parent which is made, and that wait for no other.
    left: BTreeSet<usize>,
    has_parent: BTreeSet<usize>,
    ready: BTreeSet<usize>,
    /// Who waits for a process.
    waiting: BTreeMap<i32, Vec<usize>>,
    /// For how many others one waits.
    missing: Vec<usize>,
}

impl<'a> Order<'a> {
    fn new(mut processes: Vec<&'a Task>) -> Order<'a> {
        processes.sort_by_key(|task| (task.tid != 1, task.start, task.tid));
        let here: BTreeSet<i32> = processes.iter().map(|task| task.tid).collect();
        let mut order = Order {
            left: (0..processes.len()).collect(),
            has_parent: BTreeSet::new(),
            ready: BTreeSet::new(),
            waiting: BTreeMap::new(),
            missing: vec![0; processes.len()],
            processes,
        };
        for (at, task) in order.processes.iter().enumerate() {
            let before: BTreeSet<i32> = [task.ppid, task.session, task.pgrp].into();
            for other in before.into_iter().filter(|other| *other != task.tid && here.contains(other)) {
                order.waiting.entry(other).or_default().push(at);
                order.missing[at] += 1;
            }
            if order.missing[at] == 0 {
                order.ready.insert(at);
            }
            if task.ppid == task.tid || !here.contains(&task.ppid) {
                order.has_parent.insert(at);
            }
        }
        order
    }
}

impl<'a> Iterator for Order<'a> {
    type Item = &'a Task;

    fn next(&mut self) -> Option<&'a Task> {
        let next = *self.ready.first().or(self.has_parent.first()).or(self.left.first())?;
        for places in [&mut self.ready, &mut self.has_parent, &mut self.left] {
            places.remove(&next);
        }
        let made = self.processes[next];
        for at in self.waiting.remove(&made.tid).unwrap_or_default() {
            self.missing[at] -= 1;
            if self.left.contains(&at) {
                if self.missing[at] == 0 {
                    self.ready.insert(at);
                }
                if self.processes[at].ppid == made.tid {
                    self.has_parent.insert(at);
                }
            }
        }
        Some(made)
    }
}

/// Innermost first.
fn numbers(levels: &[i32]) -> String {
    levels.iter().rev().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// Hundredths of a second as seconds.
fn seconds(hundredths: u64) -> String {
    match (hundredths / 100, hundredths % 100) {
        (seconds, 0) => seconds.to_string(),
        (seconds, part) => format!("{seconds}.{part:02}"),
    }
}

/// What of a task is not as it was seen.
fn difference(k: &Kernel, id: TaskId, task: &Task) -> Become {
    let mut becomes = Become::default();
    let Some(nsproxy) = k.nsproxy_of(id) else { return becomes };
    for (entry, slot, ns_type) in seen::slots().filter(|(entry, ..)| *entry != "pid_for_children") {
        if let Some(&inum) =
            task.namespaces.get(entry).filter(|inum| k.namespaces[nsproxy.get(slot)].common.inum != **inum)
        {
            becomes.slots.push((slot, ns_type, inum));
        }
    }
    let cred = k.cred_of(id);
    let user_ns = k.namespaces[cred.user_ns.id().any()].common.inum;
    becomes.user_ns = task.namespaces.get("user").copied().filter(|inum| *inum != user_ns);
    let ids = &cred.ids;
    let uids = [ids.uid, ids.euid, ids.suid, ids.fsuid].map(|id| id.0);
    let gids = [ids.gid, ids.egid, ids.sgid, ids.fsgid].map(|id| id.0);
    becomes.uids = Some(task.uids).filter(|seen| *seen != uids);
    becomes.gids = Some(task.gids).filter(|seen| *seen != gids);
    let groups: Vec<u32> = cred.groups.iter().map(|group| group.0).collect();
    becomes.groups = Some(task.groups.clone()).filter(|seen| *seen != groups);
    let mask = |seen: u64, now: crate::kernel::capability::CapSet| Some(seen).filter(|seen| *seen != now.bits());
    becomes.inheritable = mask(task.caps.inheritable, cred.inheritable);
    becomes.permitted = mask(task.caps.permitted, cred.permitted);
    becomes.effective = mask(task.caps.effective, cred.effective);
    becomes.bounding = mask(task.caps.bounding, cred.bset);
    becomes.ambient = mask(task.caps.ambient, cred.ambient);
    becomes.securebits = task.securebits.filter(|seen| *seen != cred.securebits);
    becomes.no_new_privs = Some(task.no_new_privs).filter(|seen| *seen != k.tasks[id].no_new_privs);
    let is_dumpable = k.mm_of(id).is_none_or(|mm| mm.dumpable);
    becomes.dumpable =
        Some(task.is_dumpable).filter(|seen| *seen != is_dumpable && !task.is_kthread && !task.is_zombie());
    becomes
}
