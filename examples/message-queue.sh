#!/usr/bin/env bash
# A System V message queue lives and dies with its IPC namespace.
#
# A child in a new IPC namespace makes a queue with key 42. Its parent cannot find that key, their /proc/sysvipc/msg
# differ, and when the child, the only task in the namespace, exits, the queue is gone.
#
# Run it in a lab:   nslab shell -c examples/message-queue.sh      or:   LAB=/mnt/lab examples/message-queue.sh
set -euo pipefail
cd "${LAB:?the directory of a mounted lab}"

# call PID SYSCALL ARGS…: makes the task do a call and prints the result, or the reason of its failure.
call() {
    local result status=0
    exec 3<>"ctl/$1/$2"
    { echo "${@:3}" >&3; } 2>/dev/null || status=1
    read -r result <&3
    exec 3>&-
    echo "$result"
    return "$status"
}

# What the kernel keeps of the queues in the child's namespace.
ids() {
    local file
    for file in in_use seq last_idx; do
        echo "    $file $(cat "kernel/ns/ipc/$ns/ids/1-msg/$file")"
    done
    for queue in "kernel/ns/ipc/$ns/ids/1-msg"/[0-9]*; do
        [ -d "$queue" ] && echo "    queue ${queue##*1-msg/} key $(cat "$queue/perm/key") messages $(cat "$queue/q_qnum")"
    done
    return 0
}

parent=$(call 1 clone)
child=$(call "$parent" clone newipc)
ns=$(stat -L -c %i "proc/$child/ns/ipc")
echo "parent $(readlink "proc/$parent/ns/ipc"), child $(readlink "proc/$child/ns/ipc")"
ids

echo "child msgget 42 create: $(call "$child" msgget 42 create 0600)"
echo "child msgsnd: $(call "$child" msgsnd 0 1 hello)"
ids

echo "parent msgget 42: $(call "$parent" msgget 42 || true)"
echo "queues in /proc/sysvipc/msg: parent $(tail -n +2 "as/$parent/proc/sysvipc/msg" | wc -l)," \
    "child $(tail -n +2 "as/$child/proc/sysvipc/msg" | wc -l)"

echo "child exit: $(call "$child" exit 0 || true)"
if [ -d "kernel/ns/ipc/$ns" ]; then
    echo "ipc:[$ns] is still there"
else
    echo "ipc:[$ns] is gone, and its queue with it"
fi
