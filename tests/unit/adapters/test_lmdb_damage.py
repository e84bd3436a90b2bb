"""The index when its bytes, its log or its permissions aren't what they were."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from artstore.adapters.disk import mounts
from artstore.adapters.lmdb_index import LmdbIndex, Reader, environment, rebuilding, rows
from artstore.adapters.lmdb_index.environment import META_FORMAT, Databases, Environment
from artstore.errors import Busy, Corrupt, NewerFormat, NoSpace, NotPermitted, UsageError
from artstore.format.ids import PLAIN
from artstore.format.reflog import LogDamage, LogRecord, TagSet, encode_record
from artstore.model import Digest, Move, PackId, PackKind, TableEntry, Tag
from artstore.ports import IndexReader

# The index is read in a forked child here; newer Pythons warn of that beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
ONE, TWO = Digest(b"\1" * 32), Digest(b"\2" * 32)
DIRECTORY = b"d" * 16


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store whose index has a row in every database."""
    with_rows(tmp_path)
    yield tmp_path
    for path in tmp_path.rglob("*"):
        path.chmod(0o700)


def with_rows(path: Path) -> None:
    index = LmdbIndex(str(path), PLAIN)
    with index.write() as writer:
        number = writer.add_pack(
            PackId(b"p" * 16), PackKind.DATA, size=9, created=1, table=[TableEntry(ONE, 0, 1, 2, 0, 0)]
        )
        writer.put_set(ONE, [number])
        writer.put_page_packs(ONE, [number])
        writer.put_tag(Tag("a/v1", ONE, 5))
        writer.put_move(Move("a/prod", 1, b"", ONE, 5, "me", "here", "", False, b""))
        writer.put_erased([TWO], time=6, who="me", reason="")
        writer.put_journal("check", b"x")
        writer.add_far_pack(b"r" * 16, "p/a/1", size=9, table=[TableEntry(ONE, 0, 1, 2, 0, 0)])
        writer.put_stat_blocks(DIRECTORY, [b"block"])
    index.close()


READS: dict[str, Callable[[IndexReader], object]] = {
    "chunk": lambda reader: reader.find(ONE),
    "pack": lambda reader: reader.pack(1),
    "pack_name": lambda reader: reader.pack_by_id(PackId(b"p" * 16)),
    "set": lambda reader: reader.version_set(ONE),
    "pagepacks": lambda reader: reader.page_packs(ONE),
    "ref": lambda reader: [*reader.tags(), *reader.aliases()],
    "move": lambda reader: list(reader.moves("a/prod")),
    "journal": lambda reader: [reader.journal(key) for key in reader.journal_keys()],
    "erased": lambda reader: reader.erased(TWO),
    "far": lambda reader: reader.far_find_many([ONE]),
    "meta": lambda reader: reader.sequence,
}


@contextmanager
def raw(store: Path) -> Generator[Environment, None, None]:
    """What lies below the index, to damage it."""
    opened = environment.acquire(str(store / "index.lmdb"), shared=False, create=False)
    yield opened
    environment.release(opened)


def put(opened: Environment, database: str, key: bytes, value: bytes) -> None:
    with opened.env.begin(write=True, db=getattr(opened.databases, database)) as transaction:
        transaction.put(key, value)


def rows_of(opened: Environment, database: str) -> list[tuple[bytes, bytes]]:
    with opened.env.begin(db=getattr(opened.databases, database)) as transaction:
        return list(transaction.cursor())


@pytest.mark.parametrize("database", READS)
def test_every_flipped_byte_is_seen(store: Path, database: str) -> None:
    """A failing disk would send a read to the wrong place, or a ref to another version."""
    index = LmdbIndex(str(store), PLAIN)
    with raw(store) as opened:
        for key, value in rows_of(opened, database):
            flipped = [value[:place] + bytes([value[place] ^ 0x10]) + value[place + 1 :] for place in range(len(value))]
            for wrong in (*flipped, value[:-1], b""):
                put(opened, database, key, wrong)
                with pytest.raises(Corrupt):
                    read_all(index, opened)
            put(opened, database, key, value)
        read_all(index, opened)
    index.close()


def read_all(index: LmdbIndex, opened: Environment) -> None:
    """Every row, those of `meta` too that only writers and openers read."""
    with index.read() as reader:
        assert all(ask(reader) for ask in READS.values())
    for key, value in rows_of(opened, "meta"):
        rows.unseal("meta", key, value)


def test_a_page_that_kills_its_reader(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`artstore check` would die of a bus error instead of saying that the index is to be rebuilt."""

    def killed(reader: Reader) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    index = LmdbIndex(str(store), PLAIN)
    index.probe()
    with monkeypatch.context() as patched:
        patched.setattr(Reader, "read_all", killed)
        with pytest.raises(Corrupt, match=r"signal 9.*rebuild-index"):
            index.probe()
    with raw(store) as opened:
        for key, value in rows_of(opened, "set"):
            put(opened, "set", key, value[:-1])
    with pytest.raises(Corrupt, match="rebuild-index"):
        index.probe()
    index.close()


def test_every_database_is_tried() -> None:
    """A new kind of row would go unchecked."""
    assert set(READS) | {"file"} == set(Databases._fields)


def test_a_damaged_stat_cache_is_a_miss(store: Path) -> None:
    """A failing disk would let a commit take one file for another, or keep it from running at all."""
    index = LmdbIndex(str(store), PLAIN)
    with raw(store) as opened:
        for key, value in rows_of(opened, "file"):
            put(opened, "file", key, value[:-1] + bytes([value[-1] ^ 1]))
    with index.read() as reader:
        assert list(reader.stat_blocks(DIRECTORY)) == []
    index.close()


def test_a_chunk_in_an_unknown_pack_is_damage(store: Path) -> None:
    """A dangling row would be taken for a chunk that is not there, and its pack for garbage [I5]."""
    index = LmdbIndex(str(store), PLAIN)
    with raw(store) as opened, opened.env.begin(write=True) as transaction:
        transaction.drop(opened.databases.pack, delete=False)
    with index.read() as reader, pytest.raises(Corrupt, match="rebuild-index"):
        reader.find(ONE)
    index.close()


def test_a_chunk_with_a_damaged_number_is_seen_by_a_scan(store: Path) -> None:
    """Repair or repacking of a pack would overlook a chunk, and lose it."""
    index = LmdbIndex(str(store), PLAIN)
    with raw(store) as opened:
        ((key, value),) = rows_of(opened, "chunk")
        with opened.env.begin(write=True, db=opened.databases.chunk) as transaction:
            transaction.delete(key)
            transaction.put(key[:-1] + b"\x09", value)
    with index.read() as reader, pytest.raises(Corrupt):
        list(reader.pack_contents(1))
    index.close()


def test_a_lost_index_is_not_taken_for_a_new_store(store: Path) -> None:
    """An empty index would make the log of refs and all packs look like leftovers."""
    shutil.rmtree(store / "index.lmdb")
    with pytest.raises(Corrupt, match="rebuild-index"):
        LmdbIndex(str(store), PLAIN)
    assert (store / "refs.log").stat().st_size > 100
    (store / "refs.log").unlink()
    (store / "packs" / "ab").mkdir(parents=True)
    with pytest.raises(Corrupt, match="rebuild-index"):
        LmdbIndex(str(store), PLAIN)


def test_an_unfinished_new_index_is_finished(tmp_path: Path) -> None:
    """A store whose creation was killed could never be opened."""
    (tmp_path / "index.lmdb").mkdir()
    lmdb.open(str(tmp_path / "index.lmdb")).close()
    with_rows(tmp_path)


def test_an_unreadable_data_file_is_damage(store: Path) -> None:
    """The user would see a traceback of a library."""
    (store / "index.lmdb" / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(Corrupt, match="rebuild-index"):
        LmdbIndex(str(store), PLAIN)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_private_store_is_refused(store: Path) -> None:
    """Somebody else's private store would end a command in a traceback."""
    script = (
        "import os, sys; from artstore.adapters.lmdb_index import LmdbIndex\n"
        "from artstore.format.ids import PLAIN\n"
        "from artstore.errors import NotPermitted\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: LmdbIndex(sys.argv[1], PLAIN)\n"
        "except NotPermitted as error: print(error.exit_code)"
    )
    store.chmod(0o700)
    ended = subprocess.run(
        [sys.executable, "-c", script, str(store)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout == "4\n", ended.stderr


def test_an_index_of_a_newer_release(store: Path) -> None:
    """An old release would write rows that the new one can't read."""
    with raw(store) as opened:
        put(opened, "meta", META_FORMAT, rows.integer_value(META_FORMAT, rows.FORMAT + 1))
    with pytest.raises(NewerFormat):
        LmdbIndex(str(store), PLAIN)


def test_a_log_ahead_of_the_index_is_cut(store: Path) -> None:
    """After a crash between log and index a ref that was never reported would come back [I3]."""
    known = (store / "refs.log").read_bytes()
    for tail in (b"torn", encode_record(4, TagSet(Tag("a/v9", ONE, 9))), encode_record(5, TagSet(Tag("b/v9", ONE, 9)))):
        (store / "refs.log").write_bytes(known + tail)
        index = LmdbIndex(str(store), PLAIN)
        with index.read() as reader:
            assert reader.tag("a/v9") is None
        with index.write() as writer:
            writer.put_journal("x", b"")
        assert (store / "refs.log").read_bytes() == known + tail  # whoever writes no ref leaves it alone
        with index.write() as writer:
            writer.put_tag(Tag("a/v2", ONE, 9))
        records = list(index.log.records())
        assert not [each for each in records if isinstance(each, LogDamage)]
        assert [each.seq for each in records if isinstance(each, LogRecord)] == [1, 2, 3, 4]
        with index.write() as writer:
            writer.remove_tag("a/v2", time=9, who="me")
        index.close()
        shutil.rmtree(store / "index.lmdb")
        (store / "refs.log").unlink()
        with_rows(store)
        known = (store / "refs.log").read_bytes()


@pytest.mark.parametrize("damage", ["shorter", "missing"])
def test_a_log_behind_the_index_is_damage(store: Path, damage: str) -> None:
    """New records would be written where lost ones were, and the loss never be noticed."""
    log = store / "refs.log"
    if damage == "missing":
        log.unlink()
    else:
        log.write_bytes(log.read_bytes()[:-1])
    index = LmdbIndex(str(store), PLAIN)
    with index.read() as reader:
        assert reader.tag("a/v1") is not None
    with pytest.raises(Corrupt, match="repair"), index.write() as writer:
        writer.put_tag(Tag("a/v2", ONE, 9))
    with index.write() as writer:
        writer.set_log_end(*index.log.rewrite(writer.ref_records()))
    with index.write() as writer:
        writer.put_tag(Tag("a/v2", ONE, 9))
    assert len(list(index.log.records())) == 4
    index.close()


def test_a_log_that_was_rewritten_unknown_to_the_index_is_not_cut_through(store: Path) -> None:
    """Killed between the new log and the index, a repair of refs.log would cost the refs of the sound new log."""
    index = LmdbIndex(str(store), PLAIN)
    with index.read() as reader:
        records = list(reader.ref_records())
    index.log.rewrite([TagSet(Tag("a/a-longer-name-than-before", ONE, 3)), *records])
    rewritten = (store / "refs.log").read_bytes()
    with pytest.raises(Corrupt, match="repair"), index.write() as writer:
        writer.put_tag(Tag("a/v2", ONE, 9))
    assert (store / "refs.log").read_bytes() == rewritten
    with index.write() as writer:
        writer.set_log_end(*index.log.rewrite(writer.ref_records()))
    with index.write() as writer:
        writer.put_tag(Tag("a/v2", ONE, 9))
    index.close()


def test_nothing_is_written_into_an_index_that_was_replaced(store: Path) -> None:
    """A program that has the store open while its index is rebuilt would make versions that nobody ever sees, and cut
    refs.log where the old index thought it ends.
    """
    (store / "tmp").mkdir()
    index = LmdbIndex(str(store), PLAIN)
    with rebuilding(str(store), PLAIN):
        pass
    log = (store / "refs.log").read_bytes()
    with pytest.raises(Busy, match="open the store again"), index.write() as writer:
        writer.put_tag(Tag("a/v2", ONE, 9))
    assert (store / "refs.log").read_bytes() == log
    index.close()
    index = LmdbIndex(str(store), PLAIN)
    writing = index.write()
    writing.__enter__().put_tag(Tag("a/v2", ONE, 9))
    with rebuilding(str(store), PLAIN):
        pass
    with pytest.raises(Busy, match="open the store again"):
        writing.__exit__(None, None, None)
    index.close()


def test_a_rebuilt_index_takes_the_old_one_s_place(store: Path) -> None:
    """`check --rebuild-index` would lose refs, or leave the damaged index in place when it is interrupted."""
    (store / "tmp").mkdir()

    class Stop(Exception):
        """Interrupts."""

    def restore(*, stop: bool) -> None:
        with rebuilding(str(store), PLAIN) as index:
            with index.write() as writer:
                last = 0
                end = 0
                for each in index.log.records():
                    assert isinstance(each, LogRecord)
                    writer.restore(each.record)
                    last, end = each.seq, each.end
                writer.set_log_end(last, end)
            if stop:
                raise Stop

    with pytest.raises(Stop):
        restore(stop=True)
    index = LmdbIndex(str(store), PLAIN)
    with index.read() as reader:
        assert reader.find(ONE) is not None
    index.close()
    restore(stop=False)
    assert os.listdir(store / "tmp") == []
    index = LmdbIndex(str(store), PLAIN)
    with index.write() as writer:
        assert writer.find(ONE) is None
        assert writer.tag("a/v1") is not None
        writer.put_tag(Tag("a/v2", ONE, 9))
    assert len(list(index.log.records())) == 4
    index.close()


READER = """
import os, sys
from artstore.adapters.lmdb_index import LmdbIndex
from artstore.format.ids import PLAIN
from artstore.errors import NotPermitted
os.setgid(65534); os.setuid(65534)
index = LmdbIndex(sys.argv[1], PLAIN)
assert index.note and "can't be written" in index.note, index.note
with index.read() as reader:
    print(reader.tag("a/v1").name)
try:
    with index.write():
        pass
except NotPermitted as error:
    print("refused", error.exit_code)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_store_of_somebody_else_can_be_read(store: Path) -> None:
    """Who may only read a colleague's store could not read it at all."""
    folder = store
    while folder != folder.parent:  # pytest's own folders are private
        folder.chmod(folder.stat().st_mode | 0o055)
        if folder.name.startswith("pytest-of-"):
            break
        folder = folder.parent
    for path in (store / "index.lmdb", *(store / "index.lmdb").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    ended = subprocess.run(
        [sys.executable, "-c", READER, str(store)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout.split("\n")[:2] == ["a/v1", "refused 4"], ended.stderr


def test_a_read_only_index_says_so(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store on a read-only disk could not be read, or a commit into it would fail with a riddle."""

    def read_only(path: str, mode: int) -> bool:
        return mode & os.W_OK == 0

    monkeypatch.setattr(os, "access", read_only)
    index = LmdbIndex(str(store), PLAIN)
    assert index.note is not None
    with index.read() as reader:
        assert reader.find(ONE) is not None
    with pytest.raises(NotPermitted), index.write():
        pass
    index.close()


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines would quietly damage the index of a store on NFS."""
    info = tmp_path / "mountinfo"
    info.write_text(f"1 0 0:50 / {tmp_path.resolve()} rw,relatime shared:1 - nfs4 server:/export rw\n")
    monkeypatch.setattr(mounts, "MOUNTINFO", str(info))
    with pytest.raises(UsageError, match=r"nfs4.*ARTSTORE_HOME"):
        LmdbIndex(str(tmp_path), PLAIN)


# As LMDB reports what the system said.
DiskFull = type("DiskFull", (lmdb.Error,), {"code": errno.ENOSPC})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (lmdb.MapFullError("x"), NoSpace),
        (lmdb.DiskError("x"), NoSpace),
        (lmdb.ReadersFullError("x"), Busy),
        (lmdb.ReadonlyError("x"), NotPermitted),
        (lmdb.CorruptedError("x"), Corrupt),
        (lmdb.PageNotFoundError("x"), Corrupt),
        (lmdb.PanicError("x"), Corrupt),
        (lmdb.InvalidError("x"), Corrupt),
        (lmdb.VersionMismatchError("x"), NewerFormat),
        (DiskFull("x"), NoSpace),
        (lmdb.Error("x"), Busy),
    ],
)
def test_errors_of_lmdb_are_ours(error: lmdb.Error, expected: type[Exception]) -> None:
    """The exit code would be wrong and the hint missing."""
    assert type(environment.translated(error, "/store/index.lmdb")) is expected
