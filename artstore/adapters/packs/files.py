"""Packs as files: STORE/tmp/<32 hex>.pack while one is written, STORE/packs/<first 2 hex>/<32 hex>.pack once sealed.

A sealed pack never changes [I6], so that a descriptor, once open, stays good until the pack is deleted; some are kept
open. What lies in a pack is artstore.format.pack's.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.direct import Blocks, read_cached, read_direct
from artstore.adapters.disk.errnos import translating
from artstore.adapters.packs.sink import FOLDER, FilePackSink, pack_path
from artstore.errors import Corrupt
from artstore.model import PackId

_NAME = re.compile(r"([0-9a-f]{32})\.pack")
_SHARD = re.compile(r"[0-9a-f]{2}")
_USES_OF_OPENING = 16  # a reader who goes on to other packs looks sooner
_MISSING = "run `artstore check`, then `artstore check --repair`"


class FilePacks:
    """Implements `artstore.ports.PackFiles` for the store at a path. Thread-safe; usable after a fork."""

    def __init__(self, store: str, *, shared: bool = False) -> None:
        self._store = store
        self._shared = shared
        self._open: OrderedDict[PackId, _Descriptor] = OrderedDict()
        self._uses = 0  # since it was last seen which packs are deleted
        self._lock = threading.Lock()
        self._durable: set[str] = set()
        self._blocks = Blocks()
        _living.add(self)

    def create(self, pack: PackId) -> FilePackSink:
        """Begin a pack under a new name."""
        return FilePackSink(self._store, pack, shared=self._shared, durable=self._durable, blocks=self._blocks)

    def read(self, pack: PackId, offset: int, size: int) -> bytes:
        """Exactly `size` bytes, or Corrupt naming the pack."""
        with self._reading(pack) as descriptor:
            data = os.pread(descriptor, size, offset)
            if len(data) == size:
                return data
            if not data:
                raise _short(pack, offset + size)
            buffer = bytearray(size)  # a signal, or the 2 GiB a read may have
            buffer[: len(data)] = data
            _fill(descriptor, pack, offset + len(data), memoryview(buffer)[len(data) :])
            return bytes(buffer)

    def read_range(self, pack: PackId, offset: int, size: int, room: memoryview, *, once: bool) -> memoryview:
        """Exactly `size` bytes, somewhere in `room`, or Corrupt; `once`: past the page cache if they aren't in it."""
        with self._reading(pack) as descriptor:
            view = room[:size]
            if once and size >= limits.READ_DIRECT_BYTES_MIN:
                if read_cached(descriptor, view, offset):
                    return view
                found = read_direct(pack_path(self._store, pack), offset, size, room)
                if found is not None:
                    return found
            _fill(descriptor, pack, offset, view)
            return view

    def read_into(self, pack: PackId, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers one after the other with one read, or Corrupt."""
        size = sum(map(len, buffers))
        with self._reading(pack) as descriptor:
            count = os.preadv(descriptor, buffers, offset)
            if count == size:
                return
            for buffer in buffers:  # a signal, or the file's end
                if count < len(buffer):
                    _fill(descriptor, pack, offset + count, buffer[count:])
                offset += len(buffer)
                count = max(count - len(buffer), 0)

    def size(self, pack: PackId) -> int | None:
        """Bytes of the pack's file, or None when there is none."""
        path = pack_path(self._store, pack)
        with translating("look at", path):
            try:
                return os.stat(path).st_size
            except FileNotFoundError:
                return None

    def written(self, pack: PackId) -> int | None:
        """When the pack's file was written, in ns, or None when there is none."""
        path = pack_path(self._store, pack)
        with translating("look at", path):
            try:
                return os.stat(path).st_mtime_ns
            except FileNotFoundError:
                return None

    def list(self) -> Iterator[tuple[PackId, int]]:
        """All sealed packs with their sizes; other names are skipped."""
        root = os.path.join(self._store, FOLDER)
        for shard in _entries(root):
            if not _SHARD.fullmatch(shard.name):
                continue
            for entry in _entries(shard.path):
                match = _NAME.fullmatch(entry.name)
                if match is None or not entry.name.startswith(shard.name):
                    continue
                pack = PackId(bytes.fromhex(match[1]))
                size = self.size(pack)
                if size is not None:  # deleted meanwhile
                    yield pack, size

    def delete(self, pack: PackId) -> None:
        """Unlink; absent is fine. The name is gone for good only after a while: a crash may bring it back."""
        path = pack_path(self._store, pack)
        with self._lock:
            known = self._open.pop(pack, None)
            if known is not None:
                known.drop()
        with translating("delete", path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                return
        faultpoints.reach("pack.deleted")

    def close(self) -> None:
        """Close the descriptors that are kept; reading opens them again."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].drop()

    def forget_lock(self) -> None:
        """In a forked child: nobody there holds the lock, whoever held it in the parent."""
        self._lock = threading.Lock()
        self._open = OrderedDict()

    @contextmanager
    def _reading(self, pack: PackId) -> Generator[int, None, None]:
        path = pack_path(self._store, pack)
        with translating("read", path):
            held = self._hold(pack, path)
            try:
                yield held.number
            finally:
                with self._lock:
                    held.release()

    def _hold(self, pack: PackId, path: str) -> _Descriptor:
        """A descriptor that stays open until it is released, though others may push it out of the cache."""
        with self._lock:
            known = self._open.get(pack)
            if known is None:
                known = self._open[pack] = _Descriptor(_open_pack(path, pack))
                self._uses += _USES_OF_OPENING
                if len(self._open) > limits.PACKS_OPEN_MAX:
                    self._open.popitem(last=False)[1].drop()
            else:
                self._open.move_to_end(pack)
            known.users += 1
            self._uses += 1
            if self._uses >= limits.PACK_USES_PER_LOOK:
                self._drop_deleted()
            return known

    def _drop_deleted(self) -> None:
        """Let go of packs that another process has deleted: their room on disk is free only then."""
        self._uses = 0
        for pack, held in list(self._open.items()):
            if os.fstat(held.number).st_nlink == 0:
                del self._open[pack]
                held.drop()  # who reads it now reads on


class _Descriptor:
    """An open pack: closed when it is dropped and nobody reads it. Guarded by its cache's lock."""

    __slots__ = ("dropped", "number", "users")

    def __init__(self, number: int) -> None:
        self.number = number
        self.users = 0
        self.dropped = False

    def release(self) -> None:
        self.users -= 1
        self._close_if_idle()

    def drop(self) -> None:
        self.dropped = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self.dropped and self.users == 0:
            os.close(self.number)


def _after_fork_in_child() -> None:
    for packs in _living:
        packs.forget_lock()


_living: weakref.WeakSet[FilePacks] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)


def _open_pack(path: str, pack: PackId) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Corrupt(f"pack {pack.hex()} is missing: {path}", pack=pack.hex(), hint=_MISSING) from error


def _short(pack: PackId, end: int) -> Corrupt:
    return Corrupt(f"pack {pack.hex()} ends before byte {end}", pack=pack.hex(), hint=_MISSING)


def _fill(descriptor: int, pack: PackId, offset: int, target: memoryview) -> None:
    end = offset + len(target)
    while target:
        count = os.preadv(descriptor, [target], offset)
        if count == 0:
            raise _short(pack, end)
        offset += count
        target = target[count:]


def _entries(path: str) -> list[os.DirEntry[str]]:
    with translating("read", path):
        try:
            with os.scandir(path) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
