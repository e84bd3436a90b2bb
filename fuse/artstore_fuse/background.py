"""Starts something in a process of its own and tells whoever started it how that went.

Decides how a process leaves its terminal, and how an outcome crosses a pipe. Must know nothing of mounts.
Everything that will be needed must have been imported before: a release may be replaced under a running process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final, NoReturn

from artstore import limits
from artstore.errors import ArtstoreError
from artstore_fuse.records import rotate

_log: Final = logging.getLogger(__name__)
_EXIT_BUG: Final = 70
_RETRY_S: Final = 0.005
_LEFT_OPEN: Final = 3  # input, output, errors
_FROM_OUTSIDE: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class Report:
    """How a start went: ready (`already`: it ran before), or an error, as `errors` tells one, or `errno`.

    `server`, `reporter`: the process that serves, the one that tells.
    """

    ready: bool
    already: bool = False
    server: int = 0
    reporter: int = 0
    message: str = ""
    hint: str | None = None
    code: str = ""
    exit_code: int = 0
    errno: int = 0
    filename: str | None = None

    def encode(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def check(self) -> None:
        """Raise the error that was reported, if one was."""
        if self.ready:
            return
        if self.errno:
            raise OSError(self.errno, self.message, self.filename)
        error = ArtstoreError(self.message, hint=self.hint)
        error.code, error.exit_code = self.code, self.exit_code
        raise error


def report_of(error: BaseException, log: str | None) -> Report:
    """What to tell of an exception; the traceback of a bug goes to the log."""
    match error:
        case ArtstoreError():
            return Report(
                False, message=error.message, hint=error.hint, code=error.code, exit_code=error.exit_code or 1
            )
        case OSError() if error.errno:
            filename = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
            return Report(False, message=error.strerror or str(error), errno=error.errno, filename=filename)
        case _:
            _log.error("%s", "".join(traceback.format_exception(error)))
            what = f"{type(error).__name__}: {error}".split("\n", 1)[0].rstrip(": ")
            hint = "please report it" + (f" with {log}" if log else "")
            return Report(False, message=f"this is a bug: {what}", hint=hint, code="bug", exit_code=_EXIT_BUG)


def ended_early(log: str | None) -> Report:
    """What to tell of a process that ended without a word."""
    hint = f"see {log}" if log else None
    return Report(False, message="the mount ended before it was ready", hint=hint, code="error", exit_code=1)


def decode(data: bytes, log: str | None) -> Report:
    """What was reported; cut short, it is a process that ended."""
    line, end, _ = data.partition(b"\n")
    return Report(**json.loads(line)) if end else ended_early(log)


def start(main: Callable[[Callable[[Report], None]], int], log: str) -> Report:
    """Run `main(report)` in a session of its own, its output in `log`; return what it first reports.

    Should this process be interrupted before that, `report` raises BrokenPipeError there, or what reported is told to
    end. Once it is ready it stays, whatever comes: this process ignores signals, and has only to say so and end.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    here, there = socket.socketpair()
    with here:
        # Ctrl-C is for the command that waits, not for what it has just forked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_OUTSIDE)
        child = os.fork()
        if child == 0:
            here.close()
            _leave(main, there.detach(), log)
        there.close()
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.waitpid(child, 0)
            report = decode(_line(here), log)
            if report.ready:
                for number in _FROM_OUTSIDE:
                    signal.signal(number, signal.SIG_IGN)
        except BaseException:
            _take_back(here)
            raise
    return report


def _line(source: socket.socket) -> bytes:
    """What was sent, to the end of its line; peeked at, so that it is still there should a signal come in between."""
    while True:
        data = source.recv(limits.MOUNT_REPORT_BYTES_MAX, socket.MSG_PEEK)
        if not data or b"\n" in data or len(data) == limits.MOUNT_REPORT_BYTES_MAX:
            return data
        time.sleep(_RETRY_S)  # a line is written in one piece, and arrives so


def _take_back(source: socket.socket) -> None:
    """Nobody waits any more: from now on a report fails, and one that was sent before gets an answer."""
    source.shutdown(socket.SHUT_RD)
    report = decode(source.recv(limits.MOUNT_REPORT_BYTES_MAX, socket.MSG_DONTWAIT), None)
    if report.ready and not report.already:
        with contextlib.suppress(ProcessLookupError):
            os.kill(report.reporter, signal.SIGTERM)


def close_all_but(kept: int) -> None:
    """Close what a forked process has inherited: a lock, a pipe's end of its parent's isn't its own to hold."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= _LEFT_OPEN and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def end_process(code: int) -> NoReturn:
    """End a forked process: what its parent has set up to be done at exit is not its own."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _leave(main: Callable[[Callable[[Report], None]], int], pipe: int, log: str) -> NoReturn:
    """The forked half: a session of its own without a terminal, then a child that can never get one."""
    code = 1
    try:
        code = _run(main, pipe, log)
    finally:
        end_process(code)


def _settle(pipe: int, log: str) -> None:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.chdir("/")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _redirect(log)
    close_all_but(pipe)


def _run(main: Callable[[Callable[[Report], None]], int], pipe: int, log: str) -> int:
    reported = False

    def report(outcome: Report) -> None:
        nonlocal reported
        if not reported:
            reported = True
            try:
                os.write(pipe, replace(outcome, reporter=os.getpid()).encode())
            finally:
                os.close(pipe)

    try:
        _settle(pipe, log)
        return main(report)
    except BaseException as error:  # noqa: BLE001 - the rim of this process: it is reported, and ends it
        with contextlib.suppress(BrokenPipeError):
            report(report_of(error, log))
        return 1


def _redirect(log: str) -> None:
    rotate(log)
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)
