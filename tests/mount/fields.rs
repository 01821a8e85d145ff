//! Fields, sizes and files, compared with those of processes of this machine: a zombie, and one with threads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::needs::has;
use super::{bash, lab};

/// A real process, ended and reaped with the test.
struct Process(Child);

impl Process {
    fn of(command: &mut Command) -> Process {
        Process(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn dir(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0.id()))
    }

    /// Waits until its state is `letter`.
    fn in_state(self, letter: &str) -> Process {
        for _ in 0..3000 {
            if field(&self.dir(), 3) == letter {
                return self;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{} is in state {}", self.0.id(), field(&self.dir(), 3));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A field of `stat`, counted from 1; the name has no blanks.
fn field(process: &Path, number: usize) -> String {
    let text = fs::read_to_string(process.join("stat")).unwrap();
    text.split_whitespace().nth(number - 1).unwrap().to_owned()
}

/// What can be told of an entry: its type and mode, what a link leads to or why it cannot be read, whether it can be
/// listed or read, and whether there is anything.
fn told(process: &Path, name: &str) -> String {
    let errno = |error: std::io::Error| format!("errno {}", error.raw_os_error().unwrap_or(0));
    let path = process.join(name);
    let mode = fs::symlink_metadata(&path).map_or_else(errno, |found| format!("{:o}", found.mode()));
    let leads = fs::read_link(&path).map_or_else(errno, |_| "a link".to_owned());
    let listed = fs::read_dir(&path).map_or_else(errno, |mut list| match list.next() {
        Some(Err(error)) => errno(error),
        Some(Ok(_)) => "names".to_owned(),
        None => "no names".to_owned(),
    });
    let content = |bytes: Vec<u8>| if bytes.is_empty() { "nothing" } else { "bytes" }.to_owned();
    let read = if path.is_dir() { String::new() } else { fs::read(&path).map_or_else(errno, content) };
    format!("{name}: {mode}, {leads}, {listed}, {read}")
}

#[test]
fn a_zombie_has_what_it_has_on_linux() {
    if !has(&["root"]) {
        return;
    }
    let Some(lab) = lab() else { return };
    bash(&lab, "echo > ctl/1/clone; echo 3 > ctl/2/exit");
    let zombie = lab.at("proc/2");
    // A session of its own has an autogroup, as init's has in the lab; that of the test may have none.
    let real = Process::of(Command::new("setsid").arg("true")).in_state("Z");
    let names = fs::read_dir(&zombie).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names.chain(["".to_owned()]) {
        assert_eq!(told(&zombie, &name), told(&real.dir(), &name));
    }
    // Memory, addresses, the way it waits, its signal.
    for number in [23, 24, 26, 27, 28, 35, 38] {
        assert_eq!(field(&zombie, number), field(&real.dir(), number), "{number}");
    }
    // No exec in the lab (PF_FORKNOEXEC), and nobody notes who has used his privilege (PF_SUPERPRIV).
    let flags = |process: &Path| field(process, 9).parse::<u32>().unwrap() & !0x140;
    assert_eq!(flags(&zombie), flags(&real.dir()));
    assert_eq!(flags(&zombie), 0x40_800c);
    let listed = |dir: &Path| Command::new("find").arg(dir).args(["-maxdepth", "1"]).output().unwrap();
    assert!(listed(&zombie).stderr.is_empty());
}

#[test]
fn a_process_with_threads_waits_nowhere() {
    let Some(lab) = lab() else { return };
    bash(&lab, "echo > ctl/1/clone; echo vm,fs,files,sighand,thread > ctl/2/clone");
    assert_eq!([1, 2].map(|pid| field(&lab.at(format!("proc/{pid}")), 35)), ["1", "0"]);
    assert_eq!([2, 3].map(|tid| field(&lab.at(format!("proc/2/task/{tid}")), 35)), ["1", "1"]);
}

#[test]
fn the_oom_score_is_that_of_a_small_process() {
    let Some(lab) = lab() else { return };
    bash(&lab, "echo > ctl/1/clone; echo > ctl/1/clone; echo 3 > ctl/3/exit; echo 500 > proc/2/oom_score_adj");
    let score = |pid: u32| lab.read(format!("proc/{pid}/oom_score")).unwrap();
    assert_eq!([1, 2, 3].map(score), ["666\n", "1000\n", "0\n"]);
    assert_eq!(lab.read("proc/2/oom_score_adj").unwrap(), "500\n");
}

#[test]
fn a_stopped_process_has_its_signal_as_exit_code() {
    let Some(lab) = lab() else { return };
    bash(&lab, "echo > ctl/1/clone; echo 2 SIGSTOP > ctl/1/kill");
    let real = Process::of(Command::new("sleep").arg("1000"));
    kill(Pid::from_raw(real.0.id().try_into().unwrap()), Signal::SIGSTOP).unwrap();
    let real = real.in_state("T");
    assert_eq!(field(&lab.at("proc/2"), 52), field(&real.dir(), 52));
}

#[test]
fn links_are_as_long_as_on_linux() {
    let Some(lab) = lab() else { return };
    bash(&lab, "echo > ctl/1/clone; echo /proc/1/comm > ctl/2/open");
    let real = Process::of(Command::new("sleep").arg("1000")).in_state("S");
    for name in ["ns/net", "ns/uts", "ns/pid_for_children", "exe", "cwd", "root", "fd/0"] {
        let size = |process: &Path| fs::symlink_metadata(process.join(name)).unwrap().len();
        assert_eq!(size(&lab.at("proc/2")), size(&real.dir()), "{name}");
    }
    for name in ["self", "thread-self", "mounts", "net"] {
        let size = |proc: &Path| fs::symlink_metadata(proc.join(name)).unwrap().len();
        if fs::symlink_metadata(Path::new("/proc").join(name)).unwrap().is_symlink() {
            assert_eq!(size(&lab.at("proc")), size(Path::new("/proc")), "{name}");
        }
    }
}

/// What programs look for in `/proc`.
#[test]
fn files_that_programs_look_for_are_there() {
    let Some(lab) = lab() else { return };
    let files =
        ["devices", "misc", "schedstat", "zoneinfo", "buddyinfo", "net/snmp6", "net/sockstat6", "net/protocols"];
    let settings = ["sys/fs/dentry-state", "sys/fs/inode-state", "sys/kernel/pty/nr"];
    let of_process = ["1/autogroup", "1/coredump_filter", "1/numa_maps", "1/auxv"];
    for file in files.iter().chain(&settings).chain(&of_process) {
        let text = fs::read(lab.at(format!("proc/{file}"))).unwrap();
        assert!(!text.is_empty(), "{file}");
        // As many lines or words as on the machine, where those do not depend on its devices.
        if let (true, Ok(real)) = (settings.contains(file), fs::read(Path::new("/proc").join(file))) {
            let words = |text: &[u8]| text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
            assert_eq!(words(&text), words(&real), "{file}");
        }
    }
}
