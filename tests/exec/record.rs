//! Recordings of what programs do boot into what the lab was when they stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nslab::host::{Booting, Lab};
use nslab::kernel::Kernel;
use nslab::record::files::Bare;
use nslab::record::lab::LabFacts;
use nslab::record::topology::{Open, Topology};
use nslab::record::{Wanted, read};
use nslab::script::run::run_boot_file;
use tempfile::TempDir;

use super::{exec_with, has};

/// What a file boots into.
fn booted(file: &Path) -> Topology {
    let lab = Lab::new(Kernel::boot());
    run_boot_file(&mut Booting(&lab), file).unwrap_or_else(|error| panic!("{error}"));
    lab.read(|k| {
        let files = Bare(k);
        let mut topology = read::record(&files, &LabFacts(&files), &Wanted::default(), |_| {}).unwrap();
        // A recording has no clock.
        topology.profile = Default::default();
        for task in topology.tasks.values_mut() {
            task.start = 0;
            task.open.retain(|_, open| !matches!(open, Open::Ns(..)));
        }
        topology.prune();
        topology
    })
    .unwrap()
}

struct Recording {
    _dir: TempDir,
    journal: PathBuf,
    script: PathBuf,
    said: String,
}

fn record(options: &[&str], program: &[&str]) -> Option<Recording> {
    let dir = tempfile::tempdir().unwrap();
    let [journal, script] = ["journal.lab", "script.lab"].map(|name| dir.path().join(name));
    let files = ["--journal", journal.to_str().unwrap(), "--record", script.to_str().unwrap()];
    let output = exec_with(&[&files, options].concat(), program)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{output:?}");
    Some(Recording { _dir: dir, journal, script, said })
}

impl Recording {
    fn text(&self) -> String {
        fs::read_to_string(&self.script).unwrap()
    }

    /// The whole log up to the moment at which the script ends; at the end of the log the programs that were left have been
    /// killed.
    fn lived(&self) -> Topology {
        let text = self.text();
        let lines: usize =
            text.lines().find_map(|line| line.strip_prefix("# So far: ")?.split(' ').next()?.parse().ok()).unwrap();
        let journal = fs::read_to_string(&self.journal).unwrap();
        let statements = journal.split_inclusive('\n').scan(0, |count, line| {
            *count += usize::from(!line.starts_with('#'));
            (*count <= lines).then_some(line)
        });
        let cut = self.journal.with_file_name("cut.lab");
        fs::write(&cut, statements.collect::<String>()).unwrap();
        booted(&cut)
    }

    fn is_equal(&self) {
        assert!(!self.said.contains("not recorded"), "{}\n{}", self.said, self.text());
        let (lived, recorded) = (self.lived(), booted(&self.script));
        assert_eq!(lived.tasks, recorded.tasks, "{}", self.text());
        assert_eq!(lived, recorded, "{}", self.text());
    }
}

#[test]
fn a_tree_of_unshare_is_recorded() {
    let script = "hostname web
        unshare -Ur -p --fork --mount-proc sh -c 'hostname inner; sleep 1000 & unshare -n -i sleep 1000 & wait' >/dev/null 2>&1 &
        setsid unshare -C -T sleep 1000 >/dev/null 2>&1 &
        until [ $(pgrep -c -x sleep) = 3 ] && [ $(pgrep -c unshare) = 1 ]; do :; done";
    let Some(recording) = record(&[], &["bash", "-c", script]) else { return };
    recording.is_equal();
    let text = recording.text();
    for part in ["clone", "newuser", "newpid", "sethostname web", "uid_map", "sleep", "exec unshare -Ur"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(booted(&recording.script).tasks.len() > 4, "{text}");
}

#[test]
fn a_pool_of_processes_is_recorded_where_it_is_largest() {
    if !has(&["python3"]) {
        return;
    }
    let script = "
import multiprocessing as m
if __name__ == '__main__':
    with m.get_context('fork').Pool(4) as pool:
        print(sum(pool.map(abs, range(100))))
";
    for options in [&["--at-most"][..], &[]] {
        let Some(recording) = record(options, &["python3", "-c", script]) else { return };
        recording.is_equal();
        let tasks = booted(&recording.script).tasks.len();
        assert!(if options.is_empty() { tasks == 1 } else { tasks >= 6 }, "{tasks}");
    }
}

#[test]
fn a_build_is_recorded_where_it_is_largest() {
    if Command::new("make").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let rules = "all: a b c d e\n%:\n\t@sleep 0.1; true | cat; sh -c 'sleep 0.1; true'\n";
    fs::write(dir.path().join("Makefile"), rules).unwrap();
    let place = dir.path().to_str().unwrap();
    for options in [&["--at-most"][..], &[]] {
        let Some(recording) = record(options, &["make", "-j3", "-C", place]) else { return };
        recording.is_equal();
        assert!(recording.text().contains("make_2 = 1 clone"), "{}", recording.text());
    }
}

#[test]
fn a_recording_needs_no_journal_and_tells_names() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script.lab");
    let options = ["--record", script.to_str().unwrap()];
    let Some(output) = exec_with(&options, &["sh", "-c", "unshare -u hostname x; id -u"]) else { return };
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(&script).unwrap();
    assert!(text.starts_with("# nslab exec --record: sh -c \"unshare -u hostname x; id -u\"\n"), "{text}");
    for line in ["sh_2 = 1 clone", "$unshare_3 unshare newuts", "$unshare_3 sethostname x", "$sh_2 wait $unshare_3"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(text.lines().count() < 40, "{text}");
    booted(&script);
}
