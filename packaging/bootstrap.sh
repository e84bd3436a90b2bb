#!/usr/bin/env bash
# Makes what `make` needs on a fresh Debian or Ubuntu: system packages, then a virtual environment from the lock.
#
#   bootstrap.sh dev VENV               everything for demo, tests and benchmark
#   bootstrap.sh mount VENV             only the mount extra, once more, after its system packages were installed
#   bootstrap.sh install VENV [EXTRAS]  artstore and its mount, for `make install`; EXTRAS as in `bench,daemon`
#
# PYTHON names the interpreter; otherwise it is the first one found that is new enough.
# The mount extra is compiled against libfuse3, and the tests want a real S3 service (300 MB). Either may fail: it is
# said, and everything else goes on.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lock=$here/requirements.lock
mount_packages=(fuse3 libfuse3-dev pkg-config)
s3_packages=(ceph-mon ceph-osd radosgw ceph-common)  # a real S3 service for the tests
test_packages=(dbus)  # a bus for the tests of notifications

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "artstore needs Python 3.11 or newer; found none${PYTHON:+ behind PYTHON=$PYTHON}." \
        "Install one (sudo apt-get install python3), or name it: make PYTHON=/path/to/python3.12"
}

# The system packages that are missing, one a line. Debian names them by the interpreter's minor version.
missing_packages() {
    local python=$1 version
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$version-venv"
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || echo "$version-dev"
    # The compiler comes without its C library's headers unless they are asked for.
    command -v "${CC:-cc}" >/dev/null || printf '%s\n' gcc libc6-dev
}

mount_is_buildable() { command -v fusermount3 >/dev/null && pkg-config --exists fuse3 2>/dev/null; }

# How to become root without asking anybody, or failure. Where a terminal is there, sudo may ask.
root_prefix() {
    if [ "$(id -u)" = 0 ]; then return 0; fi
    command -v sudo >/dev/null || return 1
    if sudo -n true 2>/dev/null || [ -t 0 ]; then echo sudo; else return 1; fi
}

apt_install() {
    local prefix=$1
    shift
    # shellcheck disable=SC2086  # An empty prefix must vanish.
    $prefix env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        $prefix env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

install_system_packages() {
    local python=$1 prefix line
    local -a packages=()
    mapfile -t packages < <(missing_packages "$python")
    [ ${#packages[@]} -gt 0 ] || return 0
    line="sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
    say "$line"
    command -v apt-get >/dev/null || die "These are missing and there is no apt-get: install what answers to ${packages[*]}."
    prefix=$(root_prefix) || die "This needs root, once. Run the line above, then make again."
    apt_install "$prefix" "${packages[@]}" || die "apt-get failed. Run the line above by hand, then make again."
    mapfile -t packages < <(missing_packages "$python")
    [ ${#packages[@]} = 0 ] || die "Still missing after apt-get: ${packages[*]}. Is $python Debian's own Python?"
}

# The blocks of the lock whose package is (yes) or is not (no) pyfuse3.
locked() { awk -v want="$1" '/^[a-z0-9]/ { take = (/^pyfuse3==/ ? "yes" : "no") == want } take' "$lock"; }

# The lock's pins without its hashes, in the form pip takes as constraints.
pins() { sed -n 's/^\([a-z0-9][^ ]*==[^ ]*\)\( *;.*[^ \\]\)\{0,1\} *\\$/\1\2/p' "$lock"; }

install_mount_extra() {
    local venv=$1 log=$1/mount.log prefix
    local mend="sudo apt-get install -y ${mount_packages[*]} && make ${2:-mount-extra}"
    if ! mount_is_buildable && command -v apt-get >/dev/null && prefix=$(root_prefix </dev/null); then
        say "sudo apt-get install -y ${mount_packages[*]}"
        apt_install "$prefix" "${mount_packages[@]}" || say "apt-get failed; going on without the mount extra."
    fi
    if ! mount_is_buildable; then
        say "Without the mount extra, which needs libfuse3. To add it: $mend"
        return 1
    elif ! locked yes | "$venv/bin/python" -m pip install -qq --require-hashes --no-deps -r /dev/stdin >"$log" 2>&1; then
        say "Without the mount extra: pyfuse3 could not be built, see $log. To try again: $mend"
        return 1
    fi
}

install_s3_service() {
    local prefix
    ! command -v radosgw >/dev/null || return 0
    if command -v apt-get >/dev/null && prefix=$(root_prefix </dev/null); then
        say "sudo apt-get install -y ${s3_packages[*]}"
        apt_install "$prefix" "${s3_packages[@]}" && return 0
    fi
    say "Without a real S3 service for the tests. To add it: sudo apt-get install -y ${s3_packages[*]}"
}

install_test_packages() {
    local prefix
    ! command -v dbus-daemon >/dev/null || return 0
    if command -v apt-get >/dev/null && prefix=$(root_prefix </dev/null); then
        apt_install "$prefix" "${test_packages[@]}" && return 0
    fi
    say "Without a bus for the tests of notifications. To add it: sudo apt-get install -y ${test_packages[*]}"
}

make_dev() {
    local venv=$1 python sum
    sum=$(sha256sum <"$lock")
    if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.lock" 2>/dev/null)" = "$sum" ]; then
        touch "$venv/.lock"
        return
    fi
    python=$(find_python)
    install_system_packages "$python"
    say "Installing what requirements.lock names into $venv ($("$python" --version))"
    "$python" -m venv --clear "$venv"
    locked no | "$venv/bin/python" -m pip install -qq --require-hashes --no-deps -r /dev/stdin
    install_mount_extra "$venv" || true  # it has said why; all else works without
    install_s3_service
    install_test_packages
    echo "$sum" >"$venv/.lock"
}

make_install() {
    local venv=$1 extras=${2:-} python
    python=$(find_python)
    install_system_packages "$python"
    "$python" -m venv --clear "$venv"
    pins >"$venv/pins.txt"
    rm -rf "$here/build"  # setuptools would install what an earlier build left there
    "$venv/bin/python" -m pip install -qq -c "$venv/pins.txt" setuptools
    "$venv/bin/python" -m pip install -qq --no-build-isolation -c "$venv/pins.txt" "$here"
    [ -z "$extras" ] ||
        "$venv/bin/python" -m pip install -qq --no-build-isolation -c "$venv/pins.txt" "${here}[$extras]" ||
        say "artstore is installed, but without the extras $extras: their installation failed, as said above."
    "$venv/bin/python" -m pip install -qq -c "$venv/pins.txt" trio boto3 cryptography keyring
    install_mount_extra "$venv" install || true  # it has said why; all else works without
}

main() {
    case ${1:-}:$# in
        dev:2) make_dev "$2" ;;
        mount:2) install_mount_extra "$2" ;;
        install:2 | install:3) make_install "$2" "${3:-}" ;;
        *) sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
}

main "$@"
