"""What sessions promise (artstore.ports.Sessions): one suite, run by locked files and by their double."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from artstore.adapters.sessions import FileSessions
from artstore.ports import Sessions
from artstore.testing import MemorySessions


@pytest.fixture(params=["files", "memory"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Sessions:
    if request.param == "memory":
        return MemorySessions()
    for name in ("sessions", "tmp"):
        (tmp_path / name).mkdir()
    return FileSessions(str(tmp_path))


def test_a_session_runs_until_it_is_closed(sessions: Sessions) -> None:
    """Collection would unlink what a running commit counts on, or wait for one that has ended."""
    assert sessions.running() == []
    with sessions.begin() as first:
        second = sessions.begin()
        assert {id for id, _ in sessions.running()} == {first.id, second.id}
        assert all(start > 1_600_000_000 * 10**9 for _, start in sessions.running())
        second.close()
        second.close()
        assert [id for id, _ in sessions.running()] == [first.id]
    assert sessions.running() == []


def test_clean_up_leaves_running_sessions_alone(sessions: Sessions) -> None:
    """`gc` beside a commit would delete its packs."""
    with sessions.begin() as session:
        assert sessions.clean() == 0
        assert [id for id, _ in sessions.running()] == [session.id]


def test_pack_ids_are_never_given_twice(sessions: Sessions) -> None:
    """A pack would be overwritten by another one [I6]."""
    with sessions.begin() as first, sessions.begin() as second:
        seen: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: seen.extend(first.next_pack_id() for _ in range(500))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen += [second.next_pack_id() for _ in range(100)]
        assert len(set(seen)) == 2100
        assert {len(pack) for pack in seen} == {16}
        assert {pack[:12] for pack in seen} == {first.id, second.id}
        assert sorted(int.from_bytes(pack[12:], "big") for pack in seen[:2000]) == list(range(2000))
