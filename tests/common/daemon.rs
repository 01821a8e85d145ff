//! A lab that a process of its own serves.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nslab::fuse::is_lab;
use tempfile::TempDir;

/// A lab in a process of its own: clients keep locks of their address space while they wait, which its threads need. Beside
/// it, as `../procfs`, is its proc.
#[derive(Debug)]
pub struct Daemon {
    pub lab: PathBuf,
    procfs: PathBuf,
    _dir: TempDir,
    pub process: Child,
}

impl Daemon {
    /// Starts one that says to `log` what it has to say.
    ///
    /// # Errors
    /// Nothing can be mounted here.
    pub fn start(log: Stdio) -> io::Result<Daemon> {
        let dir = tempfile::Builder::new().prefix("nslab-hostile-").tempdir()?;
        let [lab, procfs] = ["lab", "procfs"].map(|name| dir.path().join(name));
        [&lab, &procfs].into_iter().try_for_each(fs::create_dir)?;
        // Other users reach the lab, whatever the umask.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        command.args(["mount", "--foreground", "-o", "allow_other"]).arg(&lab).arg("--proc").arg(&procfs);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        while !is_lab(&procfs) || !lab.join("ctl").exists() {
            if let Some(status) = process.try_wait()? {
                return Err(io::Error::other(format!("nslab mount: {status}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Daemon { lab, procfs, _dir: dir, process })
    }

    /// Takes the lab off and ends the connections: whoever waits for it gets an error.
    pub fn abort(&self) {
        let flags = MntFlags::MNT_FORCE | MntFlags::MNT_DETACH;
        let _ = [&self.lab, &self.procfs].map(|place| umount2(place, flags));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.abort();
        let _ = self.process.wait();
    }
}
