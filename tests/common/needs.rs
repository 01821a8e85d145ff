//! What a test needs of the machine it runs on.

use std::process::Command;

use nix::unistd::geteuid;
use nslab::fuse::open_device;

/// Whether the machine has all of `needs`: `fuse`, to mount a lab; `root`, to be it; or programs, by their names. Says
/// aloud what is missing.
pub fn has(needs: &[&str]) -> bool {
    let Some(lack) = needs.iter().find_map(|need| lack(need)) else { return true };
    skipped(&lack);
    false
}

/// Says why a test does nothing.
pub fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}

fn lack(need: &str) -> Option<String> {
    match need {
        "fuse" => open_device().err().map(|error| error.to_string()),
        "root" => (!geteuid().is_root()).then(|| "this is not root".to_owned()),
        program => Command::new(program).arg("--version").output().err().map(|error| format!("{program}: {error}")),
    }
}
