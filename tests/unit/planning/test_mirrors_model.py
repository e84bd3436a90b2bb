"""Home, a mirror, a promotion, a partition: every course of two clients is explored, over the real decisions.

Each step below is one request or one atomic write, as the program makes them; between any two of them others act.
What is proven of every state:

- no move that somebody was told to have made is gone without a word: it is in the history of the home, or stands at the
  other remote, where the next copy tells of it, or its maker was told that it doesn't count;
- no history was merged: what stands at a remote is a chain in which each move was made behind the one before;
- there are never two homes of one epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from artstore.format.remote import RemoteAlias
from artstore.planning.copies import Step, plan_alias
from artstore.planning.mirrors import Claim, Standing, is_promoted, next_epoch, stand

H, M = b"H", b"M"
Chain = tuple[int, ...]  # an alias's moves, each a number of its own


class Remote(NamedTuple):
    """What stands there: who is home, and the alias's history."""

    claim: Claim
    chain: Chain = ()


class Mover(NamedTuple):
    """A client who moves the alias at what it takes for home: looked, swapped, looked again."""

    home: bytes = H
    left: int = 3  # moves that it will make
    at: str = "idle"
    seen: Chain = ()
    moved: int = 0
    told: frozenset[int] = frozenset()  # moves that it was told not to count


class Promoter(NamedTuple):
    """A client who promotes M, in the steps of `promoting`."""

    at: str = "idle"
    epoch: int = 0
    chain: Chain = ()


class World(NamedTuple):
    """All of it. `cut`: the promoter doesn't reach H."""

    h: Remote
    m: Remote
    mover: Mover
    promoter: Promoter
    cut: bool
    made: frozenset[tuple[int, Chain]] = frozenset()  # moves that were swapped in, each with what it was made behind

    def remote(self, id: bytes) -> Remote:
        return self.h if id == H else self.m

    def put(self, id: bytes, remote: Remote) -> World:
        return self._replace(h=remote) if id == H else self._replace(m=remote)


class Rules(NamedTuple):
    """Of which each is needed."""

    looks_before: bool = True
    looks_after: bool = True
    marks_first: bool = True
    tells_conflicts: bool = True


def alias(chain: Chain) -> RemoteAlias | None:
    return RemoteAlias(b"", bytes([chain[-1]]) * 32, len(chain), bytes([chain[-1]])) if chain else None


def copied(home: Chain, mirror: Chain) -> Chain | None:
    """What a copy makes of the mirror's alias; None: it is a conflict, and stays."""
    goes_on = home[: len(mirror)] == mirror
    decided = plan_alias(alias(home), alias(mirror), goes_on=goes_on)
    return None if decided.step is Step.CONFLICT else home if decided.step is Step.COPY else mirror


def moves(world: World, rules: Rules) -> Iterator[World]:
    """The mover's next step."""
    mover, remote = world.mover, world.remote(world.mover.home)
    if mover.at == "idle" and mover.left:
        if rules.looks_before and not remote.claim.is_home:
            yield world._replace(mover=mover._replace(left=0))  # refused, and told where home is
            other = M if mover.home == H else H
            yield world._replace(mover=mover._replace(home=other))
        else:
            yield world._replace(mover=mover._replace(at="looked", seen=remote.chain))
    elif mover.at == "looked":
        if remote.chain != mover.seen:  # the swap loses: look again
            yield world._replace(mover=mover._replace(at="idle"))
        else:
            move = 1 + len(world.made)
            made = world.made | {(move, remote.chain)}
            after = world.put(mover.home, remote._replace(chain=(*remote.chain, move)))
            at = "moved" if rules.looks_after else "idle"
            yield after._replace(mover=mover._replace(at=at, moved=move, left=mover.left - 1), made=made)
    elif mover.at == "moved":
        told = mover.told if remote.claim.is_home else mover.told | {mover.moved}
        yield world._replace(mover=mover._replace(at="idle", told=told))


def promotes(world: World, rules: Rules) -> Iterator[World]:
    """The promoter's next step; it may be killed before any of them, and begins anew then, once."""
    promoter = world.promoter
    own = world.m.claim
    others = [] if world.cut else [world.h.claim]
    if promoter.at == "idle":
        if is_promoted(own, others):
            yield world._replace(promoter=Promoter("tell", own.epoch))
            return
        begun = [claim for claim in others if claim.home == M]
        epoch = begun[0].epoch if begun else next_epoch([own, *others], [])
        yield world._replace(promoter=Promoter("take" if world.cut or not rules.marks_first else "mark", epoch))
    elif promoter.at == "mark":
        marked = world.h._replace(claim=Claim(H, M, promoter.epoch))
        yield world._replace(h=marked, promoter=promoter._replace(at="read"))
    elif promoter.at == "read":
        yield world._replace(promoter=promoter._replace(at="copy", chain=world.h.chain))
    elif promoter.at == "copy":
        chain = copied(promoter.chain, world.m.chain)
        at_mirror = world.m if chain is None else world.m._replace(chain=chain)
        yield world._replace(m=at_mirror, promoter=promoter._replace(at="take"))
    elif promoter.at == "take":
        taken = world.m._replace(claim=Claim(M, M, promoter.epoch))
        yield world._replace(m=taken, promoter=promoter._replace(at="tell"))
    elif promoter.at == "tell":
        told = world.h if world.cut else world.h._replace(claim=Claim(H, M, promoter.epoch))
        yield world._replace(h=told, promoter=promoter._replace(at="done"))
    if promoter.at in ("read", "copy", "take", "tell"):
        yield world._replace(promoter=Promoter("idle"))


def copies(world: World, rules: Rules) -> Iterator[World]:
    """Somebody who reaches both, and takes either for home, pushes to the other: one step, since names are swapped."""
    for home, mirror in ((H, M), (M, H)):
        ours, theirs = world.remote(home), world.remote(mirror)
        if not ours.claim.is_home or world.cut:
            continue
        standing = stand(ours.claim, theirs.claim)
        if standing is Standing.STALE:
            yield world.put(mirror, theirs._replace(claim=Claim(mirror, home, ours.claim.epoch)))
        elif standing is Standing.OVERTAKEN:
            yield world.put(home, ours._replace(claim=Claim(home, theirs.claim.home, theirs.claim.epoch)))
        elif standing is Standing.FOLLOWS:
            chain = copied(ours.chain, theirs.chain)
            if chain is None and not rules.tells_conflicts:
                chain = ours.chain
            if chain is not None and chain != theirs.chain:
                yield world.put(mirror, theirs._replace(chain=chain))
        else:
            assert not theirs.claim.is_home, "two homes of one epoch"


def steps(world: World, rules: Rules) -> Iterator[World]:
    yield from moves(world, rules)
    yield from promotes(world, rules)
    yield from copies(world, rules)
    if world.cut:
        yield world._replace(cut=False)


def flaw(world: World) -> str | None:
    """What is wrong with a state."""
    if world.h.claim.is_home and world.m.claim.is_home and world.h.claim.epoch == world.m.claim.epoch:
        return "two homes of one epoch"
    behind = dict(world.made)
    for remote in (world.h, world.m):
        if any(behind[move] != remote.chain[:at] for at, move in enumerate(remote.chain)):
            return "histories were merged"
    lost = behind.keys() - {*world.h.chain, *world.m.chain} - world.mover.told
    return f"moves {lost} are gone without a word" if lost else None


def explore(rules: Rules, *, cut: bool) -> tuple[int, str | None]:
    """How many states there are, and what is wrong with the first that is wrong."""
    begin = World(Remote(Claim(H, H)), Remote(Claim(M, H)), Mover(), Promoter(), cut)
    seen, left = {begin}, deque([begin])
    while left:
        world = left.popleft()
        wrong = flaw(world) or (None if any(True for _ in steps(world, rules)) else at_rest(world, cut=cut))
        if wrong is not None:
            return len(seen), wrong
        for after in steps(world, rules):
            if after not in seen:
                seen.add(after)
                left.append(after)
    return len(seen), None


def at_rest(world: World, *, cut: bool) -> str | None:
    """Nobody does anything any more: M is home, and what it lacks was told, or stands at H to be told."""
    if not world.m.claim.is_home or world.h.claim != Claim(H, M, world.m.claim.epoch):
        return "the promotion didn't end"
    lacks = {move for move, _ in world.made} - set(world.m.chain)
    if not cut and lacks - world.mover.told:
        return f"a planned promotion left moves {lacks} behind, and nobody was told by then"
    return None


@pytest.mark.parametrize("cut", [False, True])
def test_nothing_is_lost_or_merged(cut: bool) -> None:
    """An alias would go back by itself, or name what nobody has put there."""
    states, wrong = explore(Rules(), cut=cut)
    assert wrong is None
    assert states > 500


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (Rules(looks_before=False, looks_after=False), "nobody was told"),
        (Rules(looks_after=False), "nobody was told"),
        (Rules(marks_first=False), "left moves"),
        (Rules(tells_conflicts=False), "gone without a word"),
    ],
)
def test_each_rule_is_needed(rules: Rules, why: str) -> None:
    """A model that finds nothing without them finds nothing at all."""
    found = [explore(rules, cut=cut)[1] or "" for cut in (False, True)]
    assert any(why in each for each in found), found
