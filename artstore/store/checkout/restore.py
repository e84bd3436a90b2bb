"""What the workers of a checkout do: fetch a batch, check it, write each file aside, rename it when it is whole."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import count, groupby
from threading import Lock
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.ids import checksum
from artstore.model import Form, Kind, ObjectKind
from artstore.store.checkout.batches import Part, Target, Whole
from artstore.store.checkout.survey import read_fully
from artstore.store.content import iter_content
from artstore.store.trouble import translate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artstore.model import Digest, Entry
    from artstore.store.checkout.batches import Batch
    from artstore.store.checkout.folders import Folder, Folders
    from artstore.store.context import Counters
    from artstore.store.objects import Objects

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BUFFERS_MAX = 512  # of one pwritev; the system takes 1024
_ZEROS_MAX = 1024

TEMPORARY_PREFIX = b".artstore-"
TEMPORARY_SUFFIX = b".part"


def name_key(name: bytes) -> bytes:
    """What the temporary names of one long file have in common, so that a later run finds it."""
    return checksum(name)[:8].hex().encode()


class Restorer:
    """Writes batches. Thread-safe. `holes`: ids of chunks which are known to be zeros, and so need no bytes."""

    def __init__(self, objects: Objects, folders: Folders, counters: Counters) -> None:
        zeros = bytes(limits.CHUNK_BYTES_MAX)
        self.holes: set[bytes] = {objects.ids.chunk(zeros)}
        self.written_bytes = 0
        self._objects = objects
        self._folders = folders
        self._counters = counters
        # Random, so that no name in a tree can be that of a temporary file.
        self._token = os.urandom(6).hex().encode()
        self._numbers = count()
        self._open: set[Target] = set()
        self._lock = Lock()

    def run(self, batch: Batch) -> None:
        """Restore everything of a batch."""
        recipes = self._recipes(batch)
        wanted: list[bytes] = []
        for item in batch:
            if isinstance(item, Whole):
                wanted += [id for id, _ in recipes.get(item, ())]
            elif not item.target.seed:
                wanted += item.ids
        chunks = self._fetch(wanted)
        files = 0
        for folder, items in groupby(batch, key=_folder_of):
            with self._folders.pin(folder) as above:
                for item in items:
                    entry = item.entry if isinstance(item, Whole) else item.target.entry
                    try:
                        if isinstance(item, Part):
                            files += self._write_part(item, above, chunks)
                        else:
                            self._write_whole(entry, above, recipes.get(item, ()), chunks)
                            files += 1
                    except OSError as error:
                        raise translate(error, "write", folder.path(entry.name)) from error
        self._count(batch, files)

    def clean(self) -> None:
        """Remove the temporary files of unfinished files; call it when no worker runs any more."""
        for target in self._open:
            self._close(target)
            with suppress(OSError), self._folders.pin(target.folder) as above:
                os.unlink(target.temporary, dir_fd=above)
        self._open.clear()

    def _recipes(self, batch: Batch) -> dict[Whole, list[tuple[bytes, int]]]:
        """The chunks of each whole file; all their recipes are read at once."""
        wholes = [item for item in batch if isinstance(item, Whole) and item.entry.kind != Kind.SYMLINK]
        roots = [whole.entry.content.value for whole in wholes if whole.entry.content.form == Form.RECIPE]
        pages = self._objects.fetcher.many(ObjectKind.RECIPE_PAGE, roots) if roots else {}

        def load(kind: ObjectKind, id: Digest) -> bytes:
            return pages[id] if id in pages else self._objects.load(kind, id)

        lists: dict[Whole, list[tuple[bytes, int]]] = {}
        for whole in wholes:
            content = whole.entry.content
            if content.form == Form.CHUNK:
                lists[whole] = [(content.value, whole.entry.size)]
            else:
                chunks = iter_content(load, content, whole.entry.size)
                lists[whole] = [(id, raw) for _, id, raw in chunks]
        return lists

    def _fetch(self, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Chunks but for those known to be zeros; zeros met for the first time are remembered."""
        wanted = [id for id in ids if id not in self.holes]
        if not wanted:
            return {}
        chunks = self._objects.fetcher.many(ObjectKind.CHUNK, wanted, once=True)
        for id, data in chunks.items():
            if data[0] == 0 and data[-1] == 0 and data == bytes(len(data)) and len(self.holes) < _ZEROS_MAX:
                self.holes.add(id)
        return chunks

    def _write_whole(
        self, entry: Entry, above: int, recipe: Sequence[tuple[bytes, int]], chunks: dict[bytes, bytes]
    ) -> None:
        temporary = self._temporary(b"")
        try:
            if entry.kind == Kind.SYMLINK:
                os.symlink(entry.content.value, temporary, dir_fd=above)
            else:
                self._write_file(temporary, entry, above, recipe, chunks)
            os.rename(temporary, entry.name, src_dir_fd=above, dst_dir_fd=above)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=above)
            raise

    def _write_file(
        self, name: bytes, entry: Entry, above: int, recipe: Sequence[tuple[bytes, int]], chunks: dict[bytes, bytes]
    ) -> None:
        descriptor = os.open(name, _CREATE, _mode(entry), dir_fd=above)
        try:
            if len(recipe) == 1 and recipe[0][0] not in self.holes:
                _write_at(descriptor, [_checked(recipe[0][0], entry.size, chunks)], 0)
            elif recipe:
                self._fill(descriptor, 0, recipe, chunks)
                os.ftruncate(descriptor, entry.size)
        finally:
            os.close(descriptor)

    def _write_part(self, part: Part, above: int, chunks: dict[bytes, bytes]) -> bool:
        """Whether this was the part that its file still lacked."""
        target = part.target
        with self._lock:
            if target.descriptor < 0:
                self._begin(target, above)
        if target.seed:
            self._fill_from_seed(part)
        else:
            self._fill(target.descriptor, part.offset, list(zip(part.ids, part.raws, strict=True)), chunks)
        with self._lock:
            target.done += 1
            whole = target.done == target.parts
        if whole:
            os.rename(target.temporary, target.entry.name, src_dir_fd=above, dst_dir_fd=above)
            with self._lock:
                self._open.remove(target)
            self._close(target)
        return whole

    def _begin(self, target: Target, above: int) -> None:
        """Open a target's temporary file, and its seed, which may have become useless since it was seen."""
        if target.seed:
            target.seed_descriptor = _open_seed(target, above)
        if target.seed_descriptor >= 0 and target.owned:
            target.temporary = target.seed
            target.descriptor = target.seed_descriptor
        else:
            if target.owned:  # but of no use
                with suppress(OSError):
                    os.unlink(target.seed, dir_fd=above)
            target.owned = False
            target.temporary = self._temporary(name_key(target.entry.name))
            target.descriptor = os.open(target.temporary, _CREATE, _mode(target.entry), dir_fd=above)
        self._open.add(target)
        os.ftruncate(target.descriptor, target.entry.size)

    def _close(self, target: Target) -> None:
        for descriptor in {target.descriptor, target.seed_descriptor} - {-1}:
            os.close(descriptor)
        target.descriptor = target.seed_descriptor = -1

    def _fill(
        self, descriptor: int, offset: int, chunks: Sequence[tuple[bytes, int]], data: dict[bytes, bytes]
    ) -> None:
        """Write chunks one behind the other, several in each call; zeros are left out."""
        pending: list[bytes] = []
        begin = offset
        for id, raw in chunks:
            if id in self.holes:
                _write_at(descriptor, pending, begin)
                pending = []
                offset += raw
                begin = offset
                continue
            pending.append(_checked(id, raw, data))
            offset += raw
            if len(pending) >= _BUFFERS_MAX:
                _write_at(descriptor, pending, begin)
                pending = []
                begin = offset
        _write_at(descriptor, pending, begin)

    def _fill_from_seed(self, part: Part) -> None:
        """As `_fill`, of a target with a seed: what its seed has at the same place is not fetched."""
        target = part.target
        buffer = memoryview(bytearray(limits.CHUNK_BYTES_MAX))
        missing: list[tuple[int, bytes, int]] = []
        offset = part.offset
        for id, raw in zip(part.ids, part.raws, strict=True):
            view = buffer[:raw]
            if (
                target.seed_descriptor < 0
                or not read_fully(target.seed_descriptor, view, offset)
                or self._objects.ids.chunk(view) != id
            ):
                missing.append((offset, id, raw))
            elif not target.owned:
                _write_at(target.descriptor, [bytes(view)], offset)
            offset += raw
        # Zeros too: a seed that is completed may have something else in their place.
        chunks = self._objects.fetcher.many(ObjectKind.CHUNK, [id for _, id, _ in missing]) if missing else {}
        for offset, id, raw in missing:
            _write_at(target.descriptor, [_checked(id, raw, chunks)], offset)

    def _temporary(self, key: bytes) -> bytes:
        return b"%s%s-%s-%d%s" % (TEMPORARY_PREFIX, key, self._token, next(self._numbers), TEMPORARY_SUFFIX)

    def _count(self, batch: Batch, files: int) -> None:
        size = sum(item.entry.size if isinstance(item, Whole) else sum(item.raws) for item in batch)
        with self._lock:
            self.written_bytes += size
            self._counters.files_done += files
            self._counters.bytes_done += size


def _folder_of(item: Whole | Part) -> Folder:
    return item.folder if isinstance(item, Whole) else item.target.folder


def _mode(entry: Entry) -> int:
    """Permissions of a new file, from which the system takes away what the user's umask says."""
    return 0o777 if entry.kind == Kind.EXEC else 0o666


def _checked(id: bytes, raw: int, chunks: dict[bytes, bytes]) -> bytes:
    data = chunks[id]
    if len(data) != raw:
        raise Corrupt(f"chunk {id.hex()} has {len(data)} bytes; the file that needs it says {raw}", digest=id)
    return data


def _write_at(descriptor: int, buffers: list[bytes], offset: int) -> None:
    if not buffers:
        return
    written = os.pwritev(descriptor, buffers, offset)
    rest = sum(map(len, buffers)) - written
    if rest:
        view = memoryview(b"".join(buffers))
        while rest:
            written += os.pwrite(descriptor, view[written:], offset + written)
            rest = len(view) - written


def _open_seed(target: Target, above: int) -> int:
    """The seed's descriptor, -1 if it is no plain file, or, to be completed, not ours alone."""
    access = os.O_RDWR if target.owned else os.O_RDONLY
    try:
        descriptor = os.open(target.seed, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    except OSError:
        return -1
    found = os.fstat(descriptor)
    alone = found.st_nlink == 1 and found.st_uid == os.geteuid()
    executable = bool(found.st_mode & 0o111) == (target.entry.kind == Kind.EXEC)
    if stat.S_ISREG(found.st_mode) and (not target.owned or (alone and executable)):
        return descriptor
    os.close(descriptor)
    return -1
