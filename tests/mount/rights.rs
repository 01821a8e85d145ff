//! Who may mount a lab, and who may look at it.

use std::fs;
use std::process::{Command, Output};

use nslab::errno::Errno;

use super::command::{nslab, temporary};
use super::needs::{has, skipped};
use super::unprivileged;

#[test]
fn a_read_only_lab_can_be_looked_at() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    // Others than root may let others look only where fuse.conf says so.
    let options = if nix::unistd::geteuid().is_root() { "ro,allow_other,nofail" } else { "ro,nofail" };
    assert!(nslab(&["mount", "-o", options, &path]).status.success());
    let error = fs::write(dir.path().join("ctl/1/clone"), "\n").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EROFS as i32));
    assert_eq!(fs::read_to_string(dir.path().join("proc/1/comm")).unwrap(), "init\n");
    assert!(nslab(&["umount", &path]).status.success());
}

#[test]
fn others_may_look_only_when_allowed_and_never_write() {
    if !has(&["fuse", "root"]) {
        return;
    }
    for (options, may_look) in [("rw", false), ("allow_other", true)] {
        let (dir, path) = temporary();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(nslab(&["mount", "-o", options, &path]).status.success());
        let as_nobody = |script: &str| {
            let mut shell = Command::new("timeout");
            let shell = unprivileged::nobody(shell.args(["30", "sh", "-c", script]).current_dir("/"));
            shell.output().unwrap().status.success()
        };
        assert_eq!(as_nobody(&format!("cat {path}/proc/1/comm")), may_look);
        assert!(!as_nobody(&format!("echo newnet > {path}/ctl/1/clone")));
        assert!(!dir.path().join("proc/2").exists());
        assert!(nslab(&["umount", &path]).status.success());
    }
}

#[test]
fn a_lab_is_mounted_in_a_user_namespace_of_ones_own() {
    let own =
        |command: &[&str]| Command::new("timeout").args(["30", "unshare", "-Urm"]).args(command).output().unwrap();
    if !has(&["fuse"]) || !own(&["true"]).status.success() {
        return skipped("no user namespaces here");
    }
    let output = own(&[env!("CARGO_BIN_EXE_nslab"), "shell", "-c", "echo newnet > ctl/1/clone; cat ctl/1/clone"]);
    assert_eq!(output.stdout, b"3\n", "{output:?}");
}

/// Runs a script in a mount namespace of its own, `$nslab` and an empty directory `$dir` at hand; `None` where that is
/// not allowed.
fn privately(script: &str) -> Option<Output> {
    let (_dir, path) = temporary();
    let own = |script: &str| {
        let mut command = Command::new("timeout");
        command.args(["60", "unshare", "-m", "bash", "-c", script]);
        command.env("nslab", env!("CARGO_BIN_EXE_nslab")).env("dir", &path).output().unwrap()
    };
    if !has(&["fuse"]) || !own("true").status.success() {
        skipped("no private mount namespace here");
        return None;
    }
    Some(own(script))
}

/// The device is a copy of the machine's, which everybody may open, as distributions have it.
#[test]
fn a_user_without_privileges_mounts_by_fusermount3() {
    if !has(&["root", "fusermount3", "setpriv"]) {
        return;
    }
    let script = r#"cp $nslab $dir/nslab && mkdir $dir/lab && chown 65534:65534 $dir $dir/lab && chmod 755 $dir/nslab || exit
        mount -t tmpfs dev /dev && mknod -m 666 /dev/fuse c 10 229 && mknod -m 666 /dev/null c 1 3 || exit
        setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '
            cd $dir && ./nslab mount lab && readlink lab/proc/1/ns/net && echo net > lab/ctl/1/clone &&
            cat lab/ctl/1/clone && stat -f -c %T lab && ./nslab umount lab && ls lab'"#;
    let Some(output) = privately(script) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "net:[4026531833]\n2\nfuseblk\n", "{output:?}");
}

#[test]
fn programs_that_read_proc_take_the_lab_for_the_machine() {
    if !has(&["lsns", "ps"]) {
        return;
    }
    let script = r#"printf 'a = 1 clone newnet newpid\n$a clone\n$a exec web -x\n' > $dir.lab
        $nslab mount --boot $dir.lab $dir && rm $dir.lab && mount --bind $dir/proc /proc
        lsns -n -o NS,TYPE,NPROCS,PID,COMMAND | sed 's/  */ /g; s/^ //' | grep -E ' (net|pid) '
        ps -e -o pid=,netns=,args= | sed 's/  */ /g; s/^ //'
        umount --lazy /proc; $nslab umount $dir"#;
    let Some(output) = privately(script) else { return };
    let expected = "4026531833 net 1 1 init\n4026531836 pid 1 1 init\n4026532177 pid 2 2 web -x\n\
        4026532178 net 2 2 web -x\n1 4026531833 init\n2 4026532178 web -x\n3 4026532178 init\n";
    let text = String::from_utf8_lossy(&output.stdout).replace(['├', '└', '─'], "");
    assert_eq!(text, expected, "{output:?}");
}

#[test]
fn a_lab_may_cover_proc() {
    let script = "$nslab mount -f -o nonempty /proc > $dir/out & until grep -q mounted $dir/out; do :; done
        [ -d /proc/ctl/1 ] && kill $! && wait $! && [ -d /proc/self ] && rm $dir/out && echo fine";
    let Some(output) = privately(script) else { return };
    assert_eq!(output.stdout, b"fine\n", "{output:?}");
}

/// As in a container that Docker makes without being asked for more.
#[test]
fn root_who_may_not_mount_is_told_what_is_missing() {
    if !has(&["root", "setpriv"]) {
        return;
    }
    let script =
        "setpriv --bounding-set -sys_admin --inh-caps -sys_admin sh -c '$nslab mount $dir; $nslab doctor' 2>&1";
    let Some(output) = privately(script) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    let remedy = "CAP_SYS_ADMIN is missing: start the container with `--cap-add SYS_ADMIN --device /dev/fuse`, \
                  or put `unshare -Urm` before the command\n";
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    assert_eq!(lines[0], format!("nslab: {remedy}"), "{text}");
    assert!(lines.contains(&format!("missing  privilege: {remedy}").as_str()), "{text}");
    assert!(lines.contains(&format!("missing  trial: {remedy}").as_str()), "{text}");
}
