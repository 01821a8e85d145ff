//! Opens, stats and reads every file of the tree, in all the states the case files leave a lab in.

#[path = "common/cases.rs"]
mod cases;
#[path = "common/files.rs"]
mod files;
#[path = "common/walk.rs"]
mod walk;

use std::collections::BTreeMap;

use nslab::errno::{Errno, Error, Result};
use nslab::kernel::Kernel;
use nslab::kernel::file::OpenFlags;
use nslab::kernel::node::{Node, Place, View};
use nslab::lab;
use nslab::script::Session;
use nslab::tree::{self, Attr, Eyes, FileType, ROOT, Style};
use walk::{Found, walk};

/// A lab with what makes a difference to readers: threads, zombies, a dead leader, nested pid and user namespaces,
/// ids without a mapping, all kinds of descriptors.
const SCENE: &str = "
A = 1 clone newpid newuser newuts
B = $A clone
$B setpgid $B $B
C = $B clone vm fs files sighand thread sysvsem
1 write proc/$A/uid_map 0 1000 1
D = 1 clone newpid
E = $D clone
$E exit 3
F = 1 clone newtime
$F exit 1
G = 1 clone
T = $G clone vm fs files sighand thread sysvsem
$G exit
H = 1 clone
$H unshare newpid newnet
$H setresuid 7 7 7
1 open pidfd:$A
1 open pidfd:$F
1 open proc/$A/ns/pid
1 open proc/$A/uid_map rdwr
1 open proc/$H directory
1 open proc/$H/ns/net path nofollow
1 open proc/sys/kernel/pid_max
I = 1 clone newipc
$I msgget 42 create 0600
$I msgsnd 0 1 hello
$I semget 42 2 create 0600
$I semop 0 0,1,undo
$I shmget 42 5000 create 0600
$I shmat 0
$I shmctl 0 rmid
q = $I mq_open q create 0600
$I mq_send $q 0 hello
$I mq_notify $q none
$I mq_open q2 create 0600
$I mq_unlink q2
1 mq_open q create 0640
1 open proc/sysvipc/msg
$I open proc/sys/kernel/msgmax
1 kill $H SIGSTOP
";

fn scene() -> Kernel {
    let mut k = Kernel::boot();
    let (_, result) = Session::default().batch(&mut k, SCENE.as_bytes());
    result.unwrap();
    k
}

/// One look at a lab; paths are for messages.
struct Looks<'k> {
    k: &'k Kernel,
    viewer: Eyes,
}

impl Looks<'_> {
    /// Looks at all files below the top, not into those directories; gives how many there are.
    fn at_all(&self, skip: &[&str]) -> usize {
        // A zombie is in no network namespace.
        let fails = |dir: &Found, error: Error| {
            assert!(error.errno == Errno::EINVAL && dir.path.ends_with("/net"), "readdir {}: {error}", dir.path);
        };
        let steps = walk(self.k, self.viewer, ROOT, |dir, _| !skip.contains(&dir.path.as_str()), fails);
        let mut seen = BTreeMap::new();
        for Found { path, node, file_type } in &steps {
            assert!(seen.insert(path.as_str(), *node).is_none(), "{path} is listed twice");
            let Some((dir, name)) = path.rsplit_once('/') else { continue };
            let dir = seen[dir];
            let found = tree::find(self.k, self.viewer, dir, name.as_bytes());
            let attr = tree::attr(self.k, self.viewer, *node).unwrap_or_else(|e| panic!("attr {path}: {e}"));
            assert_eq!(found.unwrap_or_else(|e| panic!("lookup {path}: {e}")), Some((*node, attr)), "{path}");
            assert_eq!(attr.file_type, *file_type, "{path}");
            match file_type {
                FileType::File => self.file(path, *node, &attr),
                FileType::Symlink => self.link(path, dir, *node),
                FileType::Directory | FileType::Socket => {}
            }
        }
        steps.len() - 1
    }

    fn file(&self, path: &str, node: Node, attr: &Attr) {
        match read(self.k, self.viewer, node) {
            Ok(text) if leaf(path) == "holders" => {
                let count = read(self.k, self.viewer, self.follow(path, "count")).unwrap();
                let lines = text.iter().filter(|&&byte| byte == b'\n').count();
                assert_eq!(format!("{lines}\n").into_bytes(), count, "{path}");
            }
            Ok(text) if path.starts_with("/kernel") => {
                assert!(text.is_empty() || text.ends_with(b"\n"), "{path} ends without a newline");
            }
            Ok(_) => {}
            Err(error) => {
                // Rights, and zombies without memory, mount namespace or names; what Linux hides can all be read.
                let may_fail = !path.starts_with("/kernel");
                let allowed = [Errno::EACCES, Errno::ESRCH, Errno::EINVAL];
                assert!(may_fail && allowed.contains(&error.errno), "read {path}: {error}");
            }
        }
        if READ_ONLY_ELSEWHERE.contains(&leaf(path)) {
            return;
        }
        let is_written = tree::write_target(node).is_some() || UNWRITTEN.contains(&leaf(path));
        // Shown read-only, and open to a capability all the same (`ipc_permissions`).
        let shown = attr.mode & 0o222 != 0 || path.ends_with("_next_id");
        // The mode of a queue is its maker's.
        let is_queue = matches!(node.place, Place::Mqueue(_));
        assert!(path.starts_with("/ctl") || is_queue || is_written == shown, "{path}");
    }

    fn link(&self, path: &str, dir: Node, node: Node) {
        let text = match tree::readlink(self.k, self.viewer, node, Style::Mount) {
            Ok(text) => String::from_utf8(text).unwrap(),
            Err(error) => {
                assert!(matches!(error.errno, Errno::EACCES | Errno::ENOENT), "readlink {path}: {error}");
                return;
            }
        };
        // The name of a program is Linux's: there is no such file in the lab.
        assert!(!text.starts_with('/') || leaf(path) == "exe", "{path} leaves the lab: {text}");
        if let Place::NsLink(..) = node.place {
            let hidden = tree::lookup(self.k, self.viewer, dir, text.as_bytes()).unwrap();
            let ino = tree::attr(self.k, self.viewer, hidden).unwrap().ino;
            assert!(text.ends_with(&format!(":[{ino}]")), "{path} is {text} and leads to {ino}");
        }
        if path.starts_with("/kernel") {
            let target = self.follow(path, &text);
            assert!(matches!(target.place, Place::Struct(_, 0)), "{path} -> {text} is no object");
        }
    }

    /// The file a relative link leads to, by names from the top.
    fn follow(&self, path: &str, text: &str) -> Node {
        let mut names: Vec<&str> = path.split('/').skip(1).collect();
        names.pop();
        for name in text.split('/') {
            match name {
                ".." => drop(names.pop()),
                _ => names.push(name),
            }
        }
        names.iter().fold(ROOT, |dir, name| {
            tree::lookup(self.k, self.viewer, dir, name.as_bytes()).unwrap_or_else(|e| panic!("{path} -> {text}: {e}"))
        })
    }
}

/// Files whose mode allows writing though nothing can be changed by it here.
const UNWRITTEN: [&str; 12] = [
    "autogroup",
    "coredump_filter",
    "cad_pid",
    "file-max",
    "overflowgid",
    "overflowuid",
    "threads-max",
    "oom_score_adj",
    "loginuid",
    "faults",
    "max",
    "reserve",
];

/// Files that can be written in the initial network namespace only.
const READ_ONLY_ELSEWHERE: [&str; 1] = ["rmem_max"];

fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[test]
fn every_file_can_be_looked_at_by_every_task() {
    let k = scene();
    for (viewer, _) in k.tasks.iter() {
        let files = Looks { k: &k, viewer: lab::eyes(viewer) }.at_all(&[]);
        assert!(files > 1000, "{files}");
    }
}

#[test]
fn every_file_can_be_looked_at_after_every_case() {
    let mut files = files::files("fixtures/cases", "lab");
    let is_walked = |name: &str| ["core-", "task-", "pid-", "uts-"].iter().any(|family| name.starts_with(family));
    files.retain(|file| is_walked(&file.file_name().unwrap_or_default().to_string_lossy()));
    cases::check(&cases::load_all(&files), Kernel::boot, |k| {
        Looks { k, viewer: lab::eyes(k.init.task) }.at_all(&["/as"]);
    });
}

fn read(k: &Kernel, viewer: Eyes, node: Node) -> Result<Vec<u8>> {
    tree::read_open(k, viewer, &lab::open(k, viewer, node, OpenFlags::READ)?)
}

#[test]
fn stale_nodes_give_errors() {
    let mut k = scene();
    let nodes = walk(&k, lab::eyes(k.init.task), ROOT, |_, _| true, |_, _| {});
    let (_, result) =
        Session::default().batch(&mut k, b"1 kill -1 SIGKILL\n1 wait -1\n1 wait -1\n1 wait -1\n1 wait -1\n1 wait -1\n");
    result.unwrap();
    let viewer = lab::eyes(k.init.task);
    let mut gone = 0;
    for Found { node, .. } in nodes {
        // What a task had keeps its attributes for those who have it open.
        let is_gone = node.task().is_some_and(|task| !k.tasks.contains(task)) || tree::attr(&k, viewer, node).is_err();
        gone += usize::from(is_gone);
        // Some directories can still be opened, which then hold nothing.
        let is_dir = read(&k, viewer, node).is_err_and(|error| error.errno == Errno::EISDIR);
        let opened = tree::may_open(&k, viewer, node, OpenFlags::READ);
        assert!(opened.is_err() || !is_gone || is_dir, "{node:?} is gone and can be opened");
        for errno in [
            read(&k, viewer, node).err(),
            tree::readlink(&k, viewer, node, Style::Mount).err(),
            tree::readdir(&k, viewer, node).err(),
            tree::lookup(&k, viewer, node, b"x").err(),
        ] {
            assert!(errno.is_some() || !is_gone, "{node:?} is gone and answers");
        }
    }
    assert!(gone > 1000, "{gone}");
}

#[test]
fn a_view_shows_its_own_numbers() {
    let k = scene();
    let inner = k.find_task(2).unwrap();
    let view = |path: &[u8]| {
        let node = tree::resolve(&k, inner, View::PidNs(k.task_active_pid_ns(inner)), path, true).unwrap();
        String::from_utf8(read(&k, lab::eyes(inner), node).unwrap()).unwrap()
    };
    assert!(view(b"proc/self/status").contains("\nPid:\t1\nPPid:\t0\n"));
    assert!(view(b"/proc/self/status").contains("\nPid:\t2\nPPid:\t1\n"));
    assert!(view(b"proc/self/status").contains("\nUid:\t65534\t65534\t65534\t65534\n"));
    assert!(view(b"proc/2/task/3/status").contains("\nTgid:\t2\nNgid:\t0\nPid:\t3\nPPid:\t1\n"));
}
