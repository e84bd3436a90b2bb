"""Which versions stay: what leads to each, decided from refs, documents and the time alone.

Roots are tags, aliases and the targets of their last moves, versions younger than the undo window, and, of all these,
the inputs. Parents are no roots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from artstore.errors import Corrupt
from artstore.model import Digest


class RootKind(Enum):
    """How something leads to a version."""

    TAG = "tag"
    ALIAS = "alias"
    MOVE = "move"
    YOUNG = "young"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class Root:
    """Why a version stays; `name`: the tag, the alias, or in hex the version whose input it is."""

    kind: RootKind
    name: str = ""


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What of a version's document decides whether versions stay: when it was made (ns), and from which versions."""

    created: int
    inputs: tuple[Digest, ...]


def plan_roots(
    versions: Iterable[Digest],
    named: Iterable[tuple[Digest, Root]],
    facts: Callable[[Digest], VersionFacts | None],
    *,
    young_from: int,
) -> dict[Digest, Root]:
    """Every version that stays and the first root that leads to it, the stronger kinds first.

    `named` comes in that order too. `facts` gives None for a document that can't be read: Corrupt if a kept version's
    inputs are unknown for that; an unnamed version like that is not young.
    """
    there = set(versions)
    kept: dict[Digest, Root] = {}
    for version, root in named:
        if version in there:
            kept.setdefault(version, root)
    for version in there - kept.keys():
        known = facts(version)
        if known is not None and known.created >= young_from:
            kept[version] = Root(RootKind.YOUNG)
    pending = list(kept)
    while pending:
        version = pending.pop()
        known = facts(version)
        if known is None:
            raise Corrupt(
                f"version {version.hex()} can't be read, so that what it was made from is unknown",
                digest=version,
                hint="run `artstore check --repair`, or `artstore rm` it",
            )
        for source in known.inputs:
            if source in there and source not in kept:
                kept[source] = Root(RootKind.INPUT, version.hex())
                pending.append(source)
    return kept
