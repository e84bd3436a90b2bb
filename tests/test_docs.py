"""Holds the documents to the truth: their links, the commands they show, and what they must not name."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND_LINE = re.compile(r"^\$ (artstore|make) +([^#\n]*)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")
GROUPS = {
    "alias": {"set", "log", "list", "rm"},
    "config": {"list", "get", "set", "shared"},
    "daemon": {"start", "stop", "run", "status", "logs"},
    "key": {"list", "add", "remove", "rotate", "remember", "forget"},
    "remote": {"add", "list", "check", "remove", "promote", "settle"},
    "watch": {"add", "list", "remove", "pause", "resume", "now"},
}
# Split, so that this file doesn't name them.
MACHINE_PATHS = re.compile(
    "|".join(["/wo" + "rk/", "/fa" + "rm/", "/ro" + "ot/", "/Us" + "ers/", r"\.\./sha" + "red", "/op" + "t/py"])
)
BINARY = {".so", ".pyc", ".png", ".pack", ".mdb", ".bin", ".npy", ".npz", ".gguf", ".safetensors", ".parquet", ".zip"}


def anchors(document: Path) -> set[str]:
    """The headings of a document as the links that lead to them."""
    headings = re.findall(r"^#+ +(.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> Iterator[str]:
    """Links of a document that lead nowhere inside the project."""
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (document.parent / target).resolve() if target else document
        if not path.exists():
            yield f"{document.relative_to(ROOT)}: {link} does not exist"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            yield f"{document.relative_to(ROOT)}: {link} has no such heading"


@functools.cache
def help_of(*command: str) -> str:
    """What `artstore COMMAND --help` prints; fails when there is no such command."""
    shown = subprocess.run(
        [sys.executable, "-m", "artstore", *command, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert shown.returncode == 0, f"artstore {' '.join(command)} --help: {shown.stderr}"
    return shown.stdout


def commands(program: str) -> list[tuple[str, str]]:
    """(document, arguments) of every line `$ PROGRAM …` in the documents' examples."""
    return [
        (document.name, arguments.strip())
        for document in DOCUMENTS
        for name, arguments in COMMAND_LINE.findall(document.read_text(encoding="utf-8"))
        if name == program
    ]


def project() -> dict[str, Any]:
    """pyproject.toml, decoded."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared() -> set[str]:
    """The names of all dependencies, those of extras and of development too."""
    table = project()
    lists = [
        table["project"]["dependencies"],
        *table["project"]["optional-dependencies"].values(),
        *table["dependency-groups"].values(),
    ]
    return {re.split(r"[\[<>=~! ;]", entry)[0] for entries in lists for entry in entries}


def text_files() -> Iterator[Path]:
    """Everything that is text and belongs to the project."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix not in BINARY)
    for folder in ("artstore", "fuse", "daemon", "bench", "tests", "packaging", "docs", ".ci"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix not in BINARY and "golden" not in path.parts:
                yield path


def test_links_lead_somewhere() -> None:
    """A reader who follows a link of the documents must arrive."""
    broken = [complaint for document in DOCUMENTS for complaint in broken_links(document)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(("document", "arguments"), commands("artstore"))
def test_commands_of_the_documents_exist(document: str, arguments: str) -> None:
    """Who copies a line from the documents must not get `no such option`."""
    words = arguments.split('"')[0].split()
    command = [words[0]]
    if words[0] in GROUPS and words[1] in GROUPS[words[0]]:
        command.append(words[1])
    shown = help_of(*command)
    unknown = [option for option in OPTION.findall(re.sub(r'"[^"]*"', "", arguments)) if option not in shown]
    assert not unknown, f"{document}: artstore {arguments}: no {unknown} in its help"


def test_make_targets_of_the_documents_exist() -> None:
    """`make demo` is the first thing a visitor types."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    shown = {arguments.split()[0] for _, arguments in commands("make")}
    assert {"demo", "test", "install"} <= shown <= targets


def test_no_file_names_a_machine() -> None:
    """A path that exists on one machine alone breaks the others."""
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert not named, "\n".join(named)


def test_the_lock_is_whole_and_names_no_place() -> None:
    """A lock that lacks a package or a hash, or that names an index, fails on somebody's machine."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    names = {block.split("==")[0] for block in blocks}
    assert declared() <= names
    assert not [block for block in blocks if "--hash=sha256:" not in block]
    assert not re.search(r"https?:|file:|--index|--find-links", lock)


def test_every_dependency_has_its_decision() -> None:
    """A dependency nobody decided on is one nobody watches."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in DECISIONS)
    assert not {name for name in declared() if not re.search(rf"`{re.escape(name)}(\[[a-z]+\])?[ `]", text)}


def test_decisions_keep_their_form() -> None:
    """Who doubts a choice finds what would reverse it."""
    assert DECISIONS
    numbers = [path.name[:4] for path in DECISIONS]
    assert len(set(numbers)) == len(numbers), "two decisions have one number"
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        for part in ("Need", "Discussion", "Choice", "Reversed by"):
            assert f"**{part}.**" in text, f"{path.name} has no part {part}"


def test_the_changelog_has_an_open_section() -> None:
    """A user who updates must find what changed."""
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
