//! The pictures of a lab: below `kernel/` of a real mount, and by the command.

#[path = "common/needs.rs"]
mod needs;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use needs::has;
use nslab::testing::Lab;
use serde_json::Value;

/// A mounted lab, or `None`, said aloud, where this machine has no FUSE.
fn lab(script: &str) -> Option<Lab> {
    has(&["fuse"]).then(|| Lab::boot(script).unwrap())
}

fn nslab(args: &[&str]) -> Output {
    Command::new("timeout").args(["30", env!("CARGO_BIN_EXE_nslab")]).args(args).output().unwrap()
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_command_shows_what_the_mount_has() {
    let Some(lab) = lab("A = 1 clone newnet newpid\n$A clone\n") else { return };
    let dir = lab.path().to_str().unwrap();
    assert_eq!(text(nslab(&["tree", dir])), lab.read("kernel/tree").unwrap());
    assert_eq!(text(nslab(&["graph", dir, "--dot"])), lab.read("kernel/graph.dot").unwrap());
    let ps = text(nslab(&["ps", dir]));
    assert!(ps.lines().next().unwrap().contains("NSPID"), "{ps}");
    assert!(ps.lines().any(|line| line.split_whitespace().next() == Some("3") && line.contains("3 2")), "{ps}");
    let tasks: Value = serde_json::from_str(&text(nslab(&["ps", dir, "--json"]))).unwrap();
    assert_eq!(tasks[2]["nspid"], serde_json::json!([3, 2]));
}

#[test]
fn a_user_namespace_says_what_may_be_mounted_in_it() {
    // One that sees all, one that has no mount namespace of its own, one from which a part of proc is hidden.
    let script = "A = 1 clone newuser newns\nB = 1 clone newuser\nC = 1 clone newns\n$C mount tmpfs cover /proc/sys\n\
        D = $C clone newuser newns\n";
    let Some(lab) = lab(script) else { return };
    let may_mount = |task: u32, what: &str| {
        lab.read(format!("kernel/task/{task}/cred/user_ns/may_mount_{what}")).unwrap().trim().to_owned()
    };
    let seen = [1, 2, 3, 5].map(|task| ["proc", "sysfs"].map(|what| may_mount(task, what)));
    assert_eq!(seen, [["1", "1"], ["1", "1"], ["0", "0"], ["0", "1"]]);
}

#[test]
fn a_picture_is_of_the_instant_it_is_read() {
    let Some(lab) = lab("") else { return };
    let before = lab.read("kernel/graph.svg").unwrap();
    lab.call(1, "clone newipc").unwrap();
    let after = lab.read("kernel/graph.svg").unwrap();
    assert!(!before.contains("ipc:[4026532177]") && after.contains("ipc:[4026532177]"));
    assert!(lab.read("kernel/tree").unwrap().contains("ipc:[4026532177]"));
}

#[test]
fn a_matrix_is_the_picture_without_the_objects() {
    let graph = |options: &[&str]| text(nslab(&[&["graph", "--boot", "fixtures/docker.lab"], options].concat()));
    let (whole, matrix) = (graph(&[]), graph(&["--matrix"]));
    assert!(whole.contains(">Objects<") && !matrix.contains(">Objects<"), "{matrix}");
    let rows = matrix.lines().skip_while(|line| !line.contains("data-pid")).take_while(|line| !line.contains("</svg>"));
    let rows: Vec<&str> = rows.collect();
    assert!(rows.len() > 50 && whole.contains(&rows.join("\n")), "{matrix}");
    assert_eq!(nslab(&["graph", "--matrix", "--dot", "--boot", "fixtures/docker.lab"]).status.code(), Some(2));
}

#[test]
fn a_trace_tells_why_a_call_was_refused() {
    let Some(lab) = lab("") else { return };
    lab.call(1, "unshare 1").unwrap_err();
    let trace = lab.read("kernel/trace").unwrap();
    assert!(trace.contains("unshare(0x1)\n") && trace.contains("unshare = EINVAL: "), "{trace}");
    assert_eq!(fs::metadata(lab.at("kernel/trace")).unwrap().len(), trace.len() as u64);
}

#[test]
fn tail_and_the_command_follow_a_trace() {
    let Some(lab) = lab("") else { return };
    lab.call(1, "getsid 1").unwrap();
    let file = lab.at("kernel/trace");
    let dir = lab.path();
    let tail: [&std::ffi::OsStr; 4] = ["tail".as_ref(), "-n+1".as_ref(), "-f".as_ref(), file.as_ref()];
    let ours = [env!("CARGO_BIN_EXE_nslab").as_ref(), "trace".as_ref(), "-f".as_ref(), dir.as_ref()];
    for follower in [tail, ours] {
        let mut child = Command::new("timeout").arg("30").args(follower).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.ends_with("getsid = 1")));
        lab.call(1, "setsid").unwrap_err();
        assert!(lines.any(|line| line.contains("setsid = EPERM: ")), "{follower:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_script_is_shown_without_a_mount() {
    let script = tempfile::Builder::new().suffix(".lab").tempfile().unwrap();
    fs::write(&script, "1 clone net\n").unwrap();
    let file = script.path().to_str().unwrap();
    assert!(text(nslab(&["tree", "--boot", file])).contains("net:[4026532177]"));
    let trace = text(nslab(&["trace", "--boot", file, "--json"]));
    let first: Value = serde_json::from_str(trace.lines().next().unwrap()).unwrap();
    assert_eq!(first["step"], "clone(CLONE_NEWNET)");
    let both = nslab(&["trace", "-f", "--boot", file]);
    assert_eq!(both.status.code(), Some(2));
}

/// What a command prints on a terminal of 80 columns, with its colours.
fn on_a_terminal(command: &str, variables: &[(&str, &str)]) -> String {
    let line = format!("stty cols 80; '{}' {command}", env!("CARGO_BIN_EXE_nslab"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    for name in ["COLUMNS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LAB"] {
        script.env_remove(name);
    }
    text(script.env("TERM", "xterm").envs(variables.iter().copied()).output().unwrap()).replace('\r', "")
}

/// The text without colours.
fn bare(text: &str) -> String {
    regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap().replace_all(text, "").into_owned()
}

#[test]
fn lines_fit_the_terminal_and_colours_are_for_it_alone() {
    if !has(&["script"]) {
        return;
    }
    let tree = "tree --boot fixtures/docker.lab";
    for command in [tree, "ps --tree --boot fixtures/docker.lab", "trace --boot fixtures/docker.lab"] {
        let shown = on_a_terminal(command, &[]);
        let lines = bare(&shown);
        assert!(shown.contains("\u{1b}[") && lines.lines().count() > 9, "{shown}");
        let too_long: Vec<_> = lines.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(too_long.is_empty(), "{command}: {too_long:?}");
    }
    // Nothing is lost by it, and each thing said is there at any width.
    let (folded, wide) = (bare(&on_a_terminal(tree, &[])), on_a_terminal(&format!("{tree} --wide"), &[]));
    let in_a_pipe = text(nslab(&["tree", "--boot", "fixtures/docker.lab"]));
    assert_eq!(bare(&wide), in_a_pipe);
    for word in in_a_pipe.split_whitespace().filter(|word| word.contains(":[")) {
        assert!(folded.contains(word), "{word}: {folded}");
    }
    assert!(!on_a_terminal(tree, &[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!on_a_terminal(&format!("{tree} --color never"), &[]).contains('\u{1b}'));
    let for_a_pager = text(nslab(&["tree", "--boot", "fixtures/docker.lab", "--color", "always"]));
    assert!(for_a_pager.contains('\u{1b}') && bare(&for_a_pager) == in_a_pipe);
    let columns = Command::new(env!("CARGO_BIN_EXE_nslab")).args(tree.split(' ')).env("COLUMNS", "80").output();
    assert_eq!(text(columns.unwrap()), folded);
}

#[test]
fn what_is_no_lab_is_refused_in_one_line() {
    let output = nslab(&["tree", "/"]);
    let expected = "nslab: /: not a mounted lab: mount one there with nslab mount\n";
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(1), expected));
}

#[test]
fn the_manual_comes_from_the_arguments() {
    let manual = text(nslab(&["man"]));
    assert!(
        manual.contains(".TH nslab") && manual.contains("Write all changes of the lab to this new file"),
        "{manual}"
    );
    assert!(!manual.contains("nslab\\-mount(1)") && !manual.contains("detached"), "{manual}");
    for part in ["\\fBnslab run\\fR FILE...", "<\\fIFILE...\\fR>", "nslab umount \\-\\-force /tmp/lab"] {
        assert!(manual.contains(part), "{part}: {manual}");
    }
    if has(&["groff"]) {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tutf8", "-ww"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut groff = groff.spawn().unwrap();
        groff.stdin.take().unwrap().write_all(manual.as_bytes()).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What the function that a shell has loaded offers for the last of the words, in `dir`.
fn offered(dir: &Path, words: &[&str]) -> Vec<String> {
    let script = format!(
        "PATH='{}':$PATH; source <(nslab completions bash); COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
        _clap_complete_nslab nslab \"${{COMP_WORDS[COMP_CWORD]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        Path::new(env!("CARGO_BIN_EXE_nslab")).parent().unwrap().display()
    );
    let words = ["-c", &script, "bash"].into_iter().chain(words.iter().copied());
    let output = Command::new("bash").args(words).current_dir(dir).env_remove("LAB").output().unwrap();
    text(output).lines().map(str::to_owned).filter(|word| !word.is_empty()).collect()
}

#[test]
fn a_shell_offers_labs_tasks_and_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(nslab(&["completions", shell])).contains("NSLAB_COMPLETE"), "{shell}");
    }
    if !has(&["bash"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.lab"), "").unwrap();
    fs::write(dir.path().join("b.txt"), "").unwrap();
    assert_eq!(offered(dir.path(), &["nslab", "umo"]), ["umount"]);
    let scripts = offered(dir.path(), &["nslab", "run", ""]);
    assert!(scripts.contains(&"a.lab".to_owned()) && !scripts.contains(&"b.txt".to_owned()), "{scripts:?}");
    assert!(offered(dir.path(), &["nslab", "ps", "--"]).contains(&"--tree".to_owned()));
    // A script under way is none of ours: nothing is offered that is no lab.
    assert_eq!(offered(dir.path(), &["nslab", "umount", "b"]), [""; 0]);
    let Some(lab) = lab("1 clone newpid\n") else { return };
    let path = lab.path().to_str().unwrap();
    // Other tests have labs whose names begin alike.
    let start = &path[..path.len() - 1];
    for command in ["umount", "tree", "exec", "doctor"] {
        assert_eq!(offered(dir.path(), &["nslab", command, start]), [path], "{command}");
    }
    let below = path.strip_prefix(lab.path().parent().unwrap().to_str().unwrap()).unwrap().trim_start_matches('/');
    assert_eq!(offered(lab.path().parent().unwrap(), &["nslab", "tree", below]), [below]);
    assert_eq!(offered(dir.path(), &["nslab", "exec", path, "--as", ""]), ["1", "2"]);
    assert_eq!(offered(lab.path(), &["nslab", "exec", "--as", "2"]), ["2"]);
}

/// One line, which begins with the name of the command and says nothing by a number alone.
#[test]
fn what_goes_wrong_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, file) = (dir.path().join("missing"), dir.path().join("file"));
    fs::write(&file, "1 frob\n").unwrap();
    let (missing, file) = (missing.to_str().unwrap(), file.to_str().unwrap());
    let below = format!("{missing}/below");
    for args in [
        &["run", missing] as &[&str],
        &["run", file],
        &["run", "/"],
        &["tree", missing],
        &["tree", file],
        &["ps", "--boot", missing],
        &["trace", "--boot", file],
        &["graph", "--boot", "/"],
        &["doctor", missing],
        &["umount", missing],
        &["record", "-o", &below],
        &["record", "--from", missing],
        &["shell", "--boot", missing],
        &["shell", "-c", "true"],
        &["mount", missing],
        &["mount", file],
        &["exec", "--", missing],
        &["exec", missing, "--", "true"],
        &["exec", "--boot", missing, "--", "true"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        let output = command.args(args).env("TMPDIR", missing).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.starts_with("nslab: "), "{args:?}: {said}");
        assert!(!said.contains("os error") && !said.contains("Os {"), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    }
}

#[test]
fn output_that_nobody_takes_is_no_panic() {
    // A user without rights is told so by the doctor: then the exit code is 1, too.
    for (args, codes) in [
        (&["completions", "bash"] as &[&str], &[0] as &[i32]),
        (&["man"], &[0]),
        (&["list"], &[0]),
        (&["doctor"], &[0, 1]),
    ] {
        for sink in [closed_pipe(), File::options().write(true).open("/dev/full").unwrap().into()] {
            let output = Command::new(env!("CARGO_BIN_EXE_nslab")).args(args).stdout(sink).output().unwrap();
            let (code, message) = (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap());
            let is_full = code == 1 && message == "nslab: No space left on device\n";
            assert!(is_full || codes.contains(&code) && message.is_empty(), "{args:?}: {code}: {message}");
        }
    }
}

/// The end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[test]
fn mount_helpers_mount() {
    if !has(&["fuse"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let helper = place.path().join("mount.nslab");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nslab"), &helper).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let point = dir.path().to_str().unwrap();
    let by_name = [helper.to_str().unwrap(), "none", point, "-n", "-o", "rw,relatime"];
    let by_fuse = [env!("CARGO_BIN_EXE_nslab"), "none", point, "-o", "rw,dev,suid"];
    for command in [&by_name[..], &by_fuse] {
        text(Command::new(command[0]).args(&command[1..]).output().unwrap());
        assert!(dir.path().join("proc/1/ns/net").symlink_metadata().is_ok());
        text(nslab(&["umount", point]));
    }
}

fn errno(result: std::io::Result<impl std::fmt::Debug>) -> Option<nslab::errno::Errno> {
    result.err().and_then(|error| error.raw_os_error()).map(nslab::errno::Errno::from_raw)
}

/// A reader lists `proc`, and a process is gone before it is looked at: each time, at the same point.
#[test]
fn a_process_exits_while_a_reader_is_at_it() {
    use nslab::errno::Errno;
    let script = "A = 1 clone\n1 sigaction CHLD ignore\nB = 1 clone newpid\nC = $B clone\nD = 1 clone\n";
    let Some(lab) = lab(script) else { return };
    let has = |pid: &str| fs::read_dir(lab.at("proc")).unwrap().any(|entry| entry.unwrap().file_name() == *pid);
    for pid in ["2", "3", "4", "5"] {
        fs::read_link(lab.at(format!("proc/{pid}/ns/net"))).unwrap();
        fs::metadata(lab.at(format!("proc/{pid}/status"))).unwrap();
    }
    fs::write(lab.at("kernel/faults"), "exit 2 after=readdir\nexit 3 after=readlink\nexit 5 after=open proc/1/comm\n")
        .unwrap();
    assert!(has("2"));
    assert_eq!(errno(fs::metadata(lab.at("proc/2/status"))), Some(Errno::ENOENT));
    assert!(!has("2"));
    // The init of a pid namespace takes all in it along.
    fs::read_link(lab.at("proc/3/ns/pid")).unwrap();
    assert_eq!(errno(fs::read_link(lab.at("proc/3/ns/net"))), Some(Errno::ENOENT));
    assert!(!has("4"));
    assert!(has("5"));
    fs::read(lab.at("proc/1/comm")).unwrap();
    assert_eq!(errno(fs::metadata(lab.at("proc/5"))), Some(Errno::ENOENT));
    let expected = "exit 2 after=readdir hits=1\nexit 3 after=readlink hits=1\nexit 5 after=open proc/1/comm hits=1\n";
    assert_eq!(lab.read("kernel/faults").unwrap(), expected);
    assert_eq!(errno(fs::write(lab.at("kernel/faults"), "exit 9 after=read")), Some(Errno::ESRCH));
    assert_eq!(errno(fs::write(lab.at("kernel/faults"), "exit 1 after=frob")), Some(Errno::EINVAL));
    // As a control file, it says why on the same open file.
    let mut file = File::options().read(true).write(true).open(lab.at("kernel/faults")).unwrap();
    file.write_all(b"exit 1 after=frob\n").unwrap_err();
    let mut reason = String::new();
    file.read_to_string(&mut reason).unwrap();
    assert_eq!(
        reason,
        "EINVAL: usage: ERRNO stat|readlink|open|read|readdir PATH… [times=N] [after=N], or ERRNO CALL [pid=N] [comm=NAME] [times=N] [after=N], or exit PID after=OP [PATH…], \
         or count N HITS PASSED, or clear\n"
    );
    // A file that is opened later shows it below the faults, until a write succeeds.
    assert_eq!(lab.read("kernel/faults").unwrap(), format!("{expected}# {reason}"));
    fs::write(lab.at("kernel/faults"), "# nothing\n").unwrap();
    assert_eq!(lab.read("kernel/faults").unwrap(), expected);
}

#[test]
fn faults_are_seen_although_the_real_kernel_caches() {
    use nslab::errno::Errno;
    let Some(lab) = lab("1 clone\n") else { return };
    let link = lab.at("proc/2/ns/net");
    for _ in 0..2 {
        fs::read_link(&link).unwrap();
        fs::read(lab.at("proc/2/comm")).unwrap();
        fs::metadata(lab.at("proc/2")).unwrap();
    }
    let faults = "EACCES readlink proc/2/ns/net times=2 after=1\nEIO read proc/2/comm\nESRCH stat proc/2 times=1\n";
    fs::write(lab.at("kernel/faults"), faults).unwrap();
    let outcomes: Vec<_> = (0..4).map(|_| errno(fs::read_link(&link))).collect();
    assert_eq!(outcomes, [None, Some(Errno::EACCES), Some(Errno::EACCES), None]);
    assert_eq!(errno(fs::read(lab.at("proc/2/comm"))), Some(Errno::EIO));
    assert_eq!(errno(fs::metadata(lab.at("proc/2"))), Some(Errno::ESRCH));
    fs::metadata(lab.at("proc/2")).unwrap();
    let expected = "EACCES readlink proc/2/ns/net times=2 after=1 hits=2\nEIO read proc/2/comm after=0 hits=1\n\
                    ESRCH stat proc/2 times=1 after=0 hits=1\n";
    assert_eq!(lab.read("kernel/faults").unwrap(), expected);
    fs::write(lab.at("kernel/faults"), "clear\n").unwrap();
    fs::read(lab.at("proc/2/comm")).unwrap();
    assert_eq!(errno(fs::write(lab.at("kernel/faults"), "frob")), Some(Errno::EINVAL));
    assert!(lab.read("kernel/faults").unwrap().starts_with("# EINVAL: usage: "));
}
