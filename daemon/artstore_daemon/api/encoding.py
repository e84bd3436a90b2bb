"""Documents as JSON. Names of files may be any bytes, JSON is text: what isn't UTF-8 is shown, not refused."""

from __future__ import annotations

from typing import cast

import msgspec


def encode(told: object) -> bytes:
    """A document. Bytes that aren't UTF-8, which Python holds as lone surrogates, become `\\xe9` and the like."""
    try:
        return msgspec.json.encode(told)
    except UnicodeEncodeError:
        return msgspec.json.encode(_readable(msgspec.to_builtins(told)))


def readable(text: str) -> str:
    """A text that can be encoded."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _readable(told: object) -> object:
    match told:
        case str():
            return readable(told)
        case list():
            return [_readable(each) for each in cast("list[object]", told)]
        case dict():
            return {readable(name): _readable(each) for name, each in cast("dict[str, object]", told).items()}
        case _:
            return told
