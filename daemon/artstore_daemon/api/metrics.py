"""The daemon as Prometheus reads it (text format 0.0.4). Pure but for the process's own memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artstore_daemon.daemon import Daemon

_STATM = "/proc/self/statm"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Sample = tuple[dict[str, str], float]


def render(daemon: Daemon) -> str:
    """All of them."""
    watchings, sendings, followings = daemon.watchings, daemon.sendings, daemon.followings
    told: list[str] = []

    def add(name: str, kind: str, about: str, samples: Iterable[Sample]) -> None:
        told.append(f"# HELP artstore_{name} {about}\n# TYPE artstore_{name} {kind}\n")
        told.extend(f"artstore_{name}{_labels(labels)} {value!r}\n" for labels, value in samples)

    by_watch = [({"artifact": each.spec.artifact}, each) for each in watchings]
    by_remote = [({"artifact": each.spec.artifact, "remote": each.remote}, each) for each in sendings]
    by_alias = [({"alias": each.spec.alias}, each) for each in followings]
    add("daemon_started_seconds", "gauge", "When it began.", [({}, daemon.started)])
    add("daemon_resident_bytes", "gauge", "Memory of the process.", [({}, _resident_bytes())])
    add(
        "watch_pending", "gauge", "Is anything not in a version yet?", [(at, float(w.is_pending)) for at, w in by_watch]
    )
    add("watch_commits_total", "counter", "Versions made.", [(at, w.status.commits) for at, w in by_watch])
    add("watch_folders", "gauge", "Folders that are watched.", [(at, w.status.folders) for at, w in by_watch])
    last = [(at, w.status.last_commit or 0.0) for at, w in by_watch]
    add("watch_last_commit_seconds", "gauge", "When the last version was made.", last)
    add(
        "watch_failing", "gauge", "Did the last commit fail?", [(at, float(bool(w.status.error))) for at, w in by_watch]
    )
    add("push_waiting", "gauge", "Names to be pushed.", [(at, len(s.state.waiting)) for at, s in by_remote])
    add("push_failures", "gauge", "Failures in a row.", [(at, s.state.failures) for at, s in by_remote])
    behind = [(at, float(f.state.wanted != f.state.current)) for at, f in by_alias]
    add("follow_behind", "gauge", "Is another version served than the alias names?", behind)
    failing = [(at, float(bool(f.state.error or f.look_error))) for at, f in by_alias]
    add("follow_failing", "gauge", "Did the last look or step fail?", failing)
    add(
        "follow_looked_seconds",
        "gauge",
        "When the alias was last looked at.",
        [(at, f.looked or 0) for at, f in by_alias],
    )
    return "".join(told)


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _resident_bytes() -> int:
    with open(_STATM, encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES
