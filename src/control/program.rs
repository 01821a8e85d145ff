//! The words for what becomes of a real process.

use super::args::Args;
use super::target::{self, Target};
use super::verb::Parse;
use super::word::unexpected;
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
        word @ ("pins" | "unpins") => {
            let Target::Ns { ns_type, inum } = target::parse(args.bytes("type:[inum]")?)? else {
                bail!(EINVAL, "{} wants type:[inum]", word.to_owned());
            };
            if word == "pins" { Program::Pins { ns_type, inum } } else { Program::Unpins { ns_type, inum } }
        }
        word => return Err(unexpected("what becomes of the program", word)),
    })
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
        ] {
            let call = parse_write(verb("program").unwrap(), words(told).as_bytes()).unwrap();
            assert_eq!(call, LabCall::Program(told).into());
        }
    }
}
