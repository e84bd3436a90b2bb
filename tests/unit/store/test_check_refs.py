"""What a check says of the histories of aliases and of purged chunks, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import limits
from artstore.adapters.lmdb_index import environment, rows
from artstore.format.ids import PLAIN
from artstore.format.reflog import Erasure, Moved, encode_record
from artstore.format.version import encode_move
from artstore.model import Digest, Move
from artstore.store.check import ProblemKind, check
from artstore.store.check.refs import state_of
from artstore.testing.local_store import Opened, create, opened

NAME = "m/prod"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Opened]:
    """A store with two versions and an alias that went to and fro four times."""
    folder = tmp_path / "m"
    folder.mkdir()
    create(tmp_path / "store")
    with opened(tmp_path / "store") as store:
        for text in (b"one", b"two"):
            (folder / "a").write_bytes(text)
            store.commit(folder)
        for number in range(4):
            move_to(store, f"m/v{number % 2 + 1}")
        yield store


def next_move(store: Opened, tag: str, reason: str = "") -> Move:
    with store.context.index.read() as reader:
        alias = reader.alias(NAME)
    seq, source, last = (0, b"", b"") if alias is None else (alias.seq, alias.version, alias.move)
    return Move(NAME, seq + 1, source, store.tags()[tag], 5, "me", "here", reason, False, last)


def move_to(store: Opened, tag: str) -> None:
    with store.context.index.write() as writer:
        writer.put_move(next_move(store, tag))


def moves_of(store: Opened) -> list[Digest]:
    """Newest first."""
    with store.context.index.read() as reader:
        return [id for id, _ in reader.moves(NAME)]


def put_row(store: Opened, id: bytes, move: Move | None) -> None:
    """Damage of the index: another move under an id, or none."""
    path = os.path.join(store.context.path, "index.lmdb")
    below = environment.acquire(path, shared=False, create=False)
    with below.env.begin(write=True, db=below.databases.move) as transaction:
        if move is None:
            transaction.delete(id)
        else:
            transaction.put(id, rows.seal(id, encode_move(move, PLAIN).data))
    environment.release(below)


def messages(store: Opened) -> list[str]:
    report = check(store.context, store.objects)
    assert {problem.kind for problem in report.problems} <= {ProblemKind.REF, ProblemKind.INDEX}
    return [problem.message for problem in report.problems]


def test_a_whole_history(store: Opened) -> None:
    """A sound history would be called broken, and a repair be asked for that mends nothing."""
    assert messages(store) == []


def test_a_missing_move(store: Opened) -> None:
    """A hole in a history would be found by the rollback that needs it."""
    put_row(store, moves_of(store)[2], None)
    assert any(f"the history of {NAME} is broken" in message for message in messages(store))


def test_a_cycle(store: Opened) -> None:
    """Moves that lead to each other would keep a check, or `alias log`, going for ever."""
    newest, older, *_ = moves_of(store)
    with store.context.index.read() as reader:
        move = next(move for _, move in reader.moves(NAME))
    put_row(store, older, Move(NAME, 4, move.source, move.target, 5, "me", "here", "", False, newest))
    assert any("are no chain" in message for message in messages(store))


def test_a_move_under_another_id(store: Opened) -> None:
    """A history could be rewritten without anybody noticing."""
    id = moves_of(store)[2]
    with store.context.index.read() as reader:
        known = reader.move(id)
    assert known is not None
    forged = Move(NAME, known.seq, known.source, known.target, 5, "you", "there", "", False, known.previous)
    put_row(store, id, forged)
    assert f"the history of {NAME} is broken" in messages(store)


def test_a_fork_between_index_and_log(store: Opened) -> None:
    """An index that goes another way than refs.log would be replaced by a rebuild with another answer."""
    other = next_move(store, "m/v1", "another way")
    move_to(store, "m/v1")
    with store.context.index.write() as writer:
        writer.restore(Moved(other))
    assert any(f"tell different things of {NAME}" in message for message in messages(store))


def test_a_fork_within_the_log(store: Opened) -> None:
    """A record that continues no other would pass since the last one is right."""
    with store.context.index.read() as reader:
        sequence = reader.sequence
        head = next(move for _, move in reader.moves(NAME))
    stray = Move(NAME, head.seq, head.source, head.target, 6, "x", "y", "", False, head.previous)
    log = Path(store.context.path) / "refs.log"
    whole = log.read_bytes()
    last = encode_record(sequence, Moved(head))
    assert whole.endswith(last)
    changed = (
        whole.removesuffix(last) + encode_record(sequence, Moved(stray)) + encode_record(sequence + 1, Moved(head))
    )
    log.write_bytes(changed)
    with store.context.index.write() as writer:
        writer.set_log_end(sequence + 1, len(changed))
    assert any("earlier moves of aliases" in message for message in messages(store))


@pytest.mark.parametrize("held", [1, 3, 1 << 18])
def test_purged_chunks(store: Opened, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    """A purge that only one of both knows would be undone by a rebuild; however many are compared at once."""
    monkeypatch.setattr(limits, "CHECK_ERASED_IDS_HELD", held)
    ids = [os.urandom(32) for _ in range(10)]
    for time, some in ((5, ids[:7]), (9, ids[3:])):  # some of them twice
        with store.context.index.write() as writer:
            writer.put_erased(some, time=time, who="me", reason="")
    assert messages(store) == []
    with store.context.index.write() as writer:
        writer.restore(Erasure([os.urandom(32)], 6, "me", ""))
    assert messages(store) == ["index and refs.log tell different things of purged chunks"]


def test_little_is_kept_of_a_long_history() -> None:
    """A store whose alias moves every minute for years could not be checked on a small machine."""
    version, last = Digest(b"\1" * 32), Digest(b"")

    def history() -> Iterator[Moved]:
        nonlocal last
        for seq in range(1, 2001):
            move = Move(NAME, seq, version if last else b"", version, 5, "me", "here", "", False, last)
            last = PLAIN.move(encode_move(move, PLAIN).data)
            yield Moved(move)

    state = state_of(history(), PLAIN)
    assert (state.heads, state.broken) == ({NAME: last}, set())
