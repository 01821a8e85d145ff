//! The first process as a lab's init is.

use std::io;

use nslab::kernel::ns::ENTRIES;

use super::{Machine, NPROC, SYS_RESOURCE};
use crate::observe::real_links;
use crate::raw;

impl Machine {
    /// Takes the first process out of the mount namespace of the machine, onto one processor: the ids of namespaces, which
    /// decide what may be mounted where, ascend on each processor only. The number of the new namespace.
    pub(super) fn leave_mounts(&mut self) -> Result<u32, String> {
        let data = raw::slot(0).data_address();
        let get = self.simple(0, libc::SYS_sched_getaffinity, &[0, 128, data]);
        let words = raw::slot(0).read_data(0, 128);
        let first = words.iter().position(|&byte| byte != 0).filter(|_| get > 0).ok_or("no processor")?;
        let mut one = [0u8; 128];
        one[first] = words[first] & words[first].wrapping_neg();
        raw::slot(0).write_data(2048, &one);
        raw::slot(0).write_data(3072, b"/\0none\0");
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        let steps = [
            self.simple(0, libc::SYS_sched_setaffinity, &[0, 128, data + 2048]),
            self.simple(0, libc::SYS_unshare, &[libc::CLONE_NEWNS as u64]),
            self.simple(0, libc::SYS_mount, &[data + 3074, data + 3072, 0, flags, 0]),
        ];
        if steps.iter().any(|&result| result < 0) {
            return Err(format!("no mount namespace of its own: {steps:?}"));
        }
        let at = ENTRIES.iter().position(|entry| entry.name == "mnt").expect("an entry of every kind");
        real_links(self.init)[at].map_err(|errno| format!("ns/mnt of the first process: {errno}"))
    }

    /// Puts the first process into the state a lab boots into, as far as its rights go.
    pub(super) fn set_up_init(&mut self) -> Result<(), String> {
        let steps: [(&str, i64, [u64; 5]); 8] = [
            ("close_range", libc::SYS_close_range, [0, 999, 0, 0, 0]),
            ("setsid", libc::SYS_setsid, [0; 5]),
            ("umask", libc::SYS_umask, [0o022, 0, 0, 0, 0]),
            ("subreaper", libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as u64, 1, 0, 0, 0]),
            ("pdeathsig", libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64, 0, 0, 0]),
            ("dumpable", libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0]),
            ("bounding set", libc::SYS_prctl, [libc::PR_CAPBSET_DROP as u64, SYS_RESOURCE, 0, 0, 0]),
            ("groups", libc::SYS_setgroups, [0; 5]),
        ];
        for (name, number, args) in steps {
            let result = self.simple(0, number, &args);
            let may_fail = matches!(name, "bounding set" | "groups");
            if result < 0 && !may_fail {
                return Err(format!("{name}: {}", io::Error::from_raw_os_error(-result as i32)));
            }
        }
        for signo in 1..=64 {
            raw::slot(0).write_data(2048, &[0; 32]);
            self.simple(0, libc::SYS_rt_sigaction, &[signo, raw::slot(0).data_address() + 2048, 0, 8]);
        }
        raw::slot(0).write_data(2048, &[0; 8]);
        self.simple(0, libc::SYS_rt_sigprocmask, &[2, raw::slot(0).data_address() + 2048, 0, 8]);
        for (resource, soft, hard) in [(libc::RLIMIT_NOFILE, 1024u64, 4096u64), (libc::RLIMIT_NPROC, NPROC, NPROC)] {
            raw::slot(0).write_data(2048, &[soft.to_ne_bytes(), hard.to_ne_bytes()].concat());
            self.simple(0, libc::SYS_prlimit64, &[0, u64::from(resource), raw::slot(0).data_address() + 2048, 0]);
        }
        self.drop_resource_capability();
        Ok(())
    }

    /// What only a privileged few have would be a difference between machines.
    fn drop_resource_capability(&mut self) {
        let mut sets = self.capabilities(0);
        sets.iter_mut().for_each(|set| *set &= !(1 << SYS_RESOURCE));
        let mut bytes = [0x2008_0522u32.to_ne_bytes(), [0; 4]].concat();
        for shift in [0, 32] {
            bytes.extend(sets.iter().flat_map(|set| ((set >> shift) as u32).to_ne_bytes()));
        }
        raw::slot(0).write_data(2048, &bytes);
        let data = raw::slot(0).data_address() + 2048;
        self.simple(0, libc::SYS_capset, &[data, data + 8]);
    }
}
