#!/usr/bin/env bash
# How does `ip netns add` keep a net namespace with no process in it?
#
# By a bind mount of its file. The mount holds the namespace as a descriptor does, and gives it a name that others find.
. "$(dirname "$0")/lab.sh"

act 1 mkdir /run/netns
act 1 touch /run/netns/blue
act 1 clone net
maker=$result
blue=$(stat -L -c %i "proc/$maker/ns/net")

note "the file of the namespace is mounted on an ordinary one, then nobody needs the task"
act 1 mount --bind "/proc/$maker/ns/net" /run/netns/blue
act "$maker" exit
show cat "kernel/ns/net/$blue/holders" "kernel/ns/net/$blue/pins"
show stat -c %i root/run/netns/blue
show grep netns proc/1/mountinfo

note "ip netns exec: open the file, setns"
act 1 clone
visitor=$result
act "$visitor" open /run/netns/blue
act "$visitor" setns "fd:$result" net
show readlink "proc/$visitor/ns/net"
act "$visitor" exit

note "ip netns del: without the mount nothing holds it"
act 1 umount /run/netns/blue
act 1 unlink /run/netns/blue
show ls kernel/ns/net
