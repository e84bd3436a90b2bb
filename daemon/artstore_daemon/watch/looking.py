"""Looks at a watched folder: has it changed since the last look, who writes there, is it there at all?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Final

from artstore import limits, wiring

_WRITING: Final = os.O_WRONLY | os.O_RDWR
_SHARED: Final = re.compile(rb"^\S+ .w.s \S+ \S+ \S+\s+(/.*)$", re.MULTILINE)
_MOUNTINFO: Final = "/proc/self/mountinfo"
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
PROC: Final = "/proc"


def signatures(root: str) -> dict[bytes, bytes] | None:
    """By the name of each entry of a folder, a digest of names, sizes, times and inodes of it and all below it; None if
    there is no folder. What can't be read counts as it is listed.
    """
    try:
        entries = _listed(os.fsencode(root))
    except OSError:
        return None
    return {entry.name: _signature(entry) for entry in entries}


def _signature(top: os.DirEntry[bytes]) -> bytes:
    digest = blake2b(digest_size=16)
    left = [top]
    while left:
        entry = left.pop()
        with suppress(OSError):  # gone again: so there will be a change
            stat = entry.stat(follow_symlinks=False)
            said = (stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            digest.update(b"%s\0%d %d %d %d %d\n" % (entry.path, *said))
            if entry.is_dir(follow_symlinks=False):
                left += _listed(entry.path)
    return digest.digest()


def _listed(path: bytes) -> list[os.DirEntry[bytes]]:
    with os.scandir(path) as listed:
        return sorted(listed, key=lambda entry: entry.name)


def written_now(root: str) -> set[bytes]:
    """Files below a folder that other processes have open for writing, or mapped so, as far as this user may see.

    A file that is written through a descriptor that was passed around, or on another machine, isn't seen.
    """
    inside = os.path.join(os.fsencode(os.path.realpath(root)), b"")
    found: set[bytes] = set()
    for process in _processes():
        found.update(path for path in _open_for_writing(process) if path.startswith(inside))
        with suppress(OSError), open(f"{PROC}/{process}/maps", "rb") as file:
            maps = file.read()
            if inside in maps:
                found.update(path for path in _SHARED.findall(maps) if path.startswith(inside))
    return {path for path in found if not path.endswith(b" (deleted)")}


def parts_of(root: str, each: str | None) -> list[str]:
    """What of a watched folder becomes versions: "" for itself, or the names of its sub-folders like `each`."""
    if each is None:
        return [""]
    try:
        with os.scandir(root) as entries:
            found = [
                entry.name for entry in entries if fnmatchcase(entry.name, each) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
    return sorted(found)[: limits.WATCH_PARTS_MAX]


def why_polled(root: str) -> str | None:
    """Why a folder has to be looked through again and again; None: the system tells of changes."""
    kind = wiring.file_system_of(root)
    if wiring.is_told_of_changes(kind):
        return None
    return f"the system isn't told of what other machines change there ({kind})"


def mount_point_of(path: str) -> str:
    """Where the file system is mounted that a path, or its nearest parent that is there, lies on."""
    folder = os.path.realpath(path)
    best = "/"
    with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4])
            inside = folder == point or folder.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best = point
    return best


def _processes() -> Iterator[int]:
    own = os.getpid()
    for name in os.listdir(PROC):
        if name.isdigit() and int(name) != own:
            yield int(name)


def _open_for_writing(process: int) -> Iterator[bytes]:
    folder = f"{PROC}/{process}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:  # another user's, or gone
        return
    for number in numbers:
        with suppress(OSError):
            path = os.fsencode(os.readlink(f"{folder}/{number}"))
            if path.startswith(b"/") and _flags(process, number) & _WRITING:
                yield path


def _flags(process: int, number: str) -> int:
    with open(f"{PROC}/{process}/fdinfo/{number}", encoding="ascii") as file:
        for line in file:
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return 0
