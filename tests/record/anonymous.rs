//! Recordings with stand-ins: nothing of what somebody has chosen is left, and all relations are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nslab::kernel::Kernel;
use nslab::record::files::Bare;
use nslab::record::lab::LabFacts;
use nslab::record::topology::{Own, Task};
use nslab::record::{Topology, Wanted, anonymize, read, write};
use nslab::script::run::run_boot_file;

use super::recording::boot;

/// A machine on which nearly everything has a name of its own.
const MACHINE: &str = r#"
1 sethostname secrethost
1 setdomainname secretdomain.example
mkdir cgroup/secretteam.slice
mkdir cgroup/secretteam.slice/secretapp.service
A = 1 clone mnt,uts,net,ipc
$A exec /opt/secretdir/secretprogram --password=secretword
$A sethostname secrethost
$A mount tmpfs secretdisk /tmp -o size=64k
$A mkdir /tmp/secretmount
$A mount --bind /tmp /tmp/secretmount
$A mkdir /srv
$A mkdir /srv/secretjail
$A chdir /srv/secretjail
write cgroup/secretteam.slice/secretapp.service/cgroup.procs $A
B = 1 clone newnet
$B prctl name secretthread
1 ip link add secretlink address 02:5e:c2:e7:00:01 netns $A type veth peer name secretpeer netns $B
$A ip link property add dev secretlink altname secretalt
$A ip link set secretlink up
$A ip addr add 198.51.100.7/24 dev secretlink
$B ip addr add 198.51.100.8/24 dev secretpeer
$B ip addr add 2001:db8::8/64 dev secretpeer
$A bind tcp 198.51.100.7:80
$A bind unix @secretsocket
$A mq_open secretqueue create rdwr 0600
1 prctl name secretinit
$A mkdir /mnt
$A mount fuse.secretfs secretfs /mnt -o rw dev=0:77 super=rw,user_id=0,username=secretuser,domain=SECRETDOMAIN
1 mount cgroup cgroup /tmp -o rw dev=0:78 super=rw,name=secrettree
$B ip addr add 45.67.89.8/8 dev secretpeer
$A ip addr add 45.67.89.9/8 dev secretlink
kthreadd = 1 clone kthread
1 clone kthread comm=kworker/R-wg-crypt-secretwg idle
1 clone kthread comm=kworker/R-secretpeer idle
"#;

fn machine() -> Kernel {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("machine.lab");
    std::fs::write(&file, MACHINE).unwrap();
    let mut k = Kernel::boot();
    run_boot_file(&mut k, Path::new(&file)).unwrap_or_else(|error| panic!("{error}"));
    k
}

fn seen(k: &Kernel) -> Topology {
    let files = Bare(k);
    read::record(&files, &LabFacts(&files), &Wanted::default(), |_| {}).unwrap()
}

/// What is the same whatever the names are.
fn relations(topology: &Topology) -> impl PartialEq + std::fmt::Debug + use<> {
    let task = |task: &Task| {
        let caps = (task.caps.effective, task.caps.permitted);
        (task.ppid, task.numbers.clone(), task.namespaces.clone(), task.uids, caps, task.start, task.open.len())
    };
    let tasks: BTreeMap<_, _> = topology.tasks.iter().map(|(tid, seen)| (*tid, task(seen))).collect();
    let own = |own: &Own| match own {
        Own::Net(net) => net.devices.iter().map(|device| (device.index, device.peer, device.addresses.len())).collect(),
        Own::Mnt(mounts) => mounts.iter().map(|mount| (0, None, mount.options.len())).collect(),
        Own::Ipc(ipc) => vec![(0, None, ipc.queues.len())],
        _ => Vec::new(),
    };
    let namespaces: BTreeMap<_, _> =
        topology.namespaces.iter().map(|(inum, ns)| (*inum, (ns.ns_type, ns.owner, ns.parent, own(&ns.own)))).collect();
    (tasks, namespaces, topology.cgroups().len())
}

#[test]
fn nothing_of_what_was_chosen_is_left() {
    let secrets = ["secret", "SECRET", "198.51.100", "45.67.89", "2001:db8", "02:5e:c2:e7"];
    let mut topology = seen(&machine());
    let (plain, _) = write(&topology);
    for secret in secrets {
        assert!(plain.contains(secret), "{secret} is not even in\n{plain}");
    }
    anonymize::anonymize(&mut topology);
    let (script, unsaid) = write(&topology);
    for secret in secrets {
        assert!(!script.contains(secret), "{secret} is in\n{script}");
    }
    assert!(unsaid.0.is_empty(), "{unsaid:?}\n{script}");
}

#[test]
fn relations_stay() {
    let k = machine();
    let mut topology = seen(&k);
    let before = relations(&topology);
    anonymize::anonymize(&mut topology);
    assert_eq!(relations(&topology), before);
    let (script, _) = write(&topology);
    assert_eq!(relations(&seen(&boot(&script))), before, "{script}");
    // Both hosts have the same name, and the two ends of the wire are in one subnet.
    let node = |own: &Own| match own {
        Own::Names { node, .. } => Some(node.clone()),
        _ => None,
    };
    let names: BTreeSet<_> = topology.namespaces.values().filter_map(|ns| node(&ns.own)).collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

/// Two recordings of one machine can be compared.
#[test]
fn stand_ins_are_the_same_each_time() {
    let script = || {
        let mut topology = seen(&machine());
        anonymize::anonymize(&mut topology);
        write(&topology).0
    };
    assert_eq!(script(), script());
}
