"""The LMDB environments of this process: one for each path, opened once, opened anew after a fork.

LMDB's locks belong to a process and a file: a second environment on the same file would break the first one's, and a
forked child must not use its parent's, nor close it: it leaves it as it is, and opens its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeAlias, cast

import lmdb

from artstore import limits
from artstore.adapters.disk import errnos
from artstore.adapters.disk.files import FILE_MODE_SHARED
from artstore.adapters.disk.mounts import refuse_network
from artstore.adapters.lmdb_index import rows
from artstore.adapters.lmdb_index.probe import require_whole
from artstore.adapters.lmdb_index.refs_log import START
from artstore.errors import ArtstoreError, Busy, Corrupt, NewerFormat, NoSpace, NotPermitted

# Quoted: these are generic to type checkers only.
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Cursor: TypeAlias = "lmdb.Cursor[bytes]"
Database = lmdb._Database  # pyright: ignore[reportPrivateUsage] - the type of a handle has no public name

META_FORMAT = b"format"
META_NEXT_PACK = b"next_pack"
META_LOG = b"refs"
META_IDS = b"ids"

READ_ONLY_NOTE = (
    "this store can't be written by this user; it is read without locks, so that a read may have to be repeated "
    "while somebody else writes"
)
_NO_INDEX = "the store has no index"


class Databases(NamedTuple):
    """The handles of the named databases, by their names."""

    chunk: Database
    pack: Database
    pack_name: Database
    set: Database
    pagepacks: Database
    file: Database
    ref: Database
    move: Database
    journal: Database
    erased: Database
    far: Database | None  # a cache: None where an earlier release's index can only be read
    meta: Database


class Environment:
    """An open environment and what its users share: the number of them, and the lock that lets one write."""

    def __init__(self, env: lmdb.Environment, databases: Databases, *, note: str | None, identity: object) -> None:
        self.env = env
        self.databases = databases
        self.note = note
        self.identity = identity
        self.pid = os.getpid()
        self.users = 1
        self.writing = threading.Lock()
        self.writer: int | None = None  # the thread that writes


_environments: dict[object, Environment] = {}
_registry_lock = threading.Lock()
_generation = 0  # of forks, from the process that began


def acquire(path: str, *, shared: bool, create: bool, mark: bytes = b"") -> Environment:
    """The environment at `path` (STORE/index.lmdb), opened or shared; pair each with `release`.

    `create` makes an empty index where there is none; else that is Corrupt. `mark`: that of the ids in a new one.
    """
    require_whole(path)  # it may fork, which the lock forbids
    with _registry_lock:
        identity = identity_of(path)
        known = _environments.get(identity) if identity is not None else None
        if known is not None:
            known.users += 1
            return known
        if identity is None and not create:
            raise Corrupt(f"{_NO_INDEX}: {path} is missing", hint=rows.REBUILD)
        refuse_network(path)
        with errnos.translating("open the index", path), translating(path):
            opened = _open(path, shared=shared, create=create, mark=mark)
        _environments[opened.identity] = opened
        return opened


def mark_of(environment: Environment) -> bytes:
    """The mark of the ids that an index was made for."""
    with environment.env.begin() as transaction:
        value = transaction.get(META_IDS, db=environment.databases.meta)
    return b"" if value is None else rows.unseal("meta", META_IDS, value)


def release(environment: Environment) -> None:
    """Give up one use; the last one closes. A use that was inherited by a fork is already gone."""
    with _registry_lock:
        if environment.pid != os.getpid():
            return
        environment.users -= 1
        if environment.users == 0:
            del _environments[environment.identity]
            environment.env.close()


@contextmanager
def translating(path: str) -> Generator[None, None, None]:
    """Within it every error of LMDB becomes one of ours."""
    try:
        yield
    except lmdb.Error as error:
        raise translated(error, path) from error


def translated(error: lmdb.Error, path: str) -> ArtstoreError:
    """One of ours for an error of LMDB; what isn't in the table is an errno, or damage."""
    for kind, (ours, hint) in _TABLE.items():
        if isinstance(error, kind):
            return ours(f"the index {path}: {error}", hint=hint)
    code: int = getattr(error, "code", 0)
    if code > 0:
        return errnos.translate(code, doing="use the index", path=path)
    if type(error) is lmdb.Error:  # py-lmdb's own refusal
        return Busy(f"the index {path}: {error}", hint="another part of this process has it open")
    return Corrupt(f"the index {path}: {error}", hint=rows.REBUILD)


_TABLE: dict[type[lmdb.Error], tuple[type[ArtstoreError], str]] = {
    lmdb.MapFullError: (NoSpace, "the index has reached the size it may have"),
    lmdb.DiskError: (NoSpace, "free some space, or run `artstore gc`"),
    lmdb.ReadersFullError: (Busy, f"more than {limits.INDEX_READERS_MAX} readers have the store open"),
    lmdb.LockError: (Busy, "try again later"),
    lmdb.MemoryError: (Busy, "there is not enough memory, or address space (see `ulimit -v`)"),
    lmdb.ReadonlyError: (NotPermitted, "this store can only be read here; check its owner and permissions"),
    lmdb.VersionMismatchError: (NewerFormat, "upgrade artstore"),
}


def identity_of(path: str) -> object | None:
    """What tells this environment from one that was deleted and made again at the same path."""
    try:
        status = os.stat(os.path.join(path, "data.mdb"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errnos.translated(error, doing="open the index", path=path) from error
    return status.st_dev, status.st_ino


def _open(path: str, *, shared: bool, create: bool, mark: bytes) -> Environment:
    readonly = not _writable(path, create=create)
    create = create and not readonly
    env = lmdb.open(
        path,
        map_size=limits.INDEX_MAP_BYTES,
        max_dbs=len(Databases._fields),
        max_readers=limits.INDEX_READERS_MAX,
        mode=FILE_MODE_SHARED if shared else 0o644,
        readahead=False,  # look-ups hit pages at random
        meminit=True,  # else memory that was freed, with what was read or purged in it, ends in the file
        readonly=readonly,
        lock=not readonly,
        create=create,
    )
    try:
        if shared:
            _share(path)
        if not readonly:
            env.reader_check()  # forgets the readers of processes that died
        databases = _databases(env, path, create=create, mark=mark)
        identity = identity_of(path)
        assert identity is not None
        return Environment(env, databases, note=READ_ONLY_NOTE if readonly else None, identity=identity)
    except BaseException:
        env.close()
        raise


def _writable(path: str, *, create: bool) -> bool:
    files = [name for name in ("data.mdb", "lock.mdb") if os.path.exists(os.path.join(path, name))]
    if len(files) < 2 and not create and not os.access(path, os.W_OK):
        return False
    return all(os.access(os.path.join(path, name), os.R_OK | os.W_OK) for name in files)


def _share(path: str) -> None:
    for name in ("data.mdb", "lock.mdb"):
        with suppress(PermissionError):  # not ours: who made it has done this
            os.chmod(os.path.join(path, name), FILE_MODE_SHARED)


def _databases(env: lmdb.Environment, path: str, *, create: bool, mark: bytes) -> Databases:
    databases = _existing(env) or (_made(env, mark) if create else None)
    if databases is None:
        raise Corrupt(f"{_NO_INDEX}: {path} is not complete", hint=rows.REBUILD)
    with env.begin() as transaction:
        written = transaction.get(META_FORMAT, db=databases.meta)
    assert written is not None
    if rows.integer("meta", META_FORMAT, written) > rows.FORMAT:
        raise NewerFormat("the index was written by a newer release of artstore", hint="upgrade it")
    return databases


def _existing(env: lmdb.Environment) -> Databases | None:
    """The databases of a complete index; `far`, which is a cache, is made if an earlier release has not.

    py-lmdb begins a write transaction for each handle, unless the whole environment is read-only: so opening waits for
    a writer that is at work, reading later does not.
    """
    try:
        handles = {name: env.open_db(name.encode(), create=False) for name in Databases._fields if name != "far"}
    except (lmdb.NotFoundError, lmdb.ReadonlyError):  # the latter from an empty file that can only be read
        return None
    with env.begin() as transaction:
        if transaction.get(META_FORMAT, db=handles["meta"]) is None:
            return None
    return Databases(**handles, far=_far(env))


def _far(env: lmdb.Environment) -> Database | None:
    try:
        return env.open_db(b"far", create=False)
    except lmdb.NotFoundError:
        return None if env.flags()["readonly"] else env.open_db(b"far")


def _made(env: lmdb.Environment, mark: bytes) -> Databases:
    """The databases of a new index; of two processes that make it the second one finds it made."""
    with env.begin(write=True) as transaction:
        databases = Databases(*[env.open_db(name.encode(), txn=transaction) for name in Databases._fields])
        if transaction.get(META_FORMAT, db=databases.meta) is None:
            for key, value in _first_rows(mark):
                transaction.put(key, value, db=databases.meta)
    return databases


def _first_rows(mark: bytes) -> list[tuple[bytes, bytes]]:
    first = [
        (META_FORMAT, rows.integer_value(META_FORMAT, rows.FORMAT)),
        (META_NEXT_PACK, rows.integer_value(META_NEXT_PACK, 1)),
        (META_LOG, rows.log_end_value(META_LOG, 0, START)),
    ]
    return [*first, (META_IDS, rows.seal(META_IDS, mark))] if mark else first


def _after_fork_in_child() -> None:
    global _registry_lock, _generation  # noqa: PLW0603 - a lock does not survive a fork, and so does no environment
    _registry_lock = threading.Lock()
    _generation += 1
    if _environments:
        import ctypes  # here, since it takes 10 ms

        for environment in _environments.values():
            # Kept for good, past the end of the interpreter: what closes or frees it would wait for operations of
            # threads that didn't come along, and would end the parent's snapshots in the table of readers.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(environment.env))
    _environments.clear()


def _tell_forks_apart() -> None:
    """Let a child open what its parent has open, which py-lmdb would take for opening it twice.

    A release of py-lmdb that has no such function has no such guard, or another one, which a test would meet.
    """
    try:
        from lmdb import _envid
    except ImportError:
        return
    keys = cast("Callable[[str, bool], tuple[tuple[object, ...], ...]]", _envid.__dict__["env_keys"])

    def keys_of_this_process(path: str, subdir: bool) -> tuple[tuple[object, ...], ...]:
        return tuple((_generation, *key) for key in keys(path, subdir))

    _envid.env_keys = keys_of_this_process


_tell_forks_apart()
os.register_at_fork(after_in_child=_after_fork_in_child)
