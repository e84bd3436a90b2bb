"""Kinds of arguments which several commands take, with what a shell may complete them to."""

from __future__ import annotations

import re
from typing import Any

import click
from click.shell_completion import CompletionItem

from artstore.errors import UsageError

_COMPLETIONS_MAX = 1000
_SIZE = re.compile(r"(\d{1,15})([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)


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
            invocation = invocation or Invocation()
            invocation.may_ask = False
            store = invocation.open_store()
            names = [*(tag.name for tag in store.tags(incomplete))]
            names += [alias.name for alias in store.aliases(incomplete)]
        except (ArtstoreError, OSError):
            return []
        return [CompletionItem(name) for name in islice(sorted(names), _COMPLETIONS_MAX)]


class Duration(click.ParamType[int]):
    """`90s`, `30min`, `12h`, `30d`, as retention reads it; nanoseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        # Any: what click hands over.
        from artstore.planning.retention import parse_duration

        try:
            return parse_duration(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """`256M`, `2G`, as memory is counted: K, M, G, T are powers of 1024. Bytes, within bounds."""

    name = "size"

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        # Any: what click hands over.
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no size: write for instance 256M or 2G", param, ctx)
        size = int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")
        if not self._least <= size <= self._most:
            self.fail(f"{value!r} is not from {self._least >> 20}M to {self._most >> 30}G", param, ctx)
        return size


class Rate(click.ParamType[int]):
    """`10M`, `2MiB/s`: bytes per second, sizes as settings take them."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        # Any: what click hands over.
        from artstore._settings import parse_size
        from artstore.store.remote.flow import Flow

        if isinstance(value, int):
            return value
        rate = parse_size(str(value).removesuffix("/s"))
        if rate is None:
            self.fail(f"{value!r} is no rate: write for instance 10M or 2MiB/s", param, ctx)
        try:
            Flow.require(rate)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return rate


class Whole(click.IntRange):
    """A whole number in a range, which calls itself so when it is none."""

    name = "whole number"


REVISION = Revision()
DURATION = Duration()
RATE = Rate()
rate_option = click.option(
    "--limit-rate", metavar="RATE", type=RATE, help="Bytes per second that may pass: 10M, 2MiB/s."
)
