"""What is asked, in order: a repository's life is first, again, second version, checkout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from artstore_bench.questions import again, checkout, first, known, second
from artstore_bench.results import Run
from artstore_bench.session import Session

__all__ = ["Ask", "questions_for"]

Ask = Callable[[Session], Run]


def questions_for(subject: str, *, versions: int) -> Sequence[Ask]:
    """The questions that a corpus can answer: `known` asks one thing, and without a second version there is no v2."""
    if subject == "known":
        return (known.ask,)
    return (first.ask, again.ask, *((second.ask,) if versions > 1 else ()), checkout.ask)
