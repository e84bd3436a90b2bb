"""What a worker tells: one line of JSON for each answer. Shared by who asks and who is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import msgspec

MARK: Final = '{"question":'


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `wall_s` is of the work alone, without what was made up for it.

    `operations`: ids, rows, packs, as the question has it. `stored_bytes`, `apparent_bytes`: of the index's file or of
    the documents. `written_bytes`: by system calls meanwhile. `faults`: pages that the disk was asked for meanwhile.
    `anonymous_bytes`, `resident_bytes`: of the process at the end, without and with the pages of mapped files.
    """

    question: str
    wall_s: float
    user_s: float
    system_s: float
    operations: int
    anonymous_bytes: int
    resident_bytes: int
    faults: int = 0
    stored_bytes: int | None = None
    apparent_bytes: int | None = None
    written_bytes: int | None = None
    p50_s: float | None = None
    p99_s: float | None = None


def line(answer: Answer) -> str:
    """The answer, told."""
    return msgspec.json.encode(answer).decode() + "\n"


def told(text: str) -> Iterator[Answer]:
    """The answers among what a worker printed."""
    for each in text.splitlines():
        if each.startswith(MARK):
            yield msgspec.convert(json.loads(each), Answer)
