//! What one item costs among 10³, 10⁴ and 10⁵ of its kind: no call and no file may cost more than what it touches.
//! Run with `cargo bench --bench scale`, or `-- WORD` for the rows whose name has the word. A row whose cost grows more
//! than twofold is marked; the numbers behind `ls` and `read` are per entry or line that is shown.

mod objects;
mod rows;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nslab::kernel::Kernel;
use nslab::script::Session;
use objects::{IPC, NET};
use rows::{FILES, NAMESPACES, TASKS};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// A size that costs so many times what the one before it costs per item is the last: the next one would take hours.
const GROWTH_HOPELESS: f64 = 4.0;
/// The growth from the smallest to the largest size that is marked.
const GROWTH_MAX: f64 = 2.0;

/// One thing that is measured: a script that makes the lab, and lines that are timed.
struct Row {
    name: &'static str,
    /// The lines before.
    setup: fn(usize) -> String,
    /// The lines that are timed.
    timed: fn(usize) -> String,
    /// The largest size that makes sense, where a limit of the kernel is below the largest of [`SIZES`].
    largest: usize,
}

const fn row(name: &'static str, setup: fn(usize) -> String, timed: fn(usize) -> String) -> Row {
    Row { name, setup, timed, largest: usize::MAX }
}

impl Row {
    const fn at_most(self, largest: usize) -> Row {
        Row { largest, ..self }
    }
}

/// A line for each number.
fn each(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{}", line(number));
        text
    })
}

/// The same line again and again.
fn times(count: usize, line: &str) -> String {
    each(count, |_| line.to_owned())
}

fn nothing(_: usize) -> String {
    String::new()
}

/// Init and its children, whose numbers start at 2.
fn children(count: usize) -> String {
    times(count, "1 clone")
}

/// The number of child `index` of init.
fn nr(index: usize) -> usize {
    index + 2
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!("{:<44} {:>10} {:>10} {:>10} {:>8}", "ns per item", "10^3", "10^4", "10^5", "growth");
    let mut grown = 0;
    for row in TASKS.iter().chain(NAMESPACES).chain(FILES).chain(IPC).chain(NET) {
        if words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str())) {
            grown += usize::from(measure(row));
        }
    }
    println!("{grown} rows grow more than {GROWTH_MAX}-fold");
}

/// Prints a row; whether its cost grows.
fn measure(row: &Row) -> bool {
    print!("{:<44}", row.name);
    let mut costs: Vec<f64> = Vec::new();
    let mut is_hopeless = false;
    for size in SIZES {
        if size > row.largest || is_hopeless {
            print!(" {:>10}", if is_hopeless { "-" } else { "" });
            continue;
        }
        // The best of some runs counts: the first ones warm the caches.
        let runs = if size < 10_000 { 5 } else { 2 };
        let best = (0..runs).map(|_| run(row, size)).min().unwrap_or_default();
        let cost = best.as_nanos() as f64 / size as f64;
        is_hopeless = costs.last().is_some_and(|last| cost > last * GROWTH_HOPELESS);
        costs.push(cost);
        print!(" {cost:>10.0}");
        let _ = std::io::stdout().flush();
    }
    let growth = costs.last().copied().unwrap_or(0.0) / costs.first().copied().unwrap_or(1.0);
    let is_grown = growth > GROWTH_MAX;
    println!(" {growth:>8.2}{}", if is_grown { "  <<<" } else { "" });
    is_grown
}

/// How long this thread has run, which other programs on the machine do not make longer.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).expect("every Linux has this clock")
}

fn run(row: &Row, size: usize) -> Duration {
    let (mut kernel, mut session) = (Kernel::boot(), Session::default());
    execute(row, &mut kernel, &mut session, &(row.setup)(size));
    let timed = (row.timed)(size);
    let start = cpu_time();
    execute(row, &mut kernel, &mut session, &timed);
    cpu_time().saturating_sub(start)
}

fn execute(row: &Row, kernel: &mut Kernel, session: &mut Session, script: &str) {
    let (done, result) = session.batch(kernel, script.as_bytes());
    if let Err(error) = result {
        panic!("{}: {error}\n{}", row.name, script[done..].lines().next().unwrap_or_default());
    }
}
