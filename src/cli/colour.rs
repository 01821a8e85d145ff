//! Colour for terminals: each kind of namespace has one, refusals are red.

use std::sync::LazyLock;

use anstyle::{AnsiColor, Style};
use regex::{Captures, Regex};

use crate::kernel::ns::NS_TABLE;

/// Links to namespaces, those for children included, and what a refused call gives.
static COLOURED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?<kind>[a-z]+)(?:_for_children)?:\[\d+\]|= E[A-Z0-9]+: .*").expect("the pattern is a constant")
});

/// In the order of [`NS_TABLE`].
const COLOURS: [AnsiColor; NS_TABLE.len()] = [
    AnsiColor::BrightRed,
    AnsiColor::Yellow,
    AnsiColor::BrightYellow,
    AnsiColor::Green,
    AnsiColor::Cyan,
    AnsiColor::BrightBlue,
    AnsiColor::Magenta,
    AnsiColor::BrightMagenta,
];

/// `text` with colours as escape sequences, which the stream takes out where nobody sees them.
pub fn paint(text: &str) -> String {
    let painted = COLOURED.replace_all(text, |found: &Captures<'_>| {
        let style = match found.name("kind") {
            Some(kind) => NS_TABLE
                .iter()
                .position(|ops| ops.name == kind.as_str())
                .map_or(Style::new(), |index| COLOURS[index].on_default()),
            None => AnsiColor::Red.on_default(),
        };
        format!("{style}{}{style:#}", &found[0])
    });
    painted.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_refusals_are_coloured_and_nothing_else() {
        let green = "\u{1b}[32m";
        assert!(paint("1 ipc:[4026531839] x").contains(green));
        assert!(paint("pid_for_children:[7]").starts_with("\u{1b}[36m"));
        assert!(paint("kill = ESRCH: no").contains("\u{1b}[31m= ESRCH: no"));
        assert_eq!(paint("frob:[7] = 0"), "frob:[7] = 0");
    }
}
