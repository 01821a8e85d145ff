//! The line `become PID KEY=VALUE…`: what was seen of a task.

use std::fmt::Write as _;

use crate::control::RESOURCES;
use crate::control::args::Args;
use crate::control::lex::quote;
use crate::errno::Result;
use crate::kernel::ns::{ENTRIES, NsType, Slot, Source};
use crate::kernel::signal::{RLIM_INFINITY, Rlimit};
use crate::syscall::Become;
use crate::{bail, err};

pub(super) const USAGE: &str = "PID [LINK=INUM]… (LINK as in proc/PID/ns, but pid) \
                                [uid|gid=ID or REAL,EFFECTIVE,SAVED,FS] [groups=GID,…|none] [inh|prm|eff|bnd|amb=MASK] \
                                [securebits=N] [no_new_privs|dumpable=0|1] [session|pgrp=PID] \
                                [nproc|msgqueue|nofile=SOFT:HARD] [root|cwd=PATH]";
/// What stands for no limit.
const UNLIMITED: &str = "unlimited";

/// The slots by their keys, which are the names of links, in the order written.
pub fn slots() -> impl Iterator<Item = (&'static str, Slot, NsType)> {
    ENTRIES.iter().filter_map(|entry| match entry.source {
        Source::Slot(slot) => Some((entry.name, slot, entry.ns_type)),
        Source::ThreadPid | Source::Cred => None,
    })
}

/// # Errors
/// EINVAL: a key that is none, or is there twice; a value that does not belong to it.
pub(super) fn parse(args: &mut Args<'_>) -> Result<Become> {
    let mut seen = Become::default();
    for word in args.rest() {
        let equals = word.iter().position(|&byte| byte == b'=');
        let Some((key, value)) = equals.map(|at| (&word[..at], &word[at + 1..])) else {
            bail!(EINVAL, "KEY=VALUE expected, not {}", quote(&word));
        };
        let key = String::from_utf8_lossy(key);
        let is_new = match &*key {
            "root" => seen.root.replace(path(value)?).is_none(),
            "cwd" => seen.cwd.replace(path(value)?).is_none(),
            key => set(&mut seen, key, &String::from_utf8_lossy(value))?,
        };
        if !is_new {
            bail!(EINVAL, "{} is there twice", key.into_owned());
        }
    }
    Ok(seen)
}

/// Whether nothing was there.
fn set(seen: &mut Become, key: &str, value: &str) -> Result<bool> {
    if let Some((_, slot, ns_type)) = slots().find(|(name, ..)| *name == key) {
        let is_new = !seen.slots.iter().any(|(other, ..)| *other == slot);
        seen.slots.push((slot, ns_type, number(value)?));
        return Ok(is_new);
    }
    if let Some((_, resource)) = RESOURCES.iter().find(|(name, _)| *name == key) {
        let is_new = !seen.rlimits.iter().any(|(other, _)| other == resource);
        seen.rlimits.push((*resource, rlimit(value)?));
        return Ok(is_new);
    }
    Ok(match key {
        "user" => seen.user_ns.replace(number(value)?).is_none(),
        "uid" => seen.uids.replace(four(value)?).is_none(),
        "gid" => seen.gids.replace(four(value)?).is_none(),
        "groups" => seen.groups.replace(list(value)?).is_none(),
        "inh" => seen.inheritable.replace(number(value)?).is_none(),
        "prm" => seen.permitted.replace(number(value)?).is_none(),
        "eff" => seen.effective.replace(number(value)?).is_none(),
        "bnd" => seen.bounding.replace(number(value)?).is_none(),
        "amb" => seen.ambient.replace(number(value)?).is_none(),
        "securebits" => seen.securebits.replace(number(value)?).is_none(),
        "no_new_privs" => seen.no_new_privs.replace(number::<u8>(value)? != 0).is_none(),
        "dumpable" => seen.dumpable.replace(number::<u8>(value)? != 0).is_none(),
        "session" => seen.session.replace(number(value)?).is_none(),
        "pgrp" => seen.pgrp.replace(number(value)?).is_none(),
        _ => bail!(EINVAL, "{} is no key", key.to_owned()),
    })
}

fn number<T: TryFrom<u64>>(value: &str) -> Result<T> {
    let digits = value.strip_prefix("0x");
    let number = digits.map_or_else(|| value.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok());
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| err!(EINVAL, "{} is no such number", value.to_owned()))
}

/// A whole path.
fn path(value: &[u8]) -> Result<Vec<u8>> {
    if !value.starts_with(b"/") {
        bail!(EINVAL, "{} is no whole path", quote(value));
    }
    Ok(value.to_vec())
}

/// `1024:4096`
fn rlimit(value: &str) -> Result<Rlimit> {
    let one = |value: &str| if value == UNLIMITED { Ok(RLIM_INFINITY) } else { number(value) };
    let Some((soft, hard)) = value.split_once(':') else { bail!(EINVAL, "{} is not SOFT:HARD", value.to_owned()) };
    let limit = Rlimit { soft: one(soft)?, hard: one(hard)? };
    if limit.soft > limit.hard {
        bail!(EINVAL, "soft limit {} is above the hard limit {}", limit.soft, limit.hard);
    }
    Ok(limit)
}

fn list(value: &str) -> Result<Vec<u32>> {
    if value == "none" { Ok(Vec::new()) } else { value.split(',').map(number).collect() }
}

/// One id for all four, or each.
fn four(value: &str) -> Result<[u32; 4]> {
    let ids = list(value)?;
    match ids[..] {
        [id] => Ok([id; 4]),
        [real, effective, saved, fs] => Ok([real, effective, saved, fs]),
        _ => bail!(EINVAL, "{} is not one id, and not four", value.to_owned()),
    }
}

/// The words behind the task's number, a blank before each.
pub fn line(seen: &Become) -> String {
    let mut line = String::new();
    let mut word = |key: &str, value: Option<String>| {
        let _ = value.map(|value| write!(line, " {key}={value}"));
    };
    let decimal = |number: &u32| number.to_string();
    let mask = |mask: u64| format!("{mask:#x}");
    let bit = |bit: bool| u8::from(bit).to_string();
    word("user", seen.user_ns.as_ref().map(decimal));
    for (key, slot, _) in slots() {
        word(key, seen.slots.iter().find(|(other, ..)| *other == slot).map(|(.., inum)| inum.to_string()));
    }
    let ids =
        |ids: [u32; 4]| if ids == [ids[0]; 4] { ids[0].to_string() } else { ids.map(|id| id.to_string()).join(",") };
    word("uid", seen.uids.map(ids));
    word("gid", seen.gids.map(ids));
    let groups = |groups: &Vec<u32>| match &groups[..] {
        [] => "none".to_owned(),
        groups => groups.iter().map(decimal).collect::<Vec<_>>().join(","),
    };
    word("groups", seen.groups.as_ref().map(groups));
    word("inh", seen.inheritable.map(mask));
    word("prm", seen.permitted.map(mask));
    word("eff", seen.effective.map(mask));
    word("bnd", seen.bounding.map(mask));
    word("amb", seen.ambient.map(mask));
    word("securebits", seen.securebits.map(|bits| mask(bits.into())));
    word("no_new_privs", seen.no_new_privs.map(bit));
    word("dumpable", seen.dumpable.map(bit));
    word("session", seen.session.map(|pid| pid.to_string()));
    word("pgrp", seen.pgrp.map(|pid| pid.to_string()));
    let bound = |bound: u64| if bound == RLIM_INFINITY { UNLIMITED.to_owned() } else { bound.to_string() };
    for (key, resource) in RESOURCES {
        let limit = seen.rlimits.iter().find(|(other, _)| other == resource);
        word(key, limit.map(|(_, limit)| format!("{}:{}", bound(limit.soft), bound(limit.hard))));
    }
    for (key, path) in [("root=", &seen.root), ("cwd=", &seen.cwd)] {
        if let Some(path) = path {
            let _ = write!(line, " {}", quote(&[key.as_bytes(), path].concat()));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use crate::control::lex::{Dialect, split};
    use crate::script::Setup;

    #[test]
    fn a_line_reads_back() {
        let text = "become 7 user=4026532300 pid_for_children=2 mnt=1 uid=1 gid=1,2,3,4 groups=none inh=0x0 prm=0x1f eff=0x1 \
                    bnd=0x1ffffffffff amb=0x0 securebits=0x1 no_new_privs=1 dumpable=0 session=7 pgrp=1 nproc=5:unlimited nofile=0:7 root=/srv \
                    \"cwd=/a b\"";
        let words = split(text, Dialect::Script).unwrap();
        let words: Vec<_> = words.iter().skip(1).map(|word| word.expand(|_| None).unwrap()).collect();
        assert_eq!(Setup::new("become", &words).unwrap().to_string(), text);
    }
}
