"""A state of the world: what lies at the remote, and what each writer and collector knows.

Time is told by ages alone, which end at `grace`: nothing in the protocol asks how much older something is. So a world
has finitely many states, although it lasts for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from tests.model_remote.rules import World

NONE: Final = -1  # no pack, no version, no age

# Of a pack in gc/state: not in it, listed without a time, `SINCE` + age of its time, deleting.
FREE: Final = 0
LISTED: Final = 1
SINCE: Final = 2
DELETING: Final = -1
# In what a collector has read: a time that was less than `grace` before t0, or at least that; a pack that is not in
# gc/state, but older than `grace` at t0.
WAITING: Final = -2
EXPIRED: Final = -3
OLD: Final = -4

# Of `lowered`: never, or raised again; so that nobody has seen it yet; in force. Else the age of the time it was seen.
HIGH: Final = -1
UNSEEN: Final = -2
LOW: Final = -3


class Writer(NamedTuple):
    """One push, or repack, that runs. `at`: what it does next.

    `pack`: what the version's set is to name; `change`: does the set have to be replaced for that; `is_newest`: nobody
    has replaced the set since it was read; `look`: age of its last GET of gc/state; `gone`: packs (bits) that this
    listed; `proven`: the pack was seen, and `deletions` stands still since; `pin`: age of its pin; `frozen`: its last
    write may have come too late, and step 6 has not been taken; `brief`: that GET told of a lowered `grace`.
    """

    at: str = "idle"
    job: str = ""
    version: int = NONE
    pack: int = NONE
    change: bool = False
    is_newest: bool = False
    look: int = NONE
    gone: int = 0
    proven: bool = False
    pin: int = NONE
    frozen: bool = False
    brief: bool = False


class Collector(NamedTuple):
    """One run. `at`: what it does next; `phases`: gc/state as read, then as decided; `t0`: its age.

    `is_newest`: nobody has replaced gc/state since; `marked`: versions, then packs to be deleted (bits); `at_once`: the
    remote was held, and long enough; `lowered`: what gc/state is to say of that; `sets`: versions that were not marked,
    then those whose sets are to be deleted (bits).
    """

    at: str = "idle"
    phases: tuple[int, ...] = ()
    is_newest: bool = True
    t0: int = NONE
    marked: int = 0
    at_once: bool = False
    lowered: int = HIGH
    sets: int = 0


class State(NamedTuple):
    """`ages`: of packs, NONE if it isn't there; `phases`: of packs in gc/state; `exclusive`: age of that, or NONE.

    `sets`: the pack that each version's set names; `tagged`: has a version a tag; `alias`: where it stands and stood
    before; `pins`: by pack, the youngest age of pins that dead pushes left; `lowered`: whether `grace` was.
    """

    ages: tuple[int, ...]
    phases: tuple[int, ...]
    exclusive: int
    sets: tuple[int, ...]
    tagged: tuple[bool, ...]
    alias: tuple[int, int]
    pins: tuple[int, ...]
    writers: tuple[Writer, ...]
    collectors: tuple[Collector, ...]
    lowered: int = HIGH


IDLE_WRITER: Final = Writer()
IDLE_COLLECTOR: Final = Collector()


def first(world: World) -> State:
    """Each pack holds what all versions need."""
    return State(
        ages=(*(world.grace,) * world.old, *(NONE,) * (world.packs - world.old)),
        phases=(FREE,) * world.packs,
        exclusive=NONE,
        sets=(0,) * world.versions,
        tagged=(world.living, *(False,) * (world.versions - 1)),
        alias=(NONE, NONE),
        pins=(NONE,) * world.packs,
        writers=(IDLE_WRITER,) * world.writers,
        collectors=(IDLE_COLLECTOR,) * world.collectors,
    )


def living(state: State, *, tags: bool = True, alias: bool = True, moves: bool = True) -> int:
    """Versions (bits) that a ref names, an alias's last moves included."""
    bits = 0
    for version, tagged in enumerate(state.tagged if tags else ()):
        if tagged:
            bits |= 1 << version
    for version in () if not alias else state.alias if moves else state.alias[:1]:
        if version != NONE:
            bits |= 1 << version
    return bits


def canonical(state: State, world: World) -> State:
    """Collectors, and writers that do the same, are told apart by what they know alone."""
    if world.collectors > 1:
        state = state._replace(collectors=tuple(sorted(state.collectors)))
    if world.writers > 1 and not world.apart:
        state = state._replace(writers=tuple(sorted(state.writers)))
    return state


def dangling(state: State) -> int:
    """A living version whose pack is gone, or NONE; but for what a frozen writer has yet to look after."""
    versions = living(state)
    for version, pack in enumerate(state.sets):
        if (
            versions >> version & 1
            and (pack == NONE or state.ages[pack] == NONE)
            and not any(writer.frozen and writer.version == version for writer in state.writers)
        ):
            return version
    return NONE


def alone(state: State) -> State:
    """The state after everybody died, and `--now` was taken back."""
    return state._replace(
        exclusive=NONE,
        writers=(IDLE_WRITER,) * len(state.writers),
        collectors=(IDLE_COLLECTOR,) * len(state.collectors),
    )


def later(state: State, grace: int) -> State:
    """A tick of the remote's clock."""

    def phases(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([value + 1 if SINCE <= value < SINCE + grace else value for value in values])

    def age(value: int) -> int:
        return value + 1 if NONE < value < grace else value

    return State(
        tuple([age(value) for value in state.ages]),
        phases(state.phases),
        age(state.exclusive),
        state.sets,
        state.tagged,
        state.alias,
        tuple([value + 1 if NONE < value < grace - 1 else NONE for value in state.pins]),
        tuple(
            [
                w if w.look == NONE and w.pin == NONE else w._replace(look=age(w.look), pin=age(w.pin))
                for w in state.writers
            ]
        ),
        tuple(
            [
                c if c.at == "idle" else c._replace(phases=phases(c.phases), t0=age(c.t0), lowered=age(c.lowered))
                for c in state.collectors
            ]
        ),
        age(state.lowered),
    )


def put(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    """The tuple with another value there."""
    return (*values[:index], value, *values[index + 1 :])


def unused(state: State) -> int:
    """The first name that nothing mentions, NONE if there is none."""
    for pack, age in enumerate(state.ages):
        if (
            age == NONE
            and state.phases[pack] == FREE
            and pack not in state.sets
            and state.pins[pack] == NONE
            and not any(w.pack == pack or w.gone >> pack & 1 for w in state.writers)
            and not any(c.at != "idle" and _mentions(c, pack) for c in state.collectors)
        ):
            return pack
    return NONE


def _mentions(collector: Collector, pack: int) -> bool:
    if collector.at == "delete" and collector.marked >> pack & 1:
        return True
    return bool(collector.phases) and collector.phases[pack] != FREE
