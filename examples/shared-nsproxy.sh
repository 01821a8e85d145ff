#!/usr/bin/env bash
# Who shares an nsproxy, and when is it copied?
#
# A task has one pointer to an nsproxy, and the nsproxy has the pointers to the namespaces. fork and threads share it;
# whoever asks for another namespace gets a copy, even if the others in it stay the same.
. "$(dirname "$0")/lab.sh"

count() { show cat "kernel/task/$1/nsproxy/count"; }
proxies() { show readlink "${@/#/kernel/task/}"; }

note "a forked child and a thread point to their parent's nsproxy: its count is the number of tasks"
act 1 clone
child=$result
act "$child" clone vm sighand thread
thread=$result
proxies 1/nsproxy "$child/nsproxy" "$thread/nsproxy"
count 1

note "unshare of one kind copies all: the new nsproxy has one other pointer, and count 1"
act "$thread" unshare net
proxies "$child/nsproxy" "$thread/nsproxy"
count 1
count "$thread"
show readlink "kernel/task/$child/nsproxy/net_ns" "kernel/task/$thread/nsproxy/net_ns"
show readlink "kernel/task/$child/nsproxy/ipc_ns" "kernel/task/$thread/nsproxy/ipc_ns"

note "setns copies too, even back into the namespaces it came from: the pointers are equal, the structs are two"
act "$thread" setns "1/ns/net"
proxies 1/nsproxy "$thread/nsproxy"
count 1

note "exec with the same time namespace leaves it alone, and the last task to go frees it"
act "$child" exec sleep 1
count 1
act 1 clone ipc
other=$result
proxies "$other/nsproxy"
nsproxy=$(basename "$(readlink "kernel/task/$other/nsproxy")")
act "$other" exit
show ls "kernel/nsproxy/$nsproxy"
