#!/usr/bin/env bash
# Builds the wheel and the sdist, and tries both where the checkout can't be seen: smoke.sh PYTHON
#
# What an editable install hides: a file missing from the wheel, a kernel not built, a dependency not declared.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$here/${1:?usage: smoke.sh PYTHON}
work=$(mktemp -d)
source=$work/source  # apart from where it is tried: Python looks for modules where it stands
trap 'rm -rf "$work"' EXIT

# The daemon's command is there in any case, and says what it lacks; with its extras all of its modules are imported.
try_daemon() {
    local bin=$1 built=$2
    if ! "$bin/artstore" daemon --help >/dev/null 2>&1; then
        echo "skipped: there is no \`artstore daemon\` in $(basename "$built")"
        return
    fi
    { "$bin/artstore" daemon status 2>&1 || true; } | grep -q "pip install 'artstore\[daemon\]'"
    "$bin/python" -m pip install -qq "${built}[daemon,s3,encrypt]"
    "$bin/python" - <<'PY'
import importlib, pkgutil
import artstore_daemon
for module in pkgutil.walk_packages(artstore_daemon.__path__, "artstore_daemon."):
    importlib.import_module(module.name)
PY
    { "$bin/artstore" daemon status || true; } | grep -q "artstore daemon start"
    echo "the daemon of $(basename "$built") has all that it imports"
}

try() {
    local built=$1 environment=$work/environment
    rm -rf "$work/try" && mkdir "$work/try"
    "$python" -m venv --clear "$environment"
    "$environment/bin/python" -m pip install -qq "$built"
    cd "$work/try"
    mkdir folder
    printf 'some data\n' >folder/file
    export ARTSTORE_HOME=$work/store-${built##*.}
    "$environment/bin/artstore" --version
    "$environment/bin/artstore" commit folder -q
    "$environment/bin/artstore" cat folder/v1:file | cmp - folder/file
    "$environment/bin/artstore" check --data -q
    { "$environment/bin/artstore" mount here 2>&1 || true; } | grep -q "pip install 'artstore\[mount\]'"
    try_daemon "$environment/bin" "$built"
    "$environment/bin/python" - <<'PY'
import importlib.resources as resources
import artstore_daemon, artstore_fuse
from artstore.chunking import _gear
assert resources.files("artstore").joinpath("py.typed").is_file()
assert resources.files("artstore.chunking").joinpath("_gear.pyi").is_file()
assert _gear.__file__.endswith(".abi3.so"), _gear.__file__
PY
    cd "$here"
}

cd "$here"
# Into folders of its own: what an earlier build left in build/ would be packed too.
mkdir "$source"
cp -r pyproject.toml README.md LICENSE CHANGELOG.md artstore fuse daemon bench "$source/"
find "$source" \( -name '*.so' -o -name '*.egg-info' -o -name __pycache__ \) -prune -exec rm -rf {} +
mkdir -p dist
(cd "$source" && "$python" -c 'from setuptools import build_meta as b; b.build_sdist("dist"); b.build_wheel("dist")' >"$work/log" 2>&1) ||
    { cat "$work/log" >&2; exit 1; }
ls -1 "$source/dist"
case $(ls "$source"/dist/*.whl) in
    *-cp311-abi3-linux_*) ;;
    *) echo "the wheel is not for every Python from 3.11" >&2; exit 1 ;;
esac
cp "$source"/dist/* dist/
for built in "$source"/dist/*; do try "$built"; done
