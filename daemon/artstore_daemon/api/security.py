"""Who may ask over TCP. Pure; over the unix socket the rights of its file have decided already.

A page that a browser shows may send requests to 127.0.0.1 as well as any program: it has no token, but must not even
get as far as to be told so by a name of its own that leads here (DNS rebinding), nor use what a browser adds by itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

CHANGING: Final = frozenset({"POST", "PATCH", "DELETE"})
_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
_OPEN: Final = frozenset({"/healthz"})  # says nothing of anybody
_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Refusal:
    """`status`: HTTP's; `code`: the same as a word."""

    status: int
    code: str
    why: str


UNKNOWN: Final = Refusal(401, "unauthorized", "the token is missing, or another one")
OF_A_PAGE: Final = Refusal(403, "refused", "pages of browsers aren't answered")
WRONG_KIND: Final = Refusal(415, "wrong_type", "the content type has to be application/json")
WRONG_HOST: Final = Refusal(421, "wrong_host", "this is not the host that was asked for")
REFUSALS: Final = (UNKNOWN, OF_A_PAGE, WRONG_KIND, WRONG_HOST)


@dataclass(frozen=True, slots=True)
class Gate:
    """What is asked of requests over TCP. Its token is in no text of it, as of a traceback."""

    token: str = field(repr=False)
    port: int

    def __post_init__(self) -> None:
        assert self.token  # an empty one would be anybody's


def refuse(gate: Gate | None, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
    """Why a request isn't answered; None if it is. `headers`: by lower-case name; `gate`: None on the unix socket."""
    if gate is None:
        return _refuse_kind(method, headers, is_asked="content-type" in headers or _has_body(headers))
    if headers.get("host", "").lower() not in {f"{host}:{gate.port}" for host in _HOSTS}:
        return WRONG_HOST
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return OF_A_PAGE
    if path not in _OPEN and not _is_known(gate, headers.get("authorization", "")):
        return UNKNOWN
    # What a page may send without asking first is a form, or nothing at all: neither has this type.
    return _refuse_kind(method, headers, is_asked=True)


def _refuse_kind(method: str, headers: Mapping[str, str], *, is_asked: bool) -> Refusal | None:
    if method in CHANGING and is_asked and not _is_json(headers.get("content-type", "")):
        return WRONG_KIND
    return None


def _is_known(gate: Gate, given: str) -> bool:
    # Compared in a time that doesn't tell how much of it is right.
    return given[: len(_BEARER)].lower() == _BEARER and hmac.compare_digest(
        given[len(_BEARER) :].strip().encode(), gate.token.encode()
    )


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
