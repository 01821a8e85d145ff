//! The Python package in `python/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::needs::has;
use super::python::{Python, TOOLS, python_with};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// Where the package is imported from without an installation.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/src");

/// A Python with the package, which pip has installed below `dir`.
fn installed(python: &Python, dir: &TempDir) -> Python {
    let (copy, packages) = (dir.path().join("copy"), dir.path().join("packages"));
    // setuptools writes beside the sources.
    assert!(Command::new("cp").arg("-r").args([Path::new(PACKAGE), &copy]).status().unwrap().success());
    let pip = ["-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--target"];
    let output = python.run(&[&pip[..], &[packages.to_str().unwrap(), copy.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{output:?}");
    python.with(&packages)
}

#[test]
fn the_python_package_passes_its_tests() {
    if !has(&["fuse", "python3"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sources = || Python::default().with(Path::new(SOURCES));
    let python = python_with(TOOLS).map_or_else(sources, |python| installed(&python, &dir));
    let output = Command::new("python3")
        .args(["-B", "-W", "error::ResourceWarning", "-m", "unittest", "discover", "--verbose"])
        .arg(Path::new(PACKAGE).join("tests"))
        .env("PYTHONPATH", python.path())
        .env("NSLAB", env!("CARGO_BIN_EXE_nslab"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("\nRan ") && !said.contains("\nRan 0 "), "{said}");
}

#[test]
fn the_python_package_is_typed() {
    let Some(python) = python_with(TOOLS) else { return };
    let cache = tempfile::tempdir().unwrap();
    let output = Command::new("python3")
        .args(["-B", "-m", "mypy", "--cache-dir"])
        .arg(cache.path())
        .env("PYTHONPATH", python.path())
        .current_dir(PACKAGE)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_python_package_has_the_version_of_the_crate() {
    let project = fs::read_to_string(Path::new(PACKAGE).join("pyproject.toml")).unwrap();
    let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(project.lines().any(|line| line == version), "pyproject.toml has no line {version}");
}
