"""The n-th call of a port fails, for n = 1, 2, … until a run meets no failure: a clear error, and nothing lost.

The commits are real ones, on a real store with packs so small that each kind is sealed several times.
"""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import limits
from artstore.adapters.lmdb_index.index import LmdbIndex
from artstore.adapters.lmdb_index.refs_log import RefsLog
from artstore.adapters.packs import FilePacks
from artstore.errors import ArtstoreError, Busy, Conflict, NoSpace
from artstore.format.reflog import LogRecord
from artstore.model import Digest, Metadata, PackId
from artstore.ports import Buffer, IndexWriter, PackFiles, PackSink, Session, Sessions
from artstore.store import refs
from artstore.store.commit import Addition, CommitResult, Naming, Said, commit, edit
from artstore.store.objects import Objects
from artstore.testing.faults import Faults, FaultyIndex, FaultyPacks, FaultyPackSink
from artstore.testing.local_store import Opened, create, files_of, opened

CALLS_MAX = 400  # a sweep that gets this far never meets a run without a failure
NAMING, SAID = Naming(artifact="m"), Said("", "me", Metadata())

Content = dict[bytes, bytes]
Act = Callable[[Opened], CommitResult]


class FaultySessions:
    """Sessions that may fail to begin."""

    def __init__(self, sessions: Sessions, faults: Faults) -> None:
        self._sessions = sessions
        self._faults = faults

    def begin(self) -> Session:
        self._faults.reach("sessions.begin")
        return self._sessions.begin()

    def running(self) -> list[tuple[bytes, int]]:
        return self._sessions.running()

    def clean(self) -> int:
        return self._sessions.clean()


class FaultyLog(RefsLog):
    """A log that may fail to be cut, to take records or half of them, or to say that it took them."""

    def __init__(self, path: str, faults: Faults) -> None:
        super().__init__(path)
        self._faults = faults

    def cut(self, end: int, sequence: int) -> None:
        self._faults.reach("log.cut")
        super().cut(end, sequence)

    def append(self, data: bytes, *, end: int) -> None:
        self._faults.reach("log.append")
        super().append(data[: len(data) // 2], end=end)
        self._faults.reach("log.half")
        super().append(data, end=end)
        self._faults.reach("log.appended")


OURS = "artstore"  # how the names of a commit's threads begin; those of a service that other tests ask are there, too


@pytest.fixture
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches, and several packs of each kind, from little data."""
    monkeypatch.setattr(limits, "BATCH_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "BATCH_FILES_MAX", 40)
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", 150_000)
    monkeypatch.setattr(limits, "METAPACK_BYTES_TARGET", 2_000)
    monkeypatch.setattr(limits, "DIRECT_BLOCK_BYTES", 16_384)


def fill(folder: Path, seed: int) -> Content:
    """New content under the same names."""
    rng = random.Random(seed)
    for number in range(60):
        path = folder / f"d{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(1, 3000)))
    (folder / "big").write_bytes(rng.randbytes(400_000))
    return files_of(folder)


def faulty(store: Opened, faults: Faults) -> Opened:
    """The same store behind ports that may fail, with nothing remembered."""
    context = replace(
        store.context,
        index=FaultyIndex(store.context.index, faults),
        packs=FaultyPacks(store.context.packs, faults),
        sessions=FaultySessions(store.context.sessions, faults),
    )
    return Opened(context, Objects(context))


def assert_nothing_is_left(store: Opened) -> None:
    """No thread, temporary file, session or snapshot outlives a commit that failed."""
    others = [thread.name for thread in threading.enumerate() if thread.name.startswith(OURS)]
    assert not others
    assert not list((Path(store.context.path) / "tmp").iterdir())
    assert not list((Path(store.context.path) / "sessions").iterdir())
    index = store.context.index
    assert isinstance(index, LmdbIndex)
    # Lines of pid, thread, snapshot or "-".
    readers = index._current().env.readers().splitlines()[1:]  # pyright: ignore[reportPrivateUsage]  # LMDB's own list
    assert {line.split()[2] for line in readers} <= {"-"}, "a snapshot of the index is still held"


def open_files(store: Opened) -> int:
    """How many files this process has open, sealed packs apart."""
    assert isinstance(store.context.packs, FilePacks)
    store.context.packs.close()
    return len(os.listdir("/proc/self/fd"))


def assert_earlier_versions(store: Opened, before: dict[str, bytes], first: Content, attempt: Content) -> None:
    """What was there is there; what was not reported is absent, or whole."""
    tags = store.tags()
    made = {name: tags[name] for name in tags.keys() - before.keys()}
    assert {name: tags[name] for name in before} == before
    assert [store.content(version) for version in made.values()] in ([], [attempt])
    assert store.content(tags["m/v1"]) == first


def attempted(store: Opened, faults: Faults, act: Act) -> None:
    """Act behind faulty ports; the error, if any, is the fault's own and leaves nothing behind."""
    files = open_files(store)
    raised: ArtstoreError | None = None
    try:
        act(faulty(store, faults))
    except ArtstoreError as error:
        raised = error
    assert faults.hit == (raised is not None), "a failure was passed over"
    assert raised is None or "fault at call" in raised.message
    assert_nothing_is_left(store)
    assert open_files(store) == files


def sweep(path: Path, prepare: Callable[[int], Content], act: Act, error: type[ArtstoreError], lasting: bool) -> Faults:
    """Act with the n-th call failing until nothing fails, looking each time at what was left.

    `prepare(n)` changes what is committed, and says what has to come out. Returns the calls of the run that succeeded.
    """
    with opened(path) as store:
        first = store.content(store.tags()["m/v1"])
    for number in range(1, CALLS_MAX):
        attempt = prepare(number)
        faults = Faults(number, lasting=lasting, error=error)
        with opened(path) as store:
            before = store.tags()
            attempted(store, faults, act)
        with opened(path) as again:
            assert_earlier_versions(again, before, first, attempt)
            made = act(again)
            assert made.version is not None
            assert again.content(made.version) == attempt
        if not faults.hit:
            return faults
    pytest.fail("no run was free of failures")


@pytest.mark.plain("counts the calls of packs as they are")
@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize(("error", "lasting"), [(NoSpace, False), (NoSpace, True), (Busy, False)])
def test_each_call_of_a_commit_fails(tmp_path: Path, error: type[ArtstoreError], lasting: bool) -> None:
    """A disk that fills up or fails in the middle of a commit would hang it, spoil the store, or lose a version."""
    folder, path = tmp_path / "folder", tmp_path / "store"
    create(path)
    fill(folder, 0)
    with opened(path) as store:
        store.commit(folder)
    faults = sweep(path, lambda number: fill(folder, number), lambda store: store.commit(folder), error, lasting)
    kinds = {"sessions.begin", "packs.create", "packs.read", "sink.append", "sink.seal", "sink.sealed"}
    assert set(faults.calls) >= kinds | {"index.read", "index.write", "index.commit", "index.committed"}
    assert faults.calls.count("packs.create") >= 5, "too few packs for a sweep"


@pytest.mark.usefixtures("_small_limits")
def test_what_can_t_be_cleaned_up_does_not_hide_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would be reported as the temporary file that could not be removed, and other files be left."""
    create(tmp_path / "store")
    (tmp_path / "folder").mkdir()
    fill(tmp_path / "folder", 0)
    aborted: list[PackId] = []

    def abort(sink: FaultyPackSink) -> None:
        aborted.append(sink.id)
        raise Busy("the temporary file stays")

    monkeypatch.setattr(FaultyPackSink, "abort", abort)
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", limits.MIB)  # one of each kind is open at the end
    faults = Faults(0)
    with opened(tmp_path / "store") as store:
        monkeypatch.setattr(Faults, "reach", _full)
        with pytest.raises(NoSpace, match="the disk is full") as caught:
            faulty(store, faults).commit(tmp_path / "folder")
    assert len(set(aborted)) == len(aborted) >= 1
    assert any("the temporary file stays" in note for note in caught.value.__notes__)


def _full(faults: Faults, name: str) -> None:
    faults.calls.append(name)
    if name == "sink.seal":
        raise NoSpace("the disk is full")


@pytest.mark.plain("counts the calls of packs as they are")
@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize("lasting", [False, True])
def test_each_call_of_an_edit_fails(tmp_path: Path, lasting: bool) -> None:
    """`commit --base` would publish a version that lacks what it took over, or what was added."""
    folder, path, added = tmp_path / "folder", tmp_path / "store", tmp_path / "added"
    create(path)
    content = fill(folder, 0)
    with opened(path) as store:
        base = store.commit(folder).version
    assert base is not None

    def prepare(number: int) -> Content:
        added.write_bytes(random.Random(number).randbytes(50_000))
        return {name: data for name, data in content.items() if name != b"big"} | {b"d1/new": added.read_bytes()}

    def act(store: Opened) -> CommitResult:
        additions = [Addition(b"d1/new", os.fsencode(added))]
        context, objects = store.context, store.objects
        return edit(context, objects, base, additions=additions, removals=[b"big"], naming=NAMING, said=SAID)

    faults = sweep(path, prepare, act, NoSpace, lasting)
    assert faults.calls.count("packs.read") >= 3


@pytest.mark.plain("counts the calls of packs as they are")
@pytest.mark.usefixtures("_small_limits")
def test_each_call_of_a_commit_from_a_stream_fails(tmp_path: Path) -> None:
    """What was piped in would lie in the store's temporary folder for ever."""
    path, folder = tmp_path / "store", tmp_path / "folder"
    create(path)
    fill(folder, 0)
    with opened(path) as store:
        store.commit(folder)
    piped = b""

    def prepare(number: int) -> Content:
        nonlocal piped
        piped = random.Random(number).randbytes(300_000)
        return {b"stdin": piped}

    def act(store: Opened) -> CommitResult:
        return commit(store.context, store.objects, io.BytesIO(piped), naming=NAMING, said=SAID)

    sweep(path, prepare, act, NoSpace, False)


class LateSealing(FaultyPacks):
    """Packs of which none can be sealed; that shows when the commit, done with reading, hands over its last pack."""

    def __init__(self, packs: PackFiles) -> None:
        super().__init__(packs, Faults(0))
        self.handing_over = threading.Event()

    def create(self, pack: PackId) -> PackSink:
        return LateSealingSink(super().create(pack), self.handing_over)


class LateSealingSink(FaultyPackSink):
    """One of them."""

    def __init__(self, sink: PackSink, handing_over: threading.Event) -> None:
        super().__init__(sink, Faults(0))
        self._handing_over = handing_over

    def append(self, buffers: Sequence[Buffer]) -> int:
        if threading.current_thread() is threading.main_thread():
            self._handing_over.set()
            for thread in threading.enumerate():
                if thread.name == "artstore-seal":
                    thread.join()
        return super().append(buffers)

    def seal(self) -> None:
        assert self._handing_over.wait(60)
        raise NoSpace("the disk is full")


@pytest.mark.usefixtures("_small_limits")
def test_a_failure_behind_the_back_of_the_last_pack(tmp_path: Path) -> None:
    """A full disk would be reported as an error without a word, or as a bug."""
    folder, path = tmp_path / "folder", tmp_path / "store"
    folder.mkdir()
    (folder / "f").write_bytes(random.Random(1).randbytes(limits.PACK_BYTES_TARGET * 3 // 2))
    create(path)
    with opened(path) as store:
        context = replace(store.context, packs=LateSealing(store.context.packs))
        with pytest.raises(NoSpace, match="the disk is full"):
            Opened(context, Objects(context)).commit(folder)
        assert_nothing_is_left(store)


def moves(store: Opened, alias: str) -> list[bytes]:
    """The targets of an alias, newest first."""
    with store.context.index.read() as reader:
        return [move.target for _, move in reader.moves(alias)]


def assert_the_log_says_the_same(store: Opened) -> None:
    """Refs can be restored from the log up to where the index knows it, and no record is torn below that."""
    with store.context.index.read() as reader:
        known, records = reader.sequence, list(reader.ref_records())
    logged = [each for each in store.context.index.log.records() if isinstance(each, LogRecord)]
    assert [each.seq for each in logged][:known] == list(range(1, known + 1))
    assert sorted(map(repr, records)) == sorted(repr(each.record) for each in logged[:known])


@pytest.mark.parametrize("lasting", [False, True])
def test_each_call_of_a_move_fails(tmp_path: Path, lasting: bool) -> None:
    """A failed `tag` or `alias set` would leave a ref that its log doesn't know, or one that names nothing."""
    folder, path = tmp_path / "folder", tmp_path / "store"
    folder.mkdir()
    create(path)
    versions: list[Digest] = []
    with opened(path) as store:
        for number in range(2):
            (folder / "f").write_bytes(b"%d" % number)
            made = store.commit(folder).version
            assert made is not None
            versions.append(made)

    def move(writer: IndexWriter, number: int) -> None:
        refs.set_tag(writer, f"m/n{number}", versions[0], now=number)
        refs.set_alias(writer, "m/live", versions[number % 2], who="me", host="here", now=number)

    for number in range(1, CALLS_MAX):
        faults = Faults(number, lasting=lasting)
        with opened(path) as store:
            index = store.context.index
            assert isinstance(index, LmdbIndex)
            sound, index.log = index.log, FaultyLog(index.log.path, faults)
            tags, live = store.tags(), moves(store, "m/live")
            try:
                with FaultyIndex(index, faults).write() as writer:
                    move(writer, number)
            except NoSpace:
                assert faults.hit
            index.log = sound
        with opened(path) as again:
            both = (again.tags().keys() - tags.keys() == {f"m/n{number}"}, moves(again, "m/live") != live)
            assert both in ((False, False), (True, True)), "half of a transaction is visible"
            assert_the_log_says_the_same(again)
            with again.context.index.write() as writer:
                move(writer, number)
            assert again.tags()[f"m/n{number}"] == versions[0]
            assert moves(again, "m/live")[0] == versions[number % 2]
            assert_the_log_says_the_same(again)
        if not faults.hit:
            assert set(faults.calls) >= {"index.write", "log.cut", "log.append", "log.half", "log.appended"}
            return
    pytest.fail("no run was free of failures")


def test_a_rollback_whose_answer_was_lost_is_not_made_twice(tmp_path: Path) -> None:
    """Who repeats a rollback after an error would end up one version too far back."""
    folder, path = tmp_path / "folder", tmp_path / "store"
    folder.mkdir()
    create(path)
    versions: list[Digest] = []
    with opened(path) as store:
        for number in range(3):
            (folder / "f").write_bytes(b"%d" % number)
            made = store.commit(folder).version
            assert made is not None
            versions.append(made)
            with store.context.index.write() as writer:
                refs.set_alias(writer, "m/live", made, who="me", host="here", now=number)

        def back(index: FaultyIndex) -> None:
            with index.write() as writer:
                refs.rollback(writer, "m/live", if_current=versions[2], who="me", host="here", now=9)

        faults = Faults(3)
        with pytest.raises(NoSpace, match="committed"):
            back(FaultyIndex(store.context.index, faults))
        with pytest.raises(Conflict, match="not at m/v3"):
            back(FaultyIndex(store.context.index, Faults(0)))
        assert moves(store, "m/live")[0] == versions[1]
