//! Clients that hold what they can of a lab, and writers that have to get on: each provocation for a minute, or the
//! number of seconds given, or only those whose name has the word given. Run with `cargo bench --bench hostile`; exits 1
//! at a hang or a stale read, and says where in the kernel everybody was.

#[path = "../tests/common/hostile.rs"]
mod hostile;

use std::process::ExitCode;
use std::time::Duration;

use hostile::{PROVOCATIONS, provoke};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let seconds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(60);
    let word = words.iter().find(|word| word.parse::<u64>().is_err());
    let mut code = ExitCode::SUCCESS;
    for provocation in PROVOCATIONS.iter().filter(|one| word.is_none_or(|word| one.name.contains(word))) {
        match provoke(provocation, Duration::from_secs(seconds)) {
            Ok(outcome) => {
                println!("{:<40} {:>8} writes, {} stale", provocation.name, outcome.writes, outcome.stale);
                if let Some(hang) = &outcome.hang {
                    println!("HANG: {hang}");
                }
                if outcome.stale > 0 || outcome.hang.is_some() {
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                println!("no mount here, nothing tried: {error}");
                return ExitCode::SUCCESS;
            }
        }
    }
    code
}
