//! `docs/CONFORMANCE.md`: what was compared, and which error paths nothing reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::cases::Watched;
use crate::run::Tally;

/// How the cases of one area went.
#[derive(Debug, Default)]
pub struct CaseCounts {
    pub passed: usize,
    pub failed: usize,
    pub not_here: usize,
}

/// The places in `src/kernel` and `src/syscall` that make errors: `file:line`, with the text of the check.
pub fn error_sites() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sites = BTreeMap::new();
    let mut folders = vec![root.join("src/kernel"), root.join("src/syscall")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                sites.extend(sites_of(&text).map(|(line, check)| (format!("{name}:{line}"), check)));
            }
        }
    }
    sites
}

fn sites_of(text: &str) -> impl Iterator<Item = (usize, String)> {
    let code: Vec<&str> = text.lines().take_while(|line| !line.contains("#[cfg(test)]")).collect();
    let makes_error = |line: &str| {
        let line = line.trim_start();
        !line.starts_with("//") && (line.contains("bail!(") || line.contains("err!("))
    };
    let check = move |at: usize, code: &[&str]| {
        code[at..].iter().take(4).flat_map(|line| line.split('"').nth(1)).next().unwrap_or_default().to_owned()
    };
    let found: Vec<(usize, String)> =
        (0..code.len()).filter(|&at| makes_error(code[at])).map(|at| (at + 1, check(at, &code))).collect();
    found.into_iter()
}

/// The places the case files and recorded programs reach on a bare lab.
pub fn sites_of_cases(files: &[std::path::PathBuf]) -> BTreeSet<String> {
    let mut lab = Watched { k: nslab::kernel::Kernel::boot(), sites: BTreeSet::new() };
    for file in files {
        for case in nslab::script::file::load(file).into_iter().flatten() {
            lab.k = nslab::kernel::Kernel::boot();
            nslab::script::run::run_case(&mut lab, &case);
        }
    }
    lab.sites
}

/// Why a place may stay unreached, by its check.
const REASONS: &[(&str, &str)] = &[
    ("threads-max is {}", "takes four million tasks"),
    ("no number from {} to {} is free in {}", "takes 300 tasks; a unit test of the allocator has it"),
    ("the task is dead and has no namespaces", "only a file kept open across a death in a mounted lab gets there"),
    ("the task is gone", "only a control file kept open across a death in a mounted lab gets there"),
    ("the file position is {}, not 0", "Linux does not move the position of this file, so only pwrite gets there"),
    ("{} groups, at most {} are possible", "takes a line of 65537 numbers"),
    ("only pid 1, the init of the lab, moves its clock", "the lab's own"),
    ("the clock would go beyond {} s", "the lab's own"),
];

/// The report.
pub fn text(tally: &Tally, areas: &BTreeMap<String, CaseCounts>, reached: &BTreeSet<String>) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut out = format!(
        "# Conformance\n\nWhat the lab does compared with what Linux does, call by call. Generated, not written: \
         see the end.\n\n* Kernel: Linux {}\n* Date: {}\n* Random programs: {}, operations: {} ({} of them refused), \
         divergences: **{}**\n* Differences that did not come again when the same program ran again (races on the machine): {}\n\
         * Programs that ended early, where one call killed several tasks and the order of their deaths, which is the \
         machine's own, showed: {}\n\n",
        release.trim(),
        date(),
        tally.programs,
        tally.operations,
        tally.refused,
        tally.divergences.len(),
        tally.unsteady.len(),
        tally.unordered,
    );
    out.push_str("## Case files on the real kernel\n\n| area | passed | failed | not run there |\n|---|---|---|---|\n");
    for (name, area) in areas {
        let _ = writeln!(out, "| {name} | {} | {} | {} |", area.passed, area.failed, area.not_here);
    }
    out.push_str(
        "\n*Not run there*: a line has no counterpart on the machine or must not be made there, e.g. it restarts the machine, \
         traces, or reads a file whose text is the lab's own.\n",
    );
    let sites = error_sites();
    let missing: Vec<_> = sites.iter().filter(|(site, _)| !reached.contains(*site)).collect();
    let _ = write!(
        out,
        "\n## Error paths\n\n{} of {} places that refuse a call were reached by a case or a random program.",
        sites.len() - missing.len(),
        sites.len()
    );
    if !missing.is_empty() {
        out.push_str(" The others:\n\n| place | check | why |\n|---|---|---|\n");
        for (site, check) in missing {
            let reason = REASONS.iter().find(|(known, _)| known == check).map_or("", |(_, reason)| reason);
            let _ = writeln!(out, "| {site} | {} | {reason} |", check.replace('|', "\\|"));
        }
    }
    out.push_str("\n\n## Errnos compared\n\n| errno | times |\n|---|---|\n");
    for (errno, times) in &tally.errnos {
        let _ = writeln!(out, "| {errno} | {times} |");
    }
    out.push_str(DEVIATIONS);
    out
}

const DEVIATIONS: &str = "
## Known deviations

| what | why |
|---|---|
| `SigPnd`, `ShdPnd` of a zombie | signals that nobody will take any more are not kept |
| numbers of namespaces are free at once | the machine frees those of user, pid, ipc and net namespaces from a work item, a moment later |
| ns_id values | the machine gives them out in batches per processor |
| a call that would block | answers EAGAIN, `wait` 0 |
| hardware addresses, addresses made of them, ports and inode numbers of sockets | each machine has its own |
| duplicate address detection, states of links | told a second or two late on the machine: whether the one is over is not compared, the other at the end of a program |
| TCP connections that were closed | the machine keeps them for a while |
| dummy devices | `ifb` devices stand for them where the kernel has no others |
| cgroups | the one below the root of the host's hierarchy has another name; none is frozen, as a frozen worker does not answer |

Made by `NSLAB_LINUX_RUNS=20000 NSLAB_LINUX_REPORT=docs/CONFORMANCE.md cargo test --test linux`, as root on Linux 6.18.
";

fn date() -> String {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
