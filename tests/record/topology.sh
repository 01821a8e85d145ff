# A topology to record: containers, nested user namespaces, sessions, zombies, a stopped process, time offsets. Prints `ready` when
# all is there, and ends when its input does.
S="sleep 1000"
unshare -u -n -i -C bash -c "hostname one; exec $S" &
unshare -u bash -c "hostname 'two words'; for i in 1 2 3 4 5; do $S & done; wait" &
unshare -Ur $S &
unshare -Ur unshare -Ur -n $S &
unshare -U $S &
unshare -Urmpf --mount-proc bash -c "for i in 1 2 3; do $S & done; mount -t tmpfs -o size=64k scratch /mnt; wait; $S" &
unshare -pf --kill-child unshare -pf --kill-child bash -c "$S & wait; $S" &
unshare -m --propagation private bash -c "mount -t tmpfs -o size=1m,mode=700 box /mnt; mkdir /mnt/a /mnt/b; mount -t ramfs r /mnt/a; mount --bind -o ro /mnt/a /mnt/b; exec $S" &
unshare -m --propagation slave $S &
unshare -T --monotonic 100 --boottime 2000 -f $S &
bash -c "true & exec $S" &
bash -c "(exit 3) & exec $S" &
setsid bash -c "$S & $S & wait; $S" &
# Nobody finds this one when the test ends: it ends by itself.
(setsid bash -c "sleep 120 & exit 0" &)
setpriv --reuid 1000 --regid 1000 --groups 4,5 $S &
setpriv --reuid 1001 --regid 1000 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all,+net_raw $S &
setpriv --ambient-caps=+net_raw --inh-caps=+net_raw --reuid 1002 --clear-groups $S &
python3 -c "
import threading, time
for i in range(6):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
time.sleep(1000)" &
$S & STOPPED=$!
for i in $(seq 30); do $S & done
kill -STOP $STOPPED
sleep 2
echo ready
read -r _
