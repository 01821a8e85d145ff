//! Pictures of the kernel's objects at one instant: who is in which namespace, and what points to what.
//! `kernel/graph.dot` is for graphviz; `kernel/graph.svg` is a matrix of tasks against kinds of namespaces and, where they
//! are few, the objects.
//!
//! To stay readable, tasks that share everything are one row or one box, an nsproxy points only to what it does not share
//! with that of init, and ownership by the initial user namespace is not drawn.

mod canvas;
mod focus;
mod fold;
mod matrix;
mod objects;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::census::{Census, Row, TaskRow};
use crate::errno::Result;
use crate::kernel::ns::{NS_TABLE, NsType, Slot};
use crate::kernel::task::TaskState;

pub use focus::Focus;

/// Tasks named in one box; of more the box says how many.
const TASKS_NAMED: usize = 8;

/// One box.
struct Vertex {
    layer: Layer,
    lines: Vec<String>,
    /// `#rrggbb`; empty of what has no colour of its own.
    fill: &'static str,
    rounded: bool,
    /// What it is, as an attribute of its drawing: `pid="7"`, `ns="net:[4026532177]"`.
    data: Option<String>,
}

/// What a box is of: pointers lead from one to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Task,
    /// An nsproxy or credentials.
    Holder,
    Namespace,
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
    /// Older ones first.
    pid_ns: (u64, Row),
    cred: CredKey,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CredKey {
    user_ns: (u64, Row),
    euid: u32,
    egid: u32,
    capabilities: u64,
}

/// What is drawn of a lab.
struct Shown<'a> {
    census: &'a Census,
    focus: &'a Focus,
    /// Tasks, by row.
    tasks: Vec<bool>,
}

/// `kernel/graph.dot`
pub(super) fn dot(census: &Census) -> Vec<u8> {
    let tasks = vec![true; census.task_rows().len()];
    dot_of(&Graph::of(&Shown { census, focus: &Focus::default(), tasks })).into_bytes()
}

fn dot_of(graph: &Graph) -> String {
    let mut text =
        "digraph nslab {\n  rankdir=LR;\n  node [shape=box style=filled fontname=monospace fontsize=11];\n".to_owned();
    for (index, vertex) in graph.vertices.iter().enumerate() {
        let style = if vertex.rounded { "filled,rounded" } else { "filled" };
        let label = vertex.lines.iter().map(|line| dot_escape(line)).collect::<Vec<_>>().join("\\n");
        let _ = writeln!(
            text,
            "  n{index} [label=\"{label}\" fillcolor=\"{}\" style=\"{style}\"];",
            if vertex.fill.is_empty() { "#e8e8e8" } else { vertex.fill }
        );
    }
    for Edge { from, to, label, dashed } in &graph.edges {
        let style = if *dashed { " style=dashed" } else { "" };
        let _ = writeln!(text, "  n{from} -> n{to} [label=\"{label}\" fontsize=9{style}];");
    }
    text.push_str("}\n");
    text
}

/// `kernel/graph.svg`
pub(super) fn svg(census: &Census) -> Vec<u8> {
    let tasks = vec![true; census.task_rows().len()];
    picture(&Shown { census, focus: &Focus::default(), tasks }).into_bytes()
}

/// The picture of a part of a lab.
///
/// # Errors
/// ESRCH, ENOENT: the lab has no such task or namespace.
pub fn draw_svg(census: &Census, focus: &Focus) -> Result<String> {
    let tasks = focus.tasks(census)?;
    Ok(picture(&Shown { census, focus, tasks }))
}

/// The same in the language of graphviz.
///
/// # Errors
/// As [`draw_svg`].
pub fn draw_dot(census: &Census, focus: &Focus) -> Result<String> {
    let tasks = focus.tasks(census)?;
    Ok(dot_of(&Graph::of(&Shown { census, focus, tasks })))
}

/// The picture of the objects alone; where they are too many, a line that says so.
///
/// # Errors
/// As [`draw_svg`].
pub fn draw_objects(census: &Census, focus: &Focus) -> Result<String> {
    let tasks = focus.tasks(census)?;
    let graph = Graph::of(&Shown { census, focus, tasks });
    let mut canvas = canvas::Canvas::default();
    objects_or_words(&mut canvas, &graph, "choose a task, a namespace or a kind to see a part of them.");
    Ok(canvas.finish(&number(graph.vertices.len(), "object")))
}

/// The objects, if they are few enough; else how many there are, and what to do.
fn objects_or_words(canvas: &mut canvas::Canvas, graph: &Graph, remedy: &str) {
    let count = graph.vertices.len();
    if count <= objects::VERTICES_MAX {
        return objects::draw(canvas, graph);
    }
    let y = canvas.height() + 20.0;
    canvas.text((16.0, y), "dim", &format!("{count} objects are too many to draw one by one: {remedy}"));
}

/// The matrix of tasks alone.
///
/// # Errors
/// As [`draw_svg`].
pub fn draw_matrix(census: &Census, focus: &Focus) -> Result<String> {
    let tasks = focus.tasks(census)?;
    let (canvas, title) = matrix_of(&Shown { census, focus, tasks });
    Ok(canvas.finish(&title))
}

/// The matrix of tasks and how to read it, and what there is, in words.
fn matrix_of(shown: &Shown<'_>) -> (canvas::Canvas, String) {
    let census = shown.census;
    let matrix = fold::Matrix::of(census, shown.focus, &shown.tasks);
    let count = shown.tasks.iter().filter(|&&is_shown| is_shown).count();
    let (tasks, rows) = (number(count, "task"), number(matrix.groups.len(), "row"));
    let title = format!("{tasks} in {rows}, {}", number(census.ns_rows().len(), "namespace"));
    let mut canvas = canvas::Canvas::default();
    canvas.text((16.0, 24.0), "", &title);
    matrix::legend(&mut canvas);
    matrix::draw(&mut canvas, census, &matrix);
    (canvas, title)
}

fn picture(shown: &Shown<'_>) -> String {
    let (mut canvas, title) = matrix_of(shown);
    objects_or_words(&mut canvas, &Graph::of(shown), "--pid, --ns and --type choose some, kernel/graph.dot has all.");
    canvas.finish(&title)
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn dot_escape(line: &str) -> String {
    line.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A colour for each kind, in the order of [`NS_TABLE`].
const FILLS: [&str; NS_TABLE.len()] =
    ["#f7c6c7", "#fde2b3", "#fff5b1", "#d4edbe", "#bfe8e0", "#cfe0fc", "#dcd0f7", "#f5cfe8"];

impl Graph {
    fn of(shown: &Shown<'_>) -> Graph {
        let mut graph = Graph::default();
        let census = shown.census;
        let nsproxies = shown.nsproxies();
        let namespaces = graph.add_namespaces(shown, &shown.namespaces(&nsproxies));
        let nsproxies = graph.add_nsproxies(census, &nsproxies, &namespaces);
        graph.add_tasks(shown, &namespaces, &nsproxies);
        graph
    }

    fn vertex(&mut self, vertex: Vertex) -> usize {
        self.vertices.push(vertex);
        self.vertices.len() - 1
    }

    /// An arrow between boxes that are drawn.
    fn edge(&mut self, from: Option<usize>, to: Option<usize>, label: &'static str, dashed: bool) {
        if let (Some(from), Some(to)) = (from, to) {
            self.edges.push(Edge { from, to, label, dashed });
        }
    }

    /// The boxes of the namespaces, by row.
    fn add_namespaces(&mut self, shown: &Shown<'_>, is_shown: &[bool]) -> Vec<Option<usize>> {
        let census = shown.census;
        let mut draw = |row: Row| {
            let ns = census.ns(row);
            let mut lines = vec![ns.text(), format!("count {}", ns.count)];
            if ns.pins > 0 {
                lines.push(format!("pins {}", ns.pins));
            }
            let (fill, data) = (FILLS[ns.ns_type as usize], Some(format!("ns=\"{}\"", ns.text())));
            self.vertex(Vertex { layer: Layer::Namespace, lines, fill, rounded: true, data })
        };
        let boxes: Vec<Option<usize>> = census.ns_rows().map(|row| is_shown[row as usize].then(|| draw(row))).collect();
        let init_user_ns = census.initial(NsType::User);
        let mut rows: Vec<Row> = census.ns_rows().collect();
        rows.sort_by_key(|&row| census.ns(row).ns_id);
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
    fn add_nsproxies(
        &mut self,
        census: &Census,
        is_shown: &[bool],
        namespaces: &[Option<usize>],
    ) -> Vec<Option<usize>> {
        let of_init = census.tasks[0].nsproxy;
        let shared = of_init.map(|row| census.nsproxies[row as usize].slots);
        let mut boxes = Vec::new();
        for (row, nsproxy) in (0..).zip(&census.nsproxies) {
            if !is_shown[row as usize] {
                boxes.push(None);
                continue;
            }
            let lines = vec![format!("nsproxy {}", nsproxy.index), format!("count {}", nsproxy.count)];
            let from = Some(self.vertex(Vertex { layer: Layer::Holder, lines, fill: "", rounded: false, data: None }));
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

    fn add_tasks(&mut self, shown: &Shown<'_>, namespaces: &[Option<usize>], nsproxies: &[Option<usize>]) {
        let census = shown.census;
        let mut groups: BTreeMap<Alike, Vec<&TaskRow>> = BTreeMap::new();
        for row in shown.task_rows() {
            let task = census.task(row);
            groups.entry(alike(census, task)).or_default().push(task);
        }
        let mut creds: BTreeMap<CredKey, Option<usize>> = BTreeMap::new();
        for (alike, tasks) in groups {
            let data = Some(format!("pid=\"{}\"", tasks[0].pid));
            let lines = task_lines(&tasks);
            let from = Some(self.vertex(Vertex { layer: Layer::Task, lines, fill: "#ffffff", rounded: false, data }));
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
                let lines = cred_lines(alike.cred);
                let vertex = Vertex { layer: Layer::Holder, lines, fill: "#f4f0e6", rounded: true, data: None };
                let vertex = Some(self.vertex(vertex));
                self.edge(vertex, namespaces[alike.cred.user_ns.1 as usize], "user_ns", false);
                vertex
            });
            self.edge(from, cred, "", false);
        }
    }
}

impl Shown<'_> {
    fn task_rows(&self) -> impl Iterator<Item = Row> {
        self.census.task_rows().filter(|&row| self.tasks[row as usize])
    }

    fn is_whole(&self) -> bool {
        *self.focus == Focus::default()
    }

    /// The nsproxies of these tasks, by row.
    fn nsproxies(&self) -> Vec<bool> {
        let mut shown = vec![self.is_whole(); self.census.nsproxies.len()];
        for row in self.task_rows().filter_map(|row| self.census.task(row).nsproxy) {
            shown[row as usize] = true;
        }
        shown
    }

    /// The namespaces that these tasks and nsproxies point to, and what those are nested in, by row.
    fn namespaces(&self, nsproxies: &[bool]) -> Vec<bool> {
        let census = self.census;
        let mut shown = vec![self.is_whole(); census.namespaces.len()];
        let mut found: Vec<Row> = Vec::new();
        let drawn = census.nsproxies.iter().zip(nsproxies).filter(|(_, is_shown)| **is_shown);
        found.extend(drawn.flat_map(|(nsproxy, _)| nsproxy.slots));
        found.extend(self.task_rows().flat_map(|row| [census.task(row).pid_ns, census.task(row).user_ns]));
        while let Some(row) = found.pop() {
            let ns = census.ns(row);
            let is_new = !shown[row as usize] && self.focus.shows(ns.ns_type);
            shown[row as usize] |= is_new;
            found.extend(is_new.then_some([ns.parent, ns.owner]).into_iter().flatten().flatten());
        }
        shown
    }
}

/// The pointers that are not what the kind of their namespace says.
fn slot_label(slot: usize) -> &'static str {
    let for_children = [Slot::PidForChildren, Slot::TimeForChildren].map(|slot| slot as usize);
    if for_children.contains(&slot) { "for children" } else { "" }
}

fn alike(census: &Census, task: &TaskRow) -> Alike {
    let in_order = |row: Row| (census.ns(row).ns_id, row);
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
    vec![format!("cred uid {} gid {}", cred.euid, cred.egid), matrix::capabilities(cred.capabilities)]
}

#[cfg(test)]
mod tests {
    use super::super::census::{NsProxyRow, NsRow};
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
        let census = Census::take(&k);
        let tasks = vec![true; 4];
        let graph = Graph::of(&Shown { census: &census, focus: &Focus::default(), tasks });
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

    /// The number that an attribute of the picture has.
    fn attribute(svg: &str, name: &str) -> f64 {
        svg.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
    }

    /// A lab in which each of `count` tasks has a network namespace of its own. To make it by calls takes long in debug builds.
    fn crowd(count: usize) -> Census {
        let mut census = Census::take(&lab("1 clone net\n"));
        let net = census.ns_rows().last().unwrap();
        let first = census.ns(net).clone();
        let (task, nsproxy) = (census.tasks[1].clone(), census.nsproxies[1].clone());
        for row in 2..count as Row {
            let at = census.namespaces.len() as Row;
            let inum = first.inum + row;
            census.namespaces.push(NsRow { inum, ns_id: u64::from(inum), ..first.clone() });
            let slots = nsproxy.slots.map(|ns| if ns == net { at } else { ns });
            census.nsproxies.push(NsProxyRow { slots, ..nsproxy.clone() });
            let nsproxy = Some(census.nsproxies.len() as Row - 1);
            census.tasks.push(TaskRow { pid: row as i32 + 1, leader: row, nsproxy, ..task.clone() });
        }
        census
    }

    #[test]
    fn a_thousand_rows_fit_and_what_is_not_drawn_is_said() {
        let svg = String::from_utf8(svg(&crowd(1000))).unwrap();
        assert!(
            svg.contains("1000 tasks in 1000 rows") && svg.contains("kernel/graph.dot has all"),
            "{}",
            &svg[..2000]
        );
        assert!(attribute(&svg, "width") <= canvas::WIDTH_MAX && attribute(&svg, "height") < 8000.0);
        assert_eq!(svg.matches("data-pid=").count(), 1000);
    }

    #[test]
    fn rows_without_end_are_not_drawn() {
        let svg = String::from_utf8(svg(&crowd(2500))).unwrap();
        assert!(svg.contains("500 more rows: --pid"), "{}", &svg[svg.len() - 2000..]);
        assert_eq!(svg.matches("data-pid=").count(), 2000);
    }

    #[test]
    fn every_cell_and_every_arrow_says_what_it_is() {
        let k = lab("A = 1 clone newnet newuser\n$A clone newpid\n$A unshare newuts\n");
        let svg = file(&k, "graph.svg");
        assert_eq!(svg.matches("<g").count(), svg.matches("><title>").count(), "{svg}");
        let lines: Vec<&str> = svg.lines().collect();
        let arrows = lines.windows(2).filter(|pair| pair[1].contains("marker-end"));
        let (named, nameless): (Vec<_>, Vec<_>) = arrows.partition(|pair| pair[0].contains("<title>"));
        assert!(named.len() > 8 && nameless.is_empty(), "{nameless:?}");
        assert_eq!(
            svg.matches("<g data-ns=").count() - namespaces(&k),
            3 * NS_TABLE.len(),
            "a cell for each kind and row"
        );
    }

    fn namespaces(k: &Kernel) -> usize {
        k.ns_by_inum.len()
    }

    #[test]
    fn kinds_that_are_not_shown_part_nobody() {
        let k = lab("1 clone net\n1 clone ipc\n1 clone uts\n");
        let census = Census::take(&k);
        let focus = Focus { types: vec![NsType::Ipc], ..Focus::default() };
        let svg = draw_svg(&census, &focus).unwrap();
        assert!(svg.contains("4 tasks in 2 rows") && !svg.contains("net:["), "{svg}");
        assert!(!draw_dot(&census, &focus).unwrap().contains("net:["));
    }
}
