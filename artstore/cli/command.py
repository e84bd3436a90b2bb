"""What all commands have in common: global options anywhere on the line, examples in the help, help for typos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from artstore import limits
from artstore.cli.invocation import Invocation

_EVERYWHERE: Final = "Also: --store DIR, --json, -q/--quiet, -v/--verbose, --color/--no-color (see artstore --help)."


class Command(click.Command):
    """A command with examples, which takes the global options too: `artstore log --json` as `artstore --json log`."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        # Any: they are handed on to click unseen.
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.extend(global_options(hidden=True))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        formatter.write_paragraph()
        formatter.write_text(_EVERYWHERE)


class Group(click.Group):
    """A group of commands with examples, which suggests the command that was meant."""

    command_class = Command
    options_hidden = True

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        # Any: they are handed on to click unseen.
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.extend(global_options(hidden=self.options_hidden))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = suggest(name, self.list_commands(ctx))
            raise click.UsageError(f"there is no `{ctx.command_path} {name}`" + (f": {hint}" if hint else ""), ctx)
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)


def write_examples(examples: Iterable[tuple[str, str]], formatter: click.HelpFormatter) -> None:
    """The section that most people read first."""
    rows = list(examples)
    if rows:
        with formatter.section("Examples"):
            formatter.write_dl(rows)


def suggest(name: str, names: Iterable[str]) -> str | None:
    """`did you mean 'commit'?`, or None when nothing comes close."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(names), n=limits.SUGGESTIONS_MAX)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Options which every command takes; what is given last on the line counts."""

    def option(*names: str, help: str, **kwargs: Any) -> click.Option:
        return click.Option(names, help=help, hidden=hidden, expose_value=False, callback=_remember, **kwargs)

    return [
        option("--store", metavar="DIR", help="The store; else $ARTSTORE_HOME, else the default."),
        option("--json", is_flag=True, help="One JSON document on stdout; errors as JSON on stderr."),
        option("-q", "--quiet", is_flag=True, help="Ids only, and no progress."),
        option("-v", "--verbose", count=True, help="Tell more."),
        option("--color/--no-color", default=None, help="Colour or none; else as the terminal and $NO_COLOR say."),
    ]


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep what was given; what was not given here may have been given elsewhere on the line."""
    invocation = context.find_object(Invocation)
    assert invocation is not None
    assert parameter.name is not None
    if value is not None and (value or parameter.name == "color"):
        setattr(invocation, parameter.name, value)
