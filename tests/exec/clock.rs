//! Clocks of programs in time namespaces.

use super::mounted::Lab;
use super::native::{Ways, compare, text};
use super::{bash, has, says};

#[test]
fn clocks_and_calls_that_wait_until_a_time_do_as_on_linux() {
    let ways = Ways { mount: &["-o", "realtime"], ..Ways::PLAIN };
    compare(&ways, "time.c", "again: +0 +0 +0 +0 +0 +0 +0 +0 +0 +0 +0 +0 uptime +0 +0\n");
}

/// A lab of programs alone has the host's clock: what is up since when, and who began when.
#[test]
fn a_private_lab_has_the_clock_of_the_host() {
    if !has(&["ps", "python3"]) {
        return;
    }
    let script = "
import os, subprocess, time
boot = time.clock_gettime(time.CLOCK_BOOTTIME)
uptime = float(open('/proc/uptime').read().split()[0])
began = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19]) / 100
btime = int(next(line for line in open('/proc/stat') if line.startswith('btime')).split()[1])
print(abs(uptime - boot) < 5, 0 <= boot - began < 30, abs(btime + boot - time.time()) < 5)
etimes = int(subprocess.run(['ps', '-o', 'etimes=', str(os.getpid())], capture_output=True, text=True).stdout)
print(0 <= etimes < 30)
";
    if let Some(text) = super::python(script) {
        assert_eq!(text, "True True True\nTrue\n");
    }
}

#[test]
fn uptime_and_ps_agree_in_a_time_namespace() {
    if !has(&["ps", "uptime"]) {
        return;
    }
    // By the clocks of the namespace the machine is up for longer; processes are as old as they were.
    let script = "
old=$(cut -d. -f1 /proc/uptime)
unshare -T --boottime 864000 -f sh -c '
echo $((($(cut -d. -f1 /proc/uptime) - '$old') / 1000))
ps -o etimes= $$ | awk \"{ print \\$1 < 30 }\"
cat /proc/self/timens_offsets'";
    says(script, "864\n1\nmonotonic           0         0\nboottime       864000         0\n");
    if let Some(text) = bash("unshare -T --boottime 864000 -f uptime -p; uptime -p") {
        // Ten days more are a week and some.
        assert!(text.lines().next().is_some_and(|line| line.contains("week")), "{text}");
    }
}

/// Where the clock of a lab stands still, who runs programs in a time namespace is told so, once.
#[test]
fn a_lab_whose_clock_stands_still_says_so_to_programs_in_time_namespaces() {
    let Some(lab) = Lab::new() else { return };
    let enter = ["unshare", "-T", "--boottime", "1000", "-f", "true"];
    let said = lab.exec(&["sh", "-c", &format!("{}; {}", enter.join(" "), enter.join(" "))]);
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.lines().count() == 1 && words.contains("-o realtime"), "{said:?}");
    assert_eq!(text(&lab.exec(&["unshare", "-T", "true"])), "");
    let Some(lab) = Lab::with(&["-o", "realtime"]) else { return };
    assert_eq!(text(&lab.exec(&enter)), "");
    // Its clock is the host's, once it has programs.
    let compare = "test $(cut -d. -f1 /proc/uptime) -ge $(($1 - 1)) && echo as on the host";
    let host = std::fs::read_to_string("/proc/uptime").unwrap();
    let host = host.split('.').next().unwrap();
    assert_eq!(text(&lab.exec(&["sh", "-c", compare, "sh", host])), "as on the host\n");
}
