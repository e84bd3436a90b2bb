#!/usr/bin/env bash
# Puts `artstore` on PATH: an environment of its own in the user's data folder, and a link to its command.
# It stands beside the default store, never in it, so that removing the program can't remove data.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
environment=${XDG_DATA_HOME:-$HOME/.local/share}/artstore-program
bin=$HOME/.local/bin
link=$bin/artstore

if [ -e "$link" ] && [ "$(readlink "$link")" != "$environment/bin/artstore" ]; then
    printf '%s is there already and is not this program: move it away, then make install again.\n' "$link" >&2
    exit 1
fi
"$here/bootstrap.sh" install "$environment" "${1:-}"
mkdir -p "$bin"
ln -sfn "$environment/bin/artstore" "$link"
"$link" --version
# shellcheck disable=SC2016  # The line is for the reader's shell.
case :$PATH: in
    *:"$bin":*) ;;
    *) printf '%s is not on your PATH. Add this line to ~/.profile and log in again:\n  export PATH="%s:$PATH"\n' "$bin" "$bin" ;;
esac
