//! What Linux hides: the objects behind `proc`, shown as `kernel/`. A struct is a directory, a field is a file, a
//! pointer is a relative symbolic link; a null pointer has no entry. Each struct has one list of fields, from which
//! names, listings and contents all come.

mod dev;
pub(super) mod family;
mod ipc;
mod mnt;
mod ns;
mod nsproxy;
mod ops;
mod task;

use std::fmt::Display;

use super::{FileType, rows};
use crate::kernel::node::{ITSELF, Object, Place};
use crate::kernel::ns::{ENTRIES, NS_TABLE, NsType};
use crate::kernel::{Kernel, NsId, TaskId};
use crate::tree::fixed::index_u8;
use crate::tree::look::parse_number;
use ipc::IpcId;
use ops::OpsId;

/// One field of struct `T`, which it is shown of.
struct Field<T: 'static> {
    /// Below the directory of the struct.
    path: &'static str,
    kind: Kind<T>,
}

enum Kind<T: 'static> {
    /// A struct inside the struct, or behind a pointer of its own; false: the pointer is null.
    Dir(fn(&Kernel, T) -> bool),
    /// The value as text; `None` in a struct behind a null pointer.
    Value(fn(&Kernel, T) -> Option<Vec<u8>>),
    Pointer(fn(&Kernel, T) -> Option<Object>),
    /// Structs of their own by name: all, and the one with a name.
    Objects(fn(&Kernel, T) -> Vec<(String, Object)>, fn(&Kernel, T, &[u8]) -> Option<Object>),
    /// Numbered elements: all, and the one with a number.
    List(fn(&Kernel, T) -> Vec<(u32, Item)>, fn(&Kernel, T, u32) -> Option<Item>),
    /// A struct inside the struct that holds numbered structs besides its own fields: all, and the one with a number.
    Table(fn(&Kernel, T) -> Vec<(u32, Object)>, fn(&Kernel, T, u32) -> Option<Object>),
}

/// An element of a list.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Pointer(Object),
    Value(String),
}

const fn dir<T>(path: &'static str) -> Field<T> {
    Field { path, kind: Kind::Dir(|_, _| true) }
}

const fn dir_if<T>(path: &'static str, exists: fn(&Kernel, T) -> bool) -> Field<T> {
    Field { path, kind: Kind::Dir(exists) }
}

const fn value<T>(path: &'static str, value: fn(&Kernel, T) -> Option<Vec<u8>>) -> Field<T> {
    Field { path, kind: Kind::Value(value) }
}

const fn pointer<T>(path: &'static str, target: fn(&Kernel, T) -> Option<Object>) -> Field<T> {
    Field { path, kind: Kind::Pointer(target) }
}

const fn list<T>(
    path: &'static str,
    items: fn(&Kernel, T) -> Vec<(u32, Item)>,
    item: fn(&Kernel, T, u32) -> Option<Item>,
) -> Field<T> {
    Field { path, kind: Kind::List(items, item) }
}

const fn objects<T>(
    path: &'static str,
    objects: fn(&Kernel, T) -> Vec<(String, Object)>,
    object: fn(&Kernel, T, &[u8]) -> Option<Object>,
) -> Field<T> {
    Field { path, kind: Kind::Objects(objects, object) }
}

const fn table<T>(
    path: &'static str,
    structs: fn(&Kernel, T) -> Vec<(u32, Object)>,
    object: fn(&Kernel, T, u32) -> Option<Object>,
) -> Field<T> {
    Field { path, kind: Kind::Table(structs, object) }
}

/// A value that always exists, as text.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a field's function")]
fn show(value: impl Display) -> Option<Vec<u8>> {
    Some(value.to_string().into_bytes())
}

/// A struct with a directory below `kernel/`.
trait Struct: Copy + 'static {
    /// The fields all structs of this type have, row 0 being the directory itself, and those of this one's kind.
    fn fields(self, k: &Kernel) -> [&'static [Field<Self>]; 2];
    fn is_alive(self, k: &Kernel) -> bool;

    fn field(self, k: &Kernel, row: u16) -> Option<&'static Field<Self>> {
        let [common, own] = self.fields(k);
        let row = usize::from(row);
        common.get(row).or_else(|| own.get(row.checked_sub(common.len())?))
    }

    fn paths(self, k: &Kernel) -> impl Iterator<Item = &'static str> {
        let [common, own] = self.fields(k);
        common.iter().chain(own).map(|field| field.path)
    }
}

/// Calls a function that is generic over [`Struct`] with the struct an [`Object`] stands for.
macro_rules! with_struct {
    ($object:expr, $id:ident => $call:expr) => {
        match $object {
            Object::Task($id) => $call,
            Object::NsProxy($id) => $call,
            Object::Ns($id) => $call,
            Object::Dev($id) => $call,
            Object::Ipc(ns, kind, id) => {
                let $id = IpcId { ns, kind, id };
                $call
            }
            Object::Ops(index) => {
                let $id = OpsId(index);
                $call
            }
        }
    };
}

fn is_alive(k: &Kernel, object: Object) -> bool {
    with_struct!(object, id => id.is_alive(k))
}

/// The file called `name` in the directory or list at `row`.
fn lookup(k: &Kernel, object: Object, row: u16, name: &[u8]) -> Option<Place> {
    with_struct!(object, id => lookup_in(k, object, id, row, name))
}

fn lookup_in<S: Struct>(k: &Kernel, object: Object, id: S, row: u16, name: &[u8]) -> Option<Place> {
    let field = id.field(k, row)?;
    match field.kind {
        Kind::Dir(_) => {
            let child = rows::child(id.paths(k), field.path, name)?;
            exists(k, id, child).then_some(Place::Struct(object, child))
        }
        Kind::Table(_, find) => match rows::child(id.paths(k), field.path, name) {
            Some(child) => Some(Place::Struct(object, child)),
            None => find(k, id, parse_number(name)?).map(root),
        },
        Kind::List(_, find) => {
            let key = parse_number(name)?;
            find(k, id, key).map(|_| Place::StructItem(object, row, key))
        }
        Kind::Objects(_, find) => find(k, id, name).map(root),
        Kind::Value(_) | Kind::Pointer(_) => None,
    }
}

fn exists<S: Struct>(k: &Kernel, id: S, row: u16) -> bool {
    match id.field(k, row).map(|field| &field.kind) {
        Some(Kind::Dir(exists)) => exists(k, id),
        Some(Kind::Pointer(target)) => target(k, id).is_some(),
        Some(Kind::Value(_) | Kind::List(..) | Kind::Objects(..) | Kind::Table(..)) => true,
        None => false,
    }
}

/// What the directory or list at `row` holds.
fn readdir(k: &Kernel, object: Object, row: u16) -> Vec<(String, Place)> {
    with_struct!(object, id => readdir_in(k, object, id, row))
}

fn readdir_in<S: Struct>(k: &Kernel, object: Object, id: S, row: u16) -> Vec<(String, Place)> {
    match id.field(k, row).map(|field| (&field.kind, field.path)) {
        Some((Kind::Objects(objects, _), _)) => {
            objects(k, id).into_iter().map(|(name, object)| (name, root(object))).collect()
        }
        Some((Kind::Dir(_), path)) => own_fields(k, object, id, path).collect(),
        Some((Kind::Table(structs, _), path)) => {
            let structs = structs(k, id).into_iter().map(|(number, object)| (number.to_string(), root(object)));
            own_fields(k, object, id, path).chain(structs).collect()
        }
        Some((Kind::List(items, _), _)) => {
            items(k, id).into_iter().map(|(key, _)| (key.to_string(), Place::StructItem(object, row, key))).collect()
        }
        Some((Kind::Value(_) | Kind::Pointer(_), _)) | None => Vec::new(),
    }
}

/// The fields that exist directly in the directory at `path`.
fn own_fields<S: Struct>(
    k: &Kernel,
    object: Object,
    id: S,
    path: &'static str,
) -> impl Iterator<Item = (String, Place)> {
    let fields = rows::children(id.paths(k), path).filter(move |(child, _)| exists(k, id, *child));
    fields.map(move |(child, name)| (name.to_owned(), Place::Struct(object, child)))
}

/// `None`: there is no such field (any more).
fn file_type(k: &Kernel, object: Object, row: u16) -> Option<FileType> {
    with_struct!(object, id => match id.field(k, row)?.kind {
        Kind::Dir(_) | Kind::List(..) | Kind::Objects(..) | Kind::Table(..) => Some(FileType::Directory),
        Kind::Value(_) => Some(FileType::File),
        Kind::Pointer(_) => Some(FileType::Symlink),
    })
}

fn item_type(k: &Kernel, object: Object, row: u16, key: u32) -> Option<FileType> {
    item(k, object, row, key).map(|item| match item {
        Item::Pointer(_) => FileType::Symlink,
        Item::Value(_) => FileType::File,
    })
}

fn item(k: &Kernel, object: Object, row: u16, key: u32) -> Option<Item> {
    with_struct!(object, id => match id.field(k, row)?.kind {
        Kind::List(_, find) => find(k, id, key),
        Kind::Dir(_) | Kind::Value(_) | Kind::Pointer(_) | Kind::Objects(..) | Kind::Table(..) => None,
    })
}

/// The value at `row`, with a final newline.
fn read(k: &Kernel, object: Object, row: u16) -> Option<Vec<u8>> {
    with_struct!(object, id => match id.field(k, row)?.kind {
        Kind::Value(value) => value(k, id).map(with_newline),
        Kind::Dir(_) | Kind::Pointer(_) | Kind::List(..) | Kind::Objects(..) | Kind::Table(..) => None,
    })
}

fn read_item(k: &Kernel, object: Object, row: u16, key: u32) -> Option<Vec<u8>> {
    match item(k, object, row, key)? {
        Item::Value(text) => Some(with_newline(text.into_bytes())),
        Item::Pointer(_) => None,
    }
}

/// Lists of lines end with a newline already, or are empty.
fn with_newline(mut text: Vec<u8>) -> Vec<u8> {
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text
}

/// Where the pointer at `row` leads.
fn target(k: &Kernel, object: Object, row: u16) -> Option<Object> {
    with_struct!(object, id => match id.field(k, row)?.kind {
        Kind::Pointer(target) => target(k, id),
        Kind::Dir(_) | Kind::Value(_) | Kind::List(..) | Kind::Objects(..) | Kind::Table(..) => None,
    })
}

fn item_target(k: &Kernel, object: Object, row: u16, key: u32) -> Option<Object> {
    match item(k, object, row, key)? {
        Item::Pointer(target) => Some(target),
        Item::Value(_) => None,
    }
}

/// The path of an object's directory below `kernel/`.
pub(super) fn object_path(k: &Kernel, object: Object) -> String {
    match object {
        Object::Task(task) => format!("task/{}", k.task_nr(task)),
        Object::NsProxy(nsproxy) => format!("nsproxy/{}", nsproxy.index()),
        Object::Ns(ns) => format!("ns/{}/{}", k.namespaces[ns].ops().name, k.namespaces[ns].common.inum),
        Object::Dev(dev) => {
            let dev = &k.net.devices[dev];
            format!(
                "{}/dev_base_head/{}",
                object_path(k, Object::Ns(dev.net.any())),
                String::from_utf8_lossy(&dev.name)
            )
        }
        Object::Ipc(ns, kind, id) => {
            format!("{}/ids/{}/{id}", object_path(k, Object::Ns(ns.any())), ipc::directory(kind))
        }
        Object::Ops(entry) => format!("ops/{}", ENTRIES[usize::from(entry)].name),
    }
}

/// The path of a field below `kernel/`.
fn field_path(k: &Kernel, object: Object, row: u16) -> String {
    let below = with_struct!(object, id => id.field(k, row).map_or("", |field| field.path));
    let separator = if below.is_empty() { "" } else { "/" };
    format!("{}{separator}{below}", object_path(k, object))
}

/// The directories of `kernel/` that hold all objects of a kind.
#[derive(Clone, Copy)]
pub(super) enum Collection {
    Tasks,
    NsProxies,
    NsKinds,
    Ops,
}

impl Collection {
    pub fn lookup(self, k: &Kernel, name: &[u8]) -> Option<Place> {
        match self {
            Collection::Tasks => k.find_task(parse_number(name)?).map(|task| root(Object::Task(task))),
            Collection::NsProxies => k.nsproxies.id_at(parse_number(name)?).map(|id| root(Object::NsProxy(id))),
            Collection::NsKinds => {
                NS_TABLE.iter().find(|ops| ops.name.as_bytes() == name).map(|ops| Place::NsKind(ops.ns_type))
            }
            Collection::Ops => {
                let entry = ENTRIES.iter().position(|entry| entry.name.as_bytes() == name)?;
                Some(root(Object::Ops(index_u8(entry))))
            }
        }
    }

    pub fn readdir(self, k: &Kernel) -> Vec<(String, Place)> {
        match self {
            Collection::Tasks => tasks(k).map(|(nr, task)| (nr.to_string(), root(Object::Task(task)))).collect(),
            Collection::NsProxies => {
                k.nsproxies.iter().map(|(id, _)| (id.index().to_string(), root(Object::NsProxy(id)))).collect()
            }
            Collection::NsKinds => {
                NS_TABLE.iter().map(|ops| (ops.name.to_owned(), Place::NsKind(ops.ns_type))).collect()
            }
            Collection::Ops => {
                (0..).zip(&ENTRIES).map(|(entry, row)| (row.name.to_owned(), root(Object::Ops(entry)))).collect()
            }
        }
    }
}

/// The directory of an object.
pub(super) fn root(object: Object) -> Place {
    Place::Struct(object, ITSELF)
}

/// All tasks, threads and zombies too, by number in the initial pid namespace.
pub(super) fn tasks(k: &Kernel) -> impl Iterator<Item = (i32, TaskId)> {
    let numbers = k.namespaces[k.init.pid_ns].idr.iter();
    numbers.filter_map(|(nr, pid)| k.pids[pid].attached.task.map(|task| (nr, task)))
}

/// The namespace called `name` in `kernel/ns/<kind>`.
fn lookup_ns(k: &Kernel, kind: NsType, name: &[u8]) -> Option<Place> {
    k.find_ns(kind, parse_number(name)?).map(|ns| root(Object::Ns(ns)))
}

/// All namespaces of a kind, by inum.
fn readdir_ns(k: &Kernel, kind: NsType) -> Vec<(String, Place)> {
    let mut found: Vec<(u32, NsId)> =
        k.namespaces.iter().filter(|(_, ns)| ns.ns_type() == kind).map(|(id, ns)| (ns.common.inum, id)).collect();
    found.sort_unstable();
    found.into_iter().map(|(inum, ns)| (inum.to_string(), root(Object::Ns(ns)))).collect()
}

/// A list of pointers to tasks, by number in the initial pid namespace.
fn task_items(k: &Kernel, tasks: impl Iterator<Item = TaskId>) -> Vec<(u32, Item)> {
    tasks.map(|task| (k.task_nr(task).unsigned_abs(), Item::Pointer(Object::Task(task)))).collect()
}

/// The element of such a list with this number.
fn task_item(k: &Kernel, nr: u32, is_listed: impl FnOnce(TaskId) -> bool) -> Option<Item> {
    let task = k.find_task(i32::try_from(nr).ok()?)?;
    is_listed(task).then_some(Item::Pointer(Object::Task(task)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Session;

    /// A lab in which every list has something.
    const SCRIPT: &[u8] = b"1 clone newpid,newuser,newnet,newns,newuts\n1 clone\n2 clone\n3 clone thread,sighand,vm\n\
        3 clone newuts\n3 clone\n1 msgget 1 create\n1 msgsnd 0 1 x\n1 semget 1 3 create\n1 shmget 1 4096 create\n\
        1 ip link add br type bridge\n1 ip link add d0 type dummy\n1 ip link set d0 master br\n\
        1 ip link add a type veth peer name b\n1 ip link set b netns 2\n1 ip link property add dev d0 altname e0\n";

    /// What is found by number or name is what is listed, in every struct, and nothing else is.
    fn check<S: Struct>(k: &Kernel, id: S, seen: &mut usize) {
        for row in 0.. {
            let Some(field) = id.field(k, row) else { return };
            match field.kind {
                Kind::List(items, find) => {
                    let mut found: Vec<_> =
                        (0..64).filter_map(|key| find(k, id, key).map(|item| (key, item))).collect();
                    let mut listed = items(k, id);
                    *seen += listed.len();
                    found.sort_by_key(|(key, _)| *key);
                    listed.sort_by_key(|(key, _)| *key);
                    assert_eq!(found, listed, "{}", field.path);
                }
                Kind::Table(structs, find) => {
                    let found: Vec<_> =
                        (0..64).filter_map(|key| find(k, id, key).map(|object| (key, object))).collect();
                    *seen += found.len();
                    assert_eq!(found, structs(k, id), "{}", field.path);
                }
                Kind::Objects(objects, find) => {
                    let listed = objects(k, id);
                    *seen += listed.len();
                    assert!(listed.iter().all(|(name, object)| find(k, id, name.as_bytes()) == Some(*object)));
                    assert_eq!(find(k, id, b"e0"), None, "an altname is not listed");
                }
                Kind::Dir(_) | Kind::Value(_) | Kind::Pointer(_) => {}
            }
        }
    }

    #[test]
    fn what_is_found_is_what_is_listed() {
        let mut k = Kernel::boot();
        Session::default().batch(&mut k, SCRIPT).1.unwrap();
        let mut seen = 0;
        for (_, task) in tasks(&k) {
            check(&k, task, &mut seen);
        }
        for (id, _) in k.namespaces.iter() {
            check(&k, id, &mut seen);
        }
        for (id, _) in k.nsproxies.iter() {
            check(&k, id, &mut seen);
        }
        for (id, _) in k.net.devices.iter() {
            check(&k, id, &mut seen);
        }
        let ns = k.init_ns::<crate::kernel::ns::IpcNamespace>();
        for kind in [crate::kernel::node::IpcKind::Sem, crate::kernel::node::IpcKind::Msg] {
            check(&k, IpcId { ns, kind, id: 0 }, &mut seen);
        }
        assert!(seen > 60, "{seen}");
    }
}
