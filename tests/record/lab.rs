//! Recordings of labs: the lab that boots from one is equal, and is recorded by the same bytes.

use nslab::kernel::Kernel;
use nslab::record::files::Bare;
use nslab::record::lab::LabFacts;
use nslab::record::{Topology, Wanted, read, write};
use nslab::script::file::load;
use nslab::script::run::{run_boot_file, run_case};

use super::{cases, files};

/// The recording of a lab.
pub fn record(k: &Kernel) -> (Topology, String) {
    let files = Bare(k);
    let topology = read::record(&files, &LabFacts(&files), &Wanted::default(), |_| {}).unwrap();
    let (script, _) = write(&topology);
    (topology, script)
}

/// The lab that boots from a recording.
pub fn boot(script: &str) -> Kernel {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("recording.lab");
    std::fs::write(&file, script).unwrap();
    let mut k = Kernel::boot();
    run_boot_file(&mut k, &file).unwrap_or_else(|error| panic!("{error}\n{script}"));
    k
}

/// Checks the recording of one lab; gives what is wrong with it.
fn check(name: &str, k: &Kernel) -> Result<(), String> {
    let (_, script) = record(k);
    let again = boot(&script);
    let (_, second) = record(&again);
    // What is missing in the first is not there to be missed in the second.
    let is_said = |line: &&str| !line.starts_with("# Missing: ") && !line.starts_with("# not here: ");
    let lines = |text: &str| text.lines().filter(is_said).map(str::to_owned).collect::<Vec<_>>();
    if lines(&script) == lines(&second) {
        return Ok(());
    }
    let (first, second) = (lines(&script), lines(&second));
    let lost: Vec<_> = first.iter().filter(|line| !second.contains(line)).take(6).cloned().collect();
    let new: Vec<_> = second.iter().filter(|line| !first.contains(line)).take(6).cloned().collect();
    Err(format!("{name}\n  - {}\n  + {}", lost.join("\n  - "), new.join("\n  + ")))
}

/// The labs that fixtures come to.
#[test]
fn recordings_of_fixtures_boot_into_labs_that_are_recorded_the_same() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    {
        for file in files::files("fixtures", "lab") {
            if file.components().any(|part| part.as_os_str() == "linux-6.18" || part.as_os_str() == "fuzz") {
                continue;
            }
            for case in load(&file).unwrap() {
                let mut k = Kernel::boot();
                run_case(&mut k, &case);
                seen += 1;
                if seen % 7 != 1 && file.components().any(|part| part.as_os_str() == "cases") {
                    continue;
                }
                let differs = check(&case.name, &k).err();
                if let Some(differs) = &differs {
                    eprintln!("{differs}");
                }
                wrong.extend(differs);
            }
        }
    }
    assert!(seen > 100, "only {seen} labs");
    assert!(wrong.is_empty(), "{} of {seen} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_fresh_lab_says_nothing_much() {
    let (_, script) = record(&Kernel::boot());
    assert!(script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count() < 5, "{script}");
    let _ = cases::load_all;
}
