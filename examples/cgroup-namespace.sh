#!/usr/bin/env bash
# What does a cgroup namespace change?
#
# Only where paths start: the cgroup a task is in when it makes the namespace is its / from then on. It limits nothing by
# itself, and the task stays where it was.
. "$(dirname "$0")/lab.sh"

act 1 clone
task=$result
act 1 mkdir /sys/fs/cgroup/web
act 1 mkdir /sys/fs/cgroup/db
show cat "proc/$task/cgroup"

note "moved first, unshared second: the order decides what / is"
echo "$task" >cgroup/web/cgroup.procs
act "$task" unshare cgroup
show cat "proc/$task/cgroup" "as/$task/proc/self/cgroup"
show cat "kernel/task/$task/nsproxy/cgroup_ns/root_cset"

note "what is outside shows relative to it, so that a name leaks only to whom it concerns"
act 1 clone
neighbour=$result
echo "$neighbour" >cgroup/db/cgroup.procs
show cat "as/$task/proc/1/cgroup" "as/$task/proc/$neighbour/cgroup"

note "moved by somebody outside, the task itself is out of its own namespace's root"
echo "$task" >cgroup/db/cgroup.procs
show cat "as/$task/proc/self/cgroup"

note "a child is born into both, and a cgroup with somebody in it stays"
act "$task" clone
show cat "as/$result/proc/self/cgroup"
act 1 rmdir /sys/fs/cgroup/db
