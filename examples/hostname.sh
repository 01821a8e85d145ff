#!/usr/bin/env bash
# Who may set the host name, and who sees it?
#
# The name belongs to a namespace. It takes CAP_SYS_ADMIN in the user namespace that owns it, not merely uid 0.
. "$(dirname "$0")/lab.sh"

name() { show cat "as/$1/proc/sys/kernel/hostname"; }

note "a child in its own namespace has a copy of the name; after that the two are independent"
act 1 clone newuts
child=$result
name "$child"
act "$child" sethostname blue
name "$child"
name 1

note "a forked child shares: it renames its parent too"
act "$child" clone
grandchild=$result
act "$grandchild" sethostname green
name "$child"

note "root of a new user namespace is not the owner of the name it shares"
act "$grandchild" unshare user
show grep CapEff "proc/$grandchild/status"
act "$grandchild" sethostname red

note "it owns what it makes from now on"
act "$grandchild" unshare newuts
act "$grandchild" sethostname red
name "$grandchild"
name "$child"

note "writing /proc/sys/kernel/hostname is the same, for the task that looks"
echo violet >"as/$child/proc/sys/kernel/hostname"
name "$child"
