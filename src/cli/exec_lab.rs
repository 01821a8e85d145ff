//! `nslab exec LAB`: a program as a task of a lab that is mounted, and stays. Two processes take part: the command, which waits
//! for the program as shells expect it, and one that it makes, which has the program and all it starts until the last has ended.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::libc::SIGKILL;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, geteuid, getpid, getppid, pipe2};

use super::exec::{Args, Ran, survive_terminal};
use super::exec_after::After;
use super::in_words;
use super::mount::let_go_of_streams;
use crate::exec::{self, Agent, Bell, Child, Daemon, FAILED, Here, Lost};
use crate::fuse::{self, Health, Part, Reach};

/// Runs the program.
///
/// # Errors
/// The lab cannot be used so.
pub fn supervise(args: &Args, lab: &Path) -> Result<Ran, Box<dyn Error>> {
    exec::check_architecture()?;
    let daemon = daemon(lab)?;
    let after = After::new(&args.after, lab)?;
    let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
    let (mut told, tell) = (File::from(told), File::from(tell));
    let command = getpid();
    let supervisor = exec::fork(|| match have_programs(args, daemon, command, &tell) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("nslab: {}", in_words(&*error));
            FAILED
        }
    })?;
    drop(tell);
    if let Err(error) = survive_terminal(supervisor) {
        // It may have said the same.
        let _ = exec::kill(supervisor, SIGKILL);
        return match waitpid(Pid::from_raw(supervisor), None)? {
            WaitStatus::Exited(..) => Ok(Ran { status: FAILED << 8, holds: true }),
            _ => Err(error.into()),
        };
    }
    let mut status = [0; 4];
    if told.read_exact(&mut status).is_ok() {
        return Ok(Ran { status: i32::from_ne_bytes(status), holds: after.holds(lab) });
    }
    match waitpid(Pid::from_raw(supervisor), None)? {
        // It has said why.
        WaitStatus::Exited(..) => Ok(Ran { status: FAILED << 8, holds: true }),
        _ => Err("the process that had the program was killed".into()),
    }
}

/// Who serves a lab on a directory.
fn daemon(lab: &Path) -> Result<Daemon, Box<dyn Error>> {
    let found = fuse::find_lab(lab)?;
    let dir = found.dir.display();
    let refused = |why: &str| Err(format!("{dir}: {why}").into());
    let own = geteuid();
    let Some(uid) = found.uid.filter(|uid| *uid == own.as_raw() || own.is_root()) else {
        return refused("only root and the user who mounted this lab may run programs in it");
    };
    if found.reach != Reach::Here || found.part != Part::Whole {
        return refused("programs need the whole lab, mounted where they run");
    }
    match (found.pid, found.health) {
        (Some(pid), Health::Serving | Health::Broken) => Ok(Daemon { pid, uid, device: found.device }),
        (_, Health::Dead) => refused("the process that served this lab is gone"),
        (None, _) => refused("the process that serves this lab cannot be seen from here"),
        (Some(_), health) => refused(&format!("the lab does not answer: it is {}", health.name())),
    }
}

/// Has the programs until the last has ended; tells the command of the status word of the first.
fn have_programs(args: &Args, daemon: Daemon, command: Pid, mut tell: &File) -> Result<(), Box<dyn Error>> {
    // Whoever kills the command means the program.
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != command {
        return Err(Box::new(Lost::Gone));
    }
    // As long as this process has one thread.
    let child = Child::new(&args.command)?;
    let bell = Bell::new()?;
    survive_terminal(child.tid)?;
    let first = child.tid;
    let here = Here::new(child, bell.tid, Some(command.as_raw()));
    let agent = Agent::new(daemon, here, (first, bell.tid), (args.parent, args.explain))?;
    let has_ended = |status: i32| {
        let mut told = || -> io::Result<()> {
            set_pdeathsig(None)?;
            let_go_of_streams()?;
            tell.write_all(&status.to_ne_bytes())
        };
        // The command is gone, or will say that we have failed.
        let _ = told();
    };
    Ok(agent.serve(has_ended)?)
}
