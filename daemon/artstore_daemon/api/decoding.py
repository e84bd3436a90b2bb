"""What is asked, as values: parameters, bodies, the number of an event. All of it is bounded; UsageError says what is
wrong with it.
"""

from __future__ import annotations

import os
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from artstore import limits
from artstore.errors import UsageError
from artstore_daemon.api import documents
from artstore_daemon.api.encoding import readable
from artstore_daemon.api.routes import Query, Route
from artstore_daemon.settings import FollowSpec, WatchSpec

B = TypeVar("B", bound=msgspec.Struct)
_DIGITS_MAX: Final = 16  # of the greatest event that is asked for, 2**53


@dataclass(frozen=True, slots=True)
class Page:
    """Which tags: of one artifact, or of all if that is empty; those behind `after`, `limit` of them at most."""

    artifact: str
    after: str
    limit: int


def page(request: Request, route: Route) -> Page:
    """Of a list of versions."""
    asked = _parameters(request, route)
    return Page(str(asked["artifact"]), str(asked["after"]), int(asked["limit"]))


def last_event(request: Request, route: Route) -> int:
    """The number of the last event that is known already: a browser that reconnects says it in a header."""
    asked = _parameters(request, route)
    known = request.headers.get("last-event-id", "")
    return int(known) if _is_number(known, _DIGITS_MAX) else int(asked["after"])


async def body(request: Request, kind: type[B]) -> B:
    """The body as a document."""
    data = bytearray()
    try:
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                data += piece
                if len(data) > limits.API_BODY_BYTES_MAX:
                    raise UsageError(f"the body has more than {limits.API_BODY_BYTES_MAX} bytes")
    except ClientDisconnect as error:
        raise UsageError("the body ended before its time") from error
    try:
        return msgspec.json.decode(bytes(data), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the body makes no sense: {error}") from error


def watch_spec(asked: documents.NewWatch) -> WatchSpec:
    """What is to be watched. It asks the file system."""
    settle_s = asked.settle_s or limits.WATCH_SETTLE_S
    return WatchSpec(
        artifact=asked.artifact,
        folder=os.path.realpath(_absolute(asked.folder)),
        settle_s=settle_s,
        every_s=asked.every_s or max(limits.WATCH_EVERY_S, settle_s),
        exclude=tuple(asked.exclude),
        each=asked.each,
        ready=asked.ready,
        keep_last=asked.keep_last,
        push=tuple(asked.push),
        only=asked.only,
        limit_rate=asked.limit_rate,
        poll_s=None if asked.poll_s is None else max(asked.poll_s, limits.WATCH_LOOK_S),
    )


def follow_spec(asked: documents.NewFollow) -> FollowSpec:
    """What is to be followed."""
    return FollowSpec(
        alias=asked.alias,
        to=None if asked.to is None else os.path.normpath(_absolute(asked.to)),
        hook=asked.hook,
        remote=asked.remote,
        poll_s=max(asked.poll_s or limits.FOLLOW_POLL_S, limits.FOLLOW_POLL_S_MIN),
    )


def _parameters(request: Request, route: Route) -> dict[str, str | int]:
    """What is behind the `?`: what isn't known is a mistake of whoever asks, not to be passed over."""
    known = {query.name: query for query in route.query}
    for name in request.query_params:
        if name not in known:
            raise UsageError(f"there is no parameter {readable(name)!r}", hint=f"there are {', '.join(known)}")
    return {query.name: _parameter(query, request.query_params.get(query.name)) for query in route.query}


def _parameter(query: Query, text: str | None) -> str | int:
    if query.least is None:
        return text or ""
    assert query.default is not None
    assert query.most is not None
    if text is None:
        return query.default
    value = int(text) if _is_number(text, len(str(query.most))) else None
    if value is None or not query.least <= value <= query.most:
        raise UsageError(f"{query.name} is a number from {query.least} to {query.most}, not {readable(text[:80])!r}")
    return value


def _is_number(text: str, digits_max: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits_max


def _absolute(path: str) -> str:
    """The daemon's own folder is nobody's."""
    if not os.path.isabs(path):
        raise UsageError(f"{path!r} is no absolute path", hint="begin it with /")
    return path
