"""MessagePack as artstore writes it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import BadInput, Corrupt, NewerFormat
from artstore.format.document import Codec

Value = tuple[int, dict[str, int | float | str | None]]
CODEC: Codec[Value] = Codec(Value, name="thing", bytes_max=300)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.one_of(st.integers(-(1 << 63), (1 << 64) - 1), st.floats(allow_nan=False), st.text(max_size=9), st.none())


@given(st.dictionaries(keys, values, max_size=4))
def test_values_come_back(value: dict[str, int | float | str | None]) -> None:
    """A version's metadata would change when it is stored."""
    assert CODEC.decode(CODEC.encode((1, value))) == (1, value)


@given(st.dictionaries(keys, values, max_size=4))
def test_the_order_of_keys_changes_nothing(value: dict[str, int | float | str | None]) -> None:
    """Equal metadata would give two ids."""
    assert CODEC.encode((1, dict(reversed(value.items())))) == CODEC.encode((1, value))


@given(st.dictionaries(keys, values, max_size=3), st.data())
def test_no_other_bytes_give_a_value(value: dict[str, int | float | str | None], data: st.DataObject) -> None:
    """Two encodings of one version would have two ids, and one of them could hide in a store."""
    encoded = CODEC.encode((1, value))
    at = data.draw(st.integers(0, len(encoded) - 1))
    changed = encoded[:at] + data.draw(st.binary(max_size=3)) + encoded[at + 1 :]
    try:
        read = CODEC.decode(changed)
    except (Corrupt, NewerFormat):
        return
    assert CODEC.encode(read) == changed


@pytest.mark.parametrize(
    "data",
    [
        "",
        "92",
        "0180",
        "9200 80",
        "92ff 80",
        "92cc01 80",
        "dc0002 01 80",
        "9101",
        "9301 80 00",
        "9201 80 00",
        "9201 8161",
        "9201 81 a161 cc05",
        "9201 81 a161 d005",
        "9201 81 d90161 05",
        "9201 de0001 a161 05",
        "9201 81 a161 ca3f800000",
        "9201 82 a162 01 a161 02",
        "9201 82 a161 01 a161 02",
        "9201 81 c40161 05",
        "9201 81 a1ff 05",
        "9201 81 a161 c40105",
        "9201 81 a161 c3",
        "9201 81 a161 d4 0100",
        "9201 81 a161 c1",
    ],
)
def test_what_encoding_never_gives_is_refused(data: str) -> None:
    """Equal content could have different ids, or bytes could hide in a document."""
    with pytest.raises(Corrupt):
        CODEC.decode(bytes.fromhex(data))


def test_a_later_format_asks_for_an_upgrade_whatever_follows() -> None:
    """A user of an old release would be told that the store is damaged."""
    for data in (b"\x92\x02\x80", b"\x9f\x7fwhatever", b"\x92\x02" + bytes(1000)):
        with pytest.raises(NewerFormat):
            CODEC.decode(data)


def test_too_much_is_refused_both_ways() -> None:
    """A document could fill the memory of whoever reads it, or be written and never be read again."""
    value = {"k" * i: "v" for i in range(1, 30)}
    with pytest.raises(BadInput):
        CODEC.encode((1, dict(value)))
    with pytest.raises(Corrupt):
        CODEC.decode(msgspec.msgpack.encode((1, value), order="sorted"))


@pytest.mark.parametrize("value", [1 << 64, -(1 << 63) - 1, "\udc80"])
def test_what_messagepack_cannot_hold_is_bad_input(value: int | str) -> None:
    """The user would see a traceback for a parameter that is too big."""
    with pytest.raises(BadInput):
        CODEC.encode((1, {"k": value}))
