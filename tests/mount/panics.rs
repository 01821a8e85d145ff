//! Internal errors of a daemon, from the panic to what its users, `nslab list` and `nslab doctor` say. The daemon is this test
//! program, started again: the kernel that it serves is broken on purpose.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{mem, thread};

use nslab::errno::Errno;
use nslab::fuse::{self, Health, Options, is_lab};
use nslab::host::Lab;
use nslab::kernel::Kernel;
use nslab::script::Setup;

use super::needs::has;

/// Where the daemon mounts. Unset in the program that tests.
const DIR: &str = "NSLAB_TEST_PANIC_DIR";

/// The daemon: for each line it reads it breaks something. It is no test where the variable is unset.
#[test]
fn daemon_that_panics() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mounted = fuse::mount(Lab::new(Kernel::boot()), Path::new(&dir), &Options::default()).unwrap();
    nslab::cli::mount::watch_panics(mounted.point());
    let lab = std::sync::Arc::clone(mounted.lab());
    println!("\nmounted");
    // What was asked for is answered before the end of the lab ends the process.
    let answering = std::sync::Arc::new(std::sync::Mutex::new(()));
    let answers = std::sync::Arc::clone(&answering);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _answering = answers.lock();
            match line.as_str() {
                // Each look at a namespace of a task, and each call, panics from now on.
                "kernel" => {
                    let setup = Setup::Limits { tasks: None, memory: None };
                    let take = |k: &mut Kernel| {
                        mem::forget(mem::take(&mut k.nsproxies));
                        Ok(())
                    };
                    lab.set(&setup, take).unwrap();
                }
                _ => drop(thread::spawn(|| panic!("provoked by a test")).join()),
            }
            println!("done");
        }
    });
    mounted.serve().unwrap();
    drop(answering.lock());
}

struct Daemon {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    dir: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Option<Daemon> {
        if !has(&["fuse"]) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "panics::daemon_that_panics", "--nocapture"]).env(DIR, dir.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut daemon = Daemon { said: BufReader::new(child.stdout.take().unwrap()), child, dir };
        daemon.wait_for("mounted");
        Some(daemon)
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim_end() != word {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended before {word}");
        }
    }

    fn break_it(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
        self.wait_for("done");
    }

    fn doctor(&self) -> String {
        let nslab = env!("CARGO_BIN_EXE_nslab");
        let said = Command::new("timeout").args(["20", nslab, "doctor"]).arg(self.dir.path()).output().unwrap();
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if is_lab(self.dir.path()) {
            let _ = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("umount").arg(self.dir.path()).status();
        }
    }
}

/// A panic in a look fails that look. One in a call ends all looks, and open control files say why.
#[test]
fn a_panic_of_a_request_is_told_and_one_in_a_call_stops_the_lab() {
    let Some(mut daemon) = Daemon::start() else { return };
    let at = |path: &str| daemon.dir.path().join(path);
    let eio = Some(Errno::EIO as i32);
    let control = OpenOptions::new().read(true).write(true).open(at("ctl/1/unshare")).unwrap();
    let [link, comm] = ["proc/1/ns/uts", "proc/1/comm"].map(at);
    assert!(fs::read_link(&link).is_ok());
    daemon.break_it("kernel");
    assert_eq!(fs::read(daemon.dir.path().join("kernel/tree")).unwrap_err().raw_os_error(), eio);
    assert_eq!(fs::read_to_string(&comm).unwrap(), "init\n", "the others go on");
    let said = daemon.doctor();
    assert!(said.starts_with("broken ") && said.contains("at src/"), "{said}");
    assert_eq!(fuse::find_lab(daemon.dir.path()).unwrap().health, Health::Broken);
    // The call is broken off in the midst of what it changes.
    assert_eq!((&control).write(b"newuts\n").unwrap_err().raw_os_error(), eio);
    let mut reason = [0; 200];
    let length = control.read_at(&mut reason, 0).unwrap();
    let reason = String::from_utf8_lossy(&reason[..length]);
    assert!(reason.starts_with("EIO: the simulated kernel stopped at an internal error"), "{reason}");
    for path in [&comm, &link] {
        assert_eq!(fs::read(path).unwrap_err().raw_os_error(), eio, "{}", path.display());
    }
}

/// Nobody may wait for a thread that is gone.
#[test]
fn a_panic_that_ends_a_thread_ends_the_lab() {
    let Some(mut daemon) = Daemon::start() else { return };
    let mut file = File::open(daemon.dir.path().join("proc/1/comm")).unwrap();
    daemon.break_it("thread");
    assert!(!is_lab(daemon.dir.path()));
    let gone = file.read(&mut [0]).unwrap_err().raw_os_error();
    assert!([Errno::ENOTCONN, Errno::ECONNABORTED].map(|errno| Some(errno as i32)).contains(&gone), "{gone:?}");
    assert!(daemon.child.wait().unwrap().success(), "it has served to the end");
}
