"""What the mount tells of itself: `.artstore/status` as JSON, and the figures that `.artstore/metrics` adds.

Decides what is remembered and in which words; the counting is done by `metrics` and by the cache of chunks.

The JSON document (`schema` is `artstore-mount/1`; times are UTC in ISO 8601, durations seconds, sizes bytes):

    schema, release, installed, upgrade   the running release, the installed one, whether they differ (remount then)
    store, store_id, mountpoint, pid      what is mounted where, by which process
    started, uptime_s, memory_bytes       since when, and the resident memory of the process
    requests {kind: {count, errors {errno: count}, bytes, seconds, in_flight, p50_s, p99_s}}
    remote {url, looked, fetched, error}  the remote whose names are followed, or null: when it was asked, names came
    remote_requests {gets, heads, lists, repeated, received_bytes}    what reading has asked of remotes
    chunks {hits, misses, decoded_bytes, requested, failed}    the cache of decoded chunks
    broken [{time, name, message}], broken_count               reads that failed, since what is stored is damaged or a
                                          remote can't be reached: the newest ones, and all of them
    slow [{time, kind, name, seconds}], slow_count             requests of a second or longer, likewise
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from artstore import _version, limits
from artstore.model import RemoteStats
from artstore_fuse.following import Following
from artstore_fuse.metrics import Figure, Metrics

SCHEMA: Final = "artstore-mount/1"
_RELEASE: Final = re.compile(r"^VERSION\b[^\n]*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


class CacheStats(Protocol):
    """What the cache of chunks counts: `hits` and `misses` of look-ups, chunks `requested` ahead, `failed` loads."""

    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def decoded_bytes(self) -> int: ...
    @property
    def requested(self) -> int: ...
    @property
    def failed(self) -> int: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What is mounted where."""

    store: str
    store_id: str
    mountpoint: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Trouble:
    """A request that failed or took long."""

    time: float
    name: str
    kind: str = ""
    message: str = ""
    seconds: float = 0.0


class Status:
    """What is told of one mount. Thread-safe; whatever goes wrong, the lists stay bounded.

    `now` gives seconds since the epoch; `installed` the release on the disk, which an upgrade replaces under a
    running mount, or None when it can't be told.
    """

    def __init__(
        self,
        metrics: Metrics,
        chunks: CacheStats,
        place: Place,
        *,
        now: Callable[[], float] = time.time,
        installed: Callable[[], str | None] | None = None,
    ) -> None:
        self._metrics = metrics
        self._chunks = chunks
        self._place = place
        self._now = now
        self._installed = installed or installed_release
        self._started = now()
        self._lock = Lock()
        self._broken: deque[_Trouble] = deque(maxlen=limits.MOUNT_TROUBLES_TOLD_MAX)
        self._slow: deque[_Trouble] = deque(maxlen=limits.MOUNT_TROUBLES_TOLD_MAX)
        self._broken_count = self._slow_count = 0
        self._following: Following | None = None
        self._remote_stats: Callable[[], RemoteStats] = RemoteStats
        metrics.include(self._figures)

    def follow(self, following: Following) -> None:
        """Tell of this, too."""
        self._following = following

    def count_remotes(self, stats: Callable[[], RemoteStats]) -> None:
        """Tell what it counts, too."""
        self._remote_stats = stats

    def note_broken(self, name: str, message: str) -> None:
        """A read failed because of what is stored: `name` as the view describes it (version and path)."""
        with self._lock:
            self._broken_count += 1
            self._broken.append(_Trouble(self._now(), name, message=message))

    def note_slow(self, kind: str, name: str, seconds: float) -> None:
        """A request took MOUNT_SLOW_S or longer."""
        with self._lock:
            self._slow_count += 1
            self._slow.append(_Trouble(self._now(), name, kind=kind, seconds=seconds))

    def render(self) -> bytes:
        """The JSON document described above, for a reader as well as for a program."""
        installed = self._installed()
        with self._lock:
            broken, slow = list(self._broken), list(self._slow)
            counts = self._broken_count, self._slow_count
        remote = self._remote_stats()
        document = {
            "schema": SCHEMA,
            "release": _version.VERSION,
            "installed": installed,
            "upgrade": installed is not None and installed != _version.VERSION,
            **dataclasses.asdict(self._place),
            "pid": os.getpid(),
            "started": _iso(self._started),
            "uptime_s": round(self._now() - self._started, 3),
            "memory_bytes": resident_bytes(),
            "requests": {kind: dataclasses.asdict(found) for kind, found in self._metrics.snapshot().items()},
            "remote": self._followed(),
            "remote_requests": {
                name: getattr(remote, name) for name in ("gets", "heads", "lists", "repeated", "received_bytes")
            },
            "chunks": {
                "hits": self._chunks.hits,
                "misses": self._chunks.misses,
                "decoded_bytes": self._chunks.decoded_bytes,
                "requested": self._chunks.requested,
                "failed": self._chunks.failed,
            },
            "broken": [{"time": _iso(each.time), "name": each.name, "message": each.message} for each in broken],
            "broken_count": counts[0],
            "slow": [
                {"time": _iso(each.time), "kind": each.kind, "name": each.name, "seconds": round(each.seconds, 3)}
                for each in slow
            ],
            "slow_count": counts[1],
        }
        return (json.dumps(document, indent=2) + "\n").encode()

    def _followed(self) -> dict[str, str | None] | None:
        if self._following is None:
            return None
        state = self._following.state
        looked, fetched = (None if at is None else _iso(at) for at in (state.looked, state.fetched))
        return {"url": state.url, "looked": looked, "fetched": fetched, "error": state.error}

    def _figures(self) -> Iterator[Figure]:
        chunks, remote = self._chunks, self._remote_stats()
        yield Figure("remote_requests_total", "Requests that reading made at remotes.", remote.requests)
        yield Figure("remote_repeated_total", "Those of them that were repeated.", remote.repeated)
        yield Figure("remote_received_bytes_total", "Bytes that came from remotes.", remote.received_bytes)
        yield Figure("chunk_hits_total", "Chunks found in memory.", chunks.hits)
        yield Figure("chunk_misses_total", "Chunks that were not in memory.", chunks.misses)
        yield Figure("chunk_decoded_bytes_total", "Bytes of chunks decoded and verified.", chunks.decoded_bytes)
        yield Figure("chunks_requested_total", "Chunks asked for ahead of a reader.", chunks.requested)
        yield Figure("chunks_failed_total", "Chunks that could not be read.", chunks.failed)
        yield Figure("broken_reads_total", "Reads that failed because of what is stored.", self._broken_count)
        yield Figure("slow_requests_total", "Requests of a second or longer.", self._slow_count)
        yield Figure("memory_bytes", "Resident memory of the process.", resident_bytes(), is_counter=False)
        yield Figure("start_time_seconds", "When it was mounted, since the epoch.", self._started, is_counter=False)


def installed_release() -> str | None:
    """The release that the next process would run: read from the file anew, since this process imported its own."""
    try:
        found = _RELEASE.search(Path(_version.__file__).read_text(encoding="utf-8"))
    except OSError:
        return None
    return found[1] if found else None


def resident_bytes() -> int:
    """The resident memory of this process; 0 where the kernel doesn't tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
