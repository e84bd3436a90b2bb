"""Folders of files on disk: written with a manifest, compared with it, and switched from one version to the next.

Knows nothing of what the files hold, nor of the tools that are measured.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

_READ_BYTES: Final = 1 << 20


class FileRow(msgspec.Struct, frozen=True):
    """One regular file: its path below the tree, its size, when it was written, the SHA-256 of its bytes."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The files of one tree, sorted by path."""

    files: tuple[FileRow, ...]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(row.size for row in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents, in the format of `sha256sum`."""
        whole = hashlib.sha256()
        for row in self.files:
            whole.update(f"{row.sha256}  {row.path}\n".encode())
        return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """What files take: blocks on disk (as `du`), and their lengths (as `du --apparent-size`)."""

    allocated_bytes: int
    apparent_bytes: int


def write_file(root: Path, path: str, blocks: Iterable[bytes]) -> FileRow:
    """Write one file below `root` and describe it."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        for block in blocks:
            file.write(block)
            sha256.update(block)
            size += len(block)
    return FileRow(path, size, target.stat().st_mtime_ns, sha256.hexdigest())


def describe(root: Path) -> Manifest:
    """What lies below; reads everything."""
    rows = (FileRow(path, status.st_size, status.st_mtime_ns, _sha256(root / path)) for path, status in walk(root))
    return Manifest(tuple(sorted(rows, key=lambda row: row.path)))


def link(source: Path, target: Path, manifest: Manifest) -> None:
    """The same files in another folder, by the same inodes: what changes one there has to write it aside."""
    for row in manifest.files:
        (target / row.path).parent.mkdir(parents=True, exist_ok=True)
        os.link(source / row.path, target / row.path)


def is_untouched(root: Path, manifest: Manifest) -> bool:
    """Whether names, sizes and times are what the manifest says; reads no content."""
    found = dict(walk(root))
    return len(found) == len(manifest.files) and all(
        row.path in found and (found[row.path].st_size, found[row.path].st_mtime_ns) == (row.size, row.mtime_ns)
        for row in manifest.files
    )


def differences(root: Path, manifest: Manifest) -> list[str]:
    """Paths that are missing, superfluous or of other content than the manifest says; reads everything."""
    found = {path for path, _ in walk(root)}
    expected = {row.path: row for row in manifest.files}
    wrong = found ^ expected.keys()
    for path in sorted(found & expected.keys()):
        row = expected[path]
        if (root / path).stat().st_size != row.size or _sha256(root / path) != row.sha256:
            wrong.add(path)
    return sorted(wrong)


def switch(live: Path, *, target: Path, manifest: Manifest, before: Manifest | None) -> None:
    """Make `live` equal to the tree at `target`, leaving alone what it shares with `before`, as a user's edit would.

    A file of unchanged path and content keeps its inode and its times, so that every tool's stat cache may use them;
    a changed one is written aside and renamed, as editors and training scripts do.
    """
    held = {row.path: row.sha256 for row in before.files} if before else {}
    if before is None:
        shutil.rmtree(live, ignore_errors=True)
    wanted = {row.path for row in manifest.files}
    for path in held.keys() - wanted:
        (live / path).unlink()
    for row in manifest.files:
        if held.get(row.path) == row.sha256:
            continue
        destination = live / row.path
        destination.parent.mkdir(parents=True, exist_ok=True)
        aside = destination.with_name(destination.name + ".aside")
        shutil.copyfile(target / row.path, aside)
        aside.replace(destination)
    _remove_empty_folders(live)


def warm(roots: Sequence[Path]) -> None:
    """Read every file below, so that it lies in the page cache."""
    buffer = bytearray(_READ_BYTES)
    for root in roots:
        for path, _ in walk(root):
            with (root / path).open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def usage(roots: Sequence[Path]) -> Usage:
    """Space taken below the roots, folders included; a file of several names counts once."""
    allocated = apparent = 0
    seen: set[tuple[int, int]] = set()
    for path in _everything(roots):
        status = path.lstat()
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            allocated += status.st_blocks * 512
            apparent += status.st_size
    return Usage(allocated, apparent)


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each regular file below: its path relative to `root`, and its status. A root that is a file is itself, `.`."""
    if root.is_file():
        yield ".", root.stat()
        return
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(root)), path.stat()


def _everything(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        if root.exists():
            yield root
        for folder, folders, names in os.walk(root):
            for name in (*folders, *names):
                yield Path(folder, name)


def _remove_empty_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        path = Path(folder)
        if path != root and not any(path.iterdir()):
            path.rmdir()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
