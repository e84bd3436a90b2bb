"""STORE/refs.log as a file: what lies in it is artstore.format.reflog's, when it is written is the index's.

It is written by whoever holds the index's write transaction and is made durable before that commits [I3]. After a crash
it may be ahead of the index; the next writer cuts off what the index never knew. It is never behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.errnos import translating
from artstore.adapters.disk.files import durable_write, fsync_folder, share, write_all
from artstore.errors import Corrupt
from artstore.format import reflog
from artstore.format.reflog import LogDamage, LogRecord, Record

START = reflog.FILE_HEADER_BYTES
REPAIR = "run `artstore check --repair`"


class RefsLog:
    """The log at `path`. Nothing is kept open between two uses."""

    def __init__(self, path: str, *, shared: bool = False) -> None:
        self.path = path
        self._shared = shared

    def create(self) -> None:
        """Begin an empty log, durably, where there is none."""
        durable_write(self.path, reflog.FILE_HEADER, shared=self._shared, exclusive=True)

    def size(self) -> int | None:
        """Bytes of the file, or None when there is none."""
        with translating("look at", self.path):
            try:
                return os.stat(self.path).st_size
            except FileNotFoundError:
                return None

    def cut(self, end: int, sequence: int) -> None:
        """Bring the log to where the index knows it ends, behind the record with this number; Corrupt if it doesn't."""
        size = self.size()
        if size is None or size < end:
            there = "is missing" if size is None else f"has {size} bytes"
            raise Corrupt(f"{self.path} {there}, and the index knows {end}", hint=REPAIR)
        if size == end:
            return
        if end > START and not self._ends_at(end, sequence):
            # It was rewritten, and the index not told before a crash: its records are sound, and not to be cut through.
            raise Corrupt(f"{self.path} has no record {sequence} that ends at byte {end}", hint=REPAIR)
        with translating("cut", self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.ftruncate(descriptor, end)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        faultpoints.reach("refslog.cut")

    def append(self, data: bytes, *, end: int) -> None:
        """Write records at the end, which is known, and make them durable."""
        with translating("write", self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.lseek(descriptor, end, os.SEEK_SET)
                write_all(descriptor, data)
                faultpoints.reach("refslog.appended")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        faultpoints.reach("refslog.fsynced")

    def records(self) -> Iterator[LogRecord | LogDamage]:
        """Every record in order, and what is damaged between them; nothing when there is no log."""
        size = self.size()
        if not size:
            return
        with translating("read", self.path):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                reflog.check_file_header(self._read_at(descriptor, 0, min(size, START)))
                yield from reflog.scan_records(lambda offset, count: self._read_at(descriptor, offset, count), size)
            finally:
                os.close(descriptor)

    def _ends_at(self, end: int, sequence: int) -> bool:
        found = next((item for item in self.records() if item.end >= end), None)
        return isinstance(found, LogRecord) and (found.end, found.seq) == (end, sequence)

    def rewrite(self, records: Iterable[Record]) -> tuple[int, int]:
        """Replace the whole log; return the last sequence number and the end, for the index.

        Streams into a file beside it, so that a crash leaves the old log or the new one.
        """
        temporary = f"{self.path}.new"
        sequence = 0
        with translating("write", self.path):
            with open(temporary, "wb", buffering=limits.MIB) as file:
                if self._shared:
                    share(file.fileno())
                file.write(reflog.FILE_HEADER)
                for sequence, record in enumerate(records, 1):
                    file.write(reflog.encode_record(sequence, record))
                file.flush()
                os.fsync(file.fileno())
                end = file.tell()
            faultpoints.reach("file.written")
            os.rename(temporary, self.path)
        faultpoints.reach("file.renamed")
        fsync_folder(os.path.dirname(self.path))
        return sequence, end

    def _read_at(self, descriptor: int, offset: int, size: int) -> bytes:
        data = os.pread(descriptor, size, offset)
        if len(data) != size:
            raise Corrupt(f"{self.path} became shorter while it was read", hint=REPAIR)
        return data
