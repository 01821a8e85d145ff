//! Strict consistency under load: two writers, and four readers that read by every way there is, with descriptors that they
//! keep and with fresh ones (`stress.py`), for 30 seconds or the number of seconds given; as root a second time with readers
//! of another user. Run with `cargo bench --bench stress -- 60`.
//!
//! It counts reads that began after a write was acknowledged and do not show it (by the guarantee for that kind of file in
//! SEMANTICS.md), texts that are torn or have NUL bytes, errors that nobody may get, and who did not go on for ten seconds.
//! Exits 1 if any of these is not 0.

#![allow(clippy::disallowed_methods, reason = "it runs for a time")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nslab::fuse::Options;
use nslab::kernel::Kernel;
use nslab::testing::Lab;

const WRITERS: usize = 2;
const READERS: usize = 4;
const NOBODY: u32 = 65534;
/// Who does nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a writer makes, one after the other, each with a number that only grows.
#[derive(Clone, Copy)]
enum Kind {
    Name,
    Host,
    Mount,
    Clock,
    Pid,
    Link,
    Cgroup,
    Device,
}

const KINDS: [Kind; 8] =
    [Kind::Name, Kind::Host, Kind::Mount, Kind::Clock, Kind::Pid, Kind::Link, Kind::Cgroup, Kind::Device];

/// What a reader counts.
const COUNTS: [&str; 5] = ["reads", "stale", "torn", "NUL", "failed"];

/// The numbers that writers and readers share, by slot, as `stress.py` has them too.
struct Shared(tempfile::NamedTempFile);

const STOP: usize = WRITERS * KINDS.len() + 1;
const OF_READERS: usize = STOP + 1;
const TASKS: usize = WRITERS * KINDS.len() + 40;

impl Shared {
    fn new() -> Shared {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(4096).expect("room for a page");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o666)).expect("a file of ours");
        Shared(file)
    }

    fn file(&self) -> &File {
        self.0.as_file()
    }

    fn set(&self, slot: usize, number: u64) {
        self.file().write_all_at(&number.to_ne_bytes(), slot as u64 * 8).expect("a file of ours");
    }

    fn get(&self, slot: usize) -> u64 {
        let mut bytes = [0; 8];
        self.file().read_exact_at(&mut bytes, slot as u64 * 8).expect("a file of ours");
        u64::from_ne_bytes(bytes)
    }

    fn of_reader(&self, reader: usize, count: usize) -> u64 {
        self.get(OF_READERS + reader * 8 + count)
    }
}

fn main() -> ExitCode {
    let seconds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(30);
    let is_root = nix::unistd::geteuid().is_root();
    let others: &[Option<u32>] = if is_root { &[None, Some(NOBODY)] } else { &[None] };
    let mut is_right = true;
    for &uid in others {
        match pass(Duration::from_secs(seconds), uid) {
            Some(passed) => is_right &= passed,
            None => return ExitCode::SUCCESS,
        }
    }
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether all was right; `None` where there is no mount. Readers are `uid`, if that is another.
fn pass(duration: Duration, uid: Option<u32>) -> Option<bool> {
    let mut options = Options::default();
    if uid.is_some() {
        options.add("allow_other").expect("a word of ours");
    }
    let lab = match Lab::mount_with(Kernel::boot(), &options) {
        Ok(lab) => lab,
        Err(error) => {
            println!("no mount here, nothing measured: {error}");
            return None;
        }
    };
    let shared = Shared::new();
    let writers: Vec<Writer> = (0..WRITERS).map(|index| Writer::new(&lab, &shared, index)).collect();
    let mut readers: Vec<Child> = (0..READERS).map(|index| reader(&lab, &shared, index, uid)).collect();
    let (writes, over) = ([const { AtomicU64::new(0) }; WRITERS], AtomicBool::new(false));
    let hangs = thread::scope(|scope| {
        for (writer, writes) in writers.into_iter().zip(&writes) {
            let over = &over;
            scope.spawn(move || writer.write(writes, over));
        }
        let hangs = watch(&shared, &writes, duration);
        over.store(true, Ordering::SeqCst);
        shared.set(STOP, 1);
        hangs + wait(&mut readers)
    });
    let writes: u64 = writes.iter().map(|writes| writes.load(Ordering::SeqCst)).sum();
    let counts = [0, 1, 2, 3, 4].map(|count| (0..READERS).map(|reader| shared.of_reader(reader, count)).sum::<u64>());
    let shown: Vec<_> = COUNTS.iter().zip(counts).map(|(name, count)| format!("{count} {name}")).collect();
    let who = uid.map_or("readers of the same user".to_owned(), |uid| format!("readers of uid {uid}"));
    println!("{} s, {who}: {writes} writes, {}, {hangs} hangs", duration.as_secs(), shown.join(", "));
    Some(counts[0] > 0 && counts[1..].iter().all(|&count| count == 0) && hangs == 0)
}

/// A process that reads until it is told to stop.
fn reader(lab: &Lab, shared: &Shared, index: usize, uid: Option<u32>) -> Child {
    const WAYS: &str = include_str!("../tests/mount/ways.py");
    let (ways, _) = WAYS.split_once("\nfor name in FILES:").expect("what that program does with them");
    let program = format!("{ways}\n{}", include_str!("stress.py"));
    let mut command = Command::new("python3");
    command.args(["-c", &program]).arg(lab.path()).arg(shared.0.path()).arg(index.to_string());
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    command.spawn().expect("python3 is there")
}

/// Looks at all until the time is over; how many did not go on.
fn watch(shared: &Shared, writes: &[AtomicU64; WRITERS], duration: Duration) -> usize {
    let progress = || {
        let of_readers = (0..READERS).map(|reader| shared.of_reader(reader, 0));
        writes.iter().map(|writes| writes.load(Ordering::SeqCst)).chain(of_readers).collect::<Vec<_>>()
    };
    let end = Instant::now() + duration;
    let mut last: Vec<(u64, Instant)> = progress().into_iter().map(|count| (count, Instant::now())).collect();
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(200));
        for (last, now) in last.iter_mut().zip(progress()) {
            if last.0 != now {
                *last = (now, Instant::now());
            }
        }
        let hangs = last.iter().filter(|(_, moved)| moved.elapsed() > PATIENCE).count();
        if hangs > 0 {
            return hangs;
        }
    }
    0
}

/// Lets the readers end; how many did not, and were made to, or ended otherwise.
fn wait(readers: &mut [Child]) -> usize {
    let end = Instant::now() + PATIENCE;
    let mut hangs = 0;
    for reader in readers {
        let mut status = None;
        while status.is_none() && Instant::now() < end {
            status = reader.try_wait().expect("a child of ours");
            thread::sleep(Duration::from_millis(20));
        }
        if !status.is_some_and(|status| status.success()) {
            hangs += 1;
            let _ = reader.kill();
        }
    }
    hangs
}

/// One task in namespaces of its own, and what its writer has made so far.
struct Writer<'a> {
    lab: &'a Lab,
    shared: &'a Shared,
    index: usize,
    task: i32,
    /// A task that pins namespaces, and how many it has.
    holder: (i32, u32),
    numbers: [u64; KINDS.len()],
}

impl<'a> Writer<'a> {
    fn new(lab: &'a Lab, shared: &'a Shared, index: usize) -> Writer<'a> {
        let task = lab.call(1, "clone newuts newnet newns").expect("init may clone");
        let task = task.parse().expect("a number");
        lab.call(task, "ip link add d0 type dummy").expect("a device of its own");
        fs::create_dir(lab.at(format!("cgroup/w{index}"))).expect("init may make cgroups");
        shared.set(TASKS + index, u64::from(u32::try_from(task).expect("a pid")));
        let mut writer = Writer { lab, shared, index, task, holder: (0, u32::MAX), numbers: [0; KINDS.len()] };
        for kind in KINDS {
            writer.make(kind);
        }
        writer
    }

    fn call(&self, task: i32, call: &str) -> String {
        self.lab.call(task, call).unwrap_or_else(|error| panic!("{task} {call}: {error}"))
    }

    fn write(mut self, writes: &AtomicU64, over: &AtomicBool) {
        for kind in KINDS.into_iter().cycle() {
            if over.load(Ordering::SeqCst) {
                break;
            }
            self.make(kind);
            writes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The next one of a kind, and its number for the readers once it is there.
    fn make(&mut self, kind: Kind) {
        let (task, number) = (self.task, self.numbers[kind as usize] + 1);
        self.numbers[kind as usize] = match kind {
            Kind::Name => self.done(number, task, &format!("prctl name n{number}")),
            Kind::Host => self.done(number, task, &format!("sethostname h{number}")),
            Kind::Mount => {
                let [here, there] = if number % 2 == 0 { ["/w", "/tmp"] } else { ["/tmp", "/w"] };
                self.call(task, &format!("mount tmpfs v{number} {here}"));
                self.shared.set(self.index * KINDS.len() + kind as usize, number);
                if number > 1 {
                    self.call(task, &format!("umount {there}"));
                }
                number
            }
            Kind::Clock => self.done(number, 1, "clock +10ms"),
            Kind::Pid => {
                let born: i32 = self.call(1, "clone").parse().expect("a number");
                self.shared.set(self.index * KINDS.len() + kind as usize, u64::from(born.unsigned_abs()));
                self.call(born, "exit 0");
                self.call(1, &format!("wait {born}"));
                u64::from(born.unsigned_abs())
            }
            Kind::Link => self.unshare(),
            Kind::Cgroup => {
                let file = self.lab.at(format!("cgroup/w{}/cgroup.max.depth", self.index));
                fs::write(file, number.to_string()).expect("init may write it");
                number
            }
            Kind::Device => self.done(number, task, &format!("ip link set d{} name d{number}", number - 1)),
        };
        self.shared.set(self.index * KINDS.len() + kind as usize, self.numbers[kind as usize]);
    }

    fn done(&self, number: u64, task: i32, call: &str) -> u64 {
        self.call(task, call);
        number
    }

    /// A new UTS namespace, whose number is higher than those before, since these are pinned.
    fn unshare(&mut self) -> u64 {
        if self.holder.1 >= 4000 {
            let holder = self.call(1, "clone").parse().expect("a number");
            self.call(holder, "prlimit nofile 4096");
            self.holder = (holder, 0);
        }
        self.call(self.task, "unshare newuts");
        self.call(self.holder.0, &format!("open {}/ns/uts", format_args!("proc/{}", self.task)));
        self.holder.1 += 1;
        let link = fs::read_link(self.lab.at(format!("proc/{}/ns/uts", self.task))).expect("a live task");
        let digits = link.to_string_lossy().trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
        digits.parse().expect("type:[inum]")
    }
}
