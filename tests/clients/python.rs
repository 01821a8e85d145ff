//! Packages for the `python3` of this machine.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::needs::skipped;

/// `python3`, with directories of packages besides its own.
#[derive(Clone, Debug, Default)]
pub struct Python {
    dirs: Vec<PathBuf>,
}

impl Python {
    /// The same with the packages in `dir`.
    pub fn with(&self, dir: &Path) -> Python {
        Python { dirs: [&self.dirs[..], &[dir.to_owned()]].concat() }
    }

    /// What PYTHONPATH has to be.
    pub fn path(&self) -> OsString {
        env::join_paths(&self.dirs).unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        Command::new("python3").arg("-B").args(args).env("PYTHONPATH", self.path()).output().unwrap()
    }

    /// Whether it finds `modules`. It imports none: pip and setuptools do not bear each other in one process.
    fn finds(&self, modules: &[&str]) -> bool {
        let look = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))";
        self.run(&[&["-c", look], modules].concat()).status.success()
    }
}

/// What tests of Python code take.
pub const TOOLS: &[&str] = &["mypy", "pip", "pytest", "setuptools", "wheel"];

/// A Python that can import `modules`: as it is, or with the packages of these names that pip gets from PyPI on first use.
/// `None`, said aloud, where neither can be.
pub fn python_with(modules: &[&str]) -> Option<Python> {
    let bare = Python::default();
    if Command::new("python3").arg("--version").output().is_ok() && bare.finds(modules) {
        return Some(bare);
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(modules.join("-"));
    let python = bare.with(&dir);
    // Other tests may want the same, in this process or another.
    let lock = File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let pip = ["-m", "pip", "install", "--quiet", "--upgrade", "--target", dir.to_str().unwrap()];
    let is_there = python.finds(modules) || {
        bare.run(&[&pip[..], modules].concat());
        python.finds(modules)
    };
    if !is_there {
        skipped(&format!("python3 has no {}, and pip gets none", modules.join(", ")));
    }
    is_there.then_some(python)
}
