//! The page's side of HTTP. Everything but the page itself needs the token of the URL; what a page of another origin asks,
//! or what comes by another name of this machine, is refused.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use super::pulse::Pulse;
use super::source::{Answer, Source};
use super::{complete, graph, object};
use crate::control::{VERBS, verb};
use crate::host::lock;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Requests served at once: those that follow changes among them.
const REQUESTS_MAX: usize = 64;
/// The longest body of a request, in bytes.
const BODY_MAX: u64 = 1 << 16;
/// After this time a browser that follows is sent something, so that one which is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Bytes of the token, which the URL has in hexadecimal digits.
const TOKEN_BYTES: usize = 16;
/// What the page may load: itself and nothing else. The picture of the objects brings its own style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who is let in.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    token: String,
}

impl Door {
    /// For a listener at this address, with a token that nobody knows yet.
    ///
    /// # Errors
    /// The host gives no random numbers.
    pub fn new(address: SocketAddr) -> io::Result<Door> {
        let mut random = [0; TOKEN_BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Door { address, token })
    }

    /// What a browser is to open.
    pub fn url(&self) -> String {
        format!("http://{}/?token={}", self.address, self.token)
    }

    /// Whether the token is right; how long this takes does not say how much of it is.
    fn takes(&self, token: &str) -> bool {
        let differ = token.bytes().zip(self.token.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b));
        token.len() == self.token.len() && differ == 0
    }

    /// Whether `Host` names this machine by number, or as localhost: another name may be of somebody who lets it lead here.
    fn is_host(&self, host: &str) -> bool {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        let name = name.trim_start_matches('[').trim_end_matches(']');
        port == self.address.port().to_string() && (name == "localhost" || name.parse::<IpAddr>().is_ok())
    }
}

/// What all requests share.
struct Desk {
    door: Door,
    lab: Mutex<Box<dyn Source>>,
    pulse: Arc<Pulse>,
    running: AtomicUsize,
}

/// Serves a lab on `listener` until the process ends.
///
/// # Errors
/// The listener cannot be used.
pub fn serve(listener: TcpListener, door: Door, lab: Box<dyn Source>, pulse: Arc<Pulse>) -> io::Result<()> {
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    let desk = Arc::new(Desk { door, lab: Mutex::new(lab), pulse, running: AtomicUsize::new(0) });
    loop {
        let request = server.recv()?;
        let desk = Arc::clone(&desk);
        if desk.running.fetch_add(1, Ordering::Relaxed) >= REQUESTS_MAX {
            desk.running.fetch_sub(1, Ordering::Relaxed);
            let _gone = request.respond(Response::from_string("too many requests at once").with_status_code(503));
            continue;
        }
        thread::Builder::new().name("page".to_owned()).spawn(move || {
            // The browser may be gone; that is its business.
            let _gone = desk.answer(request);
            desk.running.fetch_sub(1, Ordering::Relaxed);
        })?;
    }
}

/// A status, what kind of text it is, and the text.
type Reply = (u16, &'static str, Vec<u8>);

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

fn refusal(status: u16, why: &str) -> Reply {
    (status, TEXT, format!("{why}\n").into_bytes())
}

fn reply(value: &Value) -> Reply {
    (200, JSON, value.to_string().into_bytes())
}

/// The parts of a URL: the path, and what stands after the question mark.
struct Asked {
    path: String,
    query: Vec<(String, String)>,
}

impl Asked {
    fn of(url: &str) -> Asked {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Asked { path: path.to_owned(), query: pairs.map(|(key, value)| (key.to_owned(), decoded(value))).collect() }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }
}

/// `%41` is A, `+` a blank.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, _) => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

impl Desk {
    fn answer(&self, mut request: Request) -> io::Result<()> {
        let asked = Asked::of(request.url());
        let (status, kind, text) = match self.refused(&request, &asked) {
            Some(refusal) => refusal,
            None if asked.path == "/events" => return self.follow(request),
            None => self.reply(&mut request, &asked),
        };
        let mut response = Response::from_data(text).with_status_code(status);
        let all = [
            ("Content-Type", kind),
            ("Content-Security-Policy", POLICY),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ];
        for (name, value) in all {
            if let Ok(header) = Header::from_bytes(name, value) {
                response.add_header(header);
            }
        }
        request.respond(response)
    }

    /// Why a request is not answered, if it is not.
    fn refused(&self, request: &Request, asked: &Asked) -> Option<Reply> {
        if self.lab.is_poisoned() {
            return Some(refusal(500, "the simulated kernel stopped at an internal error: start nslab view anew"));
        }
        let host = header(request, "Host").unwrap_or_default();
        if !self.door.is_host(host) {
            return Some(refusal(403, "this page is served by number or as localhost"));
        }
        if header(request, "Origin").is_some_and(|origin| origin != format!("http://{host}")) {
            return Some(refusal(403, "a page of another origin may not ask"));
        }
        let is_open = ["/page.css", "/page.js"].contains(&asked.path.as_str());
        let is_known = asked.get("token").is_some_and(|token| self.door.takes(token));
        let wrong = || refusal(403, "the token is missing or wrong: open the URL that nslab view printed");
        (!is_open && !is_known).then(wrong)
    }

    fn reply(&self, request: &mut Request, asked: &Asked) -> Reply {
        match (request.method(), asked.path.as_str()) {
            (Method::Get, "/") => (200, HTML, PAGE.into()),
            (Method::Get, "/page.css") => (200, "text/css; charset=utf-8", STYLE.into()),
            (Method::Get, "/page.js") => (200, "text/javascript; charset=utf-8", SCRIPT.into()),
            (Method::Get, "/words") => words(),
            (Method::Get, "/lesson") => {
                reply(&self.with(|lab| lab.lesson().map_or(Value::Null, |lesson| lesson.json())))
            }
            (Method::Get, path) => self.moment(path, asked),
            (Method::Post, path) => self.act(path, request),
            _ => refusal(405, "GET and POST"),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut dyn Source) -> T) -> T {
        act(&mut **lock(&self.lab))
    }

    /// What is asked about a moment: the last one, if none is named.
    fn moment(&self, path: &str, asked: &Asked) -> Reply {
        let done = self.with(|lab| {
            let (first, last) = lab.steps();
            let number = asked.number("step").unwrap_or(last);
            let mut value = Value::Null;
            match path {
                "/state" => return state(lab, number, first, last),
                "/graph" => return Ok(picture(&lab.tree(number)?, asked)),
                "/object" => {
                    lab.look(number, &mut |files| value = object::object(files, asked.get("path").unwrap_or_default()))?
                }
                "/complete" => lab.look(number, &mut |files| {
                    let (pid, word) = (asked.number("pid").unwrap_or(1), asked.get("word").unwrap_or_default());
                    value = json!(complete::paths(files, pid, word));
                })?,
                _ => return Ok(refusal(404, "there is no such page")),
            }
            Ok(reply(&value))
        });
        done.unwrap_or_else(|error: io::Error| refusal(404, &crate::errno::describe(&error)))
    }

    fn act(&self, path: &str, request: &mut Request) -> Reply {
        let mut body = String::new();
        if request.as_reader().take(BODY_MAX).read_to_string(&mut body).is_err() {
            return refusal(400, "the body is not text");
        }
        let answers: Vec<Answer> = match path {
            "/call" => vec![self.with(|lab| lab.perform(&statement(&body)))],
            "/next" => self.with(|lab| lab.advance().into_iter().collect()),
            "/rest" => self.with(|lab| {
                let mut answers = Vec::new();
                while let Some(answer) = lab.advance() {
                    let is_ok = answer.is_ok;
                    answers.push(answer);
                    if !is_ok {
                        break;
                    }
                }
                answers
            }),
            _ => return refusal(404, "there is no such page"),
        };
        self.pulse.beat();
        let last = self.with(|lab| lab.steps().1);
        let Some(Answer { is_ok, text }) = answers.last() else {
            return reply(&json!({ "done": true, "last": last }));
        };
        reply(&json!({ "ok": is_ok, "text": text, "last": last }))
    }

    /// Tells of each change, until the browser is gone.
    fn follow(&self, request: Request) -> io::Result<()> {
        let mut out = request.into_writer();
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n")?;
        let mut seen = 0;
        loop {
            let (first, last) = self.with(|lab| lab.steps());
            write!(out, "data: {{\"first\":{first},\"last\":{last}}}\n\n")?;
            out.flush()?;
            seen = self.pulse.wait(seen, HEARTBEAT);
        }
    }
}

/// A line of the page: `PID WORDS`. Where the words begin with a verb it is a call of that task, else a statement.
fn statement(body: &str) -> String {
    let (pid, line) = body.split_once(' ').unwrap_or((body, ""));
    let is_call = line.split_whitespace().next().is_some_and(|word| verb(word).is_some());
    if is_call { format!("{pid} {line}") } else { line.to_owned() }
}

fn state(lab: &mut dyn Source, number: usize, first: usize, last: usize) -> io::Result<Reply> {
    let step = lab.step(number)?;
    let answer = step.answer.map(|answer| json!({ "ok": answer.is_ok, "text": answer.text }));
    let about = json!({
        "step": number, "first": first, "last": last, "line": step.line, "answer": answer, "trace": step.trace,
        "done": lab.lesson().map(|lesson| lesson.done()),
    });
    // The tree is JSON already.
    let text = format!("{{\"about\":{about},\"tree\":{}}}", lab.tree(number)?);
    Ok((200, JSON, text.into_bytes()))
}

fn picture(tree: &str, asked: &Asked) -> Reply {
    match graph::draw(tree, &asked.query) {
        Ok(svg) => (200, SVG, svg.into_bytes()),
        Err(reason) => refusal(404, &reason),
    }
}

/// What the command line knows.
fn words() -> Reply {
    let verbs = VERBS.iter().map(|verb| json!({ "name": verb.name, "usage": verb.usage, "example": verb.example }));
    let kinds = crate::kernel::ns::NS_TABLE.iter().map(|ops| ops.name);
    reply(&json!({ "verbs": verbs.collect::<Vec<_>>(), "kinds": kinds.collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let asked = Asked::of("/call?token=ab&word=%2fproc+x%");
        assert_eq!((asked.path.as_str(), asked.get("word"), asked.get("none")), ("/call", Some("/proc x%"), None));
    }

    #[test]
    fn hosts_are_named_by_number() {
        let door = Door::new("127.0.0.1:80".parse().unwrap()).unwrap();
        for host in ["127.0.0.1:80", "localhost:80", "[::1]:80", "127.0.0.1"] {
            assert!(door.is_host(host), "{host}");
        }
        for host in ["example.com:80", "127.0.0.1:81", "", "127.0.0.1.example.com:80"] {
            assert!(!door.is_host(host), "{host}");
        }
        assert!(door.takes(&door.token) && !door.takes("") && !door.takes(&door.token[1..]));
    }

    #[test]
    fn a_line_is_a_call_or_a_statement() {
        assert_eq!(statement("7 unshare net"), "7 unshare net");
        assert_eq!(statement("7 A = 1 clone"), "A = 1 clone");
        assert_eq!(statement("7 ! EPERM 1 kill 2 0"), "! EPERM 1 kill 2 0");
    }
}
