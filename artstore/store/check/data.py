"""Reads and verifies every object of every pack, on all cores; what it has done is noted, so that it can go on later.

Journal: `check/run` is when the unfinished run began, `check/pack/<pack id>` when a pack was last found sound (ns, u64,
little-endian). Packs that were never checked come first, the newest ahead; then those checked longest ago.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.store.check.frames import FrameReader, read_tail
from artstore.store.check.report import ProblemKind
from artstore.store.check.structure import note_damage, still_visible
from artstore.store.crew import Crew, worker_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.model import PackRow, TableEntry
    from artstore.ports import IndexReader
    from artstore.store.check.report import Findings
    from artstore.store.context import Context, Counters

_RUN = "check/run"
_PACK = "check/pack/"


@dataclass(frozen=True, slots=True)
class DataResult:
    """Whether all packs were read, and whether an earlier run was continued."""

    finished: bool
    resumed: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which packs to read, in order."""

    rows: list[PackRow]
    begun: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one pack. `problem`: why its table can't be read, though it could before."""

    row: PackRow
    objects: int
    bad: list[TableEntry]
    problem: str | None = None


def check_data(
    context: Context,
    rows: Sequence[PackRow],
    findings: Findings,
    counters: Counters,
    *,
    deadline: float | None,
    resume: bool,
) -> DataResult:
    """Verify the packs that the structure's check found no fault with. `deadline`: of time.monotonic()."""
    plan = _plan(context, [row for row in rows if row.number not in findings.hurt_packs], resume=resume)
    counters.bytes_total = sum(row.size for row in plan.rows)
    counters.files_total, counters.files_done = len(plan.rows), 0
    findings.packs = findings.objects = findings.size = 0
    _begin(context, plan)
    verifier = _Verifier(context, counters)
    left = deque(plan.rows)
    with Crew(verifier.verify, worker_count(), waiting=1) as crew:
        while left and (deadline is None or time.monotonic() < deadline):
            crew.put(left.popleft())
            if len(verifier.outcomes) >= limits.CHECK_STAMP_PACKS:
                _take(context, verifier, findings)
    _take(context, verifier, findings)
    if not left:
        _end(context, rows)
    return DataResult(finished=not left, resumed=plan.resumed)


class _Verifier:
    """What the threads do; outcomes wait in `outcomes`."""

    def __init__(self, context: Context, counters: Counters) -> None:
        self._context = context
        self._counters = counters
        self._local = threading.local()
        self.outcomes: deque[_Outcome] = deque()

    def verify(self, row: PackRow) -> None:
        """Read one pack."""
        packs = self._context.packs
        frames: FrameReader | None = getattr(self._local, "frames", None)
        if frames is None:
            frames = self._local.frames = FrameReader(packs, self._context.ids)
        try:
            entries = read_tail(packs, row.id, packs.size(row.id) or 0).entries
        except Corrupt as error:
            self.outcomes.append(_Outcome(row, 0, [], error.message))
            return
        bad: list[TableEntry] = []
        for frame in frames.frames(row.id, entries):
            if not frame.is_whole:
                bad.append(frame.entry)
            self._counters.bytes_done += limits.FRAME_HEADER_BYTES + frame.entry.stored
        self._counters.files_done += 1
        self.outcomes.append(_Outcome(row, len(entries), bad))


def _take(context: Context, verifier: _Verifier, findings: Findings) -> None:
    """Note what came of some packs."""
    sound: list[PackRow] = []
    while verifier.outcomes:
        outcome = verifier.outcomes.popleft()
        row = outcome.row
        findings.packs += 1
        findings.objects += outcome.objects
        findings.size += row.size
        if outcome.problem is None and not outcome.bad:
            sound.append(row)
        elif still_visible(context, row):
            if outcome.problem is not None:
                findings.damage.lost.add(row.number)
                findings.add(ProblemKind.PACK_DAMAGED, outcome.problem, row=row)
            note_damage(row, outcome.bad, findings, tell=True)
    if sound and not context.readonly:
        now = context.clock.now_ns()
        with context.index.write(sync=False) as writer:
            for row in sound:
                writer.put_journal(_PACK + row.id.hex(), now.to_bytes(8, "little"))


def _plan(context: Context, rows: Sequence[PackRow], *, resume: bool) -> _Plan:
    now = context.clock.now_ns()
    with context.index.read() as reader:
        begun = _stamp(reader, _RUN)
        stamps = {row.number: _stamp(reader, _PACK + row.id.hex()) for row in rows}
    resumed = resume and begun > 0
    start = begun if resumed else now
    left = [row for row in rows if not resumed or stamps[row.number] < start]
    left.sort(key=lambda row: (stamps[row.number], -row.number))
    return _Plan(left, start, resumed)


def _stamp(reader: IndexReader, key: str) -> int:
    value = reader.journal(key)
    return 0 if value is None or len(value) != 8 else int.from_bytes(value, "little")


def _begin(context: Context, plan: _Plan) -> None:
    if not context.readonly and not plan.resumed:
        with context.index.write(sync=False) as writer:
            writer.put_journal(_RUN, plan.begun.to_bytes(8, "little"))


def _end(context: Context, rows: Sequence[PackRow]) -> None:
    """The run is over; forget stamps of packs that are gone."""
    if context.readonly:
        return
    known = {_PACK + row.id.hex() for row in rows}
    with context.index.write(sync=False) as writer:
        writer.put_journal(_RUN, None)
        for key in [key for key in writer.journal_keys(_PACK) if key not in known]:
            writer.put_journal(key, None)
