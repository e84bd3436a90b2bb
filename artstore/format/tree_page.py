"""The pages of a directory: MessagePack `[1, level, items]`, from bytes to values and back, checked both ways.

An item of level 0 is an entry `[name, kind, size, [form, value], files]`; one of an inner level is a branch
`[first name, child id, entries, size, files]`. Items stand in strictly ascending order of their name's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, lt
from typing import NoReturn

from artstore import limits
from artstore.errors import BadInput, Corrupt
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import DIGEST_BYTES
from artstore.format.page import bin_bytes, int_bytes
from artstore.model import Digest, Entry, Form, Kind, ObjectKind, TreeBranch


@dataclass(frozen=True, slots=True)
class TreeLeaf:
    """A page of level 0."""

    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class TreeInner:
    """A page of a higher level."""

    level: int
    branches: list[TreeBranch]


class TreeShape:
    """What the page builder must know of trees."""

    kind = ObjectKind.TREE_PAGE

    def encode_leaf(self, items: Sequence[Entry]) -> bytes:
        _check_entries(items, _bad_input)
        return _LEAF.encode((FORMAT, 0, list(items)))

    def encode_inner(self, level: int, branches: Sequence[TreeBranch]) -> bytes:
        return _INNER.encode((FORMAT, level, list(branches)))

    def leaf_branch(self, items: Sequence[Entry], child: Digest) -> TreeBranch:
        """Of an empty page too, which only a root is."""
        return TreeBranch(
            first=items[0].name if items else b"",
            child=child,
            entries=len(items),
            size=sum(map(_size, items)),
            files=sum(map(_files, items)),
        )

    def inner_branch(self, branches: Sequence[TreeBranch], child: Digest) -> TreeBranch:
        return TreeBranch(
            first=branches[0].first,
            child=child,
            entries=sum(map(_entries, branches)),
            size=sum(map(_size, branches)),
            files=sum(map(_files, branches)),
        )

    def branch_key(self, branch: TreeBranch) -> bytes:
        return branch.first

    def branch_bytes(self, branch: TreeBranch) -> int:
        counts = int_bytes(branch.entries) + int_bytes(branch.size) + int_bytes(branch.files)
        return 1 + bin_bytes(branch.first) + 2 + DIGEST_BYTES + counts


SHAPE = TreeShape()


def entry_bytes(entry: Entry) -> int:
    """Encoded length of an entry: what the size rule of pages counts."""
    # Array header, name's header, kind, array header, form: 1 + 2 + 1 + 1 + 1.
    return (
        6
        + len(entry.name)
        + int_bytes(entry.size)
        + bin_bytes(entry.content.value)
        + (1 if entry.files < 0x80 else int_bytes(entry.files))
    )


def check_name(name: bytes) -> None:
    """BadInput unless a file of Linux could have this name."""
    if not 0 < len(name) <= limits.NAME_BYTES_MAX or b"/" in name or b"\0" in name or name in _DOTS:
        raise BadInput(f"{name!r} can't be the name of a file", [name])


def decode_tree_page(data: bytes) -> TreeLeaf | TreeInner:
    """A page's value; Corrupt for whatever `TreeBuilder` would not have written in one page."""
    _LEAF.check_format(data)
    if len(data) > 2 and data[2] == 0:
        entries = _LEAF.decode(data)[2]
        _check_entries(entries, _corrupt)
        return TreeLeaf(entries)
    _, level, branches = _INNER.decode(data)
    if not 0 < level < limits.PAGE_LEVELS_MAX:
        raise Corrupt(f"a tree page claims level {level}")
    _check_branches(branches)
    return TreeInner(level, branches)


def _check_entries(entries: Sequence[Entry], fail: Callable[[str], NoReturn]) -> None:
    if len(entries) > limits.PAGE_ENTRIES_MAX:
        fail(f"a directory's page has {len(entries)} entries")
    # A page has hundreds of entries: what can be asked of all names at once is.
    _check_names([entry.name for entry in entries], fail)
    for entry in entries:
        if not _is_sound(entry):
            fail(f"the entry {entry.name!r} contradicts itself")


def _check_names(names: Sequence[bytes], fail: Callable[[str], NoReturn]) -> None:
    joined = b"".join(names)
    if b"/" in joined or b"\0" in joined or not _DOTS.isdisjoint(names):
        fail("a directory holds a name that no file can have")
    if names and not 0 < min(map(len, names)) <= max(map(len, names)) <= limits.NAME_BYTES_MAX:
        fail("a directory holds a name of an impossible length")
    if not all(map(lt, names, islice(names, 1, None))):
        fail("a directory's names are not in order")


def _is_sound(entry: Entry) -> bool:
    """Do kind, form, size and count of an entry agree?"""
    kind, size, content = entry.kind, entry.size, entry.content
    form, value = content.form, content.value
    if kind == _DIR:
        sized = 0 <= size <= limits.SIZE_MAX and 0 <= entry.files <= limits.SIZE_MAX
        return sized and form == _TREE and len(value) == DIGEST_BYTES
    if entry.files != 1:
        return False
    if kind == _SYMLINK:
        return form == Form.SYMLINK and 0 < size == len(value) <= limits.SYMLINK_BYTES_MAX and b"\0" not in value
    if kind not in _FILES:
        return False
    if form == _CHUNK:
        return 0 < size <= limits.CHUNK_BYTES_MAX and len(value) == DIGEST_BYTES
    if form == _RECIPE:
        return 1 < size <= limits.SIZE_MAX and len(value) == DIGEST_BYTES
    return form == Form.EMPTY and size == 0 and not value


def _check_branches(branches: Sequence[TreeBranch]) -> None:
    if not 0 < len(branches) <= limits.PAGE_ENTRIES_MAX:
        raise Corrupt(f"a tree page has {len(branches)} branches")
    _check_names([branch.first for branch in branches], _corrupt)
    for branch in branches:
        sized = 0 <= branch.size <= limits.SIZE_MAX and 0 <= branch.files <= limits.SIZE_MAX
        if not sized or branch.entries < 1 or len(branch.child) != DIGEST_BYTES:
            raise Corrupt(f"the branch {branch.first!r} of a tree page contradicts itself")


def _corrupt(message: str) -> NoReturn:
    raise Corrupt(message)


def _bad_input(message: str) -> NoReturn:
    raise BadInput(message)


_LEAF: Codec[tuple[int, int, list[Entry]]] = Codec(
    tuple[int, int, list[Entry]], name="tree page", bytes_max=limits.PAGE_BYTES_MAX
)
_INNER: Codec[tuple[int, int, list[TreeBranch]]] = Codec(
    tuple[int, int, list[TreeBranch]], name="tree page", bytes_max=limits.PAGE_BYTES_MAX
)
_DOTS = frozenset({b".", b".."})
# Looked up once for each entry of each page: plain numbers, since members of an enumeration are found slowly.
_DIR, _SYMLINK, _FILES = int(Kind.DIR), int(Kind.SYMLINK), frozenset({int(Kind.FILE), int(Kind.EXEC)})
_CHUNK, _RECIPE, _TREE = int(Form.CHUNK), int(Form.RECIPE), int(Form.TREE)
_size = attrgetter("size")
_files = attrgetter("files")
_entries = attrgetter("entries")
