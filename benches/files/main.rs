//! File operations of all kinds at random places of a mounted lab, by eight processes, half of which are nobody's, beside
//! two writers. Run with `cargo bench --bench files`, or `-- OPS` for another number of operations than ten thousand and
//! `-- OPS SEED` for other ones. It prints how many there were and how many succeeded, and exits 1 if the lab panicked, an
//! operation or a write took more than ten seconds, a client died, or a read that began after an acknowledged write
//! showed the state before it.

#![allow(unsafe_code, clippy::disallowed_methods, reason = "operations that no crate wraps; it runs for a time")]

mod acknowledged;
mod checks;
mod client;
mod operations;
mod pool;
mod writers;

#[path = "../../tests/common/daemon.rs"]
mod daemon;
#[path = "../../tests/common/stacks.rs"]
mod stacks;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acknowledged::Acknowledged;
use daemon::Daemon;
use writers::{ACTS, Writers};

const CLIENTS: u64 = 8;
const OPERATIONS: u64 = 10_000;
/// An operation that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a hang everybody has to end by himself.
const GRACE: Duration = Duration::from_secs(30);

/// What clients said, by the first word of their lines; of numbers the sums.
#[derive(Debug, Default)]
struct Report {
    sums: BTreeMap<String, u64>,
    /// Lines about what must not be.
    wrong: Vec<String>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [word, rest @ ..] = &words[..]
        && word == "client"
    {
        return client::run(rest);
    }
    let mut numbers = words.iter().filter_map(|word| word.parse().ok());
    let (operations, seed) = (numbers.next().unwrap_or(OPERATIONS), numbers.next().unwrap_or(1));
    match run(operations, seed) {
        Ok(code) => code,
        Err(error) => {
            println!("no mount here, nothing tried: {error}");
            ExitCode::SUCCESS
        }
    }
}

fn run(operations: u64, seed: u64) -> io::Result<ExitCode> {
    nslab::fuse::open_device().map_err(io::Error::other)?;
    let books = tempfile::tempdir()?;
    let log = books.path().join("log");
    let daemon = Daemon::start(File::create(&log)?.into())?;
    let acknowledged = Acknowledged::create(&books.path().join("acknowledged"))?;
    // Nobody reads what is acknowledged, too.
    fs::set_permissions(books.path(), Permissions::from_mode(0o755))?;
    let writers = Writers::new(&daemon.lab, &acknowledged);
    writers.set_up()?;
    let (report, over) = (Mutex::new(Report::default()), AtomicBool::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        for act in ACTS {
            let (writers, report, over) = (&writers, &report, &over);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    if let Err(wrong) = act(writers)
                        && !over.load(Ordering::SeqCst)
                    {
                        report.lock().expect("nobody panics with it").wrong.push(wrong);
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            });
        }
        let each = operations.div_ceil(CLIENTS);
        let mut clients: Vec<Child> = Vec::new();
        for number in 0..CLIENTS {
            let mut client = match start_client(number, each, seed, &daemon.lab, &books.path().join("acknowledged")) {
                Ok(client) => client,
                Err(error) => {
                    report.lock().expect("nobody panics with it").wrong.push(format!("no client: {error}"));
                    continue;
                }
            };
            let (lines, report) = (client.stdout.take(), &report);
            scope.spawn(move || lines.into_iter().for_each(|lines| read_report(number, lines, report)));
            clients.push(client);
        }
        wait(&mut clients, &daemon, &writers, &report);
        over.store(true, Ordering::SeqCst);
    });
    let mut report = report.into_inner().expect("nobody panics with it");
    let log = fs::read_to_string(&log)?;
    report.sums.insert("panics".to_owned(), log.matches("panicked at").count() as u64);
    report.wrong.extend(log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned));
    let doctor = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("doctor").arg(&daemon.lab).output()?;
    if !doctor.status.success() {
        report.wrong.push(String::from_utf8_lossy(&doctor.stdout).into_owned());
    }
    Ok(print(&report, &writers, start.elapsed()))
}

fn start_client(number: u64, operations: u64, seed: u64, lab: &Path, acknowledged: &Path) -> io::Result<Child> {
    let mut client = Command::new(std::env::current_exe()?);
    client.arg("client").args([operations, seed * CLIENTS + number, number].map(|number| number.to_string()));
    client.arg(lab).arg(acknowledged).stdin(Stdio::null()).stdout(Stdio::piped());
    client.spawn()
}

/// `operations 1250` is a number of the client, all else must not be.
fn read_report(number: u64, lines: impl io::Read, report: &Mutex<Report>) {
    let who = if number % 2 == 1 { "nobody" } else { "root" };
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        let mut report = report.lock().expect("nobody panics with it");
        match line.split_once(' ').and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?))) {
            Some((name, number)) => *report.sums.entry(format!("{name} of {who}")).or_default() += number,
            None => report.wrong.push(format!("client {number} ({who}): {line}")),
        }
    }
}

/// Waits for all clients; what hangs ends the lab.
fn wait(clients: &mut [Child], daemon: &Daemon, writers: &Writers<'_>, report: &Mutex<Report>) {
    let mut hung: Option<Instant> = None;
    loop {
        thread::sleep(Duration::from_millis(50));
        let running =
            clients.iter_mut().filter_map(|client| matches!(client.try_wait(), Ok(None)).then_some(client.id()));
        let running: Vec<u32> = running.collect();
        if running.is_empty() {
            break;
        }
        let late = writers.late(PATIENCE);
        let is_hung = late.is_some() || report.lock().expect("nobody panics with it").has_hang();
        match hung {
            None if is_hung => {
                hung = Some(Instant::now());
                let pids = running.iter().copied().chain([std::process::id(), daemon.process.id()]);
                let stacks: String = pids.map(stacks::stacks).collect();
                let mut report = report.lock().expect("nobody panics with it");
                report.wrong.extend(late.map(|late| format!("hang: the writer of {late}")));
                report.wrong.push(stacks);
            }
            Some(since) if since.elapsed() > GRACE => {
                daemon.abort();
                clients.iter_mut().for_each(|client| drop(client.kill()));
            }
            None | Some(_) => {}
        }
    }
    for client in clients {
        match client.wait() {
            Ok(status) if status.success() => {}
            ended => report.lock().expect("nobody panics with it").wrong.push(format!("a client: {ended:?}")),
        }
    }
}

impl Report {
    fn has_hang(&self) -> bool {
        self.wrong.iter().any(|line| line.contains("hang"))
    }
}

fn print(report: &Report, writers: &Writers<'_>, time: Duration) -> ExitCode {
    for (name, number) in &report.sums {
        println!("{name:<40} {number:>10}");
    }
    let total: u64 = report.sums.iter().filter(|(name, _)| name.starts_with("operations")).map(|(_, n)| n).sum();
    let count = |word: &str| report.wrong.iter().filter(|line| line.contains(word)).count();
    println!("{:<40} {:>10}", "writes beside", writers.writes());
    println!("{total} operations in {time:.1?}: {} hangs, {} stale reads", count("hang"), count("stale"));
    report.wrong.iter().for_each(|line| println!("WRONG {line}"));
    if report.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
