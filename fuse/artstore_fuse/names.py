"""The names of a store as folders: which tags, aliases and versions stand where, at one moment. Pure.

versions/<tag>     a version
aliases/<alias>    a symbolic link to the version's tag, else to its id; `<artifact>/latest` likewise
ids/<version id>   every version that has a name here
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from artstore.model import Tag
from artstore.revision import LATEST, artifact_of

VERSIONS: Final = b"versions"
ALIASES: Final = b"aliases"
IDS: Final = b"ids"
Path = tuple[bytes, ...]
"""Names below the mount, from its top."""


@dataclass(frozen=True, slots=True)
class VersionName:
    """A name of a version."""

    version: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link; `time`: when it was last made to lead elsewhere, ns."""

    target: bytes
    time: int


@dataclass(slots=True)
class Folder:
    """Names, sorted once all are there. `time`: of the newest change below it, ns."""

    names: dict[bytes, Folder | VersionName | Link] = field(default_factory=lambda: {})
    time: int = 0


Place = Folder | VersionName | Link


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An alias as it stands; `time`: of its last move, ns."""

    name: str
    version: bytes
    time: int


def arrange(tags: Iterable[Tag], aliases: Iterable[AliasRow], pattern: str = "*") -> Folder:
    """The folders of all names that fit the pattern (`*`, `?`, `[…]`; `*` spans `/`)."""
    shown = [tag for tag in tags if fnmatchcase(tag.name, pattern)]
    newest = _newest(shown)
    root = Folder()
    versions, links, ids = Folder(), Folder(), Folder()
    root.names = {VERSIONS: versions, ALIASES: links, IDS: ids}
    by_version: dict[bytes, list[Tag]] = {}
    for tag in shown:
        by_version.setdefault(tag.version, []).append(tag)
        _put(versions, tag.name, VersionName(tag.version), tag.created)
    moving = [row for row in aliases if fnmatchcase(row.name, pattern)]
    moving += [AliasRow(f"{artifact}/{LATEST}", tag.version, tag.created) for artifact, tag in newest.items()]
    for row in moving:
        target = _target(row, by_version.get(row.version, []))
        _put(links, row.name, Link(target, row.time), row.time)
    for version in {*by_version, *(row.version for row in moving)}:
        ids.names[version.hex().encode()] = VersionName(version)
    root.time = ids.time = max(versions.time, links.time)
    _sort(root)
    return root


def differences(before: Folder, after: Folder, path: Path = ()) -> Iterator[tuple[Path, bytes]]:
    """(folder's path, name) of each name that came, went or leads elsewhere; of what is gone only the top."""
    for name in before.names.keys() | after.names.keys():
        old, new = before.names.get(name), after.names.get(name)
        if isinstance(old, Folder) and isinstance(new, Folder):
            yield from differences(old, new, (*path, name))
        elif old != new:
            yield path, name


def _newest(tags: Iterable[Tag]) -> Mapping[str, Tag]:
    """The newest tag of each artifact."""
    found: dict[str, Tag] = {}
    for tag in tags:
        artifact = artifact_of(tag.name)
        best = found.get(artifact)
        if best is None or (tag.created, tag.name) > (best.created, best.name):
            found[artifact] = tag
    return found


def _target(row: AliasRow, tags: list[Tag]) -> bytes:
    """Where an alias leads, from where it stands: the version's newest tag, of its own artifact if there is one."""
    up = "../" * (row.name.count("/") + 1)
    if not tags:
        return f"{up}{IDS.decode()}/{row.version.hex()}".encode()
    artifact = artifact_of(row.name)
    best = max(tags, key=lambda tag: (artifact_of(tag.name) == artifact, tag.created, tag.name))
    return f"{up}{VERSIONS.decode()}/{best.name}".encode()


def _put(folder: Folder, name: str, place: VersionName | Link, time: int) -> None:
    """Make a name, and the folders above it. A name can't be a folder as well; if a store has such, the first stays."""
    *above, last = name.encode().split(b"/")
    folder.time = max(folder.time, time)
    for part in above:
        inner = folder.names.setdefault(part, Folder())
        if not isinstance(inner, Folder):
            return
        folder = inner
        folder.time = max(folder.time, time)
    folder.names.setdefault(last, place)


def _sort(folder: Folder) -> None:
    folder.names = dict(sorted(folder.names.items()))
    for place in folder.names.values():
        if isinstance(place, Folder):
            _sort(place)
