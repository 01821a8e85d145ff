//! The live page in a real browser: headless Chromium. Without one the tests say that they are skipped.

mod browser;
#[path = "../common/needs.rs"]
mod needs;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use browser::{Browser, request};
use needs::has;
use nslab::testing::Lab;

const BROWSER: [&str; 2] = ["chromedriver", "chromium"];

/// `nslab view`, until it is dropped.
struct View {
    process: Child,
    url: String,
}

impl View {
    fn start(args: &[&str]) -> View {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        command.arg("view").args(args).env_remove("LAB").stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        View { process, url: url.trim().to_owned() }
    }

    fn port(&self) -> u16 {
        self.url.split(['/', ':']).find_map(|part| part.parse().ok()).unwrap()
    }

    fn token(&self) -> &str {
        self.url.split_once("?token=").unwrap().1
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}

fn open(view: &View, width: u32, height: u32) -> Browser {
    let browser = Browser::start(width, height);
    browser.open(&view.url);
    browser.wait("document.body.dataset.step !== undefined");
    browser
}

/// The labels of the rows.
const ROWS: &str = "[...document.querySelectorAll('#matrix tbody th')].map(th => th.innerText).join('|')";

#[test]
fn a_call_is_made_seen_and_stepped_back_over() {
    if !has(&BROWSER) {
        return;
    }
    let view = View::start(&[]);
    let page = open(&view, 1280, 900);
    assert_eq!(page.text(ROWS), "1 init");
    page.call("clone net");
    page.wait("document.body.dataset.step === '1'");
    assert_eq!((page.text(ROWS), page.text("$('answer').innerText")), ("1 init|2 init".to_owned(), "2".to_owned()));
    assert_eq!(page.text("document.querySelector('tr.new').dataset.row"), "2");
    assert!(page.text("$('trace').innerText").contains("clone(CLONE_NEWNET)"));
    // A refusal says its errno and its reason, and is a step that changes nothing.
    page.call("setns fd:9");
    page.wait("document.body.dataset.step === '2'");
    assert!(page.text("$('answer').innerText").starts_with("EBADF: "));
    assert_eq!(page.text("$('answer').className"), "refused");
    // Back over both, and forth again.
    page.click("#back");
    page.wait("document.body.dataset.step === '1'");
    page.click("#back");
    page.wait("document.body.dataset.step === '0'");
    assert_eq!((page.text(ROWS), page.text("document.body.className")), ("1 init".to_owned(), "past".to_owned()));
    page.click("#forth");
    page.wait("document.querySelector('tr.new').dataset.row === '2'");
    page.click("#now");
    page.wait("document.body.dataset.step === '2' && document.body.className === ''");
    // The panel: a task, then by a pointer its nsproxy, then a namespace with its count and holders.
    page.click("[data-path='kernel/task/2']");
    page.wait("$('object').innerText.includes('real_parent')");
    page.click("#object [data-path^='kernel/nsproxy/']");
    page.wait("$('object').innerText.includes('net_ns')");
    page.click("#object [data-path^='kernel/ns/net/']");
    page.wait("$('object').innerText.startsWith('ns/net/') && $('object').innerText.includes('holders')");
    // The objects: a click on one chooses it.
    page.run("$('part').value = 'all'; $('part').dispatchEvent(new Event('change'));");
    page.wait("$('picture').firstChild.shadowRoot.querySelector('[data-pid]')");
    page.run("$('picture').firstChild.shadowRoot.querySelector('[data-pid=\"2\"] rect').dispatchEvent(new MouseEvent('click', {bubbles: true}))");
    page.wait("$('object').innerText.startsWith('task/2')");
    // Nothing is fetched from elsewhere.
    let elsewhere =
        "performance.getEntriesByType('resource').filter(one => !one.name.startsWith(location.origin)).length";
    assert_eq!(page.text(elsewhere), "0");
}

#[test]
fn the_keyboard_and_the_completion_do_all() {
    if !has(&BROWSER) {
        return;
    }
    let view = View::start(&[]);
    let page = open(&view, 1280, 900);
    page.click("#line");
    page.keys("unsh");
    page.wait("!$('choices').hidden && $('choices').innerText.includes('unshare FLAGS')");
    page.keys("\t");
    page.wait("$('line').value === 'unshare ' && $('usage').innerText.startsWith('unshare FLAGS')");
    page.keys("ut");
    page.wait("$('choices').innerText.trim() === 'uts'");
    page.keys("↓\n");
    page.wait("$('line').value.trim() === 'unshare uts'");
    page.keys("\n");
    page.wait("document.body.dataset.step === '1'");
    page.keys("open proc/1/ns/ne");
    page.wait("$('choices').innerText.trim() === 'proc/1/ns/net'");
    page.keys("\t\n");
    page.wait("document.body.dataset.step === '2'");
    assert_eq!(page.text("$('answer').innerText"), "0");
    // From cell to cell by arrows; Enter opens the panel.
    page.run("document.querySelector('#matrix tbody button[tabindex=\"0\"]').focus()");
    page.keys("→→→\n");
    page.wait("$('object').innerText.startsWith('ns/uts/')");
    // Everything that can be pressed has a name; one cell alone is a stop of Tab.
    let nameless = "[...document.querySelectorAll('button,input,select')].filter(one => \
                    !(one.innerText || one.getAttribute('aria-label') || one.labels && one.labels.length)).length";
    assert_eq!(page.text(nameless), "0");
    assert_eq!(page.text("document.querySelectorAll('#matrix tbody [tabindex=\"0\"]').length"), "1");
    assert_eq!(page.text("$('answer').getAttribute('role')"), "status");
}

#[test]
fn a_scenario_is_walked_step_by_step() {
    if !has(&BROWSER) {
        return;
    }
    let view = View::start(&["--boot", &fixture("docker.lab")]);
    let page = open(&view, 1400, 900);
    page.wait("$('parts').innerText.startsWith('A container as Docker makes it')");
    let parts: usize = page.text("lesson.parts.length").parse().unwrap();
    assert!(parts > 50);
    for step in 1..=parts {
        page.run("$('next').click()");
        page.wait(&format!("document.body.dataset.step === '{step}'"));
        let refused = page.text("$('answer').className === 'refused' ? $('answer').innerText : ''");
        assert_eq!(refused, "", "step {step}");
    }
    page.wait(&format!("$('progress').innerText === '{parts} of {parts}' && $('next').disabled"));
    // The sidecar shares its net namespace with the container: one letter in the column, with five others.
    let letter = |pid: &str, column: u32| {
        page.text(&format!("document.querySelector('tr[data-row=\"{pid}\"] td:nth-child({column})').innerText"))
    };
    let column = page.text("words.kinds.indexOf('net') + 2").parse().unwrap();
    assert_eq!((letter("4", column), letter("9", column)), ("A".to_owned(), "A".to_owned()));
    // A statement that is done leads back to its moment.
    page.run("document.querySelector('#parts li button').click()");
    page.wait("document.body.dataset.step === '1'");
    assert_eq!(page.text(ROWS), "1 init|2 init");
    page.wait("document.querySelector('#parts li.now').innerText.includes('dockerd = 1 clone')");
}

#[test]
fn a_change_is_seen_at_once_among_200_tasks() {
    if !has(&BROWSER) {
        return;
    }
    let mut script = String::new();
    for number in 0..199 {
        writeln!(script, "A = 1 clone {}", ["", "net", "uts,ipc", "pid"][number % 4]).unwrap();
    }
    let file = tempfile::Builder::new().suffix(".lab").tempfile().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let view = View::start(&["--boot", file.path().to_str().unwrap()]);
    let page = open(&view, 1280, 900);
    page.click("#rest");
    page.wait("document.body.dataset.step === '199' && document.querySelectorAll('#matrix tbody tr').length === 200");
    let timed = "(async () => { const times = []; \
        for (let round = 0; round < 15; round++) { \
            const last = Number(document.body.dataset.step); \
            $('line').value = 'unshare ' + ['uts', 'ipc', 'net'][round % 3]; \
            const start = performance.now(); \
            const seen = new Promise(resolve => new MutationObserver((_, me) => { \
                if (Number(document.body.dataset.step) > last) { me.disconnect(); requestAnimationFrame(() => setTimeout(resolve)); } \
            }).observe(document.body, { attributes: true })); \
            $('command').requestSubmit(); \
            await seen; \
            times.push(performance.now() - start); \
        } \
        done(times.sort((a, b) => a - b)); })();";
    let times = page.run_async(timed);
    let time = |place: usize| times[place].as_f64().unwrap();
    println!("a change at 200 tasks: {:.0} ms, in 15 rounds {:.0} to {:.0}", time(7), time(0), time(14));
}

#[test]
fn it_fits_a_phone() {
    if !has(&BROWSER) {
        return;
    }
    let view = View::start(&["--boot", &fixture("docker.lab")]);
    let page = open(&view, 360, 740);
    page.run("$('rest').click()");
    page.wait("document.querySelectorAll('#matrix tbody tr').length > 5");
    page.run("document.querySelector(\"[data-path='kernel/task/4']\").click(); $('line').value = 'clone'; $('line').focus();");
    page.wait("$('object').innerText.includes('real_parent')");
    assert_eq!(page.text("innerWidth"), "360");
    assert_eq!(page.text("document.documentElement.scrollWidth"), "360");
}

#[test]
fn a_mounted_lab_is_followed_and_driven() {
    if !has(&[&["fuse"], &BROWSER[..]].concat()) {
        return;
    }
    let lab = Lab::new().unwrap();
    let view = View::start(&[lab.path().to_str().unwrap()]);
    let page = open(&view, 1280, 900);
    // Somebody else changes it; the page shows it by itself.
    lab.call(1, "clone uts").unwrap();
    page.wait("document.querySelector('tr[data-row=\"2\"]')");
    assert!(page.text("$('said').innerText").starts_with("1 clone(CLONE_NEWUTS) → 2"));
    page.call("clone newpid");
    page.wait("document.querySelector('tr[data-row=\"3\"]')");
    assert_eq!(lab.read("proc/3/comm").unwrap(), "init\n");
    page.call("setns fd:9");
    page.wait("$('answer').innerText.startsWith('EBADF: ')");
    page.click("[data-path='kernel/task/3']");
    page.wait("$('object').innerText.includes('real_parent')");
    page.click("#first");
    page.wait("document.body.dataset.step === '0'");
    assert_eq!(page.text(ROWS), "1 init");
}

#[test]
fn strangers_are_not_let_in() {
    let view = View::start(&[]);
    let (port, token) = (view.port(), view.token());
    let ask =
        |path: &str, host: &str, more: &str| request(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}{more}"), "").0;
    let (own, good) = (format!("127.0.0.1:{port}"), format!("/state?token={token}"));
    assert_eq!(ask(&good, &own, ""), 200);
    assert_eq!(ask(&good, &format!("localhost:{port}"), &format!("\r\nOrigin: http://localhost:{port}")), 200);
    for path in ["/", "/state", "/state?token=", &format!("/state?token={}", "0".repeat(32)), "/events", "/words"] {
        assert_eq!(ask(path, &own, ""), 403, "{path}");
    }
    // A name of somebody else's that leads here, and a page of another origin.
    assert_eq!(ask(&good, &format!("example.com:{port}"), ""), 403);
    assert_eq!(ask(&good, &own, "\r\nOrigin: http://example.com"), 403);
    let post =
        |more: &str| request(port, &format!("POST /call?token={token} HTTP/1.1\r\nHost: {own}{more}"), "1 clone").0;
    assert_eq!((post("\r\nOrigin: null"), post("")), (403, 200));
    assert_eq!(ask(&format!("/object?path=kernel/../proc/1/comm&token={token}"), &own, ""), 200);
    assert_eq!(ask(&format!("/nothing?token={token}"), &own, ""), 404);
    // The page itself may load nothing from elsewhere, and is in no frame of others.
    let (status, _) = request(port, &format!("GET /?token={token} HTTP/1.1\r\nHost: {own}"), "");
    assert_eq!(status, 200);
}
