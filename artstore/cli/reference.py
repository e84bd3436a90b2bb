"""The reference of the command line, written from the commands themselves: docs/cli.md and the completion scripts.

`python -m artstore.cli.reference` in the project's folder writes them; a test holds them to the commands.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import click
import msgspec

from artstore.cli import documents
from artstore.cli.app import COMMANDS, app
from artstore.cli.command import Command, Group
from artstore.cli.commands.setup import completion_script

COMPLETIONS: Final = {
    "packaging/completions/artstore.bash": "bash",
    "packaging/completions/_artstore": "zsh",
    "packaging/completions/artstore.fish": "fish",
}
REFERENCE: Final = "docs/cli.md"

DOCUMENTS: Final[dict[str, tuple[type[documents.Document], ...]]] = {
    "init": (documents.InitDocument,),
    "commit": (documents.CommitDocument,),
    "check-ignore": (documents.IgnoreDocument,),
    "status": (documents.StatusDocument,),
    "list": (documents.ListDocument,),
    "log": (documents.LogDocument,),
    "show": (documents.ShowDocument,),
    "ls": (documents.LsDocument,),
    "diff": (documents.DiffDocument,),
    "du": (documents.DuDocument,),
    "checkout": (documents.CheckoutDocument,),
    "path": (documents.PathDocument,),
    "mount": (documents.MountDocument,),
    "umount": (documents.UmountDocument,),
    "mounts": (documents.MountsDocument,),
    "resolve": (documents.ResolveDocument,),
    "tag": (documents.TagDocument,),
    "alias set": (documents.AliasDocument,),
    "alias log": (documents.AliasLogDocument,),
    "alias list": (documents.AliasListDocument,),
    "alias rm": (documents.RmDocument,),
    "rollback": (documents.RollbackDocument,),
    "rm": (documents.RmDocument,),
    "key list": (documents.KeyListDocument,),
    "key add": (documents.KeyDocument,),
    "key remove": (documents.KeyDocument,),
    "key rotate": (documents.KeyDocument,),
    "gc": (
        documents.GcDocument,
        documents.UndoDocument,
        documents.RemoteGcDocument,
        documents.RemoteRepackDocument,
        documents.RemoteGraceDocument,
    ),
    "check": (documents.CheckDocument, documents.FarCheckDocument),
    "repair": (documents.LocalRepairDocument, documents.FarRepairDocument),
    "purge": (documents.PurgeDocument,),
    "doctor": (documents.DoctorDocument,),
    "push": (documents.PushDocument,),
    "fetch": (documents.FetchDocument,),
    "prefetch": (documents.PrefetchDocument,),
    "evict": (documents.EvictDocument,),
    "pull": (documents.PullDocument,),
    "clone": (documents.CloneDocument,),
    "remote add": (documents.RemoteDocument,),
    "remote list": (documents.RemoteListDocument,),
    "remote check": (documents.RemoteCheckDocument,),
    "remote remove": (documents.RemoteDocument,),
    "remote promote": (documents.PromoteDocument,),
    "remote settle": (documents.SettleDocument,),
    "watch add": (documents.WatchDocument,),
    "watch list": (documents.WatchListDocument,),
    "watch remove": (documents.WatchDocument,),
    "watch pause": (documents.WatchDocument,),
    "watch resume": (documents.WatchDocument,),
    "watch now": (documents.WatchNowDocument,),
    "follow": (documents.FollowDocument,),
    "daemon start": (documents.DaemonDocument,),
    "daemon stop": (documents.DaemonDocument,),
    "daemon status": (documents.DaemonDocument,),
    "config list": (documents.ConfigDocument,),
    "config get": (documents.ConfigDocument,),
    "config set": (documents.ConfigDocument,),
    "config shared": (documents.ConfigDocument,),
}
"""What each command prints with --json. `cat`, `completion`, `bench`, `daemon logs` print what they are asked for."""

_HEAD = """\
# The command line

Written from the commands by `python -m artstore.cli.reference`; a test holds it to them.

**The store** is `--store DIR`, else `$ARTSTORE_HOME`, else `artstore` in the XDG data folder. The first commit makes
the latter two; a store that `--store` names must be there.

**REV** is a tag (`llama/v2`), an alias (`llama/production`), an artifact (`llama`: its newest tag) or at least 8 hex
digits of a version id; then `~N` for the N-th first parent, `@{N}` for where an alias stood N moves ago, or
`@{2026-11-23T10:00}` for where it stood then (UTC unless a zone is given). `REV:PATH` is a file or folder in it.

**Output.** Data on stdout; progress, remarks and errors on stderr. `-q` prints ids (or names, or paths) alone, one a
line. `--json` prints one document, described below each command: sizes are bytes, times RFC 3339 in UTC, ids hex; its
`schema` names it, and within one schema fields are only ever added. Errors are then
`{"error": {"code", "message", "hint"}}` on stderr. Without a terminal, progress is one plain line every five seconds,
and what would ask refuses with exit 2 and names `--yes`.

| exit | meaning |
|---|---|
| 0 | ok |
| 1 | differs (with `--exit-code`) |
| 2 | usage: an argument, a name, input that can't be committed |
| 3 | not found |
| 4 | not permitted |
| 5 | conflict: a compare-and-swap lost, a name is taken |
| 6 | integrity: stored bytes are damaged, erased or missing |
| 7 | remote or network |
| 8 | busy: a lock, running writers, out of memory or descriptors |
| 9 | no space or quota |
| 70 | a bug of artstore; the message names a file with the traceback |
| 130, 141, 143 | interrupted; nobody reads the output; terminated |

| variable | meaning |
|---|---|
| `ARTSTORE_HOME` | the store |
| `ARTSTORE_AUTHOR` | who versions are by, else user@host |
| `ARTSTORE_MOUNT` | where the store is mounted, for `path` |
| `NO_COLOR`, `CI` | no colour; no progress bars |
"""


def reference() -> str:
    """The whole of docs/cli.md."""
    parts = [_HEAD]
    context = click.Context(app, info_name="artstore")
    for section in dict.fromkeys(known.section for known in COMMANDS.values()):
        parts.append(f"\n## {section}\n")
        for name, known in COMMANDS.items():
            if known.section == section:
                command = app.get_command(context, name)
                assert command is not None
                parts.extend(_command(name, command))
    return "".join(parts)


def leaves(command: click.Command = app, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, f"{name} {each}".strip())


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"artstore {name}")
    yield f"\n### {name}\n\n"
    if isinstance(command, click.Group):
        yield f"{_help(command)}\n"
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from _command(f"{name} {each}", found)
        return
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```\nartstore {name} {usage}\n```\n\n{_help(command)}\n"
    options = [
        option.get_help_record(context)
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden and "--help" not in option.opts
    ]
    if options:
        yield "\n| option | |\n|---|---|\n"
        yield from (f"| `{_cell(record[0])}` | {_cell(record[1])} |\n" for record in options if record is not None)
    if isinstance(command, Command | Group) and command.examples:
        width = max(len(line) for line, _ in command.examples)
        yield "\n```console\n"
        for line, about in command.examples:
            yield (f"$ {line.ljust(width)}  # {about}" if about else f"$ {line}") + "\n"
        yield "```\n"
    for document in DOCUMENTS.get(name, ()):
        yield from _document(document)


def _document(document: type[documents.Document]) -> Iterator[str]:
    schema = next(field.default for field in msgspec.structs.fields(document) if field.name == "schema")
    yield f"\n`--json` prints `{schema}`: {_first_line(document)}\n\n| field | type | |\n|---|---|---|\n"
    yield from _fields(document, "")


def _fields(document: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(document, include_extras=True)
    for field in msgspec.structs.fields(document):
        kind, about = _annotation(hints[field.name])
        name = prefix + field.encode_name
        if field.name == "schema":
            yield f"| `{name}` | string | `{field.default}` |\n"
            continue
        yield f"| `{name}` | {_type(kind)} | {_cell(about)} |\n"
        inner = _struct_of(kind)
        if inner is not None:
            yield from _fields(inner, f"{name}[]." if get_origin(kind) is list else f"{name}.")


def _annotation(hint: Any) -> tuple[Any, str]:
    # Any: a type, as annotations give it.
    if get_origin(hint) is Annotated:
        kind, *extra = get_args(hint)
        return kind, next((meta.description or "" for meta in extra if isinstance(meta, msgspec.Meta)), "")
    return hint, ""


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    # Any: as above.
    candidates = [kind, *get_args(kind)]
    return next((each for each in candidates if inspect.isclass(each) and issubclass(each, msgspec.Struct)), None)


def _type(kind: Any) -> str:
    # Any: as above.
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is documents.Scalar:
        return "scalar"
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " \\| ".join(f"`{argument}`" for argument in arguments)
    if origin in (types.UnionType, Union):
        return " or ".join(_type(argument) for argument in arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"object: text → {_type(arguments[1])}"
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return "object"
    names: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    return names[kind]


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def _first_line(document: type[documents.Document]) -> str:
    first = (document.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return first[0].lower() + first[1:] + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write(root: Path) -> None:
    """Write all of it below the project's folder."""
    (root / REFERENCE).write_text(reference(), encoding="utf-8")
    for path, shell in COMPLETIONS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(completion_script(shell), encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())
