"""What every place for packs promises (artstore.ports.PackFiles): one suite; a folder, sealed or not, and a double."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from artstore import limits
from artstore.adapters.packs import FilePacks
from artstore.errors import Corrupt
from artstore.model import PackId
from artstore.ports import PackFiles
from artstore.store.room import Room
from artstore.store.sealed import SealedPacks
from artstore.testing import MemoryPacks
from artstore.testing.sealing import keychain

PACK = PackId(bytes.fromhex("ab") + bytes(15))
OTHER = PackId(bytes.fromhex("abff") + bytes(14))


@pytest.fixture(params=["folder", "memory", "sealed"])
def packs(request: pytest.FixtureRequest, tmp_path: Path) -> PackFiles:
    if request.param == "memory":
        return MemoryPacks()
    for name in ("packs", "tmp"):
        (tmp_path / name).mkdir()
    folder = FilePacks(str(tmp_path))
    return folder if request.param == "folder" else SealedPacks(folder, keychain())


def room(size: int) -> memoryview:
    return Room().take(size)


def sealed(packs: PackFiles, pack: PackId, data: bytes) -> None:
    sink = packs.create(pack)
    sink.append([data])
    sink.seal()


def test_what_was_appended_is_read(packs: PackFiles) -> None:
    """A chunk would be read from another place than it was written to."""
    sink = packs.create(PACK)
    assert (sink.id, sink.size) == (PACK, 0)
    assert sink.append([b"ab", bytearray(b"cd"), memoryview(b"ef")]) == 0
    assert sink.append([]) == 6
    sink.flush()
    assert sink.append([b"", b"gh"]) == 6
    assert sink.size == 8
    assert packs.size(PACK) is None
    sink.seal()
    assert packs.size(PACK) == 8
    assert packs.read(PACK, 0, 8) == b"abcdefgh"
    assert packs.read(PACK, 3, 2) == b"de"
    assert packs.read(PACK, 8, 0) == b""
    assert bytes(packs.read_range(PACK, 4, 4, room(4), once=False)) == b"efgh"


@pytest.mark.parametrize("once", [False, True])
def test_long_ranges(packs: PackFiles, once: bool) -> None:
    """What is read past the page cache would be another part of the pack, or lack its last bytes."""
    data = Random(7).randbytes(limits.DIRECT_BLOCK_BYTES + 100_001)
    sealed(packs, PACK, data)
    shortest = limits.READ_DIRECT_BYTES_MIN
    for offset, size in ((0, len(data)), (0, shortest), (4096, shortest), (4095, shortest + 1), (1, len(data) - 1)):
        assert packs.read_range(PACK, offset, size, room(size), once=once) == data[offset : offset + size]
        assert packs.read_range(PACK, offset, size, room(size), once=once) == data[offset : offset + size]
    with pytest.raises(Corrupt):
        packs.read_range(PACK, 1, len(data), room(len(data)), once=once)
    with pytest.raises(Corrupt):
        packs.read_range(OTHER, 0, shortest, room(shortest), once=once)


def test_one_read_into_many_places(packs: PackFiles) -> None:
    """A chunk would be read to another's place, or end before its time where the pack does."""
    data = Random(8).randbytes(100_000)
    sealed(packs, PACK, data)
    buffers = [memoryview(bytearray(size)) for size in (1, 0, 4096, 50_000, 3)]
    packs.read_into(PACK, 7, buffers)
    assert b"".join(buffers) == data[7 : 7 + 54_100]
    packs.read_into(PACK, 0, [])
    for pack, offset in ((PACK, len(data) - 50_000), (OTHER, 0)):
        with pytest.raises(Corrupt):
            packs.read_into(pack, offset, buffers)


def test_more_buffers_than_one_call_takes(packs: PackFiles) -> None:
    """A pack of many small files would lack its end."""
    buffers = [number.to_bytes(4, "big") for number in range(5000)]
    sink = packs.create(PACK)
    assert sink.append(buffers) == 0
    assert sink.append([b"end"]) == 20_000
    sink.seal()
    assert packs.read(PACK, 0, 20_003) == b"".join(buffers) + b"end"


def test_what_is_not_there_is_corrupt(packs: PackFiles) -> None:
    """A deleted or truncated pack would be read as something else than damage [I5]."""
    sealed(packs, PACK, b"abcd")
    for pack, offset, size in ((OTHER, 0, 1), (PACK, 0, 5), (PACK, 4, 1), (PACK, 100, 1)):
        with pytest.raises(Corrupt) as caught:
            packs.read(pack, offset, size)
        assert caught.value.pack == pack.hex()
        with pytest.raises(Corrupt):
            packs.read_range(pack, offset, size, room(size), once=True)


def test_an_aborted_pack_is_gone(packs: PackFiles) -> None:
    """A failed commit would leave a pack that looks whole."""
    sink = packs.create(PACK)
    sink.append([b"abcd"])
    sink.abort()
    sink.abort()
    assert packs.size(PACK) is None
    assert list(packs.list()) == []
    sealed(packs, PACK, b"x")
    assert list(packs.list()) == [(PACK, 1)]


def test_packs_are_listed(packs: PackFiles) -> None:
    """`check --rebuild-index` would miss a pack."""
    assert list(packs.list()) == []
    sealed(packs, PACK, b"abcd")
    sealed(packs, OTHER, b"x")
    packs.create(PackId(b"\1" * 16)).append([b"open"])
    assert sorted(packs.list()) == [(PACK, 4), (OTHER, 1)]


def test_a_deleted_pack_is_gone(packs: PackFiles) -> None:
    """Collection would free nothing, or could not be run again."""
    sealed(packs, PACK, b"abcd")
    assert packs.read(PACK, 0, 1) == b"a"
    packs.delete(PACK)
    packs.delete(PACK)
    assert packs.size(PACK) is None
    with pytest.raises(Corrupt):
        packs.read(PACK, 0, 1)
