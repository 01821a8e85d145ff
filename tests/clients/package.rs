//! The Python package in `python/`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::needs::has;
use super::python::{Python, python_with};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// A Python with pytest and with the package, which pip has installed into the directory; `None`, said aloud, where pip
/// cannot.
pub fn installed() -> Option<(Python, TempDir)> {
    let python = python_with(&["pip", "pytest", "setuptools", "wheel"])?;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (sources, packages) = (dir.path().join("sources"), dir.path().join("packages"));
    // setuptools writes beside the sources.
    assert!(Command::new("cp").arg("-r").args([Path::new(PACKAGE), &sources]).status().unwrap().success());
    let pip = ["-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--target"];
    let output = python.run(&[&pip[..], &[packages.to_str().unwrap(), sources.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{output:?}");
    Some((python.with(&packages), dir))
}

#[test]
fn the_python_package_passes_its_tests() {
    if !has(&["fuse", "python3"]) {
        return;
    }
    let installed = installed();
    let sources = Python::default().with(&Path::new(PACKAGE).join("src"));
    let python = installed.as_ref().map_or(&sources, |(python, _)| python);
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
    let Some(python) = python_with(&["mypy", "pytest"]) else { return };
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
