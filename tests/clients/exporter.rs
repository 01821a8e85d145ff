//! Prometheus' node_exporter.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nslab::testing::Lab;

use super::lab;
use super::needs::skipped;
use super::traced::of_the_hosts_proc;

/// The exporter serves until it is killed.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// What it answers to a request, once it does.
fn scrape(port: u16) -> Option<String> {
    for _ in 0..600 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            return Some(answer);
        }
        thread::sleep(Duration::from_millis(50));
    }
    None
}

const COLLECTORS: [&str; 14] = [
    "arp",
    "cpu",
    "diskstats",
    "entropy",
    "filefd",
    "loadavg",
    "meminfo",
    "netstat",
    "pressure",
    "processes",
    "sockstat",
    "softnet",
    "stat",
    "vmstat",
];

fn node_exporter() -> Option<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let found = ["prometheus-node-exporter", "node_exporter"].into_iter().find(is_there);
    if found.is_none() {
        skipped("no node_exporter");
    }
    found
}

/// What it says of the lab, run by `tracer` (none: by itself).
fn metrics(lab: &Lab, program: &str, tracer: &[&str]) -> String {
    // Free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let command: Vec<_> = tracer.iter().copied().chain([program]).collect();
    let child = Command::new(command[0])
        .args(&command[1..])
        .arg(format!("--path.procfs={}", lab.at("proc").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--collector.disable-defaults")
        .args(COLLECTORS.map(|name| format!("--collector.{name}")))
        .stderr(Stdio::null())
        .spawn();
    let _serving = Serving(child.unwrap());
    scrape(port).unwrap()
}

#[test]
fn node_exporter_reads_the_machine() {
    let Some(program) = node_exporter() else { return };
    let Some(lab) = lab(&[]) else { return };
    let metrics = metrics(&lab, program, &[]);
    for collector in COLLECTORS {
        let line = format!("node_scrape_collector_success{{collector=\"{collector}\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let expected = [
        "node_boot_time_seconds 1.7672256e+09",
        "node_entropy_available_bits 256",
        "node_filefd_allocated 0",
        "node_pressure_memory_stalled_seconds_total 0",
        "node_softnet_processed_total{cpu=\"1\"} 0",
        "node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} 60",
        "node_forks_total 9",
        "node_memory_MemTotal_bytes 4.294967296e+09",
        "node_netstat_Ip_Forwarding 2",
        "node_processes_max_processes 4.194304e+06",
        "node_processes_pids 6",
        "node_processes_state{state=\"S\"} 4",
        "node_processes_state{state=\"T\"} 1",
        "node_processes_state{state=\"Z\"} 1",
        "node_processes_threads 8",
    ];
    for line in expected {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}

/// The trace of a program that has been killed; its tracer notes that at its own pace.
fn completed(trace: &Path) -> String {
    for _ in 0..600 {
        let text = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
        if text.trim_end().ends_with("+++ killed by SIGKILL +++") {
            return text;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{} has no end", trace.display())
}

/// The exporter measures itself as well, and for that it needs the host: the numbers of the lab are none of its own.
#[test]
fn node_exporter_reads_of_the_hosts_proc_only_what_is_about_itself() {
    const ABOUT_ITSELF: [(&str, &str); 7] = [
        ("/proc", "is it there, asks the library that measures the exporter's own process"),
        ("/proc/PID", "likewise"),
        ("/proc/PID/stat", "its own process time and memory"),
        ("/proc/PID/fd", "its own descriptors"),
        ("/proc/PID/limits", "how many of them it may have"),
        ("/proc/stat", "the host's boot: from there its own start is counted"),
        ("/proc/self/exe", "its own program"),
    ];
    /// Go asks for it before it listens.
    const TO_LISTEN: &str = "/proc/sys/net/core/somaxconn";
    let Some(program) = node_exporter() else { return };
    let Some(lab) = lab(&["strace"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let metrics = metrics(&lab, program, &["strace", "-D", "-f", "-e", "trace=%file", "-o", trace.to_str().unwrap()]);
    assert!(metrics.contains("\nnode_processes_pids 6\n"), "{metrics}");
    let trace = completed(&trace);
    let is_expected = |path: &str| path == TO_LISTEN || ABOUT_ITSELF.iter().any(|(expected, _)| *expected == path);
    let read = of_the_hosts_proc(&trace);
    assert!(read.iter().all(|path| is_expected(path)), "{read:?}");
}
