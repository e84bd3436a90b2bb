"""The table of routes: what may be asked, with what, and what is told. `app` serves it, `openapi` describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from artstore_daemon.api import documents

EVENTS: Final = "text/event-stream"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter behind the `?`: text unless it has bounds."""

    name: str
    about: str
    least: int | None = None
    most: int | None = None
    default: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that may be asked. `{name}` in a path may hold slashes; `kind`: of an answer that isn't JSON."""

    method: str
    path: str
    name: str
    about: str
    answer: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    query: tuple[Query, ...] = ()
    kind: str = "application/json"
    status: int = 200

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


_PAGE: Final = (
    Query("artifact", "Only of this artifact."),
    Query("after", "Only names behind this one."),
    Query("limit", "At most so many.", 1, 1000, 100),
)
ROUTES: Final = (
    Route("GET", "/v1/status", "status", "The daemon at a glance.", documents.Status),
    Route("GET", "/v1/watches", "watches", "All watched folders.", documents.Watches),
    Route("POST", "/v1/watches", "add_watch", "Watch a folder.", documents.Watches, documents.NewWatch, status=201),
    Route(
        "POST", "/v1/watches/{artifact}/now", "commit_now", "Commit a watched folder now.", documents.Asked, status=202
    ),
    Route("GET", "/v1/watches/{artifact}", "watch", "One watched folder.", documents.WatchItem),
    Route(
        "PATCH",
        "/v1/watches/{artifact}",
        "change_watch",
        "Leave a folder alone, or go on with it.",
        documents.Watches,
        documents.ChangedWatch,
    ),
    Route("DELETE", "/v1/watches/{artifact}", "remove_watch", "Watch it no more.", status=204),
    Route("GET", "/v1/follows", "follows", "All followed aliases.", documents.Follows),
    Route("POST", "/v1/follows", "add_follow", "Follow an alias.", documents.Follows, documents.NewFollow, status=201),
    Route("POST", "/v1/follows/{alias}/now", "follow_now", "Try again now what failed.", documents.Asked, status=202),
    Route("GET", "/v1/follows/{alias}", "follow", "One followed alias.", documents.FollowItem),
    Route("DELETE", "/v1/follows/{alias}", "remove_follow", "Follow it no more.", status=204),
    Route("GET", "/v1/versions", "versions", "Tags, page by page.", documents.Versions, query=_PAGE),
    Route("GET", "/v1/versions/{revision}", "version", "One version, by any revision.", documents.Version),
    Route("GET", "/v1/refs", "refs", "All aliases.", documents.Refs),
    Route(
        "GET",
        "/v1/events",
        "events",
        "What happens, as server-sent events; `Last-Event-ID`, or `after`, says from where.",
        query=(Query("after", "The number of the last one that is known.", 0, 1 << 53, 0),),
        kind=EVENTS,
    ),
    Route("POST", "/v1/reload", "reload", "Look at the config again.", status=204),
    Route("POST", "/v1/stop", "stop", "End the daemon.", status=202, answer=documents.Asked),
    Route("GET", "/metrics", "metrics", "Prometheus's text.", kind=METRICS),
    Route("GET", "/healthz", "healthz", "Does it answer?", kind=TEXT),
    Route("GET", "/openapi.json", "openapi", "This, as OpenAPI 3.1."),
)
