"""Listings that are cut off and go on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore_fuse.listing import Listing


@given(
    st.integers(0, 40),
    st.integers(1, 12),
    st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 45)), st.integers(0, 50))),
)
def test_any_stop_and_any_start(count: int, batch: int, steps: list[tuple[int | None, int]]) -> None:
    """However much a reader takes, wherever it goes on (None: where it stopped): the entries are the same."""
    everything = list(range(count))
    listing = Listing(lambda: (everything[at : at + batch] for at in range(0, count, batch)))
    here = 0
    for start, taken in steps:
        here = min(here if start is None else start, count)
        got = list(islice(listing.entries(here), taken))
        expected = everything[here : here + taken]
        assert got == [(value, value + 1) for value in expected]
        here = got[-1][1] if got else here


def test_beyond_the_end() -> None:
    """An offset that was never given ends the listing instead of beginning it again."""
    listing = Listing(lambda: iter([[1, 2], [3]]))
    assert list(listing.entries(10)) == []
    assert list(listing.entries(0)) == [(1, 1), (2, 2), (3, 3)]


def test_an_error_is_no_end() -> None:
    """A program that goes on after an error would take a part of a folder for all of it."""
    broken = True

    def begin() -> Iterator[list[int]]:
        yield [1, 2]
        if broken:
            raise OSError("a page is damaged")
        yield [3]

    listing = Listing(begin)
    for start in (0, 2, 0, 2):
        entries = listing.entries(start)
        assert list(islice(entries, 2 - start)) == [(1, 1), (2, 2)][start:]
        with pytest.raises(OSError, match="damaged"):
            next(entries)
    broken = False
    assert list(listing.entries(2)) == [(3, 3)]
