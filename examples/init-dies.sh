#!/usr/bin/env bash
# What dies with the init of a pid namespace?
#
# Everything in it, and in the pid namespaces below. Children outside go on, orphans get the outer reaper, and the pid
# namespace takes no more tasks.
. "$(dirname "$0")/lab.sh"

act 1 clone pid,ipc
init=$result
act "$init" clone
worker=$result
act "$worker" clone pid
nested=$result
act "$nested" clone
deep=$result
pid_ns=$(stat -L -c %i "proc/$init/ns/pid")

note "inside, the two are 1 and 2; a signal from there that its init does not handle does nothing to it"
show readlink "as/$init/proc/self" "as/$worker/proc/self"
act "$worker" kill "$init" SIGTERM
show grep State "proc/$init/status"

note "from outside SIGKILL works, and takes all with it"
act 1 kill "$init" SIGKILL
for task in "$init" "$worker" "$nested" "$deep"; do
    show grep State "proc/$task/status"
done

note "the zombie keeps its struct pid and so the pid namespace, but no nsproxy: the IPC namespace is gone already"
show cat "kernel/ns/pid/$pid_ns/holders"
show readlink -v "proc/$init/ns/ipc"

note "with wait the last holder goes"
act 1 wait
show ls "kernel/ns/pid/$pid_ns"
