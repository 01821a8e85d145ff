//! Which number here stands for which number there. Pids of the initial pid namespace differ between the lab and the
//! machine and are mapped by a table; numbers of nested namespaces are the same on both sides.

use std::collections::BTreeMap;

use nslab::kernel::file::FileKind;
use nslab::kernel::ns::{ENTRIES, NsType};
use nslab::kernel::{Kernel, PidNsId, TaskId};
use nslab::syscall::{CloneArgs, CloneFlags};

/// A number that no pid namespace ever hands out in a test.
const UNUSED: i32 = 4_100_000;

/// The table: numbers of the initial pid namespace.
#[derive(Debug, Default)]
pub struct Numbers {
    to_real: BTreeMap<i32, i32>,
    to_lab: BTreeMap<i32, i32>,
    /// As `to_real`, with the numbers that identify nothing any more: queues remember who used them last.
    past: BTreeMap<i32, i32>,
}

impl Numbers {
    pub fn bind(&mut self, lab: i32, real: i32) {
        self.to_real.insert(lab, real);
        self.to_lab.insert(real, lab);
        self.past.insert(lab, real);
    }

    /// Forgets the numbers that identify nothing in the lab any more.
    pub fn prune(&mut self, k: &Kernel) {
        self.to_real.retain(|&lab, _| k.find_pid_ns(lab, k.init.pid_ns).is_some());
        let to_real = &self.to_real;
        self.to_lab.retain(|_, lab| to_real.contains_key(lab));
    }

    /// All pairs: number in the lab, number on the machine.
    pub fn iter(&self) -> impl Iterator<Item = (i32, i32)> {
        self.to_real.iter().map(|(&lab, &real)| (lab, real))
    }

    pub fn real(&self, lab: i32) -> Option<i32> {
        self.to_real.get(&lab).copied()
    }

    pub fn lab(&self, real: i32) -> Option<i32> {
        self.to_lab.get(&real).copied()
    }

    /// The real number of whoever has or had a number in the lab.
    pub fn past_real(&self, lab: i32) -> Option<i32> {
        self.past.get(&lab).copied()
    }

    /// A text of the machine's with the numbers of tasks that parts of paths begin with as the lab's, also of those that
    /// are gone: places in `proc` are called so still.
    pub fn paths_in_lab(&self, text: &str) -> String {
        let in_lab = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            let real: Option<i32> = part[..end].parse().ok();
            let lab = real.and_then(|real| self.past.iter().find(|(_, known)| **known == real)).map(|(lab, _)| lab);
            lab.map_or_else(|| part.to_owned(), |lab| format!("{lab}{}", &part[end..]))
        };
        let mut parts = text.split('/');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| format!("{text}/{}", in_lab(part)))
    }

    fn real_or_unused(&self, lab: i32) -> i32 {
        self.real(lab).unwrap_or(UNUSED)
    }

    /// A pid argument, written as a number of the initial namespace, as the caller on the machine has to write it: in
    /// its own namespace. Zero and what is no number stay; a minus sign stays.
    pub fn of_caller(&self, k: &Kernel, me: TaskId, nr: i32) -> i32 {
        match nr {
            i32::MIN | -1 | 0 => nr,
            1.. => self.in_ns(k, k.task_active_pid_ns(me), nr),
            ..-1 => -self.in_ns(k, k.task_active_pid_ns(me), -nr),
        }
    }

    fn in_ns(&self, k: &Kernel, ns: PidNsId, nr: i32) -> i32 {
        let Some(pid) = k.find_pid_ns(nr, k.init.pid_ns) else { return UNUSED };
        if ns == k.init.pid_ns { self.real_or_unused(nr) } else { k.pids[pid].nr_in(ns).unwrap_or(UNUSED) }
    }

    /// A number that is one of `ns` as it stands.
    pub fn raw_in(&self, k: &Kernel, ns: Option<PidNsId>, raw: i32) -> i32 {
        if ns == Some(k.init.pid_ns) && raw > 0 { self.real_or_unused(raw) } else { raw }
    }

    /// An entry of set_tid at a level, innermost first; `None` if it asks the machine for a number of its initial
    /// namespace that the table does not know.
    pub fn asked(&self, k: &Kernel, me: TaskId, args: &CloneArgs, level: usize, tid: i64) -> Option<i32> {
        let in_new_ns = CloneFlags::from_bits_retain(args.flags).contains(CloneFlags::NEWPID);
        let innermost = k.nsproxy_of(me)?.pid_ns_for_children();
        let outermost = k.namespaces[innermost].level as usize + usize::from(in_new_ns);
        let tid = i32::try_from(tid).unwrap_or(-1);
        let is_number = tid > 0 && tid < k.namespaces[k.init.pid_ns].pid_max;
        if level == outermost && is_number { self.real(tid) } else { Some(tid) }
    }

    /// A task and an entry of its `ns` directory that show a namespace.
    pub fn shown_by(&self, k: &Kernel, ns_type: NsType, inum: u32) -> Option<(i32, &'static str)> {
        let ns = k.find_ns(ns_type, inum)?;
        let mut shown = k.tasks.iter().flat_map(|(task, _)| ENTRIES.iter().map(move |entry| (task, entry)));
        let (task, entry) = shown.find(|(task, entry)| k.ns_entry(*task, entry) == Some(ns))?;
        Some((k.task_nr(task), entry.name))
    }

    /// The pid namespace behind a descriptor of the caller.
    pub fn namespace_at(&self, k: &Kernel, me: TaskId, fd: i32) -> Option<PidNsId> {
        match k.open_files[k.file_at(me, fd)?].kind {
            FileKind::Ns(ns) => k.namespaces.typed(ns),
            _ => None,
        }
    }

    /// A path below `/proc`, with the machine's numbers; `None` for other paths, which are of the lab alone. Numbers after
    /// `proc/` are those of the namespace `own`.
    pub fn path(&self, k: &Kernel, own: PidNsId, path: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(path).ok()?;
        let (ns, rest) = if let Some(rest) = text.strip_prefix("/proc/") {
            (k.init.pid_ns, rest)
        } else if let Some(rest) = text.strip_prefix("proc/") {
            (own, rest)
        } else if text.starts_with(|c: char| c.is_ascii_digit()) {
            (own, text)
        } else {
            return None;
        };
        let mut parts: Vec<String> = rest.split('/').map(str::to_owned).collect();
        let places = if parts.len() > 2 && parts[1] == "task" { &[0, 2][..] } else { &[0] };
        for &place in places {
            if let Ok(nr) = parts[place].parse::<i32>() {
                parts[place] = self.path_number(k, ns, nr).to_string();
            }
        }
        Some(format!("/proc/{}", parts.join("/")).into_bytes())
    }

    /// A number of `ns` as the machine's `/proc`, which is of the initial namespace, has it.
    pub fn path_number(&self, k: &Kernel, ns: PidNsId, nr: i32) -> i32 {
        k.find_pid_ns(nr, ns).map_or(UNUSED, |pid| self.real_or_unused(k.pids[pid].nr()))
    }

    /// What the numbers of the caller's namespace are in the lab's initial namespace, taken before a call.
    pub fn answers(&self, k: &Kernel, me: TaskId) -> Vec<(i32, i32)> {
        let ns = k.task_active_pid_ns(me);
        if ns == k.init.pid_ns {
            return self.to_lab.iter().map(|(&real, &lab)| (real, lab)).collect();
        }
        k.namespaces[ns].idr.iter().map(|(nr, pid)| (nr, k.pids[pid].nr())).collect()
    }
}
