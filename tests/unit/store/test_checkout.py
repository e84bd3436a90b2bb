"""Checkout: what lies in the folder afterwards, what is kept, what is refused."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import Busy, NotFound, Unsafe
from artstore.model import Digest
from artstore.store.checkout import CheckoutResult, checkout
from artstore.store.checkout.restore import name_key
from artstore.store.context import Counters
from artstore.store.objects import Objects
from artstore.testing.planted import Exec, Link, Planted, Planter

Tree = dict[bytes, Planted]

LONG = random.Random(5).randbytes(6_000_000)
MIDDLE = random.Random(6).randbytes(900_000)
FILES: Tree = {
    b"README": b"hello",
    b"none": b"",
    b"run": Exec(b"#!/bin/sh\n"),
    b"weights": LONG,
    b"link": Link(b"README"),
    b"dangling": Link(b"/nowhere/at/all"),
    b"empty": {},
    b"data": {b"a": MIDDLE, b"b": b"b", b"sub": {b"c": b"c", b"empty": {}}},
    b"\xff\xfe not utf-8": b"bytes",
    b"n" * 255: b"long name",
}


def plant(planter: Planter, files: Tree) -> Digest:
    """A stored tree."""
    tree = planter.tree(files)
    planter.flush()
    return tree


def seen(folder: Path) -> Tree:
    """What lies in a folder, as it would be planted."""
    found: Tree = {}
    with os.scandir(os.fsencode(folder)) as entries:
        for entry in entries:
            path = Path(os.fsdecode(entry.path))
            if entry.is_symlink():
                found[entry.name] = Link(os.readlink(entry.path))
            elif entry.is_dir():
                found[entry.name] = seen(path)
            else:
                data = path.read_bytes()
                found[entry.name] = Exec(data) if entry.stat().st_mode & 0o100 else data
    return found


def restore(planter: Planter, tree: bytes, dest: Path, *, force: bool = False) -> CheckoutResult:
    """A checkout by a process that has read nothing yet."""
    return checkout(planter.context, Objects(planter.context), tree, dest, force=force)


def test_everything_comes_back(planter: Planter, tmp_path: Path) -> None:
    """A model that was restored would not be the model that was committed."""
    counters = Counters()
    dest = tmp_path / "new" / "folder"
    result = checkout(
        planter.context, Objects(planter.context), plant(planter, FILES), dest, counters=counters, sync=True
    )
    assert seen(dest) == FILES
    assert (result.files, result.reused_files) == (11, 0)
    assert result.size == result.written_bytes == counters.bytes_done == counters.bytes_total
    assert counters.files_done == counters.files_total == 11


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_tree_comes_back(planter: Planter, tmp_path: Path, data: st.DataObject) -> None:
    """Some odd mixture of names, sizes and folders would not survive."""
    names = st.binary(min_size=1, max_size=12).filter(lambda name: name not in (b".", b"..") and not {0, 47} & {*name})
    files = st.one_of(st.binary(max_size=50), st.builds(Exec, st.binary(max_size=5)), st.builds(Link, names))
    trees: st.SearchStrategy[Tree] = st.dictionaries(
        names, st.recursive(files, lambda below: st.dictionaries(names, below, max_size=4), max_leaves=8), max_size=6
    )
    wanted = data.draw(trees)
    dest = tmp_path / f"dest{random.Random().getrandbits(60)}"
    restore(planter, plant(planter, wanted), dest)
    assert seen(dest) == wanted
    again = restore(planter, plant(planter, wanted), dest)
    assert again.written_bytes == 0
    other = data.draw(trees)
    try:
        restore(planter, plant(planter, other), dest, force=True)
    except Unsafe:
        return  # a folder stands where a file should be
    merged = seen(dest)
    assert all(_covers(merged.get(name), planted) for name, planted in other.items())


def _covers(found: Planted | None, wanted: Planted) -> bool:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(_covers(found.get(name), below) for name, below in wanted.items())
    return found == wanted


def test_what_is_there_already_is_not_written_again(planter: Planter, tmp_path: Path) -> None:
    """An interrupted checkout of 100 GB would begin anew."""
    tree = plant(planter, FILES)
    restore(planter, tree, tmp_path / "dest")
    before = {path: path.lstat().st_ino for path in (tmp_path / "dest").rglob("*")}
    (tmp_path / "dest/data/b").unlink()
    result = restore(planter, tree, tmp_path / "dest")
    assert (result.written_bytes, result.reused_files) == (1, 10)
    after = {path: path.lstat().st_ino for path in (tmp_path / "dest").rglob("*")}
    assert {path for path in before if before[path] != after[path]} <= {tmp_path / "dest/data/b"}
    assert seen(tmp_path / "dest") == FILES


def test_files_that_differ_are_refused_by_name_before_anything_is_written(planter: Planter, tmp_path: Path) -> None:
    """Hours of a user's own changes would be gone."""
    dest = tmp_path / "dest"
    (dest / "data").mkdir(parents=True)
    (dest / "README").write_text("my own")
    (dest / "data" / "b").symlink_to("README")
    with pytest.raises(Unsafe, match=r"overwrite 2 files that differ: .*README, .*data/b; .*--force") as refused:
        restore(planter, plant(planter, FILES), dest)
    assert refused.value.exit_code == 2
    assert sorted(path.name for path in dest.rglob("*")) == ["README", "b", "data"]
    restore(planter, plant(planter, FILES), dest, force=True)
    assert seen(dest) == FILES


def test_many_conflicts_are_counted_and_some_named(planter: Planter, tmp_path: Path) -> None:
    """A terminal full of names hides the sentence that matters."""
    dest = tmp_path / "dest"
    dest.mkdir()
    for number in range(300):
        (dest / str(number)).write_text("mine")
    with pytest.raises(Unsafe, match="overwrite 300 files") as refused:
        restore(planter, plant(planter, {b"%d" % number: b"theirs" for number in range(300)}), dest)
    assert refused.value.message.count(str(dest)) == limits.CONFLICTS_NAMED_MAX


def test_other_files_are_left_alone(planter: Planter, tmp_path: Path) -> None:
    """Notes beside the weights would be deleted."""
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "notes").write_text("mine")
    restore(planter, plant(planter, FILES), dest, force=True)
    assert seen(dest) == FILES | {b"notes": b"mine"}


def test_a_folder_in_the_place_of_a_file_is_never_replaced(planter: Planter, tmp_path: Path) -> None:
    """--force would delete a whole folder of somebody's work."""
    dest = tmp_path / "dest"
    (dest / "README").mkdir(parents=True)
    (dest / "README" / "work").write_text("mine")
    for force in (False, True):
        with pytest.raises(Unsafe, match="README"):
            restore(planter, plant(planter, FILES), dest, force=force)
    assert (dest / "README" / "work").read_text() == "mine"


def test_a_file_in_the_place_of_a_folder_is_replaced_by_force_only(planter: Planter, tmp_path: Path) -> None:
    """A user could neither keep nor replace it."""
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "data").write_text("mine")
    with pytest.raises(Unsafe, match="data"):
        restore(planter, plant(planter, FILES), dest)
    assert (dest / "data").read_text() == "mine"
    restore(planter, plant(planter, FILES), dest, force=True)
    assert seen(dest) == FILES


def test_a_link_in_the_place_of_a_folder_is_not_followed(planter: Planter, tmp_path: Path) -> None:
    """A checkout would write into a folder that the user never named."""
    dest, elsewhere = tmp_path / "dest", tmp_path / "elsewhere"
    dest.mkdir()
    elsewhere.mkdir()
    (dest / "data").symlink_to(elsewhere)
    with pytest.raises(Unsafe, match="data"):
        restore(planter, plant(planter, FILES), dest)
    restore(planter, plant(planter, FILES), dest, force=True)
    assert not list(elsewhere.iterdir())
    assert seen(dest) == FILES


def test_the_beginning_of_a_file_is_completed(planter: Planter, tmp_path: Path) -> None:
    """What another program had copied in part would be in the way."""
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "weights").write_bytes(LONG[:3_333_333])
    (dest / "README").write_bytes(b"hel")
    restore(planter, plant(planter, FILES), dest)
    assert seen(dest) == FILES
    (dest / "weights").write_bytes(LONG[:3_333_332] + b"!")
    with pytest.raises(Unsafe, match="weights"):
        restore(planter, plant(planter, FILES), dest)


def test_a_changed_file_is_replaced_from_what_both_have(planter: Planter, tmp_path: Path) -> None:
    """--force would leave a mixture of two versions."""
    dest = tmp_path / "dest"
    changed = LONG[:2_000_000] + b"inserted" + LONG[2_000_000:5_000_000] + bytes(500_000)
    restore(planter, plant(planter, {b"weights": LONG}), dest)
    restore(planter, plant(planter, {b"weights": changed}), dest, force=True)
    assert (dest / "weights").read_bytes() == changed
    restore(planter, plant(planter, {b"weights": Exec(LONG[:4_000_000])}), dest, force=True)
    assert seen(dest) == {b"weights": Exec(LONG[:4_000_000])}


@pytest.mark.parametrize("damage", ["none", "zeros", "short", "long", "linked"])
def test_what_a_killed_checkout_left_is_completed_or_removed(planter: Planter, tmp_path: Path, damage: str) -> None:
    """After a power cut 14 GB of good bytes would be copied again, or garbage be taken for them."""
    dest = tmp_path / "dest"
    (dest / "data").mkdir(parents=True)
    left = dest / os.fsdecode(b".artstore-%s-0123456789ab-7.part" % name_key(b"weights"))
    spans = LONG[:1_000_000] + bytes(1_000_000) + LONG[2_000_000:]
    left.write_bytes({"none": LONG, "zeros": spans, "short": LONG[:70_000], "long": LONG + b"more"}.get(damage, LONG))
    if damage == "linked":
        os.link(left, tmp_path / "other name")
    (dest / "data" / ".artstore--0123456789ab-0.part").write_bytes(b"part of some small file")
    inode = left.stat().st_ino
    restore(planter, plant(planter, FILES), dest)
    assert seen(dest) == FILES
    assert ((dest / "weights").stat().st_ino == inode) == (damage != "linked")


def test_a_version_may_hold_what_looks_like_a_leftover(planter: Planter, tmp_path: Path) -> None:
    """A folder that was committed after a crash could never be restored whole."""
    odd = b".artstore-%s-0123456789ab-7.part" % name_key(b"weights")
    files = FILES | {odd: b"committed by mistake"}
    dest = tmp_path / "dest"
    tree = plant(planter, files)
    restore(planter, tree, dest)
    (dest / "weights").unlink()
    restore(planter, tree, dest)
    assert seen(dest) == files


def test_an_executable_bit_is_set_right_without_writing(planter: Planter, tmp_path: Path) -> None:
    """Ten gigabytes would be written because of one bit."""
    dest = tmp_path / "dest"
    tree = plant(planter, {b"run": Exec(LONG), b"data": MIDDLE})
    restore(planter, tree, dest)
    (dest / "run").chmod(0o640)
    (dest / "data").chmod(0o755)
    result = restore(planter, tree, dest)
    assert result.written_bytes == 0
    assert stat.S_IMODE((dest / "run").stat().st_mode) == 0o750
    assert stat.S_IMODE((dest / "data").stat().st_mode) == 0o644


def test_zeros_become_holes(planter: Planter, tmp_path: Path) -> None:
    """A sparse disk image of 100 GB would fill the disk."""
    size = 40 * limits.MIB
    files: Tree = {b"image": b"head" + bytes(size) + b"tail", b"zeros": bytes(size), b"small": bytes(300_000)}
    restore(planter, plant(planter, files), tmp_path / "dest")
    assert seen(tmp_path / "dest") == files
    used = sum(path.stat().st_blocks * 512 for path in (tmp_path / "dest").iterdir())
    assert used < 2 * limits.MIB


def test_deep_folders_come_back(planter: Planter, tmp_path: Path) -> None:
    """A tree deeper than the system's longest path could be committed but not restored."""
    files: Tree = {b"leaf": b"x"}
    for level in range(200):
        files = {b"d" * 60: files, b"f%d" % level: b"%d" % level}
    restore(planter, plant(planter, files), tmp_path / "dest")
    result = restore(planter, plant(planter, files), tmp_path / "dest")
    assert (result.files, result.reused_files, result.written_bytes) == (201, 201, 0)


def test_a_wide_folder_comes_back_with_few_descriptors(planter: Planter, tmp_path: Path) -> None:
    """A dataset of thousands of folders would fail with too many open files."""
    files: Tree = {b"%04d" % number: {b"a": b"%d" % number, b"b": LONG[: number * 100]} for number in range(1500)}
    tree = plant(planter, files)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + limits.RESTORE_FOLDERS_OPEN + 30, hard))
    try:
        restore(planter, tree, tmp_path / "dest")
        restore(planter, tree, tmp_path / "dest")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert seen(tmp_path / "dest") == files


def test_a_part_of_a_version_is_restored_alone(planter: Planter, tmp_path: Path) -> None:
    """A user who needs one folder of 10 TB would have to take all of it."""
    tree = plant(planter, FILES)
    objects = Objects(planter.context)
    checkout(planter.context, objects, tree, tmp_path / "dest", subpath=b"data/sub")
    assert seen(tmp_path / "dest") == {b"c": b"c", b"empty": {}}
    with pytest.raises(NotFound, match="wieghts"):
        checkout(planter.context, objects, tree, tmp_path / "other", subpath=b"wieghts")
    assert not (tmp_path / "other").exists()


def test_a_single_file_goes_into_a_folder_or_under_a_new_name(planter: Planter, tmp_path: Path) -> None:
    """`checkout REV:weights.bin .` would make a folder called weights.bin, or nothing."""
    tree = plant(planter, FILES)
    objects = Objects(planter.context)
    checkout(planter.context, objects, tree, tmp_path, subpath=b"weights")
    assert (tmp_path / "weights").read_bytes() == LONG
    result = checkout(planter.context, objects, tree, tmp_path / "copy", subpath=b"data/b")
    assert (tmp_path / "copy").read_bytes() == b"b"
    assert (result.files, result.size) == (1, 1)
    (tmp_path / "weights").write_bytes(b"mine")
    with pytest.raises(Unsafe, match="weights"):
        checkout(planter.context, objects, tree, tmp_path, subpath=b"weights")


def test_the_store_itself_is_no_destination(planter: Planter) -> None:
    """A checkout into the store would mix its packs with somebody's files."""
    tree = plant(planter, {b"packs": b"x"})
    for dest in (Path(planter.context.path), Path(planter.context.path, "new")):
        with pytest.raises(Unsafe, match="store itself"):
            restore(planter, tree, dest, force=True)


def test_two_checkouts_into_one_folder_do_not_meet(planter: Planter, tmp_path: Path) -> None:
    """Each would take the other's unfinished files for leftovers."""
    dest = tmp_path / "dest"
    dest.mkdir()
    other = os.open(dest, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another checkout"):
            restore(planter, plant(planter, FILES), dest)
    finally:
        os.close(other)
    restore(planter, plant(planter, FILES), dest)
    assert seen(dest) == FILES
