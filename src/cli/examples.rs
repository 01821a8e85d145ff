//! What is typed for which purpose: the examples of `--help` and of the manual page.

/// Examples of a subcommand: what is typed, and what it does.
pub type Examples = &'static [(&'static str, &'static str)];

const EXAMPLES: &[(&str, Examples)] = &[
    (
        "mount",
        &[
            ("nslab mount /tmp/lab", "Mount a lab in the boot state"),
            ("nslab mount /tmp/lab --boot docker.lab", "Mount a lab with a container in it"),
            (
                "nslab mount /tmp/lab --proc /tmp/proc",
                "Show its proc as a mount point as well, for HOST_PROC=/tmp/proc",
            ),
            ("nslab mount /tmp/lab --journal lab.journal --resume", "Continue a lab from where it ended"),
            ("mount -t nslab none /tmp/lab -o boot=/root/docker.lab", "Mount by mount(8), as root"),
        ],
    ),
    (
        "umount",
        &[
            ("nslab umount /tmp/lab", "Unmount a lab that nobody uses"),
            ("nslab umount --force /tmp/lab", "Unmount it at once; its users get errors"),
            ("nslab umount --all", "Unmount all labs"),
        ],
    ),
    ("list", &[("nslab list", "Show where labs are mounted"), ("nslab list --json", "The same for programs")]),
    (
        "shell",
        &[
            ("nslab shell", "Type commands in a lab of your own"),
            ("nslab shell --boot docker.lab", "The same, in a lab with a container"),
            ("nslab shell -c 'ls -l proc/1/ns'", "Run one command line in a lab"),
        ],
    ),
    (
        "view",
        &[
            ("nslab view /tmp/lab", "Show a mounted lab in a browser, as it changes"),
            ("nslab view --boot docker.lab", "Walk through a script, a statement at a time"),
        ],
    ),
    (
        "exec",
        &[
            ("nslab exec -- unshare -u sh -c 'hostname x; hostname'", "Run a program in a lab that ends with it"),
            ("nslab exec --explain -- unshare -n true", "Say why a call fails"),
            ("nslab exec --as 4 /tmp/lab -- ps ax", "Run a program as a child of task 4 of a mounted lab"),
        ],
    ),
    (
        "run",
        &[
            ("nslab run topologies/*.lab", "Check the scripts of a project"),
            ("echo '! EINVAL 1 unshare 1' | nslab run /dev/stdin", "Check one call"),
        ],
    ),
    (
        "record",
        &[
            ("nslab record -o host.lab", "Record this machine"),
            ("nslab record --anonymize --pid 4711 -o bug.lab", "One process, without names, for a bug report"),
            ("nslab record --from /tmp/lab -o made.lab", "Make a script of a mounted lab"),
        ],
    ),
    (
        "tree",
        &[
            ("nslab tree /tmp/lab", "Show the namespaces and tasks of a mounted lab"),
            ("nslab tree --boot docker.lab", "Show what a script makes, without a mount"),
            ("nslab tree --wide --color always /tmp/lab | less -RS", "Look at long lines in a pager"),
        ],
    ),
    (
        "graph",
        &[
            ("nslab graph /tmp/lab > lab.svg", "Draw a picture for a browser"),
            ("nslab graph --matrix --boot docker.lab > docker.svg", "Draw only who is in which namespace, for a page"),
        ],
    ),
    (
        "trace",
        &[
            ("nslab trace -f /tmp/lab", "Follow what happens in a lab"),
            ("nslab trace --boot docker.lab", "Show the steps of a script"),
        ],
    ),
    (
        "ps",
        &[
            ("nslab ps --tree /tmp/lab", "List the tasks below their parents"),
            ("nslab ps --json /tmp/lab", "List the tasks for programs"),
        ],
    ),
    (
        "doctor",
        &[
            ("nslab doctor", "Check whether this machine can mount labs"),
            ("nslab doctor /tmp/lab", "Show the state of a lab"),
        ],
    ),
    ("completions", &[("source <(nslab completions bash)", "Complete arguments in this shell")]),
    ("man", &[("nslab man | man -l -", "Read the manual page")]),
];

/// The examples of a subcommand.
pub fn of(subcommand: &str) -> Examples {
    EXAMPLES.iter().find(|(name, _)| *name == subcommand).map_or(&[], |(_, examples)| examples)
}

/// The same as a part of the text of `--help`.
pub fn help(subcommand: &str) -> String {
    let example = |(typed, does): &(&str, &str)| format!("  {typed}\n      {does}\n");
    let examples: String = of(subcommand).iter().map(example).collect();
    if examples.is_empty() { examples } else { format!("Examples:\n{}", examples.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    /// The words of what is typed, those of nslab, up to where the shell takes over. What is quoted is one word.
    fn arguments(typed: &str) -> Vec<&str> {
        let after = &typed[typed.find("nslab ").unwrap()..];
        let pieces = after.split('\'').enumerate();
        let words =
            pieces.flat_map(|(index, piece)| if index % 2 == 1 { vec![piece] } else { piece.split(' ').collect() });
        let words = words.map(|word| word.trim_end_matches(')')).filter(|word| !word.is_empty());
        words.take_while(|word| !["|", ">"].contains(word)).collect()
    }

    #[test]
    fn every_subcommand_has_examples_and_they_are_arguments_of_it() {
        for subcommand in command().get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let name = subcommand.get_name();
            assert!(!of(name).is_empty(), "{name}");
            for (typed, _) in of(name).iter().filter(|(typed, _)| !typed.starts_with("mount ")) {
                let arguments = arguments(typed);
                assert_eq!(arguments[1], name, "{typed}");
                let parsed = command().try_get_matches_from(&arguments);
                assert!(parsed.is_ok(), "{typed}: {}", parsed.unwrap_err());
            }
        }
    }
}
