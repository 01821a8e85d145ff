//! Layer 3: labs without a mount. A [`Lab`] is a kernel with the names that scripts have given to its tasks; its files are read by
//! path, as those of a mounted lab are. Nothing of the host is touched, and no privilege is needed.
//!
//! ```
//! use nslab::{Lab, Pid};
//!
//! let mut lab = Lab::headless("WEB = 1 clone newpid newnet")?;
//! let web = lab.pid("WEB").expect("the script has made it");
//! assert!(lab.read(format!("proc/{web}/status"))?.contains("NSpid:\t2\t1\n"));
//! assert_eq!(lab.call(Pid::INIT, "unshare ipc")?, "0");
//! assert_ne!(lab.read_link("proc/1/ns/ipc")?, lab.read_link(format!("proc/{web}/ns/ipc"))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::path::Path;

use crate::control::lex::{Dialect, split};
use crate::errno::Result;
use crate::kernel::node::Node;
use crate::kernel::{Kernel, TaskId};
use crate::script::file::FileError;
use crate::script::run::run_file;
use crate::script::{Call, Machine, ScriptError, Session};
use crate::tree::{self, FileType, ROOT, Style};
use crate::{bail, err, lab};

/// Most links in one walk (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// The number of a task in the initial pid namespace; of a thread, its tid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// The first task of every lab.
    pub const INIT: Pid = Pid(1);

    pub fn as_raw(self) -> i32 {
        self.0
    }
}

impl From<i32> for Pid {
    fn from(number: i32) -> Pid {
        Pid(number)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lab that is not mounted.
#[derive(Debug)]
pub struct Lab {
    kernel: Kernel,
    session: Session,
}

impl Lab {
    /// A lab in the boot state that has executed the lines of `script`, in the `.lab` language.
    ///
    /// # Errors
    /// A line fails: the error has its number and its text.
    ///
    /// ```
    /// use nslab::Lab;
    ///
    /// let error = Lab::headless("A = 1 clone\n$A unshare 1").unwrap_err();
    /// assert_eq!(error.to_string(), "line 2: $A unshare 1: EINVAL: flags 0x1 cannot be unshared");
    /// ```
    pub fn headless(script: &str) -> std::result::Result<Lab, ScriptError> {
        let mut lab = Lab::default();
        lab.run(script)?;
        Ok(lab)
    }

    /// The same of a script file, which may include others.
    ///
    /// # Errors
    /// It cannot be read, or a line fails: the error has the file and the line.
    ///
    /// ```
    /// use nslab::Lab;
    ///
    /// let lab = Lab::headless_file("fixtures/docker.lab")?;
    /// assert_eq!(lab.read("proc/4/comm")?, "nginx\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn headless_file(file: impl AsRef<Path>) -> std::result::Result<Lab, FileError> {
        let mut lab = Lab::default();
        run_file(&mut lab.session, &mut lab.kernel, file.as_ref())?;
        Ok(lab)
    }

    /// Executes further lines.
    ///
    /// # Errors
    /// A line fails; those before it have been executed.
    pub fn run(&mut self, script: &str) -> std::result::Result<(), ScriptError> {
        self.session.script(&mut self.kernel, script)
    }

    /// The task whose number a script has kept by this name.
    pub fn pid(&self, name: &str) -> Option<Pid> {
        pid(&self.session, name)
    }

    /// As [`Kernel::syscall`].
    ///
    /// # Errors
    /// As there.
    pub fn call(&mut self, pid: impl Into<Pid>, call: &str) -> Result<String> {
        self.kernel.syscall(pid, call)
    }

    /// As [`Kernel::spawn`].
    ///
    /// # Errors
    /// As there.
    pub fn spawn(&mut self, parent: impl Into<Pid>, flags: &str) -> Result<Pid> {
        self.kernel.spawn(parent, flags)
    }

    /// As [`Kernel::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, file: impl AsRef<Path>) -> Result<String> {
        self.kernel.read(file)
    }

    /// As [`Kernel::read_link`].
    ///
    /// # Errors
    /// As there.
    pub fn read_link(&self, link: impl AsRef<Path>) -> Result<String> {
        self.kernel.read_link(link)
    }

    /// As [`Kernel::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, dir: impl AsRef<Path>) -> Result<Vec<String>> {
        self.kernel.list(dir)
    }

    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The kernel and the names that scripts have made.
    pub fn into_parts(self) -> (Kernel, Session) {
        (self.kernel, self.session)
    }
}

impl Default for Lab {
    /// In the boot state.
    fn default() -> Lab {
        Lab { kernel: Kernel::boot(), session: Session::default() }
    }
}

/// The task whose number a session has kept by this name.
pub fn pid(session: &Session, name: &str) -> Option<Pid> {
    let value = std::str::from_utf8(session.value(name)?).ok()?;
    value.parse().ok().map(Pid)
}

/// A kernel as its users see it: calls of its tasks, and files by their paths in the mount.
impl Kernel {
    /// Makes task `pid` do a call, a verb and its arguments, as written to `ctl/<pid>/<verb>`. Gives the result without a
    /// newline.
    ///
    /// # Errors
    /// What the call gives, with the check that refused it. EINVAL: no such verb, or arguments it does not take. ESRCH: no such
    /// task.
    ///
    /// ```
    /// use nslab::{Errno, Kernel, Pid};
    ///
    /// let mut kernel = Kernel::boot();
    /// kernel.syscall(Pid::INIT, "setuid 1000")?;
    /// let error = kernel.syscall(Pid::INIT, "unshare net").unwrap_err();
    /// assert_eq!(error.errno, Errno::EPERM);
    /// assert!(error.reason().starts_with("CAP_SYS_ADMIN missing in user:[4026531837]"));
    /// # Ok::<(), nslab::Error>(())
    /// ```
    pub fn syscall(&mut self, pid: impl Into<Pid>, call: &str) -> Result<String> {
        let mut words = split(call, Dialect::Control)?.into_iter();
        let mut word = || words.next().map(|word| word.expand(|_| None)).transpose();
        let Some(verb) = word()? else { bail!(EINVAL, "the call has no words") };
        let mut arguments = Vec::new();
        while let Some(argument) = word()? {
            arguments.push(argument);
        }
        let call = Call::new(&String::from_utf8_lossy(&verb.bytes), arguments)?;
        Machine::call(self, pid.into().as_raw(), &call).map(text)
    }

    /// Makes task `parent` clone itself, with the namespaces that `flags` name (`"newpid newnet"`, or nothing: a fork).
    ///
    /// # Errors
    /// As [`Kernel::syscall`].
    pub fn spawn(&mut self, parent: impl Into<Pid>, flags: &str) -> Result<Pid> {
        let number = self.syscall(parent, &format!("clone {flags}"))?;
        number.parse().map(Pid).map_err(|_| err!(EIO, "the child has no number but {}", number))
    }

    /// The whole content of a file of the lab: `proc/1/status`, `kernel/tree`, `as/2/proc/self/mounts` … Symbolic links are
    /// followed. What is not UTF-8 in it is replaced.
    ///
    /// # Errors
    /// ENOENT: no such file. ENOTDIR, EISDIR, ELOOP. EINVAL: it cannot be read. EACCES, EPERM, ESRCH: as the file says.
    ///
    /// ```
    /// let kernel = nslab::Kernel::boot();
    /// assert!(kernel.read("proc/1/status")?.contains("NSpid:\t1\n"));
    /// assert_eq!(kernel.read("kernel/task/1/nsproxy/count")?, "1\n");
    /// # Ok::<(), nslab::Error>(())
    /// ```
    pub fn read(&self, file: impl AsRef<Path>) -> Result<String> {
        let node = Walk::new(self).to(file.as_ref(), true)?;
        tree::read(self, lab::eyes(viewer(self, node)), node).map(text)
    }

    /// The text of a symbolic link as Linux shows it: `net:[4026531833]`.
    ///
    /// # Errors
    /// As [`Kernel::read`]; EINVAL: no symbolic link.
    pub fn read_link(&self, link: impl AsRef<Path>) -> Result<String> {
        let node = Walk::new(self).to(link.as_ref(), false)?;
        tree::readlink(self, lab::eyes(viewer(self, node)), node, Style::Linux).map(text)
    }

    /// The names in a directory, in the order in which Linux lists them.
    ///
    /// # Errors
    /// As [`Kernel::read`].
    pub fn list(&self, dir: impl AsRef<Path>) -> Result<Vec<String>> {
        let node = Walk::new(self).to(dir.as_ref(), true)?;
        let entries = tree::readdir(self, lab::eyes(viewer(self, node)), node)?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }
}

/// A way through the files of the mount, from its top.
struct Walk<'k> {
    k: &'k Kernel,
    /// The directories on the way, the top first.
    way: Vec<Node>,
    links: usize,
}

impl Walk<'_> {
    fn new(k: &Kernel) -> Walk<'_> {
        Walk { k, way: vec![ROOT], links: 0 }
    }

    /// The file at a path, which a leading slash does not change. A link at its end is followed if `follow_last`.
    fn to(mut self, path: &Path, follow_last: bool) -> Result<Node> {
        let path = path.as_os_str().as_encoded_bytes();
        self.walk(path, follow_last)?;
        Ok(self.here())
    }

    fn here(&self) -> Node {
        self.way.last().copied().unwrap_or(ROOT)
    }

    fn walk(&mut self, path: &[u8], follow_last: bool) -> Result<()> {
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
        for (index, &name) in names.iter().enumerate() {
            match name {
                b"." => {}
                // Above the top is the top.
                b".." => self.way.truncate(1.max(self.way.len() - 1)),
                name => self.enter(name, follow_last || index + 1 < names.len())?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, name: &[u8], follow: bool) -> Result<()> {
        let (k, dir) = (self.k, self.here());
        let node = tree::lookup(k, lab::eyes(viewer(k, dir)), dir, name)?;
        let eyes = lab::eyes(viewer(k, node));
        if !follow || tree::attr(k, eyes, node)?.file_type != FileType::Symlink {
            self.way.push(node);
            return Ok(());
        }
        self.links += 1;
        if self.links > LINKS_MAX {
            bail!(ELOOP, "more than {} links", LINKS_MAX);
        }
        let target = tree::readlink(k, eyes, node, Style::Mount)?;
        if target.starts_with(b"/") {
            bail!(ENOENT, "the link leads out of the lab, to {}", text(target));
        }
        self.walk(&target, true)
    }
}

/// The task with whose eyes a file is looked at.
fn viewer(k: &Kernel, node: Node) -> TaskId {
    node.view.viewer().unwrap_or(k.init.task)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;

    fn lab(script: &str) -> Lab {
        Lab::headless(script).unwrap()
    }

    #[test]
    fn files_are_those_of_the_mount() {
        let lab = lab("A = 1 clone newpid newnet\n$A prctl name web\n$A chdir /run\n");
        assert_eq!(lab.read("proc/2/comm").unwrap(), "web\n");
        assert_eq!(lab.read("/proc/self/comm").unwrap(), "init\n");
        assert_eq!(lab.read("as/2/proc/self/comm").unwrap(), "web\n");
        assert_eq!(lab.read("kernel/task/2/nsproxy/net_ns/inum").unwrap(), "4026532178\n");
        assert_eq!(lab.read_link("as/2/proc/self").unwrap(), "1");
        assert_eq!(lab.read_link("proc/2/cwd").unwrap(), "/run");
        assert_eq!(lab.list("proc/2/cwd/..").unwrap(), lab.list("root").unwrap());
        assert!(lab.list("ctl/2").unwrap().contains(&"clone".to_owned()));
        assert!(lab.read("kernel/tree").unwrap().contains("net:[4026532178]"));
        let errno = |file: &str| lab.read(file).unwrap_err().errno;
        assert_eq!(errno("proc/3/comm"), Errno::ENOENT);
        assert_eq!(errno("proc"), Errno::EISDIR);
        assert_eq!(errno("proc/1/ns/net"), Errno::EINVAL);
        assert_eq!(errno("proc/1/comm/x"), Errno::ENOTDIR);
        assert_eq!(lab.read_link("proc/1/comm").unwrap_err().errno, Errno::EINVAL);
    }

    #[test]
    fn tasks_have_numbers_of_a_type_of_their_own() {
        let mut lab = lab("A = 1 clone\nB = $A clone\n");
        assert_eq!([lab.pid("A"), lab.pid("B"), lab.pid("C")], [Some(Pid(2)), Some(Pid(3)), None]);
        let child = lab.spawn(3, "newuts").unwrap();
        assert_eq!(child, Pid(4));
        assert_eq!(lab.call(child, "sethostname \"a b\"").unwrap(), "0");
        assert_eq!(lab.read("as/4/proc/sys/kernel/hostname").unwrap(), "a b\n");
        assert_eq!(lab.call(9, "clone").unwrap_err().errno, Errno::ESRCH);
        assert_eq!(lab.call(1, "frob").unwrap_err().reason(), "there is no verb frob");
        assert_eq!(lab.call(1, "").unwrap_err().errno, Errno::EINVAL);
    }

    #[test]
    fn an_error_says_where_it_is() {
        let error = Lab::headless("A = 1 clone\n\n$A kill 77 TERM # gone\n").unwrap_err();
        assert_eq!((error.line, error.errno()), (3, Some(Errno::ESRCH)));
        assert!(error.to_string().starts_with("line 3: $A kill 77 TERM # gone: ESRCH: "), "{error}");
        let error = Lab::headless("! EPERM 1 clone").unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.errno()),
            ("line 1: ! EPERM 1 clone: expected EPERM, got 2", None)
        );
        let file = tempfile::Builder::new().suffix(".lab").tempfile().unwrap();
        std::fs::write(file.path(), "1 clone\n1 kill 77 TERM\n").unwrap();
        let error = Lab::headless_file(file.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:2: ", file.path().display())), "{error}");
        assert_eq!(Lab::headless_file("/no.lab").unwrap_err().place, "/no.lab");
    }

    #[test]
    fn a_link_that_leads_to_itself_is_no_endless_way() {
        let lab = lab("1 symlink /tmp/a /tmp/a\n");
        assert_eq!(lab.read("root/tmp/a").unwrap_err().errno, Errno::ELOOP);
        assert_eq!(lab.read("as/1/proc/1/task/1/../../../../../1/proc/self/comm").unwrap(), "init\n");
    }
}
