//! What was changed by a write that has returned is seen by every read that starts afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nslab::testing::{Lab, Procfs};

use super::{inode, lab, link};

/// How often each writer changes its task.
const ROUNDS: usize = 60;

/// What one writer has published: the texts of its link, in order; the last was there when it was pushed.
#[derive(Default)]
struct Published(Mutex<Vec<String>>);

impl Published {
    fn newest(&self) -> usize {
        self.0.lock().unwrap().len() - 1
    }

    fn push(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

#[test]
fn no_read_is_older_than_a_write_that_has_returned() {
    let Some(lab) = lab() else { return };
    let procfs = &lab.procfs().unwrap();
    let tasks: Vec<i32> = (0..2).map(|_| lab.call(1, "clone").unwrap().parse().unwrap()).collect();
    let published: Vec<Published> = tasks.iter().map(|_| Published::default()).collect();
    for (task, published) in tasks.iter().zip(&published) {
        published.push(truth(&lab, *task));
    }
    let over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let readers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| read_until((&lab, procfs), &tasks, &published, &over))).collect();
        let writers: Vec<_> = tasks
            .iter()
            .zip(&published)
            .map(|(task, published)| scope.spawn(|| write((&lab, procfs), *task, published)))
            .collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        over.store(true, Ordering::Relaxed);
        let seen: Vec<_> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        written.into_iter().for_each(|written| written.unwrap());
        seen
    });
    let order: Vec<BTreeMap<String, usize>> =
        published.into_iter().map(|p| p.0.into_inner().unwrap().into_iter().zip(0..).collect()).collect();
    let stale =
        seen.iter().filter(|(writer, known, text)| order[*writer].get(text).is_none_or(|at| at < known)).count();
    assert_eq!(stale, 0, "of {} reads", seen.len());
    assert!(seen.len() > ROUNDS);
}

/// The link text as the kernel has it, past all caches.
fn truth(lab: &Lab, task: i32) -> String {
    let line = format!("{task} readlink proc/self/ns/net\n");
    batch(lab, &line)
}

fn batch(lab: &Lab, line: &str) -> String {
    use std::io::{Read, Write};
    let mut file = fs::OpenOptions::new().read(true).write(true).open(lab.at("ctl/batch")).unwrap();
    file.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    file.read_to_string(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

/// Gives the task new namespaces, each kept alive by a child so that no inum comes twice; and reads back at once.
fn write((lab, procfs): (&Lab, &Procfs), task: i32, published: &Published) {
    for _ in 0..ROUNDS {
        let child: i32 = lab.call(task, "clone").unwrap().parse().unwrap();
        assert!(lab.at(format!("proc/{child}/ns")).exists(), "a new task is there");
        lab.call(task, "unshare newnet").unwrap();
        let text = link(lab, &format!("proc/{task}/ns/net"));
        assert_eq!(text, truth(lab, task));
        assert_eq!(Path::new(&text), fs::read_link(procfs.at(format!("{task}/ns/net"))).unwrap());
        published.push(text);
        let other: i32 = lab.call(task, "clone newipc").unwrap().parse().unwrap();
        assert_eq!(inode(lab.at(format!("proc/{other}/ns/net"))), inode(lab.at(format!("proc/{task}/ns/net"))));
        lab.call(other, "exit 0").unwrap();
        lab.call(task, &format!("wait {other}")).unwrap();
        for proc in [&lab.at("proc"), procfs.path()] {
            assert!(!proc.join(format!("{other}/ns/net")).exists(), "a reaped task is not");
            let mut listed = fs::read_dir(proc).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(listed.all(|name| name != *other.to_string()), "nor is it listed");
        }
    }
}

/// What was read: whose link, how many changes of it were known before, the text.
fn read_until(
    (lab, procfs): (&Lab, &Procfs),
    tasks: &[i32],
    published: &[Published],
    over: &AtomicBool,
) -> Vec<(usize, usize, String)> {
    let mut seen = Vec::new();
    while !over.load(Ordering::Relaxed) {
        for (writer, task) in tasks.iter().enumerate() {
            for proc in [&lab.at("proc"), procfs.path()] {
                let path = proc.join(format!("{task}/ns/net"));
                let known = published[writer].newest();
                seen.push((writer, known, fs::read_link(&path).unwrap().to_str().unwrap().to_owned()));
                let known = published[writer].newest();
                seen.push((writer, known, format!("net:[{}]", inode(&path))));
            }
        }
    }
    seen
}
