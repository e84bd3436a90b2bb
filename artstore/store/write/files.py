"""Takes one file into the batches as it is at one moment, or says that it changes all the time."""

from __future__ import annotations

import os
import stat as stat_module
from typing import TYPE_CHECKING

from artstore import limits
from artstore.model import Kind
from artstore.store.write import source
from artstore.store.write.batch import Data, Drop, FileMeta
from artstore.store.write.reading import Stream, read_small
from artstore.store.write.statcache import UNTRUSTED

if TYPE_CHECKING:
    from artstore.store.context import Counters
    from artstore.store.write.reading import Gatherer


class FileReader:
    """Reads open files, one after the other."""

    def __init__(self, gatherer: Gatherer, counters: Counters, *, allow_changing: bool) -> None:
        self._gatherer = gatherer
        self._counters = counters
        self._allow_changing = allow_changing

    def take(self, descriptor: int, name: bytes, before: os.stat_result, row: bytes) -> bool:
        """Read a regular file until it is the same before and after, up to CHANGED_RETRIES times more.

        False if it never was; with `allow_changing` it is taken all the same, as it came the last time.
        """
        for attempt in range(1 + limits.CHANGED_RETRIES):
            if not stat_module.S_ISREG(before.st_mode):
                break
            meta = FileMeta(name, Kind.EXEC if before.st_mode & 0o111 else Kind.FILE, row)
            data, is_all = self._read_once(descriptor, before, meta)
            after = os.fstat(descriptor)
            is_whole = is_all and source.same_file(before, after)
            if is_whole or (self._allow_changing and attempt == limits.CHANGED_RETRIES):
                self._gatherer.add(data)
                self._counters.files_done += 1
                return is_whole
            self._gatherer.batch.events.append(Data(data.file, data.first, data.last, ends=False))
            self._gatherer.add(Drop())
            before, row = after, UNTRUSTED
        return False

    def _read_once(self, descriptor: int, stat: os.stat_result, meta: FileMeta) -> tuple[Data, bool]:
        """What was read, and whether it is all there is: some file systems tell less than a file has (/proc: 0)."""
        size = stat.st_size
        if size < limits.CHUNK_BYTES_MIN:
            data = read_small(self._gatherer, descriptor, size, meta)
            batch = self._gatherer.batch
            is_all = data.first == data.last or batch.ends[data.first] - batch.begins[data.first] <= size
        else:
            stream = Stream(self._gatherer, descriptor, size, meta, sparse=source.is_sparse(stat))
            try:
                data = stream.read()
                is_all = not os.pread(descriptor, 1, size)
            except OSError:
                stream.abandon()
                raise
        self._counters.bytes_done += size
        return data, is_all
