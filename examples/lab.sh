# Sourced by the experiments beside it: what they share. They are run as programs, `examples/NAME.sh`.
#
# act PID SYSCALL ARGS…   makes the task do the call, shows it as strace would, and leaves the result in $result
# show COMMAND…           shows the command and what it prints
# note TEXT…              a remark in the output
set -euo pipefail
export LC_ALL=C

# An experiment has a lab of its own, unless LAB names a mounted one. The numbers it prints are those of a fresh one.
if [ -z "${LAB-}" ]; then
    if ! command -v nslab >/dev/null; then
        echo "nslab is not on the PATH: cargo install --path ." >&2
        exit 1
    fi
    exec nslab shell -c "exec $(printf %q "$(realpath "$0")")"
fi
cd "$LAB"

act() {
    exec 3<>"ctl/$1/$2"
    # A refused call is shown as well: the file has the reason.
    { echo "${@:3}" >&3; } 2>/dev/null || true
    result=$(cat <&3)
    exec 3>&-
    echo "$* = $result"
}

show() {
    echo "\$ $*"
    "$@" 2>&1 || true
}

note() {
    echo
    echo "# $*"
}
