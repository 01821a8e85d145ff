//! Lines that a kernel executes: whatever they are, its counts are exact after each of them.

use nslab::kernel::Kernel;
use nslab::kernel::audit::audit;
use nslab::script::Session;

use super::lines;
use super::mutate::{Random, fuzz, mutated};

/// Lines that each kernel gets.
const LINES: usize = 100;

#[test]
fn a_kernel_survives_any_lines() {
    let corpus = lines();
    fuzz(120, |seed| {
        let mut random = Random::new(seed);
        let (mut k, mut session) = (Kernel::boot(), Session::default());
        for _ in 0..LINES {
            let text = [mutated(&mut random, &corpus).as_slice(), b"\n"].concat();
            // In debug builds the call has asked already.
            let _ = session.batch(&mut k, &text);
            if !cfg!(debug_assertions) {
                assert_eq!(audit(&k), Ok(()), "seed {seed}, after {}", String::from_utf8_lossy(&text));
            }
        }
    });
}

/// Lines of one file follow each other: they make use of what earlier ones made.
#[test]
fn a_kernel_survives_any_story() {
    let corpus = lines();
    fuzz(60, |seed| {
        let mut random = Random::new(seed);
        let (mut k, mut session) = (Kernel::boot(), Session::default());
        let start = random.below(corpus.len());
        for line in corpus.iter().skip(start).take(LINES) {
            let text = if random.below(4) == 0 { mutated(&mut random, &corpus) } else { line.clone() };
            // What is expected of a line may be another thing here.
            let text = String::from_utf8_lossy(&text).into_owned();
            let call = text.trim_start_matches(['=', '!', '~', ' ']);
            let _ = session.batch(&mut k, format!("{call}\n").as_bytes());
            if !cfg!(debug_assertions) {
                assert_eq!(audit(&k), Ok(()), "seed {seed}, after {call}");
            }
        }
    });
}
