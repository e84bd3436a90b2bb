"""A folder as a remote. A file appears whole or not at all: temporary file, fsync, rename, fsync of the folder.

Refs are files `NAME@`, so that a ref and a folder of refs can have one name. Conditional writes hold the lock of the
file `lock`, which is never replaced; the clock is that of the file system: the time of a file just made there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
from threading import Lock
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.errnos import translating
from artstore.adapters.disk.files import fsync_folder, write_all
from artstore.errors import NotFound, RemoteError, UsageError
from artstore.model import UNCHANGED, Fetched, Listed, RemotePlace, RemoteStats, Unchanged, Written
from artstore.ports import Streamed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from artstore.ports import Body, Pace

_LOCK: Final = "lock"
_TEMPORARY: Final = ".tmp"
_REFS: Final = ("tags/", "aliases/")
_REF_END: Final = "@"
_MODE: Final = 0o644


class FolderRemote:
    """`file:///FOLDER`; as `artstore.ports.Remote`. The folder is made with the first object, its parent isn't."""

    def __init__(self, place: RemotePlace, pace: Pace | None = None) -> None:
        parts = urlsplit(place.url)
        self._root = os.path.normpath(unquote(parts.path))
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not os.path.isabs(self._root):
            raise UsageError(f"{place.url!r} is no URL of a folder", hint="write file:///FOLDER")
        self._url = place.url.rstrip("/")
        self._pace = pace
        self._stats = RemoteStats()
        self._counting = Lock()
        self._swapping = Lock()  # flock is between processes

    @property
    def url(self) -> str:
        return self._url

    @property
    def stats(self) -> RemoteStats:
        return self._stats

    def get(self, key: str) -> Fetched | None:
        found = self.poll(key, "")
        assert found is not UNCHANGED  # no object has an empty ETag
        return found

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        self._count(gets=1)
        with self._translating("read", key):
            try:
                size = os.stat(self._path(key)).st_size
            except (FileNotFoundError, NotADirectoryError):
                self._require_parent()
                return None
        return Streamed(size, self._pieces(key, offset))

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        self._count(gets=1)
        data = self._read(key)
        if data is None:
            return None
        present = _etag(data)
        if present == etag:
            return UNCHANGED
        self._count(received_bytes=len(data))
        return Fetched(data, present, self._now())

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        assert size > 0
        self._count(gets=1)
        with self._translating("read", key):
            try:
                descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                self._require_parent()
                return None
            try:
                data = b"".join(self._pread(descriptor, offset, size))
            finally:
                os.close(descriptor)
        self._count(received_bytes=len(data))
        if len(data) != size:
            raise RemoteError(f"{self._name(key)} ends {size - len(data)} bytes too early for {size} from {offset}")
        return data

    def head(self, key: str) -> Listed | None:
        self._count(heads=1)
        with self._translating("look at", key):
            try:
                found = os.stat(self._path(key))
                return Listed(key, found.st_size, found.st_mtime)
            except (FileNotFoundError, NotADirectoryError):
                self._require_parent()
                return None

    def put(self, key: str, body: Body) -> Written:
        self._count(puts=1)
        etag = self._write(key, body)
        return Written(etag, self._now())

    def create(self, key: str, data: bytes) -> Written | None:
        return self._put_if(key, data, None)

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        return self._put_if(key, data, etag)

    def delete(self, key: str) -> None:
        self._count(deletes=1)
        with self._translating("delete", key):
            try:
                os.unlink(self._path(key))
            except (FileNotFoundError, NotADirectoryError):
                self._require_parent()

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        self._count(lists=1)
        with self._translating("list", prefix):
            self._require_parent()
            found = sorted(self._walk(os.path.dirname(prefix)), key=lambda each: each.key.encode())
        yield from (each for each in found if each.key.startswith(prefix) and each.key > after)

    def close(self) -> None:
        return

    def _walk(self, folder: str) -> Iterator[Listed]:
        """What lies below a folder of keys; what vanishes meanwhile is left out."""
        try:
            entries = list(os.scandir(os.path.join(self._root, folder) if folder else self._root))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.endswith(_TEMPORARY) or key == _LOCK:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(key)
                continue
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat()
                shown = key.removesuffix(_REF_END) if key.startswith(_REFS) else key
                yield Listed(shown, found.st_size, found.st_mtime)

    def _put_if(self, key: str, data: bytes, etag: str | None) -> Written | None:
        self._count(puts=1)
        with self._locked(key):
            present = self._read(key)
            if (None if present is None else _etag(present)) != etag:
                return None
            written = self._write(key, data)
        return Written(written, self._now())

    def _read(self, key: str) -> bytes | None:
        with self._translating("read", key):
            try:
                with open(self._path(key), "rb") as file:
                    return self._read_all(file)
            except (FileNotFoundError, NotADirectoryError):
                self._require_parent()
                return None

    def _write(self, key: str, body: Body) -> str:
        path = self._path(key)
        temporary = os.path.join(os.path.dirname(path), os.urandom(8).hex() + _TEMPORARY)
        with self._translating("write", key):
            self._make_folders(os.path.dirname(path))
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            try:
                try:
                    etag = self._fill(descriptor, body)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                faultpoints.reach("remote.written")
                os.rename(temporary, path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
        faultpoints.reach("remote.renamed")
        fsync_folder(os.path.dirname(path))
        return etag

    def _fill(self, descriptor: int, body: Body) -> str:
        source = io.BytesIO(body) if isinstance(body, bytes) else body
        source.seek(0)
        while piece := source.read(self._piece_bytes):
            self._pass(len(piece))
            write_all(descriptor, piece)
        self._count(sent_bytes=source.tell())
        return _etag(body) if isinstance(body, bytes) else ""  # of packs, which are never swapped

    @property
    def _piece_bytes(self) -> int:
        return limits.TRANSFER_PIECE_BYTES_MAX if self._pace is None else self._pace.piece_bytes

    def _pass(self, size: int) -> None:
        if self._pace is not None:
            self._pace.passing(size)

    def _read_all(self, file: IO[bytes]) -> bytes:
        read = io.BytesIO()  # hands over what it has without a copy
        while piece := file.read(self._piece_bytes):
            self._pass(len(piece))
            read.write(piece)
        return read.getvalue()

    def _pieces(self, key: str, offset: int) -> Generator[bytes]:
        with self._translating("read", key), open(self._path(key), "rb", buffering=0) as file:
            file.seek(offset)
            while piece := file.read(self._piece_bytes):
                self._pass(len(piece))
                self._count(received_bytes=len(piece))
                yield piece

    def _pread(self, descriptor: int, offset: int, size: int) -> Iterator[bytes]:
        """What a file has of a range; the system may give it in parts."""
        while size > 0:
            part = os.pread(descriptor, min(size, self._piece_bytes), offset)
            if not part:
                return
            self._pass(len(part))
            yield part
            offset += len(part)
            size -= len(part)

    def _make_folders(self, path: str) -> None:
        """Make what is missing up to the root, each name durable; the root's own parent must be there."""
        missing: list[str] = []
        while not os.path.isdir(path):
            missing.append(path)
            if path == self._root:
                break
            path = os.path.dirname(path)
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
            fsync_folder(os.path.dirname(folder))

    @contextlib.contextmanager
    def _locked(self, key: str) -> Generator[None, None, None]:
        """Alone in swapping anything."""
        with self._swapping, self._translating("lock", key):
            self._make_folders(self._root)
            descriptor = os.open(os.path.join(self._root, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                except OSError as error:
                    if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                        raise
                    raise RemoteError(
                        f"{self._url} lies on a file system that gives no locks", hint="use one that does, or S3"
                    ) from error
                yield
            finally:
                os.close(descriptor)

    def _now(self) -> float:
        """The file system's clock; for who may not write there, that of the folder, which is not later."""
        path = os.path.join(self._root, os.urandom(8).hex() + _TEMPORARY)
        with self._translating("write", ""):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                    raise
                return os.stat(self._root).st_mtime
            try:
                return os.fstat(descriptor).st_mtime
            finally:
                os.close(descriptor)
                os.unlink(path)

    def _require_parent(self) -> None:
        """An absent disk must not pass for an empty remote."""
        needed = os.path.dirname(self._root)
        if not os.path.isdir(needed):
            raise NotFound(f"{self._url}: there is no folder {needed}", hint="is its disk mounted?")

    @contextlib.contextmanager
    def _translating(self, doing: str, key: str) -> Generator[None, None, None]:
        with translating(doing, self._path(key) if key else self._root):
            yield

    def _path(self, key: str) -> str:
        return os.path.join(self._root, key + _REF_END if key.startswith(_REFS) else key)

    def _name(self, key: str) -> str:
        return f"{self._url}/{key}"

    def _count(self, **added: int) -> None:
        with self._counting:
            for name, value in added.items():
                setattr(self._stats, name, getattr(self._stats, name) + value)


def _etag(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
