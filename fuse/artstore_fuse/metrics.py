"""What the mount has answered, counted by kind of request: how many, how fast, how many bytes, which errors.

Pure and thread-safe; measures nothing itself. Durations go into fixed buckets, four for each doubling from 1 ns on, so
that memory is bounded and a quantile is told within a quarter of its value, never below it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Final

from artstore import limits

_STEPS: Final = 4  # buckets for each doubling
_BUCKETS: Final = _STEPS * limits.MOUNT_DURATION_BITS
_PREFIX: Final = "artstore_mount"
# Upper bounds of what Prometheus gets: 1 us, 4 us, … 69 s; each is a bound of our own buckets too.
_SHOWN_NS: Final = tuple(1 << bits for bits in range(10, limits.MOUNT_DURATION_BITS + 1, 2))


@dataclass(frozen=True, slots=True)
class KindFigures:
    """What is known of one kind of request; durations in seconds, None before the first answer."""

    count: int
    errors: dict[str, int]
    bytes: int
    seconds: float
    in_flight: int
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that somebody else keeps, as `metrics` shows it: a counter if it only grows, else a gauge."""

    name: str
    help: str
    value: float
    is_counter: bool = True


class Metrics:
    """Counts answered requests. A kind begins to exist when it is first named."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._sources: list[Callable[[], Iterable[Figure]]] = []
        self._lock = Lock()

    def observe(self, kind: str, seconds: float, *, size: int = 0, error: int = 0) -> None:
        """One request was answered: after how many seconds, with how many bytes, with which errno (0: none)."""
        bucket = _bucket(seconds)
        with self._lock:
            self._kind(kind).add(bucket, seconds, size, error)

    def in_flight(self, kind: str) -> _InFlight:
        """A context that counts one request as being worked on."""
        return _InFlight(self, kind)

    def include(self, source: Callable[[], Iterable[Figure]]) -> None:
        """Show these figures too; `source` is asked at each rendering."""
        self._sources.append(source)

    def snapshot(self) -> dict[str, KindFigures]:
        """Everything counted so far, by kind, in the order of their names."""
        with self._lock:
            return {name: self._kinds[name].figures() for name in sorted(self._kinds)}

    def render_prometheus(self) -> bytes:
        """The same as text that Prometheus scrapes (exposition format 0.0.4)."""
        with self._lock:
            kinds = {name: (kind.figures(), list(kind.buckets)) for name, kind in sorted(self._kinds.items())}
        lines = [*_requests(kinds), *_durations(kinds)]
        for source in self._sources:
            for figure in source():
                lines += _head(figure.name, figure.help, "counter" if figure.is_counter else "gauge")
                lines.append(f"{_PREFIX}_{figure.name} {figure.value}")
        return ("\n".join(lines) + "\n").encode()

    def shift(self, kind: str, by: int) -> None:
        """Change the number of requests of a kind that are being worked on; `in_flight` does it."""
        with self._lock:
            self._kind(kind).in_flight += by

    def _kind(self, name: str) -> _Kind:
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = _Kind()
        return kind


class _InFlight:
    """Counts up at its beginning and down at its end."""

    __slots__ = ("_kind", "_metrics")

    def __init__(self, metrics: Metrics, kind: str) -> None:
        self._metrics = metrics
        self._kind = kind

    def __enter__(self) -> None:
        self._metrics.shift(self._kind, 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.shift(self._kind, -1)


class _Kind:
    """The counters of one kind; whoever calls holds the lock."""

    __slots__ = ("buckets", "bytes", "count", "errors", "in_flight", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.seconds = 0.0
        self.in_flight = 0
        self.errors: dict[str, int] = {}
        self.buckets = [0] * (_BUCKETS + 1)

    def add(self, bucket: int, seconds: float, size: int, error: int) -> None:
        self.count += 1
        self.bytes += size
        self.seconds += seconds
        self.buckets[bucket] += 1
        if error:
            name = errno.errorcode.get(error, str(error))
            self.errors[name] = self.errors.get(name, 0) + 1

    def figures(self) -> KindFigures:
        return KindFigures(
            self.count,
            dict(self.errors),
            self.bytes,
            self.seconds,
            self.in_flight,
            _quantile(self.buckets, self.count, 0.5),
            _quantile(self.buckets, self.count, 0.99),
        )


def _bucket(seconds: float) -> int:
    """The bucket of a duration: its highest bit and the two bits behind it; the last one takes all that is longer."""
    nanoseconds = max(int(seconds * 1e9), 1)
    bits = nanoseconds.bit_length()
    quarter = (nanoseconds << 2 >> (bits - 1)) & (_STEPS - 1)
    return min((bits - 1) * _STEPS + quarter, _BUCKETS)


def _upper_s(bucket: int) -> float:
    """Where a bucket ends."""
    bits, quarter = divmod(bucket, _STEPS)
    return (1 << bits) * (1 + (quarter + 1) / _STEPS) / 1e9


def _quantile(buckets: list[int], count: int, part: float) -> float | None:
    """An upper bound of the given quantile."""
    if not count:
        return None
    wanted, seen = part * count, 0
    for bucket, found in enumerate(buckets):
        seen += found
        if seen >= wanted and found:
            return _upper_s(bucket)
    return _upper_s(_BUCKETS)


_Rendered = dict[str, tuple[KindFigures, list[int]]]


def _requests(kinds: _Rendered) -> Iterator[str]:
    yield from _head("requests_in_flight", "Requests that are being worked on.", "gauge")
    for kind, (figures, _) in kinds.items():
        yield f'{_PREFIX}_requests_in_flight{{kind="{kind}"}} {figures.in_flight}'
    yield from _head("request_errors_total", "Requests answered with an error.", "counter")
    for kind, (figures, _) in kinds.items():
        for name, count in sorted(figures.errors.items()):
            yield f'{_PREFIX}_request_errors_total{{kind="{kind}",errno="{name}"}} {count}'
    yield from _head("request_bytes_total", "Bytes that requests were answered with.", "counter")
    for kind, (figures, _) in kinds.items():
        yield f'{_PREFIX}_request_bytes_total{{kind="{kind}"}} {figures.bytes}'


def _durations(kinds: _Rendered) -> Iterator[str]:
    """A histogram: its `_count` is the number of requests."""
    name = f"{_PREFIX}_request_duration_seconds"
    yield from _head("request_duration_seconds", "How long requests took.", "histogram")
    for kind, (figures, buckets) in kinds.items():
        for bound in _SHOWN_NS:
            below = sum(buckets[: (bound.bit_length() - 1) * _STEPS])
            yield f'{name}_bucket{{kind="{kind}",le="{bound / 1e9:g}"}} {below}'
        yield f'{name}_bucket{{kind="{kind}",le="+Inf"}} {figures.count}'
        yield f'{name}_sum{{kind="{kind}"}} {figures.seconds:.9f}'
        yield f'{name}_count{{kind="{kind}"}} {figures.count}'


def _head(name: str, told: str, kind: str) -> list[str]:
    return [f"# HELP {_PREFIX}_{name} {told}", f"# TYPE {_PREFIX}_{name} {kind}"]
