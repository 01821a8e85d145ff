//! Calls of programs in words, as strace(1) writes them: each argument that the call has, flags of namespaces and signals by their
//! names, descriptors and ids in base 10, addresses in base 16.

use std::collections::BTreeMap;

use crate::abi::{Call, Memory, Registers, call};
use crate::control::signal_word;
use crate::kernel::ns::NS_TABLE;
use crate::syscall::CloneFlags;

/// Arguments and the calls that have them. `d`: a number of 32 bits; `l`: one of 64 bits; `x`: an address, or bits; `s`: a text
/// that ends with a 0; `o`: a mode; `m`: one that counts if the flags before it have O_CREAT; `@`: where a path starts; `S`: a
/// signal; `W`: options of who waits; `C`: flags of unshare and setns; `c`: those of clone, with its signal.
const SHAPES: &[(&str, &str)] = &[
    ("", "fork vfork getpid gettid getppid getpgrp setsid getuid getgid geteuid getegid vhangup uprobe uretprobe"),
    ("@s@s", "renameat"),
    ("@s@sx", "linkat renameat2 move_mount"),
    ("@sddx", "fchownat"),
    ("@so", "mkdirat fchmodat"),
    ("@sox", "mknodat fchmodat2"),
    ("@sx", "futimesat unlinkat faccessat open_tree fspick"),
    ("@sxl", "readlinkat openat2"),
    ("@sxlx", "file_getattr file_setattr"),
    ("@sxm", "openat"),
    ("@sxs", "removexattrat"),
    ("@sxsxl", "setxattrat getxattrat"),
    ("@sxx", "newfstatat utimensat faccessat2"),
    ("@sxxl", "listxattrat mount_setattr open_tree_attr"),
    ("@sxxx", "name_to_handle_at execveat statx"),
    ("C", "unshare"),
    ("Sxxl", "rt_sigaction"),
    ("cxxxx", "clone"),
    ("d", "exit setuid setgid setfsuid setfsgid getpgid getsid iopl sched_getscheduler"),
    ("dC", "setns"),
    ("dS", "kill tkill"),
    ("dSx", "rt_sigqueueinfo"),
    ("dSxx", "pidfd_send_signal"),
    ("dd", "setreuid setregid setpgid getpriority ioprio_get"),
    ("ddS", "tgkill"),
    ("ddSx", "rt_tgsigqueueinfo"),
    ("ddd", "setresuid setresgid setpriority ioprio_set socket"),
    ("dddll", "kcmp"),
    ("dddx", "semctl"),
    ("dddxd", "setsockopt"),
    ("dddxx", "getsockopt"),
    ("dddxxl", "io_uring_enter"),
    ("ddlsx", "kexec_file_load"),
    ("ddsxd", "fsconfig"),
    ("ddx", "shmctl semget msgctl fcntl sched_setscheduler pidfd_getfd"),
    ("ddxd", "io_uring_register"),
    ("ddxx", "prlimit64 ptrace"),
    ("ddxWx", "waitid"),
    ("dlx", "shmget sched_setaffinity sched_getaffinity"),
    ("dlxx", "migrate_pages"),
    ("dlxxxx", "move_pages"),
    ("dsx", "inotify_add_watch finit_module"),
    ("dx", "msgget getrlimit setrlimit getgroups setgroups mq_notify fstatfs sched_setparam sched_getparam"),
    ("dx", "sched_rr_get_interval clock_gettime clock_settime clock_adjtime pidfd_open io_uring_setup"),
    ("dxd", "connect bind syslog bpf"),
    ("dxdx", "sched_getattr quotactl_fd"),
    ("dxl", "semop read signalfd"),
    ("dxldx", "mq_timedsend"),
    ("dxllx", "msgrcv"),
    ("dxlx", "msgsnd semtimedop signalfd4"),
    ("dxlxlx", "process_vm_readv process_vm_writev"),
    ("dxlxx", "mq_timedreceive"),
    ("dxlxxd", "sendto"),
    ("dxlxxx", "recvfrom"),
    ("dxx", "mq_getsetattr shmat sendmsg recvmsg getsockname timer_create get_robust_list sched_setattr seccomp"),
    ("dxx", "ioctl fsmount open_by_handle_at"),
    ("dxx@s", "fanotify_mark"),
    ("dxWx", "wait4"),
    ("dxxx", "timer_settime clock_nanosleep timerfd_settime"),
    ("dxxxx", "prctl keyctl"),
    ("lld", "ioperm"),
    ("s", "mq_unlink chdir rmdir unlink chroot acct swapoff"),
    ("s@s", "symlinkat"),
    ("sdd", "chown lchown"),
    ("sl", "truncate"),
    ("so", "mkdir creat chmod"),
    ("sox", "mknod"),
    ("ss", "rename link symlink removexattr lremovexattr pivot_root"),
    ("sssd", "request_key"),
    ("sssxx", "mount"),
    ("ssxl", "getxattr lgetxattr"),
    ("ssxld", "add_key"),
    ("ssxlx", "setxattr lsetxattr"),
    ("sx", "umount2 stat lstat access utime statfs utimes swapon delete_module fsopen"),
    ("sxl", "readlink listxattr llistxattr"),
    ("sxm", "open"),
    ("sxmx", "mq_open"),
    ("sxx", "execve"),
    ("x", "uname shmdt sysinfo set_tid_address userfaultfd memfd_secret"),
    ("xdddx", "perf_event_open"),
    ("xdxxd", "futex_waitv"),
    ("xdxxxx", "futex"),
    ("xl", "sethostname setdomainname clone3 getcwd set_robust_list"),
    ("xls", "init_module"),
    ("xlxx", "kexec_load"),
    ("xsdx", "quotactl"),
    ("xx", "capget capset settimeofday"),
    ("xxlx", "statmount listmount"),
    ("xxx", "getresuid getresgid"),
    ("xxxl", "rt_sigtimedwait"),
    ("xxxx", "reboot"),
    ("xxxxxd", "futex_wait"),
    // Linux no longer has them.
    ("s", "uselib"),
    ("xl", "create_module"),
    ("xxl", "lookup_dcookie"),
    ("x", "_sysctl get_kernel_syms set_thread_area get_thread_area"),
    (
        "xxxxxx",
        "query_module nfsservctl getpmsg putpmsg afs_syscall tuxcall security epoll_ctl_old epoll_wait_old vserver",
    ),
];

/// What is not known is written as it stands in the registers.
const UNKNOWN: &str = "xxxxxx";

fn letters(name: &str) -> &'static str {
    let has = |names: &str| names.split(' ').any(|known| known == name);
    SHAPES.iter().find(|(_, names)| has(names)).map_or(UNKNOWN, |(letters, _)| letters)
}

/// `CALL(ARGS)`
pub(super) fn text(registers: &Registers, memory: &dyn Memory) -> String {
    let Some(name) = call(registers.number).map(Call::name) else {
        return format!("syscall({})", registers.number as i32);
    };
    let args = registers.args;
    let mut words = Vec::new();
    for (index, letter) in letters(name).chars().enumerate() {
        let before = index.checked_sub(1).map_or(0, |before| args[before]);
        words.extend(word(letter, args[index], before, memory));
    }
    format!("{name}({})", words.join(", "))
}

fn word(letter: char, arg: u64, before: u64, memory: &dyn Memory) -> Option<String> {
    const AT_FDCWD: i32 = -100;
    const O_CREAT: u64 = 0o100;
    Some(match letter {
        'd' => (arg as i32).to_string(),
        'l' => arg.cast_signed().to_string(),
        '@' if arg as i32 == AT_FDCWD => "AT_FDCWD".to_owned(),
        '@' => (arg as i32).to_string(),
        's' if arg == 0 => "NULL".to_owned(),
        's' => memory
            .path(arg)
            .map_or_else(|_| format!("{arg:#x}"), |text| format!("{:?}", String::from_utf8_lossy(&text))),
        'm' if before & O_CREAT == 0 => return None,
        'o' | 'm' => format!("{:#05o}", arg & 0o7777).replacen("0o", "0", 1),
        'S' => signal_word(arg as i32),
        'C' => flags(arg),
        'W' => options(arg),
        'c' => [flags(arg & !0xff), signal_word((arg & 0xff) as i32)].join("|"),
        _ if arg == 0 => "0".to_owned(),
        _ => format!("{arg:#x}"),
    })
}

/// Flags of clone by their names, others as a number.
fn flags(bits: u64) -> String {
    let known = CloneFlags::from_bits_retain(bits).iter_names();
    let known = known.map(|(name, flag)| (flag.bits(), format!("CLONE_{name}")));
    let namespaces = NS_TABLE.iter().map(|ops| (ops.clone_flag, ops.clone_flag_name.to_owned()));
    named(bits, known.chain(namespaces))
}

/// Options of wait4 and waitid by their names.
fn options(bits: u64) -> String {
    let names = [(1, "WNOHANG"), (2, "WSTOPPED"), (4, "WEXITED"), (8, "WCONTINUED"), (0x0100_0000, "WNOWAIT")];
    named(bits, names.map(|(bit, name)| (bit, name.to_owned())))
}

/// Bits by their names, those without one as a number.
fn named(bits: u64, names: impl IntoIterator<Item = (u64, String)>) -> String {
    let set: BTreeMap<u64, String> = names.into_iter().filter(|(bit, _)| bits & bit != 0).collect();
    let others = set.keys().fold(bits, |others, bit| others & !bit);
    let others = (others != 0).then(|| format!("{others:#x}"));
    let words: Vec<String> = set.into_values().chain(others).collect();
    if words.is_empty() { "0".to_owned() } else { words.join("|") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{Treatment, calls};
    use crate::errno::Result;

    /// Memory with one text in it.
    struct At(u64, &'static [u8]);

    impl Memory for At {
        fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<()> {
            let from = addr.checked_sub(self.0).and_then(|from| usize::try_from(from).ok());
            let Some(rest) = from.and_then(|from| self.1.get(from..)) else { crate::bail!(EFAULT, "none") };
            bytes.fill(0);
            let length = bytes.len().min(rest.len());
            bytes[..length].copy_from_slice(&rest[..length]);
            Ok(())
        }

        fn write(&mut self, _: u64, _: &[u8]) -> Result<()> {
            crate::bail!(EFAULT, "none")
        }
    }

    #[test]
    fn each_call_that_may_be_refused_has_its_arguments_once() {
        for (_, call) in calls().filter(|(_, call)| !matches!(call.treatment(), Treatment::Passed)) {
            let rows = SHAPES.iter().filter(|(_, names)| names.split(' ').any(|name| name == call.name()));
            assert_eq!(rows.count(), 1, "{}", call.name());
        }
        let known = |name: &str| calls().any(|(_, call)| call.name() == name);
        let names = SHAPES.iter().flat_map(|(_, names)| names.split(' '));
        assert_eq!(names.filter(|name| !known(name)).collect::<Vec<_>>(), [""; 0]);
        assert!(SHAPES.iter().all(|(letters, _)| letters.chars().all(|letter| "dlxsom@SCcW".contains(letter))));
    }

    #[test]
    fn calls_are_written_as_strace_does() {
        let made = |name: &str, args: &[u64]| {
            let number = calls().find(|(_, call)| call.name() == name).unwrap().0;
            let mut registers = Registers { number, args: [0x77; 6] };
            registers.args[..args.len()].copy_from_slice(args);
            text(&registers, &At(0x1000, b"/tmp/a"))
        };
        let cwd = u64::from((-100_i32).cast_unsigned());
        for (name, args, expected) in [
            ("setns", &[3, 0x4000_0000][..], "setns(3, CLONE_NEWNET)"),
            ("setns", &[0, 0], "setns(0, 0)"),
            ("unshare", &[0x4000_0000 | 0x0400_0000], "unshare(CLONE_NEWUTS|CLONE_NEWNET)"),
            ("ioctl", &[6, 0xb701, 0], "ioctl(6, 0xb701, 0)"),
            ("wait4", &[u64::MAX, 0, 9, 0], "wait4(-1, 0, WNOHANG|WCONTINUED, 0)"),
            ("kill", &[9, 15], "kill(9, SIGTERM)"),
            ("openat", &[cwd, 0x1000, 0], "openat(AT_FDCWD, \"/tmp/a\", 0)"),
            ("mkdir", &[0x1000, 0o755], "mkdir(\"/tmp/a\", 0755)"),
            ("clone", &[0x1000_0011, 0, 0, 0, 0], "clone(CLONE_NEWUSER|SIGCHLD, 0, 0, 0, 0)"),
            ("umount2", &[0, 2], "umount2(NULL, 0x2)"),
            ("setsid", &[], "setsid()"),
        ] {
            assert_eq!(made(name, args), expected);
        }
    }
}
