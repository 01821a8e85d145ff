#!/usr/bin/env bash
# Does the parent see its child's message queue?
#
# Not if the child is in another IPC namespace: keys, identifiers and /proc/sysvipc belong to the namespace, and the
# queues in it die with it.
. "$(dirname "$0")/lab.sh"

# What the kernel keeps of the queues in the child's namespace.
ids() {
    local dir=kernel/ns/ipc/$ns/ids/1-msg queue
    show grep . "$dir/in_use" "$dir/seq"
    for queue in "$dir"/[0-9]*/; do
        [ ! -d "$queue" ] || show grep . "${queue}perm/key" "${queue}q_qnum"
    done
}

act 1 clone
parent=$result
act "$parent" clone newipc
child=$result
ns=$(stat -L -c %i "proc/$child/ns/ipc")
ids

note "the child makes a queue with key 42 and leaves a message in it"
act "$child" msgget 42 create 0600
queue=$result
act "$child" msgsnd "$queue" 1 hello
ids

note "to the parent that key says nothing, and its list is empty"
act "$parent" msgget 42
show cat "as/$parent/proc/sysvipc/msg"
show cut -c1-60 "as/$child/proc/sysvipc/msg"

note "removed and made again it has another identifier, so that who kept the old one does not meet a stranger"
act "$child" msgctl "$queue" rmid
ids
act "$child" msgget 42 create 0600
act "$child" msgctl "$queue" stat

note "the namespace dies with its last task, and the queue with the namespace"
act "$child" exit
show ls "kernel/ns/ipc/$ns"
