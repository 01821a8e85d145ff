//! `nslab run FILE…`: scripts and case files on a bare kernel, without a mount.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::kernel::Kernel;
use crate::script::file::load;
use crate::script::run::{Outcome, Summary, run_case};

/// Runs the cases of all files, each on a kernel of its own; tells of those that failed or wait for something to be
/// built, and ends with one line of counts. The exit code is 1 if a case failed, or if a file is not a script; then
/// nothing runs at all.
pub fn run(files: &[PathBuf]) -> super::Outcome {
    let summary = report(&mut io::stdout().lock(), files)?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(out: &mut impl Write, files: &[PathBuf]) -> Result<Summary, Box<dyn Error>> {
    let scripts = files.iter().map(|file| load(file)).collect::<Result<Vec<_>, _>>()?;
    let mut summary = Summary::default();
    for case in scripts.iter().flatten() {
        let outcome = run_case(&mut Kernel::boot(), case);
        summary.add(&outcome);
        match outcome {
            Outcome::Passed => {}
            Outcome::NotHere => writeln!(out, "not in this lab: {}", case.name)?,
            Outcome::Failed(message) => writeln!(out, "{message}")?,
        }
    }
    writeln!(out, "{summary}")?;
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(scripts: &[&str]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let write = |(n, text): (usize, &&str)| {
            let path = dir.path().join(format!("{n}.lab"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let files: Vec<_> = scripts.iter().enumerate().map(write).collect();
        let mut out = Vec::new();
        let place = format!("{}/", dir.path().display());
        let result = report(&mut out, &files).map_err(|error| error.to_string().replace(&place, ""));
        result.map(|_| String::from_utf8(out).unwrap().replace(&place, ""))
    }

    #[test]
    fn the_last_line_counts_the_cases_of_all_files() {
        let text =
            output(&["A = 1 clone\n= 3 $A clone\n", "case a\n= 2 1 clone\ncase b\n! ESRCH 1 getsid 7\n"]).unwrap();
        assert_eq!(text, "3 passed, 0 failed\n");
    }

    #[test]
    fn a_failed_case_shows_its_line_and_the_reason() {
        let text = output(&["case a\n\n1 getsid 7\n"]).unwrap();
        assert!(text.starts_with("0.lab:3: a\n  1 getsid 7\n  expected success, got ESRCH: "), "{text}");
        assert!(text.ends_with("\n0 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn nothing_runs_if_a_file_is_not_a_script() {
        assert_eq!(output(&["1 getsid 7", "frob"]).unwrap_err(), "1.lab:1: usage: [NAME =] PID VERB ARGS");
    }
}
