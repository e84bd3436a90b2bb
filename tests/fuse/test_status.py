"""What a mount tells of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from artstore import __version__, limits
from artstore_fuse.metrics import Metrics
from artstore_fuse.status import Place, Status, installed_release


@dataclass
class Counts:
    """A cache's counters."""

    hits: int = 3
    misses: int = 2
    decoded_bytes: int = 1 << 20
    requested: int = 5
    failed: int = 1


PLACE = Place(store="/data/store", store_id="3f2a9c1e", mountpoint="/models")


def told(status: Status) -> dict[str, Any]:
    """The document, decoded."""
    document: dict[str, Any] = json.loads(status.render())
    return document


def test_status_tells_what_is_mounted_and_how_it_fares() -> None:
    """The first thing anybody asks of a mount that seems slow."""
    clock = [1000.0]
    metrics = Metrics()
    status = Status(metrics, Counts(), PLACE, now=lambda: clock[0])
    metrics.observe("read", 0.001, size=4096)
    clock[0] = 1060.0
    found = told(status)
    assert found["schema"] == "artstore-mount/1"
    assert (found["store"], found["store_id"], found["mountpoint"]) == ("/data/store", "3f2a9c1e", "/models")
    assert (found["started"], found["uptime_s"]) == ("1970-01-01T00:16:40.000+00:00", 60.0)
    assert found["requests"]["read"]["count"] == 1
    assert 0.001 <= found["requests"]["read"]["p99_s"] < 0.0013
    assert found["chunks"] == {"hits": 3, "misses": 2, "decoded_bytes": 1 << 20, "requested": 5, "failed": 1}
    assert found["memory_bytes"] > 1 << 20


@pytest.mark.parametrize(("installed", "upgrade"), [(__version__, False), ("99.0", True), (None, False)])
def test_an_upgrade_under_a_running_mount_is_flagged(installed: str | None, upgrade: bool) -> None:
    """A mount runs for months; a bug that an upgrade mended would go on without a word."""
    found = told(Status(Metrics(), Counts(), PLACE, installed=lambda: installed))
    assert (found["release"], found["installed"], found["upgrade"]) == (__version__, installed, upgrade)


def test_the_installed_release_is_read_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running process has imported its own; asking that would never show another."""
    assert installed_release() == __version__
    newer = tmp_path / "_version.py"
    newer.write_text('VERSION: Final = "99.1"\n')
    monkeypatch.setattr("artstore._version.__file__", str(newer))
    assert installed_release() == "99.1"
    newer.unlink()
    assert installed_release() is None


def test_troubles_are_listed_newest_and_counted_all() -> None:
    """A disk that dies makes thousands; memory must not grow by them, and the count must not lie."""
    metrics = Metrics()
    status = Status(metrics, Counts(), PLACE)
    count = limits.MOUNT_TROUBLES_TOLD_MAX + 5
    for number in range(count):
        status.note_broken(f"m/v1:{number}", "chunk is corrupt")
        status.note_slow("read", f"m/v1:{number}", 2.5)
    found = told(status)
    assert (found["broken_count"], len(found["broken"])) == (count, limits.MOUNT_TROUBLES_TOLD_MAX)
    assert found["broken"][-1]["name"] == f"m/v1:{count - 1}"
    assert (found["slow_count"], len(found["slow"])) == (count, limits.MOUNT_TROUBLES_TOLD_MAX)
    assert found["slow"][-1]["seconds"] == 2.5
    assert f"artstore_mount_broken_reads_total {count}".encode() in metrics.render_prometheus()


def test_metrics_show_the_cache_too() -> None:
    """One address to scrape, not two."""
    metrics = Metrics()
    status = Status(metrics, Counts(), PLACE)
    assert status.render()
    text = metrics.render_prometheus().decode()
    assert "artstore_mount_chunk_hits_total 3\n" in text
    assert "# TYPE artstore_mount_memory_bytes gauge" in text
