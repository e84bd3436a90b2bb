"""Does what the machines decide, with the store, on threads: each call is one commit, push or step of a follower.

Whatever goes wrong is told as an outcome; nothing is raised but what is a bug of ours.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from artstore import wiring
from artstore.errors import (
    ArtstoreError,
    BadInput,
    BadName,
    Changing,
    Conflict,
    Corrupt,
    Erased,
    NewerFormat,
    NoSpace,
    NotFound,
    NotPermitted,
    UsageError,
)
from artstore_daemon.machine import folder, sending
from artstore_daemon.watch.looking import mount_point_of, written_now

if TYPE_CHECKING:
    from artstore import Store
    from artstore.store.remote.push import PushResult
    from artstore_daemon.settings import WatchSpec

# What editors and downloads leave beside the real thing, until they rename it.
TEMPORARY: Final = (
    *("*.tmp", "*.temp", "*.part", "*.partial", "*.crdownload", ".nfs*"),
    *("*~", ".*.sw?", "\\#*#", ".#*", ".~lock.*#"),
)
NO_ROOM: Final = (
    "the store's disk is fuller than disk.min_free allows, so nothing new comes there: make room "
    "(`artstore gc`, `artstore evict`), or `artstore config set disk.min_free 1GB`"
)
# What a remote refuses until somebody does something.
_FOR_GOOD: Final = (NotPermitted, NotFound, NewerFormat, UsageError)


@dataclass(frozen=True, slots=True)
class Committed:
    """How a commit ended. `tag`: the name of the version, if there is one; `made`: it is a new one; `kept`: paths that
    stayed as they were before; `cause`: of an error, if something was raised.
    """

    outcome: folder.Outcome
    tag: str | None = None
    version: str | None = None
    made: bool = False
    files: int = 0
    size: int = 0
    kept: tuple[bytes, ...] = ()
    error: str | None = None
    cause: Exception | None = None


def own_places(store: str) -> tuple[str, ...]:
    """What changes because a daemon runs: the store, and where it logs. None of it is anybody's work."""
    return tuple(os.path.realpath(place) for place in (store, wiring.state_path()))


def is_within(path: str, folder: str) -> bool:
    """Is it the folder, or something in it? Both absolute, and without links."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def is_there(spec: WatchSpec) -> bool:
    """Is there such a folder, on the disk that it was on?"""
    return os.path.isdir(spec.folder) and spec.mount in (None, mount_point_of(spec.folder))


def commit_folder(store: Store, spec: WatchSpec, part: str, *, patient: bool) -> Committed:
    """Commit a watched folder, or its sub-folder `part`, if it may be committed now."""
    path = os.path.join(spec.folder, part) if part else spec.folder
    try:
        return _commit_if_allowed(store, spec, part, path, patient=patient)
    except NoSpace as error:  # in the words of the first attempt, so that it is told once
        return Committed(folder.Outcome.FAILED, error=f"no space is left for {store.path}; free some", cause=error)
    except ArtstoreError as error:
        return Committed(_outcome_of(error), error=told(error), cause=error)
    except OSError as error:
        return Committed(folder.Outcome.FAILED, error=str(error), cause=error)


def push_name(store: Store, remote: str, name: str, *, limit_rate: int | None) -> tuple[sending.Outcome, str | None]:
    """Push one name; how it ended, and what is to be told of it. One that isn't here any more needn't be."""
    try:
        if not _is_named(store, name):
            return sending.Outcome.DONE, None
        result = _push(store, remote, name, limit_rate=limit_rate)
    except (Corrupt, Erased) as error:  # of this version: others can be pushed all the same
        return sending.Outcome.LOST, f"{name}: {told(error)}"
    except _FOR_GOOD as error:
        return sending.Outcome.REFUSED, told(error)
    except (ArtstoreError, OSError) as error:
        return sending.Outcome.AWAY, told(error)
    for conflict in result.conflicts:
        return sending.Outcome.LOST, f"{conflict.name}: {conflict.why}"
    return sending.Outcome.DONE, None


def _push(store: Store, remote: str, name: str, *, limit_rate: int | None) -> PushResult:
    """Push it, to home before a mirror: that takes what home has, by the name that it has there."""
    names = [name]
    if remote in store.mirrors() and any(tag.name == name for tag in store.unpushed(prefix=name)):
        result = store.push(names, limit_rate=limit_rate)
        if result.conflicts:
            return result
        names = [*result.written, *result.unchanged]
    return store.push(names, to=remote, limit_rate=limit_rate)


def unpushed(store: Store, remote: str, artifact: str) -> list[str]:
    """Tags of an artifact that a remote isn't known to have, oldest first; none if there is no such remote."""
    try:
        tags = store.unpushed(remote, artifact + "/")
    except NotFound:
        return []
    return [tag.name for tag in sorted(tags, key=lambda tag: (tag.created, tag.name))]


def keep_last(store: Store, artifact: str, count: int) -> str | None:
    """Remove the names of an artifact's versions but for the last ones, and of those that something else needs; what
    went wrong.
    """
    from artstore import Policy

    policy = Policy(keep_last=count)
    try:
        store.retain(policy, store.retention_plan(policy, [artifact]), [artifact])
    except (ArtstoreError, OSError) as error:
        return told(error)
    return None


def told(error: BaseException) -> str:
    """An error as people are told of it."""
    if isinstance(error, ArtstoreError):
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return str(error) or type(error).__name__


def _is_named(store: Store, name: str) -> bool:
    try:
        store.resolve(name)
    except NotFound:
        return False
    return True


def _commit_if_allowed(store: Store, spec: WatchSpec, part: str, path: str, *, patient: bool) -> Committed:
    outcome = _obstacle(spec, path)
    if outcome is not None:
        return Committed(outcome)
    writing = written_now(path)
    if writing and patient:
        return Committed(folder.Outcome.BUSY, error=f"{_shown(writing)} is open for writing")
    if store.disk_shortfall():
        return Committed(folder.Outcome.FAILED, error=NO_ROOM, cause=NoSpace(NO_ROOM))
    return _commit(store, spec, part, path, writing, patient=patient)


def _obstacle(spec: WatchSpec, path: str) -> folder.Outcome | None:
    """Why a folder can't be committed, before it is looked into."""
    if not os.path.isdir(path) or not is_there(spec):
        return folder.Outcome.ABSENT
    if spec.ready is not None and not os.path.lexists(os.path.join(path, spec.ready)):
        return folder.Outcome.UNREADY
    with os.scandir(path) as entries:  # a folder that was made anew isn't a version without anything in it
        return None if any(True for _ in entries) else folder.Outcome.UNREADY


def _commit(store: Store, spec: WatchSpec, part: str, path: str, writing: set[bytes], *, patient: bool) -> Committed:
    from artstore import CommitOptions

    options = CommitOptions(
        excludes=(*TEMPORARY, *spec.exclude, *_own_excludes(store, path)),
        links="keep",
        keep_former=not patient,
        being_written=frozenset(writing),
    )
    if part:
        tag = f"{spec.artifact}/{part}"
        try:
            result = store.commit(path, tag=tag, options=options)
        except Conflict:
            former = store.removed(tag)
            # `keep_last` has removed the name of just that, whose folder is still here: nothing is wrong.
            if former is None or store.commit(path, options=replace(options, dry_run=True)).tree != former.tree:
                raise
            return Committed(folder.Outcome.DONE)
    else:
        result = store.commit(path, artifact=spec.artifact, options=options)
    return Committed(
        folder.Outcome.PARTLY if result.as_before else folder.Outcome.DONE,
        tag=result.tag,
        version=None if result.version is None else result.version.hex(),
        made=not result.unchanged,
        files=result.files,
        size=result.size,
        kept=result.as_before,
    )


def _own_excludes(store: Store, path: str) -> list[str]:
    """What the daemon itself writes to below a folder: each version would be the reason of the next."""
    found = (place for place in own_places(store.path) if is_within(place, path))
    return ["/" + re.sub(r"([\\*?\[\]#! ])", r"\\\1", os.path.relpath(place, path)) for place in found]


def _outcome_of(error: ArtstoreError) -> folder.Outcome:
    match error:
        case Changing():
            return folder.Outcome.BUSY
        case BadInput() | BadName() | Conflict() | UsageError() | NotPermitted() | NewerFormat():
            return folder.Outcome.REFUSED
        case _:  # what passes by itself, or what `check` is needed for
            return folder.Outcome.FAILED


def _shown(paths: set[bytes]) -> str:
    return os.fsdecode(min(paths)) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
