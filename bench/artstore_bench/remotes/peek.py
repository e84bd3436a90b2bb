"""A little of a big file, read through artstore's Python interface. Run as a process of its own.

`STORE REVISION PATH OFFSET SIZE`; prints the SHA-256 of what was read. Credentials come from the environment.
"""

from __future__ import annotations

import hashlib
import sys


def main(store: str, revision: str, path: str, offset: str, size: str) -> None:
    """Read it."""
    from artstore import Store

    with Store.open(store) as opened, opened.open(revision, path) as file:
        file.seek(int(offset))
        sys.stdout.write(hashlib.sha256(file.read(int(size))).hexdigest() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
