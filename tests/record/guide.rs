//! "Attach your machine to a bug report" of the guide: its commands, one after the other, as a reader types them.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use super::needs::{has, skipped};
use super::unprivileged::nobody;

const SECTION: &str = "## Attach your machine to a bug report\n";

/// The lines of the section's blocks.
fn commands() -> Vec<String> {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md")).unwrap();
    let section = guide.split_once(SECTION).unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.flat_map(|(block, _)| block.lines()).map(str::to_owned).collect()
}

/// What is behind `sudo` is done by root, the rest by somebody who may do nothing.
#[test]
fn the_commands_of_the_guide_work_in_order() {
    if !has(&["fuse", "root", "unshare", "lsns", "fusermount3"]) {
        return;
    }
    if !nobody(Command::new("unshare").args(["-Urm", "true"])).status().unwrap().success() {
        skipped("user namespaces take privilege here");
        return;
    }
    if !nobody(Command::new("test").args(["-w", "/dev/fuse"])).status().unwrap().success() {
        skipped("/dev/fuse is for root alone here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ids = (65534, 65534);
    chown(dir.path(), Some(ids.0), Some(ids.1)).unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nslab"), dir.path().join("bin/nslab")).unwrap();
    let path = format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH").unwrap());
    let commands = commands();
    assert!(commands.len() >= 4, "{commands:?}");
    for line in &commands {
        let by_root = line.strip_prefix("sudo ");
        let mut shell = Command::new("sh");
        shell.args(["-c", by_root.unwrap_or(line)]).current_dir(dir.path()).env("PATH", &path);
        match by_root {
            Some(_) => drop(shell.env("SUDO_UID", ids.0.to_string()).env("SUDO_GID", ids.1.to_string())),
            None => drop(nobody(&mut shell)),
        }
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let _ = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("umount").arg(dir.path().join("DIR")).output();
        }
        assert!(output.status.success(), "{line}: {said}");
        assert!(by_root.is_some() || said.is_empty(), "{line}: {said}");
    }
}
