//! The recipes of `docs/ci.md`: its commands, on its project, on the machines that it speaks of.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::needs::{has, skipped};
use super::package::SOURCES;
use super::python::{Python, TOOLS, python_with};

const PAGE: &str = include_str!("../../docs/ci.md");
const PROGRAM: &str = "A program that makes namespaces";
const AS_ROOT: &str = "As root";
const AS_USER: &str = "Without root";
const BY_UNSHARE: &str = "Without root and fusermount3";
const WITHOUT_DEVICE: &str = "Without /dev/fuse";

/// What a shell of root's makes of its name and arguments: a command of the user nobody.
const AS_NOBODY: &str =
    "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse &&
    exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\"";

/// The blocks of code in `language` below a heading of the page.
fn blocks(heading: &str, language: &str) -> Vec<&'static str> {
    let section = PAGE.split("\n## ").find_map(|section| section.strip_prefix(&format!("{heading}\n")));
    let section = section.unwrap_or_else(|| panic!("the page has no heading {heading}"));
    let parts = section.split("```").skip(1).step_by(2);
    parts.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).collect()
}

/// The project of the page, and a Python with what it needs.
struct Project {
    dir: TempDir,
    python: Python,
}

impl Project {
    fn new() -> Option<Project> {
        let python = python_with(TOOLS)?.with(Path::new(SOURCES));
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (file, language) in [("topologies/web.lab", "lab"), ("tests/test_networks.py", "python")] {
            let file = dir.path().join(file);
            fs::create_dir(file.parent().unwrap()).unwrap();
            fs::write(file, blocks("The project", language)[0]).unwrap();
        }
        // pytest keeps a directory there, which must be the user's own.
        let temporary = dir.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        fs::set_permissions(temporary, fs::Permissions::from_mode(0o777)).unwrap();
        Some(Project { dir, python })
    }

    /// A command in the project.
    fn command(&self, program: &str) -> Command {
        let folder = Path::new(env!("CARGO_BIN_EXE_nslab")).parent().unwrap();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [folder.to_owned()].into_iter().chain(env::split_paths(&path));
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("PATH", env::join_paths(path).unwrap())
            .env("PYTHONPATH", self.python.path())
            .env("TMPDIR", self.dir.path().join("tmp"))
            .envs([("SHELL", "/bin/sh"), ("PYTHONDONTWRITEBYTECODE", "1")])
            .env("PYTEST_ADDOPTS", "-p nslab.pytest_plugin -p no:cacheprovider");
        command
    }

    /// A command in the project by a user who is not root, on a machine whose /dev/fuse is everybody's.
    fn command_of_user(&self, program: &str) -> Command {
        if !geteuid().is_root() {
            return self.command(program);
        }
        let mut command = self.command("unshare");
        command.args(["-m", "sh", "-c", AS_NOBODY, program]);
        command
    }

    /// Whether that user has the programs of the project, said aloud if not: they may lie where root alone gets.
    fn is_there_for_user(&self) -> bool {
        let look = "nslab --version && python3 -c 'import pytest, nslab'";
        let is_there = self.command_of_user("sh").args(["-c", look]).output().unwrap().status.success();
        if !is_there {
            skipped("the user nobody cannot run nslab, or python3 with pytest");
        }
        is_there
    }
}

/// What the commands below a heading print, each block by a shell that `start` makes and that stops at the first failure.
fn run(heading: &str, start: impl Fn() -> Command) -> String {
    let blocks = blocks(heading, "sh");
    assert!(!blocks.is_empty(), "{heading} has no commands");
    let said = |block: &&str| {
        let output = start().args(["-e", "-c", block]).output().unwrap();
        assert!(output.status.success(), "{heading}: {block}{}", text(&output));
        text(&output)
    };
    blocks.iter().map(said).collect()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn root_tests_a_project_with_labs() {
    let Some(project) = has(&["root", "fuse"]).then(Project::new).flatten() else { return };
    run(PROGRAM, || project.command("sh"));
    let said = run(AS_ROOT, || project.command("sh"));
    for part in ["2 passed", "/proc/2/comm\n", "pid_for_children\n"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_user_tests_a_project_with_labs() {
    let Some(project) = has(&["fuse", "fusermount3", "setpriv", "unshare"]).then(Project::new).flatten() else {
        return;
    };
    if project.is_there_for_user() {
        let said = run(AS_USER, || project.command_of_user("sh"));
        assert!(said.contains("2 passed") && said.contains("/proc/2/comm\n"), "{said}");
    }
}

#[test]
fn a_user_tests_a_project_in_namespaces_of_his_own() {
    let Some(project) = has(&["fuse", "setpriv", "unshare"]).then(Project::new).flatten() else { return };
    let unshare = project.command_of_user("unshare").args(["-Urm", "true"]).output().unwrap();
    if !unshare.status.success() {
        skipped(&text(&unshare));
    } else if project.is_there_for_user() {
        let said = run(BY_UNSHARE, || project.command_of_user("sh"));
        assert!(said.contains("2 passed"), "{said}");
    }
}

/// The arguments of `unshare` for a shell on a machine without /dev/fuse.
const HIDE: [&str; 5] =
    ["-m", "sh", "-c", "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec \"$0\" \"$@\"", "sh"];

#[test]
fn without_a_device_scenarios_run_and_tests_are_skipped() {
    let Some(project) = has(&["root", "unshare"]).then(Project::new).flatten() else { return };
    let shell = || {
        let mut command = project.command("unshare");
        command.args(HIDE);
        command
    };
    let said = run(WITHOUT_DEVICE, shell);
    for part in ["1 passed, 0 failed", "nginx", "1 passed, 1 skipped", "/dev/fuse is missing"] {
        assert!(said.contains(part), "{said}");
    }
    let output = |line: &str| shell().args(["-c", line]).output().unwrap();
    for works in ["graph --boot topologies/web.lab", "trace --boot topologies/web.lab", "record"] {
        let output = output(&format!("nslab {works}"));
        assert!(output.status.success() && !output.stdout.is_empty(), "{works}: {output:?}");
    }
    for fails in ["mount tests", "shell -c true", "exec -- true"] {
        let output = output(&format!("nslab {fails}"));
        let is_said = text(&output).contains("/dev/fuse is missing");
        assert!(!output.status.success() && is_said, "{fails}: {output:?}");
    }
}

#[test]
fn every_command_of_the_page_is_executed() {
    let executed: Vec<_> =
        [PROGRAM, AS_ROOT, AS_USER, BY_UNSHARE, WITHOUT_DEVICE].map(|heading| blocks(heading, "sh")).concat();
    assert_eq!(PAGE.matches("```sh\n").count(), executed.len());
    let workflow = blocks("GitHub Actions", "yaml")[0];
    let commands: Vec<_> = workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: ")).collect();
    let (installs, others): (Vec<&str>, Vec<&str>) =
        commands.iter().copied().partition(|command| command.contains(" install "));
    assert_eq!((installs.len(), others.len()), (3, 2), "{commands:?}");
    let as_user = blocks(AS_USER, "sh").concat();
    assert!(others.iter().all(|command| as_user.lines().any(|line| line == *command)), "{others:?}");
}
