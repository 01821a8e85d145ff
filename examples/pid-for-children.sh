#!/usr/bin/env bash
# What is pid_for_children, and why does unshare(CLONE_NEWPID) not move the caller?
#
# A task's pid never changes, so its pid namespace cannot either. unshare and setns only choose where its next children
# are born; the first of them is the init of a new namespace.
. "$(dirname "$0")/lab.sh"

links() { show readlink -v "proc/$1/ns/pid" "proc/$1/ns/pid_for_children"; }

note "a task starts with both links equal"
act 1 clone
task=$result
links "$task"

note "after unshare only pid_for_children is another; and as long as it has no init, it shows as nothing"
act "$task" unshare pid
links "$task"

note "a second unshare is refused: children are already to be born elsewhere"
act "$task" unshare pid

note "the first child is number 1 there, and its own two links agree"
act "$task" clone
first=$result
links "$first"
links "$task"
show grep NSpid "proc/$task/status" "proc/$first/status"

note "the second child is born there too, and finds its parent outside, which it sees as 0"
act "$task" clone
second=$result
show grep PPid "as/$first/proc/2/status"

note "once that init is dead, nobody can be born there any more"
act 1 kill "$first" SIGKILL
show grep State "proc/$second/status"
act "$task" clone
