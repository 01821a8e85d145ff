# A topology to record: containers, nested user namespaces, sessions, zombies, a stopped process, time offsets. Prints `ready` when
# all is there, and ends when its input does.
S="sleep 1000"
unshare -u -n -i -C bash -c "hostname one; exec $S" &
unshare -u bash -c "hostname two-words; for i in 1 2 3 4 5; do $S & done; wait" &
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
# Its session and its parent are gone; who is the parent now takes in all that are left alone.
python3 -c "
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1)
os.system('setsid bash -c \"sleep 1000 & exit 0\"')
time.sleep(1000)" &
setpriv --reuid 1000 --regid 1000 --groups 4,5 $S &
setpriv --reuid 1001 --regid 1000 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all,+net_raw $S &
setpriv --ambient-caps=+net_raw --inh-caps=+net_raw --reuid 1002 --clear-groups $S &
python3 -c "
import threading, time
for i in range(6):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
time.sleep(1000)" &
$S & STOPPED=$!
# Threads that are in other namespaces than their process.
python3 -c "
import ctypes, threading, time
libc = ctypes.CDLL(None)
def away(flags):
    assert libc.unshare(flags) == 0
    time.sleep(1000)
for flags in (0x4000000, 0x8000000, 0x40000000):
    threading.Thread(target=away, args=(flags,), daemon=True).start()
time.sleep(1000)" &
# Root and working directories; limits, some of which are reached.
unshare -m python3 -c "
import os, time
os.chroot('/usr')
os.chdir('/share')
time.sleep(1000)" &
python3 -c "
import os, time
os.chroot('/usr')
time.sleep(1000)" &
(cd /usr/share && ulimit -n 100 && ulimit -u 5000 && exec $S) &
$S & prlimit --pid $! --nofile=1:7 --nproc=1:9 --msgqueue=0:4096
unshare -Ur bash -c "echo 5 > /proc/sys/user/max_uts_namespaces; echo 0 > /proc/sys/user/max_net_namespaces; exec $S" &
# A peer group over two namespaces, and one that receives from it.
unshare -m --propagation private bash -c "
mount -t tmpfs peers /mnt; mount --make-shared /mnt; mkdir /mnt/a
unshare -m --propagation unchanged $S &
unshare -m --propagation slave $S &
sleep 1; mount -t tmpfs later /mnt/a; exec $S" &
# A mount namespace that only a file keeps.
unshare -m --propagation private bash -c "
mount -t tmpfs run /run; touch /run/kept; mkdir /run/dir
unshare --mount=/run/kept mount -t tmpfs inner /run/dir; exec $S" &
for i in $(seq 30); do $S & done
# A bridge with two containers, one of which listens; networks that only a file keeps.
unshare -n bash -c "ip link set lo up; exec $S" & BRIDGE=$!
unshare -n python3 -c "
import socket, time
time.sleep(1.5)
tcp = [socket.create_server((host, port)) for host, port in (('127.0.0.1', 80), ('10.77.0.2', 8080))]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('0.0.0.0', 5353))
local = socket.socket(socket.AF_UNIX)
local.bind('\\0a bus')
local.listen()
time.sleep(1000)" & WEB=$!
unshare -n bash -c "sleep 1; exec $S" & DB=$!
unshare -m --propagation private bash -c "mount -t tmpfs run /run; ip netns add red; ip netns add blue; ip -n red link add r0 type veth peer name b0 netns blue; exec $S" &
# Memory that is attached, memory that is to go, messages, semaphores, a queue.
unshare -i bash -c "ipcmk -M 8192 -p 0640; ipcmk -Q; ipcmk -S 3; ipcrm -q 0; ipcmk -Q; exec $S" > /dev/null &
sleep 0.7
for end in $WEB $DB; do
    nsenter -t $BRIDGE -n ip link add v$end type veth peer name eth0 netns $end
done
nsenter -t $BRIDGE -n ip link add br0 type bridge
for end in $WEB $DB; do
    nsenter -t $BRIDGE -n ip link set v$end master br0
    nsenter -t $BRIDGE -n ip link set v$end up
    nsenter -t $end -n ip link set lo up
    nsenter -t $end -n ip link set eth0 up
done
nsenter -t $BRIDGE -n ip link set br0 up
nsenter -t $BRIDGE -n ip addr add 10.77.0.1/24 dev br0
nsenter -t $WEB -n ip addr add 10.77.0.2/24 dev eth0
nsenter -t $WEB -n ip addr add fd77::2/64 dev eth0 nodad
nsenter -t $DB -n ip addr add 10.77.0.3/24 dev eth0
kill -STOP $STOPPED
sleep 3
echo ready
read -r _
