//! The scripts of `tests/scripts`, each of which runs programs on a lab of its own; a person can run them too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::needs::{has, skipped};

/// What a script exits with where the machine lacks something.
const LACKS: i32 = 77;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

fn passes(script: &str) {
    if !has(&["fuse"]) {
        return;
    }
    let mut command = Command::new("timeout");
    let output =
        command.arg("300").arg(folder().join(script)).env("NSLAB", env!("CARGO_BIN_EXE_nslab")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(LACKS) {
        return skipped(&format!("{script}: {said}"));
    }
    assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stdout));
}

/// A test for each script, and what they are.
macro_rules! scripts {
    ($($test:ident $script:literal,)*) => {
        $(#[test]
        fn $test() {
            passes($script);
        })*

        const TESTED: &[&str] = &[$($script),*];
    };
}

scripts! {
    busybox "busybox",
    findmnt "findmnt",
    gopsutil "gopsutil",
    lsfd "lsfd",
    lsof "lsof",
    netstat "netstat",
    node_exporter "node_exporter",
    prometheus_procfs "prometheus-procfs",
    ps "ps",
    psutil "psutil",
    top_and_htop "top-htop",
}

/// Not tests, each for a reason.
const BY_HAND: [(&str, &str); 4] = [
    ("sysinfo", "it builds a crate and what that depends on"),
    ("kselftest", "it builds parts of the kernel's source, in a step of .ci/run"),
    ("soak", "it runs half an hour"),
    ("ltp", "it runs a tree that whoever runs it has built"),
];

#[test]
fn each_script_is_a_test_and_told_of() {
    let is_script = |name: &String| !name.contains('.');
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let scripts: BTreeSet<String> = names.filter(is_script).collect();
    let known = TESTED.iter().copied().chain(BY_HAND.map(|(name, _)| name));
    assert_eq!(scripts, known.map(str::to_owned).collect());
    let page = fs::read_to_string(folder().join("README.md")).unwrap();
    for script in scripts {
        assert!(page.contains(&format!("`tests/scripts/{script}`")), "{script}");
    }
}
