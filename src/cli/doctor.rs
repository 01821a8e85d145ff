//! `nslab doctor`: what is missing to mount a lab here, and what mends it; what became of a lab.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use super::list::out_of_reach;
use super::{Outcome, print, temporary};
use crate::errno::describe;
use crate::exec;
use crate::fuse::{self, Health, MountError, Options, Reach};
use crate::host::Lab;
use crate::kernel::Kernel;

/// Says how the lab on `dir` is, and what to do. The exit code is 1 unless it serves.
pub fn of_lab(dir: &Path) -> Outcome {
    let lab = fuse::find_lab(dir)?;
    let (place, pid) = (lab.dir.display(), lab.pid.map_or("PID".to_owned(), |pid| pid.to_string()));
    let is_out_of_reach = lab.reach == Reach::Nowhere;
    let text = match lab.health {
        _ if is_out_of_reach => format!("lost     {place}: {}", out_of_reach(&pid)),
        Health::Serving => format!("ok       {place}: process {pid} serves it"),
        Health::Broken => format!(
            "broken   {place}: process {pid} had an internal error: {}: unmount this lab, and report the error",
            lab.broken.unwrap_or_default()
        ),
        Health::Stopped => {
            format!("stopped  {place}: `kill -CONT {pid}` lets it go on, `nslab umount {place}` ends it")
        }
        Health::Stuck => format!("stuck    {place}: process {pid} does not get on: `nslab umount {place}` ends it"),
        Health::Dead => format!(
            "dead     {place}: its process is gone, killed or out of memory: `nslab umount {place}` takes it off, \
             `nslab mount {place}` mounts a new one"
        ),
        Health::Unknown => format!("unknown  {place}: its process is another user's: only they and root see more"),
    };
    print(&format!("{text}\n"))?;
    Ok(if lab.health == Health::Serving && !is_out_of_reach { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One thing looked at.
struct Check {
    what: &'static str,
    state: State,
}

enum State {
    Good(String),
    /// Not needed to mount, but good to know.
    Note(String),
    /// The remedy.
    Missing(String),
}

/// Prints one line for each check. The exit code is 1 if something is missing.
pub fn run() -> Outcome {
    let checks = [device(), privilege(), other_users(), trial(), programs()];
    let line = |Check { what, state }: &Check| match state {
        State::Good(text) => format!("ok       {what}: {text}\n"),
        State::Note(text) => format!("note     {what}: {text}\n"),
        State::Missing(remedy) => format!("missing  {what}: {remedy}\n"),
    };
    print(&checks.iter().map(line).collect::<String>())?;
    let is_missing = |check: &Check| matches!(check.state, State::Missing(_));
    Ok(if checks.iter().any(is_missing) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn device() -> Check {
    let state = match fuse::open_device() {
        Ok(_) => State::Good("/dev/fuse can be opened".to_owned()),
        Err(error) => State::Missing(error.to_string()),
    };
    Check { what: "device", state }
}

fn privilege() -> Check {
    let state = if nix::unistd::geteuid().is_root() {
        if is_capable() {
            State::Good("root may mount".to_owned())
        } else {
            State::Missing(MountError::NotCapable.to_string())
        }
    } else if let Some(helper) = fuse::find_fusermount() {
        State::Good(format!("{} mounts for other users", helper.display()))
    } else if user_namespaces() {
        State::Missing(format!("{}, or use `unshare -Urm nslab shell`", MountError::NoFusermount))
    } else {
        State::Missing(MountError::NoFusermount.to_string())
    };
    Check { what: "privilege", state }
}

/// Whether this process has CAP_SYS_ADMIN, which root lacks in most containers.
fn is_capable() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    effective.is_none_or(|set| set >> CAP_SYS_ADMIN & 1 == 1)
}

/// Whether Linux lets anybody make user namespaces.
fn user_namespaces() -> bool {
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    limit.trim().parse().is_ok_and(|limit: u64| limit > 0)
}

fn other_users() -> Check {
    let allowed =
        fs::read_to_string("/etc/fuse.conf").unwrap_or_default().lines().any(|line| line.trim() == "user_allow_other");
    let state = if allowed || nix::unistd::geteuid().is_root() {
        State::Good("-o allow_other may be used".to_owned())
    } else {
        State::Note("-o allow_other needs `echo user_allow_other >> /etc/fuse.conf` as root".to_owned())
    };
    Check { what: "other users", state }
}

/// Whether programs can run in a lab: a child is traced, and has a filter.
fn programs() -> Check {
    let state = match exec::try_to_trace() {
        Ok(()) => State::Good("a process was traced, and its calls were filtered".to_owned()),
        Err(error) => State::Note(format!("`nslab exec` does not work: {}: {}", describe(&error), remedy())),
    };
    Check { what: "programs", state }
}

/// What forbids to trace, and what mends that.
fn remedy() -> &'static str {
    if fuse::is_in_lab() {
        return "a program of a lab is traced already: run nslab outside of the lab";
    }
    let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match yama.trim() {
        "2" => "Yama lets root alone trace: run `sysctl kernel.yama.ptrace_scope=1` as root",
        "3" => "Yama lets nobody trace until the next boot: boot with kernel.yama.ptrace_scope=1",
        _ => {
            "the container forbids ptrace or seccomp: allow both in its seccomp profile (docker run --security-opt seccomp=unconfined)"
        }
    }
}

/// Mounts a lab for a moment.
fn trial() -> Check {
    let state = match try_to_mount() {
        Ok(()) => State::Good("a lab was mounted and unmounted".to_owned()),
        Err(error) => State::Missing(error.to_string()),
    };
    Check { what: "trial", state }
}

fn try_to_mount() -> Result<(), Box<dyn std::error::Error>> {
    let dir = temporary()?;
    let mounted = fuse::mount(Lab::new(Kernel::boot()), dir.path(), &Options::default())?;
    let point = mounted.point().clone();
    thread::spawn(move || mounted.serve());
    let seen = fs::metadata(dir.path());
    point.detach()?;
    seen?;
    Ok(dir.close()?)
}
