//! A walk through what namespaces hold, as the words of a shell: by root on the real kernel, and by nobody in a lab.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::cgroup::hierarchy;
use super::has;
use super::native::Program;

/// The text with numbers of processes by the order in which they come.
fn renamed(text: &[u8]) -> String {
    let mut known = BTreeMap::new();
    let text = String::from_utf8_lossy(text).into_owned();
    let mut pieces = text.split("pid:");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| {
        let length = piece.bytes().take_while(u8::is_ascii_digit).count();
        let next = known.len() + 1;
        let number = known.entry(piece[..length].to_owned()).or_insert(next);
        format!("{all}pid:{number}{}", &piece[length..])
    })
}

#[test]
fn a_tour_of_namespaces_is_the_same_for_root_on_linux_and_for_nobody_in_a_lab() {
    if !has(&["root", "fuse", "fusermount3", "ipcmk", "setpriv"]) {
        return;
    }
    let (Some(queue), Some(hierarchy)) = (Program::new("queue.c"), hierarchy()) else { return };
    let dir = queue.path().parent().unwrap().to_owned();
    let (nslab, script) = (dir.join("nslab"), dir.join("tour.sh"));
    fs::copy(env!("CARGO_BIN_EXE_nslab"), &nslab).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exec/tour.sh"), &script).unwrap();
    for path in [&dir, &nslab, &script] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let queue = queue.path();
    let real = Command::new("unshare").args(["-i", "bash"]).arg(&script).arg(&queue).arg(&hierarchy).output().unwrap();
    // Wherever /dev/fuse is for root alone: nobody gets one of his own.
    let enter = "mknod -m 666 $TMPDIR/fuse c 10 229 && mount --bind $TMPDIR/fuse /dev/fuse && exec setpriv --reuid 65534 \
                 --regid 65534 --clear-groups timeout 600 \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", enter, "sh"]).arg(&nslab).args(["exec", "--", "unshare", "-i", "bash"]);
    command.arg(&script).arg(&queue).arg("/sys/fs/cgroup").env("TMPDIR", &dir).current_dir("/");
    let lab = command.output().unwrap();
    let (lab_says, linux_says) = (renamed(&lab.stdout), renamed(&real.stdout));
    assert_eq!(lab_says, linux_says, "{}", String::from_utf8_lossy(&lab.stderr));
    assert!(linux_says.ends_with("\n1\n") && linux_says.contains("\n240 hours\n"), "{linux_says}");
}
