//! Three planted errors: the comparison has to notice each.

use nslab::errno::Errno;
use nslab::script::Call;

use crate::pair::{Corruption, Pair, Trouble};

/// What is planted, and the line at which it has to be noticed.
const PLANTED: [(&str, Corruption); 3] = [
    ("a wrong errno", |seen| {
        if seen.result == Err(Errno::EINVAL) {
            seen.result = Err(Errno::EPERM);
        }
    }),
    ("a swapped link", |seen| {
        for (_, links, _) in seen.tasks.iter_mut().filter(|(nr, ..)| *nr == 3) {
            links.swap(4, 3);
        }
    }),
    ("a count off by one", |seen| {
        for (_, _, status) in &mut seen.tasks {
            for (_, value) in status.iter_mut().filter(|(name, value)| *name == "Threads" && value == "2") {
                *value = "3".to_owned();
            }
        }
    }),
];

const LINES: [(i32, &str); 6] = [
    (1, "clone"),
    (2, "clone"),
    (3, "unshare newuser newnet"),
    (3, "unshare newpid"),
    (2, "unshare 0x1000"),
    (3, "setns pidfd:2 newpid"),
];
const THREAD_LINES: [(i32, &str); 2] = [(2, "clone vm fs files sighand thread"), (3, "clone")];

/// Runs the program as it is and with each error planted.
///
/// # Errors
/// An error was not noticed, or the program differs without one.
pub fn check(pair: &mut Pair) -> Result<(), String> {
    pair.set_patience(std::time::Duration::from_millis(200));
    pair.restart()?;
    run(pair)?.map_or(Ok(()), |difference| Err(format!("without an error: {difference}")))?;
    for (name, plant) in PLANTED {
        pair.restart()?;
        pair.corrupt(Some(plant));
        let difference = run(pair);
        pair.corrupt(None);
        if difference?.is_none() {
            return Err(format!("{name} was not noticed"));
        }
    }
    pair.set_patience(crate::patience::PATIENCE);
    Ok(())
}

/// The call of a line.
///
/// # Errors
/// It is none.
pub fn call_of(text: &str) -> Result<Call, String> {
    let words = nslab::control::lex::control_words(text).map_err(|error| error.to_string())?;
    let verb = String::from_utf8_lossy(&words[0].bytes).into_owned();
    Call::new(&verb, words[1..].to_vec()).map_err(|error| error.to_string())
}

/// The difference, if any.
fn run(pair: &mut Pair) -> Result<Option<String>, String> {
    for (actor, text) in LINES.into_iter().chain(THREAD_LINES) {
        let call = call_of(text)?;
        let task = pair.k.find_task(actor).ok_or_else(|| format!("no task {actor}"))?;
        match pair.call(task, &call.syscall) {
            Ok(_) => {}
            Err(Trouble::LabOnly) => return Err(format!("{text} cannot be made")),
            Err(Trouble::Differs(difference) | Trouble::Unordered(difference)) => return Ok(Some(difference)),
        }
    }
    Ok(None)
}
