"""Comparing versions with each other and with folders."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from artstore import limits
from artstore.chunking import cut
from artstore.errors import NotFound
from artstore.format.ids import PLAIN
from artstore.format.recipe import RecipeBuilder
from artstore.model import Digest, Entry, Form, Kind
from artstore.planning.diff import ChangeKind
from artstore.store.checkout import checkout
from artstore.store.compare import Compared, diff_folder, diff_versions, shared_bytes
from artstore.store.local_tree import local_chunks, local_content
from artstore.store.objects import Objects
from artstore.testing.planted import Exec, Link, Planted, Planter

Tree = dict[bytes, Planted]

LONG = random.Random(5).randbytes(3_000_000)
OTHER = random.Random(6).randbytes(700_000)
BEFORE: Tree = {
    b"README": b"hello",
    b"gone": b"removed",
    b"moved": OTHER,
    b"run": Exec(b"#!"),
    b"same": {b"x": LONG},
    b"sub": {b"weights": LONG, b"inner": {b"a": b"a"}, b"to": Link(b"weights")},
}
AFTER: Tree = {
    b"README": b"hello, world",
    b"new": b"added",
    b"run": b"#!",
    b"same": {b"x": LONG},
    b"sub": {b"weights": LONG[:1_000_000] + b"!" + LONG[1_000_000:], b"inner": {b"b": OTHER}, b"to": Link(b"inner")},
}
CHANGED = {
    (ChangeKind.MODIFIED, b"README", None),
    (ChangeKind.REMOVED, b"gone", None),
    (ChangeKind.RENAMED, b"sub/inner/b", b"moved"),
    (ChangeKind.ADDED, b"new", None),
    (ChangeKind.MODIFIED, b"run", None),
    (ChangeKind.MODIFIED, b"sub/weights", None),
    (ChangeKind.REMOVED, b"sub/inner/a", None),
    (ChangeKind.MODIFIED, b"sub/to", None),
}


def plant(planter: Planter, files: Tree) -> Digest:
    """A stored tree."""
    tree = planter.tree(files)
    planter.flush()
    return tree


def told(found: list[Compared]) -> set[tuple[ChangeKind, bytes, bytes | None]]:
    """The changes without their entries."""
    assert len({(one.change.kind, one.change.path) for one in found}) == len(found)
    return {(one.change.kind, one.change.path, one.change.source_path) for one in found}


def shared_of(found: list[Compared]) -> dict[bytes, int]:
    """Shared bytes by path, where any are told."""
    return {one.change.path: one.shared for one in found if one.shared is not None}


def ids_of(data: bytes) -> list[tuple[bytes, int]]:
    """The chunks of some bytes, cut in one go."""
    ends = list(memoryview(cut(data, 0, len(data), memoryview(b"").cast("Q"), base=0, final=True)).cast("Q"))
    return [(data[begin:end], end - begin) for begin, end in zip([0, *ends], ends, strict=False)]


def test_two_versions_are_told_apart(planter: Planter, objects: Objects) -> None:
    """A reviewer would miss what changed between two releases of a dataset."""
    found = list(diff_versions(objects, plant(planter, BEFORE), plant(planter, AFTER)))
    assert told(found) == CHANGED
    after = AFTER[b"sub"]
    assert isinstance(after, dict)
    weights = after[b"weights"]
    assert isinstance(weights, bytes)
    known = {chunk for chunk, _ in ids_of(LONG)}
    common = sum(size for chunk, size in ids_of(weights) if chunk in known)
    assert shared_of(found) == {b"README": 0, b"run": 2, b"sub/weights": common}
    assert common > 2_500_000


def test_a_path_narrows_the_comparison(planter: Planter, objects: Objects) -> None:
    """To see what became of one file of a huge dataset, all of it would be listed."""
    before, after = plant(planter, BEFORE), plant(planter, AFTER)
    assert told(list(diff_versions(objects, before, after, b"sub/inner"))) == {
        (ChangeKind.ADDED, b"sub/inner/b", None),
        (ChangeKind.REMOVED, b"sub/inner/a", None),
    }
    assert told(list(diff_versions(objects, before, after, b"README"))) == {(ChangeKind.MODIFIED, b"README", None)}
    assert told(list(diff_versions(objects, before, after, b"new"))) == {(ChangeKind.ADDED, b"new", None)}
    assert not list(diff_versions(objects, before, after, b"same/x"))
    with pytest.raises(NotFound, match="nowhere"):
        list(diff_versions(objects, before, after, b"nowhere/x"))


def test_equal_versions_have_no_differences(planter: Planter, objects: Objects) -> None:
    """`diff --exit-code` in a script would always fail."""
    tree = plant(planter, BEFORE)
    assert not list(diff_versions(objects, tree, tree))


def test_shared_bytes_do_not_depend_on_what_fits_in_memory(
    planter: Planter, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For files of terabytes another number would be told."""
    source, target = LONG + OTHER, OTHER + LONG[:1_500_000] + OTHER
    entries = [Entry(b"f", Kind.FILE, len(data), planter.content(data), 1) for data in (source, target)]
    planter.flush()
    expected = shared_bytes(objects, entries[0], entries[1])
    assert 1_500_000 < expected < len(target)
    for ids_max in (1, 3, 10):
        monkeypatch.setattr(limits, "COMPARED_CHUNKS_MAX", ids_max)
        assert shared_bytes(objects, entries[0], entries[1]) == expected


def test_a_folder_just_checked_out_does_not_differ(planter: Planter, objects: Objects, tmp_path: Path) -> None:
    """Nobody could tell whether a folder is still what was deployed."""
    tree = plant(planter, BEFORE)
    checkout(planter.context, objects, tree, tmp_path / "dest")
    assert not list(diff_folder(objects, tree, str(tmp_path / "dest")))
    assert not list(diff_folder(objects, tree, str(tmp_path / "dest"), b"sub"))


def test_a_folder_is_compared_as_a_commit_of_it_would_be(planter: Planter, objects: Objects, tmp_path: Path) -> None:
    """`diff REV DIR` would promise another version than `commit DIR` makes."""
    before, after = plant(planter, BEFORE), plant(planter, AFTER)
    dest = tmp_path / "dest"
    checkout(planter.context, objects, after, dest)
    (dest / "__pycache__").mkdir()
    (dest / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    (dest / ".artignore").write_text(".artignore\n*.tmp\n")
    (dest / "sub" / "scratch.tmp").write_bytes(b"scratch")
    os.mkfifo(dest / "pipe")
    found = list(diff_folder(objects, before, str(dest)))
    assert told(found) == CHANGED
    assert shared_of(found) == shared_of(list(diff_versions(objects, before, after)))
    assert told(list(diff_folder(objects, before, str(dest), b"sub/inner"))) == {
        (ChangeKind.ADDED, b"sub/inner/b", None),
        (ChangeKind.REMOVED, b"sub/inner/a", None),
    }
    assert told(list(diff_folder(objects, before, str(dest), b"gone"))) == {(ChangeKind.REMOVED, b"gone", None)}
    with pytest.raises(NotFound):
        list(diff_folder(objects, before, str(dest), b"nowhere"))
    excluding = list(diff_folder(objects, before, str(dest), excludes=["*new*"], default_ignores=False))
    assert told(excluding) == CHANGED - {(ChangeKind.ADDED, b"new", None)} | {
        (ChangeKind.ADDED, b"__pycache__/x.pyc", None)
    }


def test_one_file_of_a_folder_is_compared_without_reading_others(
    planter: Planter, objects: Objects, tmp_path: Path
) -> None:
    """To compare a config file, the weights beside it would be hashed."""
    tree = plant(planter, BEFORE)
    checkout(planter.context, objects, tree, tmp_path / "dest")
    (tmp_path / "dest" / "moved").unlink()
    (tmp_path / "dest" / "moved").symlink_to("nothing that could be read")
    (tmp_path / "dest" / "README").write_bytes(b"changed")
    assert told(list(diff_folder(objects, tree, str(tmp_path / "dest"), b"README"))) == {
        (ChangeKind.MODIFIED, b"README", None)
    }


@pytest.mark.parametrize("size", [0, 1, 20_000, 4 << 20, (4 << 20) + 1, 11_111_111])
def test_local_files_are_cut_as_when_committed(tmp_path: Path, size: int) -> None:
    """A file that did not change would be shown as changed, or one that moved as new."""
    data = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(data)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        content, chunks = local_content(descriptor, size, PLAIN), list(local_chunks(descriptor, size, PLAIN))
    finally:
        os.close(descriptor)
    assert [raw for _, raw in chunks] == [raw for _, raw in ids_of(data)]
    if len(chunks) > 1:
        recipe = RecipeBuilder(lambda kind, digest, page: None, PLAIN)
        for id, raw in chunks:
            recipe.add(id, raw)
        assert (content.form, content.value) == (Form.RECIPE, recipe.finish().root)
    else:
        assert content.form == (Form.CHUNK if chunks else Form.EMPTY)
