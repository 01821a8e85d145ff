//! Runs programs on both sides; makes those that differ as short as they can be.

use std::collections::BTreeSet;
use std::time::Duration;

use nslab::errno::Errno;
use proptest::strategy::ValueTree;

use crate::area::Area;
use crate::draw::{pick_actor, program_tree};
use crate::options::Options;
use crate::pair::{Pair, Trouble};
use crate::patience::PATIENCE;
use crate::program::{Line, Step, line_of, plain_line};

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
    /// It ended early, where the order of deaths is the machine's own.
    pub is_unordered: bool,
}

/// A program that differs, as short as possible.
#[derive(Debug)]
pub struct Divergence {
    pub lines: Vec<String>,
    pub difference: String,
}

/// What came of many programs.
#[derive(Debug, Default)]
pub struct Tally {
    pub programs: u64,
    pub operations: u64,
    pub refused: u64,
    /// Programs that ended early, where the order of deaths is the machine's own.
    pub unordered: u64,
    pub divergences: Vec<Divergence>,
    /// Differences that did not come again: races on the machine.
    pub unsteady: Vec<String>,
}

/// How often a difference has to come in a row to be one.
pub const REPEATS: u32 = 3;

/// Runs the steps on both sides.
///
/// # Errors
/// The machine's side does not start.
pub fn run_steps(pair: &mut Pair, area: &Area, steps: &[Step]) -> Result<Outcome, String> {
    pair.is_sandboxed = area.is_sandboxed;
    pair.restart()?;
    let mut outcome = Outcome::default();
    let prelude = area.prelude.iter().map(|(actor, line)| Next::Line(*actor, line));
    for next in prelude.chain(steps.iter().map(Next::Step)) {
        let line = match next {
            Next::Line(actor, line) => plain_line(actor, line),
            Next::Step(step) => pick_actor(&pair.k, step).and_then(|actor| line_of(&pair.k, actor, step)),
        };
        let Some(line) = line else { continue };
        let child = run_line(pair, area, &mut outcome, line)?;
        // What stands for init on the machine is in a session of its own, as init is, but it is not the real one, to
        // which a process group has no connection even in the same session.
        if let Some(child) = child {
            run_line(pair, area, &mut outcome, Line { actor: child, verb: "setsid".to_owned(), words: Vec::new() })?;
        }
        if outcome.difference.is_some() || outcome.is_unordered {
            return Ok(outcome);
        }
    }
    let all = match pair.compare_all() {
        Err(Trouble::Differs(difference)) => Err(difference),
        _ => (area.observe)(pair, None),
    };
    outcome.difference = all.err();
    Ok(outcome)
}

/// What is run next.
enum Next<'a> {
    Line(i32, &'a str),
    Step(&'a Step),
}

/// Runs one line. The number of a child of init, if it made one.
fn run_line(pair: &mut Pair, area: &Area, outcome: &mut Outcome, line: Line) -> Result<Option<i32>, String> {
    if outcome.difference.is_some() || outcome.is_unordered {
        return Ok(None);
    }
    let call = line.call().map_err(|error| format!("{line:?}: {error}"))?;
    let task = pair.k.find_task(line.actor).ok_or("the actor exists")?;
    let is_init = task == pair.k.init.task;
    let mut called = pair.call(task, &call.syscall);
    if let Err(difference) = called.as_ref().map_or(Ok(()), |_| (area.observe)(pair, Some((task, &call.syscall)))) {
        called = Err(Trouble::Differs(difference));
    }
    let result = match called {
        Ok(result) => result,
        Err(Trouble::LabOnly) => return Ok(None),
        Err(Trouble::Unordered(_)) => {
            outcome.is_unordered = true;
            return Ok(None);
        }
        Err(Trouble::Differs(difference)) => {
            outcome.ran.push(Ran { line, result: Ok("?".to_owned()) });
            outcome.difference = Some(difference);
            return Ok(None);
        }
    };
    pair.compared.insert(call.verb.name);
    if let Err(error) = &result {
        outcome.sites.insert(crate::sites::site_of(error.error()));
    }
    let is_child = is_init && line.verb == "clone";
    let result = nslab::control::answer(result).map_err(|error| error.errno);
    let result = result.map(|text| String::from_utf8_lossy(&text).into_owned());
    let child = result.as_ref().ok().filter(|_| is_child).and_then(|nr| nr.parse().ok());
    outcome.ran.push(Ran { line, result });
    Ok(child)
}

/// As [`run_steps`], but a difference has to come every time.
fn run_steadily(pair: &mut Pair, area: &Area, steps: &[Step], unsteady: &mut Vec<String>) -> Result<Outcome, String> {
    let mut outcome = run_steps(pair, area, steps)?;
    for _ in 1..REPEATS {
        let Some(difference) = &outcome.difference else { break };
        let again = run_steps(pair, area, steps)?;
        if again.difference.is_none() {
            let last = outcome.ran.last().map(|ran| text_of(&ran.line)).unwrap_or_default();
            println!("linux: did not come again:\n  {}\n  {difference}", lines_of(&outcome).join("\n  "));
            unsteady.push(format!("{last}: {difference}"));
        }
        outcome = again;
    }
    Ok(outcome)
}

/// Runs the programs of an area that are asked for.
///
/// # Errors
/// The machine's side does not start.
pub fn run_programs(pair: &mut Pair, area: &Area, options: &Options, tally: &mut Tally) -> Result<(), String> {
    for index in options.programs(area) {
        if index.is_multiple_of(PROGRESS_EVERY) && tally.programs > 0 {
            println!("linux: {}: {} programs, {} calls", area.name, tally.programs, tally.operations);
        }
        let mut tree = program_tree(area, options.seed, index, area.length);
        let outcome = run_steadily(pair, area, &tree.current(), &mut tally.unsteady)?;
        tally.programs += 1;
        tally.unordered += u64::from(outcome.is_unordered);
        tally.operations += outcome.ran.len() as u64;
        tally.refused += outcome.ran.iter().filter(|ran| ran.result.is_err()).count() as u64;
        if outcome.difference.is_some() {
            let divergence = shrink(pair, area, options.shrink, &mut tree, outcome)?;
            eprintln!(
                "{} program {index} differs:\n  {}\n  {}",
                area.name,
                divergence.lines.join("\n  "),
                divergence.difference
            );
            tally.divergences.push(divergence);
            if tally.divergences.len() >= MAX_DIVERGENCES {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A long run says how far it is.
const PROGRESS_EVERY: u64 = 1000;
const MAX_DIVERGENCES: usize = 10;
/// How long the machine may take while a program is shortened: most runs differ then, and waiting long for each would take
/// for ever.
const SHRINK_PATIENCE: Duration = Duration::from_millis(150);

fn shrink(
    pair: &mut Pair,
    area: &Area,
    runs: u32,
    tree: &mut impl ValueTree<Value = Vec<Step>>,
    mut worst: Outcome,
) -> Result<Divergence, String> {
    pair.set_patience(SHRINK_PATIENCE);
    let mut may_go_on = runs > 0 && tree.simplify();
    for _ in 0..runs {
        if !may_go_on {
            break;
        }
        let outcome = run_steps(pair, area, &tree.current())?;
        may_go_on = if outcome.difference.is_some() {
            worst = outcome;
            tree.simplify()
        } else {
            tree.complicate()
        };
    }
    pair.set_patience(PATIENCE);
    Ok(Divergence { lines: lines_of(&worst), difference: worst.difference.unwrap_or_default() })
}

fn lines_of(outcome: &Outcome) -> Vec<String> {
    outcome.ran.iter().map(|ran| format!("{}    # {:?}", text_of(&ran.line), ran.result)).collect()
}

/// A line with plain numbers.
pub fn text_of(line: &Line) -> String {
    let call = line.call().map(|call| format!("{} {}", call.verb.name, call.line()));
    format!("{} {}", line.actor, call.unwrap_or_default()).trim_end().to_owned()
}
