"""The steps of a collector. After each of them it may pause for any time, or be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from artstore.format.remote import FormerGrace
from artstore.planning.remote_grace import grace_at
from tests.model_remote.deciding import Decider, as_read
from tests.model_remote.rules import Rules, World
from tests.model_remote.states import (
    DELETING,
    FREE,
    HIGH,
    IDLE_COLLECTOR,
    LISTED,
    LOW,
    NONE,
    OLD,
    SINCE,
    UNSEEN,
    WAITING,
    Collector,
    State,
    living,
    put,
)

Step = tuple[str, State]


class Collecting:
    """What collectors may do next in a state: a line for the reader, and the state it leads to."""

    def __init__(self, world: World, rules: Rules, decider: Decider) -> None:
        self._world = world
        self._rules = rules
        self._decider = decider
        self._at: dict[str, Callable[[State, int, Collector, str], Iterator[Step]]] = {
            "idle": self._idle,
            "late": self._late,
            "mark": self._mark,
            "mark alias": self._mark_alias,
            "sets": self._sets,
            "list": self._list,
            "swap": self._swap,
            "unsure": self._unsure,
            "delete": self._delete,
            "delete sets": self._delete_sets,
            "done": self._done,
        }

    def steps(self, state: State) -> Iterator[Step]:
        """All steps of all collectors."""
        tried: set[Collector] = set()
        for number, collector in enumerate(state.collectors):
            if collector in tried:  # what two that know the same may do is the same
                continue
            tried.add(collector)
            name = f"collector {number + 1}"
            yield from self._at[collector.at](state, number, collector, name)
            if collector != IDLE_COLLECTOR:
                yield f"{name} is killed", _with(state, number, IDLE_COLLECTOR)
        yield from self._exclusive(state)
        yield from self._lower(state)
        yield from self._listed(state)

    def run(self, state: State) -> State:
        """A whole run of the first collector, which is idle, that nothing disturbs."""
        after = state
        while after is state or after.collectors[0] != IDLE_COLLECTOR:
            collector = after.collectors[0]
            _, after = next(self._at[collector.at](after, 0, collector, ""))
        return after

    def _idle(self, state: State, number: int, _: Collector, name: str) -> Iterator[Step]:
        if self._rules.mark_after:
            yield f"{name} reads gc/state, t0 = now", _with(state, number, self._read(state, 0, "mark"))
        else:
            begun = Collector("late", (FREE,) * self._world.packs, True, NONE, living(state, moves=self._rules.moves))
            yield f"{name} reads the refs", _with(state, number, begun)

    def _late(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        read = self._read(state, collector.marked, "sets")
        yield f"{name} reads gc/state, t0 = now", _with(state, number, read)

    def _read(self, state: State, marked: int, at: str) -> Collector:
        at_once = state.exclusive != NONE and (state.exclusive >= self._world.half or not self._rules.now_waits)
        grace, lowered = self._grace(state)
        phases = as_read(state.phases, state.ages, 0 if at_once else grace)
        needs_t0 = LISTED in phases or not self._rules.since_later
        return Collector(at, phases, True, 0 if needs_t0 else NONE, marked, at_once, lowered)

    def _grace(self, state: State) -> tuple[int, int]:
        """That by which a run judges that reads gc/state now, and what it is to say: the product decides that."""
        high, low = self._world.grace, self._world.low
        if state.lowered == HIGH:
            return high, HIGH
        if state.lowered == LOW or not self._rules.lower_waits:
            return low, LOW
        former = FormerGrace(high, None if state.lowered == UNSEEN else -state.lowered)
        grace, after = grace_at(low, former, read_at=0)
        if after is None:
            return grace, LOW
        return grace, 0 if state.lowered == UNSEEN else state.lowered

    def _mark(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        at = "mark alias" if "alias" in self._world.jobs else "sets"
        marked = living(state, alias=False)
        yield f"{name} reads the tags", _with(state, number, collector._replace(at=at, marked=marked))

    def _mark_alias(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        marked = collector.marked | living(state, tags=False, moves=self._rules.moves)
        yield f"{name} reads the alias", _with(state, number, collector._replace(at="sets", marked=marked))

    def _sets(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        marked = 0
        for version, pack in enumerate(state.sets):
            if collector.marked >> version & 1 and pack != NONE:
                marked |= 1 << pack
        for pack in range(self._world.packs):
            if self._rules.pins and self._is_pinned(state, pack):
                marked |= 1 << pack
        unnamed = 0 if self._rules.sets_stay else ~collector.marked & (1 << self._world.versions) - 1
        read = collector._replace(at="list", marked=marked, sets=unnamed)
        yield f"{name} reads sets and pins", _with(state, number, read)

    def _list(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        """Lists packs and decides."""
        present = sum(1 << pack for pack, age in enumerate(state.ages) if age != NONE)
        read = collector.phases
        if not self._rules.age_by_t0:
            read = tuple(
                as_read((phase,), (NONE,), self._world.grace)[0] if known == WAITING and phase >= SINCE else known
                for known, phase in zip(read, state.phases, strict=True)
            )
        phases = self._decider.decide(read, collector.marked, present, collector.t0, collector.at_once)
        decided = Collector(
            "swap",
            phases,
            collector.is_newest,
            at_once=collector.at_once,
            lowered=collector.lowered,
            sets=sum(1 << v for v, p in enumerate(state.sets) if p != NONE and phases[p] == DELETING) & collector.sets,
        )
        what = f"{name} lists packs and decides: {_told(phases)}"
        is_settled = phases == tuple([FREE if phase == OLD else phase for phase in collector.phases])
        is_settled = is_settled and collector.lowered == state.lowered
        if is_settled or (DELETING in phases and not self._rules.deleting_first):
            decided = self._deleting(decided)
        yield what, _with(state, number, decided)

    def _is_pinned(self, state: State, pack: int) -> bool:
        return state.pins[pack] != NONE or any(
            writer.pack == pack and NONE < writer.pin < self._world.grace for writer in state.writers
        )

    def _swap(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        can = collector.is_newest or not self._rules.state_if_match
        written = self._written(state, number, collector) if can else state
        if can:
            yield f"{name} replaces gc/state", _with(written, number, self._deleting(collector))
        else:
            yield f"{name} finds gc/state replaced by another, stops", _with(state, number, IDLE_COLLECTOR)
        if self._world.lost:
            unsure = collector._replace(at="unsure")
            if can:
                mine = unsure._replace(is_newest=True)
                yield f"{name} replaces gc/state, the reply is lost", _with(written, number, mine)
            nothing = unsure._replace(is_newest=False)
            yield f"{name}'s request to replace gc/state is lost", _with(state, number, nothing)

    def _unsure(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        if collector.is_newest or not self._rules.read_back:
            how = "reads gc/state and finds its own write" if self._rules.read_back else "takes it as written"
            yield f"{name} {how}", _with(state, number, self._deleting(collector))
        else:
            yield f"{name} reads gc/state, finds no write of its own, stops", _with(state, number, IDLE_COLLECTOR)

    def _delete(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        pack = (collector.marked & -collector.marked).bit_length() - 1
        left = collector.marked & ~(1 << pack)
        after = state._replace(ages=put(state.ages, pack, NONE))
        then = "delete" if left else "delete sets" if collector.sets else "done"
        yield f"{name} deletes pack {pack}", _with(after, number, collector._replace(marked=left, at=then))

    def _delete_sets(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        version = (collector.sets & -collector.sets).bit_length() - 1
        left = collector.sets & ~(1 << version)
        writers = tuple([w._replace(is_newest=False) if w.version == version else w for w in state.writers])
        after = state._replace(sets=put(state.sets, version, NONE), writers=writers)
        then = collector._replace(sets=left, at="delete sets" if left else "done")
        yield f"{name} deletes the set of version {version}", _with(after, number, then)

    def _done(self, state: State, number: int, collector: Collector, name: str) -> Iterator[Step]:
        """Takes out of gc/state what is deleted, and raises `deletions`."""
        if not collector.is_newest and self._rules.state_if_match:
            yield f"{name} finds gc/state replaced by another, stops", _with(state, number, IDLE_COLLECTOR)
            return
        present = collector.phases or state.phases
        cleared = collector._replace(
            phases=tuple([FREE if p == DELETING else p for p in present]), at_once=False, lowered=state.lowered
        )
        written = self._written(state, number, cleared)
        if self._rules.deletions:
            writers = tuple([w._replace(proven=False) if w.proven else w for w in written.writers])
            written = written._replace(writers=writers)
        yield f"{name} takes it out of gc/state", _with(written, number, IDLE_COLLECTOR)

    def _deleting(self, collector: Collector) -> Collector:
        """What it does once gc/state says what it decided."""
        packs = sum(1 << pack for pack, phase in enumerate(collector.phases) if phase == DELETING)
        if not packs:
            return IDLE_COLLECTOR
        deleting = collector._replace(at="delete", t0=NONE, marked=packs)
        return deleting._replace(phases=()) if self._rules.state_if_match else deleting

    def _written(self, state: State, number: int, collector: Collector) -> State:
        """gc/state as this collector has it. Others then hold an old one: they stop where they would lose."""
        phases = tuple(
            [
                max(old, SINCE) if new == WAITING else FREE if new == OLD else new
                for old, new in zip(state.phases, collector.phases, strict=True)
            ]
        )
        others = tuple([c if i == number else self._overtaken(c) for i, c in enumerate(state.collectors)])
        exclusive = NONE if collector.at_once else state.exclusive
        return state._replace(phases=phases, collectors=others, exclusive=exclusive, lowered=collector.lowered)

    def _overtaken(self, collector: Collector) -> Collector:
        if collector.at == "idle" or collector.at == "late":
            return collector
        if self._rules.state_if_match and collector.at in ("mark", "mark alias", "sets", "list", "swap"):
            return IDLE_COLLECTOR  # all it can do is find that it lost
        return collector._replace(is_newest=False)

    def _exclusive(self, state: State) -> Iterator[Step]:
        """`--now`: gc/state is replaced; whoever read it before loses."""
        if not self._world.now:
            return
        others = tuple([self._overtaken(c) for c in state.collectors])
        if state.exclusive == NONE:
            yield "collection asks for the remote for itself", state._replace(exclusive=0, collectors=others)
        else:
            yield "collection lets others write again", state._replace(exclusive=NONE, collectors=others)

    def _lower(self, state: State) -> Iterator[Step]:
        """Changes of `grace`: gc/state is replaced, too."""
        if not self._world.low:
            return
        others = tuple([self._overtaken(c) for c in state.collectors])
        if state.lowered == HIGH:
            yield "grace is lowered", state._replace(lowered=UNSEEN, collectors=others)
        else:
            yield "grace is raised", state._replace(lowered=HIGH, collectors=others)

    def _listed(self, state: State) -> Iterator[Step]:
        """Who replaced a damaged pack lists it: nothing but `If-Match` says when. Collectors that read before lose."""
        if not self._world.repairs:
            return
        others = tuple([self._overtaken(c) for c in state.collectors])
        for pack, phase in enumerate(state.phases):
            if phase == FREE and state.ages[pack] != NONE:
                listed = state._replace(phases=put(state.phases, pack, LISTED), collectors=others)
                yield f"a repair lists pack {pack}", listed


def _with(state: State, number: int, collector: Collector) -> State:
    collectors = (*state.collectors[:number], collector, *state.collectors[number + 1 :])
    return state._replace(collectors=collectors)


def _told(phases: tuple[int, ...]) -> str:
    words = [
        f"{pack} {'deleting' if phase == DELETING else 'listed' if phase < SINCE else 'listed since t0'}"
        for pack, phase in enumerate(phases)
        if phase not in (FREE, WAITING, OLD)
    ]
    return ", ".join(words) or "nothing"
