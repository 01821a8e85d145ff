//! `nslab man`: one manual page with all subcommands.

use std::io::{self, Write};

use clap::{Arg, Command};
use clap_mangen::Man;

const END: &str = ".SH \"EXIT STATUS\"\n0: done. 1: it failed, one line on standard error says why and what to do. 2: usage. \
                   nslab shell: that of the shell. nslab exec: that of the \
                   program, 128 and the number of the signal that ended it, 127 and 126 as shells have them, 125 if nslab failed.\n\
                   .SH ENVIRONMENT\nLAB: the lab that tree, graph, trace and ps show; nslab shell sets it. SHELL, TMPDIR: for \
                   nslab shell.\n\
                   .SH \"SEE ALSO\"\nThe file ctl/usage of a lab lists the calls, docs/guide.md explains it all.\n";

/// Writes the page of `command`.
///
/// # Errors
/// `out` cannot be written.
pub fn render(mut command: Command, out: &mut impl Write) -> io::Result<()> {
    command.build();
    let page = Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = subcommand.get_name().to_owned();
        writeln!(out, ".SH \"nslab {name}\"")?;
        let page = Man::new(subcommand.clone().mut_args(hide_common));
        out.write_all(&headless(|section| page.render_description_section(section))?)?;
        writeln!(out, ".P")?;
        out.write_all(&headless(|section| page.render_synopsis_section(section))?)?;
        out.write_all(&headless(|section| page.render_options_section(section))?)?;
    }
    out.write_all(END.as_bytes())
}

/// The options that every subcommand has stand above.
fn hide_common(arg: Arg) -> Arg {
    let is_common = ["help", "version"].contains(&arg.get_id().as_str());
    let is_hidden = arg.is_hide_set() || is_common;
    arg.hide(is_hidden)
}

/// A section without its heading: it becomes part of another.
fn headless(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut section = Vec::new();
    render(&mut section)?;
    let lines = section.split_inclusive(|&byte| byte == b'\n').filter(|line| !line.starts_with(b".SH "));
    Ok(lines.flatten().copied().collect())
}
