//! Steps about network namespaces: devices, addresses, ids, sockets.

use nslab::kernel::ns::NetNsId;
use nslab::kernel::nsproxy::NsProxy;
use nslab::kernel::{Kernel, TaskId};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Step, filled_step, pick_number};

const NAMES: &[&str] = &[
    "v0",
    "v1",
    "v2",
    "d0",
    "d1",
    "br0",
    "br1",
    "lo",
    "x%d",
    "v%d",
    "eth0",
    "abcdefghijklmno",
    "abcdefghijklmnop",
    "a/b",
    ".",
    "a:b",
    "%",
    "x%s",
];

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => select(NAMES[..7].to_vec()), 1 => select(NAMES[7..].to_vec())]
}

/// A device there is, or a name that may be one.
fn dev() -> impl Strategy<Value = String> {
    prop_oneof![8 => any::<usize>().prop_map(|at| format!("{{dev:{at}}}")), 1 => name().prop_map(str::to_owned)]
}

fn task() -> impl Strategy<Value = String> {
    any::<usize>().prop_map(|at| format!("{{task:{at}}}"))
}

/// A namespace named by a task or a descriptor.
fn netns() -> impl Strategy<Value = String> {
    prop_oneof![5 => task(), 1 => (0..5i32).prop_map(|fd| format!("fd:{fd}"))]
}

/// Nothing more often than words.
fn rarely<S: Strategy<Value = String> + 'static>(words: S) -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => words]
}

fn index() -> impl Strategy<Value = String> {
    (1..9i32).prop_map(|index| format!(" index {index}"))
}

const ADDRESSES: &[&str] = &[
    "10.0.0.1/24",
    "10.0.0.2/24",
    "10.0.0.3/24",
    "10.0.0.1/8",
    "10.0.0.1/32",
    "192.168.7.1/30",
    "127.0.0.1/8",
    "127.0.0.5/8",
    "127.5.0.1/16",
    "224.0.0.5/24",
    "0.0.0.0/0",
    "10.1.0.0/16",
    "255.255.255.255/32",
    "169.254.1.1/16",
    "fd00::1/64",
    "fd00::2/64",
    "fd00::1/128",
    "::1/128",
    "fe80::5/64",
    "ff02::5/64",
    "2001:db8::1/32",
    "::/0",
];

const SOCKETS: &[&str] = &[
    "tcp 127.0.0.1:5000",
    "tcp 0.0.0.0:5000",
    "tcp [::]:5000",
    "tcp [::1]:5000",
    "tcp 10.0.0.1:5000",
    "tcp 127.0.0.1:80",
    "udp 127.0.0.1:5000",
    "udp 0.0.0.0:5000",
    "udp [::]:5000",
    "udp 10.0.0.1:5000",
    "udp 8.8.8.8:53",
    "udp 10.0.0.255:5000",
    "tcp 10.0.0.255:5000",
    "udp 224.0.0.5:5000",
    "tcp 127.0.0.1:0",
    "unix @x",
    "unix @y",
    "unix @",
    "udp [::1]:7",
    "tcp 127.3.2.1:5001",
    "udp 255.255.255.255:5000",
];

fn ip() -> impl Strategy<Value = String> {
    let end = || (rarely(netns().prop_map(|netns| format!(" netns {netns}"))), rarely(index()));
    prop_oneof![
        6 => (name(), end(), name(), end()).prop_map(|(name, (netns, index), peer, (peer_netns, peer_index))|
            format!("link add {name}{index}{netns} type veth peer name {peer}{peer_index}{peer_netns}")),
        1 => end().prop_map(|(netns, index)| format!("link add{index}{netns} type veth")),
        4 => (name(), end(), select(vec!["dummy", "bridge", "bridge", "dummy", "vethx", ""]))
            .prop_map(|(name, (netns, index), kind)| format!("link add {name}{index}{netns} type {kind}x")),
        4 => (name(), end(), select(vec!["dummy", "bridge"]))
            .prop_map(|(name, (netns, index), kind)| format!("link add {name}{index}{netns} type {kind}")),
        5 => (dev(), netns(), rarely(name().prop_map(|name| format!(" name {name}"))), rarely(index()))
            .prop_map(|(dev, netns, name, index)| format!("link set {dev} netns {netns}{name}{index}")),
        8 => dev().prop_map(|dev| format!("link set {dev} up")),
        3 => dev().prop_map(|dev| format!("link set {dev} down")),
        3 => (dev(), name()).prop_map(|(dev, name)| format!("link set {dev} name {name}")),
        4 => (dev(), dev()).prop_map(|(dev, master)| format!("link set {dev} master {master}")),
        1 => dev().prop_map(|dev| format!("link set {dev} nomaster")),
        1 => (dev(), select(vec!["up", "down"]), name()).prop_map(|(dev, state, name)| format!("link set {dev} {state} name {name}")),
        1 => (dev(), dev(), netns()).prop_map(|(dev, master, netns)| format!("link set {dev} up master {master} netns {netns}")),
        2 => dev().prop_map(|dev| format!("link del {dev}")),
        1 => (dev(), name()).prop_map(|(dev, name)| format!("link property add dev {dev} altname {name}")),
        4 => rarely(dev().prop_map(|dev| format!(" show {dev}"))).prop_map(|dev| format!("link{dev}")),
        1 => dev().prop_map(|dev| format!("addr show {dev}")),
        6 => (dev(), select(ADDRESSES.to_vec())).prop_map(|(dev, addr)| format!("addr add {addr} dev {dev}")),
        2 => (dev(), select(ADDRESSES.to_vec())).prop_map(|(dev, addr)| format!("addr del {addr} dev {dev}")),
        3 => (task(), select(vec!["auto", "auto", "0", "1", "7"])).prop_map(|(task, id)| format!("netns set {task} {id}")),
        2 => task().prop_map(|task| format!("netns get {task}")),
    ]
}

pub fn step() -> BoxedStrategy<Step> {
    let socket = || select(SOCKETS.to_vec());
    let plain = |lines: &[&'static str]| select(lines.to_vec()).prop_map(str::to_owned);
    let line = prop_oneof![
        60 => ip().prop_map(|words| format!("ip {words}")),
        5 => socket().prop_map(|name| format!("bind {name}")),
        4 => socket().prop_map(|name| format!("connect {name}")),
        2 => (0..6i32).prop_map(|fd| format!("ioctl {fd} 0x894c")),
        5 => (0..6i32).prop_map(|fd| format!("close {fd}")),
        3 => plain(&["clone", "clone newnet", "clone newuser newnet", "clone newuser", "clone vm fs files sighand thread"]),
        2 => plain(&["unshare newnet", "unshare newuser newnet", "unshare newuser"]),
        3 => task().prop_map(|task| format!("setns pidfd:{task} newnet")),
        1 => task().prop_map(|task| format!("setns pidfd:{task} newuser")),
        1 => (0..6i32).prop_map(|fd| format!("setns fd:{fd} newnet")),
        4 => task().prop_map(|task| format!("open proc/{task}/ns/net")),
        1 => plain(&["capset eff=0x1ffffffefff prm=0x1ffffffefff inh=none", "capset eff=0x1fffffffbff prm=0x1fffffffbff inh=none"]),
        2 => plain(&["exit 0", "exit_group 0", "wait -1", "wait -1"]),
        1 => task().prop_map(|task| format!("kill {task} SIGKILL")),
        1 => (plain(&["ipv4/conf/default/promote_secondaries", "ipv4/conf/all/forwarding", "ipv4/conf/lo/forwarding", "ipv4/ip_forward"]), 0..2)
            .prop_map(|(name, value)| format!("write /proc/sys/net/{name} {value}")),
        1 => (select(vec![0, 1, 2, 3, 2147483647]), Just(())).prop_map(|(limit, ())| format!("write /proc/sys/user/max_net_namespaces {limit}")),
    ];
    filled_step(fill, line).boxed()
}

fn fill(k: &Kernel, me: TaskId, word: &str, index: usize) -> Option<String> {
    match word {
        "task" => Some(pick_number(k, index).to_string()),
        "dev" => {
            let names: Vec<_> = k.devices_of(own_net(k, me)?).map(|(_, dev)| dev.name.clone()).collect();
            Some(String::from_utf8_lossy(names.get(index % names.len().max(1))?).into_owned())
        }
        _ => None,
    }
}

/// The network namespace of a task, unless it is the initial one: that is the host's, and no call is made there.
pub fn own_net(k: &Kernel, task: TaskId) -> Option<NetNsId> {
    k.nsproxy_of(task).map(NsProxy::net_ns).filter(|&net| net != k.init_ns())
}
