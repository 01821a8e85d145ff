//! The words for what becomes of a real process.

use super::args::Args;
use super::target::{self, Target};
use super::verb::Parse;
use super::word::{number, unexpected};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::NsType;
use crate::syscall::program::Program;
use crate::syscall::{AnyCall, LabCall, Syscall};

pub(super) fn parse(args: &mut Args<'_>) -> Result<AnyCall> {
    if args.take("waits") {
        return Ok(AnyCall::Waiting(waiting(args)?));
    }
    told(args).map(|told| LabCall::Program(told).into())
}

/// The words of a call of Linux's.
fn waiting(args: &mut Args<'_>) -> Result<Syscall> {
    let name = args.text("CALL")?;
    match super::verb(name).map(|verb| verb.parse) {
        Some(Parse::Linux(parse)) => parse(args),
        _ => Err(unexpected("a call of Linux's", name)),
    }
}

fn told(args: &mut Args<'_>) -> Result<Program> {
    Ok(match args.text("what becomes of the program")? {
        "runs" => Program::Runs,
        "ended" => Program::Ended { status: args.number("STATUS")? },
        "never_ran" => Program::NeverRan,
        "stopped" => Program::Stopped { signo: args.signal()? },
        "continued" => Program::Continued,
        "wakes" => Program::Wakes,
        "closes" => Program::ClosesQueue(queue(args.text("mqueue:N")?)?),
        word @ ("pins" | "unpins") => {
            let held = args.bytes("type:[inum] or mqueue:N")?;
            if held.starts_with(QUEUE.as_bytes()) {
                let queue = queue(&String::from_utf8_lossy(held))?;
                return Ok(if word == "pins" { Program::PinsQueue(queue) } else { Program::UnpinsQueue(queue) });
            }
            let Target::Ns { ns_type, inum } = target::parse(held)? else {
                bail!(EINVAL, "{} wants type:[inum] or mqueue:N", word.to_owned());
            };
            if word == "pins" { Program::Pins { ns_type, inum } } else { Program::Unpins { ns_type, inum } }
        }
        word => return Err(unexpected("what becomes of the program", word)),
    })
}

/// What stands before the number of a message queue.
pub(super) const QUEUE: &str = "mqueue:";

fn queue(word: &str) -> Result<u64> {
    match word.strip_prefix(QUEUE) {
        Some(serial) => number(serial, "the number of mqueue:N"),
        None => Err(unexpected("mqueue:N", word)),
    }
}

/// The words after the verb.
pub fn words(told: Program) -> String {
    let ns = |ns_type: NsType, inum| format!("{}:[{inum}]", ns_type.ops().name);
    match told {
        Program::Runs => "runs".to_owned(),
        Program::Ended { status } => format!("ended {status}"),
        Program::NeverRan => "never_ran".to_owned(),
        Program::Stopped { signo } => format!("stopped {signo}"),
        Program::Continued => "continued".to_owned(),
        Program::Wakes => "wakes".to_owned(),
        Program::Pins { ns_type, inum } => format!("pins {}", ns(ns_type, inum)),
        Program::Unpins { ns_type, inum } => format!("unpins {}", ns(ns_type, inum)),
        Program::PinsQueue(queue) => format!("pins {QUEUE}{queue}"),
        Program::UnpinsQueue(queue) => format!("unpins {QUEUE}{queue}"),
        Program::ClosesQueue(queue) => format!("closes {QUEUE}{queue}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{parse_write, verb};

    #[test]
    fn words_read_back_as_what_they_are_for() {
        let (ns_type, inum) = (NsType::Uts, 4026531838);
        for told in [
            Program::Runs,
            Program::Ended { status: 256 },
            Program::NeverRan,
            Program::Stopped { signo: 20 },
            Program::Continued,
            Program::Wakes,
            Program::Pins { ns_type, inum },
            Program::Unpins { ns_type, inum },
            Program::PinsQueue(1 << 32),
            Program::UnpinsQueue(1 << 32 | 1),
            Program::ClosesQueue(u64::MAX),
        ] {
            let call = parse_write(verb("program").unwrap(), words(told).as_bytes()).unwrap();
            assert_eq!(call, LabCall::Program(told).into());
        }
    }
}
