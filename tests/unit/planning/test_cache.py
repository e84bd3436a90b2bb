"""What goes first from the cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artstore.model import CachedPack
from artstore.planning.cache import CacheBounds, free_min, plan_trim, size_max

PLENTY = 1 << 50


def packs(*sizes: int) -> list[CachedPack]:
    """Packs of these sizes, used one after the other."""
    return [CachedPack(bytes([number]) * 16, size, number) for number, size in enumerate(sizes)]


def test_what_was_not_used_for_longest_goes_first() -> None:
    """The version that is being served would go, and last year's stay."""
    known = packs(10, 10, 10)
    going = plan_trim(reversed(known), room=5, size_max=30, free=PLENTY, free_min=0)
    assert going == [known[0].name]


def test_nothing_goes_while_there_is_room() -> None:
    """A cache that drops what it could keep is none."""
    assert plan_trim(packs(10, 10), room=10, size_max=30, free=PLENTY, free_min=0) == []


def test_a_disk_that_fills_up_is_left_free() -> None:
    """A training run beside the cache would end by a full disk."""
    assert len(plan_trim(packs(10, 10, 10), room=5, size_max=1000, free=12, free_min=20)) == 2


@given(
    st.lists(st.integers(1, 100), max_size=20),
    st.integers(0, 100),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
)
def test_bounds_hold_or_all_goes(sizes: list[int], room: int, bound: int, free: int, low: int) -> None:
    """The cache would grow beyond what was set."""
    known = packs(*sizes)
    going = set(plan_trim(known, room=room, size_max=bound, free=free, free_min=low))
    left = sum(pack.size for pack in known if pack.name not in going)
    freed = sum(sizes) - left
    held = left + room <= bound and free + freed - room >= low
    assert held or len(going) == len(known)
    if going:  # none too many
        last = max((pack for pack in known if pack.name in going), key=lambda pack: pack.used)
        assert left + last.size + room > bound or free + freed - last.size - room < low


def test_defaults_are_parts_of_the_disk() -> None:
    """A laptop's disk would be filled, or a server's left empty."""
    assert size_max(CacheBounds(), disk=500 * 10**9) == 50 * 10**9
    assert size_max(CacheBounds(), disk=10 * 10**12) == 100 * 10**9
    assert size_max(CacheBounds(size=7), disk=10**12) == 7
    assert free_min(CacheBounds(), disk=10**12) == 5 * 10**10
    assert free_min(CacheBounds(min_free=0), disk=10**12) == 0
