//! Calls that the real kernel answers, as far as their arguments say whether the lab has to do with them.

use super::{Asked, Decoded};
use crate::abi::{Rewrite, Translate};
use crate::bail;
use crate::errno::Result;

/// # Errors
/// ENOSYS: a futex that knows threads by number.
pub(in crate::abi) fn translated(a: &Asked<'_>, translate: Translate) -> Result<Decoded> {
    let is_concerned = translate.condition().is_none_or(|condition| condition.holds(&a.args));
    match translate {
        Translate::Futex if is_concerned => {
            bail!(ENOSYS, "the real kernel would compare the host's numbers of threads")
        }
        _ if is_concerned || translate.clock().is_some_and(|condition| condition.holds(&a.args)) => {
            Ok(Decoded::Translate(translate))
        }
        _ => Ok(Decoded::Pass),
    }
}

pub(in crate::abi) fn rewritten(a: &Asked<'_>, rewrite: Rewrite) -> Decoded {
    let is_concerned = rewrite.condition().is_none_or(|condition| condition.holds(&a.args));
    if is_concerned { Decoded::Rewrite(rewrite) } else { Decoded::Pass }
}
