//! A headless Chromium, driven by chromedriver over HTTP (the WebDriver protocol).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a page may take for what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A narrower window is a phone's: no window of a computer is.
const NARROWEST: u32 = 500;

/// A browser with one page.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// What the driver says goes on to have a reader.
    _words: BufReader<ChildStdout>,
}

/// Sends a request and gives the status and the body.
pub fn request(port: u16, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE * 3)).unwrap();
    write!(stream, "{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    // chromedriver does not close the connection.
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => reader.take(length).read_to_end(&mut body),
        None => reader.read_to_end(&mut body),
    }
    .unwrap();
    (status, String::from_utf8(body).unwrap())
}

impl Browser {
    /// A browser whose window has this size.
    pub fn start(width: u32, height: u32) -> Browser {
        let mut driver =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut words = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert!(words.read_line(&mut line).unwrap() > 0, "chromedriver does not say its port");
            // It says first that it was asked for port 0.
            let port =
                line.rsplit_once(" on port ").and_then(|(_, port)| port.trim().trim_end_matches('.').parse().ok());
            if let Some(port) = port.filter(|&port| port > 0) {
                break port;
            }
        };
        let mut browser = Browser { driver, port, session: String::new(), _words: words };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        let mut options = json!({ "goog:chromeOptions": { "args": arguments } });
        if width < NARROWEST {
            let metrics = json!({ "width": width, "height": height, "pixelRatio": 1, "touch": true });
            options["goog:chromeOptions"]["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let session = browser.post("/session", &json!({ "capabilities": { "alwaysMatch": options } }));
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser.post("/timeouts", &json!({ "script": 2 * PATIENCE.as_millis() as u64 }));
        browser
    }

    fn ask(&self, path: &str, body: &Value) -> (u16, String) {
        let head = format!("POST {}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json", self.session);
        request(self.port, &head, &body.to_string())
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.ask(path, body);
        assert_eq!(status, 200, "{path} {body}: {text}");
        let mut reply: Value = serde_json::from_str(&text).unwrap();
        reply["value"].take()
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// Runs a script, which may return something.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script that calls `done` with what it comes to.
    pub fn run_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// The value of an expression as text.
    pub fn text(&self, expression: &str) -> String {
        self.run(&format!("return String({expression});")).as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true.
    pub fn wait(&self, expression: &str) {
        let until = format!(
            "const end = Date.now() + {}; (function look() {{ \
             let is; try {{ is = {expression}; }} catch {{ is = false; }} \
             if (is || Date.now() > end) done(!!is); else setTimeout(look, 10); }})();",
            PATIENCE.as_millis()
        );
        let is_true = self.run_async(&until) == true;
        assert!(is_true, "{expression} never came: {}", self.text("document.body.innerText"));
    }

    /// Presses keys where the focus is, as a person does.
    pub fn keys(&self, keys: &str) {
        let press = keys.chars().flat_map(|key| {
            let key = match key {
                '\n' => "\u{e007}".to_owned(),
                '\t' => "\u{e004}".to_owned(),
                '→' => "\u{e014}".to_owned(),
                '↓' => "\u{e015}".to_owned(),
                key => key.to_string(),
            };
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        });
        let actions = json!([{ "type": "key", "id": "keyboard", "actions": press.collect::<Vec<_>>() }]);
        self.post("/actions", &json!({ "actions": actions }));
    }

    /// Clicks on the middle of what a selector finds, as a person does.
    pub fn click(&self, selector: &str) {
        const TRIES: usize = 50;
        for tries_left in (0..TRIES).rev() {
            let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
            let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
            let (status, text) = self.ask(&format!("/element/{id}/click"), &json!({}));
            // The page may draw it anew between the two.
            if status != 404 || !text.contains("stale element") || tries_left == 0 {
                assert_eq!(status, 200, "{selector}: {text}");
                return;
            }
        }
    }

    /// Types a call into the command line and sends it.
    pub fn call(&self, line: &str) {
        self.click("#line");
        self.keys(line);
        self.keys("\n");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let head = format!("DELETE {} HTTP/1.1\r\nHost: 127.0.0.1", self.session);
            request(self.port, &head, "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
