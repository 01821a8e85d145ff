//! Random programs on the bare kernel. After every call the kernel is recounted from scratch; what the model knows of
//! nsproxies and namespaces by scanning lists has to agree with the counts shown.

use std::collections::BTreeMap;

use nslab::kernel::audit::audit;
use nslab::kernel::ns::{ENTRIES, NS_TABLE, NsType};
use nslab::kernel::{Kernel, NsProxyId, TaskId};
use nslab::syscall::{CloneArgs, Prctl, SigAction, Syscall, Target, WEXITED, WaitidWhich, dispatch};
use proptest::prelude::*;

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

fn call_of(k: &Kernel, op: &Op) -> Option<Syscall> {
    let nr = |index: &usize| k.task_nr(pick(k, *index));
    Some(match op {
        Op::Clone(flags) => Syscall::Clone(CloneArgs { flags: *flags, ..CloneArgs::default() }),
        Op::Unshare(flags) => Syscall::Unshare { flags: *flags },
        Op::SetnsOf { target, entry, flags } => {
            let (ns_type, inum) = ns_of(k, pick(k, *target), *entry)?;
            let flags = if *flags { ns_type.ops().clone_flag } else { 0 };
            Syscall::Setns { target: Target::Ns { ns_type, inum }, flags }
        }
        Op::SetnsPidfd { target, flags } => Syscall::Setns { target: Target::Pidfd(nr(target)), flags: *flags },
        Op::OpenNs { target, entry } => {
            let (ns_type, inum) = ns_of(k, pick(k, *target), *entry)?;
            Syscall::Open { target: Target::Ns { ns_type, inum }, flags: Default::default() }
        }
        Op::OpenPidfd(target) => Syscall::Open { target: Target::Pidfd(nr(target)), flags: Default::default() },
        Op::Close(fd) => Syscall::Close { fd: *fd },
        Op::Dup(fd) => Syscall::Dup { fd: *fd },
        Op::Ioctl(fd, request) => Syscall::Ioctl { fd: *fd, request: *request, arg: None },
        Op::SetnsFd(fd, flags) => Syscall::Setns { target: Target::Fd(*fd), flags: *flags },
        Op::Exit(code) => Syscall::Exit { code: *code },
        Op::ExitGroup(code) => Syscall::ExitGroup { code: *code },
        Op::Kill(target, signo) => Syscall::Kill { pid: nr(target), signo: *signo },
        Op::Wait => Syscall::Waitid { which: WaitidWhich::All, options: WEXITED },
        Op::Exec => Syscall::Exec { comm: b"prog".to_vec(), argv: Vec::new() },
        Op::Setsid => Syscall::Setsid,
        Op::Setpgid(pid, pgid) => Syscall::Setpgid { pid: nr(pid), pgid: nr(pgid) },
        Op::Setuid(uid) => Syscall::Setuid { uid: Some(*uid) },
        Op::Subreaper(on) => Syscall::Prctl(Prctl::SetChildSubreaper(u64::from(*on))),
        Op::IgnoreChildren(on) => {
            let action = if *on { SigAction::Ignore } else { SigAction::Default };
            Syscall::Sigaction { signo: 17, action: Some(action) }
        }
        Op::Sethostname => Syscall::Sethostname { name: b"name".to_vec() },
        Op::Capset(bits) => Syscall::Capset { effective: Some(*bits), permitted: Some(*bits), inheritable: Some(0) },
        Op::Ptrace(target) => Syscall::PtraceSeize { pid: nr(target) },
        Op::Reboot => Syscall::Reboot { command: nslab::syscall::RebootCommand::Restart, magic: None },
    })
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
    #![proptest_config(ProptestConfig { cases: 500, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Counts are those of the holders after each of 200 random calls, and a refused call leaves no trace.
    #[test]
    fn counts_are_exact_after_every_call(program in prop::collection::vec(step(), 200)) {
        let mut k = Kernel::boot();
        for step in program {
            let actor = pick(&k, step.actor);
            let Some(call) = call_of(&k, &step.op) else { continue };
            let before = snapshot(&k);
            let result = dispatch(&mut k, actor, &call);
            // In debug builds dispatch has asked already.
            if !cfg!(debug_assertions) {
                prop_assert_eq!(audit(&k), Ok(()), "after {:?}", call);
            }
            if let Err(error) = result {
                prop_assert!(!error.reason().is_empty());
                prop_assert_eq!(before, snapshot(&k), "{:?} was refused with {}", call, error);
            }
            let shown: BTreeMap<_, _> = k.nsproxies.iter().map(|(id, p)| (id, p.count)).collect();
            prop_assert_eq!(nsproxy_users(&k), shown);
        }
    }
}

/// What a refused call must not change: everything but the cursors of pid numbers, which Linux moves too.
fn snapshot(k: &Kernel) -> String {
    let tasks: Vec<_> = k.tasks.iter().map(|(id, t)| (id, format!("{t:?}"))).collect();
    let namespaces: Vec<_> = k.namespaces.iter().map(|(id, ns)| (id, format!("{:?}", ns.common))).collect();
    let creds: Vec<_> = k.creds.iter().map(|(id, c)| (id, format!("{c:?}"))).collect();
    format!("{tasks:?}{namespaces:?}{creds:?}{:?}{:?}", k.ucounts, k.inums)
}
