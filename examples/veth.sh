#!/usr/bin/env bash
# What becomes of network devices when their namespace dies?
#
# A device is in one net namespace at a time. A veth pair is a wire between two; it dies when either end does. A physical
# device cannot die: it goes home to the initial namespace.
. "$(dirname "$0")/lab.sh"

devices() { show ls "kernel/ns/net/$1/dev_base_head"; }

home=4026531833
act 1 clone net
box=$result
inside=$(stat -L -c %i "proc/$box/ns/net")

note "one end of a pair outside, the other one inside, each with an index of its own there"
act 1 ip link add veth0 type veth peer name wire netns "$box"
devices "$home"
devices "$inside"
show cat "kernel/ns/net/$home/dev_base_head/veth0/ifindex" "kernel/ns/net/$inside/dev_base_head/wire/ifindex"

note "it carries when both ends are up"
act 1 ip link set veth0 up
show cat "kernel/ns/net/$home/dev_base_head/veth0/operstate"
act "$box" ip link set wire up
show cat "kernel/ns/net/$home/dev_base_head/veth0/operstate"

note "the physical device moves inside; then it is not here any more"
act 1 ip link set eth0 netns "$box"
act 1 ip link set eth0 up
act "$box" ip link set eth0 up

note "the namespace dies with its task: both ends of the pair are gone, eth0 is back, and down"
act "$box" exit
show ls "kernel/ns/net"
devices "$home"
show cat "kernel/ns/net/$home/dev_base_head/eth0/operstate"
