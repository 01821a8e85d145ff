//! What is measured of System V objects, message queues and networks.

use super::{Row, children, each, nothing, nr, row, times};

pub const IPC: &[Row] = &[
    row("msgget", |_| "1 write proc/sys/kernel/msgmni 32768\n".to_owned(), |n| each(n, |i| format!("1 msgget {} create", i + 1)))
        .at_most(30_000),
    row("semget", nothing, |n| each(n, |i| format!("1 semget {} 1 create", i + 1))).at_most(30_000),
    row("shmget", |_| "1 write proc/sys/kernel/shmmni 32768\n".to_owned(), |n| {
        each(n, |i| format!("1 shmget {} 4096 create", i + 1))
    })
    .at_most(30_000),
    row("msgctl rmid", |n| {
        "1 write proc/sys/kernel/msgmni 32768\n".to_owned() + &each(n, |i| format!("Q{i} = 1 msgget {} create", i + 1))
    }, |n| each(n, |i| format!("1 msgctl $Q{i} rmid")))
    .at_most(30_000),
    row("msgsnd to one queue", |_| "1 write proc/sys/kernel/msgmnb 10000000\n1 msgget 1 create\n".to_owned(), |n| {
        times(n, "1 msgsnd 0 1 x")
    }),
    row("msgrcv from one queue", |n| {
        "1 write proc/sys/kernel/msgmnb 10000000\n1 msgget 1 create\n".to_owned() + &times(n, "1 msgsnd 0 1 x")
    }, |n| times(n, "1 msgrcv 0 0 nowait")),
    row("msgsnd of a type nobody takes, msgrcv", |n| {
        "1 write proc/sys/kernel/msgmnb 10000000\n1 msgget 1 create\n".to_owned() + &times(n, "1 msgsnd 0 1 x")
    }, |n| times(n, "1 msgsnd 0 2 x\n1 msgrcv 0 2 nowait")),
    row("msgrcv of one of n types, youngest first", |n| {
        "1 write proc/sys/kernel/msgmnb 10000000\n1 msgget 1 create\n".to_owned()
            + &each(n, |i| format!("1 msgsnd 0 {} x", i + 1))
    }, |n| each(n, |i| format!("1 msgrcv 0 {} nowait", n - i))),
    row("read sysvipc/msg", |n| {
        "1 write proc/sys/kernel/msgmni 32768\n".to_owned() + &each(n, |i| format!("1 msgget {} create", i + 1))
    }, |_| "1 read proc/sysvipc/msg\n".to_owned())
    .at_most(30_000),
    row("semop, n sets", |n| each(n, |i| format!("S{i} = 1 semget {} 1 create 0600", i + 1)), |n| {
        each(n, |i| format!("1 semop $S{i} 0,1,undo"))
    })
    .at_most(30_000),
    row("semop with undo, n tasks", |n| children(n) + "1 semget 1 1 create 0600\n", |n| {
        each(n, |i| format!("{0} semop 0 0,1,undo\n{0} semop 0 0,-1,undo", nr(i)))
    }),
    row("semctl setval, n tasks with undo", |n| {
        children(n)
            + "1 semget 1 1 create 0600\n1 semget 2 1 create 0600\n"
            + &each(n, |i| format!("{0} semop 0 0,1,undo\n{0} semop 0 0,-1,undo", nr(i)))
    }, |n| times(n, "1 semctl 1 0 setval 1")),
    row("semop on one of n semaphores", |n| format!("1 semget 1 {n} create 0600\n"), |n| {
        each(n, |i| format!("1 semop 0 {i},1"))
    })
    .at_most(30_000),
    row("shmat", |_| "1 shmget 1 4096 create 0600\n".to_owned(), |n| times(n, "1 shmat 0")).at_most(60_000),
    row("clone with n attachments", |n| "1 clone\n1 shmget 1 4096 create 0600\n".to_owned() + &times(n, "1 shmat 0"), |_| {
        "1 clone\n".to_owned()
    })
    .at_most(60_000),
    row("mq_open", |n| format!("1 prlimit nofile {0}:{0}\n1 prlimit msgqueue 1000000000000:1000000000000\n1 write proc/sys/fs/mqueue/queues_max 1000000\n", n + 10), |n| {
        each(n, |i| format!("1 mq_open q{i} create"))
    }),
    row("ls mqueue", |n| format!("1 prlimit nofile {0}:{0}\n1 prlimit msgqueue 1000000000000:1000000000000\n1 write proc/sys/fs/mqueue/queues_max 1000000\n", n + 10)
        + &each(n, |i| format!("1 mq_open q{i} create")), |_| "1 ls mqueue\n".to_owned()),
    row("mq_send and mq_receive", |n| {
        format!("1 prlimit msgqueue 1000000000000:1000000000000\n1 write proc/sys/fs/mqueue/msg_max 65536\n1 mq_open q create rdwr maxmsg={n} msgsize=8\n")
    }, |n| each(n, |i| format!("1 mq_send 0 {} x", i % 32768)) + &times(n, "1 mq_receive 0"))
    .at_most(60_000),
];

pub const NET: &[Row] = &[
    row("ip link add", nothing, |n| each(n, |i| format!("1 ip link add d{i} type dummy"))),
    row("ip link add d%d", nothing, |n| times(n, "1 ip link add d%d type dummy")).at_most(30_000),
    row("ip link add of a veth pair", nothing, |n| each(n, |i| format!("1 ip link add a{i} type veth peer name b{i}"))),
    row(
        "ip link del",
        |n| each(n, |i| format!("1 ip link add d{i} type dummy")),
        |n| each(n, |i| format!("1 ip link del d{i}")),
    ),
    row(
        "ip link set up",
        |n| each(n, |i| format!("1 ip link add d{i} type dummy")),
        |n| each(n, |i| format!("1 ip link set d{i} up")),
    ),
    row(
        "ip link set master",
        |n| "1 ip link add br type bridge\n".to_owned() + &each(n, |i| format!("1 ip link add d{i} type dummy")),
        |n| each(n, |i| format!("1 ip link set d{i} master br")),
    ),
    row(
        "ip link set netns",
        |n| "1 clone newnet\n".to_owned() + &each(n, |i| format!("1 ip link add d{i} type dummy")),
        |n| each(n, |i| format!("1 ip link set d{i} netns 2")),
    ),
    row(
        "veth into n namespaces",
        |n| times(n / 8, "1 clone newnet") + &each(n / 8, |i| format!("1 ip link add a{i} type veth peer name b{i}")),
        |n| each(n / 8, |i| format!("1 ip link set b{i} netns {}", nr(i))),
    ),
    row("ip addr add to one device", nothing, |n| {
        each(n, |i| format!("1 ip addr add 10.{}.{}.{}/32 dev eth0", i >> 16 & 255, i >> 8 & 255, i & 255))
    }),
    row("ip addr add of one subnet", nothing, |n| {
        each(n, |i| {
            format!("1 ip addr add 10.{}.{}.{}/8 dev eth0", (i + 1) >> 16 & 255, (i + 1) >> 8 & 255, (i + 1) & 255)
        })
    }),
    row(
        "ip addr del",
        |n| each(n, |i| format!("1 ip addr add 10.{}.{}.{}/32 dev eth0", i >> 16 & 255, i >> 8 & 255, i & 255)),
        |n| each(n, |i| format!("1 ip addr del 10.{}.{}.{}/32 dev eth0", i >> 16 & 255, i >> 8 & 255, i & 255)),
    ),
    row("ip addr add of IPv6", nothing, |n| {
        each(n, |i| format!("1 ip addr add fd00::{:x}:{:x}/128 dev eth0", i >> 16, i & 0xffff))
    }),
    row("ip link show", |n| each(n, |i| format!("1 ip link add d{i} type dummy")), |_| "1 ip link show\n".to_owned()),
    row(
        "read proc/net/dev",
        |n| each(n, |i| format!("1 ip link add d{i} type dummy")),
        |_| "1 read proc/1/net/dev\n".to_owned(),
    ),
    row(
        "stat of each of sys/net/ipv4/conf",
        |n| each(n, |i| format!("1 ip link add d{i} type dummy")),
        |n| each(n, |i| format!("1 read proc/sys/net/ipv4/conf/d{i}/forwarding")),
    ),
    row(
        "read kernel/ns/net/…/dev_base_head/<each>",
        |n| each(n, |i| format!("1 ip link add d{i} type dummy")),
        |n| each(n, |i| format!("1 stat kernel/ns/net/4026531833/dev_base_head/d{i}")),
    ),
    row("bind", |n| format!("1 prlimit nofile {0}:{0}\n", n + 10), |n| each(n, |i| format!("1 bind unix @s{i}"))),
    row(
        "bind of ports",
        |n| format!("1 prlimit nofile {0}:{0}\n", n + 10),
        |n| each(n, |i| format!("1 bind tcp 127.0.{}.{}:80", i >> 8 & 255, i & 255)),
    )
    .at_most(60_000),
    row(
        "bind of automatic ports",
        |n| format!("1 prlimit nofile {0}:{0}\n", n + 10),
        |n| times(n, "1 bind tcp 127.0.0.1:0"),
    )
    .at_most(20_000),
    row(
        "connect",
        |n| format!("1 prlimit nofile {0}:{0}\n1 bind unix @s\n", n + 10),
        |n| times(n, "1 connect unix @s"),
    ),
    row(
        "read proc/net/unix",
        |n| format!("1 prlimit nofile {0}:{0}\n", n + 10) + &each(n, |i| format!("1 bind unix @s{i}")),
        |_| "1 read proc/1/net/unix\n".to_owned(),
    ),
];
