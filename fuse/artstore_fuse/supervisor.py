"""The small process beside a mount: starts its server, looks at it, starts it again when it crashed or hangs.

Carries out what `supervision` decides. It opens no store and runs no threads: it forks, and what it needs for the next
server was imported before the first one started. The helper that unmounts when a server ends becomes its child, too:
nothing is mounted anew, and nobody is told that a mount has ended, before that one has done its work.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from types import FrameType
from typing import Final, NoReturn

from artstore import limits
from artstore.errors import ArtstoreError
from artstore_fuse import background, mountinfo, supervision, unmounting
from artstore_fuse.background import Report
from artstore_fuse.mountinfo import Health, Probe
from artstore_fuse.records import Record, Records, birth_of, rotate, wait_for_end
from artstore_fuse.status import Place
from artstore_fuse.supervision import Action, Event, Pace, Phase, State

_log: Final = logging.getLogger(__name__)
_RETRY_S: Final = 0.005
DUMP_SIGNAL: Final = signal.SIGUSR1
_STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_WATCHED: Final = (*_STOPS, signal.SIGCHLD)
_LIBC: Final = ctypes.CDLL(None)
_PR_SET_CHILD_SUBREAPER: Final = 36  # <linux/prctl.h>
Serve = Callable[[Callable[[], None]], None]


class Supervisor:
    """One mount and its server. `serve(ready)` runs in a process of its own and returns when the mount has ended."""

    def __init__(
        self,
        place: Place,
        serve: Serve,
        *,
        records: Records,
        report: Callable[[Report], None],
        log: str | None,
        pace: Pace | None = None,
    ) -> None:
        self._place = place
        self._serve = serve
        self._records = records
        self._report = report
        self._log_path = log
        self._pace = pace or Pace()
        self._events: deque[Event] = deque()
        self._lock = contextlib.ExitStack()
        self._server = 0
        self._pipe: int | None = None
        self._told = b""
        self._probe: Probe | None = None
        self._wake = -1
        self._device: str | None = None  # of the mount that is up: another one may come to the same place
        self._kept = False  # there is a record of this mount; who takes it away removes that

    def run(self) -> int:
        """Supervise until the mount has ended for good; the exit code."""
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with _signals() as self._wake:
            state, actions = supervision.begin(time.monotonic(), self._pace)
            try:
                while state.phase is not Phase.LEFT:
                    for action in actions:
                        self._do(action)
                    state, actions = self._advance(state)
            finally:  # of an error, too, such as a full disk for what is reported: no server is left without us
                self._end_server()
                self._close()
        return state.exit_code

    def _advance(self, state: State) -> supervision.Step:
        event = self._next_event(state)
        before, now = state, time.monotonic()
        state, actions = supervision.step(state, event, now, self._pace)
        if state.phase is not before.phase and state.phase in (Phase.HUNG, Phase.PAUSING):
            _log.warning("the mount at %s %s: %s", self._place.mountpoint, event.value, state.phase.value)
        if state.phase is Phase.LEFT and state.exit_code and state.was_ready:
            _log.error("the mount at %s is given up", self._place.mountpoint)
        return state, actions

    # --- events

    def _next_event(self, state: State) -> Event:
        while not self._events:
            sources = [source for source in (self._wake, self._pipe, self._probe) if source is not None]
            wait_s = max(0.0, state.wake_at - time.monotonic())
            ready, _, _ = select.select(sources, [], [], wait_s)
            if not ready:
                return Event.TICK
            if self._pipe in ready:
                self._receive()
            if self._probe is not None and self._probe in ready:
                self._events.append(Event.ANSWERED if self._probe.health() is Health.ALIVE else Event.SILENT)
                self._end_probe()
            if self._wake in ready:
                self._signalled()
        return self._events.popleft()

    def _signalled(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if _STOPS & set(os.read(self._wake, 4096)):
                self._events.append(Event.STOP)
        self._reap()

    def _reap(self) -> None:
        """Learn which children have ended: the server, or a probe that was stuck."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if process == self._server:
                self._ended(os.waitstatus_to_exitcode(status))

    def _ended(self, code: int) -> None:
        if self._pipe is not None:
            self._receive(wait=True)
        self._server = 0
        self._device = None
        self._lock.close()
        self._end_probe()
        self._await_helper()
        if code:
            _log.warning("the server of %s ended with %d", self._place.mountpoint, code)
        if self._kept and not self._is_wanted():
            self._events.append(Event.UNWANTED)
        self._events.append(Event.ENDED_BADLY if code else Event.ENDED_WELL)

    def _await_helper(self) -> None:
        """Without a server the only child is its helper, or a probe that is stuck and won't be waited for."""
        end = time.monotonic() + limits.MOUNT_VANISH_S
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] or time.monotonic() < end:
                time.sleep(_RETRY_S)

    def _receive(self, *, wait: bool = False) -> None:
        """Read what the server reports; with `wait` to the end, since it is gone."""
        assert self._pipe is not None
        part = os.read(self._pipe, limits.MOUNT_REPORT_BYTES_MAX)
        self._told += part
        if part and b"\n" not in self._told:
            if wait:
                self._receive(wait=True)
            return
        os.close(self._pipe)
        self._pipe = None
        told = background.decode(self._told, self._log_path)
        if not told.ready:
            self._tell(told)
            return
        mount = mountinfo.at(self._place.mountpoint)
        self._device = None if mount is None else mount.device
        self._keep_record()
        self._lock.close()
        self._events.append(Event.READY)
        self._tell(Report(ready=True, server=self._server))

    def _tell(self, report: Report) -> None:
        if not report.ready and (self._kept or self._log_path):  # else who waits for this report says it
            _log.error("%s", report.message)
        try:
            self._report(report)
        except BrokenPipeError:  # whoever started this mount has given up
            self._events.append(Event.STOP)

    # --- actions

    def _do(self, action: Action) -> None:
        match action:
            case Action.START:
                self._start()
            case Action.PROBE:
                self._look()
            case Action.DUMP:
                self._kill(DUMP_SIGNAL)
                self._kill(signal.SIGCONT)  # if it is only stopped
            case Action.ABORT:
                self._abort()
            case Action.TERMINATE:
                self._kill(signal.SIGTERM)

    def _start(self) -> None:
        self._end_probe()
        point = self._place.mountpoint
        try:
            self._lock.enter_context(self._records.lock(point, limits.MOUNT_READY_S_MAX, wait=self._wait))
            if self._kept and not self._is_wanted():
                self._events.append(Event.UNWANTED)
            elif unmounting.clear(point, self._place.store_id):
                self._leave_alone()
            else:
                self._fork()
        except _ToldToStop:
            self._events.append(Event.ENDED_BADLY)
        except (ArtstoreError, OSError) as error:
            self._lock.close()
            self._tell(background.report_of(error, self._log_path))
            self._events.append(Event.ENDED_BADLY)

    def _wait(self, seconds: float) -> None:
        """Wait for the lock, unless this is the end."""
        if select.select([self._wake], [], [], seconds)[0]:
            self._signalled()
        if Event.STOP in self._events:
            raise _ToldToStop

    def _leave_alone(self) -> None:
        """This store is mounted there, and somebody else looks after it."""
        record = self._records.get(self._place.mountpoint)
        self._tell(Report(ready=True, already=True, server=0 if record is None else record.server))
        self._events.append(Event.UNWANTED)

    def _fork(self) -> None:
        sys.stdout.flush()
        self._told = b""
        self._pipe, write = os.pipe()
        # What tells the server to stop must not come to it before it listens.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            self._server = os.fork()
            if self._server == 0:
                self._become_server(write, before)
        except OSError:
            os.close(self._pipe)
            self._pipe = None
            raise
        finally:
            os.close(write)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _look(self) -> None:
        """Where nothing of ours is mounted any more (`umount --lazy`), there is nothing to be looked at."""
        if self._log_path is not None:
            rotate(self._log_path)
        if self._mount() is None:
            self._events.append(Event.ANSWERED)
            return
        try:
            self._probe = Probe(self._place.mountpoint)
        except OSError as error:  # no process, no descriptor to be had: that is not the mount's fault
            _log.warning("the mount can't be looked at: %s", error)
            self._events.append(Event.ANSWERED)

    def _mount(self) -> mountinfo.Mount | None:
        """The mount of the server that runs, as long as it is in its place."""
        mount = mountinfo.at(self._place.mountpoint)
        return mount if mount is not None and mount.device == self._device else None

    def _abort(self) -> None:
        self._end_probe()
        mount = self._mount()
        if mount is not None:
            unmounting.abort(mount)
        self._kill(signal.SIGKILL)

    def _kill(self, number: signal.Signals) -> None:
        if self._server:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._server, number)

    def _end_server(self) -> None:
        """Have it unmount; kill it if it takes too long."""
        self._kill(signal.SIGTERM)
        if self._server and not wait_for_end(self._server, self._pace.end_s):
            self._abort()

    def _end_probe(self) -> None:
        if self._probe is not None:
            self._probe.end()
            self._probe = None

    def _keep_record(self) -> None:
        record = Record(
            point=self._place.mountpoint,
            store=self._place.store,
            store_id=self._place.store_id,
            supervisor=os.getpid(),
            supervisor_born=birth_of(os.getpid()) or 0,
            server=self._server,
            born=birth_of(self._server) or 0,
            started_ns=time.time_ns(),
            log=self._log_path,
        )
        with contextlib.suppress(OSError):  # the mount is as good without it
            self._records.put(record)
            self._kept = True

    def _is_wanted(self) -> bool:
        record = self._records.get(self._place.mountpoint)
        return record is not None and record.supervisor == os.getpid()

    def _close(self) -> None:
        self._end_probe()
        self._lock.close()
        self._records.remove(self._place.mountpoint, supervisor=os.getpid())

    # --- the forked server

    def _become_server(self, pipe: int, mask: Iterable[int]) -> NoReturn:
        """Serve, and end this process."""
        code, is_ready = 1, False

        def ready() -> None:
            nonlocal is_ready
            is_ready = True
            os.write(pipe, Report(ready=True).encode())
            os.close(pipe)

        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in _STOPS:
                signal.signal(number, _leave)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            background.close_all_but(pipe)
            faulthandler.register(DUMP_SIGNAL, file=sys.__stderr__ or 2, all_threads=True)
            self._serve(ready)
            code = 0
        except SystemExit:  # told to stop before there was a loop to be stopped
            code = 0
        except BaseException as error:  # noqa: BLE001 - the rim of this process: reported or logged, and ends it
            report = background.report_of(error, self._log_path)
            if is_ready:  # the pipe's number belongs to another file by now
                _log.error("%s", report.message)
            else:
                os.write(pipe, report.encode())
        finally:
            background.end_process(code)


class _ToldToStop(Exception):
    """A signal came while the lock was waited for."""


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


@contextlib.contextmanager
def _signals() -> Generator[int]:
    """Signals wake a `select` instead of interrupting what is being done; gives what is to be selected."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    handlers = {number: signal.signal(number, lambda _number, _frame: None) for number in _WATCHED}
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)
