"""What requirements.lock says of some packages, in forms that pip takes; knows the lock's form and nothing else.

locked.py pins LOCK            every version, as constraints
locked.py only LOCK NAME...    these packages alone, with their hashes
locked.py report LOCK REPORT   the packages that a report of pip's names (`pip install --report`), with their hashes
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_BLOCK: Final = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)
_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==(\S+)(?: *;([^\\\n]*[^\\\s]))?")


class Unlocked(Exception):
    """A package is wanted that the lock doesn't have; its text names it and says what to do."""


def blocks(lock: str) -> list[tuple[str, re.Match[str], str]]:
    """Each pin: the package's normal name, its parts, its lines. A package may have several, told apart by markers."""
    found: list[tuple[str, re.Match[str], str]] = []
    for block in _BLOCK.split(lock)[1:]:
        pin = _PIN.match(block)
        assert pin is not None, block
        found.append((normal(pin[1]), pin, block))
    return found


def pins(lock: str) -> str:
    """The versions without their hashes; a constraint, unlike a requirement, installs nothing."""
    return "".join(f"{pin[1]}=={pin[2]}" + (f" ;{pin[3]}" if pin[3] else "") + "\n" for _, pin, _ in blocks(lock))


def only(lock: str, names: Iterable[str]) -> str:
    """The lock with these packages alone. Unlocked if one isn't there."""
    wanted = {normal(name) for name in names}
    taken = [(name, block) for name, _, block in blocks(lock) if name in wanted]
    missing = sorted(wanted - {name for name, _ in taken})
    if missing:
        raise Unlocked(f"requirements.lock has no {', '.join(missing)}: `make lock` writes it anew")
    return "".join(block for _, block in taken)


def reported(report: dict[str, Any]) -> list[str]:
    """The names in a report of pip's, but those that it was given as a file."""
    # Any: JSON, of which two fields are read.
    return [item["metadata"]["name"] for item in report["install"] if not item["is_direct"]]


def normal(name: str) -> str:
    """A package's name as the lock and the index write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: list[str]) -> str:
    """What one command line asks for."""
    match arguments:
        case ["pins", lock]:
            return pins(Path(lock).read_text(encoding="utf-8"))
        case ["only", lock, *names] if names:
            return only(Path(lock).read_text(encoding="utf-8"), names)
        case ["report", lock, report]:
            names = reported(json.loads(Path(report).read_text(encoding="utf-8")))
            return only(Path(lock).read_text(encoding="utf-8"), names)
        case _:
            sys.exit("usage: locked.py pins LOCK | only LOCK NAME... | report LOCK REPORT")


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]), end="")
    except Unlocked as error:
        sys.exit(str(error))
