//! What manual pages and books show, typed as it is printed there.

use super::{bash, has, says};

/// namespaces(7): the links of a process.
#[test]
fn the_links_of_a_process() {
    let script = r#"ls -l /proc/$$/ns | awk '{print $1, $9, $10, $11}'"#;
    let expected = "total \x20\x20
lrwxrwxrwx cgroup -> cgroup:[4026531835]
lrwxrwxrwx ipc -> ipc:[4026531839]
lrwxrwxrwx mnt -> mnt:[4026531832]
lrwxrwxrwx net -> net:[4026531833]
lrwxrwxrwx pid -> pid:[4026531836]
lrwxrwxrwx pid_for_children -> pid:[4026531836]
lrwxrwxrwx time -> time:[4026531834]
lrwxrwxrwx time_for_children -> time:[4026531834]
lrwxrwxrwx user -> user:[4026531837]
lrwxrwxrwx uts -> uts:[4026531838]
";
    says(script, expected);
}

/// user_namespaces(7): a shell that is root in a user namespace of its own, the first of a pid namespace, with a proc of its own.
#[test]
fn a_shell_in_new_user_pid_and_mount_namespaces() {
    let script = r#"
id -u; id -g
unshare -U -p -m --fork --map-root-user bash -c '
echo $$
mount -t proc proc /proc
cat /proc/$$/status | grep -E "^[UG]id"
ps ax -o pid,comm
cat /proc/$$/uid_map
grep NSpid /proc/$$/status'"#;
    if !has(&["ps"]) {
        return;
    }
    let expected = "0
0
1
Uid:\t0\t0\t0\t0
Gid:\t0\t0\t0\t0
    PID COMMAND
      1 bash
      5 ps
         0          0          1
NSpid:\t1
";
    says(script, expected);
}

/// user_namespaces(7): without a map nobody has an id, and the creator's first namespace lets its owner change its name.
#[test]
fn ids_without_a_map_are_the_overflow_ids() {
    says("unshare -U sh -c 'id -u; id -g'", "65534\n65534\n");
    says("unshare -Ur -u sh -c 'hostname bizarro; uname -n'; uname -n", "bizarro\nnslab\n");
    let refused = "unshare -Ur sh -c 'hostname bizarro' 2>&1; echo $?";
    says(refused, "hostname: you must be root to change the host name\n1\n");
}

/// pid_namespaces(7): numbers begin at 1, the parent sees others, and orphans go to the first process.
#[test]
fn a_pid_namespace_has_its_own_numbers_and_its_own_init() {
    if !has(&["python3"]) {
        return;
    }
    let script = r#"
unshare -p --fork --mount-proc python3 -c '
import os
print(os.getpid(), os.getppid())
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(r, 1)
        os._exit(os.getppid())
    os._exit(0)
os.wait()
os.write(w, b"x")
print(os.wait()[1] >> 8)
'"#;
    says(script, "1 0\n1\n");
}

/// setns(2), nsenter(1): into the namespaces of another process.
#[test]
fn nsenter_enters_all_namespaces_of_a_process() {
    if !has(&["pgrep"]) {
        return;
    }
    let script = r#"
unshare -u -p --fork bash -c 'hostname inside; echo ready; exec sleep 60' | {
    read ready
    target=$(pgrep -x sleep)
    nsenter -t $target -u -p sh -c 'hostname; readlink /proc/self/ns/uts' > /dev/shm/nslab-$$ 
    readlink /proc/$target/ns/uts >> /dev/shm/nslab-$$
    kill -KILL $target
    uniq -c < /dev/shm/nslab-$$ | awk '{print $1}' | tr '\n' ' '
    rm /dev/shm/nslab-$$
}"#;
    if let Some(text) = bash(script) {
        assert_eq!(text, "1 2 ");
    }
}
