//! Where a recording goes: whole or not at all.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, mkfifo};
use nslab::record::END;

use super::needs::has;

fn nslab(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
    command.arg("record").args(args);
    command
}

/// This process alone, which is quick.
fn own() -> String {
    std::process::id().to_string()
}

fn error(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let of_error = |line: &&str| !line.starts_with("nslab: not recorded: ");
    text.lines().filter(of_error).map(str::to_owned).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_whole_recording_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("host.lab");
    fs::write(&file, "old").unwrap();
    let output = nslab(&["--pid", &own(), "-o", file.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", error(&output));
    assert!(output.stdout.is_empty());
    assert!(fs::read_to_string(&file).unwrap().ends_with(&format!("\n{END}\n")));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_written_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("dir")).unwrap();
    for (file, reason) in [
        (at("none/host.lab"), "No such file"),
        (at("dir"), "Is a directory"),
        ("/dev/full".to_owned(), "No space left"),
    ] {
        let output = nslab(&["--pid", &own(), "-o", &file]).output().unwrap();
        let said = error(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{file}: {said}");
        assert!(said.starts_with("nslab: ") && said.contains(&file) && said.contains(reason), "{said}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_symbolic_link_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/old.lab"), "old").unwrap();
    for (link, text) in [("old", "real/old.lab"), ("new", "real/new.lab"), ("twice", "old"), ("loop", "loop")] {
        std::os::unix::fs::symlink(text, at(link)).unwrap();
    }
    for (link, file) in [("old", "real/old.lab"), ("new", "real/new.lab"), ("twice", "real/old.lab")] {
        let output = nslab(&["--pid", &own(), "-o", &at(link)]).output().unwrap();
        assert!(output.status.success(), "{}", error(&output));
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        assert!(fs::read_to_string(at(file)).unwrap().ends_with(&format!("\n{END}\n")), "{link}");
        fs::write(at(file), "old").unwrap();
    }
    let output = nslab(&["--pid", &own(), "-o", &at("loop")]).output().unwrap();
    assert!(!output.status.success() && error(&output).contains("symbolic links"), "{}", error(&output));
    assert_eq!(fs::read_dir(at("real")).unwrap().count(), 2);
}

#[test]
fn a_full_disk_leaves_no_half_file() {
    if !has(&["root", "unshare", "mount"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=4k small {0} && {1} record --pid $$ -o {0}/host.lab; echo $?; ls -A {0}",
        dir.path().display(),
        env!("CARGO_BIN_EXE_nslab")
    );
    let output = Command::new("unshare").args(["-m", "bash", "-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{}", error(&output));
    assert!(error(&output).contains("No space left"), "{}", error(&output));
}

#[test]
fn a_reader_that_goes_away_gets_no_last_line() {
    let mut child = nslab(&["--pid", &own()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!status.success() && !said.contains("panicked"), "{status} {said}");
}

/// A lab whose recorder waits: a file of it is a pipe that nobody writes to.
fn waits(dir: &Path) {
    for made in ["kernel/task", "proc/sys/kernel"] {
        fs::create_dir_all(dir.join(made)).unwrap();
    }
    mkfifo(&dir.join("proc/stat"), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

#[test]
fn who_is_interrupted_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (lab, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        waits(lab.path());
        let file = dir.path().join("host.lab");
        fs::write(&file, "old").unwrap();
        let args = ["--from", lab.path().to_str().unwrap(), "-o", file.to_str().unwrap()];
        let mut child = nslab(&args).stderr(Stdio::null()).spawn().unwrap();
        // It reads the pipe: opening it for writing waits for that.
        let writer = fs::OpenOptions::new().write(true).open(lab.path().join("proc/stat")).unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let status = child.wait().unwrap();
        drop(writer);
        assert!(!status.success(), "{signal}: {status}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
