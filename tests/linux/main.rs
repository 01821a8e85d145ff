//! The proof: the same programs on the real Linux kernel and on the lab, compared call by call.
//!
//! Without the standard runtime (`no_main`): it would open descriptors 0 to 2 in a worker that has none.
#![no_main]

mod encode;
mod machine;
mod numbers;
mod observe;
mod pair;
mod program;
mod raw;
mod run;

use std::ffi::{CStr, c_char, c_int};

use nslab::script::Call;
use pair::{Pair, Trouble};

/// Runs the checks named on the command line, all of them without names. A worker that has just called exec comes here
/// too.
#[expect(unsafe_code, reason = "the C entry point")]
#[unsafe(no_mangle)]
pub extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: argv has argc C strings.
    let args = (0..argc as usize).map(|at| unsafe { CStr::from_ptr(*argv.add(at)) }.to_string_lossy().into_owned());
    let args: Vec<String> = args.collect();
    if let [_, flag, slot] = args.as_slice()
        && flag == "--worker"
    {
        raw::serve_after_exec(slot.parse().unwrap_or(0));
    }
    match smoke() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn smoke() -> Result<(), String> {
    raw::create_region().map_err(|e| e.to_string())?;
    raw::call(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as u64, 1, 0, 0, 0, 0]);
    let socket = raw::descriptor_channel().map_err(|e| e.to_string())?;
    let mut pair = Pair::new(socket)?;
    if let Ok(runs) = std::env::var("NSLAB_LINUX_RUNS") {
        let (from, to) = runs.split_once("..").unwrap_or(("0", &runs));
        let seed = std::env::var("NSLAB_LINUX_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
        let mut tally = run::Tally::default();
        let t = std::time::Instant::now();
        run::run_programs(&mut pair, seed, from.parse().unwrap()..to.parse().unwrap(), &mut tally)?;
        eprintln!(
            "{} programs, {} operations, {} refused, {} sites, {:?}",
            tally.programs,
            tally.operations,
            tally.refused,
            tally.sites.len(),
            t.elapsed()
        );
        eprintln!("{:?}\n{:?}\nunsteady {:#?}", tally.errnos, tally.verbs, tally.unsteady);
        eprintln!("{:?} {:?}", run::T0, run::T1);
        return Ok(());
    }
    let t = std::time::Instant::now();
    let n: u32 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for _ in 0..n {
        pair.restart()?;
        let text =
            std::fs::read_to_string(std::env::var("PROG").map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
        for line in text.lines() {
            let (pid, rest) = line.split_once(' ').unwrap();
            let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let words = nslab::control::lex::control_words(rest).map_err(|e| e.to_string())?;
            let call = Call::new(verb, words).map_err(|e| e.to_string())?;
            let Some(task) = pair.k.find_task(pid.parse().unwrap()) else { return Err(format!("{line}: no task")) };
            match pair.call(task, &call.syscall) {
                Ok(result) if n == 1 => {
                    eprintln!("{line}: {:?}", result.map(|r| r.to_string()).map_err(|e| e.to_string()))
                }
                Ok(_) => {}
                Err(Trouble::LabOnly) => eprintln!("{line}: lab only"),
                Err(Trouble::Differs(why)) => return Err(format!("{line}: {why}")),
            }
        }
        if let Err(e) = pair.compare_all() {
            return Err(format!("{e:?}"));
        }
    }
    eprintln!("{:?} per program", t.elapsed() / n);
    Ok(())
}
