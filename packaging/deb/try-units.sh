#!/usr/bin/env bash
# What systemd does with the package's units; try.sh --units runs it as root in a root that was booted.
set -euo pipefail

say() { printf '== %s\n' "$*"; }
die() { echo "FAILED: $*"; as_user systemctl --user status 'artstore-*' --no-pager -l || true; exit 1; }
trap 'die "line $LINENO"' ERR

as_user() {
    runuser -u tester -- env HOME=/home/tester XDG_RUNTIME_DIR=/run/user/1000 \
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@" </dev/null
}
units() { as_user systemctl --user "$@"; }
property() { units show --property "$2" --value "$1"; }
until_true() {
    for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    die "never true: $*"
}
is_new() { [ "$(property artstore-daemon MainPID)" != "$1" ] && units is-active artstore-daemon; }
has_tag() { as_user artstore list -q | grep -qx "$1"; }
privileges() { sed -n 's/^NoNewPrivs:\t//p' "/proc/$(property artstore-daemon MainPID)/status"; }

cd /home/tester
say "linger"
loginctl enable-linger tester
until_true units is-active default.target

say "without a store it fails, once"
for unit in artstore-daemon artstore-mount; do
    if units start "$unit" 2>/dev/null; then die "$unit started without a store"; fi
    [ "$(property "$unit" NRestarts)" = 0 ]
    [ "$(property "$unit" ActiveState)" = failed ]
done

say "it starts, watches, and says when it is ready"
as_user artstore init -q
as_user sh -c 'mkdir folder && echo one >folder/file'
as_user artstore watch add folder --settle 1s -q
units enable --quiet --now artstore-daemon
property artstore-daemon StatusText
until_true has_tag folder/v1
[ "$(privileges)" = 1 ]
units reload artstore-daemon
[ "$(property artstore-daemon NRestarts)" = 0 ]

say "killed, it is started again"
process=$(property artstore-daemon MainPID)
kill -KILL "$process"
until_true is_new "$process"

say "hung, it is started again; its limits can be lifted"
as_user mkdir -p .config/systemd/user/artstore-daemon.service.d
printf '%s\n' "[Service]" WatchdogSec=3 NoNewPrivileges=no LockPersonality=no RestrictRealtime=no RestrictNamespaces=no \
    RestrictAddressFamilies= SystemCallArchitectures= SystemCallFilter= \
    >.config/systemd/user/artstore-daemon.service.d/override.conf
units daemon-reload
units restart artstore-daemon
[ "$(privileges)" = 0 ]
process=$(property artstore-daemon MainPID)
kill -STOP "$process"
until_true is_new "$process"
rm -r .config/systemd/user/artstore-daemon.service.d
units daemon-reload

say "an update leaves it running"
process=$(property artstore-daemon MainPID)
apt-get -qq install -y --reinstall --no-install-recommends /artstore.deb 2>/dev/null | sed -n '/^artstore:/,$p'
[ "$(property artstore-daemon MainPID)" = "$process" ]
units reset-failed artstore-daemon  # it was started often by now
units try-restart 'artstore-*'
[ "$(property artstore-daemon MainPID)" != "$process" ]
units stop artstore-daemon
[ "$(property artstore-daemon Result)" = success ]

say "its socket starts it"
units enable --quiet --now artstore-daemon.socket
[ "$(stat -c %a /run/user/1000/artstore /run/user/1000/artstore/daemon.sock | xargs)" = "700 600" ]
as_user /usr/lib/artstore/bin/python3 -I -c 'import socket
asked = socket.socket(socket.AF_UNIX)
asked.connect("/run/user/1000/artstore/daemon.sock")
asked.sendall(b"GET /healthz HTTP/1.1\r\nHost: artstore\r\nConnection: close\r\n\r\n")
print(asked.recv(4096).splitlines()[0].decode())'
units is-active artstore-daemon
as_user artstore watch now folder
units disable --quiet --now artstore-daemon.socket artstore-daemon

say "another store, with a blank in its name"
as_user artstore --store "$PWD/my store" init -q
instance=artstore-daemon@$(systemd-escape --path "$PWD/my store").service
units start "$instance"
as_user artstore --store "$PWD/my store" daemon status -q | grep -x "$(property "$instance" MainPID)"
units stop "$instance"

say "the mount"
units enable --quiet --now artstore-mount
as_user ls artstore/versions/folder
units disable --quiet --now artstore-mount
[ -z "$(as_user ls artstore)" ]

touch /passed
