"""The one place where errors become words and exit codes; no traceback ever reaches a terminal.

0 ok · 1 differs (with --exit-code) · 2 usage · 3 not found · 4 not permitted · 5 conflict · 6 integrity ·
7 remote · 8 busy · 9 no space or quota · 70 a bug of ours · 130 interrupted · 141 nobody reads our output ·
143 terminated
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

import click

from artstore.cli.app import app
from artstore.cli.invocation import Invocation
from artstore.cli.output import write_stderr
from artstore.errors import ArtstoreError

PROGRAM: Final = "artstore"
COMPLETION_VARIABLE: Final = "_ARTSTORE_COMPLETE"
EXIT_BUG: Final = 70
EXIT_INTERRUPTED: Final = 130
EXIT_PIPE: Final = 141
EXIT_TERMINATED: Final = 143

ERRNO_EXITS: Final[dict[int, tuple[int, str]]] = {
    **dict.fromkeys((errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTSUP), (2, "usage")),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV), (3, "not_found")),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), (4, "not_permitted")),
    **dict.fromkeys((errno.EEXIST, errno.ENOTEMPTY), (5, "conflict")),
    **dict.fromkeys((errno.EIO, errno.EUCLEAN, errno.EBADMSG), (6, "integrity")),
    **dict.fromkeys(
        (
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.ECONNABORTED,
            errno.ENOTCONN,
            errno.ETIMEDOUT,
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.ESTALE,
        ),
        (7, "remote"),
    ),
    **dict.fromkeys(
        (
            errno.EAGAIN,
            errno.EBUSY,
            errno.ETXTBSY,
            errno.EDEADLK,
            errno.ENOLCK,
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOMEM,
        ),
        (8, "busy"),
    ),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), (9, "no_space")),
}
"""What the operating system refuses, where no adapter has said it better. Anything else is a bug of ours."""


Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the rim tells it."""

    exit_code: int
    code: str
    message: str
    hint: str | None = None


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    _open_what_is_closed()
    args = list(sys.argv[1:] if argv is None else argv)
    invocation = Invocation(json="--json" in args, quiet="-q" in args or "--quiet" in args)
    previous = _terminate_cleanly()
    try:
        code = _run(args, invocation)
    except SystemExit as end:  # completion scripts and --help leave this way
        code = end.code if isinstance(end.code, int) else 0
    except click.exceptions.Exit as end:
        code = end.exit_code
    except (KeyboardInterrupt, click.Abort):  # click aborts a question that is answered by Ctrl-C or Ctrl-D
        write_stderr("artstore: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_PIPE
    except Exception as error:  # noqa: BLE001 - the rim: whatever it is, a person reads one line about it
        return _report(problem_of(error), json=invocation.json)
    finally:
        invocation.close()
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    return code


def problem_of(error: Exception) -> Problem:
    """What to tell about an exception, and with which exit code."""
    match error:
        case ArtstoreError():
            return Problem(error.exit_code, error.code, error.message, error.hint)
        case click.UsageError():
            command = error.ctx.command_path if error.ctx is not None else "artstore"
            return Problem(2, "usage", _usage_message(error), f"see `{command} --help`")
        case click.ClickException():
            return Problem(2, "usage", error.format_message())
        case OSError() if error.errno in ERRNO_EXITS:
            exit_code, code = ERRNO_EXITS[error.errno]
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            return Problem(exit_code, code, f"{where}{error.strerror}")
        case MemoryError():
            return Problem(8, "busy", "out of memory", "close other programs, or use a machine with more")
        case _:
            return _bug(error)


def _run(args: list[str], invocation: Invocation) -> int:
    """Not click's own `main`: it has its own ideas of exit codes, of broken pipes and of Ctrl-C."""
    if COMPLETION_VARIABLE in os.environ:
        app.main(args, PROGRAM, complete_var=COMPLETION_VARIABLE, obj=invocation)
    try:
        with app.make_context(PROGRAM, args, obj=invocation) as context:
            result: object = app.invoke(context)
    finally:
        sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _report(problem: Problem, *, json: bool) -> int:
    if json:
        import json as encoder

        told = {"code": problem.code, "message": problem.message, "hint": problem.hint}
        write_stderr(encoder.dumps({"error": told}))
    else:
        join = " " if problem.message.endswith("?") else "; "
        write_stderr(f"artstore: {problem.message}" + (f"{join}{problem.hint}" if problem.hint else ""))
    return problem.exit_code


def _usage_message(error: click.UsageError) -> str:
    """One line, in our words where click's are lists with parentheses and tabs."""
    if isinstance(error, click.NoSuchOption):
        meant = " or ".join(sorted(error.possibilities or ()))
        return f"there is no option {error.option_name}" + (f": did you mean {meant}?" if meant else "")
    return " ".join(error.format_message().split()).rstrip(".")


def _bug(error: Exception) -> Problem:
    what = f"{type(error).__name__}: {error}".split("\n", 1)[0].rstrip(": ")
    path = _write_traceback(error)
    if path is None:
        return Problem(EXIT_BUG, "bug", f"this is a bug: {what}", "please report it")
    return Problem(EXIT_BUG, "bug", f"this is a bug: {what}", f"please report it with {path}")


def _write_traceback(error: Exception) -> str | None:
    """The traceback, in a file of its own below $XDG_STATE_HOME; None if there is no place for it."""
    import platform
    import time
    import traceback

    try:
        from platformdirs import user_state_dir

        folder = user_state_dir("artstore")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, f"bug-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt")
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"artstore {' '.join(sys.argv[1:2])}, Python {platform.python_version()}\n\n")
            file.writelines(traceback.format_exception(error))
    except OSError:
        return None
    return path


def _open_what_is_closed() -> None:
    """Started without input, output or errors (`>&-`): else the first file opened would be taken for one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _silence_stdout() -> None:
    """Whoever read our output has gone: keep Python from complaining when it flushes at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError):  # not a real stream: nothing will be flushed
        return
    finally:
        os.close(null)


def _terminate_cleanly() -> Handler:
    """SIGTERM ends the command as Ctrl-C does: what is half done is cleaned up. Returns the former handler."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    try:
        return signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not the main thread: somebody else's process
        return None
