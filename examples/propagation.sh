#!/usr/bin/env bash
# Who sees a mount that is made in another mount namespace?
#
# Whoever has a peer of the mount it is made below. Each of the four propagation types is tried: the container gets a copy
# of /w, then the host mounts below its /w, and the container below its own.
. "$(dirname "$0")/lab.sh"

# sees PID PATH: whether something is mounted there in its mount namespace.
sees() { grep -q " $2 " "proc/$1/mountinfo" && echo "  $1 sees $2" || echo "  $1 does not see $2"; }

act 1 mount tmpfs host /w
act 1 mkdir /w/from-host
act 1 mkdir /w/from-box

# try TYPE: a container whose /w is of that type.
try() {
    act 1 mount --make-shared /w
    act 1 clone mnt
    box=$result
    act "$box" mount "--make-$1" /w
    show grep /w "proc/$box/mountinfo"
    act 1 mount tmpfs a /w/from-host
    sees "$box" /w/from-host
    act "$box" mount tmpfs b /w/from-box
    sees 1 /w/from-box
    act "$box" exit
    act 1 umount /w/from-host
    grep -q ' /w/from-box ' proc/1/mountinfo && act 1 umount /w/from-box
    return 0
}

note "shared: both ways"
try shared

note "slave: from the host only"
try slave

note "private: neither; this is what a new mount is below a private one"
try private

note "unbindable: as private, and nobody may bind it anywhere"
try unbindable
act 1 mount --make-unbindable /w
act 1 mount --bind /w /tmp
