"""Replaces the sets of a repack: while all that a new set names was seen a short while ago, and never over another's.

Killed between any two of them, each version has its old set or its new one: old packs stay for as long as a set names
them, since collection marks them by that.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Corrupt
from artstore.format.remote import WRITE_BYTES, RemoteSet, all_keys, encode_remote, set_key
from artstore.planning.remote_repack import replaced_set
from artstore.store.remote.documents import read_document
from artstore.store.remote.marking import read_sets
from artstore.store.remote.presence import Look, absent, look

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from artstore.model import Digest, Written
    from artstore.ports import Remote


@dataclass(frozen=True, slots=True)
class Moved:
    """`packs`: of each old pack those that hold all of it now; `shards`: which shard tells of a new one; `tells`: of
    which packs older shards do.
    """

    packs: Mapping[str, frozenset[str]]
    shards: Mapping[str, str]
    tells: Mapping[str, Collection[str]]


@dataclass(slots=True)
class Swapped:
    """How many sets were replaced; versions (hex) whose sets were left as they are, and why."""

    sets: int = 0
    left: dict[str, str] = field(default_factory=dict[str, str])


class Swapper:
    """Replaces sets at one remote. `now`: a clock that goes on while the machine sleeps; `tick`: is called before each,
    to keep the pin young.
    """

    def __init__(self, remote: Remote, moved: Moved, *, now: Callable[[], float], tick: Callable[[], None]) -> None:
        self._remote = remote
        self._moved = moved
        self._now = now
        self._tick = tick
        self._seen: Look | None = None
        self._proven: set[str] = set()
        self._done = Swapped()

    def swap(self, versions: Iterable[Digest]) -> Swapped:
        """Those of these versions that name an old pack. All of them were walked: what they need was moved.

        Busy if the new packs are gone already: this has slept for longer than a grace.
        """
        for version, told, etag in read_sets(self._remote, versions):
            if told is not None:
                self._swap(version, told, etag)
        return self._done

    def _swap(self, version: Digest, told: RemoteSet, etag: str) -> None:
        for _ in range(limits.REMOTE_SET_SWAPS_MAX):
            if self._moved.packs.keys().isdisjoint((*told.data, *told.meta)):
                return
            self._tick()
            new = replaced_set(
                told,
                self._moved.packs,
                write=secrets.token_bytes(WRITE_BYTES),
                shards=self._moved.shards,
                tells=self._moved.tells,
            )
            seen = self._prove(version, new)
            if seen is None:
                return
            done = self._remote.swap(set_key(version), encode_remote(new), etag)
            if done is not None:
                self._done.sets += 1
                if done.time - seen.remote_time > seen.grace / 2:
                    self._look_after(version, told, new, done)
                return
            found = read_document(self._remote, RemoteSet, set_key(version))
            if found is None:
                self._done.left[version.hex()] = "its set is gone"
                return
            told, etag = found[0], found[1].etag  # a push, or another repack, was quicker
        self._done.left[version.hex()] = "others replace its set all the time"

    def _prove(self, version: Digest, new: RemoteSet) -> Look | None:
        """A look at gc/state that is young, after which all was seen that the set will name; None if some wasn't."""
        if self._seen is None or not self._seen.is_fresh(self._now()):
            self._seen, self._proven = look(self._remote, now=self._now), set()
        keys = {*all_keys(new)}
        missing = absent(self._remote, keys - self._proven, self._seen)
        self._proven |= keys - missing
        ours = self._moved.shards.keys() | set(self._moved.shards.values())
        if not missing.isdisjoint(ours):
            raise Busy(
                f"{self._remote.url}: packs went as fast as they were sent there",
                hint="was this machine asleep? try again; nothing is lost",
            )
        if missing:
            self._done.left[version.hex()] = f"{min(missing)}, which its set names, can't be relied on"
            return None
        if not self._seen.is_fresh(self._now()):  # to see it all took so long
            return self._prove(version, new)
        return self._seen

    def _look_after(self, version: Digest, old: RemoteSet, new: RemoteSet, done: Written) -> None:
        """This machine froze between its clock and the request: the set came late, as the remote's clock tells. If what
        it names is gone, the old one is put back: what that names was needed until now.
        """
        seen = look(self._remote, now=self._now)
        if not absent(self._remote, all_keys(new), seen):
            return
        if absent(self._remote, all_keys(old), seen):
            raise Corrupt(
                f"version {version.hex()} lacks packs at {self._remote.url}: this machine stood still while it wrote",
                hint="`artstore push --all` from a store that has it all",
            )
        back = RemoteSet(secrets.token_bytes(WRITE_BYTES), old.data, old.meta, old.shards, old.inputs)
        self._remote.swap(set_key(version), encode_remote(back), done.etag)  # lost: somebody else has mended it
        self._done.sets -= 1
        self._done.left[version.hex()] = "this machine stood still while it was replaced"
