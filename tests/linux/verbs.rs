//! Every verb of the control language is compared with the machine, or stands here with the reason.

use std::collections::BTreeSet;

use nslab::control::VERBS;

/// Verbs that are never compared.
pub const NOT_COMPARED: &[(&str, &str)] = &[
    ("ptrace", "a tracer would have to answer for every signal of its tracee"),
    ("clock", "the machine's clocks are everybody's"),
    ("attach", "it names a process of a host that has the lab mounted"),
    ("program", "it tells of a process that is a task of the lab"),
];

/// Of what was compared, the verbs: all but those that are not to be.
///
/// # Errors
/// The verbs that were compared against their reason, and those that were not for none.
pub fn check(compared: &BTreeSet<&'static str>) -> Result<(), String> {
    let reason = |name: &str| NOT_COMPARED.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason);
    let wrong = |name: &&'static str| compared.contains(name) == reason(name).is_some();
    let wrong: Vec<&str> = VERBS.iter().map(|verb| verb.name).filter(wrong).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "linux: compared, though there is a reason not to, or not compared for no reason: {}",
        wrong.join(", ")
    ))
}
