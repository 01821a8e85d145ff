//! Two writers, each of which looks at once whether its write is seen.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::gettid;

use crate::acknowledged::{Acknowledged, Write};

/// What is there besides tasks, so that there are files of all sorts.
const SETUP: &str = "\
1 clone
2 setuid 1000
1 clone
1 clone newuts newipc newnet newpid newuser
1 open /tmp
1 open proc/1/ns/net
1 msgget 1 create 0600
1 msgsnd 0 1 x
1 semget 1 2 create 0600
1 shmget 1 4096 create 0600
1 mq_open q create
1 ip link add d0 type dummy
1 bind tcp 127.0.0.1:80
1 mkdir /tmp/d
1 mount tmpfs t /tmp/d
";
/// The task that is given names.
const NAMED: &str = "3";

#[derive(Debug)]
pub struct Writers<'a> {
    lab: &'a Path,
    acknowledged: &'a Acknowledged,
    /// What each writer does, and since when.
    now: [Mutex<Option<(String, Instant)>>; 2],
    writes: AtomicU64,
}

type Act = fn(&Writers<'_>) -> Result<(), String>;

/// What each writer does again and again; an error says what was wrong.
pub const ACTS: [Act; 2] = [|writers| writers.name(), |writers| writers.make_and_remove()];

impl<'a> Writers<'a> {
    pub fn new(lab: &'a Path, acknowledged: &'a Acknowledged) -> Writers<'a> {
        Writers { lab, acknowledged, now: [const { Mutex::new(None) }; 2], writes: AtomicU64::new(0) }
    }

    pub fn set_up(&self) -> io::Result<()> {
        fs::write(self.lab.join("ctl/batch"), SETUP)
    }

    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// What a writer does that has done it for longer than this.
    pub fn late(&self, patience: Duration) -> Option<String> {
        let now = self.now.iter().map(|now| now.lock().expect("nobody panics with it").clone());
        now.flatten().find(|(_, since)| since.elapsed() > patience).map(|(what, _)| what)
    }

    /// Does something, which has to succeed.
    fn does<T>(&self, writer: usize, what: &str, act: impl FnOnce() -> io::Result<T>) -> Result<T, String> {
        *self.now[writer].lock().expect("nobody panics with it") = Some((what.to_owned(), Instant::now()));
        let done = act().map_err(|error| format!("a write failed: {what}: {error}"));
        *self.now[writer].lock().expect("nobody panics with it") = None;
        self.writes.fetch_add(1, Ordering::SeqCst);
        done
    }

    /// The result of a call.
    fn call(&self, writer: usize, pid: &str, line: &str) -> Result<String, String> {
        let (verb, words) = line.split_once(' ').unwrap_or((line, ""));
        self.does(writer, line, || {
            let path = self.lab.join(format!("ctl/{pid}/{verb}"));
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            file.write_all(format!("{words}\n").as_bytes())?;
            let mut answer = String::new();
            file.read_to_string(&mut answer)?;
            Ok(answer.trim_end().to_owned())
        })
    }

    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.lab.join(path)).map_err(|error| format!("a read failed: {path}: {error}"))
    }

    /// The host name and the name of a task.
    fn name(&self) -> Result<(), String> {
        let number = self.acknowledged.get(Write::Hostname) + 1;
        for (write, pid, call, path, value) in [
            (Write::Hostname, "1", "sethostname", "proc/sys/kernel/hostname", format!("h{number}")),
            (Write::Comm, NAMED, "exec", "proc/3/comm", format!("a{number}")),
        ] {
            self.call(0, pid, &format!("{call} {value}"))?;
            self.acknowledged.set(write, number);
            let seen = self.read(path)?;
            if seen.trim_end() != value {
                return Err(format!("stale: the writer reads {seen:?} from {path} after {value}"));
            }
        }
        Ok(())
    }

    /// A cgroup, which takes the place of the one before, and a task.
    fn make_and_remove(&self) -> Result<(), String> {
        let number = self.acknowledged.get(Write::Made) + 1;
        let dir = |number| self.lab.join(format!("cgroup/c{number}"));
        self.does(1, "mkdir", || fs::create_dir(dir(number)))?;
        self.acknowledged.set(Write::Made, number);
        if number > 1 {
            self.does(1, "rmdir", || fs::remove_dir(dir(number - 1)))?;
            self.acknowledged.set(Write::Removed, number - 1);
        }
        let task = self.call(1, "1", "clone")?;
        let names = ["proc", "ctl", "../procfs"].map(|top| self.lab.join(top).join(&task));
        if let Some(missing) = names.iter().find(|name| fs::symlink_metadata(name).is_err()) {
            return Err(format!("stale: {} is not there after clone", missing.display()));
        }
        self.call(1, &task, "exit 0")?;
        self.call(1, "1", &format!("wait {task}"))?;
        self.acknowledged.set(Write::Dead, task.parse().unwrap_or_default());
        // Under its own number a program finds what `self` leads to.
        let is_own = task == gettid().to_string();
        if let Some(left) = names.iter().find(|name| !is_own && fs::symlink_metadata(name).is_ok()) {
            return Err(format!("stale: {} is there after wait", left.display()));
        }
        Ok(())
    }
}
