"""One question, answered by a process of its own, so that its memory is nobody else's. Prints a line for each answer.

`QUESTION STORE FIRST PACKS`: packs are counted from 0, and those from FIRST to PACKS are new.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from artstore_bench.scale import documents, index
from artstore_bench.scale.answers import Answer, line

ASK: Final[Mapping[str, Callable[[Path, int, int], Iterator[Answer]]]] = {
    "rebuild": index.rebuild,
    "commit": index.commit,
    "open": lambda place, _, packs: index.opened(place, packs),
    "again": lambda place, _, packs: index.look(place, packs, "again"),
    "hit": lambda place, _, packs: index.look(place, packs, "hit"),
    "miss": lambda place, _, packs: index.look(place, packs, "miss"),
    "cold": lambda place, _, packs: index.look(place, packs, "cold"),
    "sweep": lambda place, _, packs: index.sweep(place, packs),
    "journal": index.journal,
    "shards": lambda _place, _, packs: documents.shards(packs),
    "learn": lambda place, _, packs: documents.learn(place, packs),
    "recipe": lambda _place, _, packs: documents.recipe(packs),
    "collect": lambda _place, _, packs: documents.collect(packs),
    "set": lambda _place, _, packs: documents.remote_set(packs),
}


def main(question: str, place: str, first: str, packs: str) -> None:
    """Answer it; "make" makes the store and answers nothing."""
    if question == "make":
        index.make(Path(place))
        return
    for answer in ASK[question](Path(place), int(first), int(packs)):
        sys.stdout.write(line(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
