"""Listings that are cut off and go on."""

from __future__ import annotations

from itertools import islice

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
