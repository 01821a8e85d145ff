//! Results of calls in the lab's words.

use nslab::errno::Errno;

use super::{Machine, Prepared, Reply};
use crate::encode::{Answer, Job};
use crate::raw;

impl Machine {
    pub(super) fn reply(&self, prepared: &Prepared, result: i64) -> Reply {
        if let Some(errno) = i32::try_from(-result).ok().filter(|errno| (1..4096).contains(errno)) {
            return Reply::Done(Err(Errno::from_raw(prepared.answer.errno(errno))));
        }
        let worker = raw::slot(prepared.slot);
        let lab = |nr: i32| prepared.lab_number(nr).map_or_else(|| format!("real:{nr}"), |lab| lab.to_string());
        Reply::Done(Ok(match prepared.answer {
            Answer::Unlike => return Reply::Unlike,
            // The number of a new task is checked when it reports.
            Answer::Pid if matches!(prepared.job, Job::Clone { .. }) => return Reply::Done(Ok(result.to_string())),
            Answer::Number => result.to_string(),
            Answer::Pid if result == 0 => "0".to_owned(),
            Answer::Pid => lab(result as i32),
            Answer::RawPid if prepared.in_initial => {
                self.numbers.lab(result as i32).map_or_else(|| format!("real:{result}"), |lab| lab.to_string())
            }
            Answer::RawPid => result.to_string(),
            Answer::Wait if result == 0 => "0".to_owned(),
            Answer::Wait => format!("{} {}", lab(result as i32), worker.read_u32(0) as i32),
            Answer::Ipc(shape) => shape.text(worker, result, &lab),
            Answer::Word => worker.read_u32(0).to_string(),
            Answer::Text => {
                let length = usize::try_from(result - 1).unwrap_or(0);
                self.numbers.paths_in_lab(&String::from_utf8_lossy(&worker.read_data(0, length)))
            }
            Answer::Waitid => waitid_text(worker, lab),
            Answer::Action(signo) => action_text(worker, signo, &prepared.sharers),
            Answer::NewAction(signo) => {
                prepared.sharers.iter().for_each(|&slot| raw::slot(slot).forget_runs(signo));
                result.to_string()
            }
            Answer::Siginfo => {
                let [signo, code, pid, uid, status] = [0, 8, 16, 20, 24].map(|at| worker.read_u32(at) as i32);
                let pid = if pid == 0 { "0".to_owned() } else { lab(pid) };
                format!("signo={signo} code={code} pid={pid} uid={} status={status}", uid as u32)
            }
        }))
    }
}

fn action_text(worker: &raw::Slot, signo: i32, sharers: &[usize]) -> String {
    let handler = u64::from_ne_bytes(worker.read_data(0, 8).try_into().expect("eight bytes"));
    match handler {
        0 => "default".to_owned(),
        1 => "ignore".to_owned(),
        _ => format!("handler {}", sharers.iter().map(|&slot| raw::slot(slot).runs(signo)).sum::<u32>()),
    }
}

fn waitid_text(worker: &raw::Slot, lab: impl Fn(i32) -> String) -> String {
    let [code, pid, status] = [8, 16, 24].map(|at| worker.read_u32(at) as i32);
    if pid == 0 {
        return "0".to_owned();
    }
    let word = match code {
        1 => "exited",
        2 | 3 => "killed",
        5 => "stopped",
        6 => "continued",
        _ => "?",
    };
    format!("{} {word} {status}", lab(pid))
}
