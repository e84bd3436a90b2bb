"""Kinds of arguments which several commands take, with what a shell may complete them to."""

from __future__ import annotations

import math
from typing import Any

import click
from click.shell_completion import CompletionItem

from artstore import limits

_SUFFIXES = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_COMPLETIONS_MAX = 1000


class Revision(click.ParamType[str]):
    """`REV` or `REV:PATH`; parsed by the library."""

    name = "revision"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # Any: what click hands over.
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Tags and aliases that begin so. A shell shows nothing rather than an error."""
        from itertools import islice

        from artstore.cli.invocation import Invocation
        from artstore.errors import ArtstoreError

        invocation = ctx.find_object(Invocation)
        try:
            store = (invocation or Invocation()).open_store()
            names = [*(tag.name for tag in store.tags(incomplete))]
            names += [alias.name for alias in store.aliases(incomplete)]
        except (ArtstoreError, OSError):
            return []
        return [CompletionItem(name) for name in islice(sorted(names), _COMPLETIONS_MAX)]


class Duration(click.ParamType[float]):
    """`90s`, `30m`, `12h`, `30d`, `2w`, or plain seconds; a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        # Any: what click hands over.
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        factor = _SUFFIXES.get(text[-1:])
        try:
            number = float(text if factor is None else text[:-1]) * (factor or 1)
        except ValueError:
            number = math.nan
        if not 0 <= number <= limits.DURATION_S_MAX:
            self.fail(f"{value!r} is no duration; write for instance 90s, 30m, 12h or 30d", param, ctx)
        return number


REVISION = Revision()
DURATION = Duration()
