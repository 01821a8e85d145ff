//! What one item costs among 10³, 10⁴ and 10⁵ of its kind: no call and no file may cost more than what it touches.
//! Run with `cargo bench --bench scale`, or `-- WORD` for the rows whose name has the word. A row whose cost grows more
//! than twofold is marked; the numbers behind `ls` and `read` are per entry or line that is shown.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nslab::kernel::Kernel;
use nslab::script::Session;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// A size that costs so many times what the one before it costs per item is the last: the next one would take hours.
const GROWTH_HOPELESS: f64 = 4.0;
/// The growth from the smallest to the largest size that is marked.
const GROWTH_MAX: f64 = 2.0;

/// One thing that is measured: a script that makes the lab, and lines that are timed.
struct Row {
    name: &'static str,
    /// The lines before.
    setup: fn(usize) -> String,
    /// The lines that are timed.
    timed: fn(usize) -> String,
    /// The largest size that makes sense, where a limit of the kernel is below the largest of [`SIZES`].
    largest: usize,
}

const fn row(name: &'static str, setup: fn(usize) -> String, timed: fn(usize) -> String) -> Row {
    Row { name, setup, timed, largest: usize::MAX }
}

impl Row {
    const fn at_most(self, largest: usize) -> Row {
        Row { largest, ..self }
    }
}

/// A line for each number.
fn each(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{}", line(number));
        text
    })
}

/// The same line again and again.
fn times(count: usize, line: &str) -> String {
    each(count, |_| line.to_owned())
}

fn nothing(_: usize) -> String {
    String::new()
}

/// Init and its children, whose numbers start at 2.
fn children(count: usize) -> String {
    times(count, "1 clone")
}

/// The number of child `index` of init.
fn nr(index: usize) -> usize {
    index + 2
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!("{:<44} {:>10} {:>10} {:>10} {:>8}", "ns per item", "10^3", "10^4", "10^5", "growth");
    let mut grown = 0;
    for row in TASKS.iter().chain(NAMESPACES).chain(FILES).chain(IPC).chain(NET) {
        if words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str())) {
            grown += usize::from(measure(row));
        }
    }
    println!("{grown} rows grow more than {GROWTH_MAX}-fold");
}

/// Prints a row; whether its cost grows.
fn measure(row: &Row) -> bool {
    print!("{:<44}", row.name);
    let mut costs: Vec<f64> = Vec::new();
    let mut is_hopeless = false;
    for size in SIZES {
        if size > row.largest || is_hopeless {
            print!(" {:>10}", if is_hopeless { "-" } else { "" });
            continue;
        }
        // The best of some runs counts: the first ones warm the caches.
        let runs = if size < 10_000 { 5 } else { 2 };
        let best = (0..runs).map(|_| run(row, size)).min().unwrap_or_default();
        let cost = best.as_nanos() as f64 / size as f64;
        is_hopeless = costs.last().is_some_and(|last| cost > last * GROWTH_HOPELESS);
        costs.push(cost);
        print!(" {cost:>10.0}");
        let _ = std::io::stdout().flush();
    }
    let growth = costs.last().copied().unwrap_or(0.0) / costs.first().copied().unwrap_or(1.0);
    let is_grown = growth > GROWTH_MAX;
    println!(" {growth:>8.2}{}", if is_grown { "  <<<" } else { "" });
    is_grown
}

/// How long this thread has run, which other programs on the machine do not make longer.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).expect("every Linux has this clock")
}

fn run(row: &Row, size: usize) -> Duration {
    let (mut kernel, mut session) = (Kernel::boot(), Session::default());
    execute(row, &mut kernel, &mut session, &(row.setup)(size));
    let timed = (row.timed)(size);
    let start = cpu_time();
    execute(row, &mut kernel, &mut session, &timed);
    cpu_time().saturating_sub(start)
}

fn execute(row: &Row, kernel: &mut Kernel, session: &mut Session, script: &str) {
    let (done, result) = session.batch(kernel, script.as_bytes());
    if let Err(error) = result {
        panic!("{}: {error}\n{}", row.name, script[done..].lines().next().unwrap_or_default());
    }
}

const TASKS: &[Row] = &[
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
    row("ls as", children, |_| "1 ls as\n".to_owned()),
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

const NAMESPACES: &[Row] = &[
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

const FILES: &[Row] = &[
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

const IPC: &[Row] = &[
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
    row("mq_open", |n| format!("1 prlimit nofile {0}:{0}\n1 prlimit msgqueue 1000000000000\n1 write proc/sys/fs/mqueue/queues_max 1000000\n", n + 10), |n| {
        each(n, |i| format!("1 mq_open q{i} create"))
    }),
    row("ls mqueue", |n| format!("1 prlimit nofile {0}:{0}\n1 prlimit msgqueue 1000000000000\n1 write proc/sys/fs/mqueue/queues_max 1000000\n", n + 10)
        + &each(n, |i| format!("1 mq_open q{i} create")), |_| "1 ls mqueue\n".to_owned()),
    row("mq_send and mq_receive", |n| {
        format!("1 prlimit msgqueue 1000000000000\n1 write proc/sys/fs/mqueue/msg_max 65536\n1 mq_open q create rdwr maxmsg={n} msgsize=8\n")
    }, |n| each(n, |i| format!("1 mq_send 0 {} x", i % 32768)) + &times(n, "1 mq_receive 0"))
    .at_most(60_000),
];

const NET: &[Row] = &[
    row("ip link add", nothing, |n| each(n, |i| format!("1 ip link add d{i} type dummy"))),
    row("ip link add d%d", nothing, |n| times(n, "1 ip link add d%d type dummy")),
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
