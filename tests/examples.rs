//! The experiments of `examples/` print what is recorded beside them, the scenarios of `fixtures/` hold, and the Python
//! example passes.

#[path = "common/files.rs"]
mod files;
#[path = "common/needs.rs"]
mod needs;
#[path = "common/shell.rs"]
mod shell;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use files::files;
use nslab::kernel::Kernel;
use nslab::script::run::run_boot_file;

/// What the experiments source.
const HELPER: &str = "lab.sh";

/// Cases for the test of deviations, no topology.
const CASES: &str = "semantics.lab";

fn experiments() -> Vec<PathBuf> {
    let mut found = files("examples", "sh");
    found.retain(|path| !path.ends_with(HELPER));
    found
}

#[test]
fn every_experiment_prints_what_is_recorded() {
    let experiments = experiments();
    assert!(experiments.len() > 10, "the experiments are gone");
    for experiment in experiments {
        let recorded = fs::read_to_string(experiment.with_extension("out")).unwrap_or_default();
        let Some(printed) = shell::in_a_lab(None, &format!("'{}' 2>&1", experiment.display())) else { return };
        assert_eq!(printed, recorded, "{0}; to record it anew: {0} > its .out", experiment.display());
    }
}

#[test]
fn every_experiment_asks_one_question_fits_a_page_and_is_in_the_guide() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md")).unwrap();
    for experiment in experiments() {
        let text = fs::read_to_string(&experiment).unwrap();
        let comment = text.lines().nth(1).unwrap_or_default();
        let question = comment.strip_prefix("# ").unwrap_or_default();
        assert!(question.ends_with('?'), "{}: {comment}", experiment.display());
        let name = experiment.file_name().unwrap().display().to_string();
        assert!(guide.contains(&format!("| {question} | [{name}](../examples/{name}) |")), "the guide lacks {name}");
        assert!(text.lines().count() <= 70, "{}", experiment.display());
    }
}

/// Topologies: the scripts of `fixtures/` itself.
fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = files("fixtures", "lab");
    found.retain(|path| path.parent() == Some(&folder) && !path.ends_with(CASES));
    found
}

#[test]
fn every_scenario_holds_and_can_be_booted() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 6, "the scenarios are gone");
    for scenario in scenarios {
        run_boot_file(&mut Kernel::boot(), &scenario).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The machine that real programs look at is for tests only.
const MACHINE: &str = "host.lab";

#[test]
fn every_scenario_has_its_picture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/scenarios.md")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for scenario in scenarios().iter().filter(|scenario| !scenario.ends_with(MACHINE)) {
        let name = scenario.file_stem().unwrap().display().to_string();
        assert!(page.contains(&format!("](pictures/{name}.svg)")), "docs/scenarios.md lacks {name}");
    }
    let drawn = tempfile::tempdir().unwrap();
    let make = root.join("docs/pictures/make");
    let mut make = Command::new(make);
    make.arg(env!("CARGO_BIN_EXE_nslab")).arg(drawn.path());
    // In debug builds each call of its 2600 recounts all of the 1000 tasks, which takes a minute.
    let is_drawn = |name: &String| !cfg!(debug_assertions) || name != "tasks-1000.svg";
    let pictures = |folder: &Path| -> BTreeSet<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().display().to_string());
        names.filter(|name| name.ends_with(".svg") && is_drawn(name)).collect()
    };
    let kept = root.join("docs/pictures");
    let made = make.args(pictures(&kept).iter().map(|name| name.trim_end_matches(".svg"))).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(pictures(drawn.path()), pictures(&kept));
    for name in pictures(&kept) {
        let [new, old] = [drawn.path(), &kept].map(|folder| fs::read_to_string(folder.join(&name)).unwrap());
        assert!(new == old, "docs/pictures/{name} is old; to draw it anew: docs/pictures/make");
        let shows = |page: &str, folder: &str| page.contains(&format!("]({folder}/{name})"));
        let is_shown = shows(&page, "pictures") || shows(&readme, "docs/pictures");
        assert!(is_shown, "neither docs/scenarios.md nor README.md shows {name}");
    }
}

/// The example runs `nslab` itself, so its lab is not the shell's; the shell has `nslab` on the path.
#[test]
fn the_python_example_passes() {
    if !needs::has(&["python3"]) {
        return;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/test_namespaces.py");
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/src");
    let run = format!("PYTHONPATH='{}' python3 -B '{}' 2>&1 && echo passed", package.display(), example.display());
    let Some(printed) = shell::in_a_lab(None, &run) else { return };
    assert!(printed.ends_with("passed\n"), "{printed}");
}
