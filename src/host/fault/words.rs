//! Faults in words: the lines of `kernel/faults`, both ways.

use std::fmt;

use super::super::fault_call::{self, CallsOf};
use super::{At, Effect, Fault, OPS, Op, PATH_LEN_MAX};
use crate::errno::{Error, Result, errno_from_name};
use crate::kernel::TaskId;
use crate::{bail, err};

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::File { op, path } => {
                f.write_str(OPS.iter().find(|(_, own)| own == op).map_or("", |(name, _)| name))?;
                path.as_ref().map_or(Ok(()), |path| write!(f, " {path}"))
            }
            At::Call(calls) => calls.fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.effect {
            Effect::Exit { nr, .. } => return writeln!(f, "exit {nr} after={} hits={}", self.at, self.hits),
            Effect::Fail(errno) => write!(f, "{errno:?} {}", self.at)?,
        }
        if let Some(times) = self.times {
            write!(f, " times={times}")?;
        }
        writeln!(f, " after={} hits={}", self.after, self.hits)
    }
}

/// What a journal notes of a fault: its number in the order of the list, how often it has happened and was passed.
pub(super) fn count(faults: &mut [Fault], words: &str) -> Result<()> {
    let mut numbers = words.split_whitespace().map(|word| word.parse::<u64>().map_err(|_| usage()));
    let mut number = || numbers.next().unwrap_or_else(|| Err(usage()));
    let (at, hits, passed) = (number()?, number()?, number()?);
    let fault = usize::try_from(at).ok().and_then(|at| faults.get_mut(at)).ok_or_else(usage)?;
    (fault.hits, fault.passed) = (hits, passed);
    fault.noted = fault.counts();
    Ok(())
}

pub(in crate::host) const USAGE: &str = "ERRNO stat|readlink|open|read|readdir PATH… [times=N] [after=N], or ERRNO CALL [pid=N] \
    [comm=NAME] [times=N] [after=N], or exit PID after=OP [PATH…], or count N HITS PASSED, or clear";

pub(super) fn usage() -> Error {
    err!(EINVAL, "usage: {}", USAGE)
}

fn op(word: &str) -> Result<Op> {
    OPS.iter().find(|(name, _)| *name == word).map(|(_, op)| *op).ok_or_else(usage)
}

/// # Errors
/// ENAMETOOLONG
fn path(word: &str) -> Result<String> {
    if word.len() > PATH_LEN_MAX {
        bail!(ENAMETOOLONG, "a path has at most {} bytes", PATH_LEN_MAX);
    }
    Ok(word.trim_matches('/').to_owned())
}

/// The faults of one line, one for each path.
pub(super) fn parse(line: &str, find: impl Fn(i32) -> Option<TaskId>) -> Result<Vec<Fault>> {
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
    let effect = Effect::Exit { task, nr };
    let fault =
        |path| Fault { effect, at: At::File { op, path }, times: Some(1), after: 0, passed: 0, hits: 0, noted: (0, 0) };
    let paths = words.filter(|word| !word.starts_with("hits=")).map(path);
    let at = paths.map(|path| path.map(|path| fault(Some(path)))).collect::<Result<Vec<Fault>>>()?;
    Ok(if at.is_empty() { vec![fault(None)] } else { at })
}

/// A fault for each path; without one, what is named is a call. What readers do without saying whose calls are meant lacks its
/// path.
fn parse_failure(line: &str) -> Result<Vec<Fault>> {
    let mut words = line.split_whitespace();
    let errno = words.next().and_then(errno_from_name).ok_or_else(usage)?;
    let name = words.next().ok_or_else(usage)?;
    let call = fault_call::name_of(name);
    let mut calls = call.map(CallsOf::new);
    let (mut times, mut after, mut paths) = (None, 0, Vec::new());
    for word in words {
        match word.split_once('=') {
            Some(("times", number)) => times = Some(number.parse().map_err(|_| usage())?),
            Some(("after", number)) => after = number.parse().map_err(|_| usage())?,
            // What a line has when it is read.
            Some(("hits", _)) => {}
            _ if calls.as_mut().map_or(Ok(false), |calls| calls.take(word))? => {}
            Some(_) if !word.contains('/') => return Err(usage()),
            _ => paths.push(path(word)?),
        }
    }
    let effect = Effect::Fail(errno);
    let fault = |at| Fault { effect, at, times, after, passed: 0, hits: 0, noted: (0, 0) };
    match (op(name), calls) {
        (Ok(op), calls) if calls.as_ref().is_none_or(CallsOf::is_about_all) => {
            let at = |path| At::File { op, path: Some(path) };
            if paths.is_empty() { Err(usage()) } else { Ok(paths.into_iter().map(at).map(fault).collect()) }
        }
        (_, Some(calls)) if paths.is_empty() => Ok(vec![fault(At::Call(calls))]),
        (_, Some(_)) => Err(usage()),
        (_, None) => Err(fault_call::unknown(name)),
    }
}
