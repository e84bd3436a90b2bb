"""Failures on purpose: the n-th call of a port fails, for n = 1, 2, … until a run meets none.

Faults lie on calls that reach the world (create, append, seal, read, delete, begin, commit), each counted once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from artstore.errors import ArtstoreError, NoSpace
from artstore.model import Fetched, Listed, PackId, RemoteStats, Unchanged, Written
from artstore.ports import (
    Body,
    Buffer,
    Index,
    IndexReader,
    IndexWriter,
    PackFiles,
    PackSink,
    RefsLog,
    Remote,
    Streamed,
)


class Faults:
    """Counts calls and fails the n-th; `lasting`: every later one too, as a full disk does."""

    def __init__(self, at: int, *, lasting: bool = False, error: type[ArtstoreError] = NoSpace) -> None:
        self._at = at
        self._lasting = lasting
        self._error = error
        self.calls: list[str] = []

    @property
    def hit(self) -> bool:
        """Whether any call has failed: a sweep ends with the first run that has none."""
        return 0 < self._at <= len(self.calls)

    def reach(self, name: str) -> None:
        """Note a call, and fail if it is its turn."""
        self.calls.append(name)
        count = len(self.calls)
        if count == self._at or (self._lasting and count > self._at > 0):
            raise self._error(f"fault at call {count}: {name}")


class FaultyPackSink:
    """A sink whose calls may fail."""

    def __init__(self, sink: PackSink, faults: Faults) -> None:
        self._sink = sink
        self._faults = faults

    @property
    def id(self) -> PackId:
        """The pack's name."""
        return self._sink.id

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return self._sink.size

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Append, unless it fails."""
        self._faults.reach("sink.append")
        return self._sink.append(buffers)

    def flush(self) -> None:
        """Flush, unless it fails."""
        self._faults.reach("sink.flush")
        self._sink.flush()

    def seal(self) -> None:
        """Seal, unless it fails before or after."""
        self._faults.reach("sink.seal")
        self._sink.seal()
        self._faults.reach("sink.sealed")

    def abort(self) -> None:
        """Abort; this never fails."""
        self._sink.abort()


class FaultyPacks:
    """Packs whose calls may fail."""

    def __init__(self, packs: PackFiles, faults: Faults) -> None:
        self._packs = packs
        self._faults = faults

    def create(self, pack: PackId) -> PackSink:
        """Create, unless it fails."""
        self._faults.reach("packs.create")
        return FaultyPackSink(self._packs.create(pack), self._faults)

    def read(self, pack: PackId, offset: int, size: int) -> bytes:
        """Read, unless it fails."""
        self._faults.reach("packs.read")
        return self._packs.read(pack, offset, size)

    def read_range(self, pack: PackId, offset: int, size: int, room: memoryview, *, once: bool) -> memoryview:
        """Read, unless it fails."""
        self._faults.reach("packs.read")
        return self._packs.read_range(pack, offset, size, room, once=once)

    def read_into(self, pack: PackId, offset: int, buffers: Sequence[memoryview]) -> None:
        """Read, unless it fails."""
        self._faults.reach("packs.read")
        self._packs.read_into(pack, offset, buffers)

    def size(self, pack: PackId) -> int | None:
        """Look, unless it fails."""
        self._faults.reach("packs.size")
        return self._packs.size(pack)

    def list(self) -> Iterator[tuple[PackId, int]]:
        """List, unless it fails."""
        self._faults.reach("packs.list")
        return self._packs.list()

    def delete(self, pack: PackId) -> None:
        """Delete, unless it fails."""
        self._faults.reach("packs.delete")
        self._packs.delete(pack)


class FaultyIndex:
    """An index whose transactions may fail to begin, or to commit."""

    def __init__(self, index: Index, faults: Faults) -> None:
        self._index = index
        self._faults = faults

    @property
    def log(self) -> RefsLog:
        """The log; reading and rewriting it never fail here."""
        return self._index.log

    @contextmanager
    def read(self) -> Generator[IndexReader, None, None]:
        """Read, unless it fails."""
        self._faults.reach("index.read")
        with self._index.read() as reader:
            yield reader

    @contextmanager
    def write(self, *, sync: bool = True) -> Generator[IndexWriter, None, None]:
        """Write, unless it fails to begin, before the commit, or with the commit done and its answer lost."""
        self._faults.reach("index.write")
        with self._index.write(sync=sync) as writer:
            yield writer
            self._faults.reach("index.commit")
        self._faults.reach("index.committed")

    def probe(self) -> None:
        """Probe, unless it fails."""
        self._faults.reach("index.probe")
        self._index.probe()

    def close(self) -> None:
        """Close; this never fails."""
        self._index.close()


class FaultyRemote:
    """A remote whose requests may fail: reads before they are sent, writes before that, or with the answer lost."""

    def __init__(self, remote: Remote, faults: Faults) -> None:
        self._remote = remote
        self._faults = faults

    @property
    def url(self) -> str:
        """As the remote's."""
        return self._remote.url

    @property
    def stats(self) -> RemoteStats:
        """The same."""
        return self._remote.stats

    def get(self, key: str) -> Fetched | None:
        """Read, unless it fails."""
        self._faults.reach(f"get {key}")
        return self._remote.get(key)

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        """Read, unless it fails at its beginning."""
        self._faults.reach(f"stream {key}")
        return self._remote.stream(key, offset=offset)

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        """Look, unless it fails."""
        self._faults.reach(f"poll {key}")
        return self._remote.poll(key, etag)

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        """Read, unless it fails."""
        self._faults.reach(f"get {key}")
        return self._remote.get_range(key, offset, size)

    def head(self, key: str) -> Listed | None:
        """Look, unless it fails."""
        self._faults.reach(f"head {key}")
        return self._remote.head(key)

    def put(self, key: str, body: Body) -> Written:
        """Write, unless it fails before or after."""
        self._faults.reach(f"put {key}")
        written = self._remote.put(key, body)
        self._faults.reach(f"put {key}: answer")
        return written

    def create(self, key: str, data: bytes) -> Written | None:
        """The same."""
        self._faults.reach(f"create {key}")
        written = self._remote.create(key, data)
        self._faults.reach(f"create {key}: answer")
        return written

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        """The same."""
        self._faults.reach(f"swap {key}")
        written = self._remote.swap(key, data, etag)
        self._faults.reach(f"swap {key}: answer")
        return written

    def delete(self, key: str) -> None:
        """Delete, unless it fails before or after."""
        self._faults.reach(f"delete {key}")
        self._remote.delete(key)
        self._faults.reach(f"delete {key}: answer")

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        """List, unless it fails."""
        self._faults.reach(f"list {prefix}")
        return self._remote.list(prefix, after=after)

    def close(self) -> None:
        """Close; this never fails."""
        self._remote.close()
