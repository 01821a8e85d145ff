//! `kernel/faults`: failures and races on demand, for readers of files and for callers. The host's kernel does not answer from
//! its caches for a file with a fault: the lab invalidates the file when the fault is set, and marks it as not to be cached.

mod words;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::fault_call::{self, CallsOf};
use super::lock;
use crate::errno::{Arg, Errno, Error, Result};
use crate::kernel::{Kernel, TaskId};
use crate::{bail, err};
pub(super) use words::USAGE;
use words::{count, parse};

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
/// The longest path of one, in bytes (`PATH_MAX`, which counts a NUL byte).
const PATH_LEN_MAX: usize = 4095;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The operation fails.
    Fail(Errno),
    /// When the operation is done, a task exits.
    Exit { task: TaskId, nr: i32 },
}

/// What is done when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// A reader does something to a file. No path: what shows the task that exits, see [`Fault::is_at`].
    File { op: Op, path: Option<String> },
    /// A task makes a call.
    Call(CallsOf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    effect: Effect,
    at: At,
    /// How often it happens; `None`: always.
    times: Option<u64>,
    /// How often it succeeds before.
    after: u64,
    passed: u64,
    hits: u64,
    /// Its hits and how often it was passed, as the journal has them.
    noted: (u64, u64),
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
    /// Some of them are about calls.
    has_calls: AtomicBool,
    /// Calls are made that were counted when they were made first: a journal is repeated.
    repeats: AtomicBool,
    /// Some counts are not yet noted.
    has_news: AtomicBool,
    /// Among them is that of a fault which happens no more.
    has_ended: AtomicBool,
}

impl Faults {
    /// The faults, if there are any.
    fn set(&self) -> Option<MutexGuard<'_, Vec<Fault>>> {
        self.is_any.load(Ordering::Acquire).then(|| lock(&self.list))
    }

    /// Does what was written: whole lines, all or none. `find` gives the task that has a number.
    ///
    /// # Errors
    /// EINVAL: a line is none of `ERRNO OP PATH… [times=N] [after=N]`, `ERRNO CALL [pid=N] [comm=NAME] [times=N] [after=N]`,
    /// `exit PID after=OP [PATH…]`, `count N HITS PASSED`, `clear` and `# COMMENT`. ESRCH: no such task. ENOSPC: too many faults.
    /// ENAMETOOLONG: a path is longer than one can be.
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
            uncached.paths.extend(new.iter().filter_map(|fault| fault.path().map(str::to_owned)));
            uncached.tasks.extend(new.iter().filter_map(Fault::doomed));
            faults.extend(new);
        }
        if faults.len() > FAULTS_MAX {
            bail!(ENOSPC, "more than {} faults: write clear first", FAULTS_MAX);
        }
        let mut list = lock(&self.list);
        self.is_any.store(!faults.is_empty(), Ordering::Release);
        let has_calls = faults.iter().any(|fault| matches!(fault.at, At::Call(_)));
        self.has_calls.store(has_calls, Ordering::Release);
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

    /// Gives `note` a line for each fault that has hit, or was passed on the way to it, since its counts were noted last; as it
    /// may be written.
    ///
    /// # Errors
    /// Those of `note`: the counts are not noted then.
    pub fn note_counts(&self, note: impl FnOnce(&str) -> Result<()>) -> Result<()> {
        if !self.has_news() {
            return Ok(());
        }
        let mut faults = lock(&self.list);
        let changed = (0..).zip(faults.iter()).filter(|(_, fault)| fault.noted != fault.counts());
        let line = |(number, fault): (usize, &Fault)| format!("count {number} {} {}\n", fault.hits, fault.passed);
        let lines: String = changed.map(line).collect();
        if !lines.is_empty() {
            note(&lines)?;
        }
        faults.iter_mut().for_each(|fault| fault.noted = fault.counts());
        self.has_news.store(false, Ordering::Release);
        self.has_ended.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether some counts are not yet noted.
    pub fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    /// Whether a fault happens no more, and that is not yet noted; says so once.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire) && self.has_ended.swap(false, Ordering::AcqRel)
    }

    /// A fault has met what it is about. The list is locked.
    fn has_met(&self, fault: &Fault) {
        self.has_news.store(true, Ordering::Release);
        if fault.is_spent() {
            self.has_ended.store(true, Ordering::Release);
        }
    }

    /// Lets the next fault for this happen, if there is one; `path` is asked for only if any is set.
    ///
    /// # Errors
    /// Its errno.
    pub fn check(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> Result<()> {
        let Some(mut faults) = self.set() else { return Ok(()) };
        let path = path();
        faults.iter_mut().filter(|fault| fault.is_at(op, &path)).try_for_each(|fault| {
            let result = fault.meet();
            self.has_met(fault);
            result
        })
    }

    /// Whether some faults are about calls, and calls are counted now.
    pub fn has_calls(&self) -> bool {
        self.has_calls.load(Ordering::Acquire) && !self.repeats.load(Ordering::Acquire)
    }

    /// From now on calls that are made were counted when they were made first, or no more.
    pub fn repeat(&self, repeats: bool) {
        self.repeats.store(repeats, Ordering::Release);
    }

    /// Lets the next fault for this call of a task happen, if there is one; `None`: none is about it.
    pub fn check_call(&self, k: &Kernel, task: TaskId, call: &str) -> Option<Result<()>> {
        if !self.has_calls() {
            return None;
        }
        let call = fault_call::name_of(call)?;
        let mut faults = self.set()?;
        let is_meant = |fault: &&mut Fault| match &fault.at {
            At::Call(calls) => !fault.is_spent() && calls.is_meant(k, task, call),
            At::File { .. } => false,
        };
        let mut met = None;
        for fault in faults.iter_mut().filter(is_meant) {
            met = Some(fault.meet());
            self.has_met(fault);
            if let Some(Err(_)) = met {
                break;
            }
        }
        met
    }

    /// The tasks that exit now that this is done; `path` is asked for only if any fault is set.
    pub fn exits_after(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> Vec<TaskId> {
        let Some(mut faults) = self.set() else { return Vec::new() };
        let path = path();
        let mut exits = Vec::new();
        for fault in faults.iter_mut().filter(|fault| fault.is_at(op, &path)) {
            if let Effect::Exit { task, .. } = fault.effect {
                fault.hits += 1;
                self.has_met(fault);
                exits.push(task);
            }
        }
        exits
    }

    /// Whether a fault may still happen at the path, or to the task it shows.
    pub fn is_active(&self, task: Option<TaskId>, path: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(faults) = self.set() else { return false };
        let path = path();
        let is_at = |fault: &Fault| fault.path().is_some_and(|at| at.as_bytes() == path);
        let is_about = |fault: &Fault| task.is_some() && fault.doomed() == task;
        faults.iter().any(|fault| !fault.is_spent() && (is_at(fault) || is_about(fault)))
    }
}

impl Fault {
    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.hits >= times)
    }

    fn counts(&self) -> (u64, u64) {
        (self.hits, self.passed)
    }

    /// The file that it is about.
    fn path(&self) -> Option<&str> {
        match &self.at {
            At::File { path, .. } => path.as_deref(),
            At::Call(_) => None,
        }
    }

    /// What it is about is done once more, and fails if enough have passed.
    ///
    /// # Errors
    /// Its errno.
    fn meet(&mut self) -> Result<()> {
        let Effect::Fail(errno) = self.effect else { return Ok(()) };
        if self.passed < self.after {
            self.passed += 1;
            return Ok(());
        }
        self.hits += 1;
        let reason = "kernel/faults makes this fail, hit {}";
        Err(Error::new(errno, reason, vec![Arg::from(self.hits)]))
    }

    /// The task that exits.
    fn doomed(&self) -> Option<TaskId> {
        match self.effect {
            Effect::Exit { task, .. } => Some(task),
            Effect::Fail(_) => None,
        }
    }

    /// Whether it may still happen when this is done at a path. An exit without one happens at the directory of the task in
    /// `proc` and all that is below, and when `proc` itself is listed.
    fn is_at(&self, op: Op, path: &[u8]) -> bool {
        let At::File { op: own, path: at } = &self.at else { return false };
        if *own != op || self.is_spent() {
            return false;
        }
        match (at, self.effect) {
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

#[cfg(test)]
mod tests {
    use super::words::usage;
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
        let note = || {
            let mut noted = String::new();
            faults.note_counts(|lines| write(&again, lines).map(|_| noted.push_str(lines))).map(|()| noted)
        };
        assert_eq!(note().unwrap(), "count 0 1 1\ncount 2 0 1\n");
        read(&faults, "c").unwrap();
        faults.check(Op::Open, || b"a".to_vec()).unwrap();
        assert_eq!([note().unwrap(), note().unwrap()], ["count 2 0 2\n", ""]);
        assert_eq!(format!("{again:?}"), format!("{faults:?}"));
        assert_eq!([read(&again, "a").is_ok(), read(&again, "a").is_ok()], [false, true]);
        for text in ["count 3 1 1", "count 0 1", "count x 1 1"] {
            assert_eq!(write(&again, text).unwrap_err().errno, Errno::EINVAL, "{text}");
        }
    }

    /// What is not noted yet stays so until it is.
    #[test]
    fn only_what_changed_is_noted_and_an_end_is_told_of_once() {
        let faults = Faults::default();
        write(&faults, "EIO read a times=2\nEIO read b\n").unwrap();
        for (path, ended) in [("b", false), ("a", false), ("a", true), ("a", false), ("b", false), ("c", false)] {
            let _ = read(&faults, path);
            assert_eq!(faults.has_ended(), ended, "{path}");
        }
        assert_eq!(faults.note_counts(|_| Err(usage())).unwrap_err().errno, Errno::EINVAL);
        assert!(faults.has_news());
        let mut noted = String::new();
        faults
            .note_counts(|lines| {
                noted.push_str(lines);
                Ok(())
            })
            .unwrap();
        assert_eq!(noted, "count 0 2 0\ncount 1 2 0\n");
        assert!(!faults.has_news());
    }

    #[test]
    fn faults_and_their_paths_end_at_their_bounds() {
        let faults = Faults::default();
        write(&faults, &"EIO read a\n".repeat(FAULTS_MAX)).unwrap();
        assert_eq!(write(&faults, "EIO read a").unwrap_err().errno, Errno::ENOSPC);
        let init = Kernel::boot().init.task;
        for line in ["EIO read ", "exit 1 after=read "] {
            let path = "x".repeat(PATH_LEN_MAX);
            let write = |path: &str| faults.write(format!("clear\n{line}{path}").as_bytes(), |_| Some(init));
            assert_eq!(write(&path).unwrap().paths, std::slice::from_ref(&path));
            assert_eq!(write(&(path + "x")).unwrap_err().errno, Errno::ENAMETOOLONG);
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
            "EIO read pid=1",
            "EIO unshare a",
            "EIO unshare pid=x",
            "EIO unshare comm=",
            "EIO exit",
            "EIO mmap",
            "EIO open a pid=1",
            "EFOO unshare",
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
        let lines = "EIO read a=b/c times=2 after=1 hits=0\nexit 20 after=readdir hits=0\n\
                     ENOSPC unshare comm=runc times=1 after=2 hits=0\nEACCES open pid=7 after=0 hits=0\n";
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
