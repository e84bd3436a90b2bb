"""Versions made from others by naming paths: what the paths mean together, and how deep they lead."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import pytest

from artstore import limits
from artstore.errors import BadInput
from artstore.model import Digest, Metadata
from artstore.store.commit import Addition, Naming, Said, edit
from artstore.testing.commit_bench import Bench

Edit = Callable[[Sequence[tuple[str, Path]], Sequence[bytes]], dict[bytes, bytes | None]]


@pytest.fixture
def edited(bench: Bench) -> Edit:
    """Edits a version of a few files; gives what the new one holds."""
    for path in ("a/b/c", "a/d", "keep"):
        bench.write(path, path.encode())
    base = bench.commit().version
    assert base is not None

    def run(added: Sequence[tuple[str, Path]], removed: Sequence[bytes]) -> dict[bytes, bytes | None]:
        made = edit(
            bench.context,
            bench.objects,
            Digest(base),
            additions=[Addition(path.encode(), os.fsencode(local)) for path, local in added],
            removals=removed,
            naming=Naming(artifact="m"),
            said=Said("", "me", Metadata()),
        )
        return bench.content(made.tree)

    return run


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A file to add."""
    path = tmp_path / "new"
    path.write_bytes(b"new")
    return path


@pytest.mark.parametrize("removed", list(permutations([b"a", b"a/b", b"a/b/c"])))
def test_a_folder_is_removed_whatever_else_is(edited: Edit, removed: tuple[bytes, ...]) -> None:
    """`--remove a --remove a/b` would keep the rest of `a`."""
    assert edited([], removed) == {b"keep": b"keep"}


def test_what_is_removed_does_not_come_back_with_what_is_added(edited: Edit, new: Path) -> None:
    """`--remove data --add data/new` would keep all the old data beside the new."""
    assert edited([("a/n", new)], [b"a"]) == {b"a": None, b"a/n": b"new", b"keep": b"keep"}
    assert edited([("a/b/n", new)], [b"a/b"]) == {
        b"a": None,
        b"a/b": None,
        b"a/b/n": b"new",
        b"a/d": b"a/d",
        b"keep": b"keep",
    }


@pytest.mark.parametrize("paths", [("x", "x/y"), ("x/y", "x"), ("x", "x/y/z"), ("x", "./x")])
def test_additions_that_contradict_each_other(edited: Edit, new: Path, paths: tuple[str, str]) -> None:
    """Of two files that can't both be there one would be dropped without a word."""
    with pytest.raises(BadInput, match="something else that is added"):
        edited([(path, new) for path in paths], [])


def test_a_file_does_not_become_a_folder_without_a_word(edited: Edit, new: Path) -> None:
    """`--add keep/x=…` would drop the file `keep` from the new version."""
    with pytest.raises(BadInput, match="keep/x can't be added: keep is a file") as caught:
        edited([("keep/x", new)], [])
    assert "--remove keep" in (caught.value.hint or "")
    with pytest.raises(BadInput, match="a/d is a file"):
        edited([("a/d/x/y", new)], [b"a/b"])
    assert edited([("keep/x", new)], [b"keep"])[b"keep/x"] == b"new"
    assert edited([("a/d/x", new)], [b"a"]) == {b"a": None, b"a/d": None, b"a/d/x": b"new", b"keep": b"keep"}


def test_a_folder_is_not_replaced_without_a_word(edited: Edit, new: Path, tmp_path: Path) -> None:
    """`--add a=…` would drop all that lies below `a`, were it a file or the newer half of the same folder."""
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "x").write_bytes(b"x")
    for local in (new, tmp_path / "local"):
        with pytest.raises(BadInput, match="a is a folder") as caught:
            edited([("a", local)], [b"a/b/c"])
        assert "--remove a" in (caught.value.hint or "")
    with pytest.raises(BadInput, match="keep is a file"):
        edited([("keep", tmp_path / "local")], [])
    assert edited([("a", new)], [b"a"]) == {b"a": b"new", b"keep": b"keep"}
    assert edited([("a", tmp_path / "local")], [b"a"]) == {b"a": None, b"a/x": b"x", b"keep": b"keep"}
    assert edited([("keep", new)], [])[b"keep"] == b"new"


def test_the_same_folder_again_is_no_trouble(edited: Edit, tmp_path: Path) -> None:
    """A script that adds a part and is run twice would fail."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"a/b/c")
    assert edited([("a/b", tmp_path / "b")], [])[b"a/b/c"] == b"a/b/c"


def test_a_path_of_too_many_folders(edited: Edit, new: Path) -> None:
    """It would end in a traceback, or in a version that nobody can check out."""
    with pytest.raises(BadInput, match="folders deep"):
        edited([("a/" * 5000 + "f", new)], [])
    deepest = "a/" * (limits.PATH_DEPTH_MAX - 2) + "f"
    assert edited([(deepest, new)], [])[deepest.encode()] == b"new"


def test_a_deep_folder_below_a_deep_path(edited: Edit, tmp_path: Path) -> None:
    """A version would be made that is too deep to be read."""
    (tmp_path / "n" / ("b/" * 9)).mkdir(parents=True)
    deep = "a/" * (limits.PATH_DEPTH_MAX - 12)
    assert deep.encode() + b"f" + b"/b" * 9 in edited([(deep + "f", tmp_path / "n")], [])
    with pytest.raises(BadInput, match="folders deep"):
        edited([(deep + "a/a/f", tmp_path / "n")], [])
