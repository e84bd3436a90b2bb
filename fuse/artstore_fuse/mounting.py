"""Puts a mount together: the place is looked over, a supervisor started, and beneath it store, view and transport.

Decides where a mount may be and with which options. Everything it needs, to the last module, is imported here: a
release may be replaced while a mount runs, and its supervisor must still be able to start it again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from artstore import Store, limits, wiring
from artstore.errors import Conflict, Interrupted, NotFound, NotPermitted, UsageError
from artstore_fuse import background, mountinfo, transport, unmounting
from artstore_fuse.background import Report
from artstore_fuse.chunks import Chunks
from artstore_fuse.following import Following
from artstore_fuse.metrics import Metrics
from artstore_fuse.records import Records
from artstore_fuse.requests import Requests
from artstore_fuse.status import Place, Status
from artstore_fuse.supervision import Pace
from artstore_fuse.supervisor import Supervisor
from artstore_fuse.view import View

if TYPE_CHECKING:
    from artstore.format.keyring import Unlocked

_log: Final = logging.getLogger(__name__)
_DEVICE: Final = "/dev/fuse"
_DEVICE_NUMBER: Final = os.makedev(10, 229)
_READ_AHEAD: Final = "/sys/class/bdi/{device}/read_ahead_kb"
READ_AHEAD_KIB: Final = 1024
_THREADS_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class Options:
    """How to mount. `read_ahead_kib`: the kernel's own; None: raised to READ_AHEAD_KIB where root mounts.

    `follow_s`: how often the home remote is asked for new names; None: never.
    """

    memory_bytes: int = 256 * limits.MIB
    poll_s: float = 1.0
    pattern: str = "*"
    uid: int | None = None
    gid: int | None = None
    umask: int = 0
    allow_other: bool = False
    read_ahead_kib: int | None = None
    follow_s: float | None = None


def place_of(store: str | None, directory: str) -> Place:
    """What is mounted where. The folder is made if it is missing.

    NotFound without a store, UsageError inside of the store, Conflict if something would be hidden.
    """
    path = wiring.find(store)
    config = wiring.load_config(path)
    point = mountinfo.resolve(directory)
    if mountinfo.at(point) is None:
        _require_free(point, os.path.realpath(path))
    return Place(store=path, store_id=config.id, mountpoint=point)


def require_fuse() -> None:
    """NotFound, with what mends it, if this machine can't mount."""
    try:
        device: int | None = os.stat(_DEVICE).st_rdev
    except FileNotFoundError:
        device = None
    if device != _DEVICE_NUMBER:
        raise NotFound(
            f"this machine has no {_DEVICE}" if device is None else f"{_DEVICE} is not the device of FUSE",
            hint="modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN; "
            "without either: `artstore checkout`",
        )
    unmounting.fusermount()


def start(place: Place, options: Options, records: Records, *, keys: Unlocked | None = None) -> Report:
    """Mount in the background; returns once it is ready, raises what kept it from that. `keys`: those of an encrypted
    store, which the supervisor keeps in memory to start the server again.
    """
    wiring.preload(place.store)
    records.prepare()
    log = records.log_path(place.mountpoint)

    def main(report: Callable[[Report], None]) -> int:
        _keep_log()
        serving = partial(serve, place, options, keys=keys)
        return Supervisor(place, serving, records=records, report=report, log=log).run()

    outcome = background.start(main, log)
    outcome.check()
    return outcome


def run(
    place: Place,
    options: Options,
    records: Records,
    report: Callable[[Report], None],
    *,
    pace: Pace | None = None,
    keys: Unlocked | None = None,
) -> int:
    """Mount and stay until it ends; `report` is told once it is ready. The exit code.

    A service manager that wants to know is told, too. Interrupted if a signal comes before it is ready.
    """
    wiring.preload(place.store)
    records.prepare()
    _keep_log()
    outcomes: list[Report] = []

    def hear(outcome: Report) -> None:
        if not outcomes and outcome.ready:
            report(outcome)
            _tell_manager("READY=1")
        outcomes.append(outcome)

    serving = partial(serve, place, options, keys=keys)
    code = Supervisor(place, serving, records=records, report=hear, log=None, pace=pace or Pace()).run()
    if not code and not any(outcome.ready for outcome in outcomes):
        raise Interrupted("interrupted before it was mounted")
    if code:
        outcomes[-1].check()
    return code


def serve(place: Place, options: Options, ready: Callable[[], None], *, keys: Unlocked | None = None) -> None:
    """Mount, answer until it is unmounted, in this process. `ready` is called once it answers."""
    wiring.prepare_process(one_arena=True)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store.open(place.store, passphrase=keys))
        threads = max(_THREADS_MIN, min(len(os.sched_getaffinity(0)), limits.WORKERS_MAX))
        if store.remotes():
            threads = max(threads, limits.MOUNT_FAR_THREADS)
        chunks = Chunks(store.objects, memory_bytes=options.memory_bytes, threads=threads)
        stack.callback(chunks.close)
        metrics = Metrics()
        status = Status(metrics, chunks.stats, place)
        view = View(
            store,
            chunks=chunks,
            uid=os.getuid() if options.uid is None else options.uid,
            gid=os.getgid() if options.gid is None else options.gid,
            umask=options.umask,
            pattern=options.pattern,
            virtual={b"status": status.render, b"metrics": metrics.render_prometheus},
        )
        stack.callback(view.close)
        if options.follow_s is not None:
            following = Following(store, every_s=options.follow_s)
            stack.callback(following.close)
            status.follow(following)
        status.count_remotes(store.remote_stats)
        requests = Requests(metrics, status, describe=view.describe, refusal=transport.refusal)
        handlers = transport.mount(view, requests, place.mountpoint, _mount_options(place, options))

        def begin() -> None:
            _raise_read_ahead(place, options)
            _log.info("mounted %s at %s", place.store, place.mountpoint)
            ready()

        transport.serve(handlers, poll_s=options.poll_s / 2, ready=begin)
    _log.info("unmounted %s", place.mountpoint)


def _mount_options(place: Place, options: Options) -> set[str]:
    source = mountinfo.source_of(place.store_id)
    fixed = {"ro", "nosuid", "nodev", "default_permissions", "auto_unmount", f"subtype={mountinfo.SUBTYPE}"}
    return {*fixed, f"fsname={source}", *(["allow_other"] if options.allow_other else [])}


def _require_free(point: str, store: str) -> None:
    if point == store or point.startswith(store + "/"):
        raise UsageError(f"{point} lies in the store {store}", hint="choose another folder")
    try:
        os.makedirs(point, exist_ok=True)
        names = os.listdir(point)
    except FileExistsError:
        raise Conflict(f"{point} is no folder", hint="choose another one") from None
    except PermissionError as error:
        raise NotPermitted(f"{point}: {error.strerror}", hint="choose a folder of your own") from error
    except OSError as error:
        if error.errno not in mountinfo.GONE:
            raise
        raise Conflict(f"{point} lies in a mount whose server is gone", hint="unmount that first") from error
    if names and mountinfo.at(point) is None:  # else somebody was quicker, and that is what is in it
        raise Conflict(f"{point} isn't empty: a mount would hide what is in it", hint="choose an empty folder")


def _raise_read_ahead(place: Place, options: Options) -> None:
    """The kernel reads 128 KiB ahead unless root asks for more; without root it stays at that.

    It sets its own figure when it begins to ask, so that ours has to come after that.
    """
    wanted = options.read_ahead_kib or (READ_AHEAD_KIB if os.geteuid() == 0 else None)
    mount = mountinfo.at(place.mountpoint)
    if wanted is None or mount is None:
        return
    try:
        with open(_READ_AHEAD.format(device=mount.device), "w", encoding="ascii") as file:
            file.write(str(wanted))
    except OSError as error:
        _log.log(logging.WARNING if options.read_ahead_kib else logging.INFO, "the kernel's readahead stays: %s", error)


def _tell_manager(state: str) -> None:
    """The protocol of sd_notify(3): systemd waits for this with Type=notify."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect("\0" + address[1:] if address.startswith("@") else address)
            manager.send(state.encode())


def _keep_log() -> None:
    """Lines on stderr, which is the log file of a mount in the background."""
    formatter = logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger("artstore_fuse")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
    logging.getLogger("pyfuse3").addHandler(handler)
