"""Damaged packs: every flipped byte is Corrupt or harmless, never wrong data, and a repair makes the store whole."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.model import PackKind
from artstore.store.check import CheckReport, check
from artstore.store.repair import repair
from artstore.testing.damage import flip, pack_files, readable, truncate
from artstore.testing.local_store import Opened, create, files_of, opened

MASKS = (0x01, 0x80, 0xFF)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few bytes that don't compress and many that do, in folders."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"first")
    (folder / "sub/b").write_bytes(b"abcdefgh" * 60)
    return folder


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> Iterator[Opened]:
    """A store with one version, m/v1, of that folder."""
    create(tmp_path / "store")
    with opened(tmp_path / "store") as store:
        store.commit(folder)
        yield store


def look(store: Opened) -> CheckReport:
    """A check of all data, which notes nothing."""
    return check(replace(store.context, readonly=True), store.objects, data=True)


def assert_never_wrong(store: Opened, expected: dict[bytes, bytes], what: str) -> bool:
    """What can be read is right, what can't is told, and so is all that is damaged; return whether anything is told."""
    version = store.tags()["m/v1"]
    found = readable(store.context, version)
    assert found.items() <= expected.items(), what
    report = look(store)
    hurt = {hurt.path for hurt in report.hurt}
    assert found == expected or not report.is_sound, what
    for path in expected.keys() - found.keys():
        assert hurt & {b"", path, path.split(b"/")[0]}, f"{what}: {path!r} is hurt, and no check tells"
    return not report.is_sound


@pytest.mark.plain("a segment holds several objects")
@pytest.mark.parametrize("kind", [PackKind.DATA, PackKind.META])
def test_each_byte_of_a_small_pack(store: Opened, folder: Path, kind: PackKind) -> None:
    """A bit that rots anywhere in a pack never changes what a user reads, and a check sees it."""
    expected = files_of(folder)
    (path,) = pack_files(store.context, kind)
    unseen = 0
    for offset in range(path.stat().st_size):
        mask = MASKS[offset % 3]
        flip(path, offset, mask)
        unseen += not assert_never_wrong(store, expected, f"byte {offset} of the {kind.name} pack")
        flip(path, offset, mask)
    assert unseen <= 8, "only bits that zstd itself ignores go unseen"
    assert look(store).is_sound


@pytest.mark.parametrize("kind", [PackKind.DATA, PackKind.META])
def test_cut_anywhere(store: Opened, folder: Path, kind: PackKind) -> None:
    """A pack that was cut off anywhere gives right data or Corrupt, and is told without reading data."""
    expected = files_of(folder)
    (path,) = pack_files(store.context, kind)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        truncate(path, size)
        assert_never_wrong(store, expected, f"{kind.name} pack cut at {size}")
        assert not check(store.context, store.objects).is_sound
        path.write_bytes(whole)


def _flipped(path: Path) -> None:
    flip(path, random.Random(path.name).randrange(path.stat().st_size))


def _flipped_often(path: Path) -> None:
    chosen = random.Random(1)
    for _ in range(50):
        flip(path, chosen.randrange(path.stat().st_size))


def _cut(path: Path) -> None:
    truncate(path, path.stat().st_size * 2 // 3)


def _grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(2).randbytes(path.stat().st_size))


def _emptied(path: Path) -> None:
    truncate(path, 0)


@pytest.mark.parametrize("damage", [_flipped, _flipped_often, _cut, _grown, _garbage, _emptied, Path.unlink])
@pytest.mark.parametrize("kind", [PackKind.DATA, PackKind.META])
def test_repair_and_commit_again(tmp_path: Path, folder: Path, kind: PackKind, damage: Callable[[Path], None]) -> None:
    """After damage, repair and a new commit of the same folder a store checks out again, lost names apart."""
    (folder / "big").write_bytes(random.Random(3).randbytes(1_500_000))
    for number in range(600):
        (folder / f"sub/{number}").write_bytes(b"file %d" % number)
    create(tmp_path / "big")
    with opened(tmp_path / "big") as store:
        store.commit(folder)
        damage(pack_files(store.context, kind)[0])
        report = look(store)
        assert not report.is_sound
        done = repair(store.context, store.objects, report)
        made = store.commit(folder)
        assert made.version is not None
        if any(hurt.path == b"" and hurt.version != made.version for hurt in done.hurt):
            lost = store.tags()["m/v1"]
            with store.context.index.write() as writer:
                writer.remove_tag("m/v1", time=1, who="me")
                writer.remove_set(lost)
        report = look(store)
        assert report.is_sound, report.problems
        store.objects.close()
        for version in store.tags().values():
            assert store.content(version) == files_of(folder)
