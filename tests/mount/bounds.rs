//! What those who use a mount may use up of the process that serves it: at each bound there is an errno, and the lab goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use nslab::errno::Errno;

use super::strangers::{STRANGER, Shared, as_user};

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_user_has_so_many_files_open() {
    let Some(lab) = Shared::mount("max_open_files=3", "1 clone\n") else { return };
    let open = || File::open(lab.at("proc/1/comm"));
    let mut files: Vec<File> = (0..3).map(|_| open().unwrap()).collect();
    assert_eq!(errno(open()), Some(Errno::EMFILE as i32));
    assert_eq!(errno(fs::read_dir(lab.at("proc"))), Some(Errno::EMFILE as i32));
    assert_eq!(fs::metadata(lab.at("proc/2")).unwrap().len(), 0, "what opens nothing goes on");
    files.pop();
    // A closed file is released after close(2) has returned.
    let again = std::iter::repeat_with(open).find_map(Result::ok).unwrap();
    assert_eq!(io::read_to_string(again).unwrap(), "init\n");
}

#[test]
fn open_files_keep_so_much_content_and_share_what_is_the_same() {
    let Some(lab) = Shared::mount("max_renderings=1M", &"1 clone newuts\n".repeat(200)) else { return };
    let read = |path: &str| {
        let mut file = File::open(lab.at(path))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map(|_| (file, text))
    };
    for path in ["kernel/tree.json", "kernel/graph.dot"] {
        let kept: Vec<_> = (0..40).map(|_| read(path).unwrap()).collect();
        assert!(kept[0].1.len() > 64 << 10 && kept.iter().all(|(_, text)| *text == kept[0].1), "{path}");
        let mut others = Vec::new();
        let refused = loop {
            lab.write("ctl/1/unshare", "newipc\n");
            match read(path) {
                Ok(other) => others.push(other),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.raw_os_error(), Some(Errno::ENOMEM as i32), "{path}");
        assert!(!others.is_empty() && others.iter().all(|(_, text)| text.len() < 1 << 20), "{path}");
        // What is open goes on showing what it has shown.
        let mut again = [0; 100];
        kept[0].0.read_exact_at(&mut again, 1000).unwrap();
        assert_eq!(again, kept[0].1[1000..1100], "{path}");
        drop((kept, others));
        assert!(std::iter::repeat_with(|| read(path)).any(|read| read.is_ok()), "{path}");
    }
}

#[test]
fn a_directory_that_is_listed_has_so_many_names() {
    let Some(lab) = Shared::mount("max_listing=150", &"1 clone\n".repeat(40)) else { return };
    let count = |path: &str| fs::read_dir(lab.at(path)).unwrap().collect::<io::Result<Vec<_>>>().map(|all| all.len());
    assert!(count("proc").unwrap() > 40);
    for _ in 0..150 {
        lab.write("ctl/1/clone", "\n");
    }
    for path in ["proc", "ctl", "as"] {
        assert_eq!(errno(count(path)), Some(Errno::ENOMEM as i32), "{path}");
    }
    assert_eq!(fs::read_to_string(lab.at("proc/191/comm")).unwrap(), "init\n");
    lab.write("ctl/1/sigaction", "SIGCHLD ignore\n");
    lab.write("ctl/1/kill", "-1 SIGKILL\n");
    assert!(count("proc").unwrap() < 150);
}

/// What nobody uses is forgotten. What others use, without a file that is open, has a bound for them alone.
#[test]
fn the_hosts_kernel_knows_so_many_inodes() {
    let Some(lab) = Shared::mount("max_inodes=400", &"1 clone\n".repeat(1000)) else { return };
    let look = |number: usize| {
        let path =
            OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(lab.at(&format!("proc/{number}/comm")));
        path.map_err(|error| error.raw_os_error())
    };
    (2..1000).for_each(|number| drop(look(number).unwrap()));
    // The kernel forgets a moment after it was told to.
    while lab.gauge.inodes() > 500 {
        let _ = look(2);
    }
    let held: Vec<_> = as_user(STRANGER, || (2..1000).map_while(|number| look(number).ok()).collect());
    assert!((100..500).contains(&held.len()), "{}: each has a directory", held.len());
    as_user(STRANGER, || assert_eq!(look(999).unwrap_err(), Some(Errno::ENOMEM as i32)));
    (2..1000).for_each(|number| drop(look(number).unwrap()));
    drop(held);
    while as_user(STRANGER, || look(999)).is_err() {
        let _ = look(2);
    }
}

/// It is a short write, which says how far it came; a line that is cut there is executed once its end has come.
#[test]
fn one_write_executes_so_much_of_a_batch() {
    let Some(lab) = Shared::mount("max_batch=4096", "") else { return };
    let text = "1 clone newuts\n".repeat(400);
    let mut batch = OpenOptions::new().write(true).open(lab.at("ctl/batch")).unwrap();
    assert_eq!(batch.write(text.as_bytes()).unwrap(), 4096);
    assert_eq!(fs::read_to_string(lab.at("proc/sys/kernel/ns_last_pid")).unwrap(), "274\n");
    batch.write_all(&text.as_bytes()[4096..]).unwrap();
    assert_eq!(fs::read_to_string(lab.at("proc/sys/kernel/ns_last_pid")).unwrap(), "401\n");
}

/// The start of a line that waits for its end counts too.
#[test]
fn lines_without_an_end_take_so_much() {
    let Some(lab) = Shared::mount("max_renderings=16K", "") else { return };
    let start = || {
        let mut file = OpenOptions::new().write(true).open(lab.at("ctl/batch"))?;
        file.write_all(&[b'#'; 8192]).map(|()| file)
    };
    let kept = [start().unwrap(), start().unwrap()];
    assert_eq!(errno(start()), Some(Errno::ENOMEM as i32));
    drop(kept);
    assert!(std::iter::repeat_with(start).any(|file| file.is_ok()));
}
