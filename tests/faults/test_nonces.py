"""No nonce is ever used twice under a key: whatever is killed, forked, sent again, or done by several at once.

AES-GCM would give away both messages, and the key that authenticates all others of that object.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore import Store, limits
from artstore.adapters.disk import faultpoints
from artstore.errors import ArtstoreError, Busy, Conflict, NoSpace, UsageError
from artstore.format import keyring
from artstore.format.sealed import SEGMENT_BYTES
from artstore.model import PackId, RemotePlace
from artstore.ports import Buffer
from artstore.store.sealed import SealedPacks
from artstore.store.sealed.packs import SealedSink
from artstore.testing.faults import Faults, FaultyPacks
from artstore.testing.memory import MemoryPacks
from artstore.testing.nonces import Nonces, watched
from artstore.testing.sealing import CHEAP, keychain

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # children are forked off
SECRET = "open sesame"
COMMITTED = ("pack.created", "pack.written", "pack.fsynced", "pack.renamed", "index.before_commit", "session.begun")
PUSHED = ("remote.written", "remote.renamed", "index.after_commit")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost nothing, and several packs of each kind."""
    for function in (keyring.new_ring, keyring.add_slot):
        defaults = function.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "cost", CHEAP)
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", 300_000)
    monkeypatch.setattr(limits, "METAPACK_BYTES_TARGET", 4_000)


@pytest.fixture
def nonces(tmp_path: Path) -> Generator[Nonces]:
    with watched(tmp_path / "nonces") as nonces:
        yield nonces


@pytest.fixture
def place(tmp_path: Path) -> RemotePlace:
    return RemotePlace(url=f"file://{tmp_path / 'remote'}")


@pytest.fixture
def store(tmp_path: Path, place: RemotePlace, nonces: Nonces) -> Path:
    """A store with a home, where its first version is."""
    with Store.init(tmp_path / "store", encrypt=SECRET) as made:
        made.add_remote("origin", place)
        made.commit(filled(tmp_path / "m", 0))
        made.push()
    return tmp_path / "store"


def filled(folder: Path, seed: int, size: int = 700_000) -> Path:
    """A folder with much that is new, and some that stays."""
    folder.mkdir(exist_ok=True)
    (folder / "stays").write_bytes(random.Random(1).randbytes(100_000))
    (folder / "new").write_bytes(random.Random(seed).randbytes(size))
    for number in range(10):
        (folder / f"small-{number}").write_bytes(random.Random(seed + number).randbytes(900))
    return folder


def begun(work: Callable[[], object], point: str = "") -> int:
    """A process that does some work, and is killed when it comes to a point; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        faultpoints.arm(point)
        work()
        code = 0
    except (Busy, Conflict):
        code = 0  # another one was quicker
    finally:
        os._exit(code)


def ended(*children: int) -> set[int]:
    """Their exit codes, or the signals that killed them."""
    return {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}


def sweep(store: Path, tmp_path: Path, points: Sequence[tuple[str, int]]) -> int:
    """Commits and pushes killed at points, and begun again; how many were killed."""
    kills = 0

    def work(seed: int) -> None:
        with Store.open(store, passphrase=SECRET) as opened:
            opened.commit(filled(tmp_path / "m", seed))
            opened.push()

    for seed, (point, count) in enumerate(points, start=10):
        codes = ended(begun(lambda seed=seed: work(seed), f"{point}:{count}"))  # type: ignore[misc]  # a default
        assert codes <= {0, -signal.SIGKILL}
        kills += -signal.SIGKILL in codes
        assert ended(begun(lambda seed=seed: work(seed))) == {0}  # type: ignore[misc]  # the same
    return kills


def whole(place: RemotePlace, at: Path) -> None:
    """A clone of all of it is sound."""
    clone, _ = Store.clone(place, at, full=True, passphrase=SECRET)
    with clone:
        assert clone.check(data=True).is_sound


def test_killed_and_begun_again(store: Path, place: RemotePlace, nonces: Nonces, tmp_path: Path) -> None:
    """What was written before a crash would be sealed once more with the same nonces, over other bytes."""
    points = [(point, 1) for point in COMMITTED[::2]] + [(point, 3) for point in PUSHED]
    assert sweep(store, tmp_path, points) == len(points)
    whole(place, tmp_path / "clone")
    assert nonces.check() > 300
    assert nonces.keys > 100


@pytest.mark.long
def test_killed_everywhere(store: Path, place: RemotePlace, nonces: Nonces, tmp_path: Path) -> None:
    """The same at each point, at each of the first times that it is reached."""
    points = [(point, count) for point in (*COMMITTED, *PUSHED) for count in range(1, 13)]
    assert sweep(store, tmp_path, points) > 40
    whole(place, tmp_path / "clone")
    assert nonces.check() > 5_000


def test_forked_in_the_midst_of_a_pack(
    store: Path, nonces: Nonces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parent and child would go on with one salt, each with bytes of its own."""
    append, calls, lock = SealedSink.append, list[int](), threading.Lock()
    codes: set[int] = set()

    def forking(sink: SealedSink, buffers: Sequence[Buffer]) -> int:
        with lock:
            calls.append(0)
            number = len(calls)
        if number % 3 == 2:
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                code = 1
                try:
                    append(sink, [b"other bytes " * SEGMENT_BYTES])
                except UsageError:
                    monkeypatch.setattr(SealedSink, "append", append)
                    with Store.open(store, passphrase=SECRET) as own:
                        own.commit(filled(tmp_path / f"child-{number}", number, 100_000))
                    code = 0
                finally:
                    os._exit(code)
            codes.update(ended(child))
        return append(sink, buffers)

    monkeypatch.setattr(SealedSink, "append", forking)
    with Store.open(store, passphrase=SECRET) as opened:
        opened.commit(filled(tmp_path / "m", 77))
        assert codes == {0}, "a child that was forked off makes its own commit, and no other"
        assert opened.check(data=True).is_sound
    assert len(calls) > 3
    assert nonces.check() > 50


def test_several_processes_and_rotations(store: Path, place: RemotePlace, nonces: Nonces, tmp_path: Path) -> None:
    """Two processes, or two keys that follow each other, would share a salt."""

    def commit(number: int) -> None:
        with Store.open(store, passphrase=SECRET) as opened:
            for turn in range(3):
                opened.commit(filled(tmp_path / f"p{number}", 100 * number + turn, 300_000))
                opened.push()

    def turn_keys() -> None:
        for _ in range(5):
            with Store.open(store, passphrase=SECRET) as opened:
                opened.rotate_keys()

    children = [begun(lambda number=number: commit(number)) for number in range(1, 4)]  # type: ignore[misc]  # a default
    children += [begun(turn_keys), begun(turn_keys)]
    assert ended(*children) == {0}
    with Store.open(store, passphrase=SECRET) as opened:
        opened.push()
        assert opened.check(data=True).is_sound
        assert opened.context.keychain is not None
        assert opened.context.keychain.keys.epoch > 5
    whole(place, tmp_path / "clone")
    assert nonces.check() > 250


def test_collection_repack_and_repair(store: Path, place: RemotePlace, nonces: Nonces, tmp_path: Path) -> None:
    """What is copied or saved would be sealed with the salt that it had."""
    with Store.open(store, passphrase=SECRET) as opened:
        for seed in range(3):
            opened.commit(filled(tmp_path / "m", seed))
            opened.push()
        opened.remove("m/v2")
        opened.gc(opened.gc_plan(now=True), now=True)
        opened.push()
        with opened.remote_repack() as job:
            job.run(job.plan())
        opened.remote_gc()
        pack = max((store / "packs").rglob("*.pack"), key=lambda path: path.stat().st_size)
        data = bytearray(pack.read_bytes())
        data[40_000] ^= 1
        pack.write_bytes(data)
    with Store.open(store, passphrase=SECRET) as opened:
        report = opened.check(data=True)
        assert not report.is_sound
        opened.repair(report)
        opened.repair_from_remotes()
        (remote_pack, *_) = sorted((tmp_path / "remote" / "p").rglob("????????"), key=lambda path: path.stat().st_size)
        remote_pack.write_bytes(remote_pack.read_bytes()[:-1] + b"?")
        opened.repair_at_remote(data=True)
        opened.evict()
        opened.checkout("m", tmp_path / "out")
    whole(place, tmp_path / "clone")
    assert nonces.check() > 1000


# --- one process, any order


WRITES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3 * SEGMENT_BYTES)), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITES, st.integers(0, 12), st.booleans())
def test_any_order_of_writes(tmp_path: Path, writes: list[tuple[int, int]], fault: int, lasting: bool) -> None:
    """A disk that is full in the midst of a pack, or whoever goes on after that, would have a nonce used twice."""
    path = tmp_path / os.urandom(4).hex()
    with watched(path) as nonces:
        faults = Faults(fault, lasting=lasting)
        packs, keys = FaultyPacks(MemoryPacks(), faults), keychain()
        sealed = SealedPacks(packs, keys)
        for number, (what, size) in enumerate(writes):
            pack = PackId(os.urandom(16))
            try:
                sink = sealed.create(pack)
            except ArtstoreError:
                continue
            for turn in range(what + 1):
                for again in range(2):  # who doesn't heed an error
                    try:
                        sink.append([bytes([number, turn, again]) * (size // 3)])
                        if what == turn:
                            sink.seal()
                    except (NoSpace, UsageError):
                        continue
        nonces.check()


def test_the_watch_sees_what_it_looks_for(tmp_path: Path) -> None:
    """The tests above could not fail."""
    with watched(tmp_path / "nonces") as nonces:
        header, segments = keychain().begin(b"packs/00")
        assert header
        segments.seal(memoryview(b"one"), first=0, ends=True)
        assert nonces.check() > 2, "those of the keyring, too"
        segments.seal(memoryview(b"two"), first=0, ends=True)
        with pytest.raises(AssertionError, match="twice"):
            nonces.check()
