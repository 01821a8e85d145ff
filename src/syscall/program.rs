//! What becomes of the real process that a task is, and what it holds: told by whoever runs it.

use super::{Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::NsType;
use crate::kernel::{Current, Kernel, MqueueId, NsId};

/// What is told of a real process, or of one of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The task is a real thread from now on.
    Runs,
    /// The real thread is gone, with this wait status word.
    Ended { status: i32 },
    /// There was no room for the real thread: as if the task had never been, but for its number.
    NeverRan,
    /// The real process was stopped by a signal.
    Stopped { signo: i32 },
    /// The real process goes on.
    Continued,
    /// The call that the real thread waited in has ended: by a signal, or as its time was over.
    Wakes,
    /// A real descriptor of a namespace file was opened.
    Pins { ns_type: NsType, inum: u32 },
    /// The last descriptor of one that was opened is closed.
    Unpins { ns_type: NsType, inum: u32 },
    /// A real descriptor of a message queue was opened; queues go by [`Id::serial`](crate::kernel::table::Id::serial).
    PinsQueue(u64),
    /// The last descriptor of one that was opened is closed.
    UnpinsQueue(u64),
    /// The process has closed a descriptor of a queue.
    ClosesQueue(u64),
}

/// # Errors
/// EINVAL: the task is no real process, or is one already; ENOENT: no such namespace, or no program holds it open.
pub(super) fn sys_program(k: &mut Kernel, me: Current, told: Program) -> Outcome {
    match told {
        Program::Runs if k.is_program(*me) => bail!(EINVAL, "pid {} is a program already", k.task_nr(*me)),
        Program::Runs => k.tasks[*me].is_program = true,
        Program::Pins { ns_type, inum } => {
            let ns = find_ns(k, ns_type, inum)?;
            k.pin_ns(ns);
            *k.programs.pins.entry(ns).or_default() += 1;
        }
        Program::Unpins { ns_type, inum } => unpin(k, ns_type, inum)?,
        Program::PinsQueue(serial) => {
            let queue = find_queue(k, serial)?;
            let open = k.open_mqueue(queue);
            k.programs.queues.entry(queue).or_default().push(open);
        }
        Program::UnpinsQueue(serial) => unpin_queue(k, serial)?,
        Program::ClosesQueue(serial) => {
            let queue = find_queue(k, serial)?;
            k.flush_mqueue(*me, queue);
        }
        Program::Ended { .. } | Program::NeverRan | Program::Stopped { .. } | Program::Continued | Program::Wakes
            if !k.is_program(*me) =>
        {
            bail!(EINVAL, "pid {} is no program", k.task_nr(*me))
        }
        Program::Ended { status } => k.program_ended(*me, status),
        Program::NeverRan => k.program_never_ran(*me),
        Program::Stopped { signo } => k.program_stopped(*me, signo),
        Program::Continued => k.program_continued(*me),
        Program::Wakes => k.stops_waiting(*me),
    }
    Ok(Return::DONE)
}

fn find_ns(k: &Kernel, ns_type: NsType, inum: u32) -> Result<NsId> {
    match k.find_ns(ns_type, inum) {
        Some(ns) => Ok(ns),
        None => bail!(ENOENT, "{}:[{}] does not exist", ns_type.ops().name, inum),
    }
}

fn unpin(k: &mut Kernel, ns_type: NsType, inum: u32) -> Result<()> {
    let ns = find_ns(k, ns_type, inum)?;
    let Some(pins) = k.programs.pins.get_mut(&ns) else {
        bail!(ENOENT, "no program holds {}:[{}] open", ns_type.ops().name, inum)
    };
    *pins -= 1;
    if *pins == 0 {
        k.programs.pins.remove(&ns);
    }
    k.unpin_ns(ns);
    Ok(())
}

fn find_queue(k: &Kernel, serial: u64) -> Result<MqueueId> {
    match k.find_mqueue(serial) {
        Some(queue) => Ok(queue),
        None => bail!(ENOENT, "there is no message queue {}", serial),
    }
}

fn unpin_queue(k: &mut Kernel, serial: u64) -> Result<()> {
    let queue = find_queue(k, serial)?;
    let open = k.programs.queues.get_mut(&queue);
    let Some(file) = open.and_then(Vec::pop) else { bail!(ENOENT, "no program has message queue {} open", serial) };
    k.programs.queues.retain(|_, files| !files.is_empty());
    k.close_mqueue(file);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::result::Result;

    use super::*;
    use crate::errno::Errno;
    use crate::kernel::program::Effect;
    use crate::script::Session;
    use crate::syscall::{AnyCall, LabCall, PidArg, Syscall, WNOHANG, dispatch};

    /// Task 2 is a program, the init of a pid namespace; 3 is a program and its child; 4 is none.
    fn programs() -> Kernel {
        let mut k = Kernel::boot();
        let lines = b"1 clone newpid\n2 program runs\n2 clone\n3 program runs\n1 clone\n";
        Session::default().batch(&mut k, lines).1.unwrap();
        k.programs.serve();
        k
    }

    fn call(k: &mut Kernel, nr: i32, call: impl Into<AnyCall>) -> Result<Return, Errno> {
        let task = k.find_task(nr).unwrap();
        dispatch(k, task, &call.into()).map_err(|stop| stop.errno())
    }

    fn run(k: &mut Kernel, line: &str) -> Vec<(i32, i32, bool)> {
        Session::default().batch(k, format!("{line}\n").as_bytes()).1.unwrap();
        let effects = k.programs.take_effects();
        let signals = effects.into_iter().filter_map(|effect| match effect {
            Effect::Signal { task, info, if_blocked, .. } => Some((k.task_nr(task), info.signo, if_blocked)),
            Effect::Tell { .. } | Effect::Wake(_) | Effect::Ready(_) | Effect::Freezes(_) | Effect::Kill(_) => None,
        });
        signals.collect()
    }

    #[test]
    fn a_signal_to_a_program_is_an_effect_and_nothing_else() {
        let mut k = programs();
        assert_eq!(run(&mut k, "1 kill 3 SIGTERM"), [(3, 15, false)]);
        assert_eq!(run(&mut k, "1 kill 3 SIGKILL"), [(3, 9, false)]);
        assert_eq!(run(&mut k, "1 kill 3 SIGSTOP"), [(3, 19, false)]);
        // What the process does with it, nobody here knows.
        assert_eq!(run(&mut k, "1 kill 3 SIGCHLD"), [(3, 17, false)]);
        assert_eq!(run(&mut k, "1 kill 4 SIGTERM"), []);
        assert!(k.find_task(4).is_some_and(|task| k.tasks[task].is_dead()));
    }

    #[test]
    fn an_init_is_protected_from_its_own() {
        let mut k = programs();
        assert_eq!(run(&mut k, "3 kill 2 SIGKILL"), []);
        // It may wait for a signal that it blocks.
        assert_eq!(run(&mut k, "3 kill 2 SIGTERM"), [(2, 15, true)]);
        assert_eq!(run(&mut k, "1 kill 2 SIGKILL"), [(2, 9, false)]);
        run(&mut k, "2 sigaction SIGTERM handler");
        assert_eq!(run(&mut k, "3 kill 2 SIGTERM"), [(2, 15, false)]);
    }

    #[test]
    fn the_death_of_an_init_kills_and_waits_for_its_programs() {
        let mut k = programs();
        assert_eq!(run(&mut k, "2 program ended 256"), [(3, 9, false)]);
        let wait = || Syscall::Wait { pid: PidArg::Own(2), options: WNOHANG };
        assert_eq!(call(&mut k, 1, wait()), Ok(Return::Wait(None)));
        run(&mut k, "3 program ended 9");
        let waited = call(&mut k, 1, wait());
        assert!(matches!(waited, Ok(Return::Wait(Some(waited))) if waited.status == 256));
    }

    #[test]
    fn stops_are_told_to_the_parent_which_is_woken() {
        let mut k = programs();
        k.programs.take_effects();
        assert_eq!(call(&mut k, 3, LabCall::Program(Program::Stopped { signo: 20 })), Ok(Return::DONE));
        let effects = k.programs.take_effects();
        let (parent, child) = (k.find_task(2).unwrap(), k.find_task(3).unwrap());
        assert!(effects.contains(&Effect::Wake(parent)), "{effects:?}");
        assert!(!effects.contains(&Effect::Wake(child)));
        assert_eq!(call(&mut k, 3, Syscall::Setsid), Err(Errno::EAGAIN));
        assert_eq!(call(&mut k, 3, LabCall::Program(Program::Continued)), Ok(Return::DONE));
        assert!(call(&mut k, 3, Syscall::Setsid).is_ok());
    }

    #[test]
    fn a_program_that_exits_by_the_hand_of_another_is_killed() {
        let mut k = programs();
        let child = k.find_task(3).unwrap();
        assert_eq!(call(&mut k, 3, Syscall::ExitGroup { code: 3 }), Ok(Return::DONE));
        assert!(k.programs.take_effects().contains(&Effect::Kill(child)));
    }

    #[test]
    fn what_never_ran_leaves_nothing() {
        let mut k = programs();
        let before = k.tasks.len();
        run(&mut k, "3 clone\n5 program runs");
        assert_eq!(run(&mut k, "5 program never_ran"), []);
        assert_eq!((k.tasks.len(), k.find_task(5)), (before, None));
        run(&mut k, "T = 3 clone vm,sighand,thread\n$T program runs\n$T program never_ran");
        assert_eq!(k.tasks.len(), before);
    }

    #[test]
    fn an_open_descriptor_of_a_program_pins() {
        let mut k = programs();
        let ns_type = NsType::Uts;
        assert_eq!(call(&mut k, 4, Syscall::Unshare { flags: ns_type.ops().clone_flag }), Ok(Return::DONE));
        let task = k.find_task(4).unwrap();
        let ns = k.nsproxy_of(task).unwrap().get(ns_type.ops().slot.unwrap());
        let inum = k.namespaces[ns].common.inum;
        for told in
            [Program::Pins { ns_type, inum }, Program::Pins { ns_type, inum }, Program::Unpins { ns_type, inum }]
        {
            assert_eq!(call(&mut k, 1, LabCall::Program(told)), Ok(Return::DONE));
        }
        run(&mut k, "4 exit 0");
        assert!(k.namespaces.contains(ns));
        assert_eq!(call(&mut k, 1, LabCall::Program(Program::Unpins { ns_type, inum })), Ok(Return::DONE));
        assert!(!k.namespaces.contains(ns));
        assert_eq!(call(&mut k, 1, LabCall::Program(Program::Unpins { ns_type, inum })), Err(Errno::ENOENT));
    }

    /// The tasks that can go on once lines are done, as effects say.
    fn ready(k: &mut Kernel, lines: &str) -> Vec<i32> {
        k.programs.take_effects();
        Session::default().batch(k, format!("{lines}\n").as_bytes()).1.unwrap();
        let effects = k.programs.take_effects();
        let ready = effects.into_iter().filter_map(|effect| match effect {
            Effect::Ready(task) => Some(k.task_nr(task)),
            Effect::Signal { .. } | Effect::Tell { .. } | Effect::Wake(_) | Effect::Freezes(_) | Effect::Kill(_) => {
                None
            }
        });
        ready.collect()
    }

    #[test]
    fn programs_that_wait_are_told_when_they_can_go_on_in_the_order_of_their_calls() {
        let mut k = programs();
        let none: [i32; 0] = [];
        run(
            &mut k,
            "1 semget 1 2 create 666\n! EAGAIN 3 program waits semop 0 0,-2\n! EAGAIN 2 program waits semop 0 0,-1",
        );
        run(&mut k, "! EAGAIN 1 semop 0 0,-1\n= 2 1 semctl 0 0 getncnt\n= 0 1 semctl 0 0 getzcnt");
        assert_eq!(ready(&mut k, "1 semop 0 1,1"), none);
        assert_eq!(ready(&mut k, "1 semop 0 0,1"), [2]);
        assert_eq!(ready(&mut k, "1 semop 0 0,1"), [3, 2]);
        run(&mut k, "2 program waits semop 0 0,-1\n! EAGAIN 3 program waits semop 0 0,-2\n= 1 1 semctl 0 0 getncnt");
        // What waits for 0 counts apart, also where operations before it change the value.
        run(&mut k, "! EAGAIN 2 program waits semop 0 0,1 0,0\n= 1 1 semctl 0 0 getzcnt");
        assert_eq!(ready(&mut k, "1 semctl 0 0 setval 3"), [3]);
        // Another call of the task, by a control file, is none of the program's.
        run(&mut k, "3 setsid\n= 1 1 semctl 0 0 getncnt\n3 program ended 0\n= 0 1 semctl 0 0 getncnt");
    }

    #[test]
    fn who_waits_for_what_is_removed_is_told_so() {
        let mut k = programs();
        let none: [i32; 0] = [];
        run(&mut k, "1 msgget 1 create 666\n! EAGAIN 3 program waits msgrcv 0 5");
        assert_eq!(ready(&mut k, "1 msgsnd 0 4 x"), none);
        assert_eq!(ready(&mut k, "1 msgctl 0 rmid"), [3]);
        run(
            &mut k,
            "! EIDRM 3 program waits msgrcv 0 5\n! EINVAL 3 program waits msgrcv 0 5\n! EINVAL 4 program waits msgrcv 0 5",
        );
    }

    #[test]
    fn room_in_a_queue_wakes_those_whose_message_fits() {
        let mut k = programs();
        run(&mut k, "1 msgget 1 create 666\n1 msgsnd 0 1 xxxx\n1 msgctl 0 set qbytes=4");
        run(&mut k, "! EAGAIN 2 program waits msgsnd 0 1 yyyyy\n! EAGAIN 3 program waits msgsnd 0 1 yy");
        assert_eq!(ready(&mut k, "1 msgrcv 0 0"), [3]);
        assert_eq!(ready(&mut k, "1 msgctl 0 set qbytes=8"), [2, 3]);
    }

    #[test]
    fn who_waits_for_the_first_message_of_a_queue_keeps_others_from_being_told() {
        let mut k = programs();
        let lines = "q = 2 mq_open q create 666 real\n1 program pins mqueue:$q\n3 mq_notify mqueue:$q signal 10 value=7\n\
                     ! EAGAIN 2 program waits mq_receive mqueue:$q,read\n3 mq_send mqueue:$q,write 0 x\n\
                     2 program waits mq_receive mqueue:$q,read";
        assert_eq!(run(&mut k, lines), []);
        let lines = "3 mq_send mqueue:4294967296,write 0 x";
        assert_eq!(run(&mut k, lines), [(3, 10, false)]);
        // Once it is closed for good, its name is all that holds it.
        run(&mut k, "! ENOENT 1 program unpins mqueue:7\n1 program unpins mqueue:4294967296\n2 mq_unlink q");
        assert_eq!(k.mqueues.len(), 0);
        run(&mut k, "! EBADF 2 mq_send mqueue:4294967296,write 0 x\n! ENOENT 2 program closes mqueue:4294967296");
    }

    #[test]
    fn one_message_wakes_one_receiver_and_another_where_that_one_is_gone() {
        let mut k = programs();
        let none: [i32; 0] = [];
        run(
            &mut k,
            "1 mq_open q create 666 rdwr\nq = 2 mq_open q create 666 real\n1 program pins mqueue:$q\n\
             ! EAGAIN 3 program waits mq_receive mqueue:$q,read\n! EAGAIN 2 program waits mq_receive mqueue:$q,read",
        );
        assert_eq!(ready(&mut k, "1 mq_send 0 0 x"), [3]);
        // It was interrupted before it looked.
        assert_eq!(ready(&mut k, "3 program wakes"), [2]);
        assert_eq!(ready(&mut k, "2 program waits mq_receive mqueue:4294967296,read"), none);
        run(
            &mut k,
            "! EAGAIN 3 program waits mq_receive mqueue:4294967296,read\n\
             ! EAGAIN 2 program waits mq_receive mqueue:4294967296,read",
        );
        assert_eq!(ready(&mut k, "1 mq_send 0 0 x"), [3]);
        assert_eq!(ready(&mut k, "1 mq_send 0 0 y"), [3, 2]);
        assert_eq!(ready(&mut k, "3 program ended 0"), [2]);
    }

    #[test]
    fn only_programs_end_so() {
        let mut k = programs();
        assert_eq!(call(&mut k, 4, LabCall::Program(Program::Ended { status: 0 })), Err(Errno::EINVAL));
        assert_eq!(call(&mut k, 3, LabCall::Program(Program::Runs)), Err(Errno::EINVAL));
    }
}
