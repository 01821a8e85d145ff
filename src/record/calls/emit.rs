//! Writes the lines of the script, each of which it has tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bitflags::Flags;

use super::Scan;
use super::line::{Told, bytes};
use crate::control::lex::quote;
use crate::kernel::Kernel;
use crate::kernel::ns::{NS_TABLE, NsType};
use crate::kernel::signal::{SIGCHLD, sigmask};
use crate::record::topology::Missing;
use crate::script::file::Line;
use crate::script::statement::{Expect, SetupLine, Statement};
use crate::script::{Session, statement};
use crate::syscall::ip::Ip;
use crate::syscall::ipc::IpcCtl;
use crate::syscall::program::Program;
use crate::syscall::sem::SemCtl;
use crate::syscall::shm::ShmCtl;
use crate::syscall::{AnyCall, CloneArgs, CloneFlags, LabCall, Prctl, SigAction, Syscall};

/// Characters of a command line that a comment shows.
const TITLE_MAX: usize = 90;

/// A descriptor of the lab that was opened for a call.
struct Opened {
    /// What follows `open`.
    words: String,
    /// The name that keeps it, once a line has needed it.
    name: Option<String>,
}

pub struct Emitter<'a> {
    scan: &'a Scan,
    /// What the script has come to so far.
    pub k: Kernel,
    session: Session,
    pub text: String,
    pub missing: Missing,
    /// The names of tasks.
    names: BTreeMap<i32, String>,
    taken: BTreeSet<String>,
    /// By the number of who has them, and theirs.
    opened: BTreeMap<(i32, i32), Opened>,
    /// Namespaces that descriptors of programs hold at the end, and that are not yet held.
    pins: BTreeMap<(NsType, u32), usize>,
}

impl<'a> Emitter<'a> {
    pub fn new(scan: &'a Scan) -> Emitter<'a> {
        Emitter {
            scan,
            k: Kernel::boot(),
            session: Session::default(),
            text: String::new(),
            missing: Missing::default(),
            names: BTreeMap::new(),
            taken: BTreeSet::new(),
            opened: BTreeMap::new(),
            pins: scan.pins.clone(),
        }
    }

    /// Whether a line does what it says: then it is written.
    fn try_line(&mut self, line: &str, comment: &str) -> Result<(), String> {
        let parsed = statement::parse(line).map_err(|error| error.reason())?;
        if let Some(parsed) = parsed {
            self.session.execute(&mut self.k, &parsed).map_err(|failure| failure.to_string())?;
        }
        let _ = writeln!(self.text, "{line}{}{comment}", if comment.is_empty() { "" } else { "  # " });
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if let Err(why) = self.try_line(line, "") {
            let _ = writeln!(self.text, "# not here: {line}");
            self.missing.note(format!("{line}: {}", why.replace('\n', " ")));
        }
    }

    /// A line from before the first program, without its sum.
    pub fn verbatim(&mut self, line: &Line) {
        // The clock of a private lab, and of the host, is not what is recorded.
        let is_clock = match &line.statement {
            Statement::Setup(SetupLine { name: "tick", .. }) => true,
            Statement::Setup(SetupLine { name: "boot", args, .. }) => {
                args.iter().map(bytes).all(|word| word.starts_with(b"uptime=") || word.starts_with(b"btime="))
            }
            _ => false,
        };
        if !is_clock && !matches!(line.statement, Statement::Setup(SetupLine { name: "limits" | "faults", .. })) {
            let text = line.text.rsplit_once(" #").map_or(&*line.text, |(text, _)| text).to_owned();
            self.line(&text);
        }
    }

    /// How the script calls a task.
    fn task(&self, pid: i32) -> String {
        self.names.get(&pid).map_or_else(|| pid.to_string(), |name| format!("${name}"))
    }

    fn is_alive(&self, pid: i32) -> bool {
        self.k.find_task(pid).is_some_and(|task| !self.k.tasks[task].is_dead())
    }

    /// A line of the journal, which `k` has executed; `has_used`: a number of a process was used up.
    pub fn emit(&mut self, k: &Kernel, line: &Line, has_used: bool) {
        match &line.statement {
            Statement::Setup(SetupLine { expect: Expect::Errno(_), .. }) => {}
            Statement::Setup(setup) => self.setup(setup),
            statement => match Told::of(statement) {
                // It has used up a number on the way.
                Some(told) if told.has_failed && has_used => {
                    let call = format!("{} {} {}", self.task(told.pid), told.verb, told.line());
                    let errno = line.text.split(' ').nth(1).unwrap_or_default();
                    self.line(&format!("! {errno} {call}"));
                }
                Some(told) if !told.has_failed => self.told(k, &told),
                _ => {}
            },
        }
    }

    /// What host programs do by files of the mount.
    fn setup(&mut self, SetupLine { name, args, .. }: &SetupLine) {
        let words: Vec<Vec<u8>> = args.iter().map(bytes).collect();
        let is_place = |word: &[u8]| word.starts_with(b"opened=") || word == b"pos=0";
        if let ("write" | "mkdir" | "rmdir", [path, rest @ ..]) = (*name, &words[..]) {
            let rest = rest.iter().filter(|word| !is_place(word)).map(|word| format!(" {}", quote(word)));
            let line = format!("{name} {}{}", self.path(path), rest.collect::<String>());
            self.line(&line);
        }
    }

    /// A path of the mount, with the name of the task that it begins with.
    fn path(&self, path: &[u8]) -> String {
        let quoted = quote(path);
        let mut parts = quoted.splitn(3, '/');
        match (parts.next(), parts.next().map(str::parse), parts.next()) {
            (Some(top @ ("proc" | "as")), Some(Ok(pid)), Some(rest)) => match self.names.get(&pid) {
                Some(name) => format!("{top}/${{{name}}}/{rest}"),
                None => quoted,
            },
            _ => quoted,
        }
    }

    fn told(&mut self, k: &Kernel, told: &Told) {
        match &told.call {
            AnyCall::Lab(LabCall::Program(program)) => self.program(k, told.pid, *program),
            AnyCall::Lab(call) => self.lab(told, call),
            AnyCall::Linux(call) | AnyCall::Waiting(call) => self.linux(k, told, call),
            AnyCall::Tick { .. } => {}
        }
    }

    fn linux(&mut self, k: &Kernel, told: &Told, call: &Syscall) {
        let me = self.task(told.pid);
        if let Syscall::Clone(args) = call {
            self.clone(told, args);
        } else if matches!(call, Syscall::Wait { .. } | Syscall::Waitid { .. }) {
            self.reaps(k, told);
        } else if let Syscall::Unshare { flags } = call {
            self.line(&format!("{me} unshare {}", flag_words(*flags)));
        } else if matches!(call, Syscall::Open { .. } | Syscall::PidfdOpen { .. }) {
            self.opens(told);
        } else if let Syscall::Close { fd } = call {
            if let Some(Opened { name: Some(name), .. }) = self.opened.remove(&(told.pid, *fd)) {
                self.line(&format!("{me} close ${name}"));
            }
        } else if let Syscall::Setns { fd, flags } = call {
            self.setns(told.pid, *fd, *flags);
        } else if let Syscall::Sigaction { signo: SIGCHLD, action: Some(action) } = call {
            self.children(told.pid, *action);
        } else if changes(call) {
            self.as_it_is(told);
        }
    }

    /// Whether the children of a process need no wait.
    fn children(&mut self, pid: i32, action: SigAction) {
        let ignores = |task| self.k.sighand_of(task).ignored & sigmask(SIGCHLD) != 0;
        let is_ignored = self.k.find_task(pid).is_some_and(ignores);
        if is_ignored != (action == SigAction::Ignore) {
            let word = if is_ignored { "default" } else { "ignore" };
            self.line(&format!("{} sigaction SIGCHLD {word}", self.task(pid)));
        }
    }

    fn lab(&mut self, told: &Told, call: &LabCall) {
        let me = self.task(told.pid);
        if let LabCall::OpenNs { .. } = call {
            self.opens(told);
        } else if let LabCall::Setns { flags, .. } = call {
            let target = told.words.first().map(|word| self.word("setns", word)).unwrap_or_default();
            self.line(format!("{me} setns {target} {}", flag_words(*flags)).trim_end());
        } else if let LabCall::MqMake(_) = call {
            let words = told.line();
            // It is there until somebody unlinks it.
            self.line(&format!("queue = {me} mq_open {}", words.strip_suffix(" real").unwrap_or(&words)));
            self.line(&format!("{me} mq_close $queue"));
        } else if let LabCall::Ip(call) = call
            && !asks(call)
        {
            self.as_it_is(told);
        }
    }

    fn as_it_is(&mut self, told: &Told) {
        let words = self.with_names(told);
        self.line(format!("{} {} {words}", self.task(told.pid), told.verb).trim_end());
    }

    /// A descriptor for a call that comes later: that may say itself what was opened.
    fn opens(&mut self, told: &Told) {
        if let Some(fd) = told.number() {
            let words = self.with_names(told);
            self.opened.insert((told.pid, fd), Opened { words, name: None });
        }
    }

    /// The words of a call, names in place of numbers of tasks and of descriptors.
    fn with_names(&mut self, told: &Told) -> String {
        let mut words = Vec::new();
        for word in &told.words {
            let text = self.word(&told.verb, word);
            let fd = text.strip_prefix("fd:").filter(|_| told.verb == "ip").and_then(|fd| fd.parse().ok());
            let name = fd.and_then(|fd| self.descriptor(told.pid, fd));
            words.push(name.map_or(text, |name| format!("fd:${name}")));
        }
        words.join(" ")
    }

    fn word(&self, verb: &str, word: &[u8]) -> String {
        let quoted = quote(word);
        let named = |prefix: &str| {
            let pid = quoted.strip_prefix(prefix)?.parse().ok()?;
            Some(format!("{prefix}${}", self.names.get(&pid)?))
        };
        let numbers: &[&str] = if verb == "setpgid" { &["", "pidfd:", "pid="] } else { &["pidfd:", "pid="] };
        numbers.iter().find_map(|prefix| named(prefix)).unwrap_or(quoted)
    }

    /// The name of a descriptor, which is opened now if it was not needed before.
    fn descriptor(&mut self, pid: i32, fd: i32) -> Option<String> {
        let opened = self.opened.get(&(pid, fd))?;
        if let Some(name) = &opened.name {
            return Some(name.clone());
        }
        let words = opened.words.clone();
        let name = self.fresh(format!("fd_{fd}"));
        self.line(&format!("{name} = {} open {words}", self.task(pid)));
        self.opened.insert((pid, fd), Opened { words, name: Some(name.clone()) });
        Some(name)
    }

    fn fresh(&mut self, mut name: String) -> String {
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// By what the descriptor was opened for, where that says it all.
    fn setns(&mut self, pid: i32, fd: i32, flags: u64) {
        let target = match self.opened.get(&(pid, fd)) {
            Some(Opened { words, name: None }) if words.contains(":[") && !words.contains(' ') => words.clone(),
            _ => self.descriptor(pid, fd).map_or_else(|| format!("fd:{fd}"), |name| format!("fd:${name}")),
        };
        self.line(format!("{} setns {target} {}", self.task(pid), flag_words(flags)).trim_end());
    }

    fn clone(&mut self, told: &Told, args: &CloneArgs) {
        let Some(child) = told.number() else { return };
        let (comm, title) = self.scan.names.get(&child).cloned().unwrap_or_default();
        let word: String = comm
            .iter()
            .take(24)
            .map(|byte| char::from(*byte))
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let start = if word.starts_with(|c: char| c.is_ascii_alphabetic()) { "" } else { "p" };
        let name = self.fresh(format!("{start}{word}_{child}"));
        let mut line = format!("{name} = {} clone", self.task(told.pid));
        if args.flags != 0 {
            let _ = write!(line, " {}", flag_words(args.flags));
        }
        if !args.set_tid.is_empty() {
            let _ = write!(line, " set_tid={}", args.set_tid.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
        }
        if let Some(signal) = args.exit_signal.filter(|signal| i64::try_from(*signal) != Ok(SIGCHLD.into())) {
            let _ = write!(line, " exit_signal={signal}");
        }
        if let Some(fd) = args.cgroup {
            let name = self.descriptor(told.pid, fd);
            let _ = write!(line, " cgroup={}", name.map_or(fd.to_string(), |name| format!("${name}")));
        }
        let title = quote(title.as_bytes());
        let comment: String = title.trim_matches('"').chars().take(TITLE_MAX).collect();
        match self.try_line(line.trim_end(), &comment) {
            Ok(()) => drop(self.names.insert(child, name)),
            Err(why) => self.missing.note(format!("{line}: {why}")),
        }
    }

    /// A child that is gone now was waited for.
    fn reaps(&mut self, k: &Kernel, told: &Told) {
        let Some(child) = told.number().filter(|child| k.find_task(*child).is_none()) else { return };
        if self.k.find_task(child).is_none() {
            return;
        }
        let line = format!("{} wait {}", self.task(told.pid), self.task(child));
        // Of a child that sends another signal than SIGCHLD.
        if self.try_line(&line, "").is_err() || self.k.find_task(child).is_some() {
            self.line(&format!("{line} all"));
        }
    }

    fn program(&mut self, k: &Kernel, pid: i32, program: Program) {
        let me = self.task(pid);
        match program {
            Program::Ended { .. } | Program::NeverRan | Program::Stopped { .. } | Program::Continued
                if !self.is_alive(pid) => {}
            Program::Ended { status } if status & 0x7f == 0 => self.line(&format!("{me} exit {}", status >> 8 & 0xff)),
            Program::Ended { status } => {
                self.line(&format!("1 kill {me} {}", status & 0x7f));
                if self.is_alive(pid) {
                    self.line(&format!("1 kill {me} SIGKILL"));
                }
            }
            Program::NeverRan => {
                let task = self.k.find_task(pid);
                let parent = task.map(|task| self.k.task_nr(self.k.real_parent_of(task)));
                self.line(&format!("{me} exit"));
                if let Some(parent) = parent.filter(|_| self.k.find_task(pid).is_some()) {
                    self.line(&format!("{} wait {me} all", self.task(parent)));
                }
            }
            Program::Stopped { .. } => self.line(&format!("1 kill {me} SIGSTOP")),
            Program::Continued => self.line(&format!("1 kill {me} SIGCONT")),
            Program::Pins { ns_type, inum } => self.pin(k, pid, ns_type, inum),
            Program::Runs
            | Program::Wakes
            | Program::Unpins { .. }
            | Program::PinsQueue(_)
            | Program::UnpinsQueue(_)
            | Program::ClosesQueue(_) => {}
        }
    }

    /// A descriptor that holds a namespace to the end.
    fn pin(&mut self, k: &Kernel, pid: i32, ns_type: NsType, inum: u32) {
        let is_same = k.find_ns(ns_type, inum).is_some() && self.k.find_ns(ns_type, inum).is_some();
        let Some(left) = self.pins.get_mut(&(ns_type, inum)).filter(|left| **left > 0 && is_same) else { return };
        *left -= 1;
        let target = format!("{}:[{inum}]", ns_type.ops().name);
        self.line(&format!("{} open {target}", self.task(pid)));
    }
}

/// Calls that change namespaces, identities or tasks whenever they succeed.
const CHANGES: [&str; 35] = [
    "capset",
    "chdir",
    "chroot",
    "exec",
    "exit",
    "exit_group",
    "mkdir",
    "mount",
    "mq_unlink",
    "msgget",
    "msgrcv",
    "msgsnd",
    "pivot_root",
    "rename",
    "rmdir",
    "semget",
    "setdomainname",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "sethostname",
    "setpgid",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setsid",
    "setuid",
    "shmat",
    "shmdt",
    "shmget",
    "symlink",
    "umount",
    "unlink",
];

/// Whether a call that has succeeded changes namespaces, identities or tasks.
fn changes(call: &Syscall) -> bool {
    if let Syscall::Prctl(op) = call {
        return !matches!(op, Prctl::GetDumpable | Prctl::GetSecurebits | Prctl::CapbsetRead(_));
    }
    if let Syscall::Msgctl { op, .. }
    | Syscall::Semctl { op: SemCtl::Ipc(op), .. }
    | Syscall::Shmctl { op: ShmCtl::Ipc(op), .. } = call
    {
        return matches!(op, IpcCtl::Rmid | IpcCtl::Set(_));
    }
    CHANGES.contains(&call.name())
}

/// Whether a call of ip(8) only asks.
fn asks(call: &Ip) -> bool {
    matches!(call, Ip::LinkShow { .. } | Ip::AddrShow { .. } | Ip::NetnsGet { .. } | Ip::NetnsListId)
}

/// The words of flags of clone and unshare.
fn flag_words(flags: u64) -> String {
    let mut left = flags;
    let mut words = Vec::new();
    let namespaces = NS_TABLE.iter().map(|ops| (ops.clone_flag_name.trim_start_matches("CLONE_"), ops.clone_flag));
    let others = CloneFlags::FLAGS.iter().filter(|flag| flag.is_named()).map(|flag| (flag.name(), flag.value().bits()));
    for (name, bit) in namespaces.chain(others) {
        if bit != 0 && left & bit == bit {
            left &= !bit;
            words.push(name.to_ascii_lowercase());
        }
    }
    if left != 0 {
        words.push(format!("{left:#x}"));
    }
    words.join(",")
}
