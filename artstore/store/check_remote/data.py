"""Reads packs of a remote through and verifies each object in them, several side by side, none of them held in memory.

The round goes in the order of keys and notes how far it is, so that it may take days.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.ids import checksum
from artstore.format.pack import encode_table
from artstore.store.check_remote.cursor import Cursor, Progress, note_bad, read_cursor, write_cursor
from artstore.store.remote.transfer import check_pack
from artstore.store.remote.transfers import Transfer, Transfers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from artstore.ports import Remote
    from artstore.store.check_remote.look import Told
    from artstore.store.context import Context, Counters


@dataclass(slots=True)
class DataResult:
    """What came of a part of a round. `bad`: why packs can't be relied on, by key."""

    finished: bool = True
    resumed: bool = False
    packs: int = 0
    size: int = 0
    objects: int = 0
    left_packs: int = 0
    left_bytes: int = 0
    bad: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one pack: None for one that is gone by now. `objects`: in it."""

    key: str
    size: int
    objects: int
    problem: str | None


class DataCheck:
    """One part of a round through the packs of a remote."""

    def __init__(self, context: Context, remote: Remote, remote_id: bytes, counters: Counters) -> None:
        self._context = context
        self._remote = remote
        self._remote_id = remote_id
        self._counters = counters
        self._read: set[str] = set()

    def run(
        self, packs: Mapping[str, int], told: Mapping[str, Told], *, deadline: float | None, resume: bool
    ) -> DataResult:
        """Read `packs` (keys in order, with sizes), on from where the last part ended, until `deadline` (of
        time.monotonic()) has passed: at least one, so that every part gets further. What this object has read before is
        left out.
        """
        with self._context.index.read() as reader:
            cursor = read_cursor(reader, self._remote_id) if resume else None
        begun = self._context.clock.now_ns() if cursor is None else cursor.begun
        wanted = [key for key in packs if (cursor is None or key > cursor.after) and key not in self._read]
        result = DataResult(resumed=cursor is not None)
        self._counters.bytes_total = self._counters.bytes_done + sum(packs[key] for key in wanted)
        progress = Progress(deque(wanted))
        noted = time.monotonic()
        waiting = self._transfers(wanted, packs, told, deadline)
        for outcome in Transfers(self._remote, self._context.flow, self._counters).run(waiting, lambda each: each.size):
            self._read.add(outcome.key)
            result.packs += 1
            result.size += outcome.size
            result.objects += outcome.objects
            if outcome.problem is not None:  # before the cursor passes it
                result.bad[outcome.key] = outcome.problem
                self._note_bad({outcome.key: outcome.problem})
            if progress.end(outcome.key) and time.monotonic() - noted >= limits.FAR_CHECK_NOTE_S:
                self._note(Cursor(begun, progress.after))
                noted = time.monotonic()
        result.finished = not progress.left
        result.left_packs = len(progress.left)
        result.left_bytes = sum(packs[key] for key in progress.left)
        if result.finished:
            self._note(None)
        elif progress.after:
            self._note(Cursor(begun, progress.after))
        return result

    def read_again(self, packs: Mapping[str, int], told: Mapping[str, Told]) -> dict[str, str]:
        """Of these packs those that are damaged, and why."""
        outcomes = [self._verify(key, told.get(key)) for key in packs]
        return {each.key: each.problem for each in outcomes if each.problem is not None}

    def is_gone(self, key: str) -> bool:
        """Doesn't it lie there any more?"""
        return self._remote.head(key) is None

    def _transfers(
        self, wanted: list[str], packs: Mapping[str, int], told: Mapping[str, Told], deadline: float | None
    ) -> Iterator[Transfer[_Outcome]]:
        for number, key in enumerate(wanted):
            if number and deadline is not None and time.monotonic() >= deadline:
                return
            yield Transfer(packs[key], partial(self._verify, key, told.get(key)))

    def _verify(self, key: str, told: Told | None) -> _Outcome:
        """Read one pack. One that came damaged is asked for once more: it may have been the network."""
        try:
            return self._verify_once(key, told)
        except Corrupt:
            self._context.flow.repeated()
        try:
            return self._verify_once(key, told)
        except Corrupt as error:
            return _Outcome(key, 0, 0, f"{self._remote.url}/{key}: {error.message}")

    def _verify_once(self, key: str, told: Told | None) -> _Outcome:
        came = self._remote.stream(key)
        if came is None:
            return _Outcome(key, 0, 0, None)
        tail = check_pack(came, self._context.ids)
        if told is not None and checksum(encode_table(tail.entries)) != told.table:
            raise Corrupt(f"it holds other objects than its shard {told.shard} says")
        return _Outcome(key, came.size, len(tail.entries), None)

    def _note(self, cursor: Cursor | None) -> None:
        if not self._context.readonly:
            write_cursor(self._context.index, self._remote_id, cursor)

    def _note_bad(self, packs: dict[str, str]) -> None:
        if not self._context.readonly:
            note_bad(self._context.index, self._remote_id, packs)
