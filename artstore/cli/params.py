"""Kinds of arguments which several commands take, with what a shell may complete them to."""

from __future__ import annotations

import math
from typing import Any

import click
from click.shell_completion import CompletionItem

from artstore import limits


_SUFFIXES = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_COMPLETIONS_MAX = 1000


class Revision(click.ParamType):
    """`REV` or `REV:PATH`; parsed by the library."""

    name = "revision"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
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
            names = [*(tag.name for tag in store.tags(incomplete)), *(alias.name for alias in store.aliases(incomplete))]
        except (ArtstoreError, OSError):
            return []
        return [CompletionItem(name) for name in islice(sorted(names), _COMPLETIONS_MAX)]


class Duration(click.ParamType):
    """`90s`, `30m`, `12h`, `30d`, `2w`, or plain seconds; a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        # Any: what click hands over.
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        factor = _SUFFIXES.get(text[-1:], None)
        try:
            number = float(text if factor is None else text[:-1]) * (factor or 1)
        except ValueError:
            number = math.nan
        if not 0 <= number <= limits.DURATION_S_MAX:
            self.fail(f"{value!r} is no duration; write for instance 90s, 30m, 12h or 30d", param, ctx)
        return number


class KeyValue(click.ParamType):
    """`key=value`, with numbers, true, false and null read as in JSON and anything else as text."""

    name = "key=value"

    def convert(  # noqa: ANN401 - what click hands over
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str | int | float | bool | None]:
        if isinstance(value, tuple):
            key, parsed = value
            return str(key), parsed
        key, equals, given = str(value).partition("=")
        if not equals or not key:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, scalar(given)


class Metric(KeyValue):
    """`key=number`, a finite one."""

    name = "key=number"

    def convert(  # noqa: ANN401 - what click hands over
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | float]:
        key, parsed = super().convert(value, param, ctx)
        if isinstance(parsed, bool) or not isinstance(parsed, int | float) or not math.isfinite(parsed):
            self.fail(f"{value!r} is no metric: a metric is a finite number", param, ctx)
        return key, parsed


def scalar(given: str) -> str | int | float | bool | None:
    """A JSON scalar if it reads as one, else the text itself."""
    import json

    try:
        parsed: object = json.loads(given, parse_constant=str)
    except ValueError:
        return given
    return parsed if isinstance(parsed, str | int | float | bool | None) else given


REVISION = Revision()
DURATION = Duration()
KEY_VALUE = KeyValue()
METRIC = Metric()

