//! An object of the kernel for the panel: the files of a directory of `kernel/`, as far down as its own fields go.

use serde_json::{Value, json};

use crate::record::Files;

/// How deep directories of an object are read, and how many files at most.
const DEPTH_MAX: usize = 3;
const FILES_MAX: usize = 400;
/// The most that is shown of a field, in letters.
const TEXT_MAX: usize = 4000;

/// The fields of the object at `path`, which begins with `kernel/`; null if there is none.
pub(super) fn object(files: &dyn Files, path: &str) -> Value {
    let is_plain = path.split('/').all(|name| !name.is_empty() && name != "." && name != "..");
    if !is_plain || !path.starts_with("kernel/") {
        return Value::Null;
    }
    let mut left = FILES_MAX;
    match files.names(path) {
        Ok(names) => json!({ "path": path, "fields": fields(files, path, &names, 1, &mut left) }),
        Err(_) => Value::Null,
    }
}

fn fields(files: &dyn Files, path: &str, names: &[Vec<u8>], depth: usize, left: &mut usize) -> Vec<Value> {
    let mut fields = Vec::new();
    for name in names {
        if *left == 0 {
            fields.push(json!({ "name": "…", "text": "there are more" }));
            break;
        }
        *left -= 1;
        let name = String::from_utf8_lossy(name).into_owned();
        fields.push(field(files, &format!("{path}/{name}"), name, depth, left));
    }
    fields
}

fn field(files: &dyn Files, path: &str, name: String, depth: usize, left: &mut usize) -> Value {
    if let Ok(link) = files.link(path) {
        let link = String::from_utf8_lossy(&link).into_owned();
        let to = path.rsplit_once('/').map(|(dir, _)| joined(dir, &link));
        return json!({ "name": name, "link": link, "to": to });
    }
    if let Ok(names) = files.names(path) {
        let below = if depth < DEPTH_MAX { fields(files, path, &names, depth + 1, left) } else { Vec::new() };
        return json!({ "name": name, "fields": below });
    }
    match files.read(path) {
        Ok(text) => {
            let text: String = String::from_utf8_lossy(&text).trim_end_matches('\n').chars().take(TEXT_MAX).collect();
            json!({ "name": name, "text": text })
        }
        Err(error) => json!({ "name": name, "error": crate::errno::describe(&error) }),
    }
}

/// Where a link in `dir` leads, by its text alone.
fn joined(dir: &str, link: &str) -> String {
    let mut names: Vec<&str> = dir.split('/').collect();
    for name in link.split('/') {
        match name {
            ".." => drop(names.pop()),
            "." | "" => {}
            name => names.push(name),
        }
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::record::files::Bare;

    #[test]
    fn an_object_has_fields_pointers_and_parts() {
        let k = Kernel::boot();
        let task = object(&Bare(&k), "kernel/task/1");
        let named =
            |name: &str| task["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap().clone();
        assert_eq!(named("comm")["text"], "init");
        assert!(named("nsproxy")["to"].as_str().unwrap().starts_with("kernel/nsproxy/"));
        assert!(named("cred")["fields"].as_array().unwrap().len() > 3);
        for path in ["kernel/task/7", "kernel/../proc/1", "proc/1", "/etc", "kernel//task", ""] {
            assert_eq!(object(&Bare(&k), path), Value::Null, "{path}");
        }
    }
}
