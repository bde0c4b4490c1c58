#!/usr/bin/env bash
# fresh-machine.sh - run a command in a new clone on a bare Debian 12, to see that nothing installed here is needed.
#
#   scripts/fresh-machine.sh [options] -- COMMAND...       for example: -- ./quickstart.sh
#
#   --root DIR      where the machine is laid (default: a new folder in $TMPDIR, removed at the end)
#   --base FILE     tar of the bare system: used if it exists, else made, so the next run starts at once
#   --mirror URL    Debian mirror (default http://deb.debian.org/debian)
#   --apt-conf FILE one more apt configuration, e.g. a proxy; copied into the machine
#   --commit REF    what to clone (default HEAD)
#   --bundle FILE   no clone: unpack this archive of scripts/bundle.sh in its place, and run the command in it
#   --data DIR      shown read-only beside the clone, as ../shared
#   --keep          leave the machine's folder in place
#
# Needs root and debootstrap. The machine is a chroot with its own mounts and processes: it sees this kernel, this
# network and nothing else of this system. Its environment is PATH, HOME and LANG=C.UTF-8. Prints what took how long.
set -euo pipefail

die() {
    printf 'fresh-machine: %s\n' "$*" >&2
    exit 1
}

root='' base='' mirror=http://deb.debian.org/debian apt_conf='' commit=HEAD bundle='' data='' keep=0
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
    --keep)
        keep=1
        shift
        continue
        ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
    --root | --base | --mirror | --apt-conf | --commit | --bundle | --data) [ $# -ge 2 ] || die "$1 needs a value" ;;
    *) die "unknown option $1, see --help" ;;
    esac
    case $1 in
    --root) root=$2 ;;
    --base) base=$2 ;;
    --mirror) mirror=$2 ;;
    --apt-conf) apt_conf=$2 ;;
    --commit) commit=$2 ;;
    --bundle) bundle=$(realpath -e "$2") ;;
    --data) data=$2 ;;
    esac
    shift 2
done
[ $# -ge 2 ] || die "no command; usage: fresh-machine.sh [options] -- COMMAND..."
shift
[ "$(id -u)" = 0 ] || die "laying a machine needs root"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
[ -z "$data" ] || data=$(realpath -e "$data")

if [ -z "$root" ]; then
    root=$(mktemp -d "${TMPDIR:-/tmp}/asd-fresh.XXXXXX")
else
    mkdir -p "$root"
    [ -z "$(ls -A "$root")" ] || die "$root is not empty"
fi
root=$(realpath "$root")
sweep() {
    [ $keep = 1 ] || rm -rf --one-file-system "$root"
}
trap sweep EXIT

began=$SECONDS
if [ -n "$base" ] && [ -f "$base" ]; then
    tar -C "$root" --numeric-owner -xpf "$base"
else
    debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror" >"$root.log" 2>&1 || {
        tail -n 5 "$root.log" >&2
        die "debootstrap failed, see $root.log"
    }
    rm -f "$root.log"
    if [ -n "$base" ]; then
        tar -C "$root" --numeric-owner -cpf "$base.part" . && mv "$base.part" "$base"
    fi
fi
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
[ -z "$apt_conf" ] || cp "$apt_conf" "$root/etc/apt/apt.conf.d/99fresh-machine"
chmod 755 "$root" # mktemp closes it, and apt drops to a user that must read it
printf 'fresh-machine: bare system in %d s\n' $((SECONDS - began))

if [ -n "$bundle" ]; then
    mkdir "$root/root/asd"
    tar -C "$root/root/asd" --strip-components=1 -xJf "$bundle"
    printf 'fresh-machine: %s unpacked; running: %s\n' "$(basename "$bundle")" "$*"
else
    id=$(git -C "$source" rev-parse "$commit")
    git -c advice.detachedHead=false clone -q --no-hardlinks "$source" "$root/root/asd"
    git -C "$root/root/asd" -c advice.detachedHead=false checkout -q "$id"
    printf 'fresh-machine: clone of %s; running: %s\n' "${id:0:12}" "$*"
fi

began=$SECONDS
status=0
# The mounts live in the new namespace and go with it.
unshare --mount --pid --fork --kill-child bash -euc '
    root=$1 data=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    if [ -n "$data" ]; then
        mkdir -p "$root/root/shared"
        mount --bind "$data" "$root/root/shared"
        mount -o remount,bind,ro "$root/root/shared"
    fi
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        chroot "$root" bash -c "cd /root/asd && exec \"\$@\"" - "$@" </dev/null
' - "$root" "$data" "$@" || status=$?
printf 'fresh-machine: exit code %d after %d s\n' $status $((SECONDS - began))
exit $status
