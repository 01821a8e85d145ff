//! The graph of kernel objects of this instant: tasks, their nsproxies and credentials, namespaces with their owners and
//! parents. `kernel/graph.dot` is for graphviz, `kernel/graph.svg` a picture.
//!
//! To stay readable, tasks that share an nsproxy and have equal credentials are one box, an nsproxy points only to
//! what it does not share with that of init, and ownership by the initial user namespace is not drawn.

mod svg;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::census::{Census, Row, TaskRow};
use crate::kernel::capability::CapSet;
use crate::kernel::ns::{NS_TABLE, NsType, Slot};
use crate::kernel::task::TaskState;

/// Tasks named in one box; of more the box says how many.
const TASKS_NAMED: usize = 8;

/// One box.
struct Vertex {
    lines: Vec<String>,
    /// `#rrggbb`
    fill: &'static str,
    rounded: bool,
}

struct Edge {
    from: usize,
    to: usize,
    /// What the pointer is called; nothing where the boxes say it.
    label: &'static str,
    /// Not a pointer of the nsproxy or cred: an owner or a parent.
    dashed: bool,
}

#[derive(Default)]
struct Graph {
    vertices: Vec<Vertex>,
    edges: Vec<Edge>,
}

/// What tasks in one box have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    nsproxy: Option<Row>,
    /// In the order in which the kernel keeps namespaces.
    pid_ns: (u32, Row),
    cred: CredKey,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CredKey {
    user_ns: (u32, Row),
    euid: u32,
    egid: u32,
    capabilities: u64,
}

/// `kernel/graph.dot`
pub(super) fn dot(census: &Census) -> Vec<u8> {
    let graph = Graph::of(census);
    let mut text =
        "digraph nslab {\n  rankdir=LR;\n  node [shape=box style=filled fontname=monospace fontsize=11];\n".to_owned();
    for (index, vertex) in graph.vertices.iter().enumerate() {
        let style = if vertex.rounded { "filled,rounded" } else { "filled" };
        let label = vertex.lines.iter().map(|line| dot_escape(line)).collect::<Vec<_>>().join("\\n");
        let _ = writeln!(text, "  n{index} [label=\"{label}\" fillcolor=\"{}\" style=\"{style}\"];", vertex.fill);
    }
    for Edge { from, to, label, dashed } in &graph.edges {
        let style = if *dashed { " style=dashed" } else { "" };
        let _ = writeln!(text, "  n{from} -> n{to} [label=\"{label}\" fontsize=9{style}];");
    }
    text.push_str("}\n");
    text.into_bytes()
}

/// `kernel/graph.svg`
pub(super) fn svg(census: &Census) -> Vec<u8> {
    svg::draw(&Graph::of(census)).into_bytes()
}

fn dot_escape(line: &str) -> String {
    line.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A colour for each kind, in the order of [`NS_TABLE`].
const FILLS: [&str; NS_TABLE.len()] =
    ["#f7c6c7", "#fde2b3", "#fff5b1", "#d4edbe", "#bfe8e0", "#cfe0fc", "#dcd0f7", "#f5cfe8"];

impl Graph {
    fn of(census: &Census) -> Graph {
        let mut graph = Graph::default();
        let namespaces = graph.add_namespaces(census);
        let nsproxies = graph.add_nsproxies(census, &namespaces);
        graph.add_tasks(census, &namespaces, &nsproxies);
        graph
    }

    fn vertex(&mut self, lines: Vec<String>, fill: &'static str, rounded: bool) -> usize {
        self.vertices.push(Vertex { lines, fill, rounded });
        self.vertices.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, label: &'static str, dashed: bool) {
        self.edges.push(Edge { from, to, label, dashed });
    }

    /// The boxes of the namespaces, by row.
    fn add_namespaces(&mut self, census: &Census) -> Vec<usize> {
        let boxes: Vec<usize> = census
            .namespaces
            .iter()
            .map(|ns| {
                let mut lines = vec![ns.text(), format!("count {}", ns.count)];
                if ns.pins > 0 {
                    lines.push(format!("pins {}", ns.pins));
                }
                self.vertex(lines, FILLS[ns.ns_type as usize], true)
            })
            .collect();
        let init_user_ns = census.initial(NsType::User);
        let mut rows: Vec<Row> = census.ns_rows().collect();
        rows.sort_by_key(|&row| census.ns(row).slot);
        for row in rows {
            let (ns, from) = (census.ns(row), boxes[row as usize]);
            if let Some(parent) = ns.parent {
                self.edge(from, boxes[parent as usize], "parent", true);
            }
            let owner = ns.owner.filter(|&owner| owner != init_user_ns && Some(owner) != ns.parent);
            if let Some(owner) = owner {
                self.edge(from, boxes[owner as usize], "owner", true);
            }
        }
        boxes
    }

    /// The boxes of the nsproxies, by row.
    fn add_nsproxies(&mut self, census: &Census, namespaces: &[usize]) -> Vec<usize> {
        let of_init = census.tasks[0].nsproxy;
        let shared = of_init.map(|row| census.nsproxies[row as usize].slots);
        let mut boxes = Vec::new();
        for (row, nsproxy) in (0..).zip(&census.nsproxies) {
            let lines = vec![format!("nsproxy {}", nsproxy.index), format!("count {}", nsproxy.count)];
            let from = self.vertex(lines, "#e8e8e8", false);
            boxes.push(from);
            for (slot, &ns) in nsproxy.slots.iter().enumerate() {
                let is_shared = Some(row) != of_init && shared.is_some_and(|shared| shared[slot] == ns);
                let repeats = slot == Slot::TimeForChildren as usize && nsproxy.slots[Slot::Time as usize] == ns;
                if !is_shared && !repeats {
                    self.edge(from, namespaces[ns as usize], slot_label(slot), false);
                }
            }
        }
        boxes
    }

    fn add_tasks(&mut self, census: &Census, namespaces: &[usize], nsproxies: &[usize]) {
        let mut groups: BTreeMap<Alike, Vec<&TaskRow>> = BTreeMap::new();
        for task in &census.tasks {
            groups.entry(alike(census, task)).or_default().push(task);
        }
        let mut creds: BTreeMap<CredKey, usize> = BTreeMap::new();
        for (alike, tasks) in groups {
            let from = self.vertex(task_lines(&tasks), "#ffffff", false);
            let pid_ns = alike.pid_ns.1;
            match alike.nsproxy {
                Some(row) => self.edge(from, nsproxies[row as usize], "", false),
                None => self.edge(from, namespaces[pid_ns as usize], "pid", false),
            }
            let for_children = |row: Row| census.nsproxies[row as usize].slots[Slot::PidForChildren as usize];
            if alike.nsproxy.is_some_and(|row| for_children(row) != pid_ns) {
                self.edge(from, namespaces[pid_ns as usize], "pid", false);
            }
            let cred = *creds.entry(alike.cred).or_insert_with(|| {
                let vertex = self.vertex(cred_lines(alike.cred), "#f4f0e6", true);
                self.edge(vertex, namespaces[alike.cred.user_ns.1 as usize], "user_ns", false);
                vertex
            });
            self.edge(from, cred, "", false);
        }
    }
}

/// The pointers that are not what the kind of their namespace says.
fn slot_label(slot: usize) -> &'static str {
    let for_children = [Slot::PidForChildren, Slot::TimeForChildren].map(|slot| slot as usize);
    if for_children.contains(&slot) { "for children" } else { "" }
}

fn alike(census: &Census, task: &TaskRow) -> Alike {
    let in_order = |row: Row| (census.ns(row).slot, row);
    Alike {
        nsproxy: task.nsproxy,
        pid_ns: in_order(task.pid_ns),
        cred: CredKey {
            user_ns: in_order(task.user_ns),
            euid: task.euid,
            egid: task.egid,
            capabilities: task.capabilities,
        },
    }
}

fn task_lines(tasks: &[&TaskRow]) -> Vec<String> {
    let named = tasks.iter().take(TASKS_NAMED).map(|task| {
        let is_dead = matches!(task.state, TaskState::Zombie | TaskState::Zapping);
        format!("{} {}{}", task.pid, task.comm(), if is_dead { " (dead)" } else { "" })
    });
    let others = tasks.len().saturating_sub(TASKS_NAMED);
    named.chain((others > 0).then(|| format!("and {others} more"))).collect()
}

fn cred_lines(cred: CredKey) -> Vec<String> {
    let capabilities = match cred.capabilities {
        0 => "no capabilities".to_owned(),
        all if all == CapSet::FULL.bits() => "all capabilities".to_owned(),
        some => format!("capabilities {some:#x}"),
    };
    vec![format!("cred uid {} gid {}", cred.euid, cred.egid), capabilities]
}

/// The kinds and their colours.
fn legend() -> impl Iterator<Item = (NsType, &'static str)> {
    NS_TABLE.iter().map(|ops| (ops.ns_type, FILLS[ops.ns_type as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::script::Session;

    fn lab(script: &str) -> Kernel {
        let mut k = Kernel::boot();
        Session::default().batch(&mut k, script.as_bytes()).1.unwrap();
        k
    }

    fn file(k: &Kernel, name: &str) -> String {
        let viewer = crate::tree::Viewer(k.init.task);
        let view = crate::kernel::node::View::Caller;
        let node = crate::tree::resolve(k, viewer.0, view, format!("kernel/{name}").as_bytes(), true).unwrap();
        String::from_utf8(crate::tree::read(k, viewer, node).unwrap()).unwrap()
    }

    #[test]
    fn tasks_alike_are_one_box_and_every_object_has_one() {
        let k = lab("A = 1 clone newnet\n1 clone\n1 clone\n$A exec \"a\\\"<b>&\\\\\"\n");
        let graph = Graph::of(&Census::take(&k));
        // Eight initial namespaces and one more, two nsproxies, two groups of tasks, one cred.
        assert_eq!(graph.vertices.len(), 9 + 2 + 2 + 1);
        let dot = file(&k, "graph.dot");
        assert!(dot.contains("label=\"1 init\\n3 init\\n4 init\""), "{dot}");
        assert!(dot.ends_with("}\n"));
    }

    #[test]
    fn a_picture_has_all_boxes_and_no_raw_markup() {
        let k = lab("A = 1 clone newnet\n$A exec a<b>&\n");
        let svg = file(&k, "graph.svg");
        assert!(svg.contains("a&lt;b&gt;&amp;"), "{svg}");
        assert!(svg.contains("net:[4026532177]") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_graph_too_large_to_lay_out_says_what_to_do() {
        let script = "1 unshare net,ipc\n1 clone\n".repeat(300);
        let svg = file(&lab(&script), "graph.svg");
        assert!(svg.contains("dot -Tsvg"), "{}", &svg[..500]);
    }
}
