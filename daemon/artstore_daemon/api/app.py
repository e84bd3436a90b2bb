"""The API as a Starlette application: each handler decodes, asks, and encodes."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from artstore import wiring
from artstore.errors import ArtstoreError, Conflict, NotFound
from artstore_daemon import settings
from artstore_daemon.api import decoding, documents, metrics, openapi, views
from artstore_daemon.api.encoding import encode
from artstore_daemon.api.errors import problem, problem_of
from artstore_daemon.api.events import EventStream
from artstore_daemon.api.routes import ROUTES, Route
from artstore_daemon.api.security import UNKNOWN, Gate, Refusal, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from artstore_daemon.daemon import Daemon

_log: Final = logging.getLogger(__name__)
T = TypeVar("T")
Handler = Callable[[Request, Route], Awaitable[object]]
Served = Callable[[Request], Awaitable[Response]]
_BUG_EXIT: Final = 70  # as the command line ends with


def application(daemon: Daemon, *, stop: trio.Event, gate: Gate | None, limiter: trio.CapacityLimiter) -> ASGIApp:
    """The API of a daemon. `gate`: what is asked of requests over TCP; None on the unix socket. `limiter`: of what
    blocks, one for all applications of a daemon.
    """
    api = _Api(daemon, stop, limiter)
    paths: dict[str, dict[str, Served]] = {}
    for route in ROUTES:
        handler: Handler = getattr(api, f"on_{route.name}")
        paths.setdefault(_starlette(route), {})[route.method] = partial(_answer, route, handler)
    served = [Path(path, partial(_choose, methods), methods=list(methods)) for path, methods in paths.items()]
    app = Starlette(routes=served, exception_handlers={HTTPException: _told})
    app.router.redirect_slashes = False  # to a host of whoever asks
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
                await _refused(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)  # which serves nothing but HTTP


class _Api:
    """What each route does, by its name."""

    def __init__(self, daemon: Daemon, stop: trio.Event, limiter: trio.CapacityLimiter) -> None:
        self._daemon = daemon
        self._stop = stop
        self._limiter = limiter
        self._place = daemon.store.path

    async def _ask(self, work: Callable[[], T]) -> T:
        """What blocks. It runs on a thread: the daemon's own state is looked at in its loop alone."""
        return await trio.to_thread.run_sync(work, limiter=self._limiter)

    # --- what is told

    async def on_status(self, _: Request, __: Route) -> documents.Status:
        config = await self._ask(lambda: wiring.load_config(self._place))
        return views.status(self._daemon, store_id=config.id)

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
        page = decoding.page(request, route)
        return await self._ask(lambda: views.versions(self._daemon.store, page))

    async def on_version(self, request: Request, _: Route) -> documents.Version:
        revision = request.path_params["revision"]
        return await self._ask(lambda: views.version(self._daemon.store, revision))

    async def on_refs(self, _: Request, __: Route) -> documents.Refs:
        return await self._ask(lambda: views.refs(self._daemon.store))

    async def on_events(self, request: Request, route: Route) -> Response:
        after = decoding.last_event(request, route)
        if request.method == "HEAD":  # a stream without end, of nothing
            return Response(media_type=route.kind)
        return EventStream(self._daemon, after=after, stop=self._stop)

    async def on_metrics(self, _: Request, route: Route) -> Response:
        return Response(metrics.render(self._daemon), media_type=route.kind)

    async def on_healthz(self, _: Request, route: Route) -> Response:
        return Response("ok\n", media_type=route.kind)

    async def on_openapi(self, _: Request, __: Route) -> object:
        return openapi.document()

    # --- what is done

    async def on_add_watch(self, request: Request, _: Route) -> documents.Watches:
        asked = await decoding.body(request, documents.NewWatch)
        await self._ask(lambda: settings.add_watch(self._place, decoding.watch_spec(asked)))
        return await self._changed_watches()

    async def on_change_watch(self, request: Request, _: Route) -> documents.Watches:
        asked = await decoding.body(request, documents.ChangedWatch)
        name = request.path_params["artifact"]
        await self._ask(lambda: settings.pause_watch(self._place, name, paused=asked.paused))
        return await self._changed_watches()

    async def on_remove_watch(self, request: Request, _: Route) -> None:
        name = request.path_params["artifact"]
        await self._ask(lambda: settings.change_watch(self._place, name, lambda _: None))
        await self._daemon.reloaded()

    async def on_commit_now(self, request: Request, _: Route) -> documents.Asked:
        name = request.path_params["artifact"]
        if any(watching.spec.artifact == name and watching.spec.paused for watching in self._daemon.watchings):
            raise Conflict(f"{name} is paused", hint=f"`artstore watch resume {name}` first")
        return _asked(self._daemon.commit_now(name), f"nothing is watched as {name}")

    async def on_add_follow(self, request: Request, _: Route) -> documents.Follows:
        asked = await decoding.body(request, documents.NewFollow)
        await self._ask(lambda: settings.add_follow(self._place, decoding.follow_spec(asked)))
        await self._daemon.reloaded()
        return documents.Follows(follows=views.follows(self._daemon))

    async def on_remove_follow(self, request: Request, _: Route) -> None:
        name = request.path_params["alias"]
        await self._ask(lambda: settings.change_follow(self._place, name, lambda _: None))
        await self._ask(lambda: self._daemon.store.drop_followed(name))
        await self._daemon.reloaded()

    async def on_follow_now(self, request: Request, _: Route) -> documents.Asked:
        name = request.path_params["alias"]
        return _asked(self._daemon.follow_now(name), f"no alias is followed as {name}")

    async def on_reload(self, _: Request, __: Route) -> None:
        await self._daemon.reloaded()

    async def on_stop(self, _: Request, __: Route) -> documents.Asked:
        self._stop.set()  # which leaves the time to say so
        return documents.Asked(names=[str(os.getpid())])

    async def _changed_watches(self) -> documents.Watches:
        await self._daemon.reloaded()
        return documents.Watches(watches=views.watches(self._daemon))


def _one(items: list[T], name: str, name_of: Callable[[T], str], what: str) -> T:
    found = next((item for item in items if name_of(item) == name), None)
    if found is None:
        raise NotFound(f"{name} isn't {what}")
    return found


def _asked(names: list[str], nobody: str) -> documents.Asked:
    if not names:
        raise NotFound(nobody)
    return documents.Asked(names=names)


def _starlette(route: Route) -> str:
    return "/".join(f"{part[:-1]}:path}}" if part.startswith("{") else part for part in route.path.split("/"))


async def _choose(methods: dict[str, Served], request: Request) -> Response:
    method = "GET" if request.method == "HEAD" else request.method
    return await methods[method](request)


async def _answer(route: Route, handler: Handler, request: Request) -> Response:
    """The answer to one request; what goes wrong is a problem, and a bug of ours is told the log, once."""
    try:
        told = await handler(request, route)
        if isinstance(told, Response):
            return told
        if route.status == 204:
            return Response(status_code=204)
        return Response(encode(told), route.status, media_type=route.kind)
    except ArtstoreError as error:
        return problem_of(error)
    except Exception:  # noqa: BLE001 - the rim of a request: whoever asks is told no more than that
        _log.exception("%s %r broke", request.method, request.url.path)
        return problem(500, code="bug", detail="artstore broke here; its log says more", exit_code=_BUG_EXIT)


def _refused(refusal: Refusal) -> Response:
    headers = {"www-authenticate": "Bearer"} if refusal is UNKNOWN else {}
    return problem(refusal.status, code=refusal.code, detail=refusal.why, exit_code=2, headers=headers)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, code="http", detail=error.detail, exit_code=2, headers=error.headers)
