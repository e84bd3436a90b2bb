"""The check of a remote: what is looked at, in which order, and what is told of it. Changes nothing there.

What looks like damage may be the work of others: collection takes away what somebody has just removed the name of. So
there is a second look, and only what both have seen is told.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.remote import decode_shard, set_key
from artstore.model import Digest
from artstore.store.check.report import Hurt
from artstore.store.check_remote.cursor import bad_packs, forget_bad, note_bad
from artstore.store.check_remote.data import DataCheck, DataResult
from artstore.store.check_remote.examine import examine
from artstore.store.check_remote.look import View, look_through
from artstore.store.check_remote.needing import Needing
from artstore.store.check_remote.report import FarProblem, FarProblemKind, Flaw, RemoteCheckReport
from artstore.store.context import Counters
from artstore.store.far.places import table_of_shard
from artstore.store.objects import Objects
from artstore.store.remote.documents import read_checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artstore.model import TableEntry
    from artstore.ports import Remote
    from artstore.store.context import Context

PACK_KINDS = (FarProblemKind.PACK, FarProblemKind.PACK_MISSING)
SHARD_KINDS = (FarProblemKind.SHARD, FarProblemKind.SHARD_MISSING)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a remote was seen to be: `flaws`, and the later of two looks."""

    view: View
    flaws: tuple[Flaw, ...]
    data: DataResult


def check_remote(
    context: Context,
    remote: Remote,
    remote_id: bytes,
    *,
    data: bool = False,
    max_duration: float | None = None,
    resume: bool = True,
    counters: Counters | None = None,
) -> RemoteCheckReport:
    """Look for damage at a remote, whoever else pushes or collects there.

    Without `data`: names and histories, sets, shards, and that packs are there with the size they should have. With it
    packs are read and each object in them is verified, for `max_duration` (seconds): the next check with `resume` goes
    on there. Packs that were found damaged before are looked at in any case.
    """
    begun = time.monotonic()
    before = remote.stats.requests
    deadline = None if max_duration is None else begun + max_duration
    check = DataCheck(context, remote, remote_id, counters or Counters())
    seen = look_for_damage(context, remote, remote_id, check if data else None, deadline=deadline, resume=resume)
    view, result = seen.view, seen.data
    problems = problems_of(context, remote, seen)
    return RemoteCheckReport(
        problems=tuple(problems[: limits.CHECK_PROBLEMS_MAX]),
        problems_more=max(0, len(problems) - limits.CHECK_PROBLEMS_MAX),
        refs=view.refs,
        versions=len(view.names),
        moves=view.moves,
        packs=len(view.packs),
        bytes=sum(view.there.values()),
        shards=len(view.there) - len(view.packs),
        unneeded=view.unneeded,
        unnamed=view.unnamed,
        foreign=view.foreign,
        data=data,
        finished=result.finished,
        resumed=result.resumed,
        read_packs=result.packs,
        read_bytes=result.size,
        left_packs=result.left_packs,
        left_bytes=result.left_bytes,
        objects=result.objects,
        requests=remote.stats.requests - before,
        seconds=time.monotonic() - begun,
        notes=tuple(_notes(remote, view)),
    )


def look_for_damage(
    context: Context,
    remote: Remote,
    remote_id: bytes,
    check: DataCheck | None,
    *,
    deadline: float | None = None,
    resume: bool = True,
) -> Seen:
    """Look, read packs if `check` is given, and look again if anything was found."""
    first = look_through(remote, context.ids)
    result = DataResult() if check is None else check.run(first.packs, first.told, deadline=deadline, resume=resume)
    verifier = check or DataCheck(context, remote, remote_id, Counters())
    for key, why in _known_bad(context, remote_id, first, verifier, result).items():
        first.add(FarProblemKind.PACK, key, why)
    if not first.flaws:
        return Seen(first, (), result)
    keys = {key for _, key in first.flaws}
    second = look_through(remote, context.ids, keys, shards=keys)
    for kind, key in first.flaws:
        if kind is FarProblemKind.PACK and key in second.there:
            second.add(kind, key, first.flaws[kind, key].message)
    flaws = tuple(flaw for at, flaw in sorted(second.flaws.items()) if at in first.flaws and _is_needed(second, flaw))
    if not context.readonly:
        missing = {flaw.key: flaw.message for flaw in flaws if flaw.kind in (*PACK_KINDS, *SHARD_KINDS)}
        note_bad(context.index, remote_id, {key: why for key, why in missing.items() if not key.startswith("x/")})
    second.told = first.told
    return Seen(second, flaws, result)


def _known_bad(
    context: Context, remote_id: bytes, view: View, verifier: DataCheck, result: DataResult
) -> dict[str, str]:
    """Packs that were found damaged by this check, or before and are so still."""
    with context.index.read() as reader:
        noted = bad_packs(reader, remote_id)
    before = {key: view.there[key] for key in sorted(noted) if key in view.there and key not in result.bad}
    still = verifier.read_again(before, view.told)
    over = [key for key in before if key not in still]
    # What no readable set names may be named by one that can't be read: it is remembered for as long as it is there.
    over += [key for key in noted if key not in view.known and verifier.is_gone(key)]
    if over and not context.readonly:
        forget_bad(context.index, remote_id, over)
    return {**still, **result.bad}


def _is_needed(view: View, flaw: Flaw) -> bool:
    """Does a name need it, or was one once, of which it is told as long as it lies there?"""
    return flaw.kind not in (*PACK_KINDS, *SHARD_KINDS) or bool(view.namers[flaw.key])


def problems_of(context: Context, remote: Remote, seen: Seen) -> list[FarProblem]:
    """What is wrong, with the versions and paths that need it."""
    teller = _Teller(context, remote, seen)
    return [FarProblem(flaw.kind, flaw.key, flaw.message, *teller.hurt(flaw), alias=flaw.alias) for flaw in seen.flaws]


class _Teller:
    """Finds what flaws hurt. Paths are told of versions whose trees are here, and of a bounded number of packs."""

    def __init__(self, context: Context, remote: Remote, seen: Seen) -> None:
        self._context = context
        self._remote = remote
        self._view = seen.view
        self._objects = Objects(replace(context, far=None))
        self._left = limits.FAR_CHECK_PATHS_PACKS_MAX

    def hurt(self, flaw: Flaw) -> tuple[tuple[Hurt, ...], int]:
        """Versions and paths, and how many more."""
        match flaw.kind:
            case FarProblemKind.SET | FarProblemKind.SET_MISSING:
                versions = [version for version in self._view.names if set_key(version) == flaw.key]
                return self._whole(versions)
            case FarProblemKind.PACK | FarProblemKind.PACK_MISSING:
                return self._of_pack(flaw.key)
            case _:
                return (), 0

    def _whole(self, versions: Iterable[Digest]) -> tuple[tuple[Hurt, ...], int]:
        found = [Hurt(version, b"", tuple(self._view.names.get(version, ()))) for version in versions]
        return tuple(found[: limits.TROUBLE_PATHS_MAX]), max(0, len(found) - limits.TROUBLE_PATHS_MAX)

    def _of_pack(self, key: str) -> tuple[tuple[Hurt, ...], int]:
        versions = sorted(self._view.namers[key])
        if self._left <= 0:
            return self._whole(versions)
        self._left -= 1
        told = self._view.told.get(key)
        table = shard_table(self._remote, told.shard, key) if told is not None else None
        found = examine(self._remote, key, [] if table is None else [table], self._objects.ids)
        if not found.wanted or (found.tail is not None and table is None):
            return self._whole(versions)  # what it held isn't known
        needing = Needing(self._objects, {entry.id for entry in found.bad})
        hurt: list[Hurt] = []
        for version in versions:
            if len(hurt) >= limits.TROUBLE_PATHS_MAX:
                return tuple(hurt), 1
            names = tuple(self._view.names.get(version, ()))
            if not self._is_here(version):
                hurt.append(Hurt(version, b"", names))
                continue
            room = limits.TROUBLE_PATHS_MAX - len(hurt)
            hurt += [Hurt(version, path, names) for path in needing.paths(version, most=room)]
        return tuple(hurt), 0

    def _is_here(self, version: Digest) -> bool:
        with self._context.index.read() as reader:
            return reader.version_set(version) is not None


def shard_table(remote: Remote, shard: str, key: str) -> Sequence[TableEntry] | None:
    """What a shard says that a pack holds; None if it can't be read, or doesn't tell."""
    try:
        read = read_checked(remote, shard, decode_shard)
        return next((table_of_shard(pack) for pack in (read[0] if read is not None else ()) if pack.key == key), None)
    except (Corrupt, NewerFormat):
        return None


def _notes(remote: Remote, view: View) -> Iterable[str]:
    if view.gone_kept:
        yield (
            f"{view.gone_kept} sets or packs of versions that aliases led to earlier, or that others were made from, "
            f"aren't at {remote.url} any more"
        )
