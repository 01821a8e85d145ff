//! Random programs on the bare kernel. After every call the kernel is recounted from scratch; what the model knows of
//! nsproxies and namespaces by scanning lists has to agree with the counts shown.

use std::collections::BTreeMap;

use nslab::control::{parse_write, verb};
use nslab::kernel::audit::audit;
use nslab::kernel::ns::{ENTRIES, NS_TABLE, Namespace, NsState, NsType};
use nslab::kernel::{Kernel, NsProxyId, TaskId};
use nslab::syscall::ip::{DevAddress, Ip, LinkAdd, LinkEnd, LinkSet, Netns};
use nslab::syscall::namei::NameCall;
use nslab::syscall::sem::SemCall;
use nslab::syscall::socket::SocketName;
use nslab::syscall::{
    AnyCall, CloneArgs, LabCall, PidArg, Prctl, SigAction, Syscall, Target, WEXITED, WaitidWhich, dispatch,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A step of a random program: who does what, both by index into what there is at that moment.
#[derive(Clone, Debug)]
struct Step {
    actor: usize,
    op: Op,
}

#[derive(Clone, Debug)]
enum Op {
    Clone(u64),
    Unshare(u64),
    SetnsOf { target: usize, entry: usize, flags: bool },
    SetnsPidfd { target: usize, flags: u64 },
    OpenNs { target: usize, entry: usize },
    OpenPidfd(usize),
    Close(i32),
    Dup(i32),
    Ioctl(i32, u32),
    SetnsFd(i32, u64),
    Exit(i32),
    ExitGroup(i32),
    Kill(usize, i32),
    Wait,
    Exec,
    Setsid,
    Setpgid(usize, usize),
    Setuid(u32),
    Subreaper(bool),
    IgnoreChildren(bool),
    Sethostname,
    Capset(u64),
    Ptrace(usize),
    Reboot,
    Ip(Ip),
    Bind(SocketName),
    Connect(SocketName),
    Mkdir(usize),
    Rmdir(usize),
    Freeze(usize, bool),
    Migrate { target: usize, to: usize },
    Ipc(AnyCall),
    Mount(AnyCall),
}

const THREAD: u64 = 0x10f00;

fn namespaces() -> impl Strategy<Value = u64> {
    (any::<u8>(), any::<u8>()).prop_map(|(a, b)| {
        let wanted = a & b;
        NS_TABLE.iter().enumerate().filter(|(at, _)| wanted & 1 << at != 0).fold(0, |f, (_, ops)| f | ops.clone_flag)
    })
}

fn clone_flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0),
        3 => namespaces(),
        2 => Just(THREAD),
        1 => Just(THREAD | 0x0800_0000),
        1 => Just(0x100),
        1 => Just(0x8000),
        1 => (namespaces(), 0u64..0x400).prop_map(|(ns, low)| ns | low & 0xf00 << 1),
    ]
}

/// Calls on System V objects and message queues, with few keys, identifiers and names, so that they meet.
fn ipc_call() -> impl Strategy<Value = AnyCall> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let lines = prop_oneof![
        4 => (word(&["msgget", "semget", "shmget"]), word(&["private", "7", "8"]), word(&["create 0600", "create 0", ""]))
            .prop_map(|(verb, key, rest)| {
                let size = if verb == "msgget" { "" } else { " 2" };
                format!("{verb} {key}{size} {rest}")
            }),
        4 => (word(&["msgsnd ID 1 text", "msgrcv ID 0", "semop ID 0,1,undo", "semop ID 0,-1,undo 1,1", "shmat ID",
            "shmdt 0x7ffff7ffe000", "semctl ID 0 setval 3", "msgctl ID set uid=1000 mode=0666", "shmctl ID lock"]), ids())
            .prop_map(|(line, id)| line.replace("ID", &id)),
        2 => (word(&["msgctl", "semctl", "shmctl"]), ids()).prop_map(|(verb, id)| format!("{verb} {id} rmid")),
        3 => word(&["mq_open q create 0600", "mq_open p create 0600", "mq_open q create maxmsg=1 msgsize=8 0644",
            "mq_unlink q", "mq_unlink p", "mq_send 0 1 hi", "mq_send 1 1 hi", "mq_receive 0", "mq_notify 0 signal SIGCHLD",
            "mq_notify 1 none", "mq_notify 0 off"]).prop_map(str::to_owned),
        1 => word(&["open proc/sysvipc/shm", "open proc/sys/kernel/sem rdwr", "write proc/sys/kernel/shm_rmid_forced 1",
            "write proc/sys/kernel/shm_rmid_forced 0", "write fd:0 5"]).prop_map(str::to_owned),
    ];
    lines.prop_map(|line| {
        let (name, rest) = line.split_once(' ').unwrap_or((&line, ""));
        parse_write(verb(name).unwrap(), rest.trim().as_bytes()).unwrap()
    })
}

/// Calls on mounts, files and directories, in a tree of few names, so that they meet.
fn mount_call() -> impl Strategy<Value = AnyCall> {
    let lines: &[&str] = &[
        "mount tmpfs a /w",
        "mount tmpfs b PATH",
        "mount proc p PATH",
        "mount mqueue q PATH",
        "mount sysfs s PATH",
        "mount --bind PATH PATH",
        "mount --rbind PATH PATH",
        "mount --rbind / PATH",
        "mount --move PATH PATH",
        "mount --bind /proc/self/ns/net PATH",
        "mount --bind /proc/2/ns/mnt PATH",
        "mount --bind /proc/3/ns/mnt PATH",
        "mount --make-rshared /",
        "mount --make-shared PATH",
        "mount --make-rslave PATH",
        "mount --make-private PATH",
        "mount --make-unbindable PATH",
        "mount -o remount,bind,ro PATH",
        "mount -o remount PATH",
        "umount PATH",
        "umount -l PATH",
        "umount -l /",
        "pivot_root PATH PATH",
        "chroot PATH",
        "chroot .",
        "chdir PATH",
        "chdir ..",
        "fchdir 0",
        "setns fd:0",
        "open PATH",
        "open PATH rdwr creat",
        "open /proc/2/mountinfo",
        "open_tree clone PATH",
        "move_mount fd:0 PATH",
        "move_mount --beneath fd:0 PATH",
        "mount_setattr PATH shared",
        "mkdir PATH",
        "mkdir PATH",
        "touch PATH",
        "symlink ../a PATH",
        "rmdir PATH",
        "unlink PATH",
        "rename PATH PATH",
        "chown 1000:0 PATH",
        "write fd:0 text",
        "getcwd",
    ];
    let path =
        || prop::sample::select(&["/w", "/w/a", "/w/b", "/w/a/a", "/w/a/b", "/w/b/a", "a", "./b", "/proc", "/tmp"][..]);
    (prop::sample::select(lines), path(), path()).prop_map(|(line, one, other)| {
        let line = line.replacen("PATH", one, 1).replacen("PATH", other, 1);
        let (name, rest) = line.split_once(' ').unwrap_or((&line, ""));
        parse_write(verb(name).unwrap(), rest.as_bytes()).unwrap()
    })
}

fn ids() -> impl Strategy<Value = String> {
    prop::sample::select(&["0", "1", "2", "3", "32768"][..]).prop_map(str::to_owned)
}

fn op() -> impl Strategy<Value = Op> {
    let any_task = any::<usize>;
    prop_oneof![
        8 => clone_flags().prop_map(Op::Clone),
        6 => namespaces().prop_map(Op::Unshare),
        4 => (any_task(), 0..10usize, any::<bool>()).prop_map(|(target, entry, flags)| Op::SetnsOf { target, entry, flags }),
        2 => (any_task(), namespaces()).prop_map(|(target, flags)| Op::SetnsPidfd { target, flags }),
        3 => (any_task(), 0..10usize).prop_map(|(target, entry)| Op::OpenNs { target, entry }),
        2 => any_task().prop_map(Op::OpenPidfd),
        2 => (-1..4i32).prop_map(Op::Close),
        1 => (0..4i32).prop_map(Op::Dup),
        2 => (0..4i32, prop_oneof![Just(0xb701u32), Just(0xb702), 0xff00..0xff0cu32]).prop_map(|(fd, r)| Op::Ioctl(fd, r)),
        1 => (0..4i32, namespaces()).prop_map(|(fd, flags)| Op::SetnsFd(fd, flags)),
        3 => (0..300i32).prop_map(Op::Exit),
        2 => (0..300i32).prop_map(Op::ExitGroup),
        3 => (any_task(), prop_oneof![Just(0), Just(9), Just(15), Just(17), Just(18), Just(19), Just(65)]).prop_map(|(t, s)| Op::Kill(t, s)),
        4 => Just(Op::Wait),
        1 => Just(Op::Exec),
        1 => Just(Op::Setsid),
        1 => (any_task(), any_task()).prop_map(|(p, g)| Op::Setpgid(p, g)),
        1 => prop_oneof![Just(0u32), Just(1000), Just(1001)].prop_map(Op::Setuid),
        1 => any::<bool>().prop_map(Op::Subreaper),
        1 => any::<bool>().prop_map(Op::IgnoreChildren),
        1 => Just(Op::Sethostname),
        1 => any::<u64>().prop_map(Op::Capset),
        1 => any_task().prop_map(Op::Ptrace),
        1 => Just(Op::Reboot),
        25 => ipc_call().prop_map(Op::Ipc),
        25 => mount_call().prop_map(Op::Mount),
        6 => ip_call().prop_map(Op::Ip),
        1 => socket_name().prop_map(Op::Bind),
        1 => socket_name().prop_map(Op::Connect),
        2 => (0..CGROUPS.len()).prop_map(Op::Mkdir),
        1 => (0..CGROUPS.len()).prop_map(Op::Rmdir),
        1 => (0..CGROUPS.len(), any::<bool>()).prop_map(|(at, on)| Op::Freeze(at, on && at == 0)),
        2 => (any_task(), 0..CGROUPS.len()).prop_map(|(target, to)| Op::Migrate { target, to }),
    ]
}

/// Directories that programs make, remove and move tasks into.
const CGROUPS: [&str; 4] = ["a", "a/x", "b", "a/x/y"];

fn cgroup(at: usize, file: &str) -> Vec<u8> {
    format!("/sys/fs/cgroup/{}{file}", CGROUPS[at]).into_bytes()
}

fn dev_name() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec!["lo", "eth0", "v0", "v1", "br0", "d%d", "d0"]).prop_map(|name| name.as_bytes().to_vec())
}

/// The namespace of a task, by its number: few are alive, so low numbers are.
fn netns() -> impl Strategy<Value = Option<Netns>> {
    prop_oneof![2 => Just(None), 2 => (1..9i32).prop_map(|pid| Some(Netns::Pid(PidArg::Initial(pid)))), 1 => (0..3i32).prop_map(|fd| Some(Netns::Fd(fd)))]
}

fn link_end() -> impl Strategy<Value = LinkEnd> {
    (dev_name(), prop_oneof![3 => Just(0), 1 => 1..5i32], netns()).prop_map(|(name, index, netns)| LinkEnd {
        name,
        index,
        netns,
    })
}

fn dev_address() -> impl Strategy<Value = DevAddress> {
    (0..3u8, prop_oneof![Just(8u8), Just(24)], dev_name()).prop_map(|(last, prefixlen, dev)| DevAddress {
        addr: [10, 0, 0, last].into(),
        prefixlen,
        dev,
    })
}

fn ip_call() -> impl Strategy<Value = Ip> {
    let kind = prop::sample::select(vec!["veth", "veth", "bridge", "dummy", "nosuch"]);
    let master = prop_oneof![4 => Just(None), 1 => Just(Some(None)), 2 => dev_name().prop_map(|name| Some(Some(name)))];
    let name = prop::option::weighted(0.3, dev_name());
    let index = prop::option::weighted(0.2, 1..5i32);
    prop_oneof![
        4 => (link_end(), kind, link_end()).prop_map(|(end, kind, peer)| Ip::LinkAdd(LinkAdd { end, kind: kind.to_owned(), peer })),
        6 => (dev_name(), any::<Option<bool>>(), name, index, netns(), master).prop_map(|(dev, up, name, index, netns, master)| {
            Ip::LinkSet(LinkSet { dev, up, name, index, netns, master })
        }),
        1 => dev_name().prop_map(|dev| Ip::LinkDel { dev }),
        1 => (dev_name(), dev_name()).prop_map(|(dev, name)| Ip::AltnameAdd { dev, name }),
        1 => Just(Ip::LinkShow { dev: None }),
        1 => Just(Ip::AddrShow { dev: None }),
        2 => dev_address().prop_map(Ip::AddrAdd),
        1 => dev_address().prop_map(Ip::AddrDel),
        1 => (1..9i32, -1..3i32).prop_map(|(pid, id)| Ip::NetnsSet { pid: PidArg::Initial(pid), id }),
    ]
}

fn socket_name() -> impl Strategy<Value = SocketName> {
    let addr = || prop::sample::select(vec!["127.0.0.1:80", "10.0.0.1:5000", "0.0.0.0:0", "[::1]:80", "192.0.2.7:80"]);
    prop_oneof![
        addr().prop_map(|addr| SocketName::Tcp(addr.parse().unwrap())),
        addr().prop_map(|addr| SocketName::Udp(addr.parse().unwrap())),
        Just(SocketName::Abstract(b"x".to_vec())),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (any::<usize>(), op()).prop_map(|(actor, op)| Step { actor, op })
}

fn pick(k: &Kernel, index: usize) -> TaskId {
    let tasks: Vec<TaskId> = k.tasks.iter().map(|(id, _)| id).collect();
    tasks[index % tasks.len()]
}

fn ns_of(k: &Kernel, task: TaskId, entry: usize) -> Option<(NsType, u32)> {
    let ns = k.ns_entry(task, &ENTRIES[entry])?;
    Some((k.namespaces[ns].ns_type(), k.namespaces[ns].common.inum))
}

fn call_of(k: &Kernel, op: &Op) -> Option<AnyCall> {
    let nr = |index: &usize| k.task_nr(pick(k, *index));
    let pid = |index: &usize| PidArg::Initial(nr(index));
    let call = match op {
        Op::Clone(flags) => Syscall::Clone(CloneArgs { flags: *flags, ..CloneArgs::default() }),
        Op::Unshare(flags) => Syscall::Unshare { flags: *flags },
        Op::SetnsOf { target, entry, flags } => {
            let (ns_type, inum) = ns_of(k, pick(k, *target), *entry)?;
            let flags = if *flags { ns_type.ops().clone_flag } else { 0 };
            Syscall::Setns { target: Target::Ns { ns_type, inum }, flags }
        }
        Op::SetnsPidfd { target, flags } => Syscall::Setns { target: Target::Pidfd(pid(target)), flags: *flags },
        Op::OpenNs { target, entry } => {
            let (ns_type, inum) = ns_of(k, pick(k, *target), *entry)?;
            Syscall::Open { target: Target::Ns { ns_type, inum }, flags: Default::default() }
        }
        Op::OpenPidfd(target) => Syscall::Open { target: Target::Pidfd(pid(target)), flags: Default::default() },
        Op::Close(fd) => Syscall::Close { fd: *fd },
        Op::Dup(fd) => Syscall::Dup { fd: *fd },
        Op::Ioctl(fd, request) => Syscall::Ioctl { fd: *fd, request: *request, arg: None },
        Op::SetnsFd(fd, flags) => Syscall::Setns { target: Target::Fd(*fd), flags: *flags },
        Op::Exit(code) => Syscall::Exit { code: *code },
        Op::ExitGroup(code) => Syscall::ExitGroup { code: *code },
        Op::Kill(target, signo) => Syscall::Kill { pid: pid(target), signo: *signo },
        Op::Wait => Syscall::Waitid { which: WaitidWhich::All, options: WEXITED },
        Op::Exec => Syscall::Exec { comm: b"prog".to_vec(), argv: Vec::new() },
        Op::Setsid => Syscall::Setsid,
        Op::Setpgid(target, pgid) => Syscall::Setpgid { pid: pid(target), pgid: pid(pgid) },
        Op::Setuid(uid) => Syscall::Setuid { uid: Some(*uid) },
        Op::Subreaper(on) => Syscall::Prctl(Prctl::SetChildSubreaper(u64::from(*on))),
        Op::IgnoreChildren(on) => {
            let action = if *on { SigAction::Ignore } else { SigAction::Default };
            Syscall::Sigaction { signo: 17, action: Some(action) }
        }
        Op::Sethostname => Syscall::Sethostname { name: b"name".to_vec() },
        Op::Capset(bits) => Syscall::Capset { effective: Some(*bits), permitted: Some(*bits), inheritable: Some(0) },
        Op::Ptrace(target) => Syscall::PtraceSeize { pid: pid(target) },
        Op::Ip(call) => return Some(LabCall::Ip(call.clone()).into()),
        Op::Bind(name) => return Some(LabCall::Bind(name.clone()).into()),
        Op::Connect(name) => return Some(LabCall::Connect(name.clone()).into()),
        Op::Mkdir(at) => Syscall::Name(NameCall::Mkdir { path: cgroup(*at, "") }),
        Op::Rmdir(at) => Syscall::Name(NameCall::Rmdir { path: cgroup(*at, "") }),
        Op::Freeze(at, on) => {
            let bytes = u8::from(*on).to_string().into_bytes();
            return Some(LabCall::Write { path: cgroup(*at, "/cgroup.freeze"), bytes }.into());
        }
        Op::Migrate { target, to } => {
            let bytes = nr(target).to_string().into_bytes();
            return Some(LabCall::Write { path: cgroup(*to, "/cgroup.procs"), bytes }.into());
        }
        Op::Ipc(call) | Op::Mount(call) => return Some(call.clone()),
        Op::Reboot => Syscall::Reboot { command: nslab::syscall::RebootCommand::Restart, magic: None },
    };
    Some(call.into())
}

/// The naive reference: who uses which nsproxy, counted by looking at every task.
fn nsproxy_users(k: &Kernel) -> BTreeMap<NsProxyId, u32> {
    let mut users = BTreeMap::new();
    for (task, _) in k.tasks.iter() {
        if let Some(id) = k.nsproxy_id_of(task) {
            *users.entry(id).or_default() += 1;
        }
    }
    users
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, rng_seed: RngSeed::Fixed(618), max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Counts are those of the holders after each of 200 random calls, and a refused call leaves no trace.
    #[test]
    fn counts_are_exact_after_every_call(program in prop::collection::vec(step(), 200)) {
        let mut k = Kernel::boot();
        for step in program {
            let actor = pick(&k, step.actor);
            let Some(call) = call_of(&k, &step.op) else { continue };
            let before = snapshot(&k);
            let is_one_change = is_one_change(&k, actor, &call);
            let result = dispatch(&mut k, actor, &call);
            // In debug builds dispatch has asked already.
            if !cfg!(debug_assertions) {
                prop_assert_eq!(audit(&k), Ok(()), "after {:?}", call);
            }
            if let Err(error) = result {
                prop_assert!(!error.to_string().is_empty());
                if is_one_change {
                    prop_assert_eq!(before, snapshot(&k), "{:?} was refused with {}", call, error);
                }
            }
            let shown: BTreeMap<_, _> = k.nsproxies.iter().map(|(id, p)| (id, p.count)).collect();
            prop_assert_eq!(nsproxy_users(&k), shown);
        }
    }
}

/// `ip link set` does several things one by one and keeps those before the one that failed. As on Linux a semop with
/// SEM_UNDO leaves the place for what it would have undone, and a clone the marks of what it has copied in vain.
fn is_one_change(k: &Kernel, actor: TaskId, call: &AnyCall) -> bool {
    match call {
        AnyCall::Lab(LabCall::Ip(Ip::LinkSet(_))) => false,
        AnyCall::Linux(Syscall::Sem(SemCall::Op { ops, .. })) => !ops.iter().any(|op| op.undo),
        AnyCall::Linux(Syscall::Clone(_)) => {
            let is_detached = k.tasks[actor].mm.as_ref().is_none_or(|mm| k.mms[mm.id()].attachments.is_empty());
            let is_quiet = k.mqueues.iter().all(|(_, queue)| queue.notify.is_none());
            is_detached && is_quiet && !k.is_time_switch_due(actor)
        }
        _ => true,
    }
}

/// What a refused call must not change: everything but the cursors of pid and device numbers, which Linux moves too.
fn snapshot(k: &Kernel) -> String {
    let tasks: Vec<_> = k.tasks.iter().map(|(id, t)| (id, format!("{t:?}"))).collect();
    let namespaces: Vec<_> = k.namespaces.iter().map(|(id, ns)| (id, format!("{:?}", ns.common), state(ns))).collect();
    let creds: Vec<_> = k.creds.iter().map(|(id, c)| (id, format!("{c:?}"))).collect();
    let ipc: Vec<_> = [
        k.mms.iter().map(|(_, o)| format!("{o:?}")).collect::<Vec<_>>(),
        k.undo_lists.iter().map(|(_, o)| format!("{o:?}")).collect(),
        k.shm_files.iter().map(|(_, o)| format!("{o:?}")).collect(),
        k.mqueue_fs.iter().map(|(_, o)| format!("{o:?}")).collect(),
        k.mqueues.iter().map(|(_, o)| format!("{o:?}")).collect(),
    ]
    .concat();
    let devices: Vec<_> = k.net.devices.iter().map(|(id, o)| (id, format!("{o:?}"))).collect();
    let cgroups: Vec<_> = k.cgroup.table.iter().map(|(id, o)| (id, format!("{o:?}"))).collect();
    format!(
        "{tasks:?}{namespaces:?}{creds:?}{ipc:?}{devices:?}{cgroups:?}{:?}{:?}{}",
        k.ucounts,
        k.inums,
        file_systems(k)
    )
}

fn file_systems(k: &Kernel) -> String {
    let mounts = k.vfs.mounts.iter().map(|(id, m)| {
        let place = m.attached.as_ref().map(|attached| (attached.parent, attached.mountpoint.place()));
        format!(
            "{id:?}{:?}{:?}",
            (m.count, m.mnt_id, m.flags, m.tree, m.root.place(), m.writers),
            (place, m.group, m.master)
        )
    });
    let dentries = k.vfs.dentries.iter().map(|(id, d)| format!("{id:?}{:?}", (d.count, &d.name, d.is_linked, d.uid)));
    let others = k.vfs.sbs.iter().map(|(id, sb)| format!("{id:?}{:?}", (sb.count, sb.read_only, &sb.options)));
    let fs = k.fs.iter().map(|(id, fs)| format!("{id:?}{:?}", (fs.root.path(), fs.pwd.path())));
    mounts.chain(dentries).chain(others).chain(fs).collect()
}

fn state(ns: &Namespace) -> String {
    match &ns.state {
        NsState::Pid(_) => String::new(),
        NsState::Net(net) => format!("{:?}{:?}{:?}{:?}", net.devices, net.netns_ids, net.sockets, net.conf),
        state => format!("{state:?}"),
    }
}
