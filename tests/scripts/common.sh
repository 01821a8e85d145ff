# What the scripts of this folder begin with: a mounted lab, $LAB, and its proc as a mount of its own, $PROC, both of
# `machine.lab`, which are taken down at the end. Each script exits with 0, with 1 if something differs from what the lab
# says, with 77 if this machine lacks something. NSLAB is the program, if it is not one that was built here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C TZ=UTC COLUMNS=200

lacks() {
    echo "skipped: $*" >&2
    exit 77
}

for program in ${NEEDS-}; do
    command -v "$program" >/dev/null || lacks "no $program"
done
if [ -z "${NSLAB-}" ]; then
    for built in release debug; do
        [ -x "$here/../../target/$built/nslab" ] && NSLAB=$here/../../target/$built/nslab && break
    done
fi
[ -n "${NSLAB-}" ] || lacks "nslab is not built: cargo build"

scratch=$(mktemp -d)
LAB=$scratch/lab PROC=$scratch/proc
mkdir "$LAB" "$PROC"
ended() {
    status=$?
    [ ! -e "$LAB/ctl" ] || "$NSLAB" umount "$LAB" || :
    rm -rf --one-file-system "$scratch"
    exit "$status"
}
trap ended EXIT
trap 'exit 1' INT TERM
"$NSLAB" mount "$LAB" --proc "$PROC" --boot "$here/machine.lab" >/dev/null || lacks "no mount here"

# Runs a shell command with the lab's proc over /proc, for programs that look nowhere else.
over_proc() {
    unshare -m sh -c 'mount --bind "$0" /proc && eval "exec timeout 60 $1"' "$PROC" "$1"
}

# may_cover: only root, where mount namespaces can be made.
may_cover() {
    [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || lacks "only root may cover /proc"
}

# is WHAT FOUND EXPECTED
is() {
    if [ "$2" != "$3" ]; then
        printf '%s:\n--- found\n%s\n--- expected\n%s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
    echo "ok: $1"
}

# Columns one blank apart.
squeeze() {
    sed 's/[[:space:]]\+/ /g; s/^ //; s/ $//'
}
