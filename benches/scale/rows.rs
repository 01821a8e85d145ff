//! What is measured of tasks, namespaces and files.

use super::{Row, children, each, nothing, nr, row, times};

pub const TASKS: &[Row] = &[
    row("clone", nothing, children),
    row("clone, threads", nothing, |n| times(n, "1 clone thread,sighand,vm")),
    row(
        "clone into a cgroup",
        |_| "1 mkdir cgroup/a\n1 open cgroup/a path\n".to_owned(),
        |n| times(n, "1 clone into_cgroup cgroup=0"),
    ),
    row(
        "clone with few free numbers",
        |n| format!("1 clone\n2 exit\n1 wait 2\n{}1 write proc/sys/kernel/pid_max {}\n", children(n), n + 303),
        |n| times(n, "A = 1 clone\n$A exit\n1 wait $A"),
    ),
    row("exit and wait, youngest first", children, |n| each(n, |i| format!("{0} exit\n1 wait {0}", nr(n - 1 - i)))),
    row("exit, then wait -1", |n| children(n) + &each(n, |i| format!("{} exit", nr(i))), |n| times(n, "1 wait -1")),
    row(
        "exit, wait nobody reaps",
        |n| format!("1 sigaction SIGCHLD ignore\n{}", children(n)),
        |n| each(n, |i| format!("{} exit", nr(i))),
    ),
    row("exit of a parent of n", |n| format!("1 clone\n{}", times(n, "2 clone")), |_| "2 exit\n".to_owned()),
    row(
        "exit of a parent of n zombies",
        |n| format!("1 clone\n{}{}", times(n, "2 clone"), each(n, |i| format!("{} exit", i + 3))),
        |_| "2 exit\n".to_owned(),
    ),
    row("exit of the init of n", |n| format!("1 clone newpid\n{}", times(n, "2 clone")), |_| "2 exit\n".to_owned()),
    row(
        "exit of n threads, youngest first",
        |n| "1 clone\n".to_owned() + &times(n, "2 clone thread,sighand,vm"),
        |n| each(n, |i| format!("{} exit", n + 2 - i)),
    ),
    row(
        "exit of n threads, oldest first",
        |n| "1 clone\n".to_owned() + &times(n, "2 clone thread,sighand,vm"),
        |n| each(n, |i| format!("{} exit", i + 3)),
    ),
    row(
        "exit_group of n threads",
        |n| "1 clone\n".to_owned() + &times(n, "2 clone thread,sighand,vm"),
        |_| "2 exit_group\n".to_owned(),
    ),
    row(
        "exec among n threads",
        |n| "1 clone\n".to_owned() + &times(n, "2 clone thread,sighand,vm"),
        |_| "3 exec x\n".to_owned(),
    ),
    row("kill -1", children, |_| "1 kill -1 SIGKILL\n".to_owned()),
    row(
        "kill of a process group",
        |n| children(n) + &each(n, |i| format!("1 setpgid {} {}", nr(i), nr(0))),
        |_| format!("1 kill -{} SIGKILL\n", nr(0)),
    ),
    row(
        "exit of the parent of a stopped job of n",
        // The parent is in a group and the job in another one of the same session.
        |n| {
            format!(
                "1 clone\n2 setsid\n2 clone\n3 clone\n3 setpgid 4 4\n3 setpgid 0 0\n{}3 kill {} SIGSTOP\n",
                each(n, |i| format!("3 clone\n3 setpgid {} 4", i + 5)),
                n + 4
            )
        },
        |_| "2 kill 3 SIGKILL\n".to_owned(),
    ),
    row(
        "cgroup.kill of a job of n with one stopped",
        |n| {
            format!(
                "1 mkdir cgroup/a\n1 clone\n2 setsid\n2 clone\n2 setpgid 3 3\n2 kill 3 SIGSTOP\n{}",
                each(n, |i| format!("2 clone\n2 setpgid {0} 3\n1 write cgroup/a/cgroup.procs {0}", i + 4))
            )
        },
        |_| "1 write cgroup/a/cgroup.kill 1\n".to_owned(),
    ),
    row(
        "SIGTSTP to an orphaned group of n",
        |n| format!("1 clone\n2 setsid\n{}", times(n, "2 clone")),
        |_| "1 kill -2 SIGTSTP\n".to_owned(),
    ),
    row(
        "exit in a job of n",
        |n| children(n) + &each(n, |i| format!("1 setpgid {} {}", nr(i), nr(0))),
        |n| each(n, |i| format!("{} exit", nr(i))),
    ),
    row("setpgid", children, |n| each(n, |i| format!("1 setpgid {} {}", nr(i), nr(0)))),
    row("queued signals", |_| "1 clone\n2 sigprocmask block 40\n".to_owned(), |n| times(n, "1 kill 2 40")),
    row(
        "queued signals are taken",
        |n| "1 clone\n2 sigprocmask block 40\n".to_owned() + &times(n, "1 kill 2 40"),
        |n| times(n, "2 sigwaitinfo 40"),
    ),
    row(
        "queued signals are delivered",
        |n| "1 clone\n2 sigaction 40 handler\n2 sigprocmask block 40\n".to_owned() + &times(n, "1 kill 2 40"),
        |_| "2 sigprocmask unblock 40\n".to_owned(),
    ),
    row(
        "ptrace seize",
        |n| "1 clone\n".to_owned() + &children(n),
        |n| each(n, |i| format!("2 ptrace seize {}", i + 3)),
    ),
    row(
        "exit of n tracees",
        |n| {
            "1 clone\n1 sigaction SIGCHLD ignore\n".to_owned()
                + &children(n)
                + &each(n, |i| format!("2 ptrace seize {}", i + 3))
        },
        |n| each(n, |i| format!("{} exit", n + 2 - i)),
    ),
    row("ls proc", children, |_| "1 ls proc\n".to_owned()),
    row("ls kernel/task", children, |_| "1 ls kernel/task\n".to_owned()),
    row("read proc/<pid>/stat of all", children, |n| each(n, |i| format!("1 read proc/{}/stat", nr(i)))),
    row("read proc/<pid>/status of all", children, |n| each(n, |i| format!("1 read proc/{}/status", nr(i)))),
    row("read proc/<pid>/task/<pid>/children", children, |_| "1 ls kernel/task/1/children\n".to_owned()),
    row("stat proc/<pid>", children, |n| each(n, |i| format!("1 stat proc/{}", nr(i)))),
    row("readlink proc/<pid>/ns/net", children, |n| each(n, |i| format!("1 readlink proc/{}/ns/net", nr(i)))),
    row("ls proc/1/task", |n| times(n, "1 clone thread,sighand,vm"), |_| "1 ls proc/1/task\n".to_owned()),
    row(
        "stat proc/1/task/<tid>",
        |n| times(n, "1 clone thread,sighand,vm"),
        |n| each(n, |i| format!("1 stat proc/1/task/{}", nr(i))),
    ),
    row(
        "read proc/<tid>/stat of threads",
        |n| times(n, "1 clone thread,sighand,vm"),
        |n| each(n, |i| format!("1 read proc/1/task/{}/stat", nr(i))),
    ),
    row("read kernel/tree", children, |_| "1 read kernel/tree\n".to_owned()),
    row(
        "read kernel/tree, a chain",
        |n| each(n, |i| format!("{} clone", i + 1)),
        |_| "1 read kernel/tree\n".to_owned(),
    ),
    row("read kernel/tree.json", children, |_| "1 read kernel/tree.json\n".to_owned()),
    row("read kernel/graph.dot", children, |_| "1 read kernel/graph.dot\n".to_owned()),
    row("differ of n values", nothing, |n| {
        "differ".to_owned() + &(0..n).map(|i| format!(" {i}")).collect::<String>() + "\n"
    }),
    row("names", nothing, |n| each(n, |i| format!("A{i} = 1 getsid 0"))),
];

pub const NAMESPACES: &[Row] = &[
    row("clone newuts,newipc,newnet,newns", nothing, |n| {
        times(n / 4, "1 clone newuts,newipc,newnet,newcgroup,newtime")
    }),
    row("unshare newnet", children, |n| each(n / 8, |i| format!("{} unshare newnet", nr(i)))),
    row("exit of n net namespaces", |n| times(n / 8, "1 clone newnet"), |n| each(n / 8, |i| format!("{} exit", nr(i)))),
    row(
        "exit of n namespaces of other kinds",
        |n| times(n / 8, "1 clone newuts,newipc,newcgroup,newuser,newpid"),
        |n| each(n / 8, |i| format!("{} exit", nr(i))),
    ),
    row("unshare newns", children, |n| each(n / 8, |i| format!("{} unshare newns", nr(i)))),
    row(
        "exit of n mount namespaces",
        |n| times(n / 8, "1 clone newns"),
        |n| each(n / 8, |i| format!("{} exit", nr(i))),
    ),
    row("uid_map", |n| times(n, "1 clone newuser"), |n| each(n, |i| format!("1 write proc/{}/uid_map 0 {i} 1", nr(i)))),
    row(
        "setns",
        |n| children(n) + "1 clone newuts\n",
        |n| each(n, |i| format!("{} setns proc/{}/ns/uts", nr(i), nr(n))),
    ),
    row("setuid", children, |n| each(n, |i| format!("{} setuid {}", nr(i), i + 1))),
    row("sethostname", |n| times(n, "1 clone"), |n| each(n, |i| format!("1 sethostname h{i}"))),
    row("ls kernel/ns/uts", |n| times(n, "1 clone newuts"), |_| "1 ls kernel/ns/uts\n".to_owned()),
    row("ls kernel/nsproxy", |n| times(n, "1 clone newuts"), |_| "1 ls kernel/nsproxy\n".to_owned()),
    row("ls kernel/ns/uts/<init>/tasks", children, |_| "1 ls kernel/ns/uts/4026531838/tasks\n".to_owned()),
    row("readlink of each of them", children, |n| {
        each(n, |i| format!("1 readlink kernel/ns/uts/4026531838/tasks/{}", nr(i)))
    }),
    row("readlink of each of kernel/ns/pid/…/idr", children, |n| {
        each(n, |i| format!("1 readlink kernel/ns/pid/4026531836/idr/{}", nr(i)))
    }),
    row(
        "read kernel/ns/uts/<each>/count",
        |n| times(n, "1 clone newuts"),
        |n| each(n, |i| format!("1 read kernel/ns/uts/{}/count", 4_026_532_177 + i)),
    ),
    row(
        "read kernel/ns/uts/<each>/pins",
        |n| times(n, "1 clone newuts"),
        |n| each(n, |i| format!("1 read kernel/ns/uts/{}/pins", 4_026_532_177 + i)),
    ),
    row(
        "read kernel/ns/uts/<each>/holders",
        |n| times(n, "1 clone newuts"),
        |n| each(n, |i| format!("1 read kernel/ns/uts/{}/holders", 4_026_532_177 + i)),
    ),
    row(
        "read kernel/tree, each its namespaces",
        |n| times(n, "1 clone newuts,newipc,newcgroup,newtime"),
        |_| "1 read kernel/tree\n".to_owned(),
    ),
    row(
        "read kernel/tree, each its user and pid",
        |n| times(n, "1 clone newuser,newpid"),
        |_| "1 read kernel/tree\n".to_owned(),
    ),
    row(
        "read kernel/tree.json, each its namespaces",
        |n| times(n, "1 clone newuts,newipc,newcgroup,newtime"),
        |_| "1 read kernel/tree.json\n".to_owned(),
    ),
    row(
        "read kernel/graph.dot, each its namespaces",
        |n| times(n, "1 clone newuts,newipc,newcgroup,newtime"),
        |_| "1 read kernel/graph.dot\n".to_owned(),
    ),
    row(
        "read kernel/graph.svg, each its namespaces",
        |n| times(n, "1 clone newuts,newipc,newcgroup,newtime"),
        |_| "1 read kernel/graph.svg\n".to_owned(),
    ),
];

pub const FILES: &[Row] = &[
    row("mkdir below cgroup", nothing, |n| each(n, |i| format!("1 mkdir cgroup/c{i}"))),
    row(
        "rmdir below cgroup",
        |n| each(n, |i| format!("1 mkdir cgroup/c{i}")),
        |n| each(n, |i| format!("1 rmdir cgroup/c{i}")),
    ),
    row("ls cgroup", |n| each(n, |i| format!("1 mkdir cgroup/c{i}")), |_| "1 ls cgroup\n".to_owned()),
    row(
        "write cgroup.procs",
        |n| children(n) + &each(n, |i| format!("1 mkdir cgroup/c{i}")),
        |n| each(n, |i| format!("1 write cgroup/c{i}/cgroup.procs {}", nr(i))),
    ),
    row(
        "write cgroup.procs back",
        |n| children(n) + "1 mkdir cgroup/a\n",
        |n| each(n, |i| format!("1 write cgroup/a/cgroup.procs {0}\n1 write cgroup/cgroup.procs {0}", nr(i))),
    ),
    row(
        "read cgroup.events of each",
        |n| each(n, |i| format!("1 mkdir cgroup/c{i}")),
        |n| each(n, |i| format!("1 read cgroup/c{i}/cgroup.events")),
    ),
    row(
        "read cgroup.stat of each",
        |n| each(n, |i| format!("1 mkdir cgroup/c{i}")),
        |n| each(n, |i| format!("1 read cgroup/c{i}/cgroup.stat")),
    ),
    row(
        "read cgroup.type of each",
        |n| each(n, |i| format!("1 mkdir cgroup/c{i}")),
        |n| each(n, |i| format!("1 read cgroup/c{i}/cgroup.type")),
    ),
    row(
        "read cgroup.stat at the top",
        |n| each(n, |i| format!("1 mkdir cgroup/c{i}")),
        |n| times(n, "1 read cgroup/cgroup.stat"),
    ),
    row("read cgroup.procs", children, |_| "1 read cgroup/cgroup.procs\n".to_owned()),
    row(
        "write cgroup.freeze, cgroup.kill",
        |n| children(n) + &each(n, |i| format!("1 mkdir cgroup/c{i}")),
        |n| each(n, |i| format!("1 write cgroup/c{i}/cgroup.freeze 1\n1 write cgroup/c{i}/cgroup.kill 1")),
    ),
    row(
        "cgroup.kill of n",
        |n| children(n) + "1 mkdir cgroup/a\n" + &each(n, |i| format!("1 write cgroup/a/cgroup.procs {}", nr(i))),
        |_| "1 write cgroup/a/cgroup.kill 1\n".to_owned(),
    ),
    row("touch", nothing, |n| each(n, |i| format!("1 touch /tmp/f{i}"))),
    row("mkdir", nothing, |n| each(n, |i| format!("1 mkdir /tmp/f{i}"))),
    row("unlink", |n| each(n, |i| format!("1 touch /tmp/f{i}")), |n| each(n, |i| format!("1 unlink /tmp/f{i}"))),
    row(
        "rename",
        |n| each(n, |i| format!("1 touch /tmp/f{i}")),
        |n| each(n, |i| format!("1 rename /tmp/f{i} /tmp/g{i}")),
    ),
    row("ls /tmp", |n| each(n, |i| format!("1 touch /tmp/f{i}")), |_| "1 ls /tmp\n".to_owned()),
    row(
        "stat /tmp/<each>",
        |n| each(n, |i| format!("1 touch /tmp/f{i}")),
        |n| each(n, |i| format!("1 stat /tmp/f{i}")),
    ),
    row("append to a file", |_| "1 touch /tmp/f\n".to_owned(), |n| times(n, "1 write /tmp/f 12345678")),
    row("open", |n| format!("1 prlimit nofile {0}:{0}\n", n + 10), |n| times(n, "1 open /tmp")),
    row(
        "close and open the first",
        |n| format!("1 prlimit nofile {0}:{0}\n{1}", n + 10, times(n, "1 open /tmp")),
        |n| times(n, "1 close 5\n1 open /tmp"),
    ),
    row(
        "open with room at the end only",
        |n| format!("1 prlimit nofile {0}:{0}\n{1}", n + 10, times(n, "1 open /tmp")),
        |n| times(n, &format!("1 close {0}\n1 open /tmp", n - 1)),
    ),
    row(
        "ls proc/1/fd",
        |n| format!("1 prlimit nofile {0}:{0}\n{1}", n + 10, times(n, "1 open /tmp")),
        |_| "1 ls proc/1/fd\n".to_owned(),
    ),
    row(
        "readlink proc/1/fd/<each>",
        |n| format!("1 prlimit nofile {0}:{0}\n{1}", n + 10, times(n, "1 open /tmp")),
        |n| each(n, |i| format!("1 readlink proc/1/fd/{i}")),
    ),
    row(
        "open pidfd of one task",
        |n| format!("1 prlimit nofile {0}:{0}\n1 clone\n", n + 10),
        |n| times(n, "1 open pidfd:2"),
    ),
    row(
        "pins of one namespace",
        |n| format!("1 prlimit nofile {0}:{0}\n", n + 10),
        |n| times(n, "1 open proc/1/ns/net"),
    ),
    row(
        "exit with n descriptors",
        |n| format!("1 clone\n2 prlimit nofile {0}:{0}\n{1}", n + 10, times(n, "2 open /tmp")),
        |_| "2 exit\n".to_owned(),
    ),
    row(
        "mount tmpfs, one on each of n",
        |n| each(n, |i| format!("1 mkdir /tmp/d{i}")),
        |n| each(n, |i| format!("1 mount tmpfs t /tmp/d{i}")),
    )
    .at_most(50_000),
    row("mount --bind, n on one", |_| "1 mkdir /tmp/a\n".to_owned(), |n| times(n, "1 mount --bind /tmp/a /tmp/a"))
        .at_most(50_000),
    row(
        "umount each of n",
        |n| each(n, |i| format!("1 mkdir /tmp/d{i}")) + &each(n, |i| format!("1 mount --bind /tmp/d{i} /tmp/d{i}")),
        |n| each(n, |i| format!("1 umount /tmp/d{i}")),
    )
    .at_most(50_000),
    row(
        "umount -l of a tree of n",
        |n| {
            "1 mkdir /tmp/a\n1 mount tmpfs t /tmp/a\n".to_owned()
                + &each(n, |i| format!("1 mkdir /tmp/a/d{i}"))
                + &each(n, |i| format!("1 mount --bind /tmp/a/d{i} /tmp/a/d{i}"))
        },
        |_| "1 umount -l /tmp/a\n".to_owned(),
    )
    .at_most(50_000),
    row(
        "unshare newns with n mounts",
        |n| each(n, |i| format!("1 mkdir /tmp/d{i}")) + &each(n, |i| format!("1 mount --bind /tmp/d{i} /tmp/d{i}")),
        |_| "1 unshare newns\n".to_owned(),
    )
    .at_most(50_000),
    row(
        "read mountinfo of n",
        |n| each(n, |i| format!("1 mkdir /tmp/d{i}")) + &each(n, |i| format!("1 mount --bind /tmp/d{i} /tmp/d{i}")),
        |_| "1 read proc/1/mountinfo\n".to_owned(),
    )
    .at_most(50_000),
    row(
        "mount seen by n peers",
        |n| "1 mount --make-rshared /\n1 mkdir /tmp/a\n".to_owned() + &times(n, "1 clone newns"),
        |_| "1 mount tmpfs t /tmp/a\n".to_owned(),
    )
    .at_most(10_000),
    row(
        "umount seen by n peers",
        |n| {
            "1 mount --make-rshared /\n1 mkdir /tmp/a\n".to_owned()
                + &times(n, "1 clone newns")
                + "1 mount tmpfs t /tmp/a\n"
        },
        |_| "1 umount /tmp/a\n".to_owned(),
    )
    .at_most(10_000),
    row(
        "umount -l seen by n slaves",
        |n| {
            "1 mount --make-rshared /\n1 mkdir /tmp/a\n".to_owned()
                + &times(n, "1 clone newns")
                + &each(n, |i| format!("{} mount --make-rslave /", nr(i)))
                + "1 mount tmpfs t /tmp/a\n"
        },
        |_| "1 umount -l /tmp/a\n".to_owned(),
    )
    .at_most(10_000),
    row(
        "exit while n files of proc are mounted on",
        |n| children(n) + &each(n, |i| format!("1 mount --bind /tmp /proc/{}", nr(i))),
        |n| each(n, |i| format!("{0} exit\n1 wait {0}", nr(i))),
    )
    .at_most(50_000),
];
