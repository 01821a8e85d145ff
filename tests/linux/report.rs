//! `docs/CONFORMANCE.md`: what was compared, and which places that refuse nothing reached.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::files::files;
use crate::run::Tally;
use crate::sites::{error_sites, reached_by_cases, reason};

/// How the cases of one family went.
#[derive(Debug, Default)]
pub struct CaseCounts {
    pub total: usize,
    /// On a bare lab.
    pub bare: usize,
    /// On a bare lab and on the machine.
    pub passed: usize,
    pub failed: usize,
    pub not_here: usize,
}

/// What came of the random programs of one area, as its line says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub programs: u64,
    pub calls: u64,
    pub refused: u64,
    pub differ: u64,
    pub unsteady: u64,
    pub early: u64,
}

/// The counts of each area, by name.
pub type ByArea = BTreeMap<String, Counts>;

impl Counts {
    pub fn of(tally: &Tally) -> Counts {
        Counts {
            programs: tally.programs,
            calls: tally.operations,
            refused: tally.refused,
            differ: tally.divergences.len() as u64,
            unsteady: tally.unsteady.len() as u64,
            early: tally.unordered,
        }
    }

    /// The line that ends a run of an area; a log is read by it.
    pub fn line(&self, area: &str) -> String {
        let Counts { programs, calls, refused, differ, unsteady, early } = self;
        format!(
            "linux: {area}: {programs} random programs, {calls} calls, {refused} refused, {differ} differ, \
             {unsteady} unsteady, {early} ended early"
        )
    }

    fn from_line(line: &str) -> Option<(String, Counts)> {
        let (area, rest) = line.strip_prefix("linux: ")?.split_once(": ")?;
        let numbers: Vec<u64> = rest.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).collect();
        let &[programs, calls, refused, differ, unsteady, early] = &numbers[..] else { return None };
        let counts = Counts { programs, calls, refused, differ, unsteady, early };
        (counts.line(area) == line).then(|| (area.to_owned(), counts))
    }

    pub fn add(&mut self, other: Counts) {
        self.programs += other.programs;
        self.calls += other.calls;
        self.refused += other.refused;
        self.differ += other.differ;
        self.unsteady += other.unsteady;
        self.early += other.early;
    }
}

/// Adds what the logs of other runs, their paths separated by `:`, say.
///
/// # Errors
/// One cannot be read, or no area ended in it.
pub fn add_logs(areas: &mut ByArea, paths: &str) -> Result<(), String> {
    for path in paths.split(':').filter(|path| !path.is_empty()) {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let found: Vec<_> = text.lines().filter_map(Counts::from_line).collect();
        if found.is_empty() {
            return Err(format!("{path}: no area ended"));
        }
        for (area, counts) in found {
            areas.entry(area).or_default().add(counts);
        }
    }
    Ok(())
}

/// The report.
pub fn text(areas: &ByArea, cases: &BTreeMap<String, CaseCounts>) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut all = Counts::default();
    areas.values().for_each(|counts| all.add(*counts));
    let mut out = format!(
        "# Conformance\n\nThe same programs ran on a lab and on Linux {}, and were compared call by call: **{} calls of {} random \
         programs, {} divergences**. Generated on {}; the end says how.\n\n\
         After each call these are compared: its errno or result; the ten namespaces of all tasks, whose numbers have to be \
         allocated in the same order; the lines of `status`, the map files and `setgroups` of all tasks; the names of all UTS \
         namespaces. Each area compares more.\n\n\
         ## Random programs\n\n| area | programs | calls | of them refused | divergences | not repeated | ended early |\n\
         |---|---|---|---|---|---|---|\n",
        release.trim(),
        all.calls,
        all.programs,
        all.differ,
        date()
    );
    for (area, counts) in areas {
        let Counts { programs, calls, refused, differ, unsteady, early } = counts;
        let _ = writeln!(out, "| {area} | {programs} | {calls} | {refused} | {differ} | {unsteady} | {early} |");
    }
    out.push_str(NOT_COMPARED);
    add_cases(&mut out, cases);
    add_sites(&mut out);
    out.push_str(END);
    out
}

const NOT_COMPARED: &str = "
*Not repeated*: a difference that did not come three times in a row when the program ran again. It was a race on the machine.
*Ended early*: a call killed several tasks, and the machine's own order of their deaths became visible; or a signal to several
namespaces showed its sender.

[SEMANTICS.md](../SEMANTICS.md) has the deviations, each with its reason and its test. These are not compared either:

* `SigPnd` and `ShdPnd` of a zombie, which takes no signals any more;
* how long the machine takes to free an object that a lab frees at once;
* values of `ns_id`;
* RLIMIT_NPROC over all processes of the machine's root;
* hardware addresses, automatic ports and inode numbers of sockets;
* whether duplicate address detection is over;
* what is left of closed TCP connections;
* frozen cgroups, because a frozen worker does not answer.

Where the kernel has no dummy devices, `ifb` devices take their place.
";

fn add_cases(out: &mut String, cases: &BTreeMap<String, CaseCounts>) {
    out.push_str(
        "\n## Case files\n\n| family | cases | passed on a bare lab | passed on Linux too | failed | not run there |\n\
         |---|---|---|---|---|---|\n",
    );
    for (family, counts) in cases {
        let CaseCounts { total, bare, passed, failed, not_here } = counts;
        let _ = writeln!(out, "| {family} | {total} | {bare} | {passed} | {failed} | {not_here} |");
    }
    let recorded = files("fixtures/linux-6.18", "lab");
    let recorded = recorded.iter().flat_map(|file| nslab::script::file::load(file).unwrap_or_default()).count();
    let _ = write!(
        out,
        "\n*Not run there*: this test cannot make a line of the case on the machine. The line restarts the machine, for example, or \
         traces, or reads a file whose text is the lab's own.\n\n{recorded} recorded programs with the answers of \
         Linux are in `fixtures/linux-6.18`; `tests/recorded.rs` runs them on any machine.\n"
    );
}

fn add_sites(out: &mut String) {
    let (sites, reached) = (error_sites(), reached_by_cases(&mut |_| {}));
    let missing: Vec<_> = sites.iter().filter(|(site, _)| !reached.contains(*site)).collect();
    let _ = write!(
        out,
        "\n## Places that refuse\n\n{} of {} places in `src/kernel` and `src/syscall` that make an error are reached by a \
         case or a recorded program. The others, each for a reason:\n\n| place | check | why |\n|---|---|---|\n",
        sites.len() - missing.len(),
        sites.len()
    );
    for (site, check) in missing {
        let file = site.split(':').next().unwrap_or(site);
        let why = reason(site, check).unwrap_or_default();
        let _ = writeln!(out, "| {file} | {} | {why} |", check.replace('|', "\\|"));
    }
}

const END: &str = "
## How this is made

As root on Linux 6.18:

```sh
NSLAB_LINUX_RUNS=24000 NSLAB_LINUX_REPORT=docs/CONFORMANCE.md cargo test --release --test linux
```

runs the case files and that many programs of each area, and writes this page. An area can run apart:
`NSLAB_LINUX_AREA=core NSLAB_LINUX_RUNS=24000..48000 cargo test --release --test linux >LOG`. `NSLAB_LINUX_LOGS=LOG:LOG` adds
such runs to the page. `NSLAB_LINUX_CASES=core-` runs only the case files with that in their names. `tests/docs.rs` checks that
the README has the same number.

`cargo test` runs the case files and a few programs of each area. `.ci/run` runs more of them:

```sh
NSLAB_LINUX_RUNS=240 cargo test --test linux
```
";

fn date() -> String {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
