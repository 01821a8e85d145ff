# Mounts a lab and keeps it until standard input has a line or ends: sh keeper.sh NSLAB FILES PROC ARGS...
#
# NSLAB is the command. FILES is the directory of this lab, removed at the end: the lab is mounted on FILES/lab, and its
# proc on FILES/proc if PROC is "proc". ARGS go to `nslab mount`. Prints "mounted" when the lab is there, else why it is
# not.
#
# Who starts this holds the other end of standard input. Linux closes it also for a process that is killed, so the lab
# goes with its user in any case.
nslab=$1 files=$2 proc=$3
shift 3
[ -z "$proc" ] || set -- --proc "$files/proc" "$@"
status=0
if mkdir "$files/lab" ${proc:+"$files/proc"} && said=$("$nslab" mount "$@" "$files/lab" 2>&1 </dev/null); then
    [ -z "$said" ] || echo "$said" >&2
    echo mounted
    read -r _
    "$nslab" umount --lazy "$files/lab" || status=1
else
    echo "$said"
    status=1
fi
rm -f "$files/boot.lab"
# No rm -r: what is mounted still must not be emptied.
rmdir ${proc:+"$files/proc"} "$files/lab" "$files" || status=1
exit $status
