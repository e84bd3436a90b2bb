"""The tree of commands: what the help says is what the commands say."""

from __future__ import annotations

import click
import pytest

from artstore.cli.app import COMMANDS, app
from artstore.cli.command import Command, Group
from artstore.cli.invocation import Invocation
from artstore.cli.reference import leaves

ALL = dict(leaves())


@pytest.mark.parametrize("name", COMMANDS)
def test_captions_are_those_of_the_commands(name: str) -> None:
    """The lazy table repeats each caption; `artstore --help` must not promise something else."""
    command = app.get_command(click.Context(app), name)
    assert command is not None
    assert COMMANDS[name].caption == (command.help or "").split("\n\n")[0].replace("\n", " ")


@pytest.mark.parametrize("name", ALL)
def test_each_command_has_help_and_examples_that_parse(name: str) -> None:
    """Examples are what people copy: each must be accepted by the parser it advertises."""
    command = ALL[name]
    assert command.help
    assert isinstance(command, Command)
    assert command.examples
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help
    for line, _ in command.examples:
        words = [word.strip("'") for word in line.split("|")[-1 if "| artstore" in line else 0].split(">")[0].split()]
        if words[:1] != ["artstore"] or "…" in line:
            continue
        with app.make_context("artstore", words[1:], obj=Invocation()) as context:
            rest = words[3:] if words[1] == "--store" else words[1:]
            group: click.Group = app
            while isinstance(found := group.get_command(context, rest[0]), click.Group):
                group, rest = found, rest[1:]
            assert found is not None
            if "'" not in line:
                found.make_context(rest[0], rest[1:], parent=context)


def test_global_options_work_before_and_after_the_command() -> None:
    """Nobody remembers on which side --json goes."""
    for words in (
        ["--json", "--store", "x", "log"],
        ["log", "--json", "--store", "x"],
        ["--store", "y", "log", "--store", "x", "--json"],
    ):
        known = Invocation()
        with app.make_context("artstore", list(words), obj=known) as context:
            found = app.get_command(context, "log")
            assert found is not None
            found.make_context("log", [*context.args], parent=context)
        assert (known.json, known.store, known.quiet, known.color) == (True, "x", False, None)
    known = Invocation()
    app.make_context("artstore", ["--no-color", "log"], obj=known)
    assert known.color is False


def test_groups_suggest_the_command_that_was_meant() -> None:
    """A typo in a subcommand costs one look."""
    group = app.get_command(click.Context(app), "alias")
    assert isinstance(group, Group)
    with pytest.raises(click.UsageError, match="did you mean 'set'"):
        group.resolve_command(click.Context(group, info_name="alias"), ["sett"])
