//! Files that programs make, remove and give away in directories of the lab, and what they see of each other's.

use std::fs;

use super::{bash, exec_with, has, python, says};

/// The name of the errno that each of these python expressions fails with, or `0`.
fn errnos(expressions: &[&str]) -> Option<Vec<String>> {
    let mut script =
        "import os,errno\ndef t(f):\n try:\n  f(); print(0)\n except OSError as e: print(errno.errorcode[e.errno])\n"
            .to_owned();
    expressions.iter().for_each(|expression| script.push_str(&format!("t(lambda: {expression})\n")));
    python(&script).map(|text| text.lines().map(str::to_owned).collect())
}

/// Each fails as it does on Linux.
#[test]
fn files_of_each_directory_of_the_lab_are_made_and_removed_as_on_linux() {
    let cases = [
        ("os.close(os.open('/dev/mqueue/a', os.O_CREAT|os.O_EXCL|os.O_RDWR, 0o600))", "0"),
        ("os.open('/dev/mqueue/a', os.O_CREAT|os.O_EXCL)", "EEXIST"),
        ("os.utime('/dev/mqueue/a')", "0"),
        ("os.chown('/dev/mqueue/a', 7, 8)", "0"),
        ("os.mkdir('/dev/mqueue/d')", "EPERM"),
        ("os.symlink('x', '/dev/mqueue/l')", "EPERM"),
        ("os.unlink('/dev/mqueue/a')", "0"),
        ("os.unlink('/dev/mqueue/a')", "ENOENT"),
        ("os.stat('/dev/mqueue/..')", "0"),
        ("os.mkdir('/sys/fs/cgroup/g')", "0"),
        ("os.chown('/sys/fs/cgroup/g', 7, 8)", "0"),
        ("os.chown('/sys/fs/cgroup/g/cgroup.procs', 7, -1)", "0"),
        ("os.open('/sys/fs/cgroup/g/x', os.O_CREAT|os.O_WRONLY)", "EACCES"),
        ("os.close(os.open('/sys/fs/cgroup/g/cgroup.procs', os.O_CREAT|os.O_WRONLY|os.O_TRUNC))", "0"),
        ("os.symlink('x', '/sys/fs/cgroup/l')", "EPERM"),
        ("os.unlink('/sys/fs/cgroup/g/cgroup.procs')", "EPERM"),
        ("os.rename('/sys/fs/cgroup/g', '/sys/fs/cgroup/h')", "EPERM"),
        ("os.rmdir('/sys/fs/cgroup/g')", "0"),
        ("os.open('/proc/x', os.O_CREAT|os.O_WRONLY)", "ENOENT"),
        ("os.symlink('x', '/proc/l')", "ENOENT"),
        ("os.unlink('/proc/1/status')", "EPERM"),
        ("os.unlink('/proc/no')", "ENOENT"),
        ("os.mkdir('/run/netns')", "0"),
        ("os.close(os.open('/run/netns/a', os.O_CREAT))", "0"),
        ("os.rename('/run/netns/a', '/run/netns/b')", "0"),
        ("(os.chdir('/run/netns'), os.rename('b', 'c'), os.unlink('c'))", "0"),
        ("os.unlink('/run/netns/b')", "ENOENT"),
    ];
    let Some(found) = errnos(&cases.map(|(expression, _)| expression)) else { return };
    for ((expression, expected), found) in cases.iter().zip(&found) {
        assert_eq!(found, expected, "{expression}");
    }
    assert_eq!(found.len(), cases.len());
}

#[test]
fn a_queue_that_is_made_as_a_file_is_one() {
    says("touch /dev/mqueue/zz; ls /dev/mqueue; cd /dev/mqueue; rm zz; ls", "zz\n");
    says("mkdir /sys/fs/cgroup/g && chown 7:8 /sys/fs/cgroup/g; stat -c %u:%g /sys/fs/cgroup/g", "7:8\n");
}

#[test]
fn owners_and_names_are_in_the_journal() {
    if !has(&["fuse"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal.lab");
    let script = "mkdir /run/netns; touch /run/netns/a; mv /run/netns/a /run/netns/b; chown 7 /run/netns/b";
    let output = exec_with(&["--journal", journal.to_str().unwrap()], &["sh", "-c", script]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(journal).unwrap();
    assert!(text.contains("rename /run/netns/a /run/netns/b") && text.contains("chown 7:-1 /run/netns/b"), "{text}");
}

#[test]
fn what_nobody_may_execute_is_told_so() {
    says("test -x /proc/version; echo $?; test -x /proc; echo $?; test -x /proc/self/fd; echo $?", "1\n0\n0\n");
}

#[test]
fn a_program_looks_into_the_directory_of_another() {
    let script =
        "cd /usr; X=yes sleep 1000 9< /etc/passwd & until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; cd /;
        readlink /proc/$!/cwd /proc/$!/root /proc/$!/fd/9; basename $(readlink /proc/$!/exe)
        tr '\\0' '\\n' < /proc/$!/environ | grep ^X=; kill $!";
    says(script, "/usr\n/\n/etc/passwd\nsleep\nX=yes\n");
    // Not into that of another user.
    let script = "sleep 1000 & readlink /proc/$!/cwd > /dev/null; echo $?
        setpriv --reuid 7 --clear-groups readlink /proc/$!/cwd; echo $?; kill $!";
    if let Some(text) = bash(script) {
        assert_eq!(text, "0\n1\n");
    }
}
