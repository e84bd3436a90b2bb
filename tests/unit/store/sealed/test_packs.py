"""Packs sealed on disk: nothing legible lies there, damage is told, and no nonce is ever used twice."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from artstore.adapters.packs import FilePacks
from artstore.errors import Corrupt, NoSpace, UsageError
from artstore.format.keyring import rotate
from artstore.format.ring import encode_ring
from artstore.format.sealed import HEADER_BYTES, SEGMENT_BYTES, sealed_size
from artstore.model import PackId
from artstore.ports import PackFiles
from artstore.store.sealed import Keychain, SealedPacks
from artstore.testing.faults import Faults, FaultyPacks
from artstore.testing.sealing import keychain

PACK, OTHER = PackId(bytes(16)), PackId(bytes(15) + b"\1")
DATA = b"legible " * 80_000


@pytest.fixture
def folder(tmp_path: Path) -> FilePacks:
    for name in ("packs", "tmp"):
        (tmp_path / name).mkdir()
    return FilePacks(str(tmp_path))


@pytest.fixture
def keys() -> Keychain:
    return keychain()


@pytest.fixture
def packs(folder: FilePacks, keys: Keychain) -> SealedPacks:
    return SealedPacks(folder, keys)


def file_of(tmp_path: Path, pack: PackId = PACK) -> Path:
    return tmp_path / "packs" / pack.hex()[:2] / f"{pack.hex()}.pack"


def write(packs: PackFiles, data: bytes = DATA, pack: PackId = PACK) -> None:
    sink = packs.create(pack)
    for at in range(0, len(data), 10_007):
        assert sink.append([data[at : at + 5000], memoryview(data)[at + 5000 : at + 10_007]]) == at
    assert sink.size == len(data)
    sink.seal()


def test_nothing_legible_lies_on_disk(packs: SealedPacks, tmp_path: Path) -> None:
    """Who finds the disk would read the model."""
    sink = packs.create(PACK)
    sink.append([DATA])
    sink.flush()
    for file in (tmp_path / "tmp").iterdir():
        assert b"legible" not in file.read_bytes()
    sink.seal()
    found = file_of(tmp_path).read_bytes()
    assert b"legible" not in found
    assert len(found) == sealed_size(len(DATA))
    assert packs.size(PACK) == len(DATA)
    assert list(packs.list()) == [(PACK, len(DATA))]
    assert packs.read(PACK, 0, len(DATA)) == DATA


def test_equal_packs_are_not_seen_to_be_equal(packs: SealedPacks, tmp_path: Path) -> None:
    """Who finds the disk would see what is the same in two of them."""
    write(packs)
    write(packs, pack=OTHER)
    first, second = file_of(tmp_path).read_bytes(), file_of(tmp_path, OTHER).read_bytes()
    segments = {data[at : at + 64] for data in (first, second) for at in range(HEADER_BYTES, len(data) - 64, 1000)}
    assert len(segments) == 2 * len(range(HEADER_BYTES, len(first) - 64, 1000))


@pytest.mark.parametrize("at", [0, 5, 9, 25, HEADER_BYTES, HEADER_BYTES + 17, HEADER_BYTES + SEGMENT_BYTES + 20, -1])
def test_a_changed_byte_is_told(packs: SealedPacks, folder: FilePacks, keys: Keychain, tmp_path: Path, at: int) -> None:
    """Damage would be handed on; the message names the pack."""
    write(packs)
    data = bytearray(file_of(tmp_path).read_bytes())
    data[at] ^= 1
    file_of(tmp_path).write_bytes(data)
    again = SealedPacks(folder, keys)
    with pytest.raises(Corrupt, match=PACK.hex()):
        again.read(PACK, 0, len(DATA))
    if at == HEADER_BYTES + SEGMENT_BYTES + 20:  # a segment of its own, the others are whole
        assert again.read(PACK, 0, SEGMENT_BYTES) == DATA[:SEGMENT_BYTES]
        assert again.read(PACK, 2 * SEGMENT_BYTES, 5) == DATA[2 * SEGMENT_BYTES :][:5]


def test_a_pack_that_was_cut_off(packs: SealedPacks, folder: FilePacks, keys: Keychain, tmp_path: Path) -> None:
    """What is left of it could not be saved, or its end would pass for whole."""
    write(packs, DATA[: 4 * SEGMENT_BYTES])
    whole = file_of(tmp_path).read_bytes()
    for left in (2, 3):
        file_of(tmp_path).write_bytes(whole[: sealed_size(left * SEGMENT_BYTES)])
        again = SealedPacks(folder, keys)
        assert again.size(PACK) == left * SEGMENT_BYTES
        assert again.read(PACK, 0, (left - 1) * SEGMENT_BYTES) == DATA[: (left - 1) * SEGMENT_BYTES]
        with pytest.raises(Corrupt):
            again.read(PACK, 0, left * SEGMENT_BYTES)
    for stub in (b"", whole[:10], whole[:HEADER_BYTES]):
        file_of(tmp_path).write_bytes(stub)
        with pytest.raises(Corrupt):
            SealedPacks(folder, keys).read(PACK, 0, 1)


def test_a_pack_under_another_name(packs: SealedPacks, folder: FilePacks, keys: Keychain, tmp_path: Path) -> None:
    """Who can write the disk would have one pack pass for another."""
    write(packs)
    write(packs, DATA[::-1], OTHER)
    file_of(tmp_path).write_bytes(file_of(tmp_path, OTHER).read_bytes())
    with pytest.raises(Corrupt):
        SealedPacks(folder, keys).read(PACK, 0, 5)


def test_after_a_rotation(packs: SealedPacks, folder: FilePacks, keys: Keychain) -> None:
    """What was written before could not be read, or a running process not what others write now."""
    write(packs)
    older = Keychain(keys.unlocked, keep=lambda _data, _before: True, load=lambda: later)
    keys.take(rotate(keys.unlocked, random=os.urandom))
    later = encode_ring(keys.ring)
    write(packs, pack=OTHER)
    assert folder.read(OTHER, 4, 4) == (2).to_bytes(4, "little"), "it has the number of the new key"
    assert packs.read(PACK, 0, 100) == DATA[:100]
    running = SealedPacks(folder, older)
    assert running.read(OTHER, 0, 100) == DATA[:100], "it reads the keyring again"
    assert older.keys.epoch == 2


def test_a_key_that_nobody_has(packs: SealedPacks, folder: FilePacks, keys: Keychain) -> None:
    """It would look like damage of the pack."""
    before = keys.unlocked
    stale = Keychain(
        before, keep=lambda _data, _before: True, load=lambda: encode_ring(before.ring)
    )  # from an old copy
    keys.take(rotate(before, random=os.urandom))
    write(packs)
    with pytest.raises(Corrupt, match="the keyring here ends at 1"):
        SealedPacks(folder, stale).read(PACK, 0, 1)


def test_a_forked_child_does_not_go_on_with_a_pack(packs: SealedPacks) -> None:
    """Two processes would use a nonce for different bytes, which gives away both and the key that seals them."""
    sink = packs.create(PACK)
    sink.append([b"x" * 3 * SEGMENT_BYTES])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sink.append([b"y" * 3 * SEGMENT_BYTES])
        except UsageError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sink.append([b"z"])
    sink.seal()
    assert packs.read(PACK, 3 * SEGMENT_BYTES, 1) == b"z"


def test_a_pack_is_not_gone_on_with_once_it_has_ended_or_failed(folder: FilePacks, keys: Keychain) -> None:
    """A nonce would be used for other bytes, or the pack lack what the disk didn't take."""
    faults = Faults(4)  # the second piece finds no room
    sink = SealedPacks(FaultyPacks(folder, faults), keys).create(PACK)
    sink.append([b"x" * 9 * SEGMENT_BYTES])
    with pytest.raises(NoSpace):
        sink.append([b"y" * 9 * SEGMENT_BYTES])
    for again in (lambda: sink.append([b"z" * SEGMENT_BYTES]), sink.seal):
        with pytest.raises(UsageError, match=PACK.hex()):
            again()
    sink.abort()
    faults = Faults(4)  # the file can't be made durable
    sink = SealedPacks(FaultyPacks(folder, faults), keys).create(OTHER)
    sink.append([b"short"])
    with pytest.raises(NoSpace, match="seal"):
        sink.seal()
    for again in (lambda: sink.append([b" and more"]), sink.seal):
        with pytest.raises(UsageError):
            again()
    sink.abort()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that is what is tried here
def test_a_child_forked_while_others_read_and_seal(packs: SealedPacks, keys: Keychain) -> None:
    """A data loader's worker would wait for ever for a lock that a thread of its parent held."""
    write(packs)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            keys.seal(b"x", b"y")
            packs.read(PACK, 0, 5)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    children: list[int] = []
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # ends it
                keys.seal(b"x", b"y")
                os._exit(0 if packs.read(PACK, 0, 5) == DATA[:5] else 1)
            children.append(child)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 30
