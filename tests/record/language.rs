//! Words for files that describe a machine.

use std::path::Path;

use nslab::errno::Errno;
use nslab::host::{Booting, Lab};
use nslab::journal::{Journal, Sync};
use nslab::kernel::Kernel;
use nslab::script::file::Case;
use nslab::script::run::{Outcome, run_boot_file, run_case};

use super::cases;
use super::needs::has;

fn all() -> Vec<Case> {
    cases::load_all(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/record/language.lab")])
}

#[test]
fn every_case_passes_on_a_bare_kernel() {
    cases::check(&all(), Kernel::boot, |_| {});
}

/// A lab that boots from the journal of one that describes a machine is the same one.
#[test]
fn journals_repeat() {
    for case in all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("journal.lab");
        let lab = Lab::new(Kernel::boot()).with_journal(Some(Journal::create(&file, Sync::Kernel).unwrap()));
        let outcome = run_case(&mut Booting(&lab), &case);
        assert!(matches!(outcome, Outcome::Passed), "{outcome:?}");
        let again = Lab::new(Kernel::boot());
        run_boot_file(&mut Booting(&again), &file).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let state = |lab: &Lab| lab.read(|k| format!("{k:?}")).unwrap();
        assert!(state(&lab) == state(&again), "{}", case.name);
    }
}

#[test]
fn a_mounted_lab_refuses_them_and_says_why() {
    if !has(&["fuse"]) {
        return;
    }
    let lab = nslab::testing::Lab::new().unwrap();
    for (line, reason) in [
        ("clone uts inum=uts:4026539000", "inum= and start= are for files only"),
        ("clone start=0", "inum= and start= are for files only"),
        ("clone kthread start=0", "kthread is for files only"),
        ("unshare uts inum=uts:4026539000", "inum= is for files only"),
        ("mount xfs /dev/sda1 /w -o ro dev=8:1", "dev= is for files only"),
    ] {
        let error = lab.call(1, line).unwrap_err();
        assert!(error.to_string().contains(reason), "{line}: {error}");
        let error = std::fs::write(lab.at("ctl/batch"), format!("1 {line}\n")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32), "{line}");
    }
    let error = std::fs::write(lab.at("ctl/batch"), "boot release=1\n").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32));
    assert_eq!(lab.read("proc/sys/kernel/osrelease").unwrap(), "6.18.0\n");
}
