"""The LMDB index of one store: hands out snapshots and the write transaction.

One environment per process and path, shared by all `LmdbIndex` objects on it, opened anew in a forked child. Read
transactions are short: a long one keeps every page that was freed since. Writers wait for each other, the threads of
one process first among themselves.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import NoReturn

from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.errnos import translating
from artstore.adapters.disk.files import fsync_folder, make_folder
from artstore.adapters.disk.owners import refused
from artstore.adapters.lmdb_index import environment, rows
from artstore.adapters.lmdb_index.environment import Environment
from artstore.adapters.lmdb_index.reader import Reader
from artstore.adapters.lmdb_index.refs_log import START, RefsLog
from artstore.adapters.lmdb_index.writer import Writer
from artstore.errors import Busy, Corrupt
from artstore.format.ids import Ids

FOLDER = "index.lmdb"
LOG = "refs.log"
PACKS = "packs"
TEMPORARY = "tmp"
_WRONG_IDS = f"open it with its store's key; if it lies in the wrong store, {rows.REBUILD}"


class LmdbIndex:
    """Implements `artstore.ports.Index` for the store at a path, in the folder `folder` of it."""

    def __init__(self, store: str, ids: Ids, *, shared: bool = False, folder: str = FOLDER) -> None:
        """Open the index, and make it for a new store. Corrupt if a store with content has none, or was made for other
        ids: all that lies there would be taken for damaged.
        """
        self._store = store
        self._path = os.path.join(store, folder)
        self._ids = ids
        self._shared = shared
        self.log = RefsLog(os.path.join(store, LOG), shared=shared)
        self._lock = threading.Lock()
        self._closed = False
        create = folder != FOLDER or _holds_nothing(store, self.log)
        if create:
            make_folder(self._path, shared=shared)
            if self.log.size() is None:
                self.log.create()
        self._environment = environment.acquire(self._path, shared=shared, create=create, mark=ids.mark)
        try:
            self._require_own_ids()
        except BaseException:
            environment.release(self._environment)
            raise

    @classmethod
    def create(cls, store: str, ids: Ids, *, shared: bool = False) -> LmdbIndex:
        """The index of a folder that is to become a store. Corrupt if it holds content already. An empty index, which
        somebody left who was killed before it was a store, is of other ids than these: it is made anew.
        """
        if _holds_nothing(store, RefsLog(os.path.join(store, LOG), shared=shared)):
            with translating("make the index anew", store), suppress(FileNotFoundError):
                shutil.rmtree(os.path.join(store, FOLDER))
        return cls(store, ids, shared=shared)

    @property
    def note(self) -> str | None:
        """What a user should know about how the index is open: that it can only be read."""
        return self._current().note

    @contextmanager
    def read(self) -> Generator[Reader, None, None]:
        """A snapshot."""
        current = self._current()
        with environment.translating(self._path):
            transaction = current.env.begin()
            try:
                yield Reader(transaction, current.databases)
            finally:
                if current.pid == os.getpid():  # else it is the parent's: ending it would free what the parent reads
                    transaction.abort()

    @contextmanager
    def write(self, *, sync: bool = True) -> Generator[Writer, None, None]:
        """The write transaction; committed and durable when its context ends without an exception.

        `sync=False` is durable too: LMDB can't leave one transaction unsynced without risking the whole index.
        """
        del sync
        current = self._current()
        if current.note is not None:
            raise refused(self._store)
        assert current.writer != threading.get_ident(), "a write transaction within another one"
        with current.writing:
            current.writer = threading.get_ident()
            try:
                with environment.translating(self._path), self._writing(current) as writer:
                    yield writer
            finally:
                current.writer = None
        faultpoints.reach("index.after_commit")

    @contextmanager
    def _writing(self, current: Environment) -> Generator[Writer, None, None]:
        transaction = current.env.begin(write=True)
        try:
            self._refuse_replaced(current)
            writer = Writer(transaction, current.databases, self.log, self._ids)
            yield writer
            assert current.pid == os.getpid(), "a write transaction does not survive a fork"
            writer.finish()
            # Who replaces the index looks at refs.log afterwards: either we see that it is gone, or he our records.
            self._refuse_replaced(current)
        except BaseException:
            if current.pid == os.getpid():
                transaction.abort()
            raise
        transaction.commit()

    def _refuse_replaced(self, current: Environment) -> None:
        """What is written into an index that was rebuilt since it was opened, nobody would ever read."""
        if environment.identity_of(self._path) != current.identity:
            raise Busy(f"the index {self._path} was rebuilt or removed meanwhile", hint="open the store again")

    def used_bytes(self) -> int:
        """Bytes of the pages that hold rows; the file has free ones beside them, which are used again."""
        current = self._current()
        with environment.translating(self._path), current.env.begin() as transaction:
            stats = [transaction.stat(db) for db in current.databases if db is not None]
        return sum(
            stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) for stat in stats
        )

    def probe(self) -> None:
        """Corrupt if reading the whole index fails, or kills who does it: LMDB trusts what its pages say of themselves.

        A child process reads every row, so that a damaged page costs only the child (SIGBUS, SIGSEGV).
        """
        pid = os.fork()
        if pid == 0:
            self._read_all_and_exit()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status != 0:
            how = f"ends it by signal {-status}" if status < 0 else "fails"
            raise Corrupt(f"the index {self._path} is damaged: reading it {how}", hint=rows.REBUILD)

    def _read_all_and_exit(self) -> NoReturn:
        status = 1
        try:
            with self.read() as reader:
                reader.read_all()
            status = 0
        except Corrupt:
            status = 2
        finally:
            os._exit(status)

    def close(self) -> None:
        """Let go of the environment; closing twice is fine."""
        with self._lock:
            if not self._closed:
                self._closed = True
                environment.release(self._environment)

    def _require_own_ids(self) -> None:
        with environment.translating(self._path):
            mark = environment.mark_of(self._environment)
        if mark != self._ids.mark:
            raise Corrupt(f"the index {self._path} is of a store with another id key", hint=_WRONG_IDS)

    def _current(self) -> Environment:
        assert not self._closed, "the index is closed"
        if self._environment.pid != os.getpid():
            with self._lock:
                if self._environment.pid != os.getpid():
                    self._environment = environment.acquire(self._path, shared=self._shared, create=False)
        return self._environment


@contextmanager
def rebuilding(store: str, ids: Ids, *, shared: bool = False) -> Generator[LmdbIndex, None, None]:
    """An empty index beside the store's own, whose place it takes when the context ends without an exception.

    The caller fills it from the packs and, by `Writer.restore` and `Writer.set_log_end`, from refs.log; it sees to it
    that no other process has the store open, and that its own index is closed.
    """
    name = os.path.join(TEMPORARY, f"index-{os.urandom(8).hex()}")
    path, place = os.path.join(store, name), os.path.join(store, FOLDER)
    index = LmdbIndex(store, ids, shared=shared, folder=name)
    try:
        yield index
        index.close()
        with translating("replace", place):
            with suppress(FileNotFoundError):
                os.rename(place, f"{path}.old")
            os.rename(path, place)
        fsync_folder(store)
    finally:
        index.close()
        for leftover in (path, f"{path}.old"):
            shutil.rmtree(leftover, ignore_errors=True)


def _holds_nothing(store: str, log: RefsLog) -> bool:
    """Whether a missing or unfinished index is made: nothing can be lost by that."""
    # The packs are looked at first: who makes the first pack has made the index before.
    holds_packs = _is_folder_with_content(os.path.join(store, PACKS))
    holds_refs = (log.size() or 0) > START
    return not holds_packs and not holds_refs


def _is_folder_with_content(path: str) -> bool:
    with translating("read", path):
        try:
            with os.scandir(path) as entries:
                return next(entries, None) is not None
        except FileNotFoundError:
            return False
