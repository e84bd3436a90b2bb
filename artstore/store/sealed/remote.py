"""A remote that holds sealed objects only; the same Protocol around another one.

What whoever has the bucket learns: how many objects there are, their sizes, when they were written and read. Each is
sealed under its own name, so that none can stand for another. Names of refs are sealed too, by AES-SIV: equal names
give equal keys, so that one object is found and conditions hold, and a listing tells the names to who has the keys
without a request for each. Other keys are random or hashes under the store's key, and stay as they are.

In the clear are `format`, which tells that the remote is encrypted, and by which keys; the keyring; and what `remote
check` writes.
"""

from __future__ import annotations

import base64
import logging
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from artstore import limits
from artstore.errors import Corrupt, NewerFormat, RemoteError, Unopened
from artstore.format.cipher import TAG_BYTES, Siv
from artstore.format.remote import ALIASES, FORMAT_KEY, RING_KEY, TAGS
from artstore.format.ring import decode_ring
from artstore.format.sealed import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    UNKNOWN_SIZE,
    Segments,
    open_object,
    plain_size,
    sealed_size,
    stretch_of,
)
from artstore.model import Fetched, Listed, Unchanged
from artstore.ports import Streamed
from artstore.store.remote.documents import MEND
from artstore.store.sealed.keychain import Keychain, Known
from artstore.store.sealed.ring import sync_ring

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from artstore.format.ring import Ring
    from artstore.model import RemoteStats, Written
    from artstore.ports import Body, Remote

_log: Final = logging.getLogger(__name__)
_REFS: Final = (TAGS, ALIASES)
_CLEAR: Final = ("check/", "keys/")
_STEP: Final = limits.SEALED_NAME_STEP_BYTES
_PART: Final = limits.SEALED_NAME_PART_CHARS_MAX
_BATCH_SEGMENTS: Final = limits.TRANSFER_PIECE_BYTES_MAX // SEGMENT_BYTES  # opened at once of what comes as a stream


class _Opened(NamedTuple):
    segments: Segments
    size: int


class SealedRemote:
    """As `artstore.ports.Remote`; sizes and offsets are those of the objects within. Corrupt for what was damaged or
    changed there, NotPermitted once the key that this store was opened with was removed.
    """

    def __init__(self, remote: Remote, keychain: Keychain) -> None:
        self._remote = remote
        self._keychain = keychain
        self._known: Known[str, _Opened] = Known()
        self._ring_there: Ring | None = None  # the keyring there, once it was looked at

    @property
    def url(self) -> str:
        return self._remote.url

    @property
    def stats(self) -> RemoteStats:
        return self._remote.stats

    def get(self, key: str) -> Fetched | None:
        if is_clear(key):
            found = self._remote.get(key)
            if key == RING_KEY and found is not None:
                self._note_ring(found.data)
            return found
        found = self._remote.get(self.place(key))
        if found is None:
            return None
        try:
            return self._open(key, found)
        except Corrupt as error:
            again = self._remote.get(self.place(key))  # it may have been the network
            if again is None:
                return None
            if again.data == found.data:
                raise self._unopened(key, error, found) from error
            found = again
        try:
            return self._open(key, found)
        except Corrupt as error:
            raise self._unopened(key, error, found) from error

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        if is_clear(key):
            return self._remote.poll(key, etag)
        found = self._remote.poll(self.place(key), etag)
        if found is None or isinstance(found, Unchanged):
            return found
        try:
            return self._open(key, found)
        except Corrupt as error:
            raise self._named(key, error) from error

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        if is_clear(key):
            return self._remote.stream(key, offset=offset)
        if not offset:
            came = self._remote.stream(self.place(key))
            return came and Streamed(plain_size(came.size), self._pieces(key, came))
        opened = self._opened(key)
        if opened is None:
            return None
        stretch = stretch_of(offset, opened.size - offset, total=opened.size)
        came = self._remote.stream(self.place(key), offset=stretch.offset)
        skip = offset - stretch.first * SEGMENT_BYTES
        return came and Streamed(opened.size, self._rest(key, came, opened, stretch.first, skip))

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        if is_clear(key):
            return self._remote.get_range(key, offset, size)
        is_fresh = self._known.get(key) is None
        try:
            return self._range(key, offset, size)
        except Corrupt:
            if is_fresh:
                raise
            self._known.drop(key)  # it may have been replaced, though only refs and the like are
            return self._range(key, offset, size)

    def head(self, key: str) -> Listed | None:
        found = self._remote.head(self.place(key))
        return found and self._shown(found, key)

    def put(self, key: str, body: Body) -> Written:
        if is_clear(key):
            return self._remote.put(key, body)
        if not isinstance(body, bytes):
            body.seek(0)
            body = body.read()
        self._known.drop(key)
        return self._remote.put(self.place(key), self._sealed(key, body))

    def create(self, key: str, data: bytes) -> Written | None:
        return self._noted(key, data, self._remote.create(self.place(key), self._sealed(key, data)))

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        return self._noted(key, data, self._remote.swap(self.place(key), self._sealed(key, data), etag))

    def delete(self, key: str) -> None:
        self._known.drop(key)
        self._remote.delete(self.place(key))

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        inner, behind = _folder(prefix) or prefix, _folder(after) or after
        waiting: list[Listed] = []  # refs of one folder, which come in the order of their sealed names

        def wanted() -> list[Listed]:
            found = [each for each in waiting if each.key.startswith(prefix) and each.key > after]
            waiting.clear()
            return sorted(found, key=lambda each: each.key)

        for each in self._remote.list(inner, after=behind):
            folder = _folder(each.key)
            if waiting and folder != _folder(waiting[-1].key):
                yield from wanted()
            if folder is None:
                yield self._shown(each, each.key)
            else:
                waiting.append(self._shown(each, self._name(folder, each.key)))
        yield from wanted()

    def close(self) -> None:
        self._remote.close()

    # --- names

    @cached_property
    def _siv(self) -> Siv:
        return Siv(self._keychain.keys.names)  # it never changes

    def place(self, key: str) -> str:
        """Where an object lies in the remote within."""
        folder = _folder(key)
        if folder is None:
            return key
        name = key.removeprefix(folder).encode()
        padded = name + bytes(-len(name) % _STEP)
        sealed = base64.b32encode(self._siv.seal(padded, bound=folder.encode())).decode().rstrip("=").lower()
        return folder + "/".join(sealed[at : at + _PART] for at in range(0, len(sealed), _PART))

    def _name(self, folder: str, key: str) -> str:
        """The same the other way round; what isn't one of ours stays as it is."""
        told = key.removeprefix(folder).replace("/", "").upper()
        try:
            sealed = base64.b32decode(told + "=" * (-len(told) % 8))
        except ValueError:
            sealed = b""
        padded = self._siv.open(sealed, bound=folder.encode()) if sealed else None
        name = None if padded is None else folder + padded.rstrip(b"\0").decode()
        # Base32 has bits to spare, and slashes may stand elsewhere: only where we put it does it have the name.
        if name is None or self.place(name) != key:
            _log.warning("%s/%s is none of this store's names", self.url, key)
            return key
        return name

    @staticmethod
    def _shown(found: Listed, key: str) -> Listed:
        return found if is_clear(key) else replace(found, key=key, size=plain_size(found.size))

    # --- content

    def _sealed(self, key: str, data: bytes) -> bytes:
        if is_clear(key):
            return data
        sealed = self._keychain.seal(data, key.encode())
        # The keyring goes first: what nobody there can open would be lost with this machine.
        if self._ring_there is not None and self._ring_there != self._keychain.ring:
            sync_ring(self, self._keychain)
        return sealed

    def _noted(self, key: str, data: bytes, written: Written | None) -> Written | None:
        if key == RING_KEY and written is not None:
            self._note_ring(data)
        return written

    def _note_ring(self, data: bytes) -> None:
        with suppress(Corrupt, NewerFormat):  # told to who wants to use it
            self._ring_there = decode_ring(data)

    def _open(self, key: str, found: Fetched) -> Fetched:
        segments = self._segments(key, found.data[:HEADER_BYTES])
        data = open_object(found.data, segments)
        self._known.put(key, _Opened(segments, len(data)))
        return replace(found, data=data)

    def _segments(self, key: str, header: bytes) -> Segments:
        return self._keychain.segments(header, key.encode(), look=self._ring)

    def _ring(self) -> bytes | None:
        found = self.get(RING_KEY)
        return None if found is None else found.data

    def _range(self, key: str, offset: int, size: int) -> bytes | None:
        opened = self._opened(key)
        if opened is None:
            return None
        if offset + size > opened.size:
            raise RemoteError(f"{self.url}/{key} ends before byte {offset + size}")
        stretch = stretch_of(offset, size, total=opened.size)
        try:
            sealed = self._remote.get_range(self.place(key), stretch.offset, stretch.size)
        except RemoteError as error:
            there = None if error.transient else self._remote.head(self.place(key))
            if there is None or there.size >= sealed_size(opened.size):
                raise
            raise self._named(key, Corrupt("it was cut short")) from error
        if sealed is None:
            self._known.drop(key)
            return None
        data = self._piece(key, opened, bytearray(sealed), first=stretch.first, segments=stretch.segments)
        skip = offset - stretch.first * SEGMENT_BYTES
        return data[skip : skip + size]

    def _opened(self, key: str) -> _Opened | None:
        """What opens parts of an object, and its size: a request, once for each."""
        known = self._known.get(key)
        if known is None:
            header = self._remote.get_range(self.place(key), 0, HEADER_BYTES)
            if header is None:
                return None
            try:
                segments = self._segments(key, header)
            except Corrupt as error:
                raise self._named(key, error) from error
            size = segments.header.size
            if size == UNKNOWN_SIZE:
                there = self._remote.head(self.place(key))
                if there is None:
                    return None
                size = plain_size(there.size)
            known = _Opened(segments, size)
            self._known.put(key, known)
        return known

    def _pieces(self, key: str, came: Streamed) -> Generator[bytes]:
        """Open an object that comes from its beginning."""
        head = bytearray()
        with closing(came.pieces):
            for piece in came.pieces:
                head += piece
                if len(head) >= HEADER_BYTES:
                    break
            else:
                raise self._named(key, Corrupt("it is too short to be sealed"))
            opened = self._begun(key, bytes(head[:HEADER_BYTES]), sealed=came.size)
            self._known.put(key, opened)
            yield from self._opening(key, chain((bytes(head[HEADER_BYTES:]),), came.pieces), opened, 0)

    def _rest(self, key: str, came: Streamed, opened: _Opened, first: int, skip: int) -> Generator[bytes]:
        """Open one that comes from segment `first` on, and leave out `skip` bytes."""
        with closing(came.pieces):
            for piece in self._opening(key, came.pieces, opened, first):
                yield piece[skip:]
                skip = 0

    def _opening(self, key: str, pieces: Iterable[bytes], opened: _Opened, first: int) -> Generator[bytes]:
        """Some segments at a time. Corrupt, at its end, if it was cut off."""
        waiting = bytearray()
        step = sealed_size(_BATCH_SEGMENTS * SEGMENT_BYTES) - HEADER_BYTES
        left = sealed_size(opened.size) - HEADER_BYTES - first * (SEGMENT_BYTES + TAG_BYTES)
        for piece in pieces:
            waiting += piece
            left -= len(piece)
            while len(waiting) >= step or (left <= 0 and waiting):
                part = waiting[:step]
                del waiting[:step]
                yield self._piece(key, opened, part, first=first, segments=_BATCH_SEGMENTS)
                first += _BATCH_SEGMENTS
        if left > 0:
            raise self._named(key, Corrupt("it was cut off"))

    def _begun(self, key: str, header: bytes, *, sealed: int) -> _Opened:
        total = plain_size(sealed)
        try:
            segments = self._segments(key, header)
            if segments.header.size not in (total, UNKNOWN_SIZE) or sealed != sealed_size(total):
                raise Corrupt("it is longer or shorter than it was sealed")
        except Corrupt as error:
            raise self._named(key, error) from error
        return _Opened(segments, total)

    def _piece(self, key: str, opened: _Opened, sealed: bytearray, *, first: int, segments: int) -> bytes:
        room = bytearray(segments * SEGMENT_BYTES)
        try:
            with memoryview(sealed) as view, memoryview(room) as target:
                size = opened.segments.open_into(view, target, first=first, total=opened.size)
        except Corrupt as error:
            raise self._named(key, error) from error
        return bytes(memoryview(room)[:size])

    def _unopened(self, key: str, error: Corrupt, found: Fetched) -> Unopened:
        told = self._named(key, error)
        return Unopened(told.message, etag=found.etag, hint=told.hint)

    def _named(self, key: str, error: Corrupt) -> Corrupt:
        return Corrupt(f"{self.url}/{self.place(key)}: {error.message}", hint=MEND)


def _folder(key: str) -> str | None:
    """The folder of refs that a key lies in."""
    return next((folder for folder in _REFS if key.startswith(folder)), None)


def is_clear(key: str) -> bool:
    """Is this one of the objects that aren't sealed?"""
    return key == FORMAT_KEY or key.startswith(_CLEAR)
