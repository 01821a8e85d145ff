# What namespaces hold, from objects to clocks, in the words of the shell: tour.sh QUEUE CGROUPS
# QUEUE is the program of queue.c, CGROUPS the directory of the hierarchy. Numbers of processes are told as pid:N.
queue=$1 box=$2/nslab-tour-$$
pids() { tr '\n' ' ' | sed 's/ *$//; s/[0-9][0-9]*/pid:&/g'; echo; }
ipcmk -Q -p 600 && ipcmk -Q -p 644 && ipcmk -M 8192 && ipcmk -S 3
ipcs | awk '/^0x/ { print $2, $4, $5, $6 }'
unshare -i sh -c 'ipcs | grep -c ^0x; ipcmk -S 2; ipcs -s | grep -c ^0x; ipcs -q -i 0 2>&1 | tail -n 1'
ipcrm -q 0; ipcrm -q 0; echo $?
ipcrm -q 1 -m 0 -s 0; ipcs | grep -c ^0x
for n in 1 9 3; do $queue send /tour $n "message $n"; done
unshare -i $queue receive /tour
$queue receive /tour && $queue receive /tour && $queue receive /tour
$queue unlink /tour; $queue unlink /tour

before=$(cut -d. -f1 /proc/uptime)
unshare -T --boottime 864000 --monotonic 432000 -f sh -c '
echo $((($(cut -d. -f1 /proc/uptime) - '$before') / 3600)) hours; cat /proc/self/timens_offsets; sleep 0.1
unshare -T --boottime 3600 -f cat /proc/self/timens_offsets; echo "monotonic 1 0" > /proc/self/timens_offsets' 2>&1
test $(readlink /proc/self/ns/time) = $(readlink /proc/self/ns/time_for_children) && echo time is as it was

unshare -pf --mount-proc sh -c 'trap "echo first has got it" USR1; sleep 1000 & echo $$ $(pgrep sleep); wait; kill -9 $$; echo alive
kill $!; wait $!; echo $?; exec sleep 1000' & outer=$!
until pgrep -P $outer sh > /dev/null; do sleep 0.05; done; inner=$(pgrep -P $outer sh)
until pgrep -P $inner sleep > /dev/null; do sleep 0.05; done; grep NSpid /proc/$inner/status | cut -f 2- | pids
kill -USR1 $inner; until grep -qx sleep /proc/$inner/comm; do sleep 0.05; done
kill -TERM $inner; sleep 0.1; kill -0 $inner && echo the first ignores it; kill -KILL $inner; wait $outer; echo $?

mkdir $box $box/inner; sh -c 'trap "echo thawed; exit 7" TERM; while :; do :; done' & job=$!
echo $job > $box/inner/cgroup.procs; cat $box/inner/cgroup.procs | pids; grep populated $box/cgroup.events
echo 1 > $box/cgroup.freeze; until grep -qx 'frozen 1' $box/inner/cgroup.events; do sleep 0.05; done
kill $job; sleep 0.1; kill -0 $job && echo frozen, and alive; rmdir $box/inner 2>&1 | sed 's/.*: //'
echo 0 > $box/cgroup.freeze; wait $job; echo $?
sleep 1000 & job=$!; echo $job > $box/cgroup.procs; echo 1 > $box/cgroup.freeze; echo 1 > $box/cgroup.kill; wait $job; echo $?
rmdir $box/inner $box && echo no box
unshare -Ur sh -c 'id -u; cat /proc/self/uid_map; hostname x 2>&1; echo $?'
