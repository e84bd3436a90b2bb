"""Eight machines that push to one bucket and remove names there, while two collect, all of them killed now and then.

The collectors repack, too.

`ARTSTORE_LONG_S` says for how many seconds; 180 without. What takes a day takes seconds here.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from artstore import RemotePlace, Store
from artstore.format.remote import GC_KEY, GcState, decode_remote, encode_remote
from artstore.wiring import reaching
from tests.faults.pushers import BUSY, SECONDS, Pusher

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

PUSHERS = 8
COLLECTORS = 2
GRACE_S = 12


@dataclass
class Collector:
    """One machine that collects. Its runs are killed, or stopped for longer than the grace, now and then."""

    store: Path
    random: random.Random
    runs: int = 0
    killed: int = 0
    stopped: int = 0
    busy: int = 0
    repacks: int = 0

    def work(self, until: float) -> None:
        """Collect until then."""
        while time.monotonic() < until:
            self.run()

    def run(self) -> None:
        """One run."""
        words = [
            sys.executable,
            "-P",
            "-m",
            "artstore",
            "--store",
            str(self.store),
            "gc",
            "--remote",
            "origin",
            "--yes",
        ]
        repacks = self.random.random() < 0.4
        if repacks:
            words.append("--repack")
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        fate = self.random.random()
        if fate < 0.3:
            try:
                process.wait(self.random.uniform(0.4, 2.0))
            except subprocess.TimeoutExpired:
                if fate < 0.15:
                    process.kill()
                    self.killed += 1
                else:
                    process.send_signal(signal.SIGSTOP)
                    time.sleep(1.5 * GRACE_S)
                    process.send_signal(signal.SIGCONT)
                    self.stopped += 1
        _, err = process.communicate(timeout=600)
        if process.returncode == BUSY:
            self.busy += 1
        elif process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, err
            self.runs += 1
            self.repacks += repacks


def packs_at(place: RemotePlace) -> dict[str, int]:
    """What lies there, with its size."""
    remote = reaching.open_remote(place)
    try:
        return {found.key: found.size for kind in ("p/", "m/", "x/") for found in remote.list(kind)}
    finally:
        remote.close()


def shorten_grace(store: Store, place: RemotePlace) -> None:
    """Have collection take seconds instead of days."""
    remote = reaching.open_remote(place, None, store.context.keychain)
    found = remote.get(GC_KEY)
    assert found is not None
    remote.put(GC_KEY, encode_remote(msgspec.structs.replace(decode_remote(GcState, found.data), grace=GRACE_S)))
    remote.close()


def test_pushers_and_collectors_for_minutes(tmp_path: Path, remote_place: Callable[[str], RemotePlace]) -> None:
    """What has a name is there, whole, whatever was collected meanwhile; and what has none goes in the end."""
    place = remote_place("ceph")
    pushers = [
        Pusher(number, tmp_path / f"p{number}", random.Random(number), removes=True) for number in range(PUSHERS)
    ]
    stores = [*(pusher.store for pusher in pushers), *(tmp_path / f"c{number}" for number in range(COLLECTORS))]
    collectors = [Collector(path, random.Random(100 + n)) for n, path in enumerate(stores[PUSHERS:])]
    for path in stores:
        path.parent.mkdir(exist_ok=True)
        with Store.init(path) as store:
            store.add_remote("origin", place)
            if path is stores[0]:
                (tmp_path / "first").mkdir()
                store.commit(tmp_path / "first", tag="m/first")
                store.set_alias("m/production", "m/first")
                store.push()
            store.fetch()
    with Store.open(stores[0]) as store:
        shorten_grace(store, place)
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(PUSHERS + COLLECTORS) as pool:
        working = [pool.submit(pusher.work, until) for pusher in pushers]
        working += [pool.submit(collector.work, until) for collector in collectors]
        for future in working:
            future.result()
    _require_whole(place, pushers, tmp_path)
    before = sum(packs_at(place).values())
    for _ in range(4):  # nobody pushes any more
        time.sleep(GRACE_S + 2)
        with Store.open(stores[-1]) as store:
            store.remote_gc()
    with Store.open(stores[-1]) as store:
        step = store.remote_gc_plan().step
    garbage = [*step.begun, *step.waiting, *step.deleting, *step.young, *step.left]
    assert garbage == []
    clone = _require_whole(place, pushers, tmp_path / "after")
    kept, freed = sum(packs_at(place).values()), before - sum(packs_at(place).values())
    told = {
        name: sum(getattr(each, name) for each in collectors)
        for name in ("runs", "repacks", "killed", "stopped", "busy")
    }
    pushes = {name: sum(getattr(each, name) for each in pushers) for name in ("pushes", "killed", "conflicts")}
    print(f"{clone} versions whole, {kept} bytes kept, {freed} freed at the end; collectors {told}; pushers {pushes}")
    assert told["runs"] > told["repacks"] > 0
    assert pushes["killed"] > 0


def _require_whole(place: RemotePlace, pushers: list[Pusher], path: Path) -> int:
    """Every name there leads to just what was committed under it; how many there are."""
    clone, result = Store.clone(place, path / "clone", full=True)
    with clone:
        assert not result.conflicts
        assert clone.check(data=True).is_sound
        tags = {tag.name for tag in clone.tags()}
        for pusher in pushers:
            assert pusher.reported.keys() - pusher.removed <= tags
            for tag, files in pusher.reported.items():
                if tag in tags:
                    out = path / "out" / tag
                    clone.checkout(tag, out)
                    assert {each.name: each.read_bytes() for each in out.iterdir()} == files, tag
    return len(tags)
