"""The steps of a writer: a push of a tag, a move of an alias, a repack. DESIGN, "Push", whose steps are numbered here.

What a writer believes to be at the remote, from shards, sets or a journal, may be wrong in any way: it may plan to
rely on any pack. So step 1 needs no steps of its own, and nothing that it reads is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.model_remote.rules import Rules, World
from tests.model_remote.states import FREE, HIGH, IDLE_WRITER, NONE, State, Writer, living, put, unused

Step = tuple[str, State]


class Writing:
    """What writers may do next in a state: a line for the reader, and the state it leads to."""

    def __init__(self, world: World, rules: Rules) -> None:
        self._world = world
        self._rules = rules
        self._young = world.half if rules.half else world.grace
        self._at: dict[str, Callable[[State, int, Writer, str], Iterator[Step]]] = {
            "idle": self._idle,
            "upload": self._upload,
            "look": self._look,
            "reread": self._reread,
            "head": self._head,
            "set": self._set,
            "late set": self._late_set,
            "unsure": self._unsure,
            "ref": self._ref,
            "late ref": self._late_ref,
            "six": self._six,
            "six set": self._six_set,
            "six head": self._six_head,
            "resend": self._resend,
            "in vain": self._in_vain,
        }

    def steps(self, state: State) -> Iterator[Step]:
        """All steps of all writers, and the removal of refs."""
        tried: set[Writer] = set()
        for number, writer in enumerate(state.writers):
            if writer in tried and not self._world.apart:  # what two that know the same may do is the same
                continue
            tried.add(writer)
            name = f"writer {number + 1}"
            yield from self._at[writer.at](state, number, writer, name)
            if writer != IDLE_WRITER and (self._world.die_frozen or not writer.frozen):
                yield f"{name} is killed", _with(_left_pin(state, writer, self._world.grace), number, IDLE_WRITER)
            if 0 < writer.pin < self._world.grace:
                yield f"{name} says its pin again", _with(state, number, writer._replace(pin=0))
        for version, tagged in enumerate(state.tagged):
            if tagged:
                left = (*state.tagged[:version], False, *state.tagged[version + 1 :])
                yield f"the tag of version {version} is removed", state._replace(tagged=left)
        if state.alias[0] != NONE:
            yield "the alias is removed", state._replace(alias=(NONE, state.alias[0]))

    # --- what is to be done

    def _idle(self, state: State, number: int, _: Writer, name: str) -> Iterator[Step]:
        for job in self._world.jobs[number : number + 1] if self._world.apart else self._world.jobs:
            for version in range(self._world.versions):
                has_ref = state.tagged[version] if job == "tag" else state.alias[0] == version
                if job == "repack":
                    if living(state) >> version & 1:
                        yield from self._change(state, number, Writer(job=job, version=version), name)
                elif not has_ref:
                    yield from self._push(state, number, Writer(job=job, version=version), name)

    def _push(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        present = state.sets[writer.version]
        what = f"{name} ({writer.job} of version {writer.version})"
        if present != NONE:
            keeping = self._to_prove(writer._replace(pack=present))
            yield from self._at_once(state, number, keeping, f"{what} will keep the set")
        yield from self._change(state, number, writer, name)

    def _change(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        """The set is to name another pack."""
        present = state.sets[writer.version]
        what = f"{name} ({writer.job} of version {writer.version})"
        for pack, age in enumerate(state.ages):
            if age != NONE and pack != present:
                relying = writer._replace(pack=pack, change=True, is_newest=self._rules.set_if_match)
                changing = self._to_change(relying)
                yield from self._at_once(state, number, changing, f"{what} will have the set name pack {pack}")
        if self._world.uploads:
            yield from self._send(state, number, writer, name)

    def _at_once(self, state: State, number: int, writer: Writer, what: str) -> Iterator[Step]:
        """What nobody else sees needs no step of its own: a pause is as well made before it."""
        if writer.at != "look":
            yield what, _with(state, number, writer)
            return
        for then, after in self._look(state, number, writer, "it"):
            yield f"{what}; {then}", after

    def _send(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        """With a pack of its own; later, if there is no name left: one for each that nothing mentions."""
        names = [unused(state)]
        if not self._rules.names_once:
            names = [pack for pack, age in enumerate(state.ages) if age == NONE]
        for pack in names:
            if pack != NONE:
                pinned = Writer(
                    *("upload", writer.job, writer.version, pack),
                    change=True,
                    is_newest=self._rules.set_if_match,
                    pin=0 if self._world.pins else NONE,
                    frozen=writer.frozen,
                )
                what = f"{name} ({writer.job} of version {writer.version}) reads the set, pins pack {pack}"
                yield what, _with(state, number, pinned)

    def _upload(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        after = state._replace(ages=put(state.ages, writer.pack, 0))
        yield f"{name} uploads pack {writer.pack}", _with(after, number, self._to_change(writer))

    def _to_change(self, writer: Writer) -> Writer:
        return self._to_prove(writer) if self._rules.set_proof else writer._replace(at="set", look=NONE)

    # --- step 4

    def _to_prove(self, writer: Writer) -> Writer:
        """Begin step 4."""
        reads_set = not writer.change and self._rules.set_again
        if not self._rules.proof:
            return writer._replace(at="set" if writer.change else "ref", look=0)
        at = "look" if self._rules.proof_after_look else "reread" if reads_set else "head"
        return writer._replace(at=at, look=NONE, gone=0, is_newest=writer.change and writer.is_newest)

    def _look(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        """GET of gc/state."""
        if state.exclusive != NONE:
            if not writer.frozen:
                yield f"{name} finds the remote busy, stops", _with(state, number, IDLE_WRITER)
            return
        gone = self._gone(state)
        is_gone = bool(gone >> writer.pack & 1)
        looked = writer._replace(look=0, gone=gone, brief=state.lowered != HIGH)
        if not self._rules.proof_after_look:
            after = self._again(looked) if is_gone else self._proven(looked)
        elif not writer.change and self._rules.set_again:
            after = looked._replace(at="reread")
        else:
            after = self._proven(looked) if writer.proven and not is_gone else looked._replace(at="head")
        yield f"{name} reads gc/state", _with(state, number, after)

    def _reread(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        """GET of the set."""
        pack = state.sets[writer.version]
        if pack == NONE:
            yield f"{name} finds no set", _with(state, number, self._again(writer))
            return
        read = writer._replace(pack=pack, proven=writer.proven and pack == writer.pack)
        is_enough = read.proven and not read.gone >> pack & 1
        after = self._proven(read) if is_enough else read._replace(at="head")
        yield f"{name} reads the set, which names pack {pack}", _with(state, number, after)

    def _head(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        """HEAD of the pack. One that was sent, and pinned all the time, can be relied on; else it was sent in vain."""
        if state.ages[writer.pack] != NONE and not writer.gone >> writer.pack & 1:
            after = self._proven(writer) if self._rules.proof_after_look else writer._replace(at="look")
            yield f"{name} sees pack {writer.pack}", _with(state, number, after)
        elif writer.change and NONE < writer.pin < self._world.grace:
            lost = Writer("in vain", frozen=writer.frozen)
            yield f"{name} can't rely on pack {writer.pack}, which it pinned", _with(state, number, lost)
        else:
            yield f"{name} can't rely on pack {writer.pack}", _with(state, number, self._again(writer))

    def _proven(self, writer: Writer) -> Writer:
        at = "set" if writer.change else "ref" if self._has_ref(writer) else "six"
        return writer._replace(at=at, proven=True, gone=0)

    def _has_ref(self, writer: Writer) -> bool:
        return writer.job in ("tag", "alias")

    def _again(self, writer: Writer) -> Writer:
        """Begin anew. A frozen writer's ref stands already: what it needs is sent, whatever else."""
        return Writer("resend", "renewal", writer.version, frozen=True) if writer.frozen else IDLE_WRITER

    def _gone(self, state: State) -> int:
        if not self._rules.listed_is_absent:
            return 0
        return sum(1 << pack for pack, phase in enumerate(state.phases) if phase != FREE)

    # --- steps 3 and 5

    def _set(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        if self._rules.set_proof and self._is_late(writer):
            yield from self._at_once(state, number, self._to_prove(writer), f"{name} took long")
            return
        yield from self._write_set(state, number, writer, name)
        if self._world.lost:
            unsure = writer._replace(at="unsure")
            if writer.is_newest or not self._rules.set_if_match:
                written = self._replaced(state, number, writer)
                yield f"{name} replaces the set, the reply is lost", _with(written, number, unsure)
            yield f"{name}'s request to replace the set is lost", _with(state, number, unsure)
        if self._may_freeze(state) and self._rules.set_proof:
            yield f"{name} freezes before it replaces the set", _with(state, number, writer._replace(at="late set"))

    def _write_set(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        if writer.is_newest or not self._rules.set_if_match:
            written = self._replaced(state, number, writer)
            what = f"{name} replaces the set of version {writer.version}: pack {writer.pack}"
            yield what, _with(written, number, self._after_set(writer))
        else:
            lost = writer._replace(at="six", look=NONE) if writer.frozen else IDLE_WRITER
            yield f"{name} finds the set replaced by another", _with(state, number, lost)

    def _replaced(self, state: State, number: int, writer: Writer) -> State:
        others = tuple(
            w._replace(is_newest=False) if i != number and w.version == writer.version and w.is_newest else w
            for i, w in enumerate(state.writers)
        )
        return state._replace(sets=put(state.sets, writer.version, writer.pack), writers=others)

    def _after_set(self, writer: Writer) -> Writer:
        done = writer._replace(change=False, is_newest=False)
        if not self._rules.set_proof:
            return self._to_prove(done)
        if self._has_ref(writer):
            return done._replace(at="ref")
        return done._replace(at="six") if writer.frozen else IDLE_WRITER

    def _unsure(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        if state.sets[writer.version] == writer.pack:
            found = self._to_prove(writer._replace(change=False, is_newest=False))
            yield f"{name} reads the set and finds its own write", _with(state, number, found)
        else:
            yield f"{name} reads the set and finds another's write", _with(state, number, self._again(writer))

    def _ref(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        if self._rules.swap_soon and self._is_late(writer):
            yield from self._at_once(state, number, self._to_prove(writer), f"{name} took long")
            return
        yield from self._write_ref(state, number, writer, name)
        if self._may_freeze(state):
            yield f"{name} freezes before it writes the ref", _with(state, number, writer._replace(at="late ref"))

    def _write_ref(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        """Whether its reply is lost does not matter: who doesn't know reads, and repeats it only after the same look
        at its clock, as if it had paused before; step 6 follows in either case.
        """
        if writer.job == "tag":
            tagged = tuple(each or version == writer.version for version, each in enumerate(state.tagged))
            after = state._replace(tagged=tagged)
        else:
            after = state._replace(alias=(writer.version, state.alias[0]))
        done = writer._replace(at="six", proven=False) if writer.frozen else IDLE_WRITER
        yield f"{name} writes the {writer.job} of version {writer.version}", _with(after, number, done)

    # --- freezing, and step 6

    def _may_freeze(self, state: State) -> bool:
        return self._world.freeze and not any(w.frozen or w.at.startswith("late") for w in state.writers)

    def _late_set(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        if self._is_late(writer):  # earlier, it is as if it had not frozen
            late = writer._replace(frozen=self._rules.renew)
            for what, after in self._write_set(state, number, late, name):
                yield what + ", late", after

    def _late_ref(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        if self._is_late(writer):
            late = writer._replace(frozen=self._rules.renew)
            for what, after in self._write_ref(state, number, late, name):
                yield what + ", late", after

    def _six(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        """GET of gc/state once more."""
        if not writer.frozen or (writer.look != NONE and not self._is_late(writer)):
            yield f"{name} ends", _with(state, number, IDLE_WRITER)
        elif state.exclusive == NONE:
            looked = writer._replace(at="six set", gone=self._gone(state))
            yield f"{name} reads gc/state, and that it was late", _with(state, number, looked)

    def _six_set(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        pack = state.sets[writer.version]
        read = writer._replace(at="six head", pack=pack) if pack != NONE else self._again(writer)
        yield f"{name} reads the set, which names pack {pack}", _with(state, number, read)

    def _six_head(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        if state.ages[writer.pack] != NONE and not writer.gone >> writer.pack & 1:
            yield f"{name} sees pack {writer.pack} and ends", _with(state, number, IDLE_WRITER)
        else:
            yield f"{name} misses pack {writer.pack}", _with(state, number, self._again(writer))

    def _resend(self, state: State, number: int, writer: Writer, name: str) -> Iterator[Step]:
        yield from self._send(state, number, writer, name)

    def _in_vain(self, _state: State, _number: int, _writer: Writer, _name: str) -> Iterator[Step]:
        yield from ()

    def _is_late(self, writer: Writer) -> bool:
        return writer.look >= (self._world.low // 2 if writer.brief else self._young)


def _left_pin(state: State, writer: Writer, grace: int) -> State:
    """The pin of a writer that died stays until nobody counts it."""
    if not NONE < writer.pin < grace:
        return state
    there = state.pins[writer.pack]
    age = writer.pin if there == NONE else min(there, writer.pin)
    return state._replace(pins=put(state.pins, writer.pack, age))


def _with(state: State, number: int, writer: Writer) -> State:
    writers = (*state.writers[:number], writer, *state.writers[number + 1 :])
    return state._replace(writers=writers)
