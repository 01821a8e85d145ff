//! `kernel/tree.json`: namespaces and tasks of this instant for programs.

use std::io::Write as _;

use super::census::{Census, NsProxyRow, NsRow, Row, TaskRow};
use crate::kernel::ns::{ENTRIES, NsEntry};

/// The whole file: an object with `namespaces`, by inum, `nsproxies`, whose slots are inums in the order of
/// [`Slot`](crate::kernel::ns::Slot), and `tasks`, by number. The text is what `serde_json` prints for
/// people; a value is never built, as there may be millions of tasks.
pub(super) fn draw(census: &Census) -> Vec<u8> {
    let members = census.members();
    let mut entries: Vec<&NsEntry> = ENTRIES.iter().collect();
    entries.sort_by_key(|entry| entry.name);
    let mut out = Json::default();
    out.object(|out| {
        out.key("namespaces");
        out.array(census.ns_rows(), |out, row| namespace(out, census, census.ns(row), members.of(row)));
        out.key("nsproxies");
        out.array(census.nsproxies.iter(), |out, nsproxy| self::nsproxy(out, census, nsproxy));
        out.key("tasks");
        out.array(census.task_rows(), |out, row| task(out, census, census.task(row), &entries));
    });
    out.text.push(b'\n');
    out.text
}

fn namespace(out: &mut Json, census: &Census, ns: &NsRow, members: &[Row]) {
    let inum = |row: Option<Row>| row.map(|row| census.ns(row).inum);
    out.object(|out| {
        out.number("count", ns.count);
        out.number("inum", ns.inum);
        out.number("ns_id", ns.ns_id);
        out.optional("owner", inum(ns.owner));
        out.optional("parent", inum(ns.parent));
        out.number("pins", ns.pins);
        out.key("tasks");
        out.array(members.iter(), |out, &member| out.plain(census.task(member).pid));
        out.text_value("type", ns.ns_type.ops().name);
    });
}

fn nsproxy(out: &mut Json, census: &Census, nsproxy: &NsProxyRow) {
    out.object(|out| {
        out.number("count", nsproxy.count);
        out.number("index", nsproxy.index);
        out.key("slots");
        out.array(nsproxy.slots.iter(), |out, &ns| out.plain(census.ns(ns).inum));
    });
}

/// `entries` are those of `ns`, by name.
fn task(out: &mut Json, census: &Census, task: &TaskRow, entries: &[&NsEntry]) {
    out.object(|out| {
        out.number("capabilities", task.capabilities);
        out.text_value("comm", &task.comm());
        out.number("egid", task.egid);
        out.number("euid", task.euid);
        out.key("not_as_init");
        out.array(census.differing(task), |out, (entry, ns)| out.quoted(&format!("{}:[{}]", entry.name, ns.inum)));
        out.key("ns");
        out.object(|out| {
            for entry in entries {
                if let Some(ns) = census.entry(task, entry) {
                    out.text_value(entry.name, &census.ns(ns).text());
                }
            }
        });
        out.key("nspid");
        out.array(census.numbers(task), |out, number| out.plain(number));
        out.optional("nsproxy", task.nsproxy.map(|row| census.nsproxies[row as usize].index));
        out.number("pid", task.pid);
        out.number("ppid", census.ppid(task));
        if task.is_program {
            out.number("program", true);
        }
        out.text_value("state", task.state());
        out.number("tgid", census.tgid(task));
        out.number("uid", task.uid);
    });
}

/// Text of JSON, two spaces for each level.
#[derive(Default)]
struct Json {
    text: Vec<u8>,
    level: usize,
    /// The array or object that is open has an element already.
    has_element: bool,
}

impl Json {
    fn open(&mut self, bracket: u8) {
        self.text.push(bracket);
        self.level += 1;
        self.has_element = false;
    }

    fn close(&mut self, bracket: u8) {
        self.level -= 1;
        if self.has_element {
            self.new_line();
        }
        self.text.push(bracket);
        self.has_element = true;
    }

    fn new_line(&mut self) {
        self.text.push(b'\n');
        self.text.resize(self.text.len() + 2 * self.level, b' ');
    }

    fn element(&mut self) {
        if self.has_element {
            self.text.push(b',');
        }
        self.has_element = true;
        self.new_line();
    }

    fn object(&mut self, fields: impl FnOnce(&mut Json)) {
        self.open(b'{');
        fields(self);
        self.close(b'}');
    }

    fn array<T>(&mut self, items: impl Iterator<Item = T>, mut item: impl FnMut(&mut Json, T)) {
        self.open(b'[');
        for value in items {
            self.element();
            item(self, value);
        }
        self.close(b']');
    }

    /// The name of a field; its value comes next.
    fn key(&mut self, name: &str) {
        self.element();
        self.quoted(name);
        self.text.extend(b": ");
    }

    fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        self.key(name);
        self.plain(value);
    }

    fn optional(&mut self, name: &str, value: Option<u32>) {
        self.key(name);
        match value {
            Some(value) => self.plain(value),
            None => self.plain("null"),
        }
    }

    fn text_value(&mut self, name: &str, value: &str) {
        self.key(name);
        self.quoted(value);
    }

    fn plain(&mut self, value: impl std::fmt::Display) {
        let _ = write!(self.text, "{value}");
    }

    /// Writing to memory does not fail.
    fn quoted(&mut self, value: &str) {
        let _ = serde_json::to_writer(&mut self.text, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::script::Session;

    #[test]
    fn the_text_is_what_serde_json_prints() {
        let mut k = Kernel::boot();
        let script = b"A = 1 clone newuser newnet newpid\n$A clone\n$A exec \"a\\\"\xc3\xa9\"\nB = 1 clone\n$B exit\n";
        Session::default().batch(&mut k, script).1.unwrap();
        let text = String::from_utf8(draw(&Census::take(&k))).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text, format!("{value:#}\n"));
        assert_eq!(value["tasks"][2]["nspid"], serde_json::json!([3, 2]));
        assert_eq!(value["tasks"][3]["nsproxy"], serde_json::Value::Null);
    }
}
