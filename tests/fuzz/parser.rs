//! Lines of scripts, and what is written to control files.

use nslab::control::VERBS;
use nslab::script::Call;
use nslab::script::statement::{Statement, parse};

use super::lines;
use super::mutate::{Random, fuzz, mutated};

/// What a line means is said again by the line that the journal has for it.
#[test]
fn lines_are_refused_or_mean_something() {
    let corpus = lines();
    fuzz(60_000, |seed| {
        let text = mutated(&mut Random::new(seed), &corpus);
        let Ok(text) = String::from_utf8(text) else { return };
        for line in text.lines() {
            let Ok(Some(Statement::Call(call))) = parse(line) else { continue };
            let words = call.args.iter().map(|word| word.expand(|_| Some(b"1".to_vec())));
            let Ok(words) = words.collect::<Result<Vec<_>, _>>() else { continue };
            if let Ok(call) = Call::new(call.verb, words) {
                check(&call, line);
            }
        }
    });
}

#[test]
fn writes_are_refused_or_mean_something() {
    let corpus: Vec<_> = VERBS.iter().map(|verb| verb.example.as_bytes().to_vec()).collect();
    fuzz(60_000, |seed| {
        let mut random = Random::new(seed);
        let verb = random.pick(VERBS);
        let bytes = mutated(&mut random, &corpus);
        if let Ok(call) = Call::from_write(verb, &bytes) {
            check(&call, &String::from_utf8_lossy(&bytes));
        }
    });
}

fn check(call: &Call, line: &str) {
    let again = call.script_line(1);
    let Ok(Some(Statement::Call(read))) = parse(&again) else { panic!("{line:?} became {again:?}") };
    let words = read.args.iter().map(|word| word.expand(|_| None).unwrap()).collect();
    let read = Call::new(read.verb, words).unwrap_or_else(|error| panic!("{line:?} became {again:?}: {error}"));
    assert_eq!(read.syscall, call.syscall, "{line:?} became {again:?}");
    if call.verb.is_file {
        let written = Call::from_write(call.verb, call.line().as_bytes());
        assert_eq!(written.unwrap_or_else(|error| panic!("{line:?}: {error}")).syscall, call.syscall, "{line:?}");
    }
}
