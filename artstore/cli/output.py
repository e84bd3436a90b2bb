"""Where a command's words go: data to stdout, everything else to stderr.

Three ways to read a command: lines for people, ids only (`--quiet`), one JSON document (`--json`). Data is written as
UTF-8; bytes of file names that are not UTF-8 pass through unless a person reads them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TypeVar

from artstore.cli import text

if TYPE_CHECKING:
    import msgspec

Item = TypeVar("Item")


@dataclass(slots=True)
class Output:
    """One command's output. `color`: None means as the terminal is."""

    json: bool = False
    quiet: bool = False
    color: bool | None = None

    def document(
        self, document: msgspec.Struct, *, lines: Callable[[], Iterable[str]], ids: Callable[[], Iterable[str]]
    ) -> None:
        """The whole answer: as JSON, as ids, or as lines."""
        if self.json:
            import msgspec

            self._write(msgspec.json.encode(document) + b"\n")
            return
        for line in ids() if self.quiet else lines():
            self.line(line)

    def stream(
        self,
        items: Iterable[Item],
        *,
        head: msgspec.Struct,
        key: str,
        encode: Callable[[Item], msgspec.Struct],
        line: Callable[[Item], str],
        id: Callable[[Item], str],
    ) -> int:
        """An answer of any length, written as it comes: a JSON document of `head` and a last array `key`.

        Returns how many items there were.
        """
        if self.json:
            return self._stream_json(items, head=head, key=key, encode=encode)
        shown = id if self.quiet else line
        seen = 0
        for item in items:
            self.line(shown(item))
            seen += 1
        return seen

    def line(self, line: str) -> None:
        """A line of data."""
        self._write(line.encode("utf-8", "surrogateescape") + b"\n")

    def data(self, data: bytes | memoryview) -> None:
        """Bytes of a file."""
        self._write(data)

    def note(self, line: str) -> None:
        """A line for people beside the data; nothing with --quiet or --json."""
        if not self.quiet and not self.json:
            self.warn(line)

    def warn(self, line: str) -> None:
        """A line for people that even a script's log should have."""
        write_stderr(line)

    def show(self, value: str | bytes) -> str:
        """Text of others: escaped for a terminal, as it is for a pipe."""
        if is_terminal(sys.stdout):
            return text.printable(value)
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value

    def style(self, value: str, *, fg: str | None = None, bold: bool = False) -> str:
        """Colour, where it is wanted: asked for, or a terminal that doesn't say otherwise."""
        if not self.colored:
            return value
        import click

        return click.style(value, fg=fg, bold=bold or None)

    @property
    def colored(self) -> bool:
        """Does stdout get colour?"""
        if self.color is not None:
            return self.color
        return is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _stream_json(
        self, items: Iterable[Item], *, head: msgspec.Struct, key: str, encode: Callable[[Item], msgspec.Struct]
    ) -> int:
        import msgspec

        encoder = msgspec.json.Encoder()
        opened = encoder.encode(head)
        assert opened.endswith(b"}")
        assert opened != b"{}", "a document names its schema"
        self._write(opened[:-1] + b"," + encoder.encode(key) + b":[")
        seen = 0
        for item in items:
            self._write((b",\n" if seen else b"\n") + encoder.encode(encode(item)))
            seen += 1
        self._write(b"]}\n")
        return seen

    def _write(self, data: bytes | memoryview) -> None:
        sys.stdout.buffer.write(data)


def write_stderr(line: str) -> None:
    """Lines on stderr, whatever the locale; a closed stderr is nobody's loss."""
    shown = "\n".join(map(text.printable, line.split("\n")))
    try:
        sys.stderr.flush()
        sys.stderr.buffer.write(shown.encode("utf-8", "backslashreplace") + b"\n")
        sys.stderr.buffer.flush()
    except (OSError, ValueError, AttributeError):
        return


def is_terminal(stream: IO[str] | None) -> bool:
    """Is a person at the other end?"""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
