#!/usr/bin/env bash
# What keeps a namespace alive?
#
# Its tasks, through their nsproxies; an open descriptor of its file; a namespace below it. Looking does not.
. "$(dirname "$0")/lab.sh"

holders() { show cat "kernel/ns/$1/holders"; }

note "a task holds its namespaces through its nsproxy"
act 1 clone net
task=$result
net=net/$(stat -L -c %i "proc/$task/ns/net")
holders "$net"

note "a descriptor of its file holds it as well, and goes on when the task is dead"
act 1 open "proc/$task/ns/net"
descriptor=$result
holders "$net"
act "$task" exit
holders "$net"
show readlink "proc/1/fd/$descriptor"

note "so somebody can still enter it"
act 1 clone
visitor=$result
act "$visitor" setns "net:[${net#net/}]"
holders "$net"
act "$visitor" exit

note "with the last holder it is gone"
act 1 close "$descriptor"
show ls "kernel/ns/$net"

note "a user namespace is held by credentials, those of zombies too, by ucounts and by the user namespaces below it"
act 1 clone user
parent=$result
user=user/$(stat -L -c %i "proc/$parent/ns/user")
echo 0 0 1 >"proc/$parent/uid_map"
echo 0 0 1 >"proc/$parent/gid_map"
act "$parent" clone user,ipc
child=$result
act "$parent" exit
holders "$user"
act "$child" exit
act 1 wait "$parent"
act 1 wait "$child"
show ls "kernel/ns/$user"
