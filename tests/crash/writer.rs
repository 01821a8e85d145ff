//! Writers at random, and what each of them knows of what it did.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

use nslab::control::lex::quote;
use nslab::errno::Errno;

/// Something that was done, as the journal has to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// The line without what came of it.
    pub line: String,
    pub outcome: Outcome,
}

/// What a writer was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Text(String),
    /// It succeeded, and the daemon died before it could say more.
    Done,
    Failed(Errno),
    /// It was refused, and the daemon died before it could say why.
    Refused,
}

/// A writer, which acts as a task of its own and in directories of its own, so that its lines are known.
#[derive(Debug)]
pub struct Writer {
    pub pid: i32,
    seed: u64,
    children: Vec<String>,
    cgroups: Vec<String>,
    made: usize,
    /// What was acknowledged, in order.
    pub deeds: Vec<Deed>,
    /// The lines that were on their way when the daemon died.
    pub pending: Vec<String>,
}

/// Verbs and words that say nothing of other tasks.
const CALLS: &[(&str, &str)] = &[
    ("clone", ""),
    ("clone", ""),
    ("clone", "newuser newpid"),
    ("clone", "newuts newipc"),
    ("clone", "newnet newns"),
    ("unshare", "newuts"),
    ("unshare", "newipc"),
    ("setns", "pidfd:1 newuser"),
    ("wait", "-1"),
    ("setsid", ""),
    ("sethostname", "b$c"),
    ("msgget", "private create"),
    ("msgsnd", "0 1 hello"),
    ("semget", "private 500 create"),
    ("mkdir", "/tmp/a"),
    ("mount", "tmpfs none /tmp"),
    ("ip", "link add d%d type dummy"),
    ("clock", "+1s"),
    ("exec", "sleep 1"),
    ("open", "proc/self/ns/net"),
    ("close", "0"),
];

impl Writer {
    pub fn new(pid: i32, seed: u64) -> Writer {
        let (children, cgroups, deeds) = (Vec::new(), Vec::new(), Vec::new());
        Writer { pid, seed, children, cgroups, made: 0, deeds, pending: Vec::new() }
    }

    /// Whether a line of the journal, without what came of it, is this writer's.
    pub fn wrote(&self, line: &str) -> bool {
        let pid = self.pid;
        [
            format!("{pid} "),
            format!("mkdir cgroup/{pid}-"),
            format!("rmdir cgroup/{pid}-"),
            format!("write proc/{pid}/"),
        ]
        .iter()
        .chain(&[format!("write cgroup/{pid}-")])
        .any(|start| line.starts_with(start.as_str()))
    }

    /// Does one thing after the other until the daemon is dead.
    ///
    /// # Errors
    /// Why the last thing failed.
    pub fn run(&mut self, lab: &Path) -> io::Error {
        loop {
            let done = match self.random(8) {
                0 => self.make_cgroup(lab),
                1 => self.remove_cgroup(lab),
                2 => self.write_comm(lab),
                3 => self.move_child(lab),
                4 => self.batch(lab),
                5 => self.kill_child(lab),
                _ => {
                    let (verb, words) = CALLS[self.random(CALLS.len())];
                    self.call(lab, verb, words)
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// A number below `end` that the seed gives next.
    fn random(&mut self, end: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % end
    }

    /// Notes what a request came to. One that failed as the daemon died stays on its way.
    fn acknowledge<T>(&mut self, result: io::Result<T>, outcome: impl FnOnce(&T) -> Outcome) -> io::Result<Option<T>> {
        let outcome = match &result {
            Ok(value) => outcome(value),
            Err(error) if is_death(error) => return result.map(Some),
            Err(error) => Outcome::Failed(Errno::from_raw(error.raw_os_error().unwrap())),
        };
        let line = self.pending.remove(0);
        self.deeds.push(Deed { line, outcome });
        Ok(result.ok())
    }

    fn call(&mut self, lab: &Path, verb: &str, words: &str) -> io::Result<()> {
        let quoted: Vec<_> = words.split(' ').map(|word| quote(word.as_bytes())).collect();
        let words = if words.is_empty() { String::new() } else { quoted.join(" ") };
        let line = format!("{} {verb} {words}", self.pid).trim_end().to_owned();
        let path = lab.join(format!("ctl/{}/{verb}", self.pid));
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        self.pending = vec![line];
        let written = file.write(format!("{words}\n").as_bytes());
        let Some(_) = self.acknowledge(written, |_| Outcome::Done)? else { return Ok(()) };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let text = text.trim_end_matches('\n').to_owned();
        if verb == "clone" {
            self.children.push(text.clone());
        }
        if let Some(deed) = self.deeds.last_mut() {
            deed.outcome = Outcome::Text(text);
        }
        Ok(())
    }

    fn kill_child(&mut self, lab: &Path) -> io::Result<()> {
        let Some(child) = self.any_child() else { return Ok(()) };
        self.call(lab, "kill", &format!("{child} SIGKILL"))
    }

    fn any_child(&mut self) -> Option<String> {
        let number = self.children.len().checked_sub(1)?;
        let number = self.random(number + 1);
        Some(self.children[number].clone())
    }

    /// Several calls in one write.
    fn batch(&mut self, lab: &Path) -> io::Result<()> {
        let pid = self.pid;
        let lines = [format!("{pid} clone"), format!("{pid} setpgid 0 0"), format!("{pid} sethostname batch")];
        let text = lines.join("\n") + "\n";
        let mut file = OpenOptions::new().read(true).write(true).open(lab.join("ctl/batch"))?;
        self.pending = lines.to_vec();
        let (done, is_whole) = match file.write(text.as_bytes()) {
            Ok(written) => (text[..written].matches('\n').count(), written == text.len()),
            Err(error) if is_death(&error) => return Err(error),
            Err(_) => (0, false),
        };
        let done_lines = self.pending.drain(..done).map(|line| Deed { line, outcome: Outcome::Done });
        self.deeds.extend(done_lines);
        if !is_whole {
            let line = self.pending.remove(0);
            self.deeds.push(Deed { line, outcome: Outcome::Refused });
        }
        self.pending.clear();
        Ok(())
    }

    fn make_cgroup(&mut self, lab: &Path) -> io::Result<()> {
        let name = format!("cgroup/{}-{}", self.pid, self.made);
        self.made += 1;
        let mode = [0o700, 0o755][self.random(2)];
        self.pending = vec![format!("mkdir {name} {mode:o}")];
        let made = DirBuilder::new().mode(mode).create(lab.join(&name));
        if self.acknowledge(made, |()| Outcome::Text("0".to_owned()))?.is_some() {
            self.cgroups.push(name);
        }
        Ok(())
    }

    fn remove_cgroup(&mut self, lab: &Path) -> io::Result<()> {
        if self.cgroups.is_empty() {
            return Ok(());
        }
        let at = self.random(self.cgroups.len());
        let name = self.cgroups[at].clone();
        self.pending = vec![format!("rmdir {name}")];
        if self.acknowledge(fs::remove_dir(lab.join(&name)), |()| Outcome::Text("0".to_owned()))?.is_some() {
            self.cgroups.remove(at);
        }
        Ok(())
    }

    fn write_comm(&mut self, lab: &Path) -> io::Result<()> {
        let text = format!("name {}$", self.random(100));
        let pos = self.random(3) as u64;
        self.write_at(lab, &format!("proc/{}/comm", self.pid), pos, &text)
    }

    fn move_child(&mut self, lab: &Path) -> io::Result<()> {
        let Some(child) = self.any_child() else { return Ok(()) };
        let Some(dir) = self.cgroups.last().cloned() else { return Ok(()) };
        self.write_at(lab, &format!("{dir}/cgroup.procs"), 0, &child)
    }

    fn write_at(&mut self, lab: &Path, path: &str, pos: u64, text: &str) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(lab.join(path))?;
        self.pending = vec![format!("write {path} pos={pos} {}", quote(text.as_bytes()))];
        let written = file.write_at(text.as_bytes(), pos);
        self.acknowledge(written, |written| Outcome::Text(written.to_string())).map(drop)
    }
}

/// What the host's kernel answers in place of a daemon that is gone.
fn is_death(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(Errno::from_raw)
        .is_some_and(|errno| matches!(errno, Errno::ENOTCONN | Errno::ECONNABORTED | Errno::ENODEV))
}
