//! lsns, findmnt, ip netns, pgrep, ipcs: what is in which namespace.

use super::{PINS, lab, lab_of, output, run, without_branches};

#[test]
fn lsns_lists_each_namespace_with_its_first_process() {
    let Some(lab) = lab(&["lsns"]) else { return };
    let listed = output(&lab, "lsns -n -r -o NS,TYPE,NPROCS,PID,UID,COMMAND");
    assert_eq!(
        without_branches(&listed),
        "4026531832 mnt 2 1 0 init\n\
         4026531833 net 2 1 0 init\n\
         4026531834 time 3 1 0 init\n\
         4026531835 cgroup 3 1 0 init\n\
         4026531836 pid 3 1 0 init\n\
         4026531837 user 3 1 0 init\n\
         4026531838 uts 5 1 0 init\n\
         4026531839 ipc 3 1 0 init\n\
         4026532246 user 3 5 100000 boxinit\n\
         4026532247 mnt 2 5 100000 boxinit\n\
         4026532248 ipc 2 5 100000 boxinit\n\
         4026532249 pid 3 5 100000 boxinit\n\
         4026532250 cgroup 2 5 100000 boxinit\n\
         4026532251 net 2 5 100000 boxinit\n\
         4026532320 time 2 5 100000 boxinit\n\
         4026532321 net 1 9 0 a)\\x20b\\x20x\\x20y\n\
         4026532390 mnt 1 9 0 a)\\x20b\\x20x\\x20y\n"
    );
    assert_eq!(output(&lab, "lsns").lines().count(), 1 + 17);
    let of_box = output(&lab, "lsns -n -r -p 5 -o NS");
    assert_eq!(
        of_box.lines().collect::<Vec<_>>(),
        [
            "4026531838",
            "4026532246",
            "4026532247",
            "4026532248",
            "4026532249",
            "4026532250",
            "4026532251",
            "4026532320"
        ]
    );
}

/// This listing also asks the host for the numbers that net namespaces have for each other; it has none for ours.
#[test]
fn lsns_lists_the_namespaces_of_one_type() {
    let Some(lab) = lab(&["lsns"]) else { return };
    assert_eq!(
        output(&lab, "lsns -t net -n -r -o NS,TYPE,NPROCS,PID,NETNSID,NSFS"),
        "4026531833 net 2 1\n4026532251 net 2 5 /run/netns/box\n4026532321 net 1 9 /run/netns/blue\n"
    );
}

#[test]
fn lsns_shows_namespaces_that_live_by_a_file() {
    let Some(lab) = lab_of(PINS, &["lsns"]) else { return };
    let listed = output(&lab, "lsns -t net -n -r -o NS,NPROCS,PID,NSFS");
    assert_eq!(listed, "4026531833 2 1\n4026532178 1 6 /run/netns/blue\n");
    assert_eq!(output(&lab, "lsns -t mnt -n -r -o NS,NPROCS,PID"), "4026531832 2 1\n4026532177 1 4\n");
}

#[test]
fn findmnt_shows_the_mounts_of_a_process() {
    let Some(lab) = lab(&["findmnt"]) else { return };
    let columns = "-n -r -o TARGET,SOURCE,FSTYPE,OPTIONS,PROPAGATION";
    let of_box = "/ image tmpfs rw,relatime,mode=755,uid=100000,gid=100000 private\n\
                  /proc proc proc rw,nosuid,nodev,noexec,relatime private\n\
                  /tmp scratch tmpfs rw,nosuid,nodev,relatime,uid=100000,gid=100000 private\n";
    assert_eq!(output(&lab, &format!("findmnt -N 5 {columns}")), of_box);
    assert_eq!(output(&lab, &format!("findmnt -N 6 {columns}")), of_box);
    let of_daemon = output(&lab, &format!("findmnt -N 2 {columns}"));
    assert!(of_daemon.starts_with("/ /dev/vda ext4 rw,relatime shared\n"), "{of_daemon}");
    assert!(of_daemon.contains("/run/netns/box nsfs[net:[4026532251]] nsfs rw shared\n"), "{of_daemon}");
    assert_eq!(of_daemon, output(&lab, &format!("findmnt -N 4 {columns}")), "a thread has the mounts of its process");
    let in_blue = output(&lab, &format!("findmnt -N 9 {columns}"));
    assert!(in_blue.starts_with("/ /dev/vda ext4 rw,relatime private,slave\n"), "{in_blue}");
    assert!(in_blue.ends_with("/sys blue sysfs rw,relatime private\n"), "{in_blue}");
    let zombie = run(&lab, "findmnt -N 7");
    assert_eq!((zombie.status.code(), zombie.stdout.as_slice()), (Some(1), b"".as_slice()), "{zombie:?}");
}

#[test]
fn findmnt_shows_mounts_that_keep_namespaces() {
    let Some(lab) = lab_of(PINS, &["findmnt"]) else { return };
    let host = output(&lab, "findmnt -N 1 -n -r -o TARGET,SOURCE,FSTYPE,OPTIONS,PROPAGATION");
    let pins = "/run/netns tmpfs[/netns] tmpfs rw,relatime shared\n\
                /run/netns/blue nsfs[net:[4026532178]] nsfs rw shared\n";
    assert!(host.starts_with("/ /dev/vda ext4 rw,relatime shared\n"), "{host}");
    assert!(host.contains(pins), "{host}");
    assert!(host.contains("/run/snapd/ns/hello.mnt nsfs[mnt:[4026532177]] nsfs rw private\n"), "{host}");
    let snap = output(&lab, "findmnt -N 4 -n -r -o TARGET,SOURCE,FSTYPE,PROPAGATION");
    assert!(snap.starts_with("/host /dev/vda ext4 private,slave\n"), "{snap}");
    assert!(snap.contains("\n/ snap tmpfs private\n/proc proc proc private,slave\n"), "{snap}");
    assert!(snap.contains("/host/run/netns/blue nsfs[net:[4026532178]] nsfs private,slave\n"), "{snap}");
    // The directory is a peer of the mount it was bound from, which has the file too, covered.
    let files = "/run/snapd/ns/hello.mnt\n/run/netns/blue\n/run/netns/blue\n";
    assert_eq!(output(&lab, "findmnt -n -r -t nsfs -o TARGET"), files);
}

#[test]
fn ip_netns_knows_the_networks_by_their_files() {
    let Some(lab) = lab(&["ip"]) else { return };
    let named = [(1, ""), (2, ""), (4, ""), (5, "box"), (6, "box"), (9, "blue")];
    for (pid, name) in named {
        assert_eq!(output(&lab, &format!("ip netns identify {pid}")), format!("{name}\n"), "{pid}");
    }
    assert_eq!(output(&lab, "ip netns pids box"), "5\n6\n");
    assert_eq!(output(&lab, "ip netns pids blue"), "9\n");
    // A zombie has no network, on Linux too.
    let zombie = run(&lab, "ip netns identify 7");
    let message = String::from_utf8_lossy(&zombie.stderr);
    assert_eq!(message, "Cannot open network namespace: No such file or directory\n");
    // Of the numbers networks have for each other it asks the host, which has none for ours, and says so.
    let listed = run(&lab, "ip netns list");
    assert_eq!((listed.status.code(), String::from_utf8_lossy(&listed.stdout).as_ref()), (Some(0), "blue\nbox\n"));
}

#[test]
fn ip_netns_knows_the_networks_of_snap_lab() {
    let Some(lab) = lab_of(PINS, &["ip"]) else { return };
    assert_eq!(output(&lab, "ip netns identify 6"), "blue\n");
    assert_eq!(output(&lab, "ip netns pids blue"), "6\n");
}

#[test]
fn pgrep_selects_by_namespace() {
    let Some(lab) = lab(&["pgrep"]) else { return };
    assert_eq!(output(&lab, "pgrep -l --ns 5 --nslist pid ."), "5 boxinit\n6 sh\n7 job\n");
    assert_eq!(output(&lab, "pgrep -l --ns 5 --nslist net ."), "5 boxinit\n6 sh\n");
    assert_eq!(output(&lab, "pgrep -l --ns 2 ."), "1 init\n2 web server\n");
}

#[test]
fn ipcs_lists_the_objects_of_the_viewers_namespace() {
    let Some(lab) = lab(&["ipcs"]) else { return };
    assert_eq!(
        output(&lab, "ipcs").lines().filter(|line| line.starts_with("0x")).collect::<Vec<_>>(),
        ["0x00001234 0 root 640 5 1", "0x00000099 0 root 644 8192 1", "0x00000077 0 root 600 3"]
    );
    let limits = output(&lab, "ipcs -l");
    for line in [
        "max queues system wide = 32000",
        "max size of message (bytes) = 8192",
        "default max size of queue (bytes) = 16384",
        "max number of segments = 4096",
        "max number of arrays = 32000",
        "max semaphores system wide = 1024000000",
        "max ops per semop call = 500",
    ] {
        assert!(limits.lines().any(|shown| shown == line), "{line}: {limits}");
    }
    assert!(output(&lab, "ipcs -m -p").contains("\n0 root 1 1\n"));
}
