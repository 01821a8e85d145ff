//! `kernel/faults`: what failing kernels and races do to a reader, on demand. A file with a fault is never answered from
//! the caches of the host's kernel: it is dropped from them when the fault is set, and told as not to be kept.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::lock;
use crate::errno::{Arg, Errno, Error, Result, errno_from_name};
use crate::kernel::TaskId;
use crate::{bail, err};

/// What a reader does to a file, as the host's kernel asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Stat,
    Readlink,
    Open,
    Read,
    Readdir,
}

const OPS: [(&str, Op); 5] =
    [("stat", Op::Stat), ("readlink", Op::Readlink), ("open", Op::Open), ("read", Op::Read), ("readdir", Op::Readdir)];

const FAULTS_MAX: usize = 1024;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The operation fails.
    Fail(Errno),
    /// When the operation is done, a task exits.
    Exit { task: TaskId, nr: i32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    effect: Effect,
    op: Op,
    /// `None`: what shows the task that exits, see [`Fault::is_at`].
    path: Option<String>,
    /// How often it happens; `None`: always.
    times: Option<u64>,
    /// How often it succeeds before.
    after: u64,
    passed: u64,
    hits: u64,
}

/// What must not be answered from caches any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncached {
    pub paths: Vec<String>,
    pub tasks: Vec<TaskId>,
}

/// The faults set, in the order in which they were.
#[derive(Debug, Default)]
pub struct Faults {
    list: Mutex<Vec<Fault>>,
    /// The list is not empty. Most labs have no faults, and no request of theirs waits for the list.
    is_any: AtomicBool,
    /// Why the last write was refused, until one succeeds.
    refusal: Mutex<Option<String>>,
}

impl Faults {
    /// The faults, if there are any.
    fn set(&self) -> Option<MutexGuard<'_, Vec<Fault>>> {
        self.is_any.load(Ordering::Acquire).then(|| lock(&self.list))
    }

    /// Does what was written: whole lines, all or none. `find` gives the task that has a number.
    ///
    /// # Errors
    /// EINVAL: a line is none of `ERRNO OP PATH… [times=N] [after=N]`, `exit PID after=OP [PATH…]`, `count N HITS PASSED`,
    /// `clear` and `# COMMENT`. ESRCH: no such task. ENOSPC: too many faults.
    pub fn write(&self, text: &[u8], find: impl Fn(i32) -> Option<TaskId>) -> Result<Uncached> {
        let result = self.set_lines(text, find);
        *lock(&self.refusal) = result.as_ref().err().map(ToString::to_string);
        result
    }

    fn set_lines(&self, text: &[u8], find: impl Fn(i32) -> Option<TaskId>) -> Result<Uncached> {
        let text = std::str::from_utf8(text).map_err(|_| err!(EINVAL, "faults are UTF-8 text"))?;
        let mut faults = lock(&self.list).clone();
        let mut uncached = Uncached::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line == "clear" {
                faults.clear();
                continue;
            }
            if let Some(words) = line.strip_prefix("count ") {
                count(&mut faults, words)?;
                continue;
            }
            let new = parse(line, &find)?;
            uncached.paths.extend(new.iter().filter_map(|fault| fault.path.clone()));
            uncached.tasks.extend(new.iter().filter_map(Fault::doomed));
            faults.extend(new);
        }
        if faults.len() > FAULTS_MAX {
            bail!(ENOSPC, "more than {} faults: write clear first", FAULTS_MAX);
        }
        let mut list = lock(&self.list);
        self.is_any.store(!faults.is_empty(), Ordering::Release);
        *list = faults;
        Ok(uncached)
    }

    /// A line for each fault, as it may be written, with its hits; then, as a comment, why the last write was refused. A
    /// shell's `echo` reads nothing back from the file that it has written to.
    pub fn text(&self) -> String {
        let faults: String = lock(&self.list).iter().map(ToString::to_string).collect();
        let refusal = lock(&self.refusal).as_ref().map(|reason| format!("# {reason}\n"));
        faults + &refusal.unwrap_or_default()
    }

    /// A line for each fault that has hit, or was passed on the way to it, as it may be written: that is what a journal notes.
    pub fn counts(&self) -> String {
        let faults = lock(&self.list);
        let counted = (0..).zip(faults.iter()).filter(|(_, fault)| fault.hits + fault.passed > 0);
        let line = |(number, fault): (usize, &Fault)| format!("count {number} {} {}\n", fault.hits, fault.passed);
        counted.map(line).collect()
    }

    /// Whether an operation at this path is counted; `path` is asked for only if any fault is set.
    pub fn counts_at(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(faults) = self.set() else { return false };
        let path = path();
        faults.iter().any(|fault| fault.op == op && !fault.is_spent() && fault.is_at(op, &path))
    }

    /// Lets the next fault for this happen, if there is one; `path` is asked for only if any is set.
    ///
    /// # Errors
    /// Its errno.
    pub fn check(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> Result<()> {
        let Some(mut faults) = self.set() else { return Ok(()) };
        let path = path();
        for fault in faults.iter_mut().filter(|fault| fault.op == op && !fault.is_spent() && fault.is_at(op, &path)) {
            let Effect::Fail(errno) = fault.effect else { continue };
            if fault.passed < fault.after {
                fault.passed += 1;
                continue;
            }
            fault.hits += 1;
            let reason = "kernel/faults has this fail, {} so far";
            return Err(Error::new(errno, reason, vec![Arg::from(fault.hits)]));
        }
        Ok(())
    }

    /// The tasks that exit now that this is done; `path` is asked for only if any fault is set.
    pub fn exits_after(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> Vec<TaskId> {
        let Some(mut faults) = self.set() else { return Vec::new() };
        let path = path();
        let mut exits = Vec::new();
        for fault in faults.iter_mut().filter(|fault| fault.op == op && !fault.is_spent() && fault.is_at(op, &path)) {
            if let Effect::Exit { task, .. } = fault.effect {
                fault.hits += 1;
                exits.push(task);
            }
        }
        exits
    }

    /// Whether a fault may still happen at the path, or to the task it shows.
    pub fn is_active(&self, task: Option<TaskId>, path: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(faults) = self.set() else { return false };
        let path = path();
        let is_at = |fault: &Fault| fault.path.as_ref().is_some_and(|at| at.as_bytes() == path);
        let is_about = |fault: &Fault| task.is_some() && fault.doomed() == task;
        faults.iter().any(|fault| !fault.is_spent() && (is_at(fault) || is_about(fault)))
    }
}

impl Fault {
    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.hits >= times)
    }

    /// The task that exits.
    fn doomed(&self) -> Option<TaskId> {
        match self.effect {
            Effect::Exit { task, .. } => Some(task),
            Effect::Fail(_) => None,
        }
    }

    /// Whether it happens at a path. An exit without one happens at the directory of the task in `proc` and all that is
    /// below, and when `proc` itself is listed.
    fn is_at(&self, op: Op, path: &[u8]) -> bool {
        match (&self.path, self.effect) {
            (Some(at), _) => at.as_bytes() == path,
            (None, Effect::Exit { nr, .. }) => {
                let dir = format!("proc/{nr}");
                let below = path.strip_prefix(dir.as_bytes());
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
                    || op == Op::Readdir && path == b"proc"
            }
            (None, Effect::Fail(_)) => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = OPS.iter().find(|(_, op)| *op == self.op).map_or("", |(name, _)| name);
        let path = self.path.as_ref().map(|path| format!(" {path}")).unwrap_or_default();
        match self.effect {
            Effect::Exit { nr, .. } => return writeln!(f, "exit {nr} after={op}{path} hits={}", self.hits),
            Effect::Fail(errno) => write!(f, "{errno:?} {op}{path}")?,
        }
        if let Some(times) = self.times {
            write!(f, " times={times}")?;
        }
        writeln!(f, " after={} hits={}", self.after, self.hits)
    }
}

/// What a journal notes of a fault: its number in the order of the list, how often it has happened and was passed.
fn count(faults: &mut [Fault], words: &str) -> Result<()> {
    let mut numbers = words.split_whitespace().map(|word| word.parse::<u64>().map_err(|_| usage()));
    let mut number = || numbers.next().unwrap_or_else(|| Err(usage()));
    let (at, hits, passed) = (number()?, number()?, number()?);
    let fault = usize::try_from(at).ok().and_then(|at| faults.get_mut(at)).ok_or_else(usage)?;
    (fault.hits, fault.passed) = (hits, passed);
    Ok(())
}

fn usage() -> Error {
    err!(
        EINVAL,
        "usage: ERRNO stat|readlink|open|read|readdir PATH… [times=N] [after=N], or exit PID after=OP [PATH…], or count N HITS PASSED, or clear"
    )
}

fn op(word: &str) -> Result<Op> {
    OPS.iter().find(|(name, _)| *name == word).map(|(_, op)| *op).ok_or_else(usage)
}

fn path(word: &str) -> String {
    word.trim_matches('/').to_owned()
}

/// The faults of one line, one for each path.
fn parse(line: &str, find: impl Fn(i32) -> Option<TaskId>) -> Result<Vec<Fault>> {
    match line.split_once(char::is_whitespace) {
        Some(("exit", words)) => parse_exit(words, find),
        _ => parse_failure(line),
    }
}

/// Each of these happens once.
fn parse_exit(words: &str, find: impl Fn(i32) -> Option<TaskId>) -> Result<Vec<Fault>> {
    let mut words = words.split_whitespace();
    let nr = words.next().and_then(|word| word.parse().ok()).ok_or_else(usage)?;
    let op = op(words.next().and_then(|word| word.strip_prefix("after=")).ok_or_else(usage)?)?;
    let Some(task) = find(nr) else { bail!(ESRCH, "no task has the number {}", nr) };
    let fault =
        Fault { effect: Effect::Exit { task, nr }, op, path: None, times: Some(1), after: 0, passed: 0, hits: 0 };
    let at: Vec<Fault> = words
        .filter(|word| !word.starts_with("hits="))
        .map(|word| Fault { path: Some(path(word)), ..fault.clone() })
        .collect();
    Ok(if at.is_empty() { vec![fault] } else { at })
}

fn parse_failure(line: &str) -> Result<Vec<Fault>> {
    let mut words = line.split_whitespace();
    let errno = words.next().and_then(errno_from_name).ok_or_else(usage)?;
    let op = op(words.next().ok_or_else(usage)?)?;
    let (mut times, mut after, mut paths) = (None, 0, Vec::new());
    for word in words {
        match word.split_once('=') {
            Some(("times", number)) => times = Some(number.parse().map_err(|_| usage())?),
            Some(("after", number)) => after = number.parse().map_err(|_| usage())?,
            // What a line has when it is read.
            Some(("hits", _)) => {}
            Some(_) if !word.contains('/') => return Err(usage()),
            _ => paths.push(path(word)),
        }
    }
    if paths.is_empty() {
        return Err(usage());
    }
    let effect = Effect::Fail(errno);
    let fault = |path| Fault { effect, op, path: Some(path), times, after, passed: 0, hits: 0 };
    Ok(paths.into_iter().map(fault).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn read(faults: &Faults, path: &str) -> Result<()> {
        faults.check(Op::Read, || path.as_bytes().to_vec())
    }

    fn write(faults: &Faults, text: &str) -> Result<Uncached> {
        faults.write(text.as_bytes(), |_| None)
    }

    #[test]
    fn a_fault_waits_happens_and_ends() {
        let faults = Faults::default();
        assert_eq!(write(&faults, "EIO read a/b /c times=2 after=1\n").unwrap().paths, ["a/b", "c"]);
        let outcomes: Vec<bool> = (0..5).map(|_| read(&faults, "c").is_ok()).collect();
        assert_eq!(outcomes, [true, false, false, true, true]);
        assert!(!faults.is_active(None, || b"c".to_vec()) && faults.is_active(None, || b"a/b".to_vec()));
        assert_eq!(faults.text(), "EIO read a/b times=2 after=1 hits=0\nEIO read c times=2 after=1 hits=2\n");
        write(&faults, "clear\n").unwrap();
        assert_eq!(faults.text(), "");
    }

    #[test]
    fn what_was_counted_can_be_written_down_and_counted_on() {
        let (faults, again) = (Faults::default(), Faults::default());
        for faults in [&faults, &again] {
            write(faults, "EIO read a times=2 after=1\nEIO stat b\nEIO read c after=3\n").unwrap();
        }
        for path in ["a", "a", "c"] {
            let _ = read(&faults, path);
        }
        assert!(faults.counts_at(Op::Read, || b"a".to_vec()) && !faults.counts_at(Op::Open, || b"a".to_vec()));
        assert_eq!(faults.counts(), "count 0 1 1\ncount 2 0 1\n");
        write(&again, &faults.counts()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{faults:?}"));
        assert_eq!([read(&again, "a").is_ok(), read(&again, "a").is_ok()], [false, true]);
        for text in ["count 3 1 1", "count 0 1", "count x 1 1"] {
            assert_eq!(write(&again, text).unwrap_err().errno, Errno::EINVAL, "{text}");
        }
    }

    #[test]
    fn a_write_sets_all_faults_or_none() {
        let faults = Faults::default();
        let bad = [
            "EIO read a\nEFOO read b\n",
            "EIO frob a",
            "EIO read",
            "EIO read a times=x",
            "EIO read a time=1",
            "exit 1",
            "exit x after=read",
        ];
        for text in bad {
            assert_eq!(write(&faults, text).unwrap_err().errno, Errno::EINVAL, "{text}");
        }
        assert_eq!(write(&faults, "exit 7 after=read").unwrap_err().errno, Errno::ESRCH);
        assert_eq!(lock(&faults.list).len(), 0);
    }

    #[test]
    fn the_reason_of_a_refused_write_is_shown_until_one_succeeds() {
        let faults = Faults::default();
        write(&faults, "EIO read a\n").unwrap();
        write(&faults, "garbage").unwrap_err();
        let (fault, reason) = ("EIO read a after=0 hits=0\n", "# EINVAL: usage: ERRNO ");
        assert!(faults.text().starts_with(&format!("{fault}{reason}")), "{}", faults.text());
        // What is read may be written: the reason is a comment.
        write(&faults, &format!("clear\n{}", faults.text())).unwrap();
        assert_eq!(faults.text(), fault);
    }

    #[test]
    fn what_is_read_may_be_written() {
        let (faults, init) = (Faults::default(), Kernel::boot().init.task);
        let lines = "EIO read a=b/c times=2 after=1 hits=0\nexit 20 after=readdir hits=0\n";
        faults.write(lines.as_bytes(), |_| Some(init)).unwrap();
        assert_eq!(faults.text(), lines);
    }

    #[test]
    fn nobody_asks_for_a_path_or_the_list_where_no_fault_is_set() {
        let faults = Faults::default();
        let unasked = || -> Vec<u8> { panic!("a path is asked for") };
        for text in ["", "EIO read a\nclear"] {
            write(&faults, text).unwrap();
            let held = lock(&faults.list);
            assert!(faults.check(Op::Read, unasked).is_ok() && !faults.is_active(None, unasked));
            assert_eq!(faults.exits_after(Op::Read, unasked), []);
            drop(held);
        }
    }

    #[test]
    fn another_operation_and_another_path_are_not_hit() {
        let faults = Faults::default();
        write(&faults, "EACCES readlink a").unwrap();
        assert!(read(&faults, "a").is_ok());
        assert!(faults.check(Op::Readlink, || b"b".to_vec()).is_ok());
        assert_eq!(faults.check(Op::Readlink, || b"a".to_vec()).unwrap_err().errno, Errno::EACCES);
    }

    #[test]
    fn a_task_exits_once_after_what_shows_it() {
        let (faults, init) = (Faults::default(), Kernel::boot().init.task);
        let uncached = faults.write(b"exit 20 after=readdir\nexit 20 after=read a b", |_| Some(init)).unwrap();
        assert_eq!((uncached.paths, uncached.tasks.len()), (vec!["a".to_owned(), "b".to_owned()], 3));
        let exits = |op, path: &str| faults.exits_after(op, || path.as_bytes().to_vec()).len();
        assert_eq!([exits(Op::Readdir, "proc/201"), exits(Op::Open, "proc"), exits(Op::Read, "c")], [0; 3]);
        assert!(faults.is_active(Some(init), || b"x".to_vec()) && read(&faults, "a").is_ok());
        assert_eq!([exits(Op::Readdir, "proc"), exits(Op::Readdir, "proc/20"), exits(Op::Read, "a")], [1, 0, 1]);
        assert_eq!(
            faults.text(),
            "exit 20 after=readdir hits=1\nexit 20 after=read a hits=1\nexit 20 after=read b hits=0\n"
        );
    }
}
