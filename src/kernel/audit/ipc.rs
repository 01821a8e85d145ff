//! Recounts what IPC namespaces hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Named, differ};
use crate::kernel::file::FileKind;
use crate::kernel::ipc::shm::pages;
use crate::kernel::mount::sb::Keeps;
use crate::kernel::ns::IpcNamespace;
use crate::kernel::{IpcNsId, Kernel, TaskId};

fn namespaces(k: &Kernel) -> impl Iterator<Item = (IpcNsId, &IpcNamespace)> {
    k.namespaces.of_kind()
}

/// Names everything that is held by IPC objects, by address spaces and by open queues.
pub(super) fn name_all(k: &Kernel, named: &mut Named) {
    for (_, ipc) in namespaces(k) {
        let sems = ipc.sem_ids.objects.values().flat_map(|set| &set.sems).map(|sem| &sem.pid);
        let queues = ipc.msg_ids.objects.values().flat_map(|queue| [&queue.lspid, &queue.lrpid]);
        let segments = ipc.shm_ids.objects.values().flat_map(|segment| [&segment.cpid, &segment.lpid]);
        for pid in sems.chain(queues).chain(segments).flatten() {
            named.pid(pid.id());
        }
        if let Some(fs) = &ipc.mq_fs {
            named.bump((Kind::MqueueFs, fs.id().serial()));
        }
    }
    for (_, sb) in k.vfs.sbs.iter() {
        if let Keeps::Mqueue(fs) = &sb.keeps {
            named.bump((Kind::MqueueFs, fs.id().serial()));
        }
    }
    for attachment in k.mms.iter().flat_map(|(_, mm)| mm.attachments.values()) {
        named.bump((Kind::ShmFile, attachment.file.id().serial()));
    }
    for queue in k.mqueue_fs.iter().flat_map(|(_, fs)| fs.queues.values()) {
        named.bump((Kind::Mqueue, queue.id().serial()));
    }
    for (_, queue) in k.mqueues.iter() {
        named.bump((Kind::Ucounts, queue.ucounts.id().serial()));
        if let Some(notify) = &queue.notify {
            named.pid(notify.owner.id());
        }
    }
    let opened = k
        .open_files
        .iter()
        .filter_map(|(_, file)| if let FileKind::Mqueue(open) = &file.kind { Some(open) } else { None });
    for open in opened.chain(k.programs.queues.values().flatten()) {
        named.bump((Kind::Mqueue, open.queue.id().serial()));
        named.bump((Kind::MqueueFs, open.fs.id().serial()));
    }
}

pub(super) fn compare_all(k: &Kernel, named: &mut Named, wrong: &mut Vec<String>) {
    named.compare(Kind::UndoList, k.undo_lists.iter().map(|(id, o)| (id.serial(), o.refcnt)), wrong);
    named.compare(Kind::ShmFile, k.shm_files.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    named.compare(Kind::MqueueFs, k.mqueue_fs.iter().map(|(id, o)| (id.serial(), o.active)), wrong);
    named.compare(Kind::Mqueue, k.mqueues.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
}

/// Totals, attachments, creators, and what would be undone.
pub(super) fn audit(k: &Kernel, wrong: &mut Vec<String>) {
    let mut attached: BTreeMap<(IpcNsId, i32), u64> = BTreeMap::new();
    for attachment in k.mms.iter().flat_map(|(_, mm)| mm.attachments.values()) {
        let file = &k.shm_files[attachment.file.id()];
        *attached.entry((file.ns.id(), file.shmid)).or_default() += 1;
    }
    let mut created: BTreeSet<(IpcNsId, i32, TaskId)> = BTreeSet::new();
    for (id, task) in k.tasks.iter() {
        created.extend(task.shm_created.iter().map(|&(ns, shmid)| (ns, shmid, id)));
    }
    for (id, ipc) in namespaces(k) {
        for segment in ipc.shm_ids.objects.values() {
            let shmid = segment.perm.id;
            let found = attached.remove(&(id, shmid)).unwrap_or(0);
            differ(wrong, (id, shmid, "nattch"), segment.nattch, found);
            let is_listed = segment.creator.is_none_or(|creator| created.remove(&(id, shmid, creator)));
            differ(wrong, (id, shmid, "creator"), true, is_listed);
        }
        for queue in ipc.msg_ids.objects.values() {
            differ(wrong, (id, queue.perm.id, "messages are found"), queue.messages().is_sound(), true);
            let bytes = queue.messages().iter().map(|message| message.text.len() as u64).sum();
            differ(wrong, (id, queue.perm.id, "q_cbytes"), queue.cbytes(), bytes);
        }
        let pages = ipc.shm_ids.objects.values().map(|segment| pages(segment.segsz)).sum();
        differ(wrong, (id, "shm_tot"), ipc.shm_tot, pages);
        let sems = ipc.sem_ids.objects.values().map(|set| set.sems.len()).sum();
        differ(wrong, (id, "used_sems"), ipc.used_sems as usize, sems);
        let fs = ipc.mq_fs.as_ref().map(|held| held.id());
        let queues = k.mqueues.iter().filter(|(_, queue)| Some(queue.fs) == fs).count();
        differ(wrong, (id, "mq_queues_count"), ipc.mq_queues_count as usize, queues);
    }
    differ(wrong, "attachments of no segment", attached, BTreeMap::new());
    differ(wrong, "creators of no segment", created, BTreeSet::new());
    for (id, list) in k.undo_lists.iter() {
        for &semid in list.sets.keys() {
            let is_live = k.namespaces.contains(list.ns.any()) && k.ipc(list.ns).sem_ids.get(semid).is_some();
            differ(wrong, (id, semid, "undone on a live set"), true, is_live);
        }
    }
}
