//! `kernel/trace`: the last steps of the kernel, a line each.

use super::look::Look;
use crate::errno::{Arg, Result};
use crate::kernel::Kernel;
use crate::kernel::ns::NS_TABLE;
use crate::kernel::trace::{Count, NsName, Record, Step};

pub(super) fn render(look: &Look<'_>) -> Result<Vec<u8>> {
    Ok(lines_after(look.k, 0).0.into_bytes())
}

/// The lines of the steps after number `last` that are still known, and the number of the last of them. What was lost
/// in between has a line that says so.
pub fn lines_after(k: &Kernel, last: u64) -> (String, u64) {
    let mut text = String::new();
    let mut shown = last;
    for record in k.trace.after(last) {
        if last > 0 && shown == last && record.number > last + 1 {
            text.push_str(&format!("# {} steps lost\n", record.number - last - 1));
        }
        shown = record.number;
        text.push_str(&line(record));
    }
    (text, shown)
}

/// Number of the step, number of the task that made the call, and the step; what a call does is set in.
fn line(Record { number, pid, step }: &Record) -> String {
    let indent = if matches!(step, Step::Enter { .. } | Step::Exit { .. }) { "" } else { "  " };
    format!("{number:>6} {pid:>5}  {indent}{}\n", text(step))
}

/// A step in words.
pub fn text(step: &Step) -> String {
    match step {
        Step::Enter { call, args, flags } => {
            let flags = Some(flag_names(*flags)).filter(|names| !names.is_empty());
            let args: Vec<String> = args.iter().map(Arg::to_string).chain(flags).collect();
            format!("{call}({})", args.join(", "))
        }
        Step::Exit { call, result: Ok(words) } => format!("{call} = {words}"),
        Step::Exit { call, result: Err(error) } => format!("{call} = {error}"),
        Step::CopyNamespaces { shared: true, .. } => "copy_namespaces: the parent's nsproxy".to_owned(),
        Step::CopyNamespaces { flags, .. } => format!("copy_namespaces({})", flag_names(*flags)),
        Step::CreateNewNamespaces { flags, owner } => {
            format!("create_new_namespaces({}) owner {}", flag_names(*flags), name(*owner))
        }
        Step::CreateNs { ns, owner } => format!("create {} owner {}", name(*ns), name(*owner)),
        Step::FreeNs(ns) => format!("free {}", name(*ns)),
        Step::GetNs(ns, count) => format!("get {} {}", name(*ns), change(*count)),
        Step::PutNs(ns, count) => format!("put {} {}", name(*ns), change(*count)),
        Step::GetNsProxy(id, count) => format!("get_nsproxy {id} {}", change(*count)),
        Step::PutNsProxy(id, count) => format!("put_nsproxy {id} {}", change(*count)),
        Step::FreeNsProxy(id) => format!("free_nsproxy {id}"),
        Step::SwitchTaskNamespaces { pid, from, to } => {
            let id = |id: &Option<u32>| id.map_or("none".to_owned(), |id| id.to_string());
            format!("switch_task_namespaces pid {pid} nsproxy {} -> {}", id(from), id(to))
        }
        Step::CommitCreds { pid, euid, egid, user_ns } => {
            format!("commit_creds pid {pid} euid {euid} egid {egid} in {}", name(*user_ns))
        }
    }
}

fn name(NsName { kind, inum }: NsName) -> String {
    format!("{kind}:[{inum}]")
}

fn change(Count { before, after }: Count) -> String {
    format!("{before} -> {after}")
}

/// The kinds asked for by name, all other flags as a number; nothing for none.
fn flag_names(flags: u64) -> String {
    let asked = NS_TABLE.iter().filter(|ops| flags & ops.clone_flag != 0);
    let others = flags & !NS_TABLE.iter().fold(0, |all, ops| all | ops.clone_flag);
    let others = (others != 0).then(|| format!("{others:#x}"));
    asked.map(|ops| ops.clone_flag_name.to_owned()).chain(others).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Session;

    fn traced(capacity: usize, script: &str) -> Kernel {
        let mut k = Kernel::boot();
        k.trace.start(capacity);
        let _ = Session::default().batch(&mut k, script.as_bytes());
        k
    }

    #[test]
    fn a_trace_tells_a_call_from_its_start_to_its_end() {
        let (text, last) = lines_after(&traced(99, "1 unshare ipc\n1 kill 77 9\n"), 0);
        let starts =
            "     1     1  unshare(CLONE_NEWIPC)\n     2     1    create_new_namespaces(CLONE_NEWIPC) owner user";
        assert!(text.starts_with(starts), "{text}");
        for part in [
            "create ipc:[4026532177] owner user:[",
            "switch_task_namespaces pid 1 nsproxy 0 -> 1",
            "put_nsproxy 0 1 -> 0",
            "free_nsproxy 0",
            "unshare = 0\n",
            "kill = ESRCH: ",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(last as usize, text.lines().count());
    }

    #[test]
    fn a_call_has_its_name_its_arguments_and_its_result_in_words() {
        let script = "1 clone newpid\n2 exit 9\n1 wait\n1 mkdir /tmp/a\n1 msgget 7 create 600\n1 msgsnd 0 3 hello\n\
                      1 msgrcv 0 3\n1 setreuid -1 0\n1 sigaction SIGCHLD\n1 setns net:[4026531833] newnet\n\
                      1 read proc/1/comm\n";
        let text = lines_after(&traced(999, script), 0).0;
        for part in [
            "  exit(9)\n",
            "  wait(-1)\n",
            "  wait = 2 2304\n",
            "  mkdir(/tmp/a)\n",
            "  mkdir = 0\n",
            "  msgget(7)\n",
            "  msgsnd(0, 3)\n",
            "  msgrcv = hello\n",
            "  setreuid(-1, 0)\n",
            "  sigaction = default\n",
            "  setns(net:[4026531833], CLONE_NEWNET)\n",
            "  read(proc/1/comm)\n",
            "  read = init\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn lost_steps_are_said_to_be_lost() {
        let k = traced(2, "1 getsid 1\n1 getsid 1\n1 getsid 1\n");
        assert!(lines_after(&k, 1).0.starts_with("# 3 steps lost\n     5 "));
        assert!(lines_after(&k, 0).0.starts_with("     5 "));
        assert_eq!(lines_after(&k, 6), (String::new(), 6));
    }
}
