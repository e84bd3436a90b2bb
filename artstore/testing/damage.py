"""Damages stores on purpose, and sees what can still be read of them."""

from __future__ import annotations

from pathlib import Path

from artstore.adapters.packs import pack_path
from artstore.errors import Corrupt
from artstore.model import Kind, PackKind
from artstore.store.context import Context
from artstore.store.objects import Objects
from artstore.store.read import open_file, walk


def pack_files(context: Context, kind: PackKind | None = None) -> list[Path]:
    """The files of the packs (of one kind) that the index knows, by number."""
    with context.index.read() as reader:
        rows = [row for row in reader.packs() if kind is None or row.kind is kind]
    return [Path(pack_path(context.path, row.id)) for row in rows]


def flip(path: Path, offset: int, mask: int = 0x01) -> None:
    """Change one byte of a file; the same again changes it back."""
    with path.open("r+b") as file:
        file.seek(offset)
        before = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([before ^ mask]))


def truncate(path: Path, size: int) -> None:
    """Cut a file off."""
    with path.open("r+b") as file:
        file.truncate(size)


def readable(context: Context, version: bytes) -> dict[bytes, bytes]:
    """The files of a version that can be read now, from disk; others are left out, and all behind a damaged page."""
    objects = Objects(context)
    found: dict[bytes, bytes] = {}
    try:
        for path, entry in walk(objects, objects.version(version).tree):
            if entry.kind in (Kind.FILE, Kind.EXEC):
                try:
                    found[path] = open_file(context, objects, entry.content, entry.size).read()
                except Corrupt:
                    continue
    except Corrupt:
        pass
    finally:
        objects.close()
    return found
