#!/usr/bin/env bash
# Why was that refused?
#
# Linux says EPERM or EINVAL. A control file of the lab says which check failed, in the field's own words.
. "$(dirname "$0")/lab.sh"

note "no capability where it counts"
act 1 clone
user=$result
act "$user" setuid 1000
act "$user" unshare net
act "$user" setns net:[4026531833]
act "$user" kill 1 SIGTERM
act "$user" setuid 0

note "the same errno, another reason: capabilities in the wrong user namespace"
act "$user" unshare user,net
act "$user" setns net:[4026531833]
act "$user" setns 1/ns/net

note "combinations that make no sense"
act 1 clone thread
act 1 clone pid,thread,vm,sighand
act 1 clone fs,newns
act 1 unshare 1

note "the wrong thing, or none"
act "$user" setns "$user/ns/net" ipc
act "$user" setns "$user/ns/user"
act "$user" setns fd:7
act "$user" kill 77 SIGTERM

note "limits are charged per user and user namespace, all the way up"
echo 1 >proc/sys/user/max_ipc_namespaces
act 1 clone ipc
act 1 clone ipc

note "words the parser does not know: the usage"
act 1 clone blue
