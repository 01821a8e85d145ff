//! Opens, stats and reads every file of the tree, in all the states the case files leave a lab in.

#[path = "common/cases.rs"]
mod cases;
#[path = "common/files.rs"]
mod files;

use std::collections::BTreeSet;

use nslab::errno::{Errno, Result};
use nslab::kernel::file::OpenFlags;
use nslab::kernel::node::{Node, Place, View};
use nslab::kernel::{Kernel, TaskId};
use nslab::lab;
use nslab::script::Session;
use nslab::tree::{self, Attr, FileType, ROOT, Style, Viewer};

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

/// Looks at all files below a directory; `path` is for messages.
struct Walk<'k> {
    k: &'k Kernel,
    viewer: Viewer,
    files: usize,
    /// Do not go down into these.
    skip: &'static [&'static str],
}

impl Walk<'_> {
    fn dir(&mut self, path: &str, dir: Node) {
        let mut names = BTreeSet::new();
        let entries = match lab::readdir(self.k, self.viewer, dir) {
            // A zombie is in no network namespace.
            Err(error) if error.errno == Errno::EINVAL && path.ends_with("/net") => return,
            entries => entries.unwrap_or_else(|error| panic!("readdir {path}: {error}")),
        };
        for entry in entries {
            let path = format!("{path}/{}", entry.name);
            let found = lab::lookup(self.k, self.viewer, dir, entry.name.as_bytes());
            assert_eq!(found.unwrap_or_else(|e| panic!("lookup {path}: {e}")), entry.node, "{path}");
            assert!(names.insert(entry.name), "{path} is listed twice");
            let attr = lab::attr(self.k, self.viewer, entry.node).unwrap_or_else(|e| panic!("attr {path}: {e}"));
            assert_eq!(attr.file_type, entry.file_type, "{path}");
            self.files += 1;
            match attr.file_type {
                FileType::Directory if self.skip.contains(&path.as_str()) => {}
                FileType::Directory => self.dir(&path, entry.node),
                FileType::File => self.file(&path, entry.node, &attr),
                FileType::Symlink => self.link(&path, dir, entry.node),
                FileType::Socket => {}
            }
        }
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
        let text = match lab::readlink(self.k, self.viewer, node, Style::Mount) {
            Ok(text) => String::from_utf8(text).unwrap(),
            Err(error) => {
                assert!(matches!(error.errno, Errno::EACCES | Errno::ENOENT), "readlink {path}: {error}");
                return;
            }
        };
        assert!(!text.starts_with('/'), "{path} leaves the lab: {text}");
        if let Place::NsLink(..) = node.place {
            let hidden = lab::lookup(self.k, self.viewer, dir, text.as_bytes()).unwrap();
            let ino = lab::attr(self.k, self.viewer, hidden).unwrap().ino;
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
            lab::lookup(self.k, self.viewer, dir, name.as_bytes()).unwrap_or_else(|e| panic!("{path} -> {text}: {e}"))
        })
    }
}

/// Files whose mode allows writing though nothing can be changed by it here.
const UNWRITTEN: [&str; 8] =
    ["cad_pid", "file-max", "overflowgid", "overflowuid", "threads-max", "oom_score_adj", "loginuid", "faults"];

/// Files that can be written in the initial network namespace only.
const READ_ONLY_ELSEWHERE: [&str; 1] = ["rmem_max"];

fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn walk(k: &Kernel, viewer: TaskId, skip: &'static [&'static str]) -> usize {
    let mut walk = Walk { k, viewer: Viewer(viewer), files: 0, skip };
    walk.dir("", ROOT);
    walk.files
}

#[test]
fn every_file_can_be_looked_at_by_every_task() {
    let k = scene();
    for (viewer, _) in k.tasks.iter() {
        let files = walk(&k, viewer, &[]);
        assert!(files > 1000, "{files}");
    }
}

#[test]
fn every_file_can_be_looked_at_after_every_case() {
    let mut files = files::files("fixtures/cases", "lab");
    let is_walked = |name: &str| ["core-", "task-", "pid-", "uts-"].iter().any(|family| name.starts_with(family));
    files.retain(|file| is_walked(&file.file_name().unwrap_or_default().to_string_lossy()));
    cases::check(&cases::load_all(&files), Kernel::boot, |k| {
        walk(k, k.init.task, &["/as"]);
    });
}

/// All nodes of the lab as the init sees it.
fn all_nodes(k: &Kernel) -> Vec<Node> {
    let mut found = vec![ROOT];
    let mut next = 0;
    while let Some(&dir) = found.get(next) {
        next += 1;
        if let Ok(entries) = lab::readdir(k, Viewer(k.init.task), dir) {
            found.extend(entries.into_iter().map(|entry| entry.node));
        }
    }
    found
}

fn read(k: &Kernel, viewer: Viewer, node: Node) -> Result<Vec<u8>> {
    lab::read(k, viewer, &lab::open(k, viewer, node, OpenFlags::READ)?)
}

#[test]
fn stale_nodes_give_errors() {
    let mut k = scene();
    let nodes = all_nodes(&k);
    let (_, result) =
        Session::default().batch(&mut k, b"1 kill -1 SIGKILL\n1 wait -1\n1 wait -1\n1 wait -1\n1 wait -1\n1 wait -1\n");
    result.unwrap();
    let viewer = Viewer(k.init.task);
    let mut gone = 0;
    for node in nodes {
        // What a task had keeps its attributes for those who have it open.
        let is_gone = node.task().is_some_and(|task| !k.tasks.contains(task)) || lab::attr(&k, viewer, node).is_err();
        gone += usize::from(is_gone);
        // Some directories can still be opened, which then hold nothing.
        let is_dir = read(&k, viewer, node).is_err_and(|error| error.errno == Errno::EISDIR);
        let opened = lab::may_open(&k, viewer, node, OpenFlags::READ);
        assert!(opened.is_err() || !is_gone || is_dir, "{node:?} is gone and can be opened");
        for errno in [
            read(&k, viewer, node).err(),
            lab::readlink(&k, viewer, node, Style::Mount).err(),
            lab::readdir(&k, viewer, node).err(),
            lab::lookup(&k, viewer, node, b"x").err(),
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
        String::from_utf8(read(&k, Viewer(inner), node).unwrap()).unwrap()
    };
    assert!(view(b"proc/self/status").contains("\nPid:\t1\nPPid:\t0\n"));
    assert!(view(b"/proc/self/status").contains("\nPid:\t2\nPPid:\t1\n"));
    assert!(view(b"proc/self/status").contains("\nUid:\t65534\t65534\t65534\t65534\n"));
    assert!(view(b"proc/2/task/3/status").contains("\nTgid:\t2\nNgid:\t0\nPid:\t3\nPPid:\t1\n"));
}
