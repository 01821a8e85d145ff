//! Running commands in a lab of their own.

use std::path::Path;
use std::process::Command;

use crate::needs::has;

/// What `nslab shell [--boot FILE] -c COMMAND` prints, `nslab` being on the path; `None` on a machine without FUSE.
pub fn in_a_lab(boot: Option<&Path>, command: &str) -> Option<String> {
    if !has(&["fuse"]) {
        return None;
    }
    let nslab = Path::new(env!("CARGO_BIN_EXE_nslab"));
    let folder = nslab.parent().expect("a file is in a folder").display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new(nslab);
    shell.args(["shell", "-c", command]);
    if let Some(file) = boot {
        shell.arg("--boot").arg(file);
    }
    shell.env("PATH", path).env("SHELL", "/bin/bash").env("LC_ALL", "C");
    let output = shell.output().unwrap_or_else(|error| panic!("{}: {error}", nslab.display()));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
