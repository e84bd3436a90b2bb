"""What Prometheus reads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from artstore import Store
from artstore.model import RemotePlace
from artstore_daemon import settings
from artstore_daemon.settings import FollowSpec
from tests.daemon.api.serving import Serving, until
from tests.daemon.live import spec

SAMPLE = re.compile(r'(artstore_\w+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (-?[0-9.e+-]+)')
GAUGES = {
    "daemon_resident_bytes",
    "daemon_started_seconds",
    "follow_behind",
    "follow_failing",
    "follow_looked_seconds",
    "push_failures",
    "push_waiting",
    "watch_failing",
    "watch_folders",
    "watch_last_commit_seconds",
    "watch_pending",
}


def parsed(text: str) -> tuple[dict[str, str], dict[str, float]]:
    """The kinds of the metrics, and their samples by name and labels; everything else is an error."""
    kinds: dict[str, str] = {}
    samples: dict[str, float] = {}
    helped = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split()[2]
            assert helped not in kinds
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == helped
            kinds[name] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            assert found[1] == helped, "samples stand together, below what tells of them"
            assert found[1] + (found[2] or "") not in samples
            samples[found[1] + (found[2] or "")] = float(found[3])
    return kinds, samples


def test_all_of_it_is_read(serving: Serving, store: Store, folder: Path, tmp_path: Path) -> None:
    """Nobody would be called when a folder hasn't become a version, or a version hasn't been pushed, for a week."""
    store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    settings.add_follow(store.path, FollowSpec("m/production", str(tmp_path / "served"), poll_s=1.0))
    serving.client.post("/v1/reload")
    (folder / "file").write_bytes(b"1")

    def read() -> tuple[dict[str, str], dict[str, float]]:
        return parsed(serving.client.get("/metrics"))

    until(lambda: read()[1]['artstore_watch_commits_total{artifact="m"}'] == 1)
    until(lambda: read()[1]['artstore_push_waiting{artifact="m",remote="origin"}'] == 0)
    until(lambda: read()[1]['artstore_follow_failing{alias="m/production"}'] == 1)  # there is no such alias yet
    store.set_alias("m/production", "m/v1")
    until(lambda: read()[1]['artstore_follow_failing{alias="m/production"}'] == 0)
    until(lambda: read()[1]['artstore_follow_behind{alias="m/production"}'] == 0)
    kinds, samples = read()
    assert kinds == {
        **{f"artstore_{name}": "gauge" for name in GAUGES},
        "artstore_watch_commits_total": "counter",
    }
    assert samples["artstore_daemon_resident_bytes"] > 1 << 20
    assert samples['artstore_watch_last_commit_seconds{artifact="m"}'] > 1e9
    assert samples['artstore_watch_failing{artifact="m"}'] == 0


def test_an_odd_name_breaks_no_line(serving: Serving, store: Store, folder: Path) -> None:
    """One odd word in a config that was written by hand would hide all metrics."""
    settings.add_watch(store.path, spec("m", folder, paused=True))
    serving.client.post("/v1/reload")
    watching = serving.call(lambda: serving.daemon.watchings[0])
    watching.spec = replace(watching.spec, artifact='a"b\\c\nd')
    _, samples = parsed(serving.client.get("/metrics"))
    assert 'artstore_watch_commits_total{artifact="a\\"b\\\\c\\nd"}' in samples
