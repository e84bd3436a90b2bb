"""Erasure: gone from every pack at once, for good, and nothing else with it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.errors import Busy, Conflict, Erased, NotFound, UsageError
from artstore.model import Metadata, PackState
from artstore.store.commit import Naming, Said, commit
from artstore.store.objects import Objects
from artstore.store.purge import PathIn, PurgeResult, purge, purge_plan
from artstore.store.read import entry_at, open_file

if TYPE_CHECKING:
    from artstore.model import Digest
    from tests.unit.store.collect.conftest import Keeper


def noise(seed: int, size: int = 50_000) -> bytes:
    return random.Random(seed).randbytes(size)


def erase(keeper: Keeper, path: bytes, *versions: Digest) -> PurgeResult:
    plan = purge_plan(keeper.context, keeper.objects, path, versions=versions or None)
    return purge(keeper.context, keeper.objects, plan, who="me", reason="asked for")


def read(keeper: Keeper, version: bytes, path: bytes) -> bytes:
    objects = Objects(keeper.context)
    entry = entry_at(objects, objects.version(version), path)
    return open_file(keeper.context, objects, entry.content, entry.size).read()


def on_disk(keeper: Keeper, data: bytes) -> bool:
    """Does any file of the store hold these bytes?"""
    return any(data in path.read_bytes() for path in Path(keeper.context.path).rglob("*") if path.is_file())


@pytest.mark.plain("looks for content on the disk")
def test_what_is_erased_is_gone_and_the_rest_is_there(keeper: Keeper) -> None:
    """Personal data would stay on disk, or take the data of others with it."""
    secret = noise(1, 200_000)
    files = {"a/secret": secret, "a/other": noise(2), "b": noise(3)}
    first = keeper.commit(files, "m/v1")
    second = keeper.commit(files | {"b": noise(4), "a/secret": secret + b"more"}, "m/v2")
    needle = secret[5_000:5_100]
    assert on_disk(keeper, needle)
    plan = purge_plan(keeper.context, keeper.objects, b"a/secret")
    assert set(plan.places) == {PathIn(first, b"a/secret"), PathIn(second, b"a/secret")}
    assert plan.size >= 200_000
    assert plan.sharers == ()
    result = purge(keeper.context, keeper.objects, plan, who="me")
    assert result.freed_bytes >= 190_000
    assert not on_disk(keeper, needle)
    for version in (first, second):
        with pytest.raises(Erased):
            read(keeper, version, b"a/secret")
        assert read(keeper, version, b"a/other") == noise(2)
    assert read(keeper, first, b"b") == noise(3)
    assert keeper.version_of("m/v1") == first
    assert {bytes(row.id) for row in keeper.packs()} == keeper.pack_names()
    keeper.gc(now=True)
    assert read(keeper, second, b"b") == noise(4)


def test_what_others_share_is_listed_and_kept(keeper: Keeper) -> None:
    """Erasing a copy would break the original of somebody else."""
    shared, own = noise(1, 20_000), noise(2, 20_000)
    version = keeper.commit({"x/mine": shared, "x/own": own, "theirs": shared}, "m/v1")
    plan = purge_plan(keeper.context, keeper.objects, b"x")
    assert (plan.size, plan.kept_size) == (20_000, 20_000)
    assert plan.sharers == (PathIn(version, b"theirs"),)
    purge(keeper.context, keeper.objects, plan, who="me")
    assert read(keeper, version, b"theirs") == shared
    assert read(keeper, version, b"x/mine") == shared
    with pytest.raises(Erased):
        read(keeper, version, b"x/own")


def test_a_copy_of_the_folder_around_it_is_another_path(keeper: Keeper) -> None:
    """The same folder in a second place, which has the same pages, would lose its file unseen."""
    files = {f"{top}/{name}": noise(number) for number, name in enumerate(("in/secret", "in/x")) for top in ("a", "b")}
    version = keeper.commit(files, "m/v1")
    plan = purge_plan(keeper.context, keeper.objects, b"a/in/secret")
    assert plan.chunks == 0
    assert plan.sharers == (PathIn(version, b"b/in/secret"),)
    assert purge_plan(keeper.context, keeper.objects, b"b/in/secret").sharers == (PathIn(version, b"a/in/secret"),)


def test_one_version_shares_with_the_others(keeper: Keeper) -> None:
    """A purge of one version would reach into the others."""
    first = keeper.commit({"f": noise(1), "g": b"1"}, "m/v1")
    second = keeper.commit({"f": noise(1), "g": b"2"}, "m/v2")
    third = keeper.commit({"f": noise(2), "g": b"2"}, "m/v3")
    assert purge_plan(keeper.context, keeper.objects, b"f", versions=[first]).sharers == (PathIn(second, b"f"),)
    erase(keeper, b"f", third)
    assert read(keeper, first, b"f") == noise(1)
    with pytest.raises(Erased):
        read(keeper, third, b"f")


def test_copies_that_wait_for_an_undo_are_erased_too(keeper: Keeper) -> None:
    """`gc --undo` would bring back what was to be gone for good; the rest of that version must still come back."""
    keeper.commit({"secret": noise(1), "other": noise(2)}, "m/v1")
    keeper.commit({"x": noise(3)}, "m/v2")
    keeper.remove("m/v1")
    keeper.later(8)
    keeper.gc()
    condemned = {row.since for row in keeper.packs(PackState.CONDEMNED)}
    erase(keeper, b"secret")
    assert not on_disk(keeper, noise(1)[2_000:2_100])
    assert {row.since for row in keeper.packs(PackState.CONDEMNED)} == condemned
    keeper.undo()
    version = keeper.version_of("m/v1")
    assert read(keeper, version, b"other") == noise(2)
    with pytest.raises(Erased):
        read(keeper, version, b"secret")


def test_a_file_that_still_lies_in_the_folder_is_stored_again(keeper: Keeper) -> None:
    """The next commit would take the file for known and make a version that can't be read."""
    keeper.later(1)  # the stat cache trusts only what isn't young
    files = {"d/big": noise(1, 300_000), "d/small": noise(2, 9_000)}
    keeper.commit(files, "m/v1")
    erase(keeper, b"d")
    said = Said("", "me", Metadata())
    made = commit(keeper.context, keeper.objects, bytes(keeper.folder), naming=Naming(tag="m/v2"), said=said)
    assert made.version is not None
    assert keeper.files(made.version) == files


def test_it_waits_for_nobody(keeper: Keeper) -> None:
    """A commit that runs meanwhile would bring the erased content back."""
    keeper.commit({"f": noise(1)}, "m/v1")
    plan = purge_plan(keeper.context, keeper.objects, b"f")
    with keeper.context.sessions.begin(), pytest.raises(Busy):
        purge(keeper.context, keeper.objects, plan, who="me")
    assert read(keeper, keeper.version_of("m/v1"), b"f") == noise(1)
    keeper.commit({"copy": noise(1)}, "m/v2")
    with pytest.raises(Conflict):
        purge(keeper.context, keeper.objects, plan, who="me")


def test_what_cannot_be_purged_is_said(keeper: Keeper) -> None:
    """A purge that found nothing would pass for one that erased."""
    keeper.commit({"f": noise(1)}, "m/v1")
    with pytest.raises(NotFound):
        purge_plan(keeper.context, keeper.objects, b"nothing")
    with pytest.raises(NotFound):
        purge_plan(keeper.context, keeper.objects, b"f/below")
    with pytest.raises(UsageError):
        purge_plan(keeper.context, keeper.objects, b".")


def test_doing_it_twice_does_nothing_more(keeper: Keeper) -> None:
    """A purge that was interrupted could not be finished by repeating it."""
    version = keeper.commit({"f": noise(1), "g": noise(2)}, "m/v1")
    erase(keeper, b"f")
    packs = keeper.pack_names()
    assert erase(keeper, b"f") == PurgeResult(0, 0, 0, 0)
    assert keeper.pack_names() == packs
    assert read(keeper, version, b"g") == noise(2)
