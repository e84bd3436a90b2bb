# What a user does with the installed package; try.sh runs it in a fresh root, line by line, with bash -euo pipefail.
# shellcheck shell=bash
say() { printf '== %s\n' "$*"; }

say "the program"
artstore --version
artstore init
mkdir folder
head -c 3000000 /dev/urandom >folder/data
artstore commit folder -q
printf 'more\n' >folder/added
artstore commit folder -q
artstore list
artstore checkout folder/v2 out
diff -r folder out
artstore doctor

say "nothing of the user's gets into it"
mkdir wrong
printf 'raise SystemExit("the wrong module")\n' | tee wrong/artstore.py wrong/click.py >/dev/null
PYTHONPATH=$HOME/wrong artstore --version
PYTHONPATH=$HOME/wrong artstore daemon start
artstore daemon stop

say "what it was built with"
/usr/lib/artstore/bin/python3 -I - <<'PY'
import importlib, pkgutil
import boto3, lmdb, pyfuse3, trio
import artstore, artstore_daemon, artstore_fuse
from artstore.chunking import _gear

names = [module.name for package in (artstore_daemon, artstore_fuse)
         for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
for name in names:
    importlib.import_module(name)
print(f"{len(names)} modules of the rims are imported; the kernel is {_gear.__file__.rpartition('/')[2]}")
PY

say "the manual"
export MANWIDTH=80 MAN_DISABLE_SECCOMP=1
man artstore 2>&1 | sed -n '3,4p'
man artstore-commit 2>&1 | sed -n '3,7p'
man --whatis artstore-daemon

say "completion"
for file in bash-completion/completions/artstore zsh/vendor-completions/_artstore fish/vendor_completions.d/artstore.fish; do
    test -s "/usr/share/$file"
done
# shellcheck source=/dev/null
bash -c '. /usr/share/bash-completion/completions/artstore && complete -p artstore'
COMP_WORDS='artstore comm' COMP_CWORD=1 _ARTSTORE_COMPLETE=bash_complete artstore | grep commit

say "the units"
ls /usr/lib/systemd/user/artstore-*
grep -x 'Hidden=true' /etc/xdg/autostart/artstore-daemon.desktop

say "the mount"
if [ -w /dev/fuse ]; then
    artstore mount
    cmp artstore/versions/folder/v2/data folder/data
    ls artstore/versions/folder
    artstore umount
else
    echo "not tried: there is no /dev/fuse"
fi

say "the daemon"
artstore daemon --help | head -3
artstore watch add folder --settle 1s -q
artstore daemon start
artstore daemon status
printf 'again\n' >folder/again
for _ in $(seq 60); do
    artstore list -q | grep -q folder/v3 && break
    sleep 0.5
done
artstore list -q | grep -x folder/v3
artstore daemon stop
