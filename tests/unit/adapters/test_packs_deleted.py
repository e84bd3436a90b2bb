"""Packs that another process deletes while this one has them open."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from artstore import limits
from artstore.adapters.packs import FilePacks
from artstore.errors import Corrupt
from artstore.model import PackId


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folders of a store."""
    for name in ("packs", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


def sealed(packs: FilePacks, name: PackId) -> None:
    """A pack that holds its name."""
    sink = packs.create(name)
    sink.append([name])
    sink.seal()


def held_but_deleted(store: Path) -> int:
    """Descriptors of this process to files of a store that have no name any more."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            path = os.readlink(f"/proc/self/fd/{name}")
            found += path.startswith(str(store)) and path.endswith(".pack (deleted)")
    return found


def test_a_long_reader_lets_go_of_packs_that_others_delete(store: Path) -> None:
    """The room that `gc` frees would come back only when every mount and every training run has ended."""
    packs, other = FilePacks(str(store)), FilePacks(str(store))
    names = [PackId(bytes([number]) * 16) for number in range(4)]
    for name in names:
        sealed(packs, name)
    for name in names:
        assert packs.read(name, 0, 16) == name
    for name in names[:3]:
        other.delete(name)
    assert held_but_deleted(store) == 3
    for _ in range(limits.PACK_USES_PER_LOOK):
        assert packs.read(names[3], 0, 16) == names[3]
    assert held_but_deleted(store) == 0
    with pytest.raises(Corrupt, match="missing"):
        packs.read(names[0], 0, 16)
    packs.close()


def test_who_reads_a_deleted_pack_reads_on(store: Path) -> None:
    """A read that is under way would fail, or get the bytes of another pack that took the descriptor's number."""
    packs = FilePacks(str(store))
    names = [PackId(bytes([number]) * 16) for number in range(2)]
    for name in names:
        sealed(packs, name)
    with packs._reading(names[0]) as descriptor:  # pyright: ignore[reportPrivateUsage] - a read that takes long
        FilePacks(str(store)).delete(names[0])
        for _ in range(limits.PACK_USES_PER_LOOK):
            packs.read(names[1], 0, 16)
        assert os.pread(descriptor, 16, 0) == names[0]
    assert held_but_deleted(store) == 0
    packs.close()
