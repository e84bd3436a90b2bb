"""Aliases against a model: any sequence of moves, rollbacks and removals by several hands."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from artstore.adapters.lmdb_index.index import LmdbIndex
from artstore.errors import Conflict, NotFound
from artstore.format.ids import PLAIN
from artstore.model import Digest, ObjectKind, PackId, PackKind, TableEntry
from artstore.store import refs

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = [Digest(bytes([number]) * 32) for number in range(1, 7)]
ALIASES = ["a/p", "a/q"]
names = st.sampled_from(ALIASES)
versions = st.sampled_from(VERSIONS)


@dataclass
class Model:
    """What an alias should be: every state it was in, the forward steps in force, what was rolled back from."""

    history: list[Digest | None] = field(default_factory=list[Digest | None])
    steps: list[Digest] = field(default_factory=list[Digest])
    rolled_back: set[Digest] = field(default_factory=set[Digest])

    @property
    def current(self) -> Digest | None:
        return self.history[-1] if self.history else None

    def forward(self, version: Digest) -> None:
        self.history.append(version)
        self.steps.append(version)
        self.rolled_back.discard(version)

    def target(self) -> Digest | None:
        """Further back, past what was rolled back from."""
        return next((v for v in reversed(self.steps[:-1]) if v != self.current and v not in self.rolled_back), None)

    def back(self, target: Digest) -> None:
        assert self.current is not None
        self.rolled_back.add(self.current)
        kept = [index for index, version in enumerate(self.steps[:-1]) if version == target]
        if kept:
            self.steps = self.steps[: kept[-1] + 1]
        else:
            while self.steps and self.steps[-1] == self.current:
                self.steps.pop()
            self.steps.append(target)
        self.history.append(target)

    def remove(self) -> None:
        self.history.append(None)
        self.steps = []


class Aliases(RuleBasedStateMachine):
    """The operations of store.refs on a real index, beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.index = LmdbIndex(self.folder.name, PLAIN)
        self.models = {name: Model() for name in ALIASES}
        self.time = 1000

    def teardown(self) -> None:
        self.index.close()
        self.folder.cleanup()

    @initialize()
    def fill(self) -> None:
        with self.index.write() as writer:
            for number, version in enumerate(VERSIONS):
                entry = TableEntry(version, 0, 10, 10, 0, int(ObjectKind.VERSION))
                pack = writer.add_pack(
                    PackId(number.to_bytes(16, "big")), PackKind.META, size=9, created=1, table=[entry]
                )
                writer.put_set(version, [pack])

    def act(
        self, operation: Callable[..., refs.Moved], name: str, **options: Digest | refs.Absent | None
    ) -> refs.Moved:
        self.time += 10
        with self.index.write() as writer:
            return operation(writer, name, who="me", host="here", now=self.time, **options)

    @rule(name=names, version=versions)
    def set_alias(self, name: str, version: Digest) -> None:
        model = self.models[name]
        before = model.current
        moved = self.act(refs.set_alias, name, target=version)
        assert (moved.source, moved.target, moved.changed) == (before, version, before != version)
        if before != version:
            model.forward(version)
        assert moved.seq == len(model.history)

    @rule(name=names, version=versions, expected=st.none() | versions)
    def swap(self, name: str, version: Digest, expected: Digest | None) -> None:
        model = self.models[name]
        if_current = refs.ABSENT if expected is None else expected
        if expected != model.current:
            with pytest.raises(Conflict):
                self.act(refs.set_alias, name, target=version, if_current=if_current)
        else:
            moved = self.act(refs.set_alias, name, target=version, if_current=if_current)
            if moved.changed:
                model.forward(version)

    @rule(name=names)
    def rollback(self, name: str) -> None:
        model = self.models[name]
        target, before = model.target(), model.current
        if target is None:
            with pytest.raises(NotFound if before is None else Conflict):
                self.act(refs.rollback, name)
            return
        moved = self.act(refs.rollback, name)
        assert moved.rollback
        assert (moved.source, moved.target) == (before, target)
        assert moved.target not in model.rolled_back
        model.back(target)

    @rule(name=names, to=versions)
    def rollback_to(self, name: str, to: Digest) -> None:
        model = self.models[name]
        before = model.current
        if before == to:
            assert not self.act(refs.rollback, name, to=to).changed
        elif before is None or to in model.rolled_back or to not in model.history:
            with pytest.raises(NotFound if before is None else Conflict):
                self.act(refs.rollback, name, to=to)
        else:
            assert self.act(refs.rollback, name, to=to).target == to
            model.back(to)

    @rule(name=names)
    def remove(self, name: str) -> None:
        model = self.models[name]
        if model.current is None:
            with pytest.raises(NotFound):
                self.act(refs.remove_alias, name)
            return
        assert self.act(refs.remove_alias, name).target is None
        model.remove()

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = LmdbIndex(self.folder.name, PLAIN)

    @invariant()
    def every_state_is_remembered(self) -> None:
        with self.index.read() as reader:
            for name, model in self.models.items():
                alias = reader.alias(name)
                assert (alias.version if alias else None) == model.current
                moves = [move for _, move in reader.moves(name)]
                assert [move.target or None for move in moves] == model.history[::-1]
                assert [move.seq for move in moves] == list(range(len(moves), 0, -1))


def test_aliases_do_what_the_model_does() -> None:
    """An alias would stand elsewhere than its history says, lose a state, or be rolled back onto a broken version."""
    run_state_machine_as_test(Aliases, settings=settings(max_examples=30, stateful_step_count=25, deadline=None))


def test_no_document_is_needed_to_move_an_alias() -> None:
    """An instant rollback would wait for a version's document, or fail because that one is damaged."""
    machine = Aliases()
    try:
        machine.fill()
        machine.set_alias("a/p", VERSIONS[0])
        machine.set_alias("a/p", VERSIONS[1])
        machine.rollback("a/p")  # no frame of these versions lies in any file
    finally:
        machine.teardown()
