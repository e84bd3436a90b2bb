"""How much each version takes: exact, however much they share."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore.format.recipe import iter_chunks
from artstore.model import Digest, Form, ObjectKind, PackKind
from artstore.store.objects import Objects
from artstore.store.read import walk
from artstore.store.spill import Masks, Sorter
from artstore.store.usage import usage
from artstore.testing.planted import Link, Planted, Planter

Tree = dict[bytes, Planted]
LONG = random.Random(5).randbytes(1_000_000)
CONTENTS: list[Planted] = [
    b"",
    b"one",
    b"two",
    LONG,
    LONG[:600_000],
    LONG[300_000:],
    LONG + LONG,
    Link(b"x"),
    bytes(900_000),
]


class Noting(Objects):
    """Notes every object that is loaded."""

    def __init__(self, planter: Planter) -> None:
        super().__init__(planter.context)
        self.seen: set[bytes] = set()

    def load(self, kind: ObjectKind, id: bytes) -> bytes:
        """As it is loaded."""
        self.seen.add(id)
        return super().load(kind, id)


def objects_of(planter: Planter, version: Digest) -> set[bytes]:
    """The ids of everything that a version needs, found by reading all of it."""
    objects = Noting(planter)
    for _, entry in walk(objects, objects.version(version).tree):
        if entry.content.form == Form.RECIPE:
            objects.seen |= {chunk.id for _, chunk in iter_chunks(entry.content.value, objects.load)}
        elif entry.content.form == Form.CHUNK:
            objects.seen.add(entry.content.value)
    return objects.seen


def stored_bytes(planter: Planter, ids: set[bytes]) -> int:
    """What objects take in packs, with their headers and rows."""
    overhead = limits.FRAME_HEADER_BYTES + limits.TABLE_ENTRY_BYTES
    with planter.context.index.read() as reader:
        places = [reader.find(id) for id in ids]
    return sum(place.stored + overhead for place in places if place is not None)


def check(planter: Planter, versions: list[Digest]) -> None:
    """Usage is what reading each version in full tells."""
    found = usage(planter.context, Objects(planter.context), versions)
    needed = {version: objects_of(planter, version) for version in versions}
    assert found.stored == stored_bytes(planter, set[bytes]().union(*needed.values()))
    assert [row.version for row in found.versions] == list(dict.fromkeys(versions))
    for row in found.versions:
        others = set[bytes]().union(*(ids for version, ids in needed.items() if version != row.version))
        assert row.exclusive == stored_bytes(planter, needed[row.version] - others)
        assert row.exclusive + row.shared == stored_bytes(planter, needed[row.version])
        assert row.size == Objects(planter.context).version(row.version).size


names = st.sampled_from([b"a", b"b", b"c", b"d"])
trees: st.SearchStrategy[Tree] = st.dictionaries(
    names,
    st.recursive(st.sampled_from(CONTENTS), lambda below: st.dictionaries(names, below, max_size=3), max_leaves=6),
    max_size=4,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(trees, max_size=5), st.sampled_from([1, 2, 7, 1 << 20]))
def test_usage_is_exact(planter: Planter, wanted: list[Tree], ids_max: int) -> None:
    """Somebody would remove a version to free 400 GB, and get nothing."""
    versions = [planter.version(tree) for tree in wanted]
    planter.flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sorter.__init__, "__kwdefaults__", {"ids_max": ids_max})
        check(planter, versions)


def test_a_folder_within_another_version_counts_for_both(planter: Planter) -> None:
    """A version that is part of another one would seem to be free, or to cost twice."""
    inner: Tree = {b"x": LONG, b"y": {b"z": b"z"}}
    versions = [planter.version(inner), planter.version({b"deep": {b"inner": inner}, b"y": {b"z": b"z"}})]
    planter.flush()
    check(planter, versions)


def test_shared_folders_are_read_as_often_for_many_versions_as_for_one(planter: Planter) -> None:
    """`du` of a thousand nightly versions of one dataset would take a thousand times as long."""
    shared: Tree = {b"%04d" % number: {b"f": b"%d" % number} for number in range(300)}
    versions = [planter.version({b"data": shared, b"n": b"%d" % number}) for number in range(20)]
    planter.flush()
    loads: list[bytes] = []

    class Counting(Objects):
        """Counts what is loaded."""

        def load(self, kind: ObjectKind, id: bytes) -> bytes:
            loads.append(id)
            return super().load(kind, id)

    usage(planter.context, Counting(planter.context), versions)
    assert len(loads) <= 2 * (300 + 1 + 20) + 20


def test_a_lost_chunk_does_not_stop_the_count(planter: Planter) -> None:
    """Whoever looks for space on a damaged store would get an error instead."""
    version = planter.version({b"a": LONG, b"b": b"b"})
    planter.flush()
    with planter.context.index.write() as writer:
        for pack in list(writer.packs()):
            if pack.kind == PackKind.DATA:
                writer.remove_pack(pack.number)
    (row,) = usage(planter.context, Objects(planter.context), [version]).versions
    assert 0 < row.exclusive < 10_000


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 31)), max_size=80), st.integers(1, 9))
def test_the_sorter_unites_what_was_spilled(pairs: list[tuple[int, int]], ids_max: int) -> None:
    """An object of which two parts of the count know would be counted twice, or for one version only."""
    expected: dict[bytes, int] = {}
    with Sorter(Masks(), ids_max=ids_max) as sorter:
        for number, mask in pairs:
            id = bytes([number]) * 32
            sorter.add(id, mask)
            expected[id] = expected.get(id, 0) | mask
        assert list(sorter) == sorted(expected.items())
