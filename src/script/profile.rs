//! The line `boot KEY=VALUE…`: which machine a lab is.

use std::fmt::Write as _;

use crate::control::args::Args;
use crate::control::lex::quote;
use crate::errno::Result;
use crate::kernel::ns::{NS_TABLE, NsType, UTS_LEN};
use crate::kernel::profile::Profile;
use crate::{bail, err};

pub(super) const USAGE: &str = "[release=TEXT] [version=TEXT] [machine=TEXT] [pid_max=N] [cap_last_cap=N] [uptime=SECONDS] \
                                [btime=SECONDS] [eth0=none] [inum.TYPE=N] [inum.first=N]";
const NANOS: u64 = 1_000_000_000;

/// # Errors
/// EINVAL: a key that is none, or is there twice; a value that is no number where one belongs.
pub(super) fn parse(args: &mut Args<'_>) -> Result<Profile> {
    let mut profile = Profile::default();
    for word in args.rest() {
        let equals = word.iter().position(|&byte| byte == b'=');
        let Some((key, value)) = equals.map(|at| (&word[..at], &word[at + 1..])) else {
            bail!(EINVAL, "KEY=VALUE expected, not {}", quote(&word));
        };
        set(&mut profile, key, value)?;
    }
    Ok(profile)
}

fn set(profile: &mut Profile, key: &[u8], value: &[u8]) -> Result<()> {
    match key {
        b"release" => once(&mut profile.release, key, text(value)?),
        b"version" => once(&mut profile.version, key, text(value)?),
        b"machine" => once(&mut profile.machine, key, text(value)?),
        b"pid_max" => once(&mut profile.pid_max, key, number(key, value)?),
        b"cap_last_cap" => once(&mut profile.cap_last_cap, key, number(key, value)?),
        b"uptime" => {
            once(&mut profile.uptime, key, crate::control::seconds(&String::from_utf8_lossy(value), "uptime")?)
        }
        b"btime" => once(&mut profile.btime, key, number(key, value)?),
        b"eth0" => match (value, std::mem::replace(&mut profile.has_no_card, true)) {
            (b"none", false) => Ok(()),
            (b"none", true) => bail!(EINVAL, "eth0 is there twice"),
            _ => bail!(EINVAL, "none expected for eth0, not {}", quote(value)),
        },
        b"inum.first" => once(&mut profile.first_inum, key, number(key, value)?),
        _ => {
            let kind = key.strip_prefix(b"inum.").and_then(|kind| std::str::from_utf8(kind).ok());
            let Some(ns_type) = kind.and_then(NsType::from_name) else { bail!(EINVAL, "{} is no key", quote(key)) };
            if profile.inums.insert(ns_type, number(key, value)?).is_some() {
                bail!(EINVAL, "{} is there twice", quote(key));
            }
            Ok(())
        }
    }
}

fn once<T>(place: &mut Option<T>, key: &[u8], value: T) -> Result<()> {
    match place.replace(value) {
        Some(_) => bail!(EINVAL, "{} is there twice", quote(key)),
        None => Ok(()),
    }
}

/// A name of uname(2).
fn text(value: &[u8]) -> Result<Vec<u8>> {
    if value.len() > UTS_LEN || value.contains(&0) {
        bail!(EINVAL, "a name has at most {} bytes, none of them NUL", UTS_LEN);
    }
    Ok(value.to_vec())
}

fn number<T: std::str::FromStr>(key: &[u8], value: &[u8]) -> Result<T> {
    let number = std::str::from_utf8(value).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    number
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| err!(EINVAL, "{} is no number for {}", quote(value), quote(key)))
}

/// The line that says this.
pub fn line(profile: &Profile) -> String {
    let Profile { release, version, machine, pid_max, cap_last_cap, uptime, btime, inums, first_inum, has_no_card } =
        profile;
    let mut line = String::from("boot");
    for (key, value) in [("release", release), ("version", version), ("machine", machine)] {
        if let Some(value) = value {
            let _ = write!(line, " {key}={}", quote(value));
        }
    }
    let _ = pid_max.map(|number| write!(line, " pid_max={number}"));
    let _ = cap_last_cap.map(|number| write!(line, " cap_last_cap={number}"));
    let _ = uptime.map(|nanos| write!(line, " uptime={}.{:09}", nanos / NANOS, nanos % NANOS));
    let _ = btime.map(|seconds| write!(line, " btime={seconds}"));
    if *has_no_card {
        line += " eth0=none";
    }
    for ops in NS_TABLE {
        let _ = inums.get(&ops.ns_type).map(|inum| write!(line, " inum.{}={inum}", ops.name));
    }
    let _ = first_inum.map(|inum| write!(line, " inum.first={inum}"));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::lex::{Dialect, split};
    use crate::errno::Errno;
    use crate::kernel::Kernel;
    use crate::script::{Machine, Setup};

    fn boot(line: &str) -> Result<Setup> {
        let words = split(line, Dialect::Script)?
            .iter()
            .skip(1)
            .map(|word| word.expand(|_| None))
            .collect::<Result<Vec<_>>>()?;
        Setup::new("boot", &words)
    }

    const LINE: &str = "boot release=5.10.0-8-amd64 version=\"#1 SMP Debian\" machine=x86_64 pid_max=32768 cap_last_cap=39 \
                        uptime=12.500000000 btime=1700000000 eth0=none inum.user=4026531837 inum.mnt=4026531840 inum.net=4026531992 \
                        inum.first=4026532000";

    #[test]
    fn a_line_reads_back() {
        let setup = boot(LINE).unwrap();
        assert_eq!(setup.to_string(), LINE);
        assert_eq!(boot(&setup.to_string()).unwrap(), setup);
    }

    #[test]
    fn what_is_no_machine_is_refused() {
        let long = format!("boot release={}", "x".repeat(65));
        for line in [
            "boot x",
            "boot x=1",
            "boot pid_max=-1",
            "boot btime=1 btime=2",
            "boot inum.x=1",
            "boot uptime=x",
            "boot eth0=x",
            "boot eth0=none eth0=none",
            &long,
        ] {
            assert!(boot(line).is_err(), "{line}");
        }
        for line in ["boot pid_max=300", "boot inum.net=0", "boot inum.first=0", "boot inum.net=4026531837"] {
            let mut k = Kernel::boot();
            let before = format!("{k:?}");
            assert!(k.set(&boot(line).unwrap()).is_err(), "{line}");
            assert_eq!(format!("{k:?}"), before, "{line}");
        }
    }

    #[test]
    fn a_lab_in_use_does_not_become_another_machine() {
        let mut k = Kernel::boot();
        k.set(&Setup::Tick { nanos: 1 }).unwrap();
        let refusal = k.set(&boot(LINE).unwrap()).unwrap_err();
        assert_eq!(refusal.errno, Errno::EBUSY);
    }
}
