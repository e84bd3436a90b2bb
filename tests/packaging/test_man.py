"""The manual pages, as `packaging/man.py` writes them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from artstore.cli.app import app

ROOT = Path(__file__).resolve().parent.parent.parent
DATE = "1790000000"  # 2026-09-21
SECTIONS = ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO")


def commands(command: click.Command = app, name: str = "artstore") -> Iterator[tuple[str, click.Command]]:
    """Every command and group, by the name of its page."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from commands(found, f"{name}-{each}")


COMMANDS = dict(commands())


def write(folder: Path) -> dict[str, str]:
    """The pages, by name."""
    subprocess.run(
        [sys.executable, str(ROOT / "packaging" / "man.py"), str(folder)],
        env={**os.environ, "SOURCE_DATE_EPOCH": DATE},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    return {path.stem: path.read_text(encoding="ascii") for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages are."""
    return tmp_path_factory.mktemp("man")


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, str]:
    """The pages, by name."""
    return write(folder)


def plain(page: str) -> str:
    """What stands in a page, without groff's signs for it."""
    for sign, meant in (("\\-", "-"), ("\\(aq", "'"), ("\\(ti", "~"), ("\\(rs", "\\"), ("\\(dq", '"'), ("\\(ha", "^")):
        page = page.replace(sign, meant)
    return re.sub(r"\\f[BIR]|\\&", "", page)


def test_every_command_has_its_page_and_no_other(pages: dict[str, str]) -> None:
    """`man artstore-commit` must be there for whatever `artstore --help` lists."""
    assert set(pages) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_tells_every_option(name: str, pages: dict[str, str]) -> None:
    """An option that isn't in the manual is one that nobody finds."""
    text = plain(pages[name])
    context = click.Context(COMMANDS[name])
    shown = [
        option
        for option in COMMANDS[name].get_params(context)
        if isinstance(option, click.Option) and not option.hidden
    ]
    missing = [word for option in shown for word in (*option.opts, *option.secondary_opts) if word not in text]
    assert not missing
    assert "--store" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_what_readers_of_manuals_look_for(name: str, pages: dict[str, str]) -> None:
    """Who jumps to EXIT STATUS or ENVIRONMENT must land there; a NAME in another form isn't found by apropos."""
    page = pages[name]
    headings = re.findall(r'^\.SH "(.+)"$', page, re.MULTILINE)
    wanted = [heading for heading in headings if heading not in ("EXAMPLES", "COMMANDS")]
    assert wanted == list(SECTIONS)
    text = plain(page)
    (about,) = re.findall(rf"^{re.escape(name)} - (\S.*[^.])$", text, re.MULTILINE)
    assert ". " not in about
    assert "ARTSTORE_HOME" in text
    assert "9\n" in text.partition("EXIT STATUS")[2]


def test_a_caption_is_told_whole(pages: dict[str, str]) -> None:
    """NAME has one sentence; what the caption says besides must not be lost."""
    for name, rest in (
        ("daemon-run", "SIGHUP: look at the config again."),
        ("daemon-status", "Exit 8 if it doesn't run."),
    ):
        assert rest in plain(pages[f"artstore-{name}"]).partition('.SH "DESCRIPTION"')[2]


def test_references_lead_to_pages(pages: dict[str, str]) -> None:
    """`man` must find what SEE ALSO names."""
    named = {name for page in pages.values() for name in re.findall(r"(artstore[a-z-]*)\(1\)", plain(page))}
    assert named <= set(pages)


def test_examples_are_there_as_they_are_typed(pages: dict[str, str]) -> None:
    """What is copied from the manual must run."""
    text = plain(pages["artstore-commit"])
    assert "artstore commit runs/7 --artifact llama --param lr=3e-4 --metric loss=0.21" in text
    assert "artstore commit model.gguf --tag llama/best -m 'all tests pass'" in text


def test_the_same_source_gives_the_same_pages(pages: dict[str, str], tmp_path: Path) -> None:
    """A package that is built twice must be one package."""
    assert write(tmp_path / "again") == pages
    assert "2026-09-21" in pages["artstore"]


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_nothing_to_say(folder: Path, pages: dict[str, str]) -> None:
    """A sign that groff takes for its own makes words vanish from the manual."""
    paths = [str(folder / f"{name}.1") for name in sorted(pages)]
    said = subprocess.run(
        ["groff", "-man", "-z", "-ww", "-Tutf8", *paths], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stderr == ""
