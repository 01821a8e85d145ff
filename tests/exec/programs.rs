//! Programs that are not all alike: shells, an interpreter, one without the C library, static ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{exec, has, says};

/// What each shell has: a pipeline, a subshell, a trap, jobs, an exit status of each kind.
const SHELL: &str = r#"
echo a | cat; (exit 3); echo $?
sh -c 'kill -TERM $$'; echo $?
trap 'echo trapped' USR1; kill -USR1 $$
sleep 1000 & kill $!; wait $!; echo $?
i=0; while [ $i -lt 50 ]; do i=$((i + 1)); x=$(echo $i); done; echo $x
unshare -u sh -c 'hostname inner; hostname'; hostname
exec sh -c 'exit 5'"#;

#[test]
fn shells_run_a_script_alike() {
    for shell in ["bash", "dash", "zsh"] {
        // dash has no --version, and is there where its script runs.
        if shell != "dash" && !has(&[shell]) {
            continue;
        }
        let Some(output) = exec(&[shell, "-c", SHELL]) else { return };
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            (output.status.code(), &*said),
            (Some(5), "a\n3\n143\ntrapped\n143\n50\ninner\nnslab\n"),
            "{output:?}"
        );
    }
}

/// Builds a program from a source; `None` where there is nothing to build it with.
fn build(dir: &Path, tool: &str, file: &str, source: &str, args: &[&str]) -> Option<String> {
    if !has(&[tool]) {
        return None;
    }
    let program = dir.join("program");
    fs::write(dir.join(file), source).unwrap();
    let mut command = Command::new(tool);
    let built = command.args(args).arg(&program).arg(file).current_dir(dir).env("CGO_ENABLED", "0").output().unwrap();
    assert!(built.status.success(), "{built:?}");
    Some(program.to_str().unwrap().to_owned())
}

/// Threads, children and signals without the C library: clone, pidfds, no vDSO of ours.
#[test]
fn a_go_program_runs() {
    let source = r#"
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals == syscall.SIGUSR1, os.Getpid(), os.Getppid(), os.Getuid())
	var group sync.WaitGroup
	failed := make(chan error, 40)
	for i := 0; i < 40; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread()
			if err := exec.Command("/bin/true").Run(); err != nil {
				failed <- err
			}
		}()
	}
	group.Wait()
	fmt.Println(len(failed))
	command := exec.Command("/bin/hostname", "inner")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS}
	fmt.Println(command.Run())
	name, _ := os.Hostname()
	fmt.Println(name)
}
"#;
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = build(dir.path(), "go", "a.go", source, &["build", "-o"]) else { return };
    let Some(output) = exec(&[&program]) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "true 2 1 0\n0\n<nil>\nnslab\n", "{output:?}");
}

/// fork and vfork without a library that could be another one.
#[test]
fn static_and_vforking_programs_run() {
    let source = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    int status;
    if (!vfork()) _exit(8);
    wait(&status);
    printf("%d %d\n", WEXITSTATUS(status), system("exit 4") >> 8);
    return getpid() != 2;
}"#;
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = build(dir.path(), "gcc", "a.c", source, &["-static", "-o"]) else { return };
    let Some(output) = exec(&[&program]) else { return };
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"8 4\n"[..]), "{output:?}");
}

/// The real kernel writes 0 where the first thread wanted it when that ends, and wakes who waits there.
#[test]
fn the_first_thread_can_be_waited_for() {
    let source = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *joins(void *first) {
    int error = pthread_join(*(pthread_t *)first, 0);
    printf("%d\n", error);
    exit(error);
}
int main(void) {
    static pthread_t first, other;
    first = pthread_self();
    pthread_create(&other, 0, joins, &first);
    pthread_exit(0);
}"#;
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = build(dir.path(), "gcc", "a.c", source, &["-pthread", "-o"]) else { return };
    let Some(output) = exec(&[&program]) else { return };
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"0\n"[..]), "{output:?}");
}

#[test]
fn make_runs_its_jobs() {
    if !has(&["make"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Makefile"), "N = 1 2 3 4 5 6 7 8\nall: $(N)\n$(N):\n\t@echo $@ > out$@\n").unwrap();
    let script = format!("cd {} && make -s -j3 && cat out* | tr '\\n' ' '", dir.path().display());
    says(&script, "1 2 3 4 5 6 7 8 ");
}
