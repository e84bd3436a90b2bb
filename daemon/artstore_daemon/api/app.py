"""The API as a Starlette application: each handler decodes, asks, and encodes."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import trio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as Path

from artstore import limits
from artstore.errors import ArtstoreError, NotFound, UsageError
from artstore_daemon import settings
from artstore_daemon.api import documents, metrics, openapi, views
from artstore_daemon.api.errors import problem, problem_of
from artstore_daemon.api.routes import EVENTS, ROUTES, Route
from artstore_daemon.api.security import Gate, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from artstore_daemon.daemon import Daemon

_log: Final = logging.getLogger(__name__)
T = TypeVar("T")
B = TypeVar("B", bound=msgspec.Struct)
_REFUSED: Final = {401: "unauthorized", 403: "refused", 415: "wrong_type", 421: "wrong_host"}


def application(daemon: Daemon, *, stop: trio.Event, gate: Gate | None) -> ASGIApp:
    """The API of a daemon. `gate`: what is asked of requests over TCP; None on the unix socket."""
    api = _Api(daemon, stop)
    paths: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {}
    for route in ROUTES:
        paths.setdefault(_starlette(route), {})[route.method] = partial(api.answer, route)
    served = [Path(path, partial(_choose, methods), methods=list(methods)) for path, methods in paths.items()]
    app = Starlette(routes=served, exception_handlers={HTTPException: _told, Exception: _broken})
    return _Guarded(app, gate)


class _Guarded:
    """Decides who is answered before anything is read."""

    def __init__(self, app: ASGIApp, gate: Gate | None) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            refusal = refuse(self._gate, scope["method"], scope["path"], headers)
            if refusal is not None:
                answer = problem(refusal.status, code=_REFUSED[refusal.status], detail=refusal.why, exit_code=2)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Api:
    """What each route does, by its name."""

    def __init__(self, daemon: Daemon, stop: trio.Event) -> None:
        self._daemon = daemon
        self._stop = stop
        self._limiter = trio.CapacityLimiter(limits.API_CALLS_MAX)

    async def answer(self, route: Route, request: Request) -> Response:
        """Answer one request; errors of ours as problems."""
        try:
            told: object = await getattr(self, f"on_{route.name}")(request, route)
        except ArtstoreError as error:
            return problem_of(error)
        if isinstance(told, Response):
            return told
        if route.status == 204:
            return Response(status_code=204)
        return Response(msgspec.json.encode(told), route.status, media_type=route.kind)

    async def _ask(self, work: Callable[[], T]) -> T:
        """What blocks."""
        return await trio.to_thread.run_sync(work, limiter=self._limiter)

    # --- what is told

    async def on_status(self, _: Request, __: Route) -> documents.Status:
        return await self._ask(lambda: views.status(self._daemon))

    async def on_watches(self, _: Request, __: Route) -> documents.Watches:
        return documents.Watches(watches=views.watches(self._daemon))

    async def on_watch(self, request: Request, _: Route) -> documents.WatchItem:
        name = request.path_params["artifact"]
        return _one(views.watches(self._daemon), name, lambda item: item.artifact, "watched")

    async def on_follows(self, _: Request, __: Route) -> documents.Follows:
        return documents.Follows(follows=views.follows(self._daemon))

    async def on_follow(self, request: Request, _: Route) -> documents.FollowItem:
        name = request.path_params["alias"]
        return _one(views.follows(self._daemon), name, lambda item: item.alias, "followed")

    async def on_versions(self, request: Request, route: Route) -> documents.Versions:
        asked = _query(request, route)
        artifact, after, limit = str(asked["artifact"]), str(asked["after"]), int(asked["limit"])
        return await self._ask(lambda: views.versions(self._daemon.store, artifact=artifact, after=after, limit=limit))

    async def on_version(self, request: Request, _: Route) -> documents.Version:
        return await self._ask(lambda: views.version(self._daemon.store, request.path_params["revision"]))

    async def on_refs(self, _: Request, __: Route) -> documents.Refs:
        return await self._ask(lambda: views.refs(self._daemon.store))

    async def on_metrics(self, _: Request, route: Route) -> Response:
        return Response(metrics.render(self._daemon), media_type=route.kind)

    async def on_healthz(self, _: Request, route: Route) -> Response:
        return Response("ok\n", media_type=route.kind)

    async def on_openapi(self, _: Request, __: Route) -> Response:
        return Response(json.dumps(openapi.document()), media_type="application/json")

    async def on_events(self, request: Request, route: Route) -> Response:
        known = request.headers.get("last-event-id", "")
        after = int(known) if known.isascii() and known.isdigit() else int(_query(request, route)["after"])
        return StreamingResponse(self._stream(after), media_type=EVENTS, headers={"cache-control": "no-store"})

    async def _stream(self, after: int) -> AsyncIterator[bytes]:
        yield b": it goes on from here\n\n"
        while not self._stop.is_set():
            told = None
            with trio.move_on_after(limits.API_EVENTS_S):
                told = await self._daemon.wait_for_happening(after)
            if told is None:
                yield b": still here\n\n"  # who went away is noticed by that
                continue
            for each in told:
                after = each.number
                data = msgspec.json.encode(views.happening(each)).decode()
                yield f"id: {each.number}\nevent: {each.kind}\ndata: {data}\n\n".encode()

    # --- what is done

    async def on_add_watch(self, request: Request, _: Route) -> documents.Watches:
        asked = await _body(request, documents.NewWatch)
        await self._ask(lambda: settings.add_watch(self._daemon.store.path, _watch_spec(asked)))
        return await self._changed_watches()

    async def on_change_watch(self, request: Request, _: Route) -> documents.Watches:
        asked = await _body(request, documents.ChangedWatch)
        name = request.path_params["artifact"]
        await self._ask(lambda: settings.pause_watch(self._daemon.store.path, name, paused=asked.paused))
        return await self._changed_watches()

    async def on_remove_watch(self, request: Request, _: Route) -> None:
        name = request.path_params["artifact"]
        await self._ask(lambda: settings.change_watch(self._daemon.store.path, name, lambda _: None))
        await self._daemon.reloaded()

    async def on_commit_now(self, request: Request, _: Route) -> documents.Asked:
        name = request.path_params["artifact"]
        names = self._daemon.commit_now(name)
        if not names:
            raise NotFound(f"nothing is watched as {name}")
        return documents.Asked(names=names)

    async def on_add_follow(self, request: Request, _: Route) -> documents.Follows:
        asked = await _body(request, documents.NewFollow)
        spec = settings.FollowSpec(
            asked.alias, asked.to, asked.hook, asked.remote, asked.poll_s or limits.FOLLOW_POLL_S
        )
        await self._ask(lambda: settings.add_follow(self._daemon.store.path, spec))
        await self._daemon.reloaded()
        return documents.Follows(follows=views.follows(self._daemon))

    async def on_remove_follow(self, request: Request, _: Route) -> None:
        name = request.path_params["alias"]
        await self._ask(lambda: settings.change_follow(self._daemon.store.path, name, lambda _: None))
        await self._ask(lambda: self._daemon.store.drop_followed(name))
        await self._daemon.reloaded()

    async def on_follow_now(self, request: Request, _: Route) -> documents.Asked:
        name = request.path_params["alias"]
        names = self._daemon.follow_now(name)
        if not names:
            raise NotFound(f"no alias is followed as {name}")
        return documents.Asked(names=names)

    async def on_reload(self, _: Request, __: Route) -> None:
        await self._daemon.reloaded()

    async def on_stop(self, _: Request, route: Route) -> Response:
        async def end() -> None:
            self._stop.set()

        told = documents.Asked(names=[str(os.getpid())])
        # Once it is told: what is under way then is given up.
        return Response(msgspec.json.encode(told), route.status, media_type=route.kind, background=BackgroundTask(end))

    async def _changed_watches(self) -> documents.Watches:
        await self._daemon.reloaded()
        return documents.Watches(watches=views.watches(self._daemon))


def _one(items: list[T], name: str, name_of: Callable[[T], str], what: str) -> T:
    found = next((item for item in items if name_of(item) == name), None)
    if found is None:
        raise NotFound(f"{name} isn't {what}")
    return found


def _query(request: Request, route: Route) -> dict[str, str | int]:
    """What is behind the `?`, within bounds. UsageError for what isn't known."""
    known = {query.name: query for query in route.query}
    for name in request.query_params:
        if name not in known:
            raise UsageError(f"there is no parameter {name!r}", hint=f"there are {', '.join(known)}")
    told: dict[str, str | int] = {}
    for query in route.query:
        text = request.query_params.get(query.name)
        if query.least is None:
            told[query.name] = text or ""
            continue
        assert query.default is not None
        assert query.most is not None
        is_number = text is None or (text.isascii() and text.isdigit() and len(text) <= len(str(query.most)))
        value = query.default if text is None or not is_number else int(text)
        if not is_number or not query.least <= value <= query.most:
            raise UsageError(f"{query.name} is a number from {query.least} to {query.most}, not {text!r}")
        told[query.name] = value
    return told


async def _body(request: Request, kind: type[B]) -> B:
    """The body, bounded, as a document. UsageError, telling what is wrong with it."""
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


def _watch_spec(asked: documents.NewWatch) -> settings.WatchSpec:
    if not os.path.isabs(asked.folder):
        raise UsageError(f"{asked.folder!r} is no absolute path")
    return settings.WatchSpec(
        artifact=asked.artifact,
        folder=os.path.realpath(asked.folder),
        settle_s=asked.settle_s or limits.WATCH_SETTLE_S,
        every_s=asked.every_s or max(limits.WATCH_EVERY_S, asked.settle_s or 0),
        exclude=tuple(asked.exclude),
        each=asked.each,
        ready=asked.ready,
        keep_last=asked.keep_last,
        push=tuple(asked.push),
        only=asked.only,
        limit_rate=asked.limit_rate,
        poll_s=asked.poll_s,
    )


def _starlette(route: Route) -> str:
    return "/".join(f"{part[:-1]}:path}}" if part.startswith("{") else part for part in route.path.split("/"))


async def _choose(methods: dict[str, Callable[[Request], Awaitable[Response]]], request: Request) -> Response:
    method = "GET" if request.method == "HEAD" else request.method
    return await methods[method](request)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, code="http", detail=error.detail, exit_code=2)


async def _broken(request: Request, error: Exception) -> Response:
    _log.error("%s %s broke", request.method, request.url.path, exc_info=error)
    return problem(500, code="bug", detail="artstore broke here; its log says more", exit_code=70)
