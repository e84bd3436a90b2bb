"""Sees whether an index can be opened at all, before this process does it.

LMDB maps its file and believes what its pages say: one that was cut off, or a page that lies, ends the process that
reads it (SIGBUS, SIGSEGV). A child tries first where there is a reason to fear that.
"""

from __future__ import annotations

import faulthandler
import os
import resource
from contextlib import suppress
from typing import NoReturn

import lmdb

from artstore import limits
from artstore.adapters.disk.errnos import translating
from artstore.adapters.lmdb_index import metapages, rows
from artstore.errors import Corrupt

_DATA = "data.mdb"
_TRIES = 3
_LOOKS = 8  # at meta pages that another process keeps writing


def require_whole(path: str) -> None:
    """Corrupt if the index in this folder was cut off, or its meta pages can't be true; nothing if there is none.

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
            pages = _sound_pages(descriptor, path)
        finally:
            os.close(descriptor)
    if pages is None or pages.size >= pages.newest.size:
        return
    require_readable(path)
    with suppress(OSError), open(data, "r+b") as file:  # who may not write it reads it all the next time too
        # Never makes it shorter.
        os.posix_fallocate(file.fileno(), pages.size, pages.newest.size - pages.size)


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


def _sound_pages(descriptor: int, path: str) -> metapages.Pages | None:
    """The meta pages; None if it is LMDB that can say most of them. Corrupt if they stay wrong."""
    before: bytes | None = None
    for _ in range(_LOOKS):
        pages = metapages.read(descriptor)
        if pages is None or metapages.is_newer(pages):
            return None
        flaw = metapages.flaw(descriptor, pages)
        if flaw is None:
            return pages
        if pages.raw == before:  # else they were read while somebody wrote them
            raise Corrupt(f"the index {path} is damaged: {flaw}", hint=rows.REBUILD)
        before = pages.raw
    return None


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
