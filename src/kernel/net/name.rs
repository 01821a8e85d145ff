//! Names of devices (`dev_valid_name`, `__dev_alloc_name` in `net/core/dev.c`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::DevId;
use crate::bail;
use crate::errno::Result;
use crate::kernel::runs::Runs;
use crate::kernel::scan::is_space;
use crate::kernel::{Kernel, NetNsId};

/// Longest name, bytes (`IFNAMSIZ` less the NUL).
pub const NAME_MAX: usize = 15;
/// Longest altname, bytes (`ALTIFNAMSIZ` less the NUL).
pub const ALTNAME_MAX: usize = 127;

fn is_valid(name: &[u8]) -> bool {
    let is_forbidden = |&byte: &u8| byte == b'/' || byte == b':' || is_space(byte);
    !name.is_empty() && name.len() <= NAME_MAX && name != b"." && name != b".." && !name.iter().any(is_forbidden)
}

/// What is before and behind the `%d` of a pattern; `None`: the name is no pattern.
///
/// # Errors
/// EINVAL: a `%` that is not the only `%d`.
fn split_pattern(name: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let Some(at) = name.iter().position(|&byte| byte == b'%') else { return Ok(None) };
    match name[at..].strip_prefix(b"%d") {
        Some(rest) if !rest.contains(&b'%') => Ok(Some((&name[..at], rest))),
        _ => bail!(EINVAL, "a pattern has one %d and no other %"),
    }
}

/// The numbers that a pattern may give (`max_netdevices`: the bits of a page).
const NUMBERS: i32 = 32768;

/// The names and altnames of the devices of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevNames {
    devices: BTreeMap<Vec<u8>, DevId>,
    /// By what is before and behind a number, from the digit on that follows no other to the one that no other follows:
    /// the numbers that names have there.
    numbers: BTreeMap<(Vec<u8>, Vec<u8>), Runs>,
}

impl DevNames {
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    pub fn get(&self, name: &[u8]) -> Option<DevId> {
        self.devices.get(name).copied()
    }

    pub(in crate::kernel) fn insert(&mut self, name: &[u8], id: DevId) {
        if self.devices.insert(name.to_vec(), id).is_none() {
            for (pattern, number) in numbers_in(name) {
                self.numbers.entry(pattern).or_default().insert(number);
            }
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        if self.devices.remove(name).is_none() {
            return;
        }
        for (pattern, number) in numbers_in(name) {
            if let Entry::Occupied(mut numbers) = self.numbers.entry(pattern) {
                numbers.get_mut().remove(number);
                if numbers.get().is_empty() {
                    numbers.remove();
                }
            }
        }
    }

    /// The lowest number that no name has between these two parts.
    fn first_free(&self, before: &[u8], behind: &[u8]) -> i32 {
        if before.last().is_some_and(u8::is_ascii_digit) || behind.first().is_some_and(u8::is_ascii_digit) {
            let is_free = |number: &i32| self.get(&numbered(before, *number, behind)).is_none();
            return (0..NUMBERS).find(is_free).unwrap_or(NUMBERS);
        }
        self.numbers.get(&(before.to_vec(), behind.to_vec())).map_or(0, |numbers| numbers.first_free(0))
    }
}

fn numbered(before: &[u8], number: i32, behind: &[u8]) -> Vec<u8> {
    [before, number.to_string().as_bytes(), behind].concat()
}

/// The numbers in a name that a pattern may give, each with what is before and behind it.
fn numbers_in(name: &[u8]) -> impl Iterator<Item = ((Vec<u8>, Vec<u8>), i32)> {
    let is_digit = |at: usize| name.get(at).is_some_and(u8::is_ascii_digit);
    let starts = (0..name.len()).filter(move |&at| is_digit(at) && (at == 0 || !is_digit(at - 1)));
    starts.filter_map(move |start| {
        let end = (start..).find(|&at| !is_digit(at))?;
        let number = std::str::from_utf8(&name[start..end]).ok()?.parse().ok().filter(|&number| number < NUMBERS)?;
        let is_exact = end == start + 1 || name[start] != b'0';
        is_exact.then(|| ((name[..start].to_vec(), name[end..].to_vec()), number))
    })
}

impl Kernel {
    /// The name a device would get: a free one as it is, or the lowest free number in place of `%d`.
    ///
    /// # Errors
    /// EINVAL: it is no device name. EEXIST: it is taken. ENFILE: all numbers are.
    pub fn dev_prep_valid_name(&self, net: NetNsId, name: &[u8]) -> Result<Vec<u8>> {
        if !is_valid(name) {
            bail!(EINVAL, "{} is no name for a device", String::from_utf8_lossy(name).into_owned());
        }
        if let Some((before, behind)) = split_pattern(name)? {
            let number = self.namespaces.state(net).map_or(0, |ns| ns.names.first_free(before, behind));
            if number == NUMBERS {
                bail!(ENFILE, "each number below {} is taken in {}", NUMBERS, self.ns_arg(net));
            }
            // Linux cuts what is too long, and the name may be another's then.
            let mut name = numbered(before, number, behind);
            name.truncate(NAME_MAX);
            return self.check_free_name(net, &name).map(|()| name);
        }
        self.check_free_name(net, name)?;
        Ok(name.to_vec())
    }

    fn check_free_name(&self, net: NetNsId, name: &[u8]) -> Result<()> {
        if self.find_dev(net, name).is_some() {
            bail!(EEXIST, "the name {} is taken", String::from_utf8_lossy(name).into_owned());
        }
        Ok(())
    }

    /// Renames a device; its own name is no change (`dev_change_name`).
    ///
    /// # Errors
    /// As [`Kernel::dev_prep_valid_name`].
    pub(crate) fn dev_change_name(&mut self, id: DevId, name: &[u8]) -> Result<()> {
        let dev = &self.net.devices[id];
        if dev.name == name {
            return Ok(());
        }
        let name = self.dev_prep_valid_name(dev.net, name)?;
        let dev = &mut self.net.devices[id];
        let names = &mut self.namespaces[dev.net].names;
        names.insert(&name, id);
        names.remove(&std::mem::replace(&mut dev.name, name));
        for (number, inet) in (1..).zip(&mut dev.inet) {
            inet.label = inet.label.or((number > 1).then_some(number));
        }
        self.rtmsg_ifinfo(id);
        Ok(())
    }

    /// Gives a device one more name.
    ///
    /// # Errors
    /// EEXIST: it is taken.
    pub(crate) fn add_altname(&mut self, id: DevId, name: &[u8]) -> Result<()> {
        self.check_free_name(self.net.devices[id].net, name)?;
        let dev = &mut self.net.devices[id];
        dev.altnames.push(name.to_vec());
        self.namespaces[dev.net].names.insert(name, id);
        if dev.is_up {
            self.rtmsg_ifinfo(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::script::Session;

    #[test]
    fn names_are_short_words_without_slash_and_colon() {
        assert!(is_valid(b"abcdefghijklmno") && is_valid(b"...") && is_valid(b"x%d"));
        for name in [&b""[..], b".", b"..", b"a/b", b"a:b", b"a b", b"a\n", b"abcdefghijklmnop"] {
            assert!(!is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn patterns_have_one_number() {
        assert_eq!(split_pattern(b"x%dy").unwrap(), Some((&b"x"[..], &b"y"[..])));
        assert_eq!(split_pattern(b"x").unwrap(), None);
        assert!(split_pattern(b"x%s").is_err() && split_pattern(b"%d%d").is_err() && split_pattern(b"%").is_err());
    }

    #[test]
    fn numbers_in_names_are_those_that_a_pattern_gives() {
        let found = |name: &[u8]| {
            let text = |part: Vec<u8>| String::from_utf8(part).unwrap();
            let numbers = numbers_in(name).map(|((before, behind), number)| (text(before), number, text(behind)));
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(found(b"a12b3"), [("a".to_owned(), 12, "b3".to_owned()), ("a12b".to_owned(), 3, String::new())]);
        assert_eq!(found(b"0"), [(String::new(), 0, String::new())]);
        assert_eq!(found(b"a01b99999c32768"), []);
    }

    /// Whatever names there are, a number is found that a search from 0 on finds.
    #[test]
    fn the_free_number_is_that_of_a_search() {
        let id = Kernel::boot().net.devices.iter().next().unwrap().0;
        let mut names = DevNames::default();
        for step in 0_u32..3000 {
            let number = step * 7919 % 23;
            let name = [format!("d{number}"), format!("d1{number}"), format!("{number}d"), format!("x{number}d1")];
            let name = name[step as usize % 4].as_bytes();
            if step % 3 == 0 {
                names.remove(name)
            } else {
                names.insert(name, id)
            }
            for (before, behind) in [("d", ""), ("d1", ""), ("", "d"), ("x", "d1"), ("x", "1"), ("", "")] {
                let (before, behind) = (before.as_bytes(), behind.as_bytes());
                let searched = (0..).find(|&number| names.get(&numbered(before, number, behind)).is_none());
                assert_eq!(Some(names.first_free(before, behind)), searched, "{step}: {names:?}");
            }
        }
    }

    /// Seen on Linux 6.18: the number is cut off with what is beyond 15 bytes, and then the name is another device's.
    #[test]
    fn a_number_that_does_not_fit_is_cut() {
        let (mut k, line) = (Kernel::boot(), "1 ip link add abcdefghijklm%d type dummy\n");
        let mut session = Session::default();
        session.batch(&mut k, line.repeat(100).as_bytes()).1.unwrap();
        assert_eq!(session.batch(&mut k, line.as_bytes()).1.unwrap_err().errno, Errno::EEXIST);
        session.batch(&mut k, b"1 ip link del abcdefghijklm10\n").1.unwrap();
        session.batch(&mut k, line.as_bytes()).1.unwrap();
        assert!(k.find_dev(k.init_ns(), b"abcdefghijklm10").is_some());
    }
}
