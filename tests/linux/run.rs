//! Runs programs on both sides; makes those that differ as short as they can be.

use std::collections::{BTreeMap, BTreeSet};

use nslab::errno::Errno;
use proptest::strategy::ValueTree;

use crate::pair::{Pair, Trouble};
use crate::program::{Line, Step, line_of, program_tree};

/// A line that was run and what came of it.
#[derive(Clone, Debug)]
pub struct Ran {
    pub line: Line,
    pub result: Result<String, Errno>,
}

/// How a program went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub ran: Vec<Ran>,
    /// Where errors were made, `file:line`.
    pub sites: BTreeSet<String>,
    /// The lines up to the difference, and the difference.
    pub difference: Option<String>,
}

/// A program that differs, as short as possible.
#[derive(Debug)]
pub struct Divergence {
    pub index: u64,
    pub lines: Vec<String>,
    pub difference: String,
}

/// What came of many programs.
#[derive(Debug, Default)]
pub struct Tally {
    pub programs: u64,
    pub operations: u64,
    pub refused: u64,
    pub sites: BTreeSet<String>,
    pub errnos: BTreeMap<String, u64>,
    pub verbs: BTreeMap<String, u64>,
    pub divergences: Vec<Divergence>,
    /// Differences that did not come again: races on the machine.
    pub unsteady: Vec<String>,
}

/// Most steps of a random program.
pub const LENGTH: usize = 80;

/// How often a difference has to come in a row to be one.
const REPEATS: u32 = 3;

/// Runs the steps on both sides.
///
/// # Errors
/// The machine's side does not start.
pub fn run_steps(pair: &mut Pair, steps: &[Step]) -> Result<Outcome, String> {
    let t = std::time::Instant::now();
    pair.restart()?;
    T0.fetch_add(t.elapsed().as_micros() as u64, std::sync::atomic::Ordering::Relaxed);
    let mut outcome = Outcome::default();
    for step in steps {
        let Some(line) = line_of(&pair.k, step) else { continue };
        let call = line.call().map_err(|error| format!("{line:?}: {error}"))?;
        let task = pair.k.find_task(line.actor).ok_or("the actor exists")?;
        let t = std::time::Instant::now();
        let r = pair.call(task, &call.syscall);
        let us = t.elapsed().as_micros() as u64;
        if us > 3000 {
            eprintln!("slow {us} {}", text_of(&line));
        }
        T1.fetch_add(us, std::sync::atomic::Ordering::Relaxed);
        match r {
            Ok(result) => {
                if let Err(error) = &result {
                    outcome.sites.insert(format!("{}:{}", error.site.file(), error.site.line()));
                }
                let result = result.map(|value| value.to_string()).map_err(|error| error.errno);
                outcome.ran.push(Ran { line, result });
            }
            Err(Trouble::LabOnly) => {}
            Err(Trouble::Differs(difference)) => {
                outcome.ran.push(Ran { line, result: Ok("?".to_owned()) });
                outcome.difference = Some(difference);
                return Ok(outcome);
            }
        }
    }
    if let Err(Trouble::Differs(difference)) = pair.compare_all() {
        outcome.difference = Some(difference);
    }
    Ok(outcome)
}

/// As [`run_steps`], but a difference has to come every time.
fn run_steadily(pair: &mut Pair, steps: &[Step], unsteady: &mut Vec<String>) -> Result<Outcome, String> {
    let mut outcome = run_steps(pair, steps)?;
    for _ in 1..REPEATS {
        let Some(difference) = &outcome.difference else { break };
        let again = run_steps(pair, steps)?;
        if again.difference.is_none() {
            let last = outcome.ran.last().map(|ran| text_of(&ran.line)).unwrap_or_default();
            unsteady.push(format!("{last}: {difference}"));
        }
        outcome = again;
    }
    Ok(outcome)
}

/// Runs programs number `from` to `to` of a seed.
///
/// # Errors
/// The machine's side does not start.
pub fn run_programs(pair: &mut Pair, seed: u64, range: std::ops::Range<u64>, tally: &mut Tally) -> Result<(), String> {
    for index in range {
        let mut tree = program_tree(seed, index, LENGTH);
        let outcome = run_steadily(pair, &tree.current(), &mut tally.unsteady)?;
        tally.programs += 1;
        tally.operations += outcome.ran.len() as u64;
        for ran in &outcome.ran {
            *tally.verbs.entry(ran.line.verb.clone()).or_default() += 1;
            if let Err(errno) = ran.result {
                tally.refused += 1;
                *tally.errnos.entry(format!("{errno:?}")).or_default() += 1;
            }
        }
        tally.sites.extend(outcome.sites.iter().cloned());
        if outcome.difference.is_some() {
            let divergence = shrink(pair, index, &mut tree, outcome)?;
            eprintln!("program {index} differs:\n  {}\n  {}", divergence.lines.join("\n  "), divergence.difference);
            tally.divergences.push(divergence);
            if tally.divergences.len() >= MAX_DIVERGENCES {
                return Ok(());
            }
        }
    }
    Ok(())
}

const MAX_DIVERGENCES: usize = 10;
const SHRINK_RUNS: u32 = 250;

fn shrink(
    pair: &mut Pair,
    index: u64,
    tree: &mut impl ValueTree<Value = Vec<Step>>,
    mut worst: Outcome,
) -> Result<Divergence, String> {
    let mut may_go_on = tree.simplify();
    for _ in 0..SHRINK_RUNS {
        if !may_go_on {
            break;
        }
        let outcome = run_steps(pair, &tree.current())?;
        may_go_on = if outcome.difference.is_some() {
            worst = outcome;
            tree.simplify()
        } else {
            tree.complicate()
        };
    }
    let lines = worst.ran.iter().map(|ran| format!("{}    # {:?}", text_of(&ran.line), ran.result)).collect();
    Ok(Divergence { index, lines, difference: worst.difference.unwrap_or_default() })
}

/// A line with plain numbers.
pub fn text_of(line: &Line) -> String {
    let call = line.call().map(|call| format!("{} {}", call.verb.name, call.line()));
    format!("{} {}", line.actor, call.unwrap_or_default()).trim_end().to_owned()
}

pub static T0: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
pub static T1: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
