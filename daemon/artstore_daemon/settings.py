"""What the daemon is asked to do, as STORE/config.toml has it: `[watches.ARTIFACT]` and `[follows.ALIAS]`.

Commands change it whether or not a daemon runs; a daemon that does is told to look again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeVar, cast

from artstore import limits, wiring
from artstore.errors import BadName, Conflict, Corrupt, NotFound, UsageError
from artstore.revision import check_artifact_name, check_ref_name
from artstore.wiring import reaching
from artstore_daemon.machine.folder import require_rules
from artstore_daemon.machine.hours import parse_hours
from artstore_daemon.watch.looking import mount_point_of

if TYPE_CHECKING:
    from collections.abc import Callable

WATCHES: Final = "watches"
FOLLOWS: Final = "follows"
_BY_HAND: Final = "mend it by hand"


@dataclass(frozen=True, slots=True)
class WatchSpec:
    """A folder that becomes versions of an artifact.

    `each`: a pattern of its sub-folders, each of which becomes one version, under its own name; `ready`: a file that
    has to be there first. `push`: remotes; `only`: hours in which pushes begin; `limit_rate`: bytes a second of them.
    `poll_s`: how often to look where the system doesn't tell of changes, or always, if it is given. `mount`: where the
    disk is mounted that it lay on when it was added, by `add_watch`: without its disk it is no empty folder.
    """

    artifact: str
    folder: str
    settle_s: float = limits.WATCH_SETTLE_S
    every_s: float = limits.WATCH_EVERY_S
    exclude: tuple[str, ...] = ()
    each: str | None = None
    ready: str | None = None
    keep_last: int | None = None
    push: tuple[str, ...] = ()
    only: str | None = None
    limit_rate: int | None = None
    poll_s: float | None = None
    mount: str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class FollowSpec:
    """An alias that is followed. `to`: a symlink that leads to its version's files; `hook`: a command that is run when
    it has switched; `poll_s`: how often the remote is asked.
    """

    alias: str
    to: str | None = None
    hook: str | None = None
    remote: str | None = None
    poll_s: float = limits.FOLLOW_POLL_S
    paused: bool = False


S = TypeVar("S", WatchSpec, FollowSpec)


def watches(store: str) -> dict[str, WatchSpec]:
    """By artifact, in the order in which they were added. Corrupt: somebody has changed it by hand, and not well."""
    return {name: _watch_of(store, name, table) for name, table in wiring.section(store, WATCHES).items()}


def follows(store: str) -> dict[str, FollowSpec]:
    """By alias, in the order in which they were added. Corrupt."""
    return {name: _follow_of(store, name, table) for name, table in wiring.section(store, FOLLOWS).items()}


def add_watch(store: str, spec: WatchSpec) -> None:
    """Watch a folder from now on. Conflict if the artifact has one, or the folder is watched; UsageError, NotFound."""
    _require_watch(store, spec)
    spec = replace(spec, mount=mount_point_of(spec.folder))

    def change(tables: dict[str, Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
        for name, table in tables.items():
            if name == spec.artifact:
                raise Conflict(
                    f"{name} is made of {table.get('folder')} already",
                    hint=f"`artstore watch remove {name}` first, or --artifact gives this one another name",
                )
            if table.get("folder") == spec.folder and not (table.get("each") and spec.each):
                raise Conflict(f"{spec.folder} is watched already, for {name}")
        return {**tables, spec.artifact: _table(spec)}

    wiring.change_section(store, WATCHES, change)


def add_follow(store: str, spec: FollowSpec) -> None:
    """Follow an alias from now on. Conflict if it is followed already, or something else is at `to`."""
    check_ref_name(spec.alias)
    _require_text(spec)
    if spec.remote is not None:
        reaching.find_remote(store, spec.remote)
    if spec.to is not None and os.path.lexists(spec.to) and not os.path.islink(spec.to):
        raise Conflict(f"{spec.to} is no symlink, and would be replaced", hint="name a path where nothing is")

    def change(tables: dict[str, Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
        if spec.alias in tables:
            raise Conflict(
                f"{spec.alias} is followed already", hint=f"`artstore follow --remove {spec.alias}` ends that"
            )
        for name, table in tables.items():
            if spec.to is not None and table.get("to") == spec.to:
                raise Conflict(f"{spec.to} is where {name} is followed to")
        return {**tables, spec.alias: _table(spec)}

    wiring.change_section(store, FOLLOWS, change)


def find_watch(store: str, word: str) -> WatchSpec:
    """The watch of an artifact, or of a folder. NotFound with those that there are."""
    found = watches(store)
    folder = os.path.realpath(word)
    for spec in found.values():
        if word == spec.artifact or folder == spec.folder:
            return spec
    raise _unknown("watch", word, found)


def find_follow(store: str, alias: str) -> FollowSpec:
    """How an alias is followed. NotFound with those that are."""
    found = follows(store)
    if alias not in found:
        raise _unknown("follow", alias, found)
    return found[alias]


def change_watch(store: str, artifact: str, change: Callable[[WatchSpec], WatchSpec | None]) -> None:
    """Replace a watch by what `change` makes of it; None: remove it. NotFound."""
    _change(store, WATCHES, artifact, lambda table: change(_watch_of(store, artifact, table)))


def change_follow(store: str, alias: str, change: Callable[[FollowSpec], FollowSpec | None]) -> None:
    """The same of how an alias is followed."""
    _change(store, FOLLOWS, alias, lambda table: change(_follow_of(store, alias, table)))


def pause_watch(store: str, artifact: str, *, paused: bool) -> None:
    """Leave a folder alone until further notice, or no more."""
    change_watch(store, artifact, lambda spec: replace(spec, paused=paused))


def _change(
    store: str, section: str, name: str, change: Callable[[Mapping[str, object]], WatchSpec | FollowSpec | None]
) -> None:
    def changed(tables: dict[str, Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
        if name not in tables:
            raise _unknown(section, name, tables)
        spec = change(tables[name])
        rest = {key: value for key, value in tables.items() if key != name}
        # What a later release has said of it stays.
        known = {field.name for field in fields(WatchSpec if section == WATCHES else FollowSpec)}
        kept = {key: value for key, value in tables[name].items() if key not in known}
        return rest if spec is None else {key: tables[key] for key in tables} | {name: {**kept, **_table(spec)}}

    wiring.change_section(store, section, changed)


def _require_words(spec: WatchSpec) -> None:
    """UsageError unless it makes sense by itself."""
    check_artifact_name(spec.artifact)
    require_rules(spec.settle_s, spec.every_s)
    if spec.only is not None:
        parse_hours(spec.only)


def _require_text(spec: WatchSpec | FollowSpec) -> None:
    """The config is text: a name whose bytes aren't UTF-8 can't be noted there."""
    for field in fields(spec):
        value: object = getattr(spec, field.name)
        for word in cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,):
            if not isinstance(word, str):
                continue
            try:
                word.encode()
            except UnicodeEncodeError as error:
                shown = word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                raise BadName(f"{shown} isn't UTF-8, and can't be noted", hint="give it another name") from error


def _require_watch(store: str, spec: WatchSpec) -> None:
    _require_words(spec)
    _require_text(spec)
    if not os.path.isdir(spec.folder):
        raise NotFound(f"{spec.folder} is no folder", hint="make it first")
    inside = os.path.join(os.path.realpath(store), "")
    if os.path.join(spec.folder, "").startswith(inside):
        raise UsageError(f"{spec.folder} lies in the store itself", hint="watch another folder")
    for remote in spec.push:
        reaching.find_remote(store, remote)


def _table(spec: WatchSpec | FollowSpec) -> Mapping[str, object]:
    """What is said of it beyond what goes without saying; its name is the table's."""
    name = "artifact" if isinstance(spec, WatchSpec) else "alias"
    said: dict[str, object] = {}
    for field in fields(spec):
        value: object = getattr(spec, field.name)
        if field.name != name and value != field.default:
            said[field.name] = list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
    return said


def _watch_of(store: str, name: str, table: Mapping[str, object]) -> WatchSpec:
    said = _Said(store, WATCHES, name, table)
    spec = WatchSpec(
        artifact=name,
        folder=said.one("folder", str) or "",
        settle_s=said.seconds("settle_s", limits.WATCH_SETTLE_S),
        every_s=said.seconds("every_s", limits.WATCH_EVERY_S),
        exclude=said.texts("exclude"),
        each=said.one("each", str),
        ready=said.one("ready", str),
        keep_last=said.one("keep_last", int),
        push=said.texts("push"),
        only=said.one("only", str),
        limit_rate=said.one("limit_rate", int),
        poll_s=None if "poll_s" not in table else said.seconds("poll_s", 0.0),
        mount=said.one("mount", str),
        paused=said.one("paused", bool) or False,
    )
    said.check("folder", os.path.isabs(spec.folder))
    said.check("keep_last", spec.keep_last is None or spec.keep_last >= 1)
    said.check("limit_rate", spec.limit_rate is None or spec.limit_rate >= 1)
    try:
        _require_words(spec)
    except UsageError as error:
        raise Corrupt(f"{said.place}: {error.message}", hint=_BY_HAND) from error
    return spec


def _follow_of(store: str, name: str, table: Mapping[str, object]) -> FollowSpec:
    said = _Said(store, FOLLOWS, name, table)
    spec = FollowSpec(
        alias=name,
        to=said.one("to", str),
        hook=said.one("hook", str),
        remote=said.one("remote", str),
        poll_s=said.seconds("poll_s", limits.FOLLOW_POLL_S),
        paused=said.one("paused", bool) or False,
    )
    said.check("to", spec.to is None or os.path.isabs(spec.to))
    try:
        check_ref_name(name)
    except UsageError as error:
        raise Corrupt(f"{said.place}: {error.message}", hint=_BY_HAND) from error
    return spec


V = TypeVar("V", str, int, bool)


class _Said:
    """One table of the config."""

    def __init__(self, store: str, section: str, name: str, table: Mapping[str, object]) -> None:
        self.place = f"{os.path.join(store, 'config.toml')}, [{section}.{name}]"
        self._table = table

    def one(self, key: str, kind: type[V]) -> V | None:
        value = self._table.get(key)
        self.check(key, value is None or (isinstance(value, kind) and isinstance(value, bool) == (kind is bool)))
        return cast("V | None", value)

    def seconds(self, key: str, default: float) -> float:
        value = self._table.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        raise self._odd(key)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._table.get(key, [])
        if isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value)):
            return tuple(cast("list[str]", value))
        raise self._odd(key)

    def check(self, key: str, is_well: bool) -> None:
        """Corrupt unless what is said of it makes sense."""
        if not is_well:
            raise self._odd(key)

    def _odd(self, key: str) -> Corrupt:
        found = repr(self._table[key]) if key in self._table else "missing"
        return Corrupt(f"{self.place}: {key} makes no sense: {found}", hint=_BY_HAND)


def _unknown(kind: str, word: str, known: Mapping[str, object]) -> NotFound:
    names = ", ".join(known)
    what = {"watch": "nothing is watched", WATCHES: "nothing is watched"}.get(kind, "no alias is followed")
    return NotFound(f"{what} as {word}", hint=f"there are {names}" if names else None)
