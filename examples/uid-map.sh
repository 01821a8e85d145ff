#!/usr/bin/env bash
# What does a write to uid_map need?
#
# A map is written once, whole. Without CAP_SETUID in the parent it may have one line, which maps the writer's own id;
# a gid_map then needs setgroups denied first.
. "$(dirname "$0")/lab.sh"

# attempt TASK FILE TEXT: what the task's own write to its own file gives.
attempt() {
    local said
    if said=$({ printf %s "$3" >"as/$1/proc/self/$2"; } 2>&1); then
        echo "$1 writes '$3' to $2"
    else
        echo "$1 writes '$3' to $2: ${said##*: }"
    fi
}

note "an ordinary user makes a user namespace: all capabilities, but no ids (exec as after a login: its files are its own)"
act 1 clone
user=$result
act "$user" setgid 1000
act "$user" setuid 1000
act "$user" exec sh
act "$user" unshare user
show grep -e Uid -e CapEff "as/$user/proc/self/status"

note "one id: its own. Neither root's, nor two"
attempt "$user" uid_map "0 0 1"
attempt "$user" uid_map "0 1000 2"
attempt "$user" uid_map "0 1000 1"
show cat "as/$user/proc/self/uid_map"

note "only once"
attempt "$user" uid_map "0 1000 1"

note "a gid_map wants setgroups denied, so that nobody drops a group that was to keep it out"
attempt "$user" gid_map "0 1000 1"
attempt "$user" setgroups deny
attempt "$user" gid_map "0 1000 1"
show grep -e Uid -e Gid "as/$user/proc/self/status"

note "outside it is still 1000, and who is privileged there maps what it likes, as newuidmap does"
show grep Uid "proc/$user/status"
act "$user" clone user
nested=$result
act 1 clone user
other=$result
printf '0 100000 65536\n' >"proc/$other/uid_map"
show cat "proc/$other/uid_map"

note "the second column is told in the ids of whoever reads: 0 for the namespace above, 1000 for us"
attempt "$nested" uid_map "5 0 1"
show cat "as/$user/proc/$nested/uid_map" "proc/$nested/uid_map"
