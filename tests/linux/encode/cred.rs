//! Ids, capabilities, limits and prctl.

use nslab::syscall::{Prctl, Resource};

use super::*;

pub(super) fn encode_prctl(op: &Prctl) -> Raw {
    let prctl = |option: i32, arg: u64| call(libc::SYS_prctl, &[int(option), Arg::Value(arg), NULL, NULL, NULL]);
    let ambient = |what: i32, cap: u64| {
        call(libc::SYS_prctl, &[int(libc::PR_CAP_AMBIENT), int(what), Arg::Value(cap), NULL, NULL])
    };
    match op {
        Prctl::SetName(name) => {
            with_data(libc::SYS_prctl, &[int(libc::PR_SET_NAME), IN_ARG, NULL, NULL, NULL], zero_ended(name))
        }
        Prctl::SetChildSubreaper(on) => prctl(libc::PR_SET_CHILD_SUBREAPER, *on),
        Prctl::SetNoNewPrivs(on) => prctl(libc::PR_SET_NO_NEW_PRIVS, *on),
        Prctl::SetKeepcaps(on) => prctl(libc::PR_SET_KEEPCAPS, *on),
        Prctl::SetDumpable(on) => prctl(libc::PR_SET_DUMPABLE, *on),
        Prctl::GetDumpable => prctl(libc::PR_GET_DUMPABLE, 0),
        Prctl::SetSecurebits(bits) => prctl(libc::PR_SET_SECUREBITS, *bits),
        Prctl::GetSecurebits => prctl(libc::PR_GET_SECUREBITS, 0),
        Prctl::CapbsetDrop(cap) => prctl(libc::PR_CAPBSET_DROP, *cap),
        Prctl::CapbsetRead(cap) => prctl(libc::PR_CAPBSET_READ, *cap),
        Prctl::CapAmbientRaise(cap) => ambient(libc::PR_CAP_AMBIENT_RAISE, *cap),
        Prctl::CapAmbientLower(cap) => ambient(libc::PR_CAP_AMBIENT_LOWER, *cap),
        Prctl::CapAmbientClearAll => ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0),
        Prctl::SetPdeathsig(signal) => prctl(libc::PR_SET_PDEATHSIG, *signal),
    }
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// capget into offset [`OUT`] + 8.
pub fn capget() -> Raw {
    let header = [CAPABILITY_VERSION_3.to_ne_bytes(), [0; 4]].concat();
    with_data(libc::SYS_capget, &[IN_ARG, OUT_ARG], header)
}

/// Sets that are not given stay as they are.
pub(super) fn encode_capset(c: &Context<'_>, pid: PidArg, asked: [Option<u64>; 3]) -> Option<Encoded> {
    let current = (c.capabilities)();
    let sets: Vec<u64> = asked.iter().zip(current).map(|(asked, current)| asked.unwrap_or(current)).collect();
    let Arg::Value(pid) = c.number(pid) else { return None };
    let mut bytes = [CAPABILITY_VERSION_3.to_ne_bytes(), (pid as u32).to_ne_bytes()].concat();
    for shift in [0, 32] {
        bytes.extend(sets.iter().flat_map(|set| ((set >> shift) as u32).to_ne_bytes()));
    }
    Some((Job::Call(with_data(libc::SYS_capset, &[IN_ARG, Arg::Data(IN as u64 + 8)], bytes)), Answer::Number))
}

pub(super) fn encode_setgroups(groups: &[u32]) -> Option<Encoded> {
    let bytes = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
    let args = [Arg::Value(groups.len() as u64), IN_ARG];
    Some((Job::Call(with_data(libc::SYS_setgroups, &args, bytes)), Answer::Number))
}

pub(super) fn encode_prlimit(
    c: &Context<'_>,
    pid: PidArg,
    resource: Resource,
    soft: u64,
    hard: Option<u64>,
) -> Option<Encoded> {
    // The machine's init is not the lab's; another's hard limit is not known here.
    if pid.number() == 1 || pid.number() != 0 && hard.is_none() {
        return None;
    }
    let resource = number_of(resource);
    let hard = hard.unwrap_or_else(|| (c.limit)(resource).1);
    let bytes = [soft.to_ne_bytes(), hard.to_ne_bytes()].concat();
    Some((
        Job::Call(with_data(libc::SYS_prlimit64, &[c.number(pid), int(resource), IN_ARG, NULL], bytes)),
        Answer::Number,
    ))
}

/// The number a resource has.
pub fn number_of(resource: Resource) -> i32 {
    let number = match resource {
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
    };
    number as i32
}

/// prlimit that only asks, into offset [`OUT`].
pub fn getrlimit(resource: i32) -> Raw {
    call(libc::SYS_prlimit64, &[NULL, int(resource), NULL, OUT_ARG])
}
