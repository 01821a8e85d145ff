//! Lines that fit a terminal: what is too long of a table or a trace goes on below, and what a parent has said is not said
//! again.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use rustix::termios::tcgetwinsize;

/// The head of the column that is folded.
pub const FOLDED: &str = "NOT AS INIT";
/// A list goes on below itself only where this many columns are left for it; else it gets lines of its own.
const LIST_MIN: usize = 36;
/// How far lines of their own are set in, behind the branches of a tree.
const INDENT: usize = 4;
/// A terminal that says less has no usable width.
const WIDTH_MIN: usize = 20;
/// Where the words of a step begin in `kernel/trace`.
const STEP_COLUMN: usize = 16;
const CUT: &str = "…";

/// How many columns a line may have: what `COLUMNS` says, else those of the terminal; `None` where there is none, as in a
/// pipe.
pub fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let out = io::stdout();
    let seen = || out.is_terminal().then(|| tcgetwinsize(&out).ok()).flatten().map(|size| usize::from(size.ws_col));
    said.or_else(seen).filter(|&width| width >= WIDTH_MIN)
}

/// Tables below each other, with a blank line between, in lines of at most `width` columns.
pub fn tables(text: &str, width: usize) -> String {
    let mut fitted = String::new();
    let mut table: Option<Table> = None;
    for line in text.lines() {
        if line.is_empty() {
            table = None;
            fitted.push('\n');
            continue;
        }
        let table = table.get_or_insert_with(|| Table::headed(line, width));
        table.add(&mut fitted, line);
    }
    fitted
}

/// Lines of a trace, each going on below its words.
pub fn trace(text: &str, width: usize) -> String {
    let mut fitted = String::new();
    for line in text.lines() {
        let (words, indent) = (line.trim_start_matches(' '), STEP_COLUMN.min(width / 2));
        let lead = &line[..line.len() - words.len()];
        wrap(&mut fitted, lead, &" ".repeat(indent), words, width);
    }
    fitted
}

/// What is known of a table by its head, and by the lines so far.
struct Table {
    width: usize,
    /// Where the column of parents and the folded one begin, in characters.
    ppid: Option<usize>,
    folded: Option<usize>,
    /// What the folded column has for each task.
    lists: BTreeMap<String, String>,
}

impl Table {
    fn headed(head: &str, width: usize) -> Table {
        let start = |name: &str| head.find(name).map(|at| head[..at].chars().count());
        Table { width, ppid: start("PPID"), folded: start(FOLDED), lists: BTreeMap::new() }
    }

    fn add(&mut self, fitted: &mut String, line: &str) {
        let Some(column) = self.folded else { return cut(fitted, line, self.width) };
        let (head, list) = split_at(line, column);
        let (list, head) = (list.trim(), head.trim_end());
        let ppid = self.ppid.map(|at| first_word(split_at(line, at).1)).unwrap_or_default();
        self.lists.insert(first_word(head.trim_start_matches(is_branch)).to_owned(), list.to_owned());
        let is_long = line.chars().count() > self.width;
        let list = match self.lists.get(ppid) {
            Some(parents) if is_long && !list.is_empty() && parents == list => format!("as {ppid}"),
            _ => list.to_owned(),
        };
        let padded = format!("{head:<column$}");
        if !is_long || padded.chars().count() + list.chars().count() <= self.width {
            return cut(fitted, format!("{padded}{list}").trim_end(), self.width);
        }
        if padded.chars().count() + LIST_MIN <= self.width {
            return wrap(fitted, &padded, &" ".repeat(column), &list, self.width);
        }
        cut(fitted, head, self.width);
        let lead = format!("{}{}", stem_below(head), " ".repeat(INDENT));
        let lead: String = lead.chars().take(self.width.saturating_sub(LIST_MIN / 2)).collect();
        wrap(fitted, &lead, &lead, &list, self.width);
    }
}

/// Words in lines of at most `width` columns; the first begins with `lead`, the others with `below`. A word that is too
/// long for a line is cut.
fn wrap(fitted: &mut String, lead: &str, below: &str, words: &str, width: usize) {
    let mut line = lead.to_owned();
    let mut is_bare = true;
    for word in words.split(' ') {
        // Blanks that set something in stay where they are.
        let needed = line.chars().count() + usize::from(!is_bare) + word.chars().count();
        if !is_bare && needed > width {
            cut(fitted, line.trim_end(), width);
            line = below.to_owned();
            is_bare = true;
        }
        if !is_bare {
            line.push(' ');
        }
        line.push_str(word);
        is_bare = false;
    }
    cut(fitted, line.trim_end(), width);
}

/// One line, cut where it is too long.
fn cut(fitted: &mut String, line: &str, width: usize) {
    if line.chars().count() > width {
        fitted.extend(line.chars().take(width - 1));
        fitted.push_str(CUT);
    } else {
        fitted.push_str(line);
    }
    fitted.push('\n');
}

fn split_at(line: &str, column: usize) -> (&str, &str) {
    let at = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    line.split_at(at)
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// What a tree is drawn with.
fn is_branch(c: char) -> bool {
    ['│', '├', '└', '─', ' '].contains(&c)
}

/// The branches of a tree below a line that begins with some.
pub fn stem_below(line: &str) -> String {
    let stem = line.chars().take_while(|&c| is_branch(c));
    stem.map(|c| if ['│', '├'].contains(&c) { '│' } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
PID NAMESPACE, TASK  NSPID  PPID  UID  COMMAND  NOT AS INIT
pid:[4026531836]
└─1                  1      0     0    init
  ├─4                4 1    1     0    nginx    mnt:[4026532177] uts:[4026532178] ipc:[4026532179] pid:[4026532180]
  │ └─5              5 2    4     0    nginx    mnt:[4026532177] uts:[4026532178] ipc:[4026532179] pid:[4026532180]
  └─9                9      1     0    sidecar  net:[4026532181]
";

    fn widest(text: &str) -> usize {
        text.lines().map(|line| line.chars().count()).max().unwrap()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(tables(TREE, widest(TREE)), TREE);
    }

    #[test]
    fn a_list_goes_on_below_itself_and_that_of_the_parent_is_not_repeated() {
        let fitted = tables(TREE, 90);
        let expected = "\
  ├─4                4 1    1     0    nginx    mnt:[4026532177] uts:[4026532178]
                                                ipc:[4026532179] pid:[4026532180]
  │ └─5              5 2    4     0    nginx    as 4
  └─9                9      1     0    sidecar  net:[4026532181]
";
        assert!(fitted.ends_with(expected), "{fitted}");
    }

    #[test]
    fn where_there_is_little_room_a_list_has_lines_of_its_own() {
        let fitted = tables(TREE, 60);
        let expected = "\
  ├─4                4 1    1     0    nginx
  │     mnt:[4026532177] uts:[4026532178] ipc:[4026532179]
  │     pid:[4026532180]
  │ └─5              5 2    4     0    nginx    as 4
  └─9                9      1     0    sidecar
        net:[4026532181]
";
        assert!(fitted.ends_with(expected), "{fitted}");
    }

    #[test]
    fn no_line_is_too_long_at_any_width() {
        let deep = format!("{TREE}{}└─7  7  1  0  x  {}\n", "│ ".repeat(64), "net:[4026532181] ".repeat(8));
        for width in WIDTH_MIN..200 {
            let fitted = tables(&deep, width);
            assert!(widest(&fitted) <= width, "{width}: {fitted}");
        }
    }

    #[test]
    fn a_table_without_lists_is_cut() {
        assert_eq!(
            tables("NAMESPACE  COMMAND\nuser:[1]   a-long-command\n", 20),
            "NAMESPACE  COMMAND\nuser:[1]   a-long-c…\n"
        );
    }

    #[test]
    fn a_step_of_a_trace_goes_on_below_its_words() {
        let step = "    12     1    create_new_namespaces(CLONE_NEWNET) owner user:[4026531837]\n";
        let expected = "    12     1    create_new_namespaces(CLONE_NEWNET) owner\n                user:[4026531837]\n";
        assert_eq!(trace(step, 60), expected);
        assert_eq!(trace(step, 100), step);
    }
}
