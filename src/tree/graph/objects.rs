//! The picture of the objects: tasks on the left, then nsproxies and credentials, then namespaces; an arrow for each pointer.

use super::canvas::{Canvas, FONT, LETTER};
use super::{Graph, Layer, Vertex};

/// Objects beyond which a picture of them says nothing any more.
pub(super) const VERTICES_MAX: usize = 60;
const LINE: f64 = FONT * 1.3;
const MARGIN: f64 = 16.0;
/// Between boxes of a column.
const GAP: f64 = 12.0;
/// Between columns, for the arrows.
const WAY: f64 = 150.0;
/// Rounds in which boxes move to where their arrows come from.
const ROUNDS: usize = 4;
const LAYERS: [Layer; 3] = [Layer::Task, Layer::Holder, Layer::Namespace];

/// Where a box is.
#[derive(Clone, Copy, Default)]
struct Placed {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Draws the objects below what is there.
pub(super) fn draw(canvas: &mut Canvas, graph: &Graph) {
    let top = canvas.height() + 34.0;
    canvas.text((MARGIN, top - 12.0), "", "Objects");
    canvas.text((MARGIN + 70.0, top - 12.0), "dim", "arrows: pointers; dashed: parent, owner");
    let placed = place(graph, top);
    for edge in &graph.edges {
        let (from, to) = (placed[edge.from], placed[edge.to]);
        let label = if edge.label.is_empty() { String::new() } else { format!(" ({})", edge.label) };
        let title = format!("{} → {}{label}", graph.vertices[edge.from].lines[0], graph.vertices[edge.to].lines[0]);
        canvas.titled(&title, "", |canvas| canvas.path(&way(from, to), if edge.dashed { "far" } else { "line" }));
        canvas.grow(from.x.max(to.x) + from.width.max(to.width) + bulge(from, to), 0.0);
    }
    for (vertex, at) in graph.vertices.iter().zip(placed) {
        draw_box(canvas, vertex, at);
    }
}

fn draw_box(canvas: &mut Canvas, vertex: &Vertex, at: Placed) {
    let data = vertex.data.as_ref().map_or(String::new(), |data| format!(" data-{data}"));
    canvas.titled(&vertex.lines.join("\n"), &data, |canvas| {
        let (class, fill) = if vertex.fill.is_empty() { ("box plain", None) } else { ("box", Some(vertex.fill)) };
        canvas.rect((at.x, at.y, at.width, at.height), if vertex.rounded { 8 } else { 0 }, class, fill);
        for (line, text) in (1..).zip(&vertex.lines) {
            canvas.text((at.x + 10.0, at.y + 3.0 + f64::from(line) * LINE), "on", text);
        }
    });
}

/// A place for each box: columns by layer, in them boxes near those that point to them.
fn place(graph: &Graph, top: f64) -> Vec<Placed> {
    let mut placed: Vec<Placed> = graph.vertices.iter().map(size).collect();
    let mut columns: Vec<Vec<usize>> = LAYERS
        .iter()
        .map(|&layer| (0..graph.vertices.len()).filter(|&index| graph.vertices[index].layer == layer).collect())
        .collect();
    for _ in 0..ROUNDS {
        for column in &mut columns {
            stack(column, &mut placed, top);
        }
        for column in columns.iter_mut().skip(1) {
            let mut wish: Vec<(f64, usize)> =
                column.iter().map(|&index| (middle(graph, &placed, index), index)).collect();
            wish.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            *column = wish.into_iter().map(|(_, index)| index).collect();
            stack(column, &mut placed, top);
        }
    }
    let mut x = MARGIN;
    for column in &columns {
        let width = column.iter().map(|&index| placed[index].width).fold(0.0, f64::max);
        column.iter().for_each(|&index| placed[index].x = x);
        x += width + WAY;
    }
    let bottom = |placed: &[Placed], column: &[usize]| {
        column.last().map_or(top, |&index| placed[index].y + placed[index].height)
    };
    let lowest = columns.iter().map(|column| bottom(&placed, column)).fold(top, f64::max);
    for column in &columns {
        let free = (lowest - bottom(&placed, column)) / (column.len() as f64 + 1.0);
        for (at, &index) in (1..).zip(column) {
            placed[index].y += (free * f64::from(at)).min(free * 1.5 + 40.0 * f64::from(at));
        }
    }
    placed
}

fn size(vertex: &Vertex) -> Placed {
    let longest = vertex.lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let (width, height) = (longest as f64 * LETTER + 20.0, vertex.lines.len() as f64 * LINE + 10.0);
    Placed { width, height, ..Placed::default() }
}

/// Puts the boxes of a column one below the other.
fn stack(column: &[usize], placed: &mut [Placed], top: f64) {
    let mut y = top;
    for &index in column {
        placed[index].y = y;
        y += placed[index].height + GAP;
    }
}

/// How high the boxes are, on average, that point to this one; where it is, if none does.
fn middle(graph: &Graph, placed: &[Placed], index: usize) -> f64 {
    let from = graph.edges.iter().filter(|edge| edge.to == index && !edge.dashed).map(|edge| placed[edge.from]);
    let (count, sum) = from.fold((0.0, 0.0), |(count, sum), at| (count + 1.0, sum + at.y + at.height / 2.0));
    if count > 0.0 { sum / count } else { placed[index].y }
}

/// How far an arrow within a column goes out to the right.
fn bulge(from: Placed, to: Placed) -> f64 {
    (24.0 + (from.y - to.y).abs() * 0.22).min(170.0)
}

/// The way of an arrow: from the right side of a box to the left side of one further right, or around to the right side of
/// one in the same column.
fn way(from: Placed, to: Placed) -> String {
    let (start, end) = (from.y + from.height / 2.0, to.y + to.height / 2.0);
    let (x, right) = (from.x + from.width, to.x + to.width);
    if from.x < to.x {
        let bend = (to.x - x) * 0.5;
        format!("M{x:.0} {start:.0}C{:.0} {start:.0} {:.0} {end:.0} {:.0} {end:.0}", x + bend, to.x - bend, to.x)
    } else {
        let out = x.max(right) + bulge(from, to);
        format!("M{x:.0} {start:.0}C{out:.0} {start:.0} {out:.0} {end:.0} {right:.0} {end:.0}")
    }
}
