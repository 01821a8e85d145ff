#!/usr/bin/env bash
# Can two servers listen on one port?
#
# Yes, in two net namespaces: ports, addresses and abstract socket names belong to them. And a socket keeps the namespace
# it was made in, even when its task has moved on.
. "$(dirname "$0")/lab.sh"

act 1 clone net
one=$result
act 1 clone net
two=$result
act "$one" ip link set lo up
act "$two" ip link set lo up

note "the same address and port, once in each"
act "$one" bind tcp 127.0.0.1:80
act "$two" bind tcp 127.0.0.1:80
act "$two" bind tcp 127.0.0.1:80
act 1 connect tcp 127.0.0.1:80

note "an abstract name is no file: it is isolated by the net namespace, whatever is mounted"
act "$one" bind unix @bus
act "$one" connect unix @bus
act "$two" connect unix @bus

note "the task moves; its socket stays, and holds the namespace it was made in"
left=$(stat -L -c %i "proc/$two/ns/net")
act "$two" setns 1/ns/net
show cat "kernel/ns/net/$left/holders"
act "$two" exit
show ls "kernel/ns/net"
