//! A process that does operations at random places, and a thread in it that says which of them takes too long.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::PATIENCE;
use crate::acknowledged::Acknowledged;
use crate::checks::check;
use crate::operations::{OPERATIONS, Place};
use crate::pool::Pool;

/// After so many operations the paths are looked for anew: tasks and cgroups come and go.
const WALK_AFTER: u64 = 2000;

/// A user to whom the lab belongs nothing of.
const NOBODY: u32 = 65534;

/// Numbers that look random (xorshift).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// What is done now, and since when; it was said that it takes too long.
static NOW: Mutex<Option<(String, Instant, bool)>> = Mutex::new(None);

fn during<T>(what: String, act: impl FnOnce() -> T) -> T {
    *NOW.lock().expect("nobody panics with it") = Some((what, Instant::now(), false));
    let done = act();
    *NOW.lock().expect("nobody panics with it") = None;
    done
}

fn watch() {
    loop {
        thread::sleep(Duration::from_millis(200));
        if let Some((what, since, is_said)) = &mut *NOW.lock().expect("nobody panics with it")
            && since.elapsed() > PATIENCE
            && !*is_said
        {
            println!("hang: {what}");
            *is_said = true;
        }
    }
}

/// `client OPERATIONS SEED NUMBER LAB ACKNOWLEDGED`
pub fn run(words: &[String]) -> ExitCode {
    let [operations, seed, number, lab, acknowledged] = words else { return ExitCode::FAILURE };
    let [operations, seed, number] = [operations, seed, number].map(|word| word.parse().unwrap_or(0));
    // Not at its start: the program may lie where nobody can read it.
    let is_dropped = number % 2 == 0 || drop_privileges().is_ok();
    match Acknowledged::open(Path::new(acknowledged)) {
        _ if !is_dropped => {
            println!("it cannot become nobody");
            ExitCode::FAILURE
        }
        Ok(acknowledged) => {
            work(operations, seed, number, Path::new(lab), &acknowledged);
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{acknowledged}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn drop_privileges() -> nix::Result<()> {
    setgroups(&[])?;
    setgid(Gid::from_raw(NOBODY))?;
    setuid(Uid::from_raw(NOBODY))
}

fn work(operations: u64, seed: u64, number: u64, lab: &Path, acknowledged: &Acknowledged) {
    thread::spawn(watch);
    let mut random = Random::new(seed);
    let mut pool = Pool::default();
    let (mut done, mut succeeded, mut checks) = ([0_u64; OPERATIONS.len()], 0_u64, 0_u64);
    for count in 0..operations {
        if count % WALK_AFTER == 0 {
            pool = during("a walk".to_owned(), || Pool::walk(lab));
        }
        let which = random.below(OPERATIONS.len());
        let (name, act) = OPERATIONS[which];
        let place = Place { path: pool.pick(&mut random), other: pool.pick(&mut random), number };
        if is_spared(name, &place.path) || is_spared(name, &place.other) {
            continue;
        }
        let what = format!("{name} of {}", place.path.display());
        succeeded += u64::from(during(what, || act(&place, &mut random)));
        done[which] += 1;
        if count % 4 == 0 {
            checks += 1;
            if let Err(stale) = during("a read".to_owned(), || check(lab, acknowledged, &mut random)) {
                println!("{stale}");
            }
        }
    }
    for ((name, _), done) in OPERATIONS.iter().zip(done) {
        println!("{name} {done}");
    }
    let total: u64 = done.iter().sum();
    println!("operations {total}\nsucceeded {succeeded}\nchecks {checks}");
}

/// The cgroups of a writer are its own.
fn is_spared(operation: &str, path: &Path) -> bool {
    let is_made = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"c"));
    let path = path.to_path_buf();
    operation == "rmdir" && path.parent().is_some_and(|dir| dir.ends_with("cgroup")) && is_made(&path)
}
