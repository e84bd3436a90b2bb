"""Set up: `init`, `config`, `completion`, `bench`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command, Group
from artstore.cli.invocation import Invocation
from artstore.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from artstore import Setting, Store
    from artstore.cli.documents import ConfigItem

_OWN_GROUP = "\0"


@click.command(
    "init",
    cls=Command,
    examples=[
        ("artstore init --store /data/art", "a store of your own"),
        ("artstore init --store /data/art --shared=ml", "one that the group ml reads and writes"),
        ("artstore init --encrypt", "one that is sealed, here and at its remotes"),
    ],
)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(readable=False))
@click.option(
    "--shared", metavar="[=GROUP]", is_flag=False, flag_value=_OWN_GROUP, help="Let a group use it; yours unless named."
)
@click.option("--encrypt", is_flag=True, help="Seal all it writes, here and at remotes; asks for a passphrase.")
@click.pass_obj
def init_command(invocation: Invocation, directory: str | None, shared: str | None, encrypt: bool) -> None:
    """Create a store, alone or shared by a group.

    At DIR, else where --store, $ARTSTORE_HOME or the default say. Only a store that is shared, encrypted or in a
    special place needs this: the first commit creates the default one. Without its passphrase nobody can read an
    encrypted store, its makers included: keep it in a second place.
    """
    from artstore import Store
    from artstore.cli.commands.key import new_passphrase
    from artstore.cli.documents import InitDocument
    from artstore.wiring import keys

    if directory is not None and invocation.store is not None:
        raise click.UsageError("DIR and --store both say where: give one of them")
    group = True if shared == _OWN_GROUP else shared or False
    passphrase = None
    if encrypt:
        said = keys.passphrase_said()
        passphrase = new_passphrase(None, otherwise=f"set ${keys.SECRET_FILE}") if said is None else said
    with Store.init(directory or invocation.store, shared=group, encrypt=passphrase) as store:
        status = store.status()
        shown = invocation.output.show(store.path)
        owner = ", encrypted" if encrypt else ""
        owner += f", shared by {status.group}" if status.group else ""
        invocation.output.document(
            InitDocument(
                store=text.name(os.fsencode(store.path)), id=status.id, shared=status.group, encrypted=encrypt
            ),
            lines=lambda: [f"{shown} is a store now{owner}"],
            ids=lambda: [shown],
        )
        invocation.output.note(f"next: artstore --store {shown} commit DIR")


@click.group(
    "config",
    cls=Group,
    examples=[
        ("artstore config list", "all settings, with what they mean"),
        ("artstore config set compression.level 6", "smaller, slower"),
        ("artstore config shared ml", "let the group ml use this store"),
    ],
)
def config_command() -> None:
    """Settings of the store.

    They are kept in its config.toml.
    """


@config_command.command("list", examples=[("artstore config list --json", "")])
@click.pass_obj
def list_command(invocation: Invocation) -> None:
    """All settings with their values."""
    store = invocation.open_store()
    _print(invocation, store, store.settings())


@config_command.command("get", examples=[("artstore config get compression.level", "3")])
@click.argument("key")
@click.pass_obj
def get_command(invocation: Invocation, key: str) -> None:
    """The value of one setting."""
    store = invocation.open_store()
    setting = store.setting(key)
    _print(invocation, store, [setting], line=lambda item: _shown(item.value))


@config_command.command("set", examples=[("artstore config set compression.level 6", "for what is stored from now on")])
@click.argument("key")
@click.argument("value")
@click.pass_obj
def set_command(invocation: Invocation, key: str, value: str) -> None:
    """Change one setting."""
    from artstore.store.metadata import parse_scalar

    store = invocation.open_store()
    _print(invocation, store, [store.configure(key, parse_scalar(value))])


@config_command.command("shared", examples=[("artstore config shared ml", "its members may read and write")])
@click.argument("group")
@click.pass_obj
def shared_command(invocation: Invocation, group: str) -> None:
    """Let a group use this store: its folders become 2770, its files 0660, all of that group."""
    store = invocation.open_store()
    _print(invocation, store, [store.share(group)])


@click.command(
    "completion",
    cls=Command,
    examples=[
        ("artstore completion bash > ~/.local/share/bash-completion/completions/artstore", ""),
        ("artstore completion zsh > ~/.zfunc/_artstore", ""),
        ("artstore completion fish > ~/.config/fish/completions/artstore.fish", ""),
    ],
)
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion_command(invocation: Invocation, shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options, tags and aliases.
    """
    invocation.output.data(completion_script(shell).encode())


@click.command(
    "bench",
    cls=Command,
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
    examples=[("artstore bench --help", "what can be measured")],
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def bench_command(invocation: Invocation, arguments: Sequence[str]) -> int:
    """Measure artstore beside its peers.

    On this machine, in one run.
    """
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("artstore_bench") is None or find_spec("numpy") is None:
        raise NotFound("the benchmark's parts are not installed", hint="pip install 'artstore[bench]'")
    bench_main: Callable[[list[str]], int] = import_module("artstore_bench").main
    globals_given = ["--json"] if invocation.json else []
    return bench_main([*arguments, *globals_given])


def completion_script(shell: str) -> str:
    """The script that a shell sources."""
    from click.shell_completion import get_completion_class

    from artstore.cli.app import app
    from artstore.cli.rim import COMPLETION_VARIABLE, PROGRAM

    kind = get_completion_class(shell)
    assert kind is not None
    completion = kind(app, {}, PROGRAM, COMPLETION_VARIABLE)
    return completion.source_template % completion.source_vars()


def _print(
    invocation: Invocation,
    store: Store,
    settings: Sequence[Setting],
    line: Callable[[ConfigItem], str] | None = None,
) -> None:
    from artstore.cli.documents import ConfigDocument, ConfigItem

    items = [
        ConfigItem(key=setting.key, value=setting.value, default=setting.default, about=setting.about)
        for setting in settings
    ]
    rows = [(item.key, _shown(item.value), item.about) for item in items]
    invocation.output.document(
        ConfigDocument(store=text.name(os.fsencode(store.path)), settings=items),
        lines=lambda: text.table(rows) if line is None else map(line, items),
        ids=lambda: [_shown(item.value) for item in items],
    )


def _shown(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
