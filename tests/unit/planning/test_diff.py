"""Comparing trees: small ones by hand, any ones against a flat model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import Content, Digest, Entry, Form, Kind
from artstore.planning.diff import Change, ChangeKind, diff_trees

Tree = dict[str, "str | Tree"]
"""Names to contents; `x!…` is an executable, `->…` a link, a dict a directory."""


class Library:
    """Directories by id, and how often one was listed."""

    def __init__(self) -> None:
        self.directories: dict[Digest, list[Entry]] = {}
        self.listed: list[Digest] = []

    def entry(self, name: str, node: str | Tree) -> Entry:
        """An entry with its content's id; what is below a directory is put into the library."""
        if isinstance(node, dict):
            entries = sorted((self.entry(each, below) for each, below in node.items()), key=lambda entry: entry.name)
            id = Digest(hashlib.sha256(repr(entries).encode()).digest())
            self.directories[id] = entries
            size, files = sum(entry.size for entry in entries), sum(entry.files for entry in entries)
            return Entry(name.encode(), Kind.DIR, size, Content(Form.TREE, id), files)
        if node.startswith("->"):
            return Entry(name.encode(), Kind.SYMLINK, len(node), Content(Form.SYMLINK, node.encode()), 1)
        kind = Kind.EXEC if node.startswith("x!") else Kind.FILE
        data = node.removeprefix("x!").encode()
        content = Content(Form.CHUNK, hashlib.sha256(data).digest()) if data else Content(Form.EMPTY, b"")
        return Entry(name.encode(), kind, len(data), content, 1)

    def children(self, id: Digest) -> Iterable[Entry]:
        self.listed.append(id)
        return self.directories[id]

    def diff(
        self, source: Tree, target: Tree, *, renames: bool = True, held_max: int = limits.RENAME_ENTRIES_MAX
    ) -> Iterator[Change]:
        """Changes from one tree to the other."""
        old, new = (Digest(self.entry("", side).content.value) for side in (source, target))
        sides = self.directories[old], self.directories[new]
        return diff_trees(*sides, self.children, renames=renames, held_max=held_max)

    def flat(self, tree: Tree, prefix: str = "") -> dict[bytes, Entry]:
        """All paths but those of directories with something in them."""
        found: dict[bytes, Entry] = {}
        for name, node in tree.items():
            below = self.flat(node, f"{prefix}{name}/") if isinstance(node, dict) else {}
            found |= below or {f"{prefix}{name}".encode(): self.entry(name, node)}
        return found

    def below(self, path: bytes, entry: Entry) -> dict[bytes, Entry]:
        """An entry, or all that is below it."""
        found: dict[bytes, Entry] = {}
        if entry.kind == Kind.DIR:
            for each in self.directories[Digest(entry.content.value)]:
                found |= self.below(path + b"/" + each.name, each)
        return found or {path: entry}


def told(changes: Iterable[Change]) -> list[str]:
    """Changes as short texts."""
    return [
        f"{change.kind.value} {change.path.decode()}"
        + (f" from {change.source_path.decode()}" if change.source_path is not None else "")
        for change in changes
    ]


@pytest.mark.parametrize(
    ("source", "target", "changes"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1"}, {"a": "2"}, ["modified a"]),
        ({"a": "1"}, {"a": "x!1"}, ["modified a"]),
        ({"a": "->x"}, {"a": "->y"}, ["modified a"]),
        ({}, {"a": "1", "d": {"b": "2", "c": {"e": "3"}}}, ["added a", "added d/b", "added d/c/e"]),
        ({"d": {"b": "2", "e": {}}}, {}, ["removed d/b", "removed d/e"]),
        ({}, {"d": {}, "e": {"f": {}}}, ["added d", "added e/f"]),
        ({"a": "1"}, {"a": "->1"}, ["retyped a"]),
        ({"a": "1"}, {"a": {"b": "2"}}, ["retyped a", "added a/b"]),
        ({"a": {"b": "2"}}, {"a": "1"}, ["retyped a", "removed a/b"]),
        ({"a": {"b": "1"}}, {"a": {}}, ["added a", "removed a/b"]),
        ({"a": {}}, {"a": {"b": "1"}}, ["added a/b", "removed a"]),
        ({"a": "1"}, {"b": "1"}, ["renamed b from a"]),
        ({"a": "1"}, {"b": "x!1"}, ["renamed b from a"]),
        ({"a": "1"}, {"a": {"b": "1"}}, ["retyped a", "added a/b"]),
        ({"a": ""}, {"b": ""}, ["added b", "removed a"]),
        ({"a": {}}, {"b": {}}, ["added b", "removed a"]),
        ({"a": {"x": "1", "y": "2"}}, {"b": {"x": "1", "y": "2"}}, ["renamed b from a"]),
        (
            {"a": {"x": "1", "y": "2"}},
            {"b": {"x": "1", "y": "3"}},
            ["renamed b/x from a/x", "added b/y", "removed a/y"],
        ),
        ({"a": {"s": {"x": "1"}, "y": "2"}}, {"s": {"x": "1"}}, ["renamed s from a/s", "removed a/y"]),
        ({"s": {"x": "1"}}, {"a": {"s": {"x": "1"}, "y": "2"}}, ["renamed a/s from s", "added a/y"]),
        ({"a": "1", "b": "1"}, {"d": {"b": "1"}}, ["renamed d/b from b", "removed a"]),
        ({"a": "1"}, {"b": "1", "c": "1"}, ["renamed b from a", "added c"]),
        ({"a": "1", "k": "1"}, {"k": "1", "b": "1"}, ["renamed b from a"]),
        ({"a": {"x": "1"}}, {"b": "1"}, ["renamed b from a/x"]),
        ({"a": {"x": "1"}}, {"b": "1", "c": {"x": "1"}}, ["renamed b from a/x", "added c/x"]),
        ({"a": "->t"}, {"b": "->t"}, ["renamed b from a"]),
        ({"d": {"a": "1"}, "k": "1"}, {"d": {"b": "1"}, "k": "2"}, ["modified k", "renamed d/b from d/a"]),
    ],
)
def test_changes_are_told_as_a_person_would(source: Tree, target: Tree, changes: list[str]) -> None:
    """`diff` would show a moved folder as a thousand lines, or miss what changed."""
    assert told(Library().diff(source, target)) == changes


def test_equal_directories_are_not_read() -> None:
    """A comparison of two versions of ten million files would read them all."""
    library = Library()
    same: Tree = {"x": "1", "y": {"z": "2"}}
    assert told(library.diff({"a": same, "b": {"c": "1"}}, {"a": same, "b": {"c": "2"}})) == ["modified b/c"]
    assert len(library.listed) == 2


def test_a_directory_that_is_renamed_as_a_whole_is_not_read_on_the_new_side() -> None:
    """A renamed folder of ten million files would take minutes to say so."""
    library = Library()
    inner: Tree = {f"{number}": f"{number}" for number in range(1, 50)}
    assert told(library.diff({"a": inner}, {"b": inner})) == ["renamed b from a"]
    assert len(library.listed) == 1


def test_without_renames_everything_streams() -> None:
    """Who wants plain adds and removals couldn't have them."""
    changes = told(Library().diff({"a": "1"}, {"b": "1"}, renames=False))
    assert changes == ["removed a", "added b"]


def test_beyond_the_bound_nothing_is_lost_but_renames() -> None:
    """A comparison of two unrelated versions would fill the memory, or drop changes."""
    source: Tree = {f"a{number}": f"{number}" for number in range(9)}
    target: Tree = {f"b{number}": f"{number}" for number in range(9)}
    changes = told(Library().diff(source, target, held_max=10))
    assert sorted(changes) == sorted([f"removed a{n}" for n in range(9)] + [f"added b{n}" for n in range(9)])
    inside: Tree = {"d": source}
    moved = told(Library().diff(inside, target, held_max=12))
    assert sum("renamed" in change for change in moved) <= 3 * len(source)
    assert {change.split()[1] for change in moved if "removed" not in change} == {f"b{n}" for n in range(9)}


def test_a_tree_that_is_too_deep_is_corrupt() -> None:
    """A malicious pack would make the comparison run for ever."""
    deep: Tree = {"x": "1"}
    for _ in range(limits.PATH_DEPTH_MAX + 2):
        deep = {"d": deep}
    pairs: list[tuple[Tree, Tree]] = [
        (deep, {}),
        ({}, deep),
        (deep, {"d": {"d": "1"}}),
        ({"y": "1"}, deep),
        (deep, {"y": "2"}),
    ]
    for source, target in pairs:
        with pytest.raises(Corrupt, match="deep"):
            list(Library().diff(source, target))


names = st.sampled_from(["a", "b", "c"])
contents = st.sampled_from(["", "1", "2", "3", "x!1", "->1"])
trees: st.SearchStrategy[Tree] = st.dictionaries(
    names, st.recursive(contents, lambda below: st.dictionaries(names, below, max_size=3), max_leaves=8), max_size=3
)


@given(trees, trees, st.integers(0, 12), st.booleans())
def test_the_changes_lead_from_one_tree_to_the_other(source: Tree, target: Tree, held_max: int, renames: bool) -> None:
    """`diff` would lie about what a deployment changes: a missing file, an invented one, a wrong rename."""
    library = Library()
    changes = list(library.diff(source, target, held_max=held_max, renames=renames))
    files, expected = library.flat(source), library.flat(target)
    gone: set[bytes] = set()
    come: dict[bytes, Entry] = {}
    for change in changes:
        if change.source is not None:
            path = change.path if change.source_path is None else change.source_path
            lost = (
                {path: change.source} if change.kind is not ChangeKind.RENAMED else library.below(path, change.source)
            )
            gone |= lost.keys()
            # What is told of the source is so.
            assert all(files.get(each, entry) == entry for each, entry in lost.items())
        if change.target is not None:
            whole = change.kind is ChangeKind.RENAMED
            come |= library.below(change.path, change.target) if whole else {change.path: change.target}
    result = {path: entry for path, entry in files.items() if path not in gone} | come
    # A directory that was retyped stands for itself only when nothing is in it.
    shown = {path: entry for path, entry in result.items() if path in expected or entry.kind != Kind.DIR}
    assert shown == expected
    paths = [change.path for change in changes if change.kind is not ChangeKind.REMOVED]
    assert len(paths) == len(set(paths))
    for change in changes:
        if change.kind is ChangeKind.RENAMED:
            assert change.source is not None
            assert change.target is not None
            assert change.source.content == change.target.content
