//! The lab and the machine side by side: each call is made on both, and all that can be seen is compared.

mod compare;
mod disorder;
mod inums;

use std::collections::BTreeSet;
use std::fs::metadata;
use std::os::fd::RawFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::sync::LazyLock;
use std::time::Duration;

use nslab::control::answer;
use nslab::errno::Errno;
use nslab::kernel::task::TaskState;
use nslab::kernel::{Kernel, NsId, TaskId};
use nslab::syscall::{AnyCall, LabCall, Return, Syscall, dispatch};

use disorder::Disorder;
use inums::Inums;

use crate::machine::{Machine, NPROC, Prepared, Reply};
use crate::mnt::observe::Known;
use crate::net::listing::masked_listing;
use crate::observe::{Links, Status, lab_links, lab_status, real_text};
use crate::patience::{PATIENCE, Wait};
use crate::program::plain_line;
use crate::program::sandbox::SANDBOX;
use crate::run::text_of as text_of_line;
use crate::third;

/// Why a call ended a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The call has no counterpart on the machine, or must not be made there.
    LabOnly,
    /// The two differ.
    Differs(String),
    /// The two differ in what is the machine's own: the order in which tasks die that were told to at once, the sender of a
    /// signal from another namespace. The program ends there.
    Unordered(String),
}

/// The result of one call on the lab, with the place that refused it.
pub type LabResult = nslab::syscall::Outcome;

/// Changes one answer of the lab, to show that the comparison notices.
pub type Corruption = fn(&mut Seen);

/// What of the lab is compared after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub result: Result<String, Errno>,
    /// (task number, links, status lines) of the tasks looked at.
    pub tasks: Vec<(i32, Links, Status)>,
}

pub struct Pair {
    pub k: Kernel,
    pub machine: Machine,
    inums: Inums,
    /// What may differ since the lab was booted.
    disorder: Disorder,
    host: Host,
    corruption: Option<Corruption>,
    /// How long the machine may take for a call, and to come to the state the lab has.
    patience: Duration,
    /// The process that stands for init is not as it was at the start.
    pub is_init_dirty: bool,
    /// Programs change mounts and files: nothing of the machine outside is in reach of any.
    pub is_sandboxed: bool,
    pub mounts: Known,
    /// The verbs whose calls were compared.
    pub compared: BTreeSet<&'static str>,
    /// The machine is a lab too.
    pub is_in_lab: bool,
}

/// What stays of the machine outside the program while this runs.
struct Host {
    /// Whoever is above the process that stands for init.
    controller: i32,
    /// Seconds since the machine's boot when this was made, and what the lab's clock shows.
    uptime: u64,
}

impl Drop for Pair {
    fn drop(&mut self) {
        take_back(&SHARED);
    }
}

/// Directories that a mount of a program shares with the machine, and who owns them: sysfs and devtmpfs have one root for all.
type Owners = Vec<(&'static str, u32, u32)>;

static SHARED: LazyLock<Owners> = LazyLock::new(|| {
    let owner = |dir| metadata(dir).ok().map(|stat| (dir, stat.uid(), stat.gid()));
    ["/sys", "/dev"].into_iter().filter_map(owner).collect()
});

/// Gives back what a program has given to others by chown(2): the next one would find it so, and the machine kept it.
fn take_back(owners: &Owners) {
    for (dir, uid, gid) in owners {
        if metadata(dir).is_ok_and(|stat| (stat.uid(), stat.gid()) != (*uid, *gid)) {
            // Who may not do that could not give it away either.
            let _ = chown(dir, Some(*uid), Some(*gid));
        }
    }
}

impl Pair {
    /// A freshly booted lab and a machine whose init is in the same state.
    ///
    /// # Errors
    /// What keeps the machine's side from starting.
    pub fn new(socket: RawFd) -> Result<Pair, String> {
        let machine = start(socket, false)?;
        let mut pair = Pair {
            k: Kernel::boot(),
            machine,
            inums: Inums::default(),
            disorder: Disorder::default(),
            host: Host { controller: std::process::id() as i32, uptime: uptime()? },
            corruption: None,
            patience: PATIENCE,
            is_init_dirty: false,
            is_sandboxed: false,
            mounts: Known::default(),
            compared: BTreeSet::new(),
            is_in_lab: false,
        };
        pair.reset_lab()?;
        Ok(pair)
    }

    /// A real number of the initial pid namespace in the lab; whoever is above the process that stands for init does not
    /// exist there.
    pub fn lab_number(&self, real: i32) -> Option<i32> {
        if real == self.host.controller { Some(0) } else { self.machine.numbers.lab(real) }
    }

    /// Changes how long the machine may take for a call, and to come to the state the lab has.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.machine.patience = patience;
    }

    pub fn patience(&self) -> Duration {
        self.patience
    }

    pub fn corrupt(&mut self, corruption: Option<Corruption>) {
        self.corruption = corruption;
    }

    /// Boots the lab and makes its init what the machine's is: the same ids, groups, capabilities, limits, names.
    fn reset_lab(&mut self) -> Result<(), String> {
        self.k = Kernel::boot();
        self.inums.restart();
        self.disorder = Disorder::default();
        // The host is mounted without it.
        self.k.cgroup.ns_delegate = crate::cgroup::has_ns_delegate();
        let init = self.k.init.task;
        let pid_max = real_number("/proc/sys/kernel/pid_max")?;
        self.k.namespaces[self.k.init.pid_ns].pid_max = pid_max;
        for line in self.init_lines()? {
            let call = nslab::script::Call::new(&line[0], line[1..].iter().map(|word| word_of(word)).collect());
            let result = call.and_then(|call| answer(dispatch(&mut self.k, init, &call.syscall)));
            result.map_err(|error| format!("{}: {error}", line.join(" ")))?;
        }
        let task = self.k.init.task;
        self.compare_task(task, &mut |k| (lab_links(k, task), lab_status(k, task)))
            .map_err(|difference| format!("the two inits differ: {difference}"))
    }

    /// The calls that turn the lab's init into the machine's.
    pub fn init_lines(&self) -> Result<Vec<Vec<String>>, String> {
        let status = real_text(self.machine.init_pid(), "status").map_err(|errno| errno.to_string())?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect::<Vec<String>>()
        };
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<String>>();
        let names = self.machine.names(1).ok_or("uname of the first worker")?;
        let mut lines = vec![
            words(&format!("prlimit nproc {NPROC}:{NPROC}")),
            words(&format!("clock +{}s", self.host.uptime)),
            vec!["sethostname".into(), names.0],
            vec!["setdomainname".into(), names.1],
        ];
        let bounding = field("CapBnd").concat();
        let bounding = u64::from_str_radix(&bounding, 16).map_err(|error| error.to_string())?;
        let missing = (0..=40).filter(|cap| bounding & 1 << cap == 0);
        lines.extend(missing.map(|cap| words(&format!("prctl capbset_drop {cap}"))));
        let (uid, gid) = (field("Uid"), field("Gid"));
        let mut groups = vec!["setgroups".to_owned()];
        groups.extend(field("Groups"));
        lines.push(groups);
        lines.push(words(&format!("setresgid {} {} {}", gid[0], gid[1], gid[2])));
        lines.push(words(&format!("setresuid {} {} {}", uid[0], uid[1], uid[2])));
        let set = |name: &str| field(name).concat();
        lines.push(words(&format!("capset eff=0x{} prm=0x{} inh=0x{}", set("CapEff"), set("CapPrm"), set("CapInh"))));
        lines.push(words("prctl dumpable 1"));
        Ok(lines)
    }

    /// Ends the running program on both sides.
    ///
    /// # Errors
    /// The machine's side cannot start again.
    pub fn restart(&mut self) -> Result<(), String> {
        let is_good = self.machine.end_program() && !std::mem::take(&mut self.is_init_dirty);
        // Every program leaves its traces in the file systems of a sandbox.
        if !is_good || self.is_sandboxed || self.machine.is_sandboxed() {
            let socket = self.machine.socket();
            // Both serve slot 0.
            self.machine.retire();
            self.machine = start(socket, self.is_sandboxed)?;
            self.machine.patience = self.patience;
        }
        crate::cgroup::clean();
        take_back(&SHARED);
        self.reset_lab()?;
        if self.is_sandboxed { self.build_sandbox() } else { Ok(()) }
    }

    /// Gives both inits a root file system of their own, the same.
    fn build_sandbox(&mut self) -> Result<(), String> {
        self.mounts = Known::default();
        for line in SANDBOX.lines() {
            let line = plain_line(1, line).ok_or_else(|| format!("{line}: no line"))?;
            let call = line.call().map_err(|error| format!("{line:?}: {error}"))?;
            match self.call(self.k.init.task, &call.syscall) {
                Ok(Ok(_)) => {}
                other => return Err(format!("the sandbox: {}: {other:?}", text_of_line(&line))),
            }
        }
        Ok(())
    }

    /// Makes one call on both sides and compares. What the lab answered comes back in any case.
    ///
    /// # Errors
    /// It is for the lab only (and then made on neither side), or the two differ.
    pub fn call(&mut self, task: TaskId, syscall: &AnyCall) -> Result<LabResult, Trouble> {
        let is_impossible = self.is_in_lab && third::is_impossible(&self.k, task, syscall);
        if is_impossible || self.k.tasks[task].state != TaskState::Running {
            return Err(Trouble::LabOnly);
        }
        let prepared = self.machine.prepare(&self.k, task, syscall).ok_or(Trouble::LabOnly)?;
        let parents: Vec<(TaskId, TaskId)> =
            self.k.tasks.iter().map(|(id, _)| (id, self.k.real_parent_of(id))).collect();
        let alive: Vec<TaskId> = self.k.tasks.iter().filter(|(_, t)| !t.is_dead()).map(|(id, _)| id).collect();
        let known: BTreeSet<NsId> = self.k.namespaces.iter().map(|(id, _)| id).collect();
        self.disorder.before(&self.k, syscall);
        let lab = dispatch(&mut self.k, task, syscall);
        self.inums.follow(&self.k);
        let survives = self.k.tasks.get(task).is_some_and(|t| t.state == TaskState::Running);
        let mut seen = Seen { result: text_of(syscall, &lab), tasks: Vec::new() };
        let reply = self.run_on_machine(&prepared, survives, &seen.result);
        if lab.is_ok()
            && matches!(syscall, AnyCall::Linux(Syscall::Exec { .. }))
            && prepared.nr() != self.k.task_nr(task)
        {
            self.machine.renumber(prepared.nr(), self.k.task_nr(task));
        }
        if prepared.is_clone() && lab.is_ok() && matches!(reply, Reply::Done(Ok(_))) {
            let Ok(Return::Pid(numbers)) = &lab else { unreachable!("clone gives a number") };
            self.machine.child_started(numbers.initial()).map_err(Trouble::Differs)?;
        }
        self.compare_results(&mut seen, &reply, prepared.is_clone())?;
        let died = alive.iter().filter(|&&task| self.k.tasks.get(task).is_none_or(|t| t.is_dead())).count();
        self.disorder.after(&self.k, died, &parents);
        let order = |pair: &Pair| pair.inums.check_order(&pair.k, &known).map_err(Trouble::Differs);
        let compared = self.compare_all().and_then(|()| order(self));
        match compared.and_then(|()| self.forget_the_gone()) {
            Err(Trouble::Differs(difference)) if died > 1 => Err(Trouble::Unordered(difference)),
            other => other.map(|()| lab),
        }
    }

    /// Limits are given back late on the machine, when namespaces are freed, and others may have processes of the same user
    /// for a moment: there, what is refused is tried again. So is a listing that differs: states of links change late.
    fn run_on_machine(&mut self, prepared: &Prepared, survives: bool, lab: &Result<String, Errno>) -> Reply {
        let wait = Wait::start();
        loop {
            let reply = self.machine.run(prepared, survives);
            let is_limit = matches!(reply, Reply::Done(Err(Errno::ENOSPC | Errno::EMFILE | Errno::EAGAIN)));
            let differs = matches!(&reply, Reply::Done(there) if there != lab);
            if !(differs && (is_limit || prepared.is_listing())) || wait.is_over(self.patience) {
                return reply;
            }
            wait.pause();
        }
    }

    fn compare_results(&self, seen: &mut Seen, reply: &Reply, is_clone: bool) -> Result<(), Trouble> {
        if let Some(corruption) = self.corruption {
            corruption(seen);
        }
        let same = match (&seen.result, reply) {
            (_, Reply::Silent) => seen.result.is_ok(),
            (Ok(_), Reply::Unlike) => true,
            (Ok(_), Reply::Done(Ok(_))) if is_clone => true,
            (lab, Reply::Done(real)) => lab == real,
            (Err(_), Reply::Unlike) | (_, Reply::Hung) => false,
        };
        let difference = || format!("lab {:?}, machine {reply:?}", seen.result);
        match (&seen.result, reply) {
            _ if same => Ok(()),
            (Ok(lab), Reply::Done(Ok(real))) if self.disorder.explains(lab, real) => {
                Err(Trouble::Unordered(difference()))
            }
            _ => Err(Trouble::Differs(difference())),
        }
    }
}

fn start(socket: RawFd, is_sandboxed: bool) -> Result<Machine, String> {
    Machine::start(socket, is_sandboxed).map_err(|error| format!("cannot start a worker: {error}"))
}

/// The lab's answer as it is compared.
fn text_of(syscall: &AnyCall, result: &LabResult) -> Result<String, Errno> {
    let text = answer(result.clone()).map_err(|error| error.errno);
    let text = text.map(|text| String::from_utf8_lossy(&text).into_owned());
    if matches!(syscall, AnyCall::Lab(LabCall::Ip(_))) { text.map(|text| masked_listing(&text)) } else { text }
}

fn word_of(text: &str) -> nslab::control::lex::Word {
    nslab::control::lex::Word { bytes: text.as_bytes().to_vec(), column: 1 }
}

fn uptime() -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/uptime").map_err(|error| format!("/proc/uptime: {error}"))?;
    text.split('.').next().and_then(|seconds| seconds.parse().ok()).ok_or_else(|| format!("/proc/uptime: {text}"))
}

fn real_number(path: &str) -> Result<i32, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    text.trim().parse().map_err(|_| format!("{path}: no number"))
}
