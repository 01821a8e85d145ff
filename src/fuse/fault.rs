//! `kernel/faults`: what failing kernels and races do to a reader, on demand. A file with a fault is never answered from
//! the caches of the host's kernel: it is dropped from them when the fault is set, and told as not to be kept.

use std::fmt;
use std::sync::Mutex;

use super::handle::lock;
use crate::errno::{Arg, Errno, Error, Result, errno_from_name};
use crate::{bail, err};

/// What a reader does to a file, as the host's kernel asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Stat,
    Readlink,
    Open,
    Read,
    Readdir,
}

const OPS: [(&str, Op); 5] =
    [("stat", Op::Stat), ("readlink", Op::Readlink), ("open", Op::Open), ("read", Op::Read), ("readdir", Op::Readdir)];

const FAULTS_MAX: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    errno: Errno,
    op: Op,
    path: String,
    /// How often it fails; `None`: always.
    times: Option<u64>,
    /// How often it succeeds before.
    after: u64,
    passed: u64,
    hits: u64,
}

/// The faults set, in the order in which they were.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Does what was written: whole lines, all or none. Gives the paths that must not be answered from caches any more.
    ///
    /// # Errors
    /// EINVAL: a line is none of `ERRNO OP PATH… [times=N] [after=N]` and `clear`. ENOSPC: too many faults.
    pub(super) fn write(&self, text: &[u8]) -> Result<Vec<String>> {
        let text = std::str::from_utf8(text).map_err(|_| err!(EINVAL, "faults are UTF-8 text"))?;
        let mut faults = lock(&self.0).clone();
        let mut paths = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line == "clear" {
                faults.clear();
                continue;
            }
            let new = parse(line)?;
            paths.extend(new.iter().map(|fault| fault.path.clone()));
            faults.extend(new);
        }
        if faults.len() > FAULTS_MAX {
            bail!(ENOSPC, "more than {} faults: write clear first", FAULTS_MAX);
        }
        *lock(&self.0) = faults;
        Ok(paths)
    }

    /// A line for each fault, as it may be written, with its hits.
    pub(super) fn text(&self) -> String {
        lock(&self.0).iter().map(ToString::to_string).collect()
    }

    /// Lets the next fault for this happen, if there is one; `path` is asked for only if any is set.
    ///
    /// # Errors
    /// Its errno.
    pub(super) fn check(&self, op: Op, path: impl FnOnce() -> Vec<u8>) -> Result<()> {
        let mut faults = lock(&self.0);
        if faults.is_empty() {
            return Ok(());
        }
        let path = path();
        for fault in faults.iter_mut().filter(|fault| fault.op == op && fault.path.as_bytes() == path) {
            if fault.is_spent() {
                continue;
            }
            if fault.passed < fault.after {
                fault.passed += 1;
                continue;
            }
            fault.hits += 1;
            let reason = "kernel/faults has this fail, {} so far";
            return Err(Error::new(fault.errno, reason, vec![Arg::from(fault.hits)]));
        }
        Ok(())
    }

    /// Whether a fault may still happen at the path.
    pub(super) fn is_active(&self, path: impl FnOnce() -> Vec<u8>) -> bool {
        let faults = lock(&self.0);
        if faults.is_empty() {
            return false;
        }
        let path = path();
        faults.iter().any(|fault| !fault.is_spent() && fault.path.as_bytes() == path)
    }
}

impl Fault {
    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.hits >= times)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = OPS.iter().find(|(_, op)| *op == self.op).map_or("", |(name, _)| name);
        write!(f, "{:?} {op} {}", self.errno, self.path)?;
        if let Some(times) = self.times {
            write!(f, " times={times}")?;
        }
        writeln!(f, " after={} hits={}", self.after, self.hits)
    }
}

/// The faults of one line, one for each path.
fn parse(line: &str) -> Result<Vec<Fault>> {
    let usage = || err!(EINVAL, "usage: ERRNO stat|readlink|open|read|readdir PATH… [times=N] [after=N], or clear");
    let mut words = line.split_whitespace();
    let errno = words.next().and_then(errno_from_name).ok_or_else(usage)?;
    let op = words.next().and_then(|word| OPS.iter().find(|(name, _)| *name == word)).ok_or_else(usage)?.1;
    let (mut times, mut after, mut paths) = (None, 0, Vec::new());
    for word in words {
        match word.split_once('=') {
            Some(("times", number)) => times = Some(number.parse().map_err(|_| usage())?),
            Some(("after", number)) => after = number.parse().map_err(|_| usage())?,
            _ => paths.push(word.trim_matches('/').to_owned()),
        }
    }
    if paths.is_empty() {
        return Err(usage());
    }
    Ok(paths.into_iter().map(|path| Fault { errno, op, path, times, after, passed: 0, hits: 0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(faults: &Faults, path: &str) -> Result<()> {
        faults.check(Op::Read, || path.as_bytes().to_vec())
    }

    #[test]
    fn a_fault_waits_happens_and_ends() {
        let faults = Faults::default();
        assert_eq!(faults.write(b"EIO read a/b /c times=2 after=1\n").unwrap(), ["a/b", "c"]);
        let outcomes: Vec<bool> = (0..5).map(|_| read(&faults, "c").is_ok()).collect();
        assert_eq!(outcomes, [true, false, false, true, true]);
        assert!(!faults.is_active(|| b"c".to_vec()) && faults.is_active(|| b"a/b".to_vec()));
        assert_eq!(faults.text(), "EIO read a/b times=2 after=1 hits=0\nEIO read c times=2 after=1 hits=2\n");
        faults.write(b"clear\n").unwrap();
        assert_eq!(faults.text(), "");
    }

    #[test]
    fn a_write_sets_all_faults_or_none() {
        let faults = Faults::default();
        for text in ["EIO read a\nEFOO read b\n", "EIO frob a", "EIO read", "EIO read a times=x"] {
            assert_eq!(faults.write(text.as_bytes()).unwrap_err().errno, Errno::EINVAL, "{text}");
        }
        assert_eq!(faults.text(), "");
    }

    #[test]
    fn another_operation_and_another_path_are_not_hit() {
        let faults = Faults::default();
        faults.write(b"EACCES readlink a").unwrap();
        assert!(read(&faults, "a").is_ok());
        assert!(faults.check(Op::Readlink, || b"b".to_vec()).is_ok());
        assert_eq!(faults.check(Op::Readlink, || b"a".to_vec()).unwrap_err().errno, Errno::EACCES);
    }
}
