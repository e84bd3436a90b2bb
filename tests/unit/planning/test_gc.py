"""What collection does to packs and versions, step by step and over any course of time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.model import Digest, PackId, PackKind, PackRow, PackState
from artstore.planning.gc import Freed, GcPlan, GcView, plan_gc, plan_undo

UNDO = limits.UNDO_NS
NOW = 100 * UNDO
OURS, THEIRS = b"s" * 12, b"t" * 12


def version(number: int) -> Digest:
    """A version called by a number."""
    return Digest(bytes([number]) * 32)


def pack(
    number: int, state: PackState = PackState.LIVE, *, since: int = 0, session: bytes = b"dead-session", size: int = 100
) -> PackRow:
    """A pack called by a number."""
    id = PackId(session + number.to_bytes(4, "big"))
    return PackRow(number, id, PackKind.DATA, state, size, 1, 1, since)


def view(
    *packs: PackRow,
    kept: dict[int, list[int]] | None = None,
    gone: dict[int, list[int]] | None = None,
    since: dict[int, int] | None = None,
    running: frozenset[bytes] = frozenset(),
    witnesses: dict[int, frozenset[bytes]] | None = None,
    live: dict[int, int] | None = None,
) -> GcView:
    """What collection sees."""
    return GcView(
        packs,
        {version(number): packs for number, packs in (kept or {}).items()},
        {version(number): packs for number, packs in (gone or {}).items()},
        NOW,
        {version(number): time for number, time in (since or {}).items()},
        running,
        witnesses,
        live,
    )


def test_what_nothing_needs_is_condemned_and_freed_a_week_later() -> None:
    """A removal couldn't be undone, or the disk would never get free."""
    plan = plan_gc(view(pack(1), pack(2, size=7), kept={1: [1]}, gone={2: [1, 2]}))
    assert (plan.condemn, plan.delete, plan.drop, plan.mark_gone) == ((2,), (), (), (version(2),))
    assert (plan.freed_now, plan.freed_later) == (0, (Freed(NOW + UNDO, 7),))
    waiting = pack(2, PackState.CONDEMNED, since=NOW - UNDO + 1, size=7)
    plan = plan_gc(view(waiting, gone={2: [2]}, since={2: NOW - UNDO + 1}))
    assert plan.is_empty
    assert plan.freed_later == (Freed(NOW + 1, 7),)
    plan = plan_gc(view(pack(2, PackState.CONDEMNED, since=NOW - UNDO, size=7), gone={2: [2]}, since={2: NOW - UNDO}))
    assert (plan.delete, plan.drop, plan.forget_gone, plan.freed_now) == ((2,), (version(2),), (version(2),), 7)
    plan = plan_gc(view(pack(2, PackState.DELETING, since=NOW, size=7)))
    assert (plan.unlink, plan.freed_now) == ((2,), 7)


@pytest.mark.parametrize("state", [PackState.CONDEMNED, PackState.DELETING])
def test_what_is_needed_again_is_revived(state: PackState) -> None:
    """A version tagged again after its removal would lose its data at the next collection."""
    plan = plan_gc(view(pack(1, state, since=1), kept={1: [1]}))
    assert (plan.revive, plan.delete, plan.unlink, plan.freed_now) == ((1,), (), (), 0)


def test_packs_of_running_commits_are_left_alone() -> None:
    """A commit of several hours would lose what it has stored so far."""
    packs = [pack(1, session=OURS), pack(2, PackState.CONDEMNED, since=1, session=OURS), pack(3, session=THEIRS)]
    plan = plan_gc(view(*packs, running=frozenset({OURS}), live={1: 0}))
    assert (plan.condemn, plan.revive, plan.delete, plan.repack) == ((3,), (2,), (), ())


def test_nothing_is_unlinked_while_a_session_runs_that_may_still_use_it() -> None:
    """A commit from a pipe would fail at its end, and its input can't be read twice."""
    deleting = pack(1, PackState.DELETING, since=NOW - 5)
    plan = plan_gc(view(deleting, running=frozenset({OURS})))
    assert (plan.unlink, plan.witness, plan.waiting) == ((), (1,), 100)
    seen = {1: frozenset({OURS})}
    plan = plan_gc(view(deleting, running=frozenset({OURS, THEIRS}), witnesses=seen))
    assert (plan.unlink, plan.witness, plan.waiting) == ((), (), 100)
    plan = plan_gc(view(deleting, running=frozenset({THEIRS}), witnesses=seen))
    assert (plan.unlink, plan.freed_now) == ((1,), 100)


def test_giving_up_the_undo_window_deletes_at_once() -> None:
    """`gc --yes --now` would free nothing on a full disk."""
    packs = pack(1), pack(2, PackState.CONDEMNED, since=NOW - 1), pack(3)
    plan = plan_gc(view(*packs, kept={3: [3]}, gone={1: [1, 3]}), undo_ns=0)
    assert (plan.delete, plan.condemn, plan.drop, plan.freed_now) == ((1, 2), (), (version(1),), 200)
    busy = plan_gc(view(*packs, kept={3: [3]}, running=frozenset({OURS})), undo_ns=0)
    assert (busy.freed_now, busy.waiting) == (0, 200)


def test_a_version_that_lost_a_pack_is_dropped() -> None:
    """A version would be listed, and tagged, whose content is gone."""
    packs = pack(1, PackState.CONDEMNED, since=NOW), pack(2, PackState.DELETING, since=NOW)
    plan = plan_gc(view(*packs, gone={1: [1], 2: [1, 2], 3: [1, 9]}))
    assert plan.drop == (version(2), version(3))
    assert plan.mark_gone == (version(1),)


def test_a_version_whose_packs_others_need_goes_too_when_its_time_comes() -> None:
    """A removed version that shares all its data would be announced as going by each collection, for ever."""
    first = plan_gc(view(pack(1), kept={1: [1]}, gone={2: [1]}))
    assert first.mark_gone == (version(2),)
    last = plan_gc(view(pack(1), kept={1: [1]}, gone={2: [1]}, since={2: NOW - UNDO}))
    assert (last.drop, last.forget_gone) == ((version(2),), (version(2),))
    back = plan_gc(view(pack(1), kept={1: [1], 2: [1]}, since={2: NOW - UNDO}))
    assert (back.drop, back.forget_gone) == ((), (version(2),))


def test_mostly_dead_packs_are_repacked() -> None:
    """A pack of 64 MiB would be kept for one chunk, or one that is nearly full be written again and again."""
    packs = pack(1), pack(2), pack(3), pack(4)
    plan = plan_gc(view(*packs, kept={1: [1, 2, 3]}, live={1: 59, 2: 60, 4: 0}))
    assert plan.repack == (1,)


def test_undo_brings_back_what_is_complete() -> None:
    """`gc --undo` would bring back a version with holes, or less than there is."""
    packs = pack(1), pack(2, PackState.CONDEMNED, since=1), pack(3, PackState.DELETING, since=1)
    versions, revive = plan_undo(view(*packs, gone={1: [1, 2], 2: [2, 3], 3: [2, 9]}))
    assert (set(versions), revive) == ({version(1), version(2)}, (2, 3))


def test_a_clock_set_back_frees_nothing_early() -> None:
    """After a wrong clock was corrected, the undo window would be over at once or the dates be nonsense."""
    plan = plan_gc(view(pack(1, PackState.CONDEMNED, since=NOW + 5 * UNDO)))
    assert (plan.delete, plan.freed_later) == ((), (Freed(NOW + UNDO, 100),))


class Store:
    """A small store that carries plans out, for any course of events."""

    def __init__(self) -> None:
        self.packs: dict[int, PackRow] = {}
        self.sets: dict[Digest, list[int]] = {}
        self.named: set[Digest] = set()
        self.gone_since: dict[Digest, int] = {}
        self.witnesses: dict[int, frozenset[bytes]] = {}
        self.seen: dict[bytes, set[int]] = {}  # what look-ups showed to each running session when it began
        self.now = NOW

    @property
    def running(self) -> frozenset[bytes]:
        return frozenset(self.seen)

    def run(self, sessions: frozenset[bytes]) -> None:
        """End the other sessions and begin those that don't run yet."""
        visible = {row.number for row in self.packs.values() if row.state is not PackState.DELETING}
        self.seen = {session: self.seen.get(session, visible) for session in sessions}

    def view(self) -> GcView:
        kept = {each: packs for each, packs in self.sets.items() if each in self.named}
        gone = {each: packs for each, packs in self.sets.items() if each not in self.named}
        rows = tuple(self.packs.values())
        return GcView(rows, kept, gone, self.now, self.gone_since, self.running, self.witnesses)

    def collect(self, *, undo_ns: int = UNDO) -> GcPlan:
        plan = plan_gc(self.view(), undo_ns=undo_ns)
        for each in plan.drop:
            del self.sets[each]
        for each in plan.forget_gone:
            self.gone_since.pop(each, None)
        self.gone_since.update(dict.fromkeys(plan.mark_gone, self.now))
        for numbers, state in (
            (plan.condemn, PackState.CONDEMNED),
            (plan.revive, PackState.LIVE),
            (plan.delete, PackState.DELETING),
        ):
            for number in numbers:
                self.packs[number] = replace(self.packs[number], state=state, since=self.now)
        for number in plan.unlink:
            del self.packs[number]
        self.witnesses.update(dict.fromkeys(plan.witness, self.running))
        return plan

    def check(self) -> None:
        """Every version is complete; a session can take back whatever it saw."""
        for seen in self.seen.values():
            assert seen <= self.packs.keys()
        for each, numbers in self.sets.items():
            assert all(number in self.packs for number in numbers)
            if each in self.named:
                assert all(self.packs[number].state is PackState.LIVE for number in numbers)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sets(st.integers(1, 6), min_size=1).map(tuple)),
        st.tuples(st.just("name"), st.integers(0, 5)),
        st.tuples(st.just("unname"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(0, 2)),
        st.tuples(
            st.just("session"), st.sampled_from([frozenset[bytes](), frozenset({OURS}), frozenset({OURS, THEIRS})])
        ),
        st.tuples(st.just("collect"), st.sampled_from([UNDO, UNDO, 0])),
    ),
    min_size=12,
    max_size=40,
)


@given(EVENTS)
def test_no_course_of_events_loses_a_named_version_or_keeps_garbage(events: list[tuple[str, object]]) -> None:
    """Some order of commits, removals and collections would cost a version a pack, or keep garbage for ever."""
    store, serial = Store(), 0
    for kind, value in events:
        versions = list(store.sets)
        if kind == "commit" and isinstance(value, tuple):
            numbers: list[int] = []
            for number in range(1, 7):
                if number not in value:
                    continue
                known = [row for row in store.packs.values() if row.number % 10 == number]
                serial += 10
                row = known[0] if known else pack(serial + number)
                store.packs[row.number] = replace(row, state=PackState.LIVE)  # the last transaction takes it back
                numbers.append(row.number)
            made = Digest(serial.to_bytes(32, "big"))
            store.sets[made] = numbers
            store.named.add(made)
        elif kind in ("name", "unname") and versions and isinstance(value, int):
            chosen = versions[value % len(versions)]
            (store.named.add if kind == "name" else store.named.discard)(chosen)
            if kind == "name":
                for number in store.sets[chosen]:
                    store.packs[number] = replace(store.packs[number], state=PackState.LIVE)
        elif kind == "wait" and isinstance(value, int):
            store.now += value * UNDO // 2
        elif kind == "session" and isinstance(value, frozenset):
            store.run(frozenset(each for each in (OURS, THEIRS) if each in value))
        elif kind == "collect" and isinstance(value, int):
            store.collect(undo_ns=value)
        store.check()
    store.run(frozenset())
    for _ in range(3):
        store.collect(undo_ns=0)
    assert set(store.sets) == store.named
    assert set(store.packs) == {number for numbers in store.sets.values() for number in numbers}
    assert store.collect(undo_ns=0).is_empty
