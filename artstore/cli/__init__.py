"""The command line: parse, call the library, print, exit code. One file per command group below `commands/`.

Nothing heavy is imported before a command needs it: `artstore --help` answers within 150 ms.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command with `argv` (without the program's name; default `sys.argv`) and return its exit code."""
    try:
        from artstore.cli.rim import run

        return run(argv)
    except KeyboardInterrupt:  # while the modules were being loaded; later ones are the rim's
        return 130
