"""Who may ask over TCP. Pure; over the unix socket the rights of its file have decided already.

A page that a browser shows may send requests to 127.0.0.1 as well as any program: it has no token, but must not even
get as far as to be told so by a name of its own that leads here (DNS rebinding), nor use what a browser adds by itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OPEN: Final = frozenset({"/healthz"})  # says nothing of anybody
_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Refusal:
    """`status`: HTTP's."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Gate:
    """What is asked of requests over TCP."""

    token: str
    port: int


def refuse(gate: Gate | None, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
    """Why a request isn't answered; None if it is. `headers`: by lower-case name; `gate`: None on the unix socket."""
    if method in _CHANGING and _has_body(headers) and not _is_json(headers.get("content-type", "")):
        return Refusal(415, "the body has to be application/json")
    if gate is None:
        return None
    if headers.get("host", "").lower() not in {f"{host}:{gate.port}" for host in _HOSTS}:
        return Refusal(421, "this is not the host that was asked for")
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return Refusal(403, "pages of browsers aren't answered")
    if path in _OPEN:
        return None
    given = headers.get("authorization", "")
    # Compared in a time that doesn't tell how much of it is right.
    if given[: len(_BEARER)].lower() == _BEARER and hmac.compare_digest(
        given[len(_BEARER) :].strip().encode(), gate.token.encode()
    ):
        return None
    return Refusal(401, "the token is missing, or another one")


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
