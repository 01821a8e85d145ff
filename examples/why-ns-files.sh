#!/usr/bin/env bash
# Why are there files in /proc/PID/ns at all?
#
# A namespace has no name. A file gives it an identity to compare (device and inode), a handle to keep (a descriptor) and
# something to hand to setns.
. "$(dirname "$0")/lab.sh"

act 1 clone net,ipc
task=$result

note "identity: the link's text and the inode number behind it are the same number"
show readlink "proc/$task/ns/net"
show stat -L -c %i "proc/$task/ns/net"
[ "proc/1/ns/user" -ef "proc/$task/ns/user" ] && echo "1 and $task: one user namespace"
[ "proc/1/ns/net" -ef "proc/$task/ns/net" ] || echo "1 and $task: two net namespaces"

note "a handle: the descriptor still means that namespace when the pid is gone, or is somebody else's"
act 1 clone
joiner=$result
act "$joiner" open "proc/$task/ns/ipc"
descriptor=$result
act "$task" exit
act 1 wait
show readlink -v "proc/$task/ns/ipc"
act "$joiner" setns "fd:$descriptor" ipc
show readlink "proc/$joiner/ns/ipc"

note "setns checks the kind only if asked to; a pidfd takes several kinds at once"
act "$joiner" setns "fd:$descriptor" net
act "$joiner" open pidfd:1
act "$joiner" setns "fd:$result" net,ipc
show readlink "proc/$joiner/ns/net" "proc/$joiner/ns/ipc"

note "and to ask: which user namespace owns it, which kind is it"
act 1 open "proc/$joiner/ns/net"
act 1 ioctl "$result" NS_GET_NSTYPE
printf '%#x is CLONE_NEWNET\n' "$result"
