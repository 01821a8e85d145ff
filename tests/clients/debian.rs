//! The Debian package that `packaging/deb` makes: dpkg installs it into a directory, and it works from there.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::needs::has;

/// What a shell command that must succeed prints.
fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-e", "-c", line]).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_debian_package_installs_works_and_goes() {
    if !has(&["root", "fuse", "cargo-deb", "dpkg", "dpkg-deb", "strip", "bash"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let packaging = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/deb");
    let package = sh(&format!("'{packaging}' '{out}' '{}'", env!("CARGO_BIN_EXE_nslab")));
    let root = format!("{out}/root");
    sh(&format!("mkdir -p {root}/var/lib/dpkg && touch {root}/var/lib/dpkg/status"));
    let dpkg = format!("dpkg --root={root} --force-depends");
    sh(&format!("{dpkg} --install {package}"));
    assert_eq!(sh(&format!("{root}/usr/bin/nslab --version")), concat!("nslab ", env!("CARGO_PKG_VERSION"), "\n"));
    sh(&format!("{root}/usr/bin/nslab run {root}/usr/share/doc/nslab/examples/*.lab"));
    mounts_as_helper(&root, &format!("{out}/lab"));
    assert!(sh(&format!("gzip -dc {root}/usr/share/man/man1/nslab.1.gz")).contains(".TH nslab 1"));
    let completes = format!("bash -c '. {root}/usr/share/bash-completion/completions/nslab && complete -p nslab'");
    assert!(sh(&completes).contains("nslab"));
    let unit = fs::read_to_string(format!("{root}/usr/lib/systemd/system/nslab@.service")).unwrap();
    let started: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("Exec")?.split(['=', ' ']).nth(1)).collect();
    assert_eq!(started, ["/usr/bin/nslab"; 2]);
    sh(&format!("{dpkg} --purge nslab"));
    assert!(!Path::new(&format!("{root}/usr/bin/nslab")).exists());
}

/// mount(8) finds the helper by its name in a directory of the host's; it is started here as mount(8) would.
fn mounts_as_helper(root: &str, lab: &str) {
    fs::create_dir(lab).unwrap();
    for helper in ["mount.nslab", "mount.fuse.nslab"] {
        let scenario = format!("{root}/usr/share/doc/nslab/examples/docker.lab");
        sh(&format!("{root}/usr/sbin/{helper} none {lab} -o rw,boot={scenario}"));
        let comm = fs::read_to_string(format!("{lab}/proc/4/comm"));
        sh(&format!("{root}/usr/bin/nslab umount {lab}"));
        assert_eq!(comm.unwrap(), "nginx\n");
    }
}
