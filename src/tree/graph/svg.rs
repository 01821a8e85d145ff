//! The picture: the layout is that of the `layout` crate, the drawing ours, so that it is the same on every run.

use std::fmt::Write as _;

use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::{Graph, Vertex, legend};

/// Boxes beyond which no layout is tried: its time grows with their square.
const VERTICES_MAX: usize = 400;
const FONT: f64 = 12.0;
const LINE: f64 = FONT * 1.3;
/// Of a letter of the monospaced font.
const LETTER: f64 = FONT * 0.62;
/// Room below the picture for the legend.
const LEGEND: f64 = 40.0;

pub(super) fn draw(graph: &Graph) -> String {
    if graph.vertices.len() > VERTICES_MAX {
        let count = graph.vertices.len();
        let text = format!("{count} objects are too many to lay out here: dot -Tsvg kernel/graph.dot");
        let mut canvas = Canvas::default();
        canvas.text(10.0, 20.0, &text, "start");
        canvas.grow(Point::new(text.chars().count() as f64 * LETTER, LINE));
        return canvas.finish();
    }
    let mut picture = VisualGraph::new(Orientation::LeftToRight);
    let handles: Vec<_> = graph.vertices.iter().map(|vertex| picture.add_node(element(vertex))).collect();
    for edge in &graph.edges {
        let style = if edge.dashed { LineStyleKind::Dashed } else { LineStyleKind::Normal };
        let colour = if edge.dashed { "#999999" } else { "#444444" };
        let look = StyleAttr::new(Color::fast(colour), 1, None, 0, FONT as usize);
        let arrow = Arrow::new(LineEndKind::None, LineEndKind::Arrow, style, "", &look, &None, &None);
        picture.add_edge(arrow, handles[edge.from], handles[edge.to]);
    }
    let mut canvas = Canvas::default();
    picture.do_it(false, false, false, &mut canvas);
    canvas.finish()
}

fn element(vertex: &Vertex) -> Element {
    let longest = vertex.lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let size = Point::new(longest as f64 * LETTER + 20.0, vertex.lines.len() as f64 * LINE + 14.0);
    let rounded = if vertex.rounded { 8 } else { 0 };
    let look = StyleAttr::new(Color::fast("#555555"), 1, Some(Color::fast(vertex.fill)), rounded, FONT as usize);
    Element::create(ShapeKind::new_box(&vertex.lines.join("\n")), look, Orientation::LeftToRight, size)
}

/// `#rrggbb`, which all programs take; the crate adds opacity.
fn web(colour: Color) -> String {
    colour.to_web_color().chars().take(7).collect()
}

/// What has been drawn, and how far to the right and down.
#[derive(Default)]
struct Canvas {
    lines: String,
    boxes: String,
    width: f64,
    height: f64,
}

impl Canvas {
    fn grow(&mut self, corner: Point) {
        self.width = self.width.max(corner.x + 20.0);
        self.height = self.height.max(corner.y + 20.0);
    }

    fn text(&mut self, x: f64, y: f64, text: &str, anchor: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(self.boxes, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
    }

    fn rect(&mut self, (x, y): (f64, f64), size: Point, fill: &str, stroke: &str, rounded: usize) {
        let _ = writeln!(
            self.boxes,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{rounded}\" fill=\"{fill}\" stroke=\"{stroke}\"/>",
            size.x, size.y,
        );
    }

    /// The whole file; lines lie below boxes.
    fn finish(mut self) -> String {
        let top = self.height;
        let mut x = 20.0;
        for (kind, fill) in legend() {
            self.rect((x, top), Point::new(14.0, 14.0), fill, "#555555", 3);
            self.text(x + 20.0, top + 12.0, kind.ops().name, "start");
            x += 80.0;
        }
        self.text(x, top + 12.0, "dashed: parent, owner", "start");
        self.grow(Point::new(x + 22.0 * LETTER, top));
        let (width, height) = (self.width, top + LEGEND);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"monospace\" font-size=\"{FONT}\">\n\
             <defs><marker id=\"end\" markerWidth=\"8\" markerHeight=\"6\" refX=\"8\" refY=\"3\" orient=\"auto\">\
             <path d=\"M0 0 L8 3 L0 6 z\" fill=\"#444444\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}</svg>\n",
            self.lines, self.boxes,
        )
    }
}

impl RenderBackend for Canvas {
    fn draw_rect(&mut self, at: Point, size: Point, look: &StyleAttr, _: Option<String>, _: Option<ClipHandle>) {
        self.grow(Point::new(at.x + size.x, at.y + size.y));
        let fill = look.fill_color.map_or("none".to_owned(), web);
        self.rect((at.x, at.y), size, &fill, &web(look.line_color), look.rounded);
    }

    fn draw_line(&mut self, from: Point, to: Point, look: &StyleAttr, _: Option<String>) {
        self.draw_arrow(&[(from, from), (to, to)], false, (false, false), look, None, "");
    }

    fn draw_circle(&mut self, middle: Point, size: Point, look: &StyleAttr, _: Option<String>) {
        let corner = Point::new(middle.x - size.x / 2.0, middle.y - size.y / 2.0);
        self.draw_rect(corner, size, look, None, None);
    }

    fn draw_text(&mut self, middle: Point, text: &str, _: &StyleAttr) {
        let above = (text.lines().count() as f64 - 1.0) / 2.0;
        for (number, line) in text.lines().enumerate() {
            let y = middle.y + (number as f64 - above) * LINE + FONT * 0.35;
            self.text(middle.x, y, line, "middle");
        }
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        dashed: bool,
        (_, has_head): (bool, bool),
        look: &StyleAttr,
        _: Option<String>,
        _: &str,
    ) {
        let [first, second, rest @ ..] = path else { return };
        for (at, control) in path {
            self.grow(*at);
            self.grow(*control);
        }
        let point = |p: &Point| format!("{:.1} {:.1}", p.x, p.y);
        let mut way =
            format!("M {} C {}, {}, {}", point(&first.0), point(&first.1), point(&second.0), point(&second.1));
        for (control, at) in rest {
            let _ = write!(way, " S {}, {}", point(control), point(at));
        }
        let dash = if dashed { " stroke-dasharray=\"5,4\"" } else { "" };
        let head = if has_head { " marker-end=\"url(#end)\"" } else { "" };
        let colour = web(look.line_color);
        let _ = writeln!(self.lines, "<path d=\"{way}\" fill=\"none\" stroke=\"{colour}\"{dash}{head}/>");
    }

    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}
