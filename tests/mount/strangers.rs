//! Other users of the host on a lab that is mounted with allow_other: they look, change nothing, and find no way out of the
//! lab.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use nslab::errno::Errno;
use nslab::fuse::{self, Gauge, Options, Point};
use nslab::host::Lab;
use nslab::kernel::Kernel;
use nslab::script::Session;
use tempfile::TempDir;

use super::needs::has;

pub const STRANGER: u32 = 12345;

/// Does something as another user, who has no rights at all. Of this process it is only the thread that changes.
pub fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    let act = || {
        setfsgid(Gid::from_raw(uid));
        setfsuid(Uid::from_raw(uid));
        act()
    };
    thread::scope(|scope| scope.spawn(act).join().unwrap())
}

/// A lab that others may look at, served by this process.
pub struct Shared {
    pub dir: TempDir,
    pub gauge: Gauge,
    point: Point,
    session: Option<thread::JoinHandle<io::Result<()>>>,
}

impl Shared {
    /// `None` where this machine cannot.
    pub fn mount(options: &str, script: &str) -> Option<Shared> {
        if !has(&["fuse", "root"]) {
            return None;
        }
        let mut kernel = Kernel::boot();
        Session::default().batch(&mut kernel, script.as_bytes()).1.unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut all = Options::default();
        all.add("allow_other").unwrap();
        all.add(options).unwrap();
        let mounted = fuse::mount(Lab::new(kernel), dir.path(), &all).unwrap();
        let point = mounted.point().clone();
        Some(Shared { dir, gauge: mounted.gauge(), point, session: Some(thread::spawn(move || mounted.serve())) })
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.point.detach().unwrap();
        if let Some(session) = self.session.take() {
            session.join().unwrap().unwrap();
        }
    }
}

const SCRIPT: &str = "1 clone newuser newpid newns newnet
    2 exec web -x
    1 symlink /etc/passwd /tmp/absolute
    1 symlink ../../../../../../../../etc/passwd /tmp/relative
    1 symlink . /tmp/here
    1 symlink here/here/here/here/here/here/here/here/../../../../../../../../../../../../etc/passwd /tmp/winding
    1 symlink / /tmp/top
    1 symlink top/top/top/top/../../../../../etc/passwd /tmp/over-the-top
    1 mkdir /tmp/a
    1 open /tmp
    1 bind unix /tmp/s
    2 chdir /tmp
    1 mkdir cgroup/g
";

/// Every path of a lab, links not followed. Of `as` one way is enough.
fn paths(top: &Path) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![top.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let is_other_view = dir.ends_with("as") && entry.file_name() != OsStr::new("2");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_other_view {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn no_link_of_a_lab_leads_out_of_it() {
    let Some(lab) = Shared::mount("rw", SCRIPT) else { return };
    let top = fs::canonicalize(lab.dir.path()).unwrap();
    let (mut followed, mut outside) = (0, Vec::new());
    as_user(STRANGER, || {
        for path in paths(&top) {
            let is_link = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
            if let (true, Ok(end)) = (is_link, fs::canonicalize(&path)) {
                followed += 1;
                outside.extend((!end.starts_with(&top)).then_some((path, end)));
            }
        }
    });
    assert!(outside.is_empty() && followed > 100, "{followed} followed, {outside:?}");
    for name in ["absolute", "relative", "winding", "over-the-top"] {
        let error = fs::read(lab.at(&format!("root/tmp/{name}"))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENOENT as i32), "{name}");
    }
}

/// Whatever they try, the lab is as it was, also by ways that change nothing for those who may write.
#[test]
fn a_stranger_changes_nothing() {
    let Some(lab) = Shared::mount("rw", SCRIPT) else { return };
    let state = || ["kernel/tree.json", "kernel/faults"].map(|file| fs::read_to_string(lab.at(file)).unwrap());
    let steps = || fs::read_to_string(lab.at("kernel/trace")).unwrap().len();
    let before = (state(), steps());
    let refusals =
        [Errno::EACCES, Errno::EPERM, Errno::EROFS, Errno::ENOENT, Errno::EISDIR, Errno::ELOOP, Errno::ENXIO];
    let refusals: BTreeSet<i32> =
        refusals.into_iter().chain([Errno::EEXIST, Errno::ENOTDIR, Errno::ESRCH]).map(|errno| errno as i32).collect();
    let top = fs::canonicalize(lab.dir.path()).unwrap();
    as_user(STRANGER, || {
        let mut allowed = Vec::new();
        let mut note = |what: &str, path: &Path, result: io::Result<()>| match result {
            Err(error) if error.raw_os_error().is_some_and(|errno| refusals.contains(&errno)) => {}
            result => allowed.push(format!("{what} {}: {result:?}", path.display())),
        };
        for path in paths(&top) {
            let opened = |options: &mut OpenOptions| options.custom_flags(libc::O_NOFOLLOW).open(&path).map(drop);
            note("write", &path, opened(OpenOptions::new().write(true)));
            note("read and write", &path, opened(OpenOptions::new().read(true).write(true)));
            note("append", &path, opened(OpenOptions::new().append(true)));
            note("empty", &path, opened(OpenOptions::new().write(true).truncate(true)));
            let is_link = fs::symlink_metadata(&path).map_or(true, |meta| meta.is_symlink());
            if !is_link {
                note("chmod", &path, fs::set_permissions(&path, fs::Permissions::from_mode(0o777)));
                note("chown", &path, std::os::unix::fs::chown(&path, Some(STRANGER), None));
            }
            let inside = path.join("x");
            note("mkdir", &path, fs::create_dir(&inside));
            note("create", &path, File::create(&inside).map(drop));
            note("symlink", &path, symlink("y", &inside));
            note("rmdir", &path, fs::remove_dir(&path));
            note("unlink", &path, fs::remove_file(&path));
            note("rename", &path, fs::rename(&path, top.join("x")));
        }
        assert!(allowed.is_empty(), "{allowed:#?}");
    });
    assert_eq!((state(), steps()), before);
}

/// A process that root has attached sees with other eyes; it can write no more than before.
#[test]
fn a_stranger_that_is_attached_only_looks() {
    let Some(lab) = Shared::mount("rw", SCRIPT) else { return };
    let own = std::process::id();
    as_user(STRANGER, || {
        let refused = fs::write(lab.at("ctl/2/attach"), own.to_string()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::EACCES as i32));
    });
    lab.write("ctl/2/attach", &own.to_string());
    as_user(STRANGER, || {
        assert_eq!(fs::read_to_string(lab.at("proc/self/comm")).unwrap(), "web\n");
        assert_eq!(fs::read_link(lab.at("proc/self")).unwrap(), Path::new("1"));
        // What this task may not open, who looks with its eyes may not either.
        assert_eq!(fs::metadata(lab.at("proc/2")).unwrap_err().raw_os_error(), Some(Errno::ENOENT as i32));
        let refused = fs::write(lab.at("ctl/self/clone"), "\n").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::EACCES as i32));
    });
}

/// Who looks itself up by its number on the host finds the task that looks, and no file of the host.
#[test]
fn numbers_of_the_hosts_processes_lead_nowhere() {
    let Some(lab) = Shared::mount("rw", "1 clone\n") else { return };
    as_user(STRANGER, || {
        for number in [std::process::id(), std::os::unix::process::parent_id()] {
            for name in ["root", "cwd", "exe", "fd/0", "ns/net"] {
                let end = fs::canonicalize(lab.at(&format!("proc/{number}/{name}")));
                assert!(end.as_ref().map_or(true, |end| end.starts_with(lab.dir.path())), "{number}/{name}: {end:?}");
            }
        }
    });
}

/// One that keeps all it can keep open, and reads without an end, keeps nobody from writing.
#[test]
fn a_stranger_at_its_bounds_keeps_nobody_from_anything() {
    let Some(lab) = Shared::mount("max_open_files=40,max_renderings=256K", &"1 clone newuts\n".repeat(100)) else {
        return;
    };
    let kept: Vec<File> = (0..5)
        .flat_map(|uid| {
            let open = || File::open(lab.at("kernel/tree.json"));
            as_user(STRANGER + uid, || std::iter::repeat_with(open).map_while(Result::ok).take(50).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(kept.len(), 160, "four users have as many files open as all may");
    as_user(STRANGER + 9, || {
        let error = File::open(lab.at("proc/1/comm")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENFILE as i32));
    });
    // Each reads another state of the lab, until there is no room.
    let mut refused = 0;
    for mut file in &kept {
        lab.write("ctl/1/unshare", "newuts\n");
        let mut text = String::new();
        refused += u32::from(as_user(STRANGER, || file.read_to_string(&mut text)).is_err());
    }
    assert!(refused > 100, "{refused}");
    assert!(fs::read_to_string(lab.at("kernel/tree.json")).unwrap().len() > 32 << 10);
    drop(kept);
    as_user(STRANGER, || assert!(fs::read_to_string(lab.at("kernel/tree.json")).is_ok()));
}
