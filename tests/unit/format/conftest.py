"""What the tests of the format share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from artstore import limits
from artstore.format import page


@pytest.fixture(scope="class")
def small_pages() -> Iterator[None]:
    """Pages of few items, so that a hundred entries make several levels. The rules are the same.

    Of class scope, since hypothesis refuses those of one function: undone after each test all the same.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "PAGE_ENTRIES_MIN", 3)
        patch.setattr(limits, "PAGE_ENTRIES_MAX", 12)
        patch.setattr(limits, "PAGE_BYTES_MAX", 800)
        patch.setattr(page, "HIT_MASK", 3)
        yield
