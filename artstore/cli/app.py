"""The tree of commands: known by name and caption here, loaded when one is called."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Final

import click

from artstore.cli.command import Group
from artstore.cli.invocation import Invocation


@dataclass(frozen=True, slots=True)
class Known:
    """Where a command is defined, and what `artstore --help` says of it."""

    module: str
    caption: str
    section: str


_MAKE, _LOOK, _USE, _NAME, _SHARE, _KEEP, _SET = (
    "Make versions",
    "Look at them",
    "Use them",
    "Name them",
    "Share them",
    "Keep the store well",
    "Set up",
)

COMMANDS: Final[dict[str, Known]] = {
    "commit": Known("commit", "Make a version of a folder or file.", _MAKE),
    "check-ignore": Known("commit", "Tell which rule leaves a path out of a commit.", _MAKE),
    "init": Known("setup", "Create a store, alone or shared by a group.", _MAKE),
    "status": Known("history", "The store, its remote and daemon on one screen.", _LOOK),
    "list": Known("refs", "Tags and aliases, by name.", _LOOK),
    "log": Known("history", "Versions, newest first.", _LOOK),
    "show": Known("history", "Everything recorded about one version.", _LOOK),
    "ls": Known("files", "Files of a version.", _LOOK),
    "diff": Known("compare", "What changed between two versions, or a version and a folder.", _LOOK),
    "du": Known("compare", "Size of each version: its own, and what it shares.", _LOOK),
    "checkout": Known("files", "Write a version's files to a folder, verified.", _USE),
    "cat": Known("files", "Print files of versions, verified.", _USE),
    "path": Known("files", "Where a version stands in the mount.", _USE),
    "mount": Known("mount", "Show every version as a read-only folder.", _USE),
    "umount": Known("mount", "Take a mount away.", _USE),
    "mounts": Known("mount", "What is mounted, and whether it answers.", _USE),
    "resolve": Known("refs", "The version id of a revision.", _USE),
    "tag": Known("refs", "Give a version an immutable name.", _NAME),
    "alias": Known("alias", "Movable names with a history.", _NAME),
    "rollback": Known("alias", "Move an alias back to where it stood.", _NAME),
    "rm": Known("refs", "Remove names; `gc` frees what nothing names.", _NAME),
    "push": Known("replicate", "Upload versions and their names to remotes.", _SHARE),
    "fetch": Known("replicate", "Bring names of a remote here, without their data.", _SHARE),
    "pull": Known("replicate", "Bring names of a remote here, with all their data.", _SHARE),
    "clone": Known("replicate", "Make a store of what a remote has.", _SHARE),
    "prefetch": Known("cache", "Bring versions' data here before anybody reads it.", _SHARE),
    "evict": Known("cache", "Free the room of what a remote has.", _SHARE),
    "watch": Known("watch", "Folders that become versions by themselves.", _SHARE),
    "follow": Known(
        "follow", "Go along with an alias: when it moves, its version comes here whole, and is switched to.", _SHARE
    ),
    "daemon": Known("daemon", "Watches folders, pushes, and follows aliases in the background.", _SHARE),
    "remote": Known("remote", "Places that versions are replicated to.", _SHARE),
    "gc": Known("care", "Free what no name leads to.", _KEEP),
    "check": Known("check", "Verify the store, or a remote; rebuild the store's index; repair it.", _KEEP),
    "repair": Known("repair", "Mend what is damaged, here or at a remote.", _KEEP),
    "purge": Known("care", "Erase a path's content for good, from one or all versions.", _KEEP),
    "doctor": Known("doctor", "Look for what is wrong with this machine and store.", _KEEP),
    "key": Known("key", "Passphrases of an encrypted store.", _KEEP),
    "config": Known("setup", "Settings of the store.", _SET),
    "completion": Known("setup", "Print the completion script of a shell.", _SET),
    "bench": Known("setup", "Measure artstore beside its peers.", _SET),
}

EXAMPLES: Final = (
    ("artstore commit ~/runs/llama", "a version of a folder: llama/v1, then llama/v2 …"),
    ("artstore diff llama/v1 llama/v2", "what changed"),
    ("artstore alias set llama/production v2", "name what is in use"),
    ("artstore rollback llama/production", "and go back"),
    ("artstore checkout llama/production ./model", "write its files, verified"),
)


class Application(Group):
    """`artstore`: finds commands by the table above."""

    options_hidden = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = COMMANDS.get(cmd_name)
        if known is None:
            return None
        module = importlib.import_module(f"artstore.cli.commands.{known.module}")
        command: object = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for section in dict.fromkeys(known.section for known in COMMANDS.values()):
            rows = [(name.ljust(width), known.caption) for name, known in COMMANDS.items() if known.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(
    name="artstore",
    cls=Application,
    examples=EXAMPLES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def app(context: click.Context, version: bool) -> None:
    """Versions of large datasets and models: stored once, verified at each read.

    REV is a tag (llama/v2), an alias (llama/production), an artifact (llama: its newest tag) or a version id, with ~N
    for ancestors and @{N} or @{2026-11-23T10:00} for where an alias stood. REV:PATH is a file in it.
    """
    invocation = context.find_object(Invocation)
    assert invocation is not None
    if version:
        from artstore import __version__

        invocation.output.line(f"artstore {__version__}")
        context.exit()
    if context.invoked_subcommand is None:
        invocation.output.line(context.get_help())
