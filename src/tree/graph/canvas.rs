//! Text of SVG: boxes, words and lines, and what each looks like on light and on dark ground.

use std::fmt::Write as _;

/// Of the letters, in pixels.
pub(super) const FONT: f64 = 12.0;
/// The width of a letter of the monospaced font.
pub(super) const LETTER: f64 = FONT * 0.62;
/// The most that a picture is wide.
pub(super) const WIDTH_MAX: f64 = 1600.0;

/// Classes, for light ground and then for dark. What has a colour of its own has dark letters on both.
const STYLE: &str = "\
text{fill:#1f2328}.dim{fill:#656d76}.on{fill:#1f2328}.bg{fill:#ffffff}.initial{fill:#eaeef2}\
.own{fill:#ffffff;stroke:#8c959f}.gone{fill:none;stroke:#d0d7de;stroke-dasharray:2 2}.box{stroke:#57606a}.plain{fill:#f6f8fa}\
.line{fill:none;stroke:#57606a}.far{fill:none;stroke:#8c959f;stroke-dasharray:5 4}.tip{fill:#57606a}.band{fill:#f6f8fa}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#8d96a0}.bg{fill:#0d1117}.initial{fill:#21262d}\
.own{fill:#0d1117;stroke:#6e7681}.gone{stroke:#30363d}.box{stroke:#8d96a0}.plain{fill:#c9d1d9}.line{stroke:#8d96a0}\
.far{stroke:#6e7681}.tip{fill:#8d96a0}.band{fill:#161b22}.on{fill:#1f2328}}";

/// A rectangle: left, top, width, height.
pub(super) type Area = (f64, f64, f64, f64);

/// A picture in the making.
#[derive(Default)]
pub(super) struct Canvas {
    body: String,
    width: f64,
    height: f64,
}

impl Canvas {
    /// Makes room for what ends here.
    pub fn grow(&mut self, right: f64, bottom: f64) {
        self.width = self.width.max(right);
        self.height = self.height.max(bottom);
    }

    pub fn height(&self) -> f64 {
        self.height
    }

    /// Words from `x` on, on the line at `y`.
    pub fn text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let _ = writeln!(self.body, "<text x=\"{x:.0}\" y=\"{y:.0}\"{}>{}</text>", class_of(class), escape(text));
        self.grow(x + text.chars().count() as f64 * LETTER, y + 6.0);
    }

    /// Words with their middle at `x`.
    pub fn middle(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let (class, text) = (class_of(class), escape(text));
        let _ = writeln!(self.body, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\"{class}>{text}</text>");
    }

    /// Words that rise to the right, as heads of narrow columns.
    pub fn slanted(&mut self, (x, y): (f64, f64), text: &str) {
        let text = escape(text);
        let _ =
            writeln!(self.body, "<text transform=\"translate({x:.0} {y:.0}) rotate(-45)\" class=\"dim\">{text}</text>");
    }

    pub fn rect(&mut self, (x, y, width, height): Area, rounded: u8, class: &str, fill: Option<&str>) {
        let fill = fill.map_or(String::new(), |fill| format!(" fill=\"{fill}\""));
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"{rounded}\"{}{fill}/>",
            class_of(class)
        );
        self.grow(x + width, y + height);
    }

    /// A line along `way`, with a head if it is an arrow.
    pub fn path(&mut self, way: &str, class: &str) {
        let _ = writeln!(self.body, "<path d=\"{way}\" class=\"{class}\" marker-end=\"url(#end)\"/>");
    }

    /// A filled shape.
    pub fn shape(&mut self, way: &str, fill: &str) {
        let _ = writeln!(self.body, "<path d=\"{way}\" fill=\"{fill}\"/>");
    }

    /// What `draw` draws is one thing, and `title` says what: a tooltip, and what a screen reader reads. `data` are
    /// attributes for programs that look for it.
    pub fn titled(&mut self, title: &str, data: &str, draw: impl FnOnce(&mut Canvas)) {
        let _ = writeln!(self.body, "<g{data}><title>{}</title>", escape(title));
        draw(self);
        self.body.push_str("</g>\n");
    }

    /// The whole file. `title` says what it is a picture of.
    pub fn finish(mut self, title: &str) -> String {
        self.grow(320.0, 40.0);
        let (width, height) = ((self.width + 16.0).min(WIDTH_MAX), self.height + 16.0);
        let (title, body) = (escape(title), self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"monospace\" font-size=\"{FONT}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <defs><marker id=\"end\" markerWidth=\"8\" markerHeight=\"6\" refX=\"8\" refY=\"3\" orient=\"auto\">\
             <path d=\"M0 0 L8 3 L0 6 z\" class=\"tip\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" class=\"bg\"/>\n{body}</svg>\n"
        )
    }
}

fn class_of(class: &str) -> String {
    if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A text that is at most `most` letters long; the last one says that there were more.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A colour for each number: neighbours are far from each other on the circle of hues, and dark letters are readable on all.
pub(super) fn colour(index: usize) -> String {
    // The golden angle, in degrees; three shades, so that numbers far apart differ as well.
    let hue = (index as f64 * 137.508 + 205.0) % 360.0;
    let (saturation, lightness) = [(0.70, 0.74), (0.55, 0.64), (0.85, 0.82)][index / 12 % 3];
    let reach = saturation * f64::min(lightness, 1.0 - lightness);
    let part = |offset: f64| {
        let turn = (offset + hue / 30.0) % 12.0;
        let value = lightness - reach * f64::min(turn - 3.0, 9.0 - turn).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", part(0.0), part(8.0), part(4.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_all_different() {
        let colours: std::collections::BTreeSet<String> = (0..360).map(colour).collect();
        assert_eq!(colours.len(), 360);
    }

    #[test]
    fn a_long_text_says_that_it_is_cut() {
        assert_eq!([cut("abcd", 4), cut("abcde", 4)], ["abcd", "abc…"]);
    }
}
