"""Any course of commits, removals, collections, undos, failures and passing days, against a dict of what has a name."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from artstore import limits
from artstore.adapters.clock import SystemClock
from artstore.errors import Busy, NoSpace
from artstore.model import Digest, Metadata
from artstore.store import refs
from artstore.store.collect import gc, gc_plan, undo
from artstore.store.commit import Naming, Said, commit
from artstore.store.objects import Objects
from artstore.store.remove import remove
from artstore.testing.faults import Faults, FaultyIndex, FaultyPacks
from artstore.testing.local_store import Opened, create, opened

if TYPE_CHECKING:
    from artstore.ports import Index, IndexWriter, Session
    from artstore.store.context import Context

DAY = 24 * 3600 * 1_000_000_000
Files = dict[str, int]  # path → number of a blob
BLOBS = [random.Random(seed).randbytes(2_000 + 100 * seed) for seed in range(12)]
CONTENTS = st.dictionaries(
    st.sampled_from(["a", "b", "d/a", "d/b", "d/e/c", "y", "z"]), st.integers(0, len(BLOBS) - 1), min_size=1, max_size=7
)
DAYS = st.sampled_from([0.5, 2, 7.1, 15])


class MovableClock(SystemClock):
    """The time, moved on."""

    ahead = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead


class InterruptedIndex(FaultyIndex):
    """An index before whose n-th write transaction something else happens."""

    def __init__(self, index: Index, act: Callable[[], None], at: int) -> None:
        super().__init__(index, Faults(0))
        self._act = act
        self._left = at

    @contextmanager
    def write(self, *, sync: bool = True) -> Generator[IndexWriter, None, None]:
        self._left -= 1
        if self._left == 0:
            self._act()
        with super().write(sync=sync) as writer:
            yield writer


class Collection(RuleBasedStateMachine):
    """`named`: what each tag must lead to. `removed`: tags that `undo` must bring back, and when they were removed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="collect-"))
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "PACK_BYTES_TARGET", 20_000)
        self.patch.setattr(limits, "METAPACK_BYTES_TARGET", 600)
        self.patch.setattr(limits, "REPACK_IDS_MAX", 3)
        create(self.folder / "store")
        self.clock = MovableClock()
        self.ever: dict[str, Files] = {}
        self.named: dict[str, Files] = {}
        self.removed: dict[str, int] = {}
        self.aliases: dict[str, str] = {}
        self.sessions: list[Session] = []
        self.count = 0
        self.open()

    def open(self) -> None:
        self.stack = ExitStack()
        store = self.stack.enter_context(opened(self.folder / "store"))
        self.context = replace(store.context, clock=self.clock)

    def teardown(self) -> None:
        try:
            while self.sessions:
                self.sessions.pop().close()
            self.gc(self.context, now=True)
            self.named_is_there()
            self.nothing_else_is_there()
        finally:
            self.stack.close()
            self.patch.undo()
            shutil.rmtree(self.folder)

    def nothing_else_is_there(self) -> None:
        with self.context.index.read() as reader:
            rows = {bytes(row.id): row.number for row in reader.packs()}
            needed = {number for version in reader.versions() for number in reader.version_set(version) or ()}
        assert {bytes(pack) for pack, _ in self.context.packs.list()} == rows.keys()
        assert set(rows.values()) == needed
        assert not list((self.folder / "store" / "tmp").iterdir())

    def gc(self, context: Context, *, now: bool = False) -> None:
        objects = Objects(context)
        gc(context, objects, gc_plan(context, objects, now=now), now=now)
        if now:
            self.removed.clear()

    def make(self, context: Context, files: Files, tag: str) -> None:
        source = self.folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        for name, number in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(BLOBS[number])
        said = Said(tag, "me", Metadata())  # a version of its own, whatever it holds
        commit(context, Objects(context), os.fsencode(source), naming=Naming(tag=tag), said=said)
        self.ever[tag] = self.named[tag] = files

    def next_tag(self) -> str:
        self.count += 1
        return f"m/v{self.count}"

    def version(self, tag: str) -> Digest:
        with self.context.index.read() as reader:
            found = reader.tag(tag)
        assert found is not None, tag
        return Digest(found.version)

    def holds(self, tag: str) -> bool:
        return tag in self.aliases.values()

    @rule(files=CONTENTS)
    def commit(self, files: Files) -> None:
        self.make(self.context, files, self.next_tag())

    @precondition(lambda self: self.ever)
    @rule(data=st.data())
    def commit_again(self, data: st.DataObject) -> None:
        """Content that may be condemned, deleted, or gone."""
        self.make(self.context, self.ever[data.draw(st.sampled_from(sorted(self.ever)))], self.next_tag())

    @rule(files=CONTENTS, at=st.integers(1, 4), now=st.booleans(), days=st.sampled_from([0, 7.1]))
    def commit_while_collecting(self, files: Files, at: int, now: bool, days: float) -> None:
        """A collection falls between two transactions of a commit."""

        def act() -> None:
            self.wait(days)
            with suppress(Busy):
                self.gc(self.context, now=now)

        index = InterruptedIndex(self.context.index, act, at)
        self.make(replace(self.context, index=index), files, self.next_tag())

    @precondition(lambda self: self.named)
    @rule(data=st.data(), at=st.integers(1, 2))
    def commit_what_goes(self, data: st.DataObject, at: int) -> None:
        """Between two transactions of a commit, the only other version of the same content loses its name and goes."""
        tag = data.draw(st.sampled_from(sorted(self.named)))
        if self.holds(tag):
            return

        def act() -> None:
            self.drop(tag)
            for days in (8, 8):
                self.wait(days)
                self.gc(self.context)
            self.gc(self.context)

        index = InterruptedIndex(self.context.index, act, at)
        self.make(replace(self.context, index=index), self.named[tag], self.next_tag())

    @precondition(lambda self: self.named)
    @rule(at=st.integers(1, 4), data=st.data())
    def collect_while_committing(self, at: int, data: st.DataObject) -> None:
        """A commit of old content falls between two transactions of a collection."""
        files = self.ever[data.draw(st.sampled_from(sorted(self.ever)))]
        index = InterruptedIndex(self.context.index, lambda: self.make(self.context, files, self.next_tag()), at)
        context = replace(self.context, index=index)
        objects = Objects(context)
        gc(context, objects, gc_plan(context, objects))

    @precondition(lambda self: self.named)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.named)))
        if not self.holds(tag):
            self.drop(tag)

    def drop(self, tag: str) -> None:
        remove(self.context, Objects(self.context), [tag], who="me", host="here")
        del self.named[tag]
        self.removed[tag] = self.clock.now_ns()

    @precondition(lambda self: self.named)
    @rule(name=st.sampled_from(["x/production", "x/canary"]), data=st.data())
    def alias(self, name: str, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.named)))
        with self.context.index.write() as writer:
            refs.set_alias(writer, name, self.version(tag), who="me", host="here", now=self.clock.now_ns())
        self.aliases[name] = tag

    @precondition(lambda self: self.aliases)
    @rule(data=st.data())
    def remove_alias(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.aliases)))
        with self.context.index.write() as writer:
            refs.remove_alias(writer, name, who="me", host="here", now=self.clock.now_ns())
        del self.aliases[name]

    @rule(days=DAYS)
    def later(self, days: float) -> None:
        self.wait(days)

    def wait(self, days: float) -> None:
        self.clock.ahead += int(days * DAY)
        limit = self.clock.now_ns() - limits.UNDO_NS
        self.removed = {tag: time for tag, time in self.removed.items() if time > limit}

    @rule()
    def collect(self) -> None:
        self.gc(self.context)

    @rule()
    def collect_now(self) -> None:
        try:
            self.gc(self.context, now=True)
        except Busy:
            assert self.sessions

    @rule(at=st.integers(1, 40), now=st.booleans(), lasting=st.booleans())
    def collect_and_fail(self, at: int, now: bool, lasting: bool) -> None:
        """The n-th call of the disk or index fails: as a full disk, or a crash between two steps."""
        faults = Faults(at, lasting=lasting)
        context = replace(
            self.context, index=FaultyIndex(self.context.index, faults), packs=FaultyPacks(self.context.packs, faults)
        )
        if now:
            self.removed.clear()
        with suppress(NoSpace, Busy):
            self.gc(context, now=now)

    @rule()
    def undo(self) -> None:
        undone = undo(self.context, Objects(self.context), who="me", host="here")
        assert self.removed.keys() <= set(undone.tags)
        for tag in undone.tags:
            assert tag not in self.named
            self.named[tag] = self.ever[tag]
        self.removed.clear()
        with self.context.index.read() as reader:  # aliases come back, too
            tags = {bytes(tag.version): tag.name for tag in reader.tags()}
            there = [alias for alias in reader.aliases() if alias.version]
        assert self.aliases.keys() <= {alias.name for alias in there}
        self.aliases = {alias.name: tags[bytes(alias.version)] for alias in there}

    @precondition(lambda self: len(self.sessions) < 3)
    @rule()
    def begin_session(self) -> None:
        self.sessions.append(self.context.sessions.begin())

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def end_session(self, data: st.DataObject) -> None:
        self.sessions.pop(data.draw(st.integers(0, len(self.sessions) - 1))).close()

    @rule()
    def reopen(self) -> None:
        while self.sessions:
            self.sessions.pop().close()
        self.stack.close()
        self.open()

    @invariant()
    def named_is_there(self) -> None:
        store = Opened(self.context, Objects(self.context))
        tags = store.tags()
        assert tags.keys() == self.named.keys()
        for tag, files in self.named.items():
            assert store.content(tags[tag]) == {os.fsencode(name): BLOBS[number] for name, number in files.items()}, tag


def test_nothing_that_has_a_name_is_lost_and_nothing_else_stays() -> None:
    """Some order of commits, removals and collections would cost a version that is named, or disk space for ever."""
    run_state_machine_as_test(
        Collection,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
