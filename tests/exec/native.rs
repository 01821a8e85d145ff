//! Programs in C beside this file: what they say in a lab, private or mounted, and to the real kernel.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::mounted::Lab;
use super::{exec, has};

/// A program in C that stands beside this file.
pub(super) struct Program(TempDir);

impl Program {
    /// `None` where this machine has no compiler, or no FUSE.
    pub(super) fn new(name: &str) -> Option<Program> {
        if !has(&["fuse", "gcc"]) {
            return None;
        }
        let program = Program(tempfile::tempdir().unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exec").join(name);
        let compiled =
            Command::new("gcc").args(["-O1", "-o"]).arg(program.path()).arg(source).args(["-lrt", "-pthread"]).output();
        let compiled = compiled.unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Some(program)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("program")
    }
}

pub(super) fn text(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// How a program runs.
pub(super) struct Ways<'a> {
    /// Words before it where it is not alone.
    pub apart: &'a [&'a str],
    /// Its argument in a lab.
    pub in_lab: &'a [&'a str],
    /// Its argument on the machine; `None`: it does not run there.
    pub on_machine: Option<&'a [&'a str]>,
    /// Options of the lab that is mounted.
    pub mount: &'a [&'a str],
}

impl Ways<'_> {
    pub(super) const PLAIN: Ways<'static> = Ways { apart: &[], in_lab: &[], on_machine: Some(&[]), mount: &[] };
}

/// What a program says in a lab, private or mounted, where the last lines of it are `end`; root compares with what it says to
/// the real kernel.
pub(super) fn compare(ways: &Ways<'_>, name: &str, end: &str) {
    let Some(program) = Program::new(name) else { return };
    let path = program.path();
    let path = path.to_str().unwrap();
    let private = text(&exec(&[&[path], ways.in_lab].concat()).unwrap());
    assert!(private.ends_with(end), "{private}");
    if geteuid().is_root()
        && let Some(args) = ways.on_machine
    {
        let words = [ways.apart, &[path], args].concat();
        let real = Command::new(words[0]).args(&words[1..]).output().unwrap();
        assert_eq!(private, text(&real));
    }
    let Some(lab) = Lab::with(ways.mount) else { return };
    assert_eq!(text(&lab.exec(&[ways.apart, &[path], ways.in_lab].concat())), private);
}
