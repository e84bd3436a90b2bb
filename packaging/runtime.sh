#!/usr/bin/env bash
# Installs artstore and all that it needs at run time into a folder, for the .deb and the container:
# runtime.sh PYTHON FOLDER
#
# The wheel is built from this working copy. Which packages it needs (extras mount, s3, daemon and encrypt) pip resolves within the
# lock's versions; what is installed has to have the lock's hashes. Needs a C compiler, Python's headers and libfuse3-dev.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${1:?usage: runtime.sh PYTHON FOLDER}
folder=$(realpath -m "${2:?usage: runtime.sh PYTHON FOLDER}")
lock=$here/requirements.lock
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tool=$work/tool/bin/python
source=$work/source

# No debugging information: it holds the paths of this build.
export CFLAGS="${CFLAGS:-} -g0"

locked() { "$tool" "$here/packaging/locked.py" "$@"; }
pip() { "$tool" -m pip --disable-pip-version-check "$@"; }

"$python" -m venv "$work/tool"
locked pins "$lock" >"$work/pins.txt"
locked only "$lock" setuptools >"$work/setuptools.txt"
pip install -qq --require-hashes --no-deps -r "$work/setuptools.txt"

# Into folders of its own: what an earlier build left in build/ would be packed too.
mkdir "$source"
(cd "$here" && cp -r pyproject.toml README.md LICENSE artstore fuse daemon bench "$source/")
find "$source" \( -name '*.so' -o -name '*.egg-info' -o -name __pycache__ -o -name results \) -prune -exec rm -rf {} +
(cd "$source" && "$tool" -c 'from setuptools import build_meta as b; b.build_wheel("dist")' >"$work/log" 2>&1) ||
    { cat "$work/log" >&2; exit 1; }
wheel=$(ls "$source"/dist/artstore-*.whl)
version=$(basename "$wheel" | cut -d - -f 2)

pip install -qq --dry-run --ignore-installed --report "$work/report.json" -c "$work/pins.txt" "${wheel}[mount,s3,daemon,encrypt]"
{
    locked report "$lock" "$work/report.json"
    # By name and hash, not by path: pip would note the path of this build.
    printf 'artstore==%s --hash=sha256:%s\n' "$version" "$(sha256sum "$wheel" | cut -d ' ' -f 1)"
} >"$work/wanted.txt"
pip install -qq --require-hashes --no-deps --no-compile --find-links "$source/dist" --target "$folder" -r "$work/wanted.txt"
# The packages' own commands go, and their lines in the lists of files: they name this build's Python.
rm -rf "${folder:?}/bin"
find "$folder" -path '*.dist-info/RECORD' -exec sed -i '\|^\.\./\.\./bin/|d' {} +
find "$folder" -name '*.so' -exec strip --strip-unneeded {} +
printf '%s\n' "$version"
