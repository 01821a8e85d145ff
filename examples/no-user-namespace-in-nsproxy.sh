#!/usr/bin/env bash
# Why is there no user namespace in an nsproxy?
#
# Because it belongs to the credentials: capabilities mean nothing without the user namespace they hold in, and both have
# to change together. The other namespaces are only owned by one.
. "$(dirname "$0")/lab.sh"

note "seven kinds, the user namespace is not among them; the *_for_children are what children will get"
show ls kernel/nsproxy/0
show readlink kernel/task/1/cred/user_ns

note "unshare(CLONE_NEWUSER) makes new credentials and leaves the nsproxy as it is, shared with init"
act 1 clone
task=$result
show readlink "kernel/task/$task/nsproxy"
act "$task" setuid 1000
show grep CapEff "proc/$task/status"
act "$task" unshare user
show readlink "kernel/task/$task/nsproxy" "kernel/task/$task/cred/user_ns"
show grep CapEff "proc/$task/status"

note "all capabilities, but only there: the net namespace is still owned by the initial user namespace"
show readlink "kernel/task/$task/nsproxy/net_ns/user_ns"
act "$task" unshare net
show readlink "kernel/task/$task/nsproxy/net_ns/user_ns"
act "$task" setns net:[4026531833]

note "the threads of a process are in one user namespace, so none may leave it alone"
act "$task" clone vm sighand thread
act "$task" unshare user
