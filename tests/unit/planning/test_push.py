"""What a push sends: each object is at the remote afterwards, and what was there isn't sent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.model import Digest, PackKind, TableEntry
from artstore.planning.push import Gathered, LocalPack, Piece, plan_sends

ROW = limits.FRAME_HEADER_BYTES + limits.TABLE_ENTRY_BYTES
MIB = limits.MIB


def pack(number: int, sizes: Sequence[int], kind: PackKind = PackKind.DATA, first: int = 0) -> LocalPack:
    """A pack whose objects have these sizes; their ids count from `first`."""
    table: list[TableEntry] = []
    offset = 0
    for row, size in enumerate(sizes):
        table.append(TableEntry(id_of(first + row), offset, size, size, 0, int(kind)))
        offset += limits.FRAME_HEADER_BYTES + size
    return LocalPack(number, kind, offset + len(table) * limits.TABLE_ENTRY_BYTES + limits.TRAILER_BYTES, table)


def id_of(number: int) -> Digest:
    return Digest(number.to_bytes(32))


def rows_of(gathered: Gathered) -> list[tuple[int, int]]:
    """(pack, row) of all that is in a new pack, in order."""
    return [(piece.pack, row) for piece in gathered.pieces for run in piece.runs for row in run]


@st.composite
def stores(draw: st.DrawFn) -> tuple[list[LocalPack], dict[bytes, str]]:
    """Some packs, and what of them is known to be elsewhere."""
    packs: list[LocalPack] = []
    known: dict[bytes, str] = {}
    for number in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(PackKind))
        sizes = draw(st.lists(st.sampled_from([1, 1000, 60_000, 250_000, 3 * MIB]), min_size=1, max_size=40))
        packs.append(pack(number, sizes, kind, first=1000 * number))
        share = draw(st.integers(0, 10))
        for row in range(len(sizes)):
            if draw(st.integers(0, 9)) < share:
                known[id_of(1000 * number + row)] = f"p/{draw(st.integers(0, 3))}"
    return packs, known


@given(stores(), st.sampled_from([300_000, 2 * MIB, 8 * MIB]), st.sampled_from([3, 1 << 16]))
def test_all_is_there_afterwards(store: tuple[list[LocalPack], dict[bytes, str]], target: int, count: int) -> None:
    """A version would be named that lacks an object, or of which all was sent again."""
    packs, known = store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "PACK_BYTES_TARGET", target)
        patch.setattr(limits, "METAPACK_BYTES_TARGET", target // 2)
        patch.setattr(limits, "PACK_ENTRIES_MAX", count)
        sends = plan_sends(iter(packs), known)
    by_number = {each.number: each for each in packs}
    assert sorted([*sends.whole, *sends.found]) == [each.number for each in packs]
    sent = [row for each in sends.gathered for row in rows_of(each)]
    for number, keys in sends.found.items():
        table = by_number[number].table
        assert keys == {known[entry.id] for entry in table if entry.id in known}
        lacking = [(number, row) for row, entry in enumerate(table) if entry.id not in known]
        assert [at for at in sent if at[0] == number] == lacking, "each once, in order"
    assert {number for number, _ in sent} <= sends.found.keys()
    for each in sends.gathered:
        rows = rows_of(each)
        assert rows == sorted(rows)
        assert {by_number[number].kind for number, _ in rows} == {each.kind}
        assert each.size == limits.TRAILER_BYTES + sum(
            by_number[number].table[row].stored + ROW for number, row in rows
        )
        most = target if each.kind is PackKind.DATA else target // 2
        assert len(rows) == 1 or each.size <= most
        assert len(rows) <= count


def test_several_packs_become_one() -> None:
    """A hundred commits that share most with the remote would become a hundred small packs there."""
    packs = [pack(number, [250_000] * 8, first=8 * number) for number in range(3)]
    known: dict[bytes, str] = {id_of(number): "p/a" for number in range(24) if number % 8 not in (2, 3, 6)}
    (made,) = plan_sends(packs, known).gathered
    runs = (range(2, 4), range(6, 7))
    assert made.pieces == (Piece(0, runs), Piece(1, runs), Piece(2, runs))


def test_a_pack_of_which_nothing_is_known_is_sent_as_it_is() -> None:
    """The next push would have to look it up, object by object."""
    sends = plan_sends([pack(1, [60_000] * 100), pack(2, [1] * 60_000)], {})
    assert (sends.whole, sends.found, sends.gathered) == ([1, 2], {}, [])


@pytest.mark.parametrize(
    ("sizes", "known", "is_whole"),
    [
        ([100_000] * 100, 9, True),  # less than a tenth
        ([100_000] * 100, 10, False),
        ([50_000] * 10, 5, True),  # half, which is little
        ([60_000] * 10, 5, False),
        ([1000], 1, False),  # all of it
    ],
)
def test_what_would_save_little_is_sent_whole(sizes: list[int], known: int, is_whole: bool) -> None:
    """A remote full of packs of one chunk, to spare a few bytes."""
    there: dict[bytes, str] = {id_of(number): "p/a" for number in range(known)}
    sends = plan_sends([pack(7, sizes)], there)
    assert (sends.whole == [7]) == is_whole
    assert (7 in sends.found) != is_whole
