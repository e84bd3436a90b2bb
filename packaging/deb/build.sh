#!/usr/bin/env bash
# Builds artstore_VERSION_ARCH.deb from this working copy: build.sh [FOLDER]; the folder is dist unless named.
#
# The package holds a virtual environment of its own in /usr/lib/artstore, with the lock's versions of all it needs, for the
# Python of the distribution that it is built on: compiled modules (lmdb, msgspec, pyfuse3 and others) fit one minor version
# of Python. So its dependencies name that one, and each release of Debian or Ubuntu gets a package of its own. Files carry
# the time of the last commit, or $SOURCE_DATE_EPOCH: who builds one commit twice gets one package.
set -euo pipefail
shopt -s inherit_errexit  # else a step that fails within $(...) is passed over, and half a package is built
umask 022
unset PYTHONPATH PYTHONHOME  # of whoever builds; none of it belongs into the package

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/dist}
python=/usr/bin/python3
program=usr/lib/artstore
maintainer="${DEBFULLNAME:-artstore} <${DEBEMAIL:-artstore@localhost}>"

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# What the build needs and this machine lacks, by the names of Debian's packages.
missing_packages() {
    command -v dpkg-shlibdeps >/dev/null || echo dpkg-dev
    command -v strip >/dev/null || echo binutils
    command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
    [ -x "$python" ] || echo python3
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null || echo python3-dev
    pkg-config --exists fuse3 2>/dev/null || printf '%s\n' libfuse3-dev pkg-config
}

install_missing() {
    local -a packages
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -gt 0 ] || return 0
    say "apt-get install --no-install-recommends ${packages[*]}"
    command -v apt-get >/dev/null || die "There is no apt-get: the package is built on Debian or Ubuntu."
    [ "$(id -u)" = 0 ] || die "These are missing. Run that line as root, then this again."
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
}

# A version of Python's form in Debian's, where a tilde sorts before everything: 0.1.0.dev0 comes before 0.1.0.
debian_version() { sed -E 's/\.?(dev|a|b|rc)([0-9]+)/~\1\2/' <<<"$1"; }

build_environment() {
    local stage=$1 site=$1/$program/lib/$interpreter/site-packages
    mkdir -p "$stage/$program/bin" "$site"
    "$root/packaging/runtime.sh" "$python" "$site"
    ln -s "/usr/bin/$interpreter" "$stage/$program/bin/python3"
    printf '%s\n' "home = /usr/bin" "include-system-site-packages = false" "version = ${interpreter#python}" \
        >"$stage/$program/pyvenv.cfg"
    # -I: neither $PYTHONPATH nor packages in the user's home come before those that were built in.
    printf '%s\n' "#!/$program/bin/python3 -I" "import sys" "" "from artstore.cli import main" "" "sys.exit(main())" \
        >"$stage/$program/bin/artstore"
    chmod 755 "$stage/$program/bin/artstore"
    # Compiled here, since nobody but root may write there. A package's files change only with it: no look at the source.
    "$python" -I -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$stage" -p / "$site"
}

install_files() {
    local stage=$1 share=$1/usr/share document=$1/usr/share/doc/artstore shell
    local staged=("$stage/$program/bin/python3" -I -B)
    mkdir -p "$stage"/usr/{bin,lib/systemd/user} "$stage/etc/xdg/autostart" "$document/docs" "$document/examples" \
        "$share"/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d,man/man1}
    ln -s "../lib/artstore/bin/artstore" "$stage/usr/bin/artstore"

    SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH "${staged[@]}" "$root/packaging/man.py" "$share/man/man1" >/dev/null
    gzip -9n "$share"/man/man1/*.1
    for shell in bash:bash-completion/completions/artstore zsh:zsh/vendor-completions/_artstore \
        fish:fish/vendor_completions.d/artstore.fish; do
        "${staged[@]}" -m artstore completion "${shell%%:*}" >"$share/${shell#*:}"
    done
    for unit in "$root"/packaging/systemd/*; do
        sed 's|%h/.local/bin/artstore|/usr/bin/artstore|' "$unit" >"$stage/usr/lib/systemd/user/$(basename "$unit")"
    done
    cp "$root/packaging/autostart/artstore-daemon.desktop" "$stage/etc/xdg/autostart/"

    cp "$root/README.md" "$root/CHANGELOG.md" "$document/"
    cp "$root"/docs/*.md "$document/docs/"
    cp -r "$root/packaging/iam" "$document/examples/"
    "$python" -I "$here/copyright.py" "$stage/$program/lib/$interpreter/site-packages" >"$document/copyright"
    printf '%s\n' "artstore ($package_version) unstable; urgency=medium" "" "  * See CHANGELOG.md." "" \
        " -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$document/changelog.gz"
}

# What the compiled modules link to, with the versions that have it: libc6, libfuse3-3 and so on.
library_dependencies() {
    local stage=$1 asked=$2
    mkdir -p "$asked/debian"
    printf '%s\n' "Source: artstore" "" "Package: artstore" "Architecture: any" >"$asked/debian/control"
    (cd "$asked" && find "$stage" -name '*.so' -exec dpkg-shlibdeps -O --ignore-missing-info {} + 2>"$asked/log") |
        sed 's/^shlibs:Depends=//' || { cat "$asked/log" >&2; return 1; }
}

# As dpkg-gencontrol counts it: files by whole KiB, all else as one.
installed_kib() {
    find "$1" -mindepth 1 -path "$1/DEBIAN" -prune -o -printf '%y %s\n' |
        awk '{ kib += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print kib }'
}

write_control() {
    local stage=$1 libraries=$2 minor=${interpreter##*.}
    mkdir "$stage/DEBIAN"
    cat >"$stage/DEBIAN/control" <<CONTROL
Package: artstore
Version: $package_version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(installed_kib "$stage")
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), fuse3, $libraries
Suggests: bash-completion
Section: utils
Priority: optional
Description: versions of large datasets and models
 Folders and files of any size become versions, in which nothing is stored twice
 and every byte is verified when it is read. Names move, with their history;
 versions travel to and from S3 and folders, and are mounted as folders.
CONTROL
    printf '/etc/xdg/autostart/artstore-daemon.desktop\n' >"$stage/DEBIAN/conffiles"
    install -m 755 "$here/postinst" "$stage/DEBIAN/postinst"
    (cd "$stage" && find . -type f -not -path './DEBIAN/*' -not -path './etc/*' -printf '%P\0' | LC_ALL=C sort -z |
        xargs -0 md5sum >DEBIAN/md5sums)
}

install_missing
interpreter=$("$python" -c 'import sys
sys.version_info >= (3, 11) or sys.exit("artstore needs Python 3.11 or newer: Debian 12, Ubuntu 24.04 and later have it")
print("python%d.%d" % sys.version_info[:2])')
[ -x "/usr/bin/$interpreter" ] || die "There is no /usr/bin/$interpreter: $python is not the distribution's own."
: "${SOURCE_DATE_EPOCH:=$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/CHANGELOG.md")}"
export SOURCE_DATE_EPOCH
architecture=$(dpkg --print-architecture)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage
mkdir "$stage"
version=$(build_environment "$stage")
package_version=$(debian_version "$version")+py${interpreter//[a-z.]/}
install_files "$stage"
libraries=$(library_dependencies "$stage" "$work/asked")
[ -n "$libraries" ] || die "The compiled modules seem to need no library, which can't be."
chmod -R u=rwX,go=rX "$stage"  # whatever the umask was that this copy was checked out with
write_control "$stage" "$libraries"
find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$out"
built=$out/artstore_${package_version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$stage" "$built" >/dev/null
printf '%s\n' "$built"
