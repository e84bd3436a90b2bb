#!/usr/bin/env bash
# Installs a .deb in a fresh root and uses it there as a user would, then purges it: try.sh [--units] FILE.deb [SUITE]
#
# With --units the root is booted, and its systemd runs the package's units. SUITE is the release of Debian or Ubuntu, this
# machine's unless named; MIRROR in the environment names another mirror than debootstrap's own. Needs root, debootstrap and
# the network. All happens in namespaces of its own: whatever ends it, mounts and processes end with it, and the folder is
# removed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage="usage: try.sh [--units] FILE.deb [SUITE]"
namespaces=(--mount --pid --cgroup --uts --ipc)

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

outside() {
    local what=use deb suite
    [ "${1:-}" != --units ] || { what=units; shift; }
    [ $# -ge 1 ] || die "$usage"
    deb=$(realpath -e "$1")
    [ "$(id -u)" = 0 ] || die "try.sh makes a root of its own, which needs root: sudo $0 $deb"
    command -v debootstrap >/dev/null || die "This needs debootstrap: apt-get install --no-install-recommends debootstrap"
    # shellcheck source=/dev/null
    suite=${2:-$(. /etc/os-release && echo "$VERSION_CODENAME")}

    folder=$(mktemp -d)
    inner=
    control_group=$(make_control_group)
    trap 'cleanup' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # In the background, so that a signal is heeded at once.
    {
        [ -z "$control_group" ] || echo "$BASHPID" >"$control_group/cgroup.procs"
        exec unshare "${namespaces[@]}" --fork --kill-child --mount-proc \
            "$here/try.sh" --inside "$what" "$folder/fresh" "$deb" "$suite"
    } &
    inner=$!
    wait "$inner" || [ "$what" = units ]  # what a booted root ends with is its own affair
    inner=
    cat "$folder/fresh/report" 2>/dev/null || true
    [ -e "$folder/fresh/passed" ] || die "the package has failed: see above"
    echo "the package stands its trial"
}

# A booted root makes control groups below the one it is in, and nobody removes them: it gets one of its own. Without
# cgroup2, or the right to write there, nothing is said; a root that is only used needs none.
make_control_group() {
    local top own made
    top=$(findmnt --noheadings --first-only --output TARGET --types cgroup2) || return 0
    own=$(sed -n 's/^0:://p' /proc/self/cgroup)
    made=${top%/}/${own#/}
    made=${made%/}/artstore-trial.$$
    if mkdir "$made" 2>/dev/null; then echo "$made"; fi
}

remove_control_group() {
    [ -z "$control_group" ] || find "$control_group" -depth -type d -exec rmdir {} + 2>/dev/null
}

cleanup() {
    [ -z "$inner" ] || { kill -KILL "$inner" 2>/dev/null && wait "$inner"; } || true
    # What the namespaces' end has not reached yet may still write.
    for _ in 1 2 3 4 5; do
        remove_control_group && control_group= && rm -rf --one-file-system "$folder" 2>/dev/null && return
        sleep 1
    done
    say "These could not be removed: $folder $control_group"
}

inside() {
    local what=$1
    root=$2
    make_root "$4" "$3" "$what"
    case $what in
        use) use; touch "$root/passed" ;;  # no &&: it would let failures within pass
        units) boot ;;
    esac
}

make_root() {
    local suite=$1 deb=$2
    local -a packages=(man-db bash-completion)
    [ "$3" = use ] || packages=(systemd-sysv dbus-user-session libpam-systemd)
    echo "== a fresh $suite"
    logged debootstrap --variant=minbase "$suite" "$root" ${MIRROR:+"$MIRROR"}
    mount --bind "$root" "$root"  # systemd wants its root to be a mount
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    make_devices
    ln -sf /proc/self/mounts "$root/etc/mtab"  # fusermount3 reads it
    cp "$deb" "$root/artstore.deb"

    echo "== apt install"
    logged in_root apt-get -qq update
    logged in_root apt-get -qq install -y --no-install-recommends "${packages[@]}"
    logged in_root apt-get -qq install -y --no-install-recommends /artstore.deb
    in_root useradd --create-home --shell /bin/bash tester
}

# Nodes of its own: the machine's /dev is not touched, and users may open /dev/fuse, which not every machine lets them.
make_devices() {
    local name major minor
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    while read -r name major minor; do
        mknod -m 666 "$root/dev/$name" c "$major" "$minor"
    done <<<$'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0\nfuse 10 229'
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
}

use() {
    mkdir -p "$root/run/user/1000"
    in_root chown tester: /run/user/1000
    chmod 700 "$root/run/user/1000"
    as_user <"$here/try-user.sh"

    echo "== apt purge"
    in_root dpkg --verify artstore | grep . && die "the package's own files have changed"
    fingerprint >"$root.before"
    logged in_root apt-get -qq purge -y artstore
    for left in usr/bin/artstore usr/lib/artstore etc/xdg/autostart/artstore-daemon.desktop usr/share/doc/artstore; do
        [ ! -e "$root/$left" ] || die "/$left is left over"
    done
    fingerprint | cmp - "$root.before" || die "the store was touched"
    echo "the program is gone, $(wc -l <"$root.before") files of the store are as they were"

    echo "== installed again"
    logged in_root apt-get -qq install -y --no-install-recommends /artstore.deb
    as_user <<<'artstore check --data && artstore cat folder/v2:added'
}

# This process becomes the root's systemd, which runs try-units.sh and ends. No chroot: its services could not be given
# namespaces. Kernel settings, modules, the clock and the kernel's log are out of reach.
boot() {
    local unit
    install -m 755 "$here/try-units.sh" "$root/try-units.sh"
    for unit in systemd-sysctl systemd-modules-load systemd-udevd systemd-timesyncd systemd-networkd; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
    done
    printf '%s\n' "[Service]" "Type=oneshot" "ExecStart=/bin/bash /try-units.sh" "ExecStopPost=/bin/systemctl exit --no-block" \
        "StandardOutput=file:/report" "StandardError=inherit" >"$root/etc/systemd/system/trial.service"
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s ../trial.service "$root/etc/systemd/system/multi-user.target.wants/"

    echo "== booted"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mkdir -p "$root/mnt/old"
    cd "$root"
    pivot_root . mnt/old
    umount -l /mnt/old
    exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --bounding-set -sys_time,-sys_module,-sys_boot,-syslog /lib/systemd/systemd --log-target=null
}

# Quiet unless it fails.
logged() { "$@" >"$root.log" 2>&1 </dev/null || { tail -20 "$root.log" >&2; exit 1; }; }

in_root() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
}

as_user() {
    in_root runuser -u tester -- env HOME=/home/tester PATH=/usr/bin:/bin XDG_RUNTIME_DIR=/run/user/1000 \
        bash -c 'cd && exec bash -euo pipefail -s'
}

fingerprint() {
    (cd "$root/home/tester/.local/share/artstore" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
else
    outside "$@"
fi
