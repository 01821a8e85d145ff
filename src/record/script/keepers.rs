//! Namespaces, made by tasks that are there only to make them.

use std::collections::BTreeMap;

use super::Writer;
use crate::control::lex::quote;
use crate::kernel::ns::NsType;
use crate::record::topology::{Extent, Namespace, Own, User};

impl Writer<'_> {
    /// Makes all namespaces but the initial ones and pid namespaces that are nested deeper than one level: those wait for the
    /// first process of the one they are in.
    pub(super) fn namespaces(&mut self) {
        if let Some(inum) = self.topology.initial(NsType::User) {
            self.rulers.insert(inum, "1".to_owned());
        }
        let initial = self.topology.profile.inums.values();
        self.members.extend(initial.map(|inum| (*inum, "1".to_owned())));
        self.names_of_host();
        let made: Vec<(u32, &Namespace)> = self
            .topology
            .namespaces
            .iter()
            .filter(|(inum, _)| self.is_to_make(**inum))
            .map(|(inum, ns)| (*inum, ns))
            .collect();
        if made.is_empty() {
            return;
        }
        self.section("Namespaces, each made by a task that keeps it until others are in it.");
        self.line("1 sigaction SIGCHLD ignore");
        let mut waiting: Vec<(u32, &User, u32)> = Vec::new();
        for (inum, ns) in &made {
            if let Own::User(user) = &ns.own {
                waiting.push((*inum, user, self.owner(ns)));
            }
        }
        // A user namespace comes after its parent.
        while let Some(at) = waiting.iter().position(|(.., parent)| self.rulers.contains_key(parent)) {
            let (inum, user, parent) = waiting.remove(at);
            self.user_namespace(inum, user, parent);
        }
        for (owner, kinds) in self.by_owner(&made) {
            self.owned(owner, kinds);
        }
        self.line("1 sigaction SIGCHLD default");
    }

    /// Initial ones exist, and those that are there already.
    fn is_to_make(&self, inum: u32) -> bool {
        !self.k.ns_by_inum.contains_key(&inum)
    }

    fn owner(&self, ns: &Namespace) -> u32 {
        let initial = self.topology.initial(NsType::User).unwrap_or(NsType::User.ops().init_inum);
        ns.owner.filter(|owner| self.topology.namespaces.contains_key(owner)).unwrap_or(initial)
    }

    /// The names that hosts have in the initial namespaces.
    fn names_of_host(&mut self) {
        let initial = self.topology.profile.inums.values();
        for ns in initial.filter_map(|inum| self.topology.namespaces.get(inum)) {
            if let Own::Names { node, domain } = &ns.own {
                self.host_names("1", node, domain);
            }
        }
    }

    fn host_names(&mut self, task: &str, node: &[u8], domain: &[u8]) {
        let who = if task == "1" { Some(self.k.init.task) } else { self.keeper_task(task) };
        let names = who.and_then(|who| self.k.nsproxy_of(who)).map(|nsproxy| {
            let names = &self.k.namespaces[nsproxy.uts_ns()];
            (names.nodename.clone(), names.domainname.clone())
        });
        let Some((old_node, old_domain)) = names else { return };
        if old_node != node {
            self.line(&format!("{task} sethostname {}", quote(node)));
        }
        if old_domain != domain {
            self.line(&format!("{task} setdomainname {}", quote(domain)));
        }
    }

    /// A task of nobody, in the user namespace of another.
    fn keeper(&mut self, parent: &str, kind: NsType, inum: u32, flags: &str) -> Option<String> {
        let (name, number) = (self.name(kind.ops().name.as_bytes(), inum), self.spare());
        if !self.line(&format!(
            "{name} = {parent} clone {flags}{}set_tid={number} start=0",
            if flags.is_empty() { "" } else { " " }
        )) {
            return None;
        }
        let name = format!("${name}");
        self.keepers.push(name.clone());
        self.keeper_numbers.insert(name.clone(), number);
        Some(name)
    }

    pub(super) fn keeper_task(&self, name: &str) -> Option<crate::kernel::TaskId> {
        self.k.find_task(*self.keeper_numbers.get(name)?)
    }

    fn user_namespace(&mut self, inum: u32, user: &User, parent: u32) {
        let ruler = self.rulers[&parent].clone();
        let Some(keeper) = self.keeper(&ruler, NsType::User, inum, "") else { return };
        let ids = self.keeper_task(&keeper).map(|task| &self.k.cred_of(task).ids);
        let mut become_ids = String::new();
        if ids.is_some_and(|ids| ids.euid.0 != user.owner) {
            become_ids += &format!(" uid={}", user.owner);
        }
        if ids.is_some_and(|ids| ids.egid.0 != user.group) {
            become_ids += &format!(" gid={}", user.group);
        }
        if !become_ids.is_empty() {
            self.line(&format!("become {keeper}{become_ids}"));
        }
        if !self.line(&format!("{keeper} unshare user inum=user:{inum}")) {
            return;
        }
        if user.denies_setgroups {
            self.line(&format!("{ruler} write proc/{keeper}/setgroups deny"));
        }
        let above = self.topology.namespaces.get(&parent).and_then(|ns| match &ns.own {
            Own::User(user) => Some(user),
            _ => None,
        });
        let maps = [
            ("uid_map", &user.uid_map, above.map(|user| &user.uid_map)),
            ("gid_map", &user.gid_map, above.map(|user| &user.gid_map)),
        ];
        for (file, map, above) in maps {
            if !map.is_empty() {
                let text: String = map.iter().map(|extent| extent_line(extent, above)).collect();
                self.line(&format!("{ruler} write proc/{keeper}/{file} {}", quote(text.as_bytes())));
            }
        }
        self.rulers.insert(inum, keeper);
    }

    /// The namespaces that each user namespace owns, by kind.
    fn by_owner(&self, made: &[(u32, &Namespace)]) -> BTreeMap<u32, BTreeMap<NsType, Vec<u32>>> {
        let mut all: BTreeMap<u32, BTreeMap<NsType, Vec<u32>>> = BTreeMap::new();
        let initial_pid = self.topology.initial(NsType::Pid);
        for (inum, ns) in made {
            let waits = ns.ns_type == NsType::Pid && ns.parent.is_some() && ns.parent != initial_pid;
            if ns.ns_type != NsType::User && !waits {
                all.entry(self.owner(ns)).or_default().entry(ns.ns_type).or_default().push(*inum);
            }
        }
        all
    }

    /// As many keepers as there are namespaces of one kind; each has one of every kind.
    fn owned(&mut self, owner: u32, mut kinds: BTreeMap<NsType, Vec<u32>>) {
        let Some(ruler) = self.rulers.get(&owner).cloned() else { return };
        for list in kinds.values_mut() {
            list.reverse();
        }
        loop {
            let next: Vec<(NsType, u32)> =
                kinds.iter_mut().filter_map(|(kind, list)| Some((*kind, list.pop()?))).collect();
            let Some(&(kind, inum)) = next.first() else { return };
            let at_once = |kind: NsType| !matches!(kind, NsType::Time | NsType::Cgroup | NsType::Pid);
            let first: Vec<(NsType, u32)> = next.iter().copied().filter(|(kind, _)| at_once(*kind)).collect();
            let Some(keeper) = self.keeper(&ruler, kind, inum, &asked(&first)) else { continue };
            for &(kind, inum) in &next {
                self.finish(&keeper, kind, inum);
            }
        }
    }

    /// What a namespace gets besides its number.
    fn finish(&mut self, keeper: &str, kind: NsType, inum: u32) {
        match &self.topology.namespaces[&inum].own {
            Own::Names { node, domain } => self.host_names(keeper, node, domain),
            Own::Time(offsets) => {
                self.line(&format!("{keeper} unshare time inum=time:{inum}"));
                let text: String = offsets
                    .iter()
                    .map(|offset| format!("{} {} {}\n", offset.clock, offset.seconds, offset.nanos))
                    .collect();
                if offsets.iter().any(|offset| (offset.seconds, offset.nanos) != (0, 0)) {
                    self.line(&format!("{keeper} write proc/{keeper}/timens_offsets {}", quote(text.as_bytes())));
                }
            }
            Own::Cgroup { root } => {
                if let Some(root) = root.as_ref().filter(|root| &root[..] != b"/") {
                    let procs = [b"cgroup", &root[..], b"/cgroup.procs"].concat();
                    self.line(&format!("write {} {keeper}", quote(&procs)));
                }
                self.line(&format!("{keeper} unshare cgroup inum=cgroup:{inum}"));
            }
            Own::Net(_) | Own::Ipc(_) | Own::Mnt(_) => drop(self.members.insert(inum, keeper.to_owned())),
            Own::User(_) => {}
            Own::Plain => {
                if kind == NsType::Pid {
                    self.line(&format!("{keeper} unshare pid inum=pid:{inum}"));
                }
            }
        }
    }

    /// Makes a pid namespace that is nested deeper, now that the one it is in has its first process.
    pub(super) fn nested_pid_namespace(&mut self, inum: u32) {
        let Some(ns) = self.topology.namespaces.get(&inum) else { return };
        let Some(parent) = ns.parent.filter(|_| ns.ns_type == NsType::Pid && self.is_to_make(inum)) else { return };
        self.nested_pid_namespace(parent);
        let initial = self.topology.initial(NsType::Pid).unwrap_or(NsType::Pid.ops().init_inum);
        let owner = self.owner(ns);
        self.line(&format!("become 1 pid_for_children={parent}"));
        let levels = self.k.find_ns(NsType::Pid, parent).and_then(|ns| self.k.namespaces.typed(ns)).map_or(0, |ns| {
            let ns: crate::kernel::PidNsId = ns;
            self.k.namespaces[ns].level as usize
        });
        let (name, number) = (self.name(b"pid", inum), self.spare());
        let numbers = vec![number.to_string(); levels + 1].join(",");
        if self.line(&format!("{name} = 1 clone set_tid={numbers} start=0")) {
            self.line(&format!("become ${name} user={owner}"));
            self.line(&format!("${name} unshare pid inum=pid:{inum}"));
            self.keepers.push(format!("${name}"));
        }
        self.line(&format!("become 1 pid_for_children={initial}"));
    }

    /// The keepers are gone, as if they had never been.
    pub(super) fn end_keepers(&mut self) {
        if self.keepers.is_empty() {
            return;
        }
        self.section("All namespaces have who is in them: the keepers go.");
        self.line("1 sigaction SIGCHLD ignore");
        for keeper in std::mem::take(&mut self.keepers).into_iter().rev() {
            self.line(&format!("{keeper} exit"));
        }
        self.line("1 sigaction SIGCHLD default");
    }
}

/// `ipc,net inum=ipc:4026532300,net:4026532301`
fn asked(namespaces: &[(NsType, u32)]) -> String {
    if namespaces.is_empty() {
        return String::new();
    }
    let kinds: Vec<&str> = namespaces.iter().map(|(kind, _)| kind.ops().name).collect();
    let inums: Vec<String> = namespaces.iter().map(|(kind, inum)| format!("{}:{inum}", kind.ops().name)).collect();
    format!("{} inum={}", kinds.join(","), inums.join(","))
}

/// The extent in ids of the parent.
fn extent_line(extent: &Extent, above: Option<&Vec<Extent>>) -> String {
    let covers = |above: &&Extent| (above.lower..=above.lower.saturating_add(above.count - 1)).contains(&extent.lower);
    let above = above.and_then(|map| map.iter().find(covers));
    let lower = above.map_or(extent.lower, |above| above.first + (extent.lower - above.lower));
    format!("{} {lower} {}\n", extent.first, extent.count)
}
