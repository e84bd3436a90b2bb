"""Eight machines that commit and push into one bucket for minutes, each command of theirs killed now and then.

`ARTSTORE_LONG_S` says for how many seconds; 180 without.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artstore import RemotePlace, Store
from tests.faults.pushers import SECONDS, Pusher

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

PUSHERS = 8


def test_eight_pushers_for_minutes(tmp_path: Path, remote_place: Callable[[str], RemotePlace]) -> None:
    """Whatever was reported is there, whole; every version that has a name is; and the machines agree on the alias."""
    place = remote_place("ceph")
    pushers = [Pusher(number, tmp_path / f"p{number}", random.Random(number)) for number in range(PUSHERS)]
    for pusher in pushers:
        pusher.path.mkdir()
        with Store.init(pusher.store) as store:
            store.add_remote("origin", place)
            if pusher.number == 0:  # else each would have an alias of its own by this name
                (tmp_path / "first").mkdir()
                store.commit(tmp_path / "first", tag="m/first")
                store.set_alias("m/production", "m/first")
                store.push()
            store.fetch()
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(PUSHERS) as pool:
        working = [pool.submit(pusher.work, until) for pusher in pushers]
        for future in working:
            future.result()
    reported = {tag: files for pusher in pushers for tag, files in pusher.reported.items()}
    told = {name: sum(getattr(pusher, name) for pusher in pushers) for name in ("pushes", "killed", "conflicts")}
    print(f"{len(reported)} versions, {told}")
    assert told["killed"] > 0
    assert len(reported) >= PUSHERS
    clone, result = Store.clone(place, tmp_path / "clone", full=True)
    with clone:
        assert not result.conflicts
        assert clone.check(data=True).is_sound
        tags = {tag.name: tag.version for tag in clone.tags()}
        assert reported.keys() <= tags.keys()
        for number, (tag, files) in enumerate(sorted(reported.items())):
            out = tmp_path / "out" / str(number)
            clone.checkout(tag, out)
            assert {path.name: path.read_bytes() for path in out.iterdir()} == files, tag
        there = clone.alias_log("m/production")
    for pusher in pushers:
        with Store.open(pusher.store) as store:
            store.fetch()
            assert store.alias_log("m/production") == there
            assert store.check(data=True).is_sound
