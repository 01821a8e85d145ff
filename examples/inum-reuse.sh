#!/usr/bin/env bash
# Is net:[4026532177] forever the same namespace?
#
# No: an inum is unique among the living. When its namespace is freed the number is used again, lowest first. Only a
# descriptor makes sure that it stays the one that was meant.
. "$(dirname "$0")/lab.sh"

act 1 clone ipc
first=$result
show readlink "proc/$first/ns/ipc"
show cat "kernel/task/$first/nsproxy/ipc_ns/ns_id"

note "the namespace dies with its only task; the next one gets its number"
act "$first" exit
act 1 clone ipc
second=$result
show readlink "proc/$second/ns/ipc"

note "what tells them apart is the ns_id, which is never used again (NS_GET_ID)"
show cat "kernel/task/$second/nsproxy/ipc_ns/ns_id"

note "who wrote the text down is fooled; who kept a descriptor is not, because it kept the namespace"
act 1 open "proc/$second/ns/ipc"
kept=$result
act "$second" exit
act 1 clone ipc
third=$result
show readlink "proc/1/fd/$kept" "proc/$third/ns/ipc"
