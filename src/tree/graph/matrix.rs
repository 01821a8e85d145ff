//! The matrix: tasks, as a tree, against the kinds of namespaces. What looks the same in a column is one namespace.

use super::super::census::{Census, Row, TaskRow};
use super::canvas::{Canvas, FONT, LETTER, WIDTH_MAX, colour, cut};
use super::fold::{Cell, Group, Matrix, letter};
use crate::kernel::capability::CapSet;
use crate::kernel::task::TaskState;

/// The height of a row, the width of a cell.
const ROW: f64 = 20.0;
const CELL: f64 = 27.0;
/// How far a row is set in below the one above it, and the depth from which on it is not any more.
const INDENT: f64 = 12.0;
const DEPTH_MAX: usize = 8;
const MARGIN: f64 = 16.0;
/// Between columns of rows.
const GAP: f64 = 28.0;
/// Room for the heads of columns.
const HEAD: f64 = 46.0;
/// Between a name and its cells.
const NAME_GAP: f64 = 10.0;
/// How far the head of the last column leans out.
const SLANT: f64 = 3.0 * FONT;
/// Rows beyond which they stand in more than one column.
const ROWS_MIN: usize = 40;
/// Letters of a name, at most: where there are few rows, and where there are many.
const NAME_MAX: [usize; 2] = [40, 26];
/// Rows that are drawn: more nobody can read, and they would take memory without end.
const ROWS_MAX: usize = 2000;
/// Tasks named in a tooltip.
const TASKS_NAMED: usize = 40;

/// Draws the matrix below what is there.
pub(super) fn draw(canvas: &mut Canvas, census: &Census, matrix: &Matrix) {
    let groups = &matrix.groups[..matrix.groups.len().min(ROWS_MAX)];
    let is_long = groups.len() > ROWS_MIN;
    let members = census.members();
    let names: Vec<String> = groups.iter().map(|group| name(census, matrix, group)).collect();
    let widest = groups.iter().zip(&names).map(|(group, name)| indent(group) + letters(name)).fold(0.0, f64::max);
    let most = NAME_MAX[usize::from(is_long)] as f64 * LETTER;
    let cells = matrix.columns.len() as f64 * CELL;
    // What columns of rows share; the last head of each leans out to the right.
    let room = WIDTH_MAX - 2.0 * MARGIN - SLANT + GAP;
    let (mut label, mut across) = (widest.min(most) + NAME_GAP, 1);
    if is_long {
        across = (room / (label + cells + GAP)).floor().max(1.0) as usize;
        // What the columns leave is for long names.
        label = (widest + NAME_GAP).min(room / across as f64 - GAP - cells).max(label);
    }
    let width = label + cells;
    let rows = groups.len().div_ceil(across);
    let top = canvas.height() + HEAD;
    for (column, part) in groups.chunks(rows.max(1)).enumerate() {
        let left = MARGIN + column as f64 * (width + GAP);
        heads(canvas, census, matrix, (left + label, top));
        for (line, group) in part.iter().enumerate() {
            let index = column * rows + line;
            let y = top + line as f64 * ROW;
            if line % 2 == 1 {
                canvas.rect((left - 4.0, y, width + 4.0, ROW), 0, "band", None);
            }
            let fits = ((label - indent(group) - NAME_GAP) / LETTER) as usize;
            let title = about(census, group);
            let data = format!(" data-pid=\"{}\"", census.task(group.tasks[0]).pid);
            canvas.titled(&title, &data, |canvas| {
                if group.depth > 0 {
                    canvas.text((left + indent(group) - 11.0, y + 14.0), "dim", "└");
                }
                canvas.text((left + indent(group), y + 14.0), "", &cut(&names[index], fits));
            });
            for (at, cell) in group.cells.iter().enumerate() {
                let x = left + label + at as f64 * CELL;
                draw_cell(canvas, census, matrix, (x, y), *cell, &|ns| members.of(ns).len());
            }
        }
    }
    let bottom = top + rows as f64 * ROW + 8.0;
    canvas.grow(0.0, bottom);
    if groups.len() < matrix.groups.len() {
        let left_out = matrix.groups.len() - groups.len();
        canvas.text(
            (MARGIN, bottom + 14.0),
            "dim",
            &format!("{left_out} more rows: --pid, --ns and --type choose some."),
        );
    }
}

/// How to read it.
pub(super) fn legend(canvas: &mut Canvas) {
    let y = canvas.height() + 8.0;
    let mut x = MARGIN;
    let mut entry = |canvas: &mut Canvas, class: &str, fill: Option<&str>, mark: &str, text: &str| {
        canvas.rect((x, y, 20.0, 16.0), 3, class, fill);
        canvas.middle((x + 10.0, y + 12.0), "on", mark);
        canvas.text((x + 26.0, y + 12.0), "dim", text);
        x += 26.0 + letters(text) + 20.0;
        x
    };
    entry(canvas, "initial", None, "", "initial");
    entry(canvas, "", Some(&colour(0)), "A", "shared: one letter in a column, one namespace");
    entry(canvas, "own", None, "", "in no other row");
    let corner = entry(canvas, "gone", None, "", "dead: has none");
    entry(canvas, "initial", None, "", "corner: for children");
    canvas.shape(&format!("M{:.0} {y:.0}h-9l9 9z", corner + 20.0), &colour(1));
}

fn letters(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

fn indent(group: &Group) -> f64 {
    group.depth.min(DEPTH_MAX) as f64 * INDENT
}

fn heads(canvas: &mut Canvas, census: &Census, matrix: &Matrix, (left, top): (f64, f64)) {
    for (at, column) in matrix.columns.iter().enumerate() {
        let name = column.ns_type.ops().name;
        let count = census.ns_rows().filter(|&row| census.ns(row).ns_type == column.ns_type).count();
        let plural = if count == 1 { "" } else { "s" };
        canvas.titled(&format!("{count} {name} namespace{plural}"), "", |canvas| {
            canvas.slanted((left + at as f64 * CELL + 12.0, top - 5.0), name);
        });
    }
    canvas.grow(left + matrix.columns.len() as f64 * CELL + SLANT, 0.0);
}

fn draw_cell(
    canvas: &mut Canvas,
    census: &Census,
    matrix: &Matrix,
    (x, y): (f64, f64),
    cell: Cell,
    members: &dyn Fn(Row) -> usize,
) {
    let area = (x + 1.0, y + 2.0, CELL - 2.0, ROW - 4.0);
    let Some(ns) = cell.ns else {
        canvas.titled("dead: it has this namespace no more", "", |canvas| canvas.rect(area, 3, "gone", None));
        return;
    };
    let mut title = describe(census, ns, members(ns));
    if let Some(other) = cell.for_children {
        title.push_str(&format!("\nits children get {}", describe(census, other, members(other))));
    }
    let data = format!(" data-ns=\"{}\"", census.ns(ns).text());
    canvas.titled(&title, &data, |canvas| {
        let (class, fill, mark) = look(census, matrix, ns);
        canvas.rect(area, 3, class, fill.as_deref());
        if let Some(mark) = mark {
            canvas.middle((x + CELL / 2.0, y + 14.0), "on", &mark);
        }
        if let Some(other) = cell.for_children {
            let fill = look(census, matrix, other).1.unwrap_or_else(|| "#8c959f".to_owned());
            canvas.shape(&format!("M{:.0} {:.0}h-9l9 9z", x + CELL - 1.0, y + 2.0), &fill);
        }
    });
}

/// The class, colour and letter of a namespace.
fn look(census: &Census, matrix: &Matrix, ns: Row) -> (&'static str, Option<String>, Option<String>) {
    if census.initial(census.ns(ns).ns_type) == ns {
        return ("initial", None, None);
    }
    match matrix.letters.get(&ns) {
        Some(&index) => ("", Some(colour(index)), Some(letter(index))),
        None => ("own", None, None),
    }
}

/// A namespace in words.
pub(super) fn describe(census: &Census, row: Row, members: usize) -> String {
    let ns = census.ns(row);
    let plural = if members == 1 { "" } else { "s" };
    let mut text = format!("{}: {members} task{plural}, count {}", ns.text(), ns.count);
    if census.initial(ns.ns_type) == row {
        text.push_str(", initial");
    }
    if ns.pins > 0 {
        text.push_str(&format!(", pins {}", ns.pins));
    }
    if let Some(parent) = ns.parent {
        text.push_str(&format!(", parent {}", census.ns(parent).text()));
    }
    if let Some(owner) = ns.owner.filter(|&owner| Some(owner) != ns.parent) {
        text.push_str(&format!(", owner {}", census.ns(owner).text()));
    }
    text
}

/// What a row is called: its first task, how many there are, and what is not as in the row above.
fn name(census: &Census, matrix: &Matrix, group: &Group) -> String {
    let first = census.task(group.tasks[0]);
    let mut text = format!("{} {}", first.pid, first.comm());
    let others = group.tasks.len() - 1;
    if others > 0 {
        let is_alike = group.tasks.iter().all(|&row| census.task(row).comm() == first.comm());
        text.push_str(&if is_alike { format!(" ×{}", others + 1) } else { format!(" +{others}") });
    }
    if is_dead(first) {
        text.push_str(" (dead)");
    }
    let euid_above = group.above.map_or(0, |above| census.task(matrix.groups[above].tasks[0]).euid);
    if first.euid != euid_above {
        text.push_str(&format!(" uid {}", first.euid));
    }
    text
}

fn is_dead(task: &TaskRow) -> bool {
    matches!(task.state, TaskState::Zombie | TaskState::Zapping)
}

/// The tasks of a row and their credentials.
fn about(census: &Census, group: &Group) -> String {
    let named = group.tasks.iter().take(TASKS_NAMED).map(|&row| {
        let task = census.task(row);
        format!("{} {}", task.pid, task.comm())
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if group.tasks.len() > TASKS_NAMED {
        text.push_str(&format!(" and {} more", group.tasks.len() - TASKS_NAMED));
    }
    let first = census.task(group.tasks[0]);
    let capabilities = capabilities(first.capabilities);
    format!("{text}\nuid {} gid {}, {capabilities}", first.euid, first.egid)
}

pub(super) fn capabilities(bits: u64) -> String {
    match bits {
        0 => "no capabilities".to_owned(),
        all if all == CapSet::FULL.bits() => "all capabilities".to_owned(),
        some => format!("capabilities {some:#x}"),
    }
}
