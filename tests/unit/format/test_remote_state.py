"""gc/state in its two formats."""

from __future__ import annotations

import msgspec
import pytest

from artstore.errors import Corrupt, NewerFormat
from artstore.format.ids import checksum
from artstore.format.remote import CondemnedPack, FormerGrace, GcState, changed_state, decode_remote, encode_remote

PACK = f"p/{'0' * 24}/00000001"
STATE = GcState(b"w" * 16, 3, 100, False, 7, [CondemnedPack(PACK, 5)], [])


def sealed(value: object) -> bytes:
    data = msgspec.msgpack.encode(value)
    return data + checksum(data)[:16]


def test_what_every_release_reads_stays_as_it_is() -> None:
    """A release that is out would refuse each remote that a newer one has written to."""
    assert encode_remote(STATE) == sealed([1, [b"w" * 16, 3, 100, False, 7, [[PACK, 5]], []]])
    assert decode_remote(GcState, encode_remote(STATE)) == STATE


@pytest.mark.parametrize("changes", [{"former": FormerGrace(200, None)}, {"holder": "anna on gpu7", "exclusive": True}])
def test_what_a_release_has_to_know_has_a_format_of_its_own(changes: dict[str, object]) -> None:
    """It would collect too early, or write what nobody else reads."""
    state = changed_state(STATE, **changes)
    data = encode_remote(state)
    assert data[1] == 2
    assert decode_remote(GcState, data) == state


def test_what_nobody_writes() -> None:
    """Two encodings of one state would have two ETags, and a flipped bit would pass."""
    fields: list[object] = [b"w" * 16, 3, 100, False, 7, [], []]
    values: list[object] = [
        [2, [*fields, None, ""]],
        [2, fields],
        [1, [*fields, None, "x"]],
        [2, [*fields, [50, None], ""]],
    ]
    for value in values:
        with pytest.raises(Corrupt):
            decode_remote(GcState, sealed(value))
    with pytest.raises(NewerFormat):
        decode_remote(GcState, sealed([3, fields]))
