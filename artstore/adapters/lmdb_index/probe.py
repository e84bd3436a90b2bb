"""Sees whether an index can be opened at all, before this process does it.

LMDB maps its file and believes what its pages say: one that was cut off, or a page that lies, ends the process that
reads it (SIGBUS, SIGSEGV). A child tries first where there is a reason to fear that.
"""

from __future__ import annotations

import faulthandler
import os
import resource
from contextlib import suppress
from struct import Struct
from typing import NoReturn

import lmdb

from artstore import limits
from artstore.adapters.disk.errnos import translating
from artstore.adapters.lmdb_index import rows
from artstore.errors import Corrupt

_DATA = "data.mdb"
_TRIES = 3
# A meta page of LMDB 0.9: 16 bytes of page header; magic, version, address, map size; two databases of 48 bytes, the
# first of which begins with the page size; the last page in use; the transaction.
_META = Struct("<16x II QQ I44x 48x QQ")
_MAGIC = 0xBEEFC0DE
_PAGE_BYTES = (4096, 65536)


def require_whole(path: str) -> None:
    """Corrupt if the index in this folder was cut off. Nothing is said of one that is missing, or whole in length.

    A file may lack pages at its end that were never written since nothing uses them: that is seen by reading all of it,
    once, since they are added then.
    """
    data = os.path.join(path, _DATA)
    with translating("open the index", path):
        try:
            descriptor = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            size, expected = os.fstat(descriptor).st_size, _expected_size(descriptor)
        finally:
            os.close(descriptor)
    if size >= expected:
        return
    require_readable(path)
    with suppress(OSError), open(data, "r+b") as file:  # who may not write it reads it all the next time too
        os.posix_fallocate(file.fileno(), size, expected - size)  # never makes it shorter


def require_readable(path: str) -> None:
    """Corrupt if not every row of the index in this folder can be read; costs nobody more than a child."""
    for _ in range(_TRIES):  # a writer may disturb a reader that holds no lock
        pid = os.fork()
        if pid == 0:
            _read_all_and_exit(path)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == 0:
            return
    raise Corrupt(f"the index {path} is damaged: it was cut off, or its pages lie", hint=rows.REBUILD)


def _expected_size(descriptor: int) -> int:
    """Bytes of all pages in use, by the newer of the two meta pages; 0 if they make no sense: opening tells why."""
    found = [_meta(descriptor, 0)]
    if found[0] is not None:
        found.append(_meta(descriptor, found[0][1]))
    sizes = [(transaction, (last + 1) * page) for transaction, page, last in filter(None, found)]
    return max(sizes, default=(0, 0))[1]


def _meta(descriptor: int, offset: int) -> tuple[int, int, int] | None:
    """(transaction, bytes of a page, last page)."""
    raw = os.pread(descriptor, _META.size, offset)
    if len(raw) < _META.size:
        return None
    magic, _, _, _, page, last, transaction = _META.unpack(raw)
    is_sound = magic == _MAGIC and _PAGE_BYTES[0] <= page <= _PAGE_BYTES[1]
    return (transaction, page, last) if is_sound else None


def _read_all_and_exit(path: str) -> NoReturn:
    status = 1
    try:
        faulthandler.disable()  # dying here is foreseen, and nobody's business
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with (
            lmdb.open(path, map_size=limits.INDEX_MAP_BYTES, max_dbs=64, readonly=True, lock=False) as env,
            env.begin() as transaction,
        ):
            names = [bytes(name) for name in transaction.cursor().iternext(keys=True, values=False)]
            for name in names:
                database = env.open_db(name, txn=transaction, create=False)
                sum(len(value) for value in transaction.cursor(database).iternext(keys=False, values=True))
        status = 0
    finally:
        os._exit(status)
