//! Recordings of labs: the lab that boots from one is equal, and is recorded by the same bytes.

use std::env;
use std::path::PathBuf;

use nslab::kernel::Kernel;
use nslab::script::file::load;
use nslab::script::run::run_case;

use super::files;
use super::recording::{check, record};

/// The files directly in `fixtures`.
fn stories() -> Vec<PathBuf> {
    let all = files::files("fixtures", "lab");
    all.into_iter().filter(|file| file.parent().is_some_and(|dir| dir.ends_with("fixtures"))).collect()
}

/// The labs that fixtures come to.
#[test]
fn recordings_of_fixtures_boot_into_labs_that_are_recorded_the_same() {
    let (mut wrong, mut seen, mut compared) = (Vec::new(), 0, 0);
    for folder in ["", "fixtures/cases", "fixtures/record"] {
        let files = if folder.is_empty() { stories() } else { files::files(folder, "lab") };
        for case in files.iter().flat_map(|file| load(file).unwrap()) {
            seen += 1;
            // One of seven cases: all of them, with NSLAB_RECORD_ALL=1, take minutes.
            if folder != "fixtures/cases" || seen % 7 == 1 || env::var_os("NSLAB_RECORD_ALL").is_some() {
                let mut k = Kernel::boot();
                run_case(&mut k, &case);
                match check(&case.name, &k) {
                    Ok(is_compared) => compared += u32::from(is_compared),
                    Err(differs) => wrong.push(differs),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {seen} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 2000 && compared > 200, "only {compared} of {seen} labs were compared");
}

#[test]
fn a_fresh_lab_says_nothing_much() {
    let (_, script) = record(&Kernel::boot());
    assert!(script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count() < 5, "{script}");
}
