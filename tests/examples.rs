//! The experiments of `examples/` print what is recorded beside them, the scenarios of `fixtures/` hold, and the Python
//! example passes.

#[path = "common/files.rs"]
mod files;
#[path = "common/needs.rs"]
mod needs;
#[path = "common/shell.rs"]
mod shell;

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
    for scenario in scenarios().iter().filter(|scenario| !scenario.ends_with(MACHINE)) {
        let name = scenario.file_stem().unwrap().display().to_string();
        assert!(page.contains(&format!("## {name}\n")), "docs/scenarios.md lacks {name}");
        let nslab = Command::new(env!("CARGO_BIN_EXE_nslab")).args(["graph", "--boot"]).arg(scenario).output().unwrap();
        let drawn = String::from_utf8(nslab.stdout).unwrap();
        let picture = format!("docs/pictures/{name}.svg");
        let kept = fs::read_to_string(root.join(&picture)).unwrap_or_default();
        assert!(drawn == kept, "{picture} is old; to draw it anew: nslab graph --boot fixtures/{name}.lab > {picture}");
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
