//! The end of tasks: exit, the death of a pid namespace's init, reparenting, release
//! (`kernel/exit.c`, `zap_pid_ns_processes` in `kernel/pid_namespace.c`).

use std::collections::btree_map::Entry;

use super::change::Change;
use super::file::FilesStruct;
use super::refcount::Held;
use super::signal::{SIGCHLD, SIGKILL, Sender, sigmask};
use super::task::{Live, Mm, TaskState};
use super::ucounts::UcountRlimit;
use super::work::Work;
use super::{Kernel, PidId, PidNsId, SignalId, TaskId};

impl Kernel {
    /// Makes the whole group die with a status word, unless it is dying already (`do_group_exit`, `zap_other_threads`).
    /// All but `caller`, who asked for it, die by a signal.
    pub(crate) fn group_exit(&mut self, signal: SignalId, status: i32, caller: Option<TaskId>) {
        let group = &mut self.signals[signal];
        if group.group_exit.is_some() {
            return;
        }
        group.group_exit = Some(status);
        // SIGNAL_GROUP_EXIT takes the place of all that the flags said of a stop.
        group.stop_unreported = false;
        self.set_stop_signal(signal, None);
        for thread in self.threads_of(signal).collect::<Vec<_>>() {
            let dying = &mut self.tasks[thread];
            dying.signaled |= !dying.is_dead() && Some(thread) != caller;
            self.work.push_back(Work::Exit(thread, status));
        }
    }

    /// One thread dies: what it holds is let go, its children get a new parent, it becomes a zombie or is gone
    /// (`do_exit`).
    pub(super) fn do_exit(&mut self, task: TaskId, code: i32) {
        self.kill_program(task);
        let signal = self.tasks[task].signal;
        let group = &mut self.signals[signal];
        group.live -= 1;
        let last_thread = group.live == 0;
        if last_thread {
            // The status of a process is that of its last thread, unless the group was told to die.
            group.group_exit.get_or_insert(code);
        }
        let dying = &mut self.tasks[task];
        dying.exit_code = code;
        dying.pending.clear();
        self.exit_resources(task);
        self.tasks[task].state = TaskState::Zapping;
        self.changes.note(Change::Dead(task));
        if self.is_last_of_reaper(task) {
            self.zap_pid_ns_processes(task);
            return;
        }
        self.exit_notify(task);
    }

    /// Ends another thread of a process that calls exec, at once (`de_thread`); a real one is gone by then.
    pub(crate) fn exit_thread(&mut self, thread: TaskId) {
        self.tasks[thread].is_program = false;
        self.do_exit(thread, SIGKILL);
    }

    /// The caller of exec takes the place of its dead leader: its number, its parent and its rank (`de_thread`).
    pub(crate) fn take_over_leader(&mut self, task: TaskId, leader: TaskId) {
        let (own, theirs) = (self.pid_of(task), self.pid_of(leader));
        self.pids[own].attached.task = Some(leader);
        self.pids[theirs].attached.task = Some(task);
        self.swap_thread_pids(task, leader);
        if leader == self.init.task {
            self.init.task = task;
            self.tasks[task].real_parent = task;
        } else {
            self.replace_child(leader, task);
        }
        let signal = self.tasks[task].signal;
        self.signals[signal].leader = task;
        self.tasks[task].start_time = self.tasks[leader].start_time;
        self.changes.note(Change::Gone(task));
        self.release_task(leader);
    }

    fn swap_thread_pids(&mut self, a: TaskId, b: TaskId) {
        let spare = self.pids.hold(self.pid_of(a));
        let of_b = std::mem::replace(&mut self.tasks[b].thread_pid, spare);
        let of_a = std::mem::replace(&mut self.tasks[a].thread_pid, of_b);
        self.put_pid(of_a);
    }

    /// `exit_mm`, `exit_sem`, `exit_shm`, `exit_files`, `exit_fs`, `exit_task_namespaces`,
    /// `cgroup_exit`, in Linux's order.
    fn exit_resources(&mut self, task: TaskId) {
        self.tasks[task].was_dumpable = self.is_dumpable(task);
        self.stops_waiting(task);
        if let Some(Live { mm, fs, files, nsproxy }) = self.tasks[task].live.take() {
            if let Some(mm) = mm {
                self.put_mm(task, mm);
            }
            self.exit_sem(task);
            self.exit_shm(task);
            self.put_files(task, files);
            self.put_fs(fs);
            self.exit_task_namespaces(task, nsproxy);
        }
        self.cgroup_exit(task);
    }

    /// The task lets go of an address space; the last user detaches all that is attached to it.
    pub(crate) fn put_mm(&mut self, task: TaskId, mm: Held<Mm>) {
        if let Some(mut freed) = self.mms.release(mm) {
            self.close_attachments(task, &mut freed);
            self.put_ns(freed.user_ns);
        }
    }

    /// The task lets go of a descriptor table; the last user closes all that is open in it.
    pub(crate) fn put_files(&mut self, task: TaskId, files: Held<FilesStruct>) {
        if let Some(freed) = self.files.release(files) {
            for descriptor in freed.fds.into_values() {
                self.filp_close(task, descriptor.file);
            }
        }
    }

    /// The task is the child_reaper of its pid namespace and no other thread of it lives. If one does, that one is the
    /// reaper from now on (`find_child_reaper`).
    fn is_last_of_reaper(&mut self, task: TaskId) -> bool {
        let ns = self.task_active_pid_ns(task);
        if self.namespaces[ns].child_reaper != Some(task) {
            return false;
        }
        match self.find_alive_thread(task) {
            Some(thread) => {
                self.namespaces[ns].child_reaper = Some(thread);
                false
            }
            None => true,
        }
    }

    /// The init of a pid namespace is dying: no new numbers, all members are killed, its children are reaped, and it
    /// waits until nobody else is left.
    fn zap_pid_ns_processes(&mut self, init: TaskId) {
        let ns = self.task_active_pid_ns(init);
        self.namespaces[ns].adding = false;
        let sighand = self.tasks[init].sighand.id();
        self.sighands[sighand].ignored |= sigmask(SIGCHLD);
        self.sighands[sighand].handled &= !sigmask(SIGCHLD);
        let members: Vec<PidId> = self.namespaces[ns].idr.iter().map(|(_, pid)| pid).collect();
        for member in members {
            let Some(task) = self.pids[member].attached.task else { continue };
            if !self.is_same_thread_group(task, init) {
                self.send_signal(Sender::Kernel, task, true, SIGKILL);
            }
        }
        let threads: Vec<TaskId> = self.threads_of(self.tasks[init].signal).collect();
        for thread in threads {
            let zombies: Vec<TaskId> = self.children_of(thread).filter(|&c| self.is_reapable(c)).collect();
            for zombie in zombies {
                self.release_task(zombie);
            }
        }
        self.work.push_back(Work::ZapProgress(ns));
    }

    pub(super) fn finish_zap_if_done(&mut self, ns: PidNsId) {
        let Some(pid_ns) = self.namespaces.state(ns) else { return };
        let Some(init) = pid_ns.child_reaper.filter(|&init| self.tasks.contains(init)) else { return };
        // The numbers of the init itself: one as leader, two when a thread is the last and its leader a zombie.
        let own = if self.is_leader(init) { 1 } else { 2 };
        if self.tasks[init].state != TaskState::Zapping || pid_ns.pid_allocated != own {
            return;
        }
        if pid_ns.reboot != 0 {
            let status = pid_ns.reboot;
            let signal = self.tasks[init].signal;
            self.signals[signal].group_exit = Some(status);
        }
        self.exit_notify(init);
    }

    /// The rest of exit: children are handed on, the parent learns of it, and who needs no reaping is gone
    /// (`exit_notify`).
    fn exit_notify(&mut self, task: TaskId) {
        self.forget_original_parent(task);
        let signal = self.tasks[task].signal;
        let leader = self.signals[signal].leader;
        if self.signals[signal].live == 0 {
            let parent = self.tasks[leader].real_parent;
            self.kill_orphaned_pgrp(leader, parent, Some(leader));
        }
        self.tasks[task].state = TaskState::Zombie;
        self.changes.note(Change::Dead(task));
        let release = if task == leader {
            self.signals[signal].nr_threads == 1 && self.notify_parent_of_exit(task)
        } else {
            true
        };
        if release {
            self.release_task(task);
        }
    }

    /// A dying tracer lets go of those it traces (`exit_ptrace`).
    fn release_tracees(&mut self, tracer: TaskId) {
        for tracee in self.ptraced.remove(&tracer).unwrap_or_default() {
            self.tasks[tracee].tracer = None;
        }
    }

    /// Gives the children of a dying thread to another thread of it, to a subreaper or to the init of its pid namespace
    /// (`forget_original_parent`, `find_new_reaper`).
    fn forget_original_parent(&mut self, father: TaskId) {
        self.release_tracees(father);
        let children: Vec<TaskId> = self.children_of(father).collect();
        if children.is_empty() {
            return;
        }
        let reaper = self.find_new_reaper(father);
        for child in children {
            self.unlink_child(child);
            self.link_child(child, reaper);
            self.note_adoption(child);
            let threads: Vec<TaskId> = self.threads_of(self.tasks[child].signal).collect();
            for thread in threads {
                let death_signal = self.tasks[thread].pdeath_signal;
                if death_signal != 0 {
                    self.send_signal(Sender::Task(father), thread, true, death_signal);
                }
            }
            if !self.is_same_thread_group(reaper, father) {
                self.reparent_leader(child, father);
            }
        }
    }

    fn find_new_reaper(&self, father: TaskId) -> TaskId {
        if let Some(thread) = self.find_alive_thread(father) {
            return thread;
        }
        self.find_subreaper(father).unwrap_or_else(|| {
            let ns = self.task_active_pid_ns(father);
            self.namespaces[ns].child_reaper.expect("a pid namespace with a task had an init")
        })
    }

    /// The nearest ancestor at the same pid namespace level that is a subreaper with a live thread.
    fn find_subreaper(&self, father: TaskId) -> Option<TaskId> {
        if !self.signal_of(father).has_child_subreaper {
            return None;
        }
        let level = self.pids[self.pid_of(father)].level();
        let mut ancestor = self.real_parent_of(father);
        while self.pids[self.pid_of(ancestor)].level() == level && ancestor != self.init.task {
            if self.signal_of(ancestor).is_child_subreaper {
                let alive = |&t: &TaskId| !self.tasks[t].is_dead();
                if let Some(thread) = self.threads_of(self.tasks[ancestor].signal).find(alive) {
                    return Some(thread);
                }
            }
            ancestor = self.real_parent_of(ancestor);
        }
        None
    }

    /// An orphan sends SIGCHLD from now on; a dead one is reported to the new parent at once (`reparent_leader`).
    fn reparent_leader(&mut self, child: TaskId, father: TaskId) {
        self.tasks[child].exit_signal = SIGCHLD;
        let gone = self.is_reapable(child) && self.notify_parent_of_exit(child);
        self.kill_orphaned_pgrp(child, father, None);
        if gone {
            self.release_task(child);
        }
    }

    /// A process that only waits to be reaped: dead with all its threads.
    pub fn is_reapable(&self, task: TaskId) -> bool {
        self.tasks[task].state == TaskState::Zombie && self.signal_of(task).nr_threads == 1
    }

    /// Tells the parent of a death. True: nobody will reap the task, because the parent ignores SIGCHLD or is itself
    /// an init in its last wait (`do_notify_parent`).
    fn notify_parent_of_exit(&mut self, leader: TaskId) -> bool {
        let parent = self.tasks[leader].real_parent;
        if self.tasks[parent].state == TaskState::Zapping {
            return true;
        }
        let mut exit_signal = self.tasks[leader].exit_signal;
        // A parent that has become another program gets no signal it did not ask for.
        if self.tasks[leader].parent_exec_id != self.tasks[parent].self_exec_id {
            exit_signal = SIGCHLD;
        }
        let sighand = &self.sighands[self.tasks[parent].sighand.id()];
        let ignored = exit_signal == SIGCHLD && sighand.ignored & sigmask(SIGCHLD) != 0;
        self.wake_waiters(parent);
        if exit_signal > 0 && !ignored {
            self.send_child_signal(leader, exit_signal);
        }
        ignored
    }

    pub fn is_same_thread_group(&self, a: TaskId, b: TaskId) -> bool {
        self.tasks[a].signal == self.tasks[b].signal
    }

    /// Takes a dead thread off the books; with its last thread goes the process (`release_task`). A leader that was
    /// only waiting for this thread is reported, or goes too.
    pub(crate) fn release_task(&mut self, task: TaskId) {
        let signal = self.tasks[task].signal;
        let leader = self.signals[signal].leader;
        if task == leader {
            self.unlink_child(task);
        }
        self.unlink_thread(task);
        let gone = self.tasks.remove(task).expect("a task is released once");
        self.kthreads.table.remove(&task);
        self.detach_mounts_of_task(task);
        self.changes.note(Change::Gone(task));
        if let Some(tracer) = gone.tracer
            && let Entry::Occupied(mut tracees) = self.ptraced.entry(tracer)
        {
            tracees.get_mut().remove(&task);
            if tracees.get().is_empty() {
                tracees.remove();
            }
        }
        self.add_rlimit(self.creds[gone.cred.id()].ucounts.id(), UcountRlimit::Nproc, -1);
        drop(self.sighands.release(gone.sighand));
        self.put_cred(gone.cred);
        self.cgroup_release(task, gone.cgroup);
        let own = gone.thread_pid.id();
        self.pids[own].attached.task = None;
        if task == leader {
            self.pids[own].attached.process = None;
            self.release_signal(signal);
        }
        self.free_pid_if_detached(own);
        self.put_pid(gone.thread_pid);
        if task != leader && self.is_reapable(leader) && self.notify_parent_of_exit(leader) {
            self.release_task(leader);
        }
    }

    /// Detaches a process from its group and session.
    fn release_signal(&mut self, signal: SignalId) {
        self.set_stop_signal(signal, None);
        let group = self.signals.remove(signal).expect("a process is released once");
        let (pgrp, session) = (group.pgrp.id(), group.session.id());
        self.pids[pgrp].attached.group.remove(&signal);
        self.pids[session].attached.session -= 1;
        self.free_pid_if_detached(pgrp);
        self.free_pid_if_detached(session);
        self.put_pid(group.pgrp);
        self.put_pid(group.session);
    }
}
