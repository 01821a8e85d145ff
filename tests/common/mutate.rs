//! Inputs at random: what a corpus has, changed here and there.

use std::time::{Duration, Instant};

/// Numbers in an order that a seed fixes.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() >> 32).unwrap() % end
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Words that are at a bound, or mean something to some reader.
const WORDS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "4294967295",
    "4294967296",
    "2147483647",
    "-2147483648",
    "9223372036854775807",
    "18446744073709551615",
    "-9223372036854775808",
    "99999999999999999999",
    "\"",
    "\\",
    "\"\\x00\"",
    "$",
    "${",
    "#",
    "=",
    "!",
    "~",
    "/",
    "//",
    "..",
    "../..",
    ".",
    "self",
    "thread-self",
    "fd:0",
    "pidfd:1",
    "net:[4026531833]",
    "\u{fffd}",
    "é",
    "\t",
    " ",
    "newuser",
    "0xffffffffffffffff",
    "1 0 4294967295",
    "pos=18446744073709551615",
    "size=1000000000",
    "private",
    "create",
    "SIGKILL",
    "+9223372036854775807s",
];

/// A member of `corpus`, changed a little or not at all.
pub fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut text = random.pick(corpus).clone();
    for _ in 0..random.below(4) {
        change(random, corpus, &mut text);
    }
    text
}

fn change(random: &mut Random, corpus: &[Vec<u8>], text: &mut Vec<u8>) {
    let at = random.below(text.len() + 1);
    let end = at + random.below(text.len() - at + 1);
    match random.below(7) {
        0 => text.truncate(at),
        1 => drop(text.drain(at..end)),
        2 => text.insert(at, u8::try_from(random.below(256)).unwrap()),
        3 if at < text.len() => text[at] ^= 1 << random.below(8),
        4 => {
            let part = text[at..end].to_vec();
            text.splice(at..at, part);
        }
        5 => {
            // A word takes the place of another.
            let starts: Vec<usize> = (0..text.len()).filter(|&at| at == 0 || text[at - 1] == b' ').collect();
            let start = if starts.is_empty() { 0 } else { *random.pick(&starts) };
            let end = text[start..].iter().position(|&byte| byte == b' ').map_or(text.len(), |length| start + length);
            text.splice(start..end, random.pick(WORDS).bytes());
        }
        _ => {
            let other = random.pick(corpus);
            let from = random.below(other.len() + 1);
            text.truncate(at);
            text.extend(&other[from..]);
        }
    }
    text.truncate(1 << 12);
}

/// Gives each of `runs` inputs a seed; of as many as fit into `NSLAB_FUZZ_SECONDS`, if that is set. `NSLAB_FUZZ_SEED` is
/// the first.
#[expect(clippy::disallowed_methods, reason = "hours are asked for")]
pub fn fuzz(runs: u64, mut run: impl FnMut(u64)) {
    let number = |variable| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("NSLAB_FUZZ_SEED").unwrap_or(618);
    let end = number("NSLAB_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut done = 0;
    while end.map_or(done < runs, |end| Instant::now() < end) {
        run(first + done);
        done += 1;
    }
    println!("{done} inputs from seed {first}");
}
