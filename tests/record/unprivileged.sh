# A topology that takes no privilege. Prints `ready` when all is there, and ends when its input does.
S="sleep 1000"
cd /usr
unshare -Ur $S &
unshare -Urmunip -f --mount-proc --kill-child bash -c "hostname inner; $S & wait; $S" &
unshare -Ur unshare -Ur -n $S &
unshare -UrT --monotonic 100 --boottime 2000 -f $S &
unshare -U $S &
unshare -Ur bash -c "echo 5 > /proc/sys/user/max_uts_namespaces; exec $S" &
(cd /tmp && ulimit -n 100 && exec $S) &
setsid bash -c "$S & wait; $S" &
bash -c "true & exec $S" &
for i in 1 2 3 4; do $S & done
sleep 2
echo ready
read -r _
