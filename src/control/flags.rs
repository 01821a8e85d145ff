//! Flags of clone, unshare and setns: the namespace words come from [`NS_TABLE`], the others from [`CloneFlags`].

use bitflags::Flags;

use super::word::{number, unexpected};
use crate::errno::Result;
use crate::kernel::ns::NS_TABLE;
use crate::syscall::CloneFlags;

/// Flags joined by `,` or `|`: `ipc`, `newipc`, `CLONE_NEWIPC`, `vm`, `CLONE_VM` or numbers; names in any case.
///
/// # Errors
/// EINVAL: a word that is none of these.
pub fn parse(word: &str) -> Result<u64> {
    word.split([',', '|']).filter(|part| !part.is_empty()).map(flag).try_fold(0, |bits, flag| Ok(bits | flag?))
}

fn flag(word: &str) -> Result<u64> {
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return number(word, "a number of FLAGS");
    }
    let name = word.to_ascii_lowercase();
    let name = name.strip_prefix("clone_").unwrap_or(&name);
    namespace_flag(name).or_else(|| other_flag(name)).ok_or_else(|| unexpected("a word of FLAGS", word))
}

/// A kind's name or the rest of its `CLONE_NEW…` (`mnt`, `ns`), with or without `new` in front.
fn namespace_flag(name: &str) -> Option<u64> {
    let kind = name.strip_prefix("new").unwrap_or(name);
    NS_TABLE
        .iter()
        .find(|ops| {
            let constant = ops.clone_flag_name.strip_prefix("CLONE_NEW").unwrap_or(ops.clone_flag_name);
            ops.name == kind || constant.eq_ignore_ascii_case(kind)
        })
        .map(|ops| ops.clone_flag)
}

fn other_flag(name: &str) -> Option<u64> {
    CloneFlags::FLAGS
        .iter()
        .find(|flag| flag.is_named() && flag.name().eq_ignore_ascii_case(name))
        .map(|f| f.value().bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_words() {
        for ops in NS_TABLE {
            for word in [ops.name, &format!("new{}", ops.name), ops.clone_flag_name] {
                assert_eq!(parse(word).unwrap(), ops.clone_flag, "{word}");
            }
        }
        assert_eq!(parse("newns").unwrap(), parse("mnt").unwrap());
        assert_eq!(parse("ns").unwrap(), 0x20000);
    }

    #[test]
    fn other_flags_have_their_names_in_any_case() {
        assert_eq!(parse("CLONE_VM,fs|Files").unwrap(), 0x700);
        assert_eq!(parse("CLONE_CLEAR_SIGHAND").unwrap(), 1 << 32);
        assert_eq!(parse("into_cgroup").unwrap(), 1 << 33);
        assert_eq!(parse("CLONE_VFORK|io").unwrap(), 0x8000_4000);
    }

    #[test]
    fn numbers_may_be_mixed_with_names() {
        assert_eq!(parse("ipc|0x1000").unwrap(), 0x0800_1000);
        assert_eq!(parse("0").unwrap(), 0);
        assert_eq!(parse("0x10000000000").unwrap(), 1 << 40);
    }

    #[test]
    fn unknown_words_are_refused() {
        assert_eq!(parse("newfoo").unwrap_err().to_string(), "EINVAL: a word of FLAGS expected, not newfoo");
        assert!(parse("0xg").is_err() && parse("-1").is_err() && parse("clone_").is_err());
    }
}
