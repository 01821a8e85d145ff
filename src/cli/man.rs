//! `nslab man`: one manual page with all subcommands.

use std::io::{self, Write};

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;

use super::examples;

const END: &str = ".SH \"EXIT STATUS\"\n0: success. 1: failure; a line on standard error says why, and what to do. 2: wrong usage. \
                   nslab shell gives the exit status of the shell. nslab exec gives that of the program, 128+N if signal N \
                   killed it, 127 if the program was not found, 126 if it cannot be executed, 125 if nslab failed.\n\
                   .SH ENVIRONMENT\nLAB: the lab that tree, graph, trace, ps and view show; nslab shell sets it. COLUMNS: the \
                   width of lines, instead of the width of the terminal. NO_COLOR: print no colours. SHELL, TMPDIR: the shell \
                   and the directory for temporary files of nslab shell.\n\
                   .SH \"SEE ALSO\"\nThe file ctl/usage of a lab lists the calls. docs/guide.md is an introduction.\n";

/// Options that every subcommand has. They stand once, at the top of the page.
const COMMON: [&str; 3] = ["help", "version", "color"];

/// Writes the page of `command`.
///
/// # Errors
/// `out` cannot be written.
pub fn render(mut command: Command, out: &mut impl Write) -> io::Result<()> {
    command.build();
    let page = Man::new(command.clone().override_usage("nslab COMMAND [ARG]..."));
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = subcommand.get_name().to_owned();
        writeln!(out, ".SH \"nslab {name}\"")?;
        let own = subcommand.clone().mut_args(|arg| repeated(hide_common(arg)));
        let page = Man::new(own.override_usage(usage(subcommand)));
        out.write_all(&headless(|section| page.render_description_section(section))?)?;
        writeln!(out, ".P")?;
        out.write_all(&headless(|section| page.render_synopsis_section(section))?)?;
        out.write_all(&headless(|section| page.render_options_section(section))?)?;
        for (typed, does) in examples::of(&name) {
            writeln!(out, ".P\n{}:\n.P\n.RS 4\n.nf\n{}\n.fi\n.RE", escaped(does), escaped(typed))?;
        }
    }
    out.write_all(END.as_bytes())
}

/// What a subcommand takes, in one line: `nslab umount [-a|--all] [DIR]`.
fn usage(subcommand: &Command) -> String {
    let own = |arg: &&Arg| !arg.is_hide_set() && !is_common(arg);
    let words = subcommand.get_arguments().filter(own).map(|arg| {
        let word = if arg.is_positional() { positional(arg) } else { option(arg) };
        if arg.is_required_set() { word } else { format!("[{word}]") }
    });
    let words: Vec<_> = words.collect();
    format!("{} {}", subcommand.get_bin_name().unwrap_or_default(), words.join(" "))
}

fn positional(arg: &Arg) -> String {
    let name = value_name(arg) + if takes_more(arg) { "..." } else { "" };
    if arg.is_last_set() { format!("-- {name}") } else { name }
}

fn option(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names = [short, long].into_iter().flatten().collect::<Vec<_>>().join("|");
    let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
    let value = if takes_value { format!(" {}", value_name(arg)) } else { String::new() };
    let again = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
    format!("{names}{value}{again}")
}

fn value_name(arg: &Arg) -> String {
    let named = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    named.unwrap_or_else(|| arg.get_id().as_str().to_uppercase())
}

fn takes_more(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.max_values() > 1)
}

fn is_common(arg: &Arg) -> bool {
    COMMON.contains(&arg.get_id().as_str())
}

fn hide_common(arg: Arg) -> Arg {
    let is_hidden = arg.is_hide_set() || is_common(&arg);
    arg.hide(is_hidden)
}

/// An argument that may be given again, with a name that says so.
fn repeated(arg: Arg) -> Arg {
    if !arg.is_positional() || !takes_more(&arg) {
        return arg;
    }
    let name = value_name(&arg) + "...";
    arg.value_name(name)
}

/// A section without its heading: it becomes part of another.
fn headless(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut section = Vec::new();
    render(&mut section)?;
    let lines = section.split_inclusive(|&byte| byte == b'\n').filter(|line| !line.starts_with(b".SH "));
    Ok(lines.flatten().copied().collect())
}

/// Text in which nothing is a request of roff.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage_of(name: &str) -> String {
        let mut command = super::super::command();
        command.build();
        usage(command.find_subcommand(name).unwrap())
    }

    #[test]
    fn a_line_of_usage_has_values_and_what_may_be_repeated() {
        assert_eq!(usage_of("run"), "nslab run FILE...");
        assert_eq!(usage_of("umount"), "nslab umount [DIR] [-a|--all] [-l|--lazy] [-f|--force]");
        let exec = usage_of("exec");
        assert!(
            exec.starts_with("nslab exec [--as PID] [--boot FILE] ") && exec.ends_with(" [LAB] -- CMD..."),
            "{exec}"
        );
        let mount = usage_of("mount");
        assert!(mount.contains(" [-o OPTS...] ") && !mount.contains("detached"), "{mount}");
    }

    #[test]
    fn what_is_typed_is_no_request_of_roff() {
        assert_eq!(escaped(".x -o 'a\\b'"), "\\&.x \\-o \\(aqa\\eb\\(aq");
    }
}
