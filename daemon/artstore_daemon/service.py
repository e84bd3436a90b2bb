"""A daemon as a process: started, told to the service manager, asked over its socket, and ended in good order."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from artstore import Store, limits, wiring
from artstore.errors import ArtstoreError, Busy, NotFound, NotPermitted
from artstore.wiring import keys
from artstore_daemon import lock, logs, systemd
from artstore_daemon.api.server import serve
from artstore_daemon.daemon import Daemon
from artstore_daemon.desktop import show_people
from artstore_daemon.engine import told

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore_daemon.places import Places

_log: Final = logging.getLogger(__name__)
_READY_FD: Final = "ARTSTORE_READY_FD"
_DESCRIPTOR: Final = "/dev/fd/"
_START_S: Final = 30.0
_LOOK_S: Final = 0.05
_NAME_S: Final = 1.0  # within which a daemon that has the lock has said which process it is


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `log`: a file; None: standard error. `tcp`: also answer on a port of this machine's own.
    `passphrase`: what asks for that of an encrypted store.
    """

    log: str | None = None
    tcp: bool = False
    verbose: bool = False
    passphrase: Callable[[], str] | None = field(default=None, repr=False)


def run(places: Places, options: Options) -> int:
    """Be the daemon of a store until SIGTERM, Ctrl-C, or somebody asks for the end. Busy if there is one already."""
    places.prepare()
    if options.log is None:
        logs.to_stderr(verbose=options.verbose)
    else:
        logs.to_file(options.log, verbose=options.verbose)
    # Whoever changes the config tells the process that the lock names: it must not end before it heeds that.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with (
        lock.held(places.lock, socket_path=places.socket) as held,
        Store.open(places.store, passphrase=options.passphrase) as store,
    ):
        wiring.prepare_process()
        _forget_passphrase()
        try:
            trio.run(_serve, store, places, options, held)
        except BaseExceptionGroup as errors:
            cause = _cause(errors)
            if options.log is not None:  # else whoever started it reads it where it is raised to
                _log.error("it ends: %s", told(cause))
            raise cause from None
    return 0


def _forget_passphrase() -> None:
    """What `start` handed over, or the environment had, was read: hooks and whatever else this runs don't have it."""
    os.environ.pop(keys.SECRET, None)
    given = os.environ.get(keys.SECRET_FILE, "")
    if given.startswith(_DESCRIPTOR):
        del os.environ[keys.SECRET_FILE]
        os.close(int(given.removeprefix(_DESCRIPTOR)))


def _cause(error: BaseException) -> BaseException:
    """What nurseries have wrapped."""
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _cause(inside[0]) if len(inside) == 1 else error


def start(places: Places, options: Options) -> int:
    """Have a daemon run in the background; its process. Returns when it answers. Busy if there is one already."""
    if lock.holder(places.lock) is not None:
        raise Busy(
            f"a daemon watches over this store already: {lock.said(places.lock)}",
            hint="`artstore daemon status` asks it",
        )
    places.prepare()
    ready, tell = os.pipe()
    passed, given = _passphrase_of(places, options)
    # The packaged command runs with -I, so that no module of the user's gets into it; nor may any get into this.
    isolation = "-I" if sys.flags.isolated else "-P"
    command = [sys.executable, isolation, "-m", "artstore"]
    command += ["--store", places.store, "daemon", "run", "--log", places.log]
    command += ["--tcp"] if options.tcp else []
    try:
        process = subprocess.Popen(  # noqa: S603 - this program itself
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(tell, *passed),
            env={**os.environ, _READY_FD: str(tell), **given},
            cwd="/",
            start_new_session=True,
        )
    finally:
        for descriptor in (tell, *passed):
            os.close(descriptor)
    try:
        _await_ready(process, ready)
    finally:
        os.close(ready)
    return process.pid


def _passphrase_of(places: Places, options: Options) -> tuple[tuple[int, ...], dict[str, str]]:
    """A descriptor, and what tells the daemon of it, that has the passphrase which somebody was asked for."""
    asked: list[str] = []
    ask = options.passphrase

    def remember() -> str:
        assert ask is not None
        asked.append(ask())
        return asked[-1]

    keys.unlocked(places.store, None if ask is None else remember)  # a wrong one is told here
    if not asked:
        return (), {}
    reading, writing = os.pipe()
    os.write(writing, asked[-1].encode())  # a pipe holds more than the longest passphrase
    os.close(writing)
    return (reading,), {keys.SECRET_FILE: f"{_DESCRIPTOR}{reading}"}


def stop(places: Places, *, wait_s: float = 3 * limits.DAEMON_STOP_S) -> int | None:
    """End the daemon of a store; its process, None if there was none. Busy if it doesn't end; NotPermitted."""
    until = time.monotonic() + _NAME_S
    while (holder := lock.holder(places.lock)) == 0 and time.monotonic() < until:  # it is just beginning, or ending
        time.sleep(_LOOK_S)
    if holder is None:
        return None
    try:
        if not holder:
            raise PermissionError
        os.kill(holder, signal.SIGTERM)
    except ProcessLookupError:
        return None
    except PermissionError as error:
        raise NotPermitted(
            f"the daemon of this store is another user's, or runs in another container: {lock.said(places.lock)}",
            hint="end it there",
        ) from error
    until = time.monotonic() + wait_s
    while lock.holder(places.lock) in (holder, 0):  # 0: it has taken its name out of the lock, and not yet let go
        if time.monotonic() > until:
            raise Busy(f"process {holder} doesn't end", hint=f"see {places.log}; `kill -9 {holder}` does no harm")
        time.sleep(_LOOK_S)
    return holder


def _await_ready(process: subprocess.Popen[bytes], ready: int) -> None:
    """Until it answers; what it said if it ended instead."""
    os.set_blocking(ready, False)
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        try:
            if os.read(ready, 1):
                assert process.stderr is not None
                process.stderr.close()
                return
        except BlockingIOError:
            time.sleep(_LOOK_S)
            continue
        break  # it let go of the pipe without a word
    if process.poll() is None:
        process.terminate()
    _, said = process.communicate()
    lines = said.decode(errors="replace").strip().splitlines()
    error = ArtstoreError(
        f"the daemon didn't start: {lines[-1].removeprefix('artstore: ') if lines else 'it said nothing'}"
    )
    error.exit_code = process.returncode if process.returncode > 0 else Busy.exit_code
    raise error


async def _serve(store: Store, places: Places, options: Options, held: lock.Held) -> None:
    stop = trio.Event()
    daemon = Daemon(store)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_heed, signals, daemon, stop)
            nursery.start_soon(_keep_alive)
            nursery.start_soon(mind_store, store.path, held)
            async with trio.open_nursery() as answering, trio.open_nursery() as working:
                await working.start(daemon.run)  # a config that makes no sense is told before it is ready
                await answering.start(_answer, daemon, places, options, stop)
                nursery.start_soon(show_people, daemon)
                _say_ready()
                await stop.wait()
                systemd.notify("STOPPING=1")
                _log.info("ending")
                _limit_end()
                working.cancel_scope.cancel()  # a commit or push that a thread is at is waited for
            nursery.cancel_scope.cancel()


async def _answer(
    daemon: Daemon, places: Places, options: Options, stop: trio.Event, *, task_status: trio.TaskStatus[None]
) -> None:
    await serve(
        daemon,
        socket_path=places.socket,
        inherited=systemd.listening(),
        tcp=options.tcp,
        port_path=places.port,
        token_path=places.token,
        stop=stop,
        task_status=task_status,
    )


async def _heed(signals: AsyncIterator[int], daemon: Daemon, stop: trio.Event) -> None:
    async for number in signals:
        if number == signal.SIGHUP:
            daemon.reload()
        else:
            stop.set()


async def mind_store(path: str, held: lock.Held) -> None:
    """Without its store it would fail for ever; in another that is in its place, versions would be lost. NotFound."""
    while not await trio.to_thread.run_sync(held.is_lost):  # noqa: ASYNC110 - nobody tells
        await trio.sleep(limits.WATCH_LOOK_S)
    _limit_end()
    raise NotFound(
        f"the store {path} was removed, or another is in its place",
        hint="`artstore daemon start` watches over what is there now",
    )


async def _keep_alive() -> None:
    """Tell the service manager that this loop goes round."""
    every = systemd.watchdog_s()
    while every is not None:
        systemd.notify("WATCHDOG=1")
        await trio.sleep(every / 3)


def _limit_end() -> None:
    """What a thread is at may take hours: then it is gone on with next time, as after a kill."""

    def end() -> None:
        _log.warning("what is under way took more than %g s, and is gone on with next time", limits.DAEMON_STOP_S)
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(limits.DAEMON_STOP_S, end)
    timer.daemon = True
    timer.start()


def _say_ready() -> None:
    systemd.notify("READY=1", f"STATUS=watching, process {os.getpid()}")
    waiting = os.environ.pop(_READY_FD, "")
    if waiting.isdigit():
        os.write(int(waiting), b"1")
        os.close(int(waiting))
    _log.info("ready")
