"""The counters of the mount: quantiles, errors, what Prometheus reads."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from artstore_fuse.metrics import Figure, Metrics


def values(text: bytes) -> dict[str, float]:
    """Every sample of an exposition by its name with labels."""
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize("seconds", [1e-9, 3.3e-6, 0.00099, 0.5, 3.0])
def test_a_quantile_is_told_within_a_quarter(seconds: float) -> None:
    """Who looks for a slow disk must not be told a figure that is off by a factor."""
    metrics = Metrics()
    for _ in range(99):
        metrics.observe("read", seconds)
    metrics.observe("read", seconds * 1000)
    found = metrics.snapshot()["read"]
    assert found.p50_s is not None
    assert seconds <= found.p50_s * 1.000001 <= seconds * 1.26
    assert found.p99_s == found.p50_s


def test_the_slowest_hundredth_is_seen() -> None:
    """An average would hide the one read in twenty that a training step waits for."""
    metrics = Metrics()
    for number in range(100):
        metrics.observe("read", 1.0 if number % 20 == 0 else 1e-5)
    found = metrics.snapshot()["read"]
    assert found.p50_s is not None
    assert found.p99_s is not None
    assert found.p50_s < 2e-5
    assert found.p99_s >= 1.0


def test_kinds_sizes_and_errors_are_kept_apart() -> None:
    """A failing read must not look like a name that was looked for in vain."""
    metrics = Metrics()
    metrics.observe("read", 0.1, size=4096)
    metrics.observe("read", 0.1, error=errno.EIO)
    metrics.observe("lookup", 0.1, error=errno.ENOENT)
    found = metrics.snapshot()
    assert (found["read"].count, found["read"].bytes, found["read"].errors) == (2, 4096, {"EIO": 1})
    assert found["lookup"].errors == {"ENOENT": 1}
    assert found["lookup"].bytes == 0


def test_a_request_is_in_flight_until_its_end() -> None:
    """A mount that hangs shows what it hangs in."""
    metrics = Metrics()
    with metrics.in_flight("read"), metrics.in_flight("read"):
        assert metrics.snapshot()["read"].in_flight == 2
    with pytest.raises(FileNotFoundError), metrics.in_flight("read"):
        Path("/nowhere/at/all").read_bytes()
    assert metrics.snapshot()["read"].in_flight == 0


def test_counting_is_exact_from_many_threads() -> None:
    """`0 requests reached us` is a promise that is checked by this count."""
    metrics = Metrics()

    def count() -> None:
        for _ in range(5000):
            with metrics.in_flight("read"):
                metrics.observe("read", 1e-6, size=1)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = metrics.snapshot()["read"]
    assert (found.count, found.bytes, found.in_flight) == (20_000, 20_000, 0)


def test_prometheus_reads_what_is_shown() -> None:
    """A scraper refuses a whole page for one line that is not well formed, or a histogram that falls."""
    metrics = Metrics()
    metrics.observe("read", 2e-6, size=10)
    metrics.observe("read", 3.0, error=errno.EIO)
    metrics.observe("getattr", 1000.0)

    def others() -> Iterator[Figure]:
        yield Figure("chunk_hits_total", "Chunks found.", 7)
        yield Figure("start_time_seconds", "When.", 1763942400.25, is_counter=False)

    metrics.include(others)
    text = metrics.render_prometheus()
    for line in text.decode().splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+=\"[^\"]+\"(,[a-z]+=\"[^\"]+\")*\})? \S+", line)
    found = values(text)
    name = "artstore_mount_request_duration_seconds"
    assert found[f'{name}_count{{kind="read"}}'] == 2
    assert found[f'{name}_bucket{{kind="read",le="+Inf"}}'] == 2
    assert found[f'{name}_bucket{{kind="getattr",le="+Inf"}}'] == 1
    read = [value for key, value in found.items() if key.startswith(f'{name}_bucket{{kind="read"')]
    assert read == sorted(read)
    assert (read[0], read[1]) == (0, 1)
    assert found['artstore_mount_request_errors_total{kind="read",errno="EIO"}'] == 1
    assert found["artstore_mount_chunk_hits_total"] == 7
    assert found["artstore_mount_start_time_seconds"] == 1763942400.25
