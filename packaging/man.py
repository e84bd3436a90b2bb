"""The manual pages, written from the commands themselves: man.py FOLDER writes artstore.1 and artstore-COMMAND.1 there.

What is said to all commands (stores, revisions, exit codes, variables) is taken from the head of docs/cli.md as
`artstore.cli.reference` writes it, so that neither can say something else. Pages are ASCII: what isn't is written as
groff's escapes, which every formatter knows. $SOURCE_DATE_EPOCH is their date.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from artstore import __version__
from artstore.cli.app import COMMANDS, app
from artstore.cli.command import Command, Group
from artstore.cli.reference import reference

PROGRAM: Final = "artstore"
_CODE: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")
_CELLS: Final = re.compile(r"(?<!\\)\|")
_NAMES: Final = re.compile(r"((?:--?[\w-]+)(?:(?:, | / )--?[\w-]+)*)(.*)")
_SIGNS: Final = {"\\": "\\(rs", "~": "\\(ti", "^": "\\(ha"}
_SIGNS_OF_CODE: Final = _SIGNS | {"-": "\\-", "'": "\\(aq", "`": "\\(ga", '"': "\\(dq"}


@dataclass(frozen=True, slots=True)
class Page:
    """A command and its full name: `alias set`; that of the program itself is empty."""

    name: str
    command: click.Command

    @property
    def title(self) -> str:
        """Of the page, and of its file without the section."""
        return "-".join([PROGRAM, *self.name.split()])

    @property
    def line(self) -> str:
        """What is typed."""
        return f"{PROGRAM} {self.name}".strip()


def pages(command: click.Command = app, name: str = "") -> Iterator[Page]:
    """Every command, groups too, each before its own."""
    yield Page(name, command)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from pages(found, f"{name} {each}".strip())


def render(page: Page, around: Iterable[str], *, date: str) -> str:
    """A page in the language of groff. `around`: the titles of the pages it leads to."""
    context = click.Context(page.command, info_name=page.line)
    caption, *rest = _paragraphs(inspect.cleandoc(page.command.help or ""))
    # NAME tells its first sentence; what it says besides must stand somewhere.
    told = rest if rest and ". " not in caption else [caption, *rest]
    parts = [
        f".TH {page.title.upper()} 1 {date} {_quoted(f'{PROGRAM} {__version__}')} {_quoted(f'{PROGRAM} manual')}",
        ".nh",
        ".ad l",
        *_section("NAME", [f"{_code(page.title)} \\- {_prose(_as_name(caption))}"]),
        *_section("SYNOPSIS", _synopsis(page, context)),
        *_section("DESCRIPTION", _joined(_prose(text) for text in _description(page, told))),
    ]
    if isinstance(page.command, click.Group):
        parts += _section("COMMANDS", _commands(page, context))
    parts += _section("OPTIONS", _options(page, context))
    if isinstance(page.command, Command | Group) and page.command.examples:
        parts += _section("EXAMPLES", _rows(page.command.examples))
    parts += _section("EXIT STATUS", _rows(_table("exit")))
    parts += _section("ENVIRONMENT", _rows(_table("variable")))
    parts += _section("SEE ALSO", [", ".join(f"{_code(title)}(1)" for title in around)])
    return "\n".join(parts) + "\n"


def write(folder: Path) -> list[Path]:
    """Write all pages into a folder, which is made; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    date = time.strftime("%Y-%m-%d", time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))
    every = list(pages())
    paths: list[Path] = []
    for page in every:
        path = folder / f"{page.title}.1"
        path.write_text(render(page, _around(page, every), date=date), encoding="ascii")
        paths.append(path)
    return paths


def _around(page: Page, every: list[Page]) -> list[str]:
    """The program, the group, what is in it or beside it; for the program, all that stand right below it."""
    parent, _, _ = page.name.rpartition(" ")
    section = COMMANDS[page.name].section if page.name in COMMANDS else None
    titles = [PROGRAM] if page.name else []
    for other in every:
        above, _, own = other.name.rpartition(" ")
        is_beside = bool(parent) and parent in (above, other.name)
        is_alike = not parent and not above and own in COMMANDS and COMMANDS[own].section == section
        is_below = bool(own) and above == page.name
        if other != page and (is_beside or is_alike or is_below):
            titles.append(other.title)
    return titles


def _section(name: str, lines: Iterable[str]) -> list[str]:
    return [f".SH {_quoted(name)}", *lines]


def _synopsis(page: Page, context: click.Context) -> Iterator[str]:
    usage = " ".join(page.command.collect_usage_pieces(context))
    yield f"{_code(page.line)} {_italic(usage)}"


def _commands(page: Page, context: click.Context) -> Iterator[str]:
    assert isinstance(page.command, click.Group)
    for each in page.command.list_commands(context):
        known = COMMANDS.get(each) if not page.name else None
        found = page.command.get_command(context, each)
        assert found is not None
        about = known.caption if known is not None else _paragraphs(inspect.cleandoc(found.help or ""))[0]
        title = Page(f"{page.name} {each}".strip(), found).title
        yield from (".TP", f"{_code(title)}(1)", _prose(about))


def _options(page: Page, context: click.Context) -> Iterator[str]:
    options = [each for each in page.command.get_params(context) if isinstance(each, click.Option) and not each.hidden]
    for option in options:
        record = option.get_help_record(context)
        assert record is not None
        found = _NAMES.fullmatch(record[0])
        assert found is not None, record
        yield from (".TP", _code(found[1]) + _italic(found[2]), _prose(record[1]) or "\\&")
    if page.name:
        everywhere = "`--store DIR`, `--json`, `-q`/`--quiet`, `-v`/`--verbose`, `--color`/`--no-color`"
        yield from (".PP",) if options else ()
        yield f"{_prose(everywhere)} are taken everywhere on the line: see {_code(PROGRAM)}(1)."


def _rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, about in rows:
        yield from (".TP", _code(term), _prose(about) or "\\&")


@functools.cache
def _head() -> str:
    return reference().partition("\n## ")[0]


def _description(page: Page, help_paragraphs: list[str]) -> list[str]:
    """Of the program, what docs/cli.md says of all commands, in so far as it is prose that a manual page needs."""
    if page.name:
        return help_paragraphs
    prose = [text for text in _paragraphs(_head()) if not text.startswith(("#", "|", "Written from "))]
    return [text.replace("described below each command", "described in cli.md of the documentation") for text in prose]


def _table(first: str) -> Iterator[tuple[str, str]]:
    """The rows of that table of docs/cli.md's head whose first column has this name."""
    is_inside = False
    for line in _head().splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in _CELLS.split(line)[1:-1]]
        is_inside = bool(cells) and (is_inside or cells[0] == first)
        if is_inside and cells[0] != first and not cells[0].startswith("---"):
            yield cells[0].replace("`", ""), cells[1]


def _paragraphs(text: str) -> list[str]:
    """Each as one line, but tables as they are."""
    blocks = [block.strip("\n") for block in re.split(r"\n\s*\n", text) if block.strip()]
    return [block if block.startswith("|") else " ".join(block.split()) for block in blocks] or [""]


def _joined(paragraphs: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield text


def _as_name(caption: str) -> str:
    """`Make a version. Or two.` as it stands behind a page's name, one line of a list: `make a version`."""
    plain = caption.partition(". ")[0].rstrip(".")
    return plain[:1].lower() + plain[1:] if plain[1:2].islower() else plain


def _prose(text: str) -> str:
    """A line of text; what stands between backticks or double stars is set bold."""
    parts: list[str] = []
    end = 0
    for found in _CODE.finditer(text):
        parts += [_plain(text[end : found.start()]), _code(found[1] or found[2])]
        end = found.end()
    line = "".join([*parts, _plain(text[end:])])
    return f"\\&{line}" if line[:1] in (".", "'") else line


def _plain(text: str) -> str:
    """Prose: hyphens stay hyphens, but those of options are made to be copied."""
    words = [_escape(word, _SIGNS | ({"-": "\\-"} if re.match(r"\W*-", word) else {})) for word in text.split(" ")]
    return " ".join(words)


def _code(text: str) -> str:
    return f"\\fB{_escape(text, _SIGNS_OF_CODE)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_escape(text, _SIGNS_OF_CODE)}\\fR" if text.strip() else ""


def _quoted(text: str) -> str:
    return f'"{_escape(text, _SIGNS_OF_CODE)}"'


def _escape(text: str, signs: dict[str, str]) -> str:
    return "".join(signs.get(sign, sign if sign.isascii() else f"\\[u{ord(sign):04X}]") for sign in text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: man.py FOLDER")
    print(f"{len(write(Path(sys.argv[1])))} pages in {sys.argv[1]}")
