"""Packs made to harm who reads them: each is Corrupt or does no harm, and nothing is written outside of a destination.

Their ids and checksums are right: somebody who can write packs can compute them.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard

from artstore import limits
from artstore.errors import ArtstoreError, Corrupt
from artstore.format.codec import RAW, ZSTD
from artstore.format.frame import header
from artstore.format.ids import PLAIN
from artstore.format.pack import encode_tail
from artstore.format.version import encode_version
from artstore.model import (
    Content,
    Digest,
    Form,
    Kind,
    Metadata,
    ObjectKind,
    PackKind,
    TableEntry,
    Version,
)
from artstore.store.check import check
from artstore.store.checkout import checkout
from artstore.store.objects import Objects
from artstore.testing.damage import readable
from artstore.testing.local_store import Opened, create, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Opened]:
    """An empty store."""
    create(tmp_path / "store")
    with opened(tmp_path / "store") as store:
        yield store


class Forger:
    """Puts anything into packs, under true ids or false ones."""

    def __init__(self, store: Opened) -> None:
        self._store = store

    def pack(self, kind: PackKind, frames: list[tuple[TableEntry, bytes]]) -> int:
        """A pack of these frames, named in the index; offsets are filled in."""
        context = self._store.context
        with context.sessions.begin() as session:
            sink = context.packs.create(session.next_pack_id())
            table: list[TableEntry] = []
            for entry, stored in frames:
                head = header(entry.id, entry.stored, entry.raw, entry.codec, entry.flags)
                offset = sink.append([head, stored])
                table.append(TableEntry(entry.id, offset, entry.stored, entry.raw, entry.codec, entry.flags))
            sink.append([encode_tail(sink.id, kind, table)])
            sink.seal()
            with context.index.write() as writer:
                return writer.add_pack(sink.id, kind, size=sink.size, created=1, table=table)

    def put(self, kind: ObjectKind, data: bytes) -> Digest:
        """One object under its true id, stored raw."""
        id = PLAIN.of(kind, data)
        pack = PackKind.DATA if kind is ObjectKind.CHUNK else PackKind.META
        self.pack(pack, [(TableEntry(id, 0, len(data), len(data), RAW, int(kind)), data)])
        return id

    def version(self, tree: Digest, *, files: int, size: int) -> Digest:
        """A version of a tree that may be anything."""
        document = encode_version(Version(tree, [], 1, "evil", "", Metadata(), files, size), PLAIN)
        self.put(ObjectKind.VERSION, document.data)
        with self._store.context.index.write() as writer:
            writer.put_set(document.id, [row.number for row in writer.packs()])
        return document.id

    def tree(self, *entries: tuple[bytes, int, int, Content, int]) -> Digest:
        """A tree page of these entries, whatever they say."""
        return self.put(ObjectKind.TREE_PAGE, msgspec.msgpack.encode((1, 0, list(entries))))

    def file(self, data: bytes) -> Content:
        """A small file's content."""
        return Content(Form.CHUNK, self.put(ObjectKind.CHUNK, data))


@pytest.fixture
def forger(store: Opened) -> Forger:
    """Forges into that store."""
    return Forger(store)


NAMES = [b"..", b".", b"", b"a/b", b"../../evil", b"/etc/evil", b"a\0b", b"x" * 256]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_out(store: Opened, forger: Forger, tmp_path: Path, name: bytes) -> None:
    """A tree whose names climb out of the destination is Corrupt before anything is written, and a check says so."""
    tree = forger.tree((name, Kind.FILE, 4, forger.file(b"evil"), 1))
    version = forger.version(tree, files=1, size=4)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Corrupt):
        checkout(store.context, store.objects, tree, tmp_path / "out" / "dest")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path not in before]
    assert readable(store.context, version) == {}
    report = check(store.context, store.objects, data=True)
    assert [(hurt.version, hurt.path) for hurt in report.hurt] == [(version, b"")]


CONTRADICTIONS: dict[str, Callable[[Content], tuple[tuple[bytes, int, int, Content, int], ...]]] = {
    "unsorted": lambda c: ((b"b", Kind.FILE, 4, c, 1), (b"a", Kind.FILE, 4, c, 1)),
    "twice": lambda c: ((b"a", Kind.FILE, 4, c, 1), (b"a", Kind.SYMLINK, 1, Content(Form.SYMLINK, b"/"), 1)),
    "unknown kind": lambda c: ((b"a", 9, 4, c, 1),),
    "unknown form": lambda c: ((b"a", Kind.FILE, 4, Content(9, c.value), 1),),
    "negative size": lambda c: ((b"a", Kind.FILE, -1, c, 1),),
    "symlink with an empty target": lambda c: ((b"a", Kind.SYMLINK, 0, Content(Form.SYMLINK, b""), 1),),
    "folder as a chunk": lambda c: ((b"a", Kind.DIR, 4, c, 1),),
    "short id": lambda c: ((b"a", Kind.FILE, 4, Content(Form.CHUNK, c.value[:16]), 1),),
    "file that counts as many": lambda c: ((b"a", Kind.FILE, 4, c, 1000),),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_entries_that_contradict_themselves(store: Opened, forger: Forger, tmp_path: Path, case: str) -> None:
    """A page that no commit writes is Corrupt to everybody who reads it."""
    tree = forger.tree(*CONTRADICTIONS[case](forger.file(b"evil")))
    version = forger.version(tree, files=1, size=4)
    with pytest.raises(Corrupt):
        checkout(store.context, store.objects, tree, tmp_path / "dest")
    assert readable(store.context, version) == {}
    assert not check(store.context, store.objects, data=True).is_sound


@pytest.mark.plain("who has no key can't make such packs")
@pytest.mark.parametrize("claimed", [3, 5, 4096])
def test_file_sizes_that_lie(store: Opened, forger: Forger, tmp_path: Path, claimed: int) -> None:
    """A file that claims another size than its chunk has is Corrupt, and named by a check."""
    tree = forger.tree((b"a", Kind.FILE, claimed, forger.file(b"evil"), 1))
    version = forger.version(tree, files=1, size=claimed)
    with pytest.raises(Corrupt):
        checkout(store.context, store.objects, tree, tmp_path / "dest")
    assert readable(store.context, version) == {}
    assert [hurt.path for hurt in check(store.context, store.objects, data=True).hurt] == [b"a"]


@pytest.mark.plain("who has no key can't make such packs")
@pytest.mark.parametrize("sizes", [(4, 3), (4, 5), (3, 5), (4, 0), (4, 1 << 40)])
def test_recipes_that_lie(store: Opened, forger: Forger, tmp_path: Path, sizes: tuple[int, int]) -> None:
    """A recipe that lies about its chunks' sizes never makes a file of another length, or with bytes out of place."""
    chunk = forger.put(ObjectKind.CHUNK, b"evil")
    page = msgspec.msgpack.encode((1, 0, [(chunk, sizes[0]), (chunk, sizes[1])]))
    recipe = forger.put(ObjectKind.RECIPE_PAGE, page)
    size = sum(sizes)
    tree = forger.tree((b"a", Kind.FILE, size, Content(Form.RECIPE, recipe), 1))
    version = forger.version(tree, files=1, size=size)
    with pytest.raises(Corrupt):
        checkout(store.context, store.objects, tree, tmp_path / "dest")
    assert not (tmp_path / "dest" / "a").exists()
    assert readable(store.context, version) == {}
    assert [hurt.path for hurt in check(store.context, store.objects, data=True).hurt] == [b"a"]


@pytest.mark.plain("who has no key can't make such packs")
def test_zip_bomb(store: Opened, forger: Forger, tmp_path: Path) -> None:
    """A chunk of a few bytes that decompresses to gigabytes is refused within the memory that its size claims."""
    bomb = zstandard.ZstdCompressor(level=19, write_content_size=False).compress(bytes(256 * limits.MIB))
    forged = PLAIN.chunk(b"bomb")
    for raw in (4, limits.CHUNK_BYTES_MAX, limits.FRAME_RAW_BYTES_MAX):
        forger.pack(PackKind.DATA, [(TableEntry(forged, 0, len(bomb), raw, ZSTD, 0), bomb)])
    tree = forger.tree((b"a", Kind.FILE, limits.CHUNK_BYTES_MAX, Content(Form.CHUNK, forged), 1))
    version = forger.version(tree, files=1, size=limits.CHUNK_BYTES_MAX)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Corrupt):
        checkout(store.context, store.objects, tree, tmp_path / "dest")
    report = check(store.context, store.objects, data=True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 128 * limits.MIB
    assert not report.is_sound
    assert [(hurt.version, hurt.path) for hurt in report.hurt] == [(version, b"a")]


@pytest.mark.plain("who has no key can't make such packs")
def test_wrong_content_under_an_id(store: Opened, forger: Forger, tmp_path: Path) -> None:
    """Bytes under an id that isn't theirs are never handed out, and a good copy elsewhere serves instead."""
    wanted = b"what was committed"
    forged = TableEntry(PLAIN.chunk(wanted), 0, 4, 4, RAW, 0)
    forger.pack(PackKind.DATA, [(forged, b"evil")])
    tree = forger.tree((b"a", Kind.FILE, len(wanted), Content(Form.CHUNK, forged.id), 1))
    version = forger.version(tree, files=1, size=len(wanted))
    assert readable(store.context, version) == {}
    forger.put(ObjectKind.CHUNK, wanted)
    assert readable(store.context, version) == {b"a": wanted}
    report = check(store.context, store.objects, data=True)
    assert not report.is_sound
    assert not report.hurt


def test_page_passed_off_as_a_file(store: Opened, forger: Forger) -> None:
    """A user's file with the bytes of a tree page isn't taken for a folder."""
    inner = msgspec.msgpack.encode((1, 0, [(b"x", Kind.SYMLINK, 4, Content(Form.SYMLINK, b"/etc"), 1)]))
    chunk = forger.put(ObjectKind.CHUNK, inner)
    tree = forger.tree((b"d", Kind.DIR, 4, Content(Form.TREE, chunk), 1))
    version = forger.version(tree, files=1, size=4)
    assert readable(store.context, version) == {}
    assert not check(store.context, store.objects, data=True).is_sound


def test_deep_tree(store: Opened, forger: Forger, tmp_path: Path) -> None:
    """A tree of a thousand levels is Corrupt; nobody's stack or descriptors run out."""
    tree = forger.tree((b"a", Kind.FILE, 4, forger.file(b"evil"), 1))
    for _ in range(limits.PATH_DEPTH_MAX + 50):
        tree = forger.tree((b"d", Kind.DIR, 4, Content(Form.TREE, tree), 1))
    forger.version(tree, files=1, size=4)
    with pytest.raises(ArtstoreError):
        checkout(store.context, store.objects, tree, tmp_path / "dest")
    assert not check(store.context, store.objects, data=True).is_sound


def test_wide_lies_in_inner_pages(store: Opened, forger: Forger) -> None:
    """An inner page whose branches claim other counts than the pages below have is Corrupt, however it is reached."""
    content = forger.file(b"evil")
    leaf = forger.tree((b"a", Kind.FILE, 4, content, 1))
    other = forger.tree((b"b", Kind.FILE, 4, content, 1))
    for lie in ((b"a", leaf, 2, 4, 1), (b"a", leaf, 1, 5, 1), (b"a", leaf, 1, 4, 9), (b"a", other, 1, 4, 1)):
        page = msgspec.msgpack.encode((1, 1, [lie, (b"c", other, 1, 4, 1)]))
        root = forger.put(ObjectKind.TREE_PAGE, page)
        version = forger.version(root, files=lie[4] + 1, size=lie[3] + 4)
        objects = Objects(store.context)
        assert readable(store.context, version) == {}
        report = check(store.context, objects, data=True)
        assert version in {hurt.version for hurt in report.hurt}
