"""Walks a folder in the order of names and tells what is there, reading only what the stat cache doesn't know.

What can't be committed is gathered in `Trouble`; after the first such path nothing more is read, only listed.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import BadInput
from artstore.format.statrows import Place
from artstore.model import Content, Entry, Form, Kind
from artstore.store.trouble import translate
from artstore.store.write import source
from artstore.store.write.batch import Enter, Known, Leave
from artstore.store.write.files import FileReader
from artstore.store.write.statcache import UNTRUSTED, directory_key, fingerprint, head_of, is_racy, row_of, rows_of
from artstore.store.write.trouble import AS_BEFORE, CHANGING, LEADS_OUT, LOOP, ODD, UNREADABLE, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from artstore.planning.ignore import IgnoreStack
    from artstore.ports import Clock, Index, IndexReader
    from artstore.store.commit import CommitOptions
    from artstore.store.context import Counters
    from artstore.store.write.reading import Gatherer
    from artstore.store.write.statcache import Old

READER_USES = 4096  # look-ups, or files read, while one snapshot of the index is kept


@dataclass(slots=True)
class _Frame:
    """A directory that is being walked."""

    descriptor: int
    path: bytes
    ignore: IgnoreStack
    lists: Iterator[list[source.Named]]
    since: int
    identity: tuple[int, int]
    troubles: int  # paths that were noted before
    entries: Iterator[source.Named] = field(default_factory=lambda: iter(()))
    old: Iterator[tuple[bytes, Old]] | None = None
    ahead: tuple[bytes, Old] | None = None


class Walker:
    """One walk over one folder. The store itself is refused.

    `changed`: the first paths, within what is walked, of what changed while it was read and was taken all the same.
    """

    def __init__(
        self,
        store: str,
        index: Index,
        clock: Clock,
        gatherer: Gatherer,
        options: CommitOptions,
        counters: Counters,
        *,
        former: Callable[[bytes], Entry | None] | None = None,
    ) -> None:
        """`former`: what a path of the version was before, for files that are being written."""
        self._store = _identity(os.stat(store))
        self._index = index
        self._clock = clock
        self._gatherer = gatherer
        self._options = options
        self._counters = counters
        self._flavour = b"1 %s" % options.links.encode()
        self._reader_context = index.read()
        self._reader: IndexReader | None = None
        self._reader_uses = 0
        self._stack: list[_Frame] = []
        self._above = 0
        self._files = FileReader(gatherer, counters, allow_changing=options.allow_changing)
        self.trouble = Trouble(options)
        self.changed: list[bytes] = []
        self.as_before: list[bytes] = []
        self._former = former
        self._root = self._name = b""  # what is walked, and the name it gets
        self.ignored = 0

    def walk(self, root: bytes, ignore: IgnoreStack, name: bytes = b"", *, above: int = 0) -> None:
        """The whole folder `root`, as Enter … Leave, or as one Known if nothing in it has changed.

        `name` is its entry's, where it is part of a larger tree, `above` the folders there that it will lie in.
        """
        self._above = above
        path = os.path.realpath(root)
        self._root, self._name = path, name
        try:
            try:
                self._refuse_store(path)
                self._enter(name, path, source.open_directory(path, None), ignore)
            except OSError as error:
                raise translate(error, "read", path) from error
            while self._stack:
                self._step(self._stack[-1])
        finally:
            for frame in self._stack:
                os.close(frame.descriptor)
            self._stack.clear()
            self._end_reading()

    def walk_file(self, path: bytes, name: bytes) -> None:
        """One file as the entry `name` of the directory that is open."""
        folder, own_name = os.path.split(os.path.realpath(path))
        self._root, self._name = path, name
        try:
            parent = source.open_directory(folder, None)
            try:
                stat = os.stat(own_name, dir_fd=parent, follow_symlinks=False)
                self._file(own_name, path, parent, stat, UNTRUSTED, entry_name=name)
            finally:
                os.close(parent)
        except OSError as error:
            raise translate(error, "read", path) from error

    @contextmanager
    def root(self) -> Generator[None]:
        """A directory that is on no disk, to walk files and folders into."""
        self._gatherer.add(Enter(b"", b"", UNTRUSTED))
        yield
        self._gatherer.add(Leave())

    # -- directories

    def _refuse_store(self, path: bytes) -> None:
        """A version of the store would hold itself, and every version of it all earlier ones."""
        while True:
            if _identity(os.stat(path)) == self._store:
                raise BadInput(
                    f"nothing was committed: {os.fsdecode(path)} is the store itself",
                    [path],
                    hint="name another folder",
                )
            parent = os.path.dirname(path)
            if parent == path:
                return
            path = parent

    def _enter(self, name: bytes, path: bytes, descriptor: int, above: IgnoreStack) -> None:
        """Begin a directory; its descriptor is closed with it."""
        depth = len(self._stack)
        try:
            ignore = above.enter(name if depth else b"", source.artignore(descriptor))
            self._begin(name, path, descriptor, os.fstat(descriptor), ignore)
        finally:
            if len(self._stack) == depth:
                os.close(descriptor)

    def _begin(self, name: bytes, path: bytes, descriptor: int, stat: os.stat_result, ignore: IgnoreStack) -> None:
        since = self._clock.now_ns()
        lists = source.listing(descriptor)
        nothing: list[source.Named] = []
        first = next(lists, nothing)
        frame = _Frame(descriptor, path, ignore, lists, since, _identity(stat), self.trouble.total)
        kept = self._kept(frame, first)
        key = directory_key(stat, path, self._flavour)
        mark = UNTRUSTED
        if len(first) < limits.BATCH_FILES_MAX and all(stat_module.S_ISREG(each.st_mode) for _, each in kept):
            mark = fingerprint([each for each, _ in kept], [row_of(each) for _, each in kept])
        if self._options.stat_cache and self._is_as_it_was(name, key, mark, frame):
            return
        if any(is_racy(each, since) for _, each in kept):
            mark = UNTRUSTED
        frame.entries = iter(kept)
        self._gatherer.add(Enter(name, key, mark, Place(path, stat.st_dev, stat.st_ino)))
        self._stack.append(frame)

    def _kept(self, frame: _Frame, entries: list[source.Named]) -> list[source.Named]:
        decide = frame.ignore.decide
        kept = [each for each in entries if not decide(each[0], stat_module.S_ISDIR(each[1].st_mode)).ignored]
        self.ignored += len(entries) - len(kept)
        return kept

    def _is_as_it_was(self, name: bytes, key: bytes, mark: bytes, frame: _Frame) -> bool:
        """One look-up for a whole directory; if it has changed, its rows are there for its files."""
        reader = self._reading()
        head = head_of(reader, key)
        if head is None:
            return False
        if mark and head.fingerprint == mark:
            packs = reader.page_packs(head.tree)
            if packs is not None:
                content = Content(Form.TREE, head.tree)
                self._gatherer.add(
                    Known(Entry(name, Kind.DIR, head.size, content, head.files), tuple(packs), UNTRUSTED)
                )
                self._counters.files_done += head.files
                self._counters.bytes_done += head.size
                return True
        frame.old = rows_of(self._reading, key, head.blocks)
        return False

    def _step(self, frame: _Frame) -> None:
        """The next entries of the innermost directory, until it ends or another one begins."""
        depth = len(self._stack)
        for name, stat in frame.entries:
            self._entry(frame, name, stat)
            if len(self._stack) != depth:
                return
        try:
            following = next(frame.lists, None)
        except OSError as error:
            self._unreadable(error, frame.path)
            following = None
        if following is not None:
            frame.entries = iter(self._kept(frame, following))
            return
        self._stack.pop()
        os.close(frame.descriptor)
        # What was left out now may be readable next time, although no row has changed.
        whole = self.trouble.total == frame.troubles and not self.trouble.is_fatal
        self._gatherer.add(Leave(whole))

    def _entry(self, frame: _Frame, name: bytes, stat: os.stat_result) -> None:
        match stat_module.S_IFMT(stat.st_mode):
            case stat_module.S_IFREG:
                row = UNTRUSTED if is_racy(stat, frame.since) else row_of(stat)
                if not (frame.old is not None and row and self._unchanged(frame, name, row)):
                    self._file(name, frame.path + b"/" + name, frame.descriptor, stat, row)
            case stat_module.S_IFDIR:
                self._directory(frame, name)
            case stat_module.S_IFLNK:
                self._symlink(frame, name)
            case _:
                self.trouble.add(ODD, frame.path + b"/" + name)

    def _directory(self, frame: _Frame, name: bytes, *, follow: bool = False) -> None:
        path = frame.path + b"/" + name
        if self._above + len(self._stack) >= limits.PATH_DEPTH_MAX:
            raise BadInput(f"{os.fsdecode(path)} lies more than {limits.PATH_DEPTH_MAX} folders deep", [path])
        try:
            descriptor = source.open_directory(name, frame.descriptor, follow=follow)
        except FileNotFoundError:
            self._vanished(path)
            return
        except OSError as error:
            self._unreadable(error, path)
            return
        identity = _identity(os.fstat(descriptor))
        if identity == self._store:
            os.close(descriptor)
            self.ignored += 1
            self._counters.notes.append(f"{os.fsdecode(path)} is the store itself and was left out")
            return
        if any(each.identity == identity for each in self._stack):
            os.close(descriptor)
            self.trouble.add(LOOP, path)
            return
        try:
            self._enter(name, path, descriptor, frame.ignore)
        except OSError as error:
            self._unreadable(error, path)

    def _unreadable(self, error: OSError, path: bytes) -> None:
        """Note a path, unless it is this process that lacks something: then nobody may skip what isn't at fault."""
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise translate(error, "read", path) from error
        self.trouble.add(UNREADABLE, path)

    def _changing(self, path: bytes) -> None:
        self.trouble.add(CHANGING, path)
        if len(self.changed) < limits.CHANGED_PATHS_MAX:
            self.changed.append(self._within(path))

    def _vanished(self, path: bytes) -> None:
        """It was listed a moment ago."""
        if self._former is None:
            self._changing(path)

    def _take_former(self, path: bytes, name: bytes, former: Callable[[bytes], Entry | None]) -> None:
        """A file that is being written: it is as it was before, or isn't there yet."""
        within = self._within(path)
        self.trouble.add(AS_BEFORE, path)  # so that its folder isn't taken for known next time
        if len(self.as_before) < limits.CHANGED_PATHS_MAX:
            self.as_before.append(within)
        entry = former(within)
        packs = None if entry is None else self._packs_of(entry.content)
        if entry is not None and packs is not None:
            entry = Entry(name, entry.kind, entry.size, entry.content, entry.files)
            self._gatherer.add(Known(entry, packs, UNTRUSTED))

    def _within(self, path: bytes) -> bytes:
        """Where in the version a walked path lies."""
        return (self._name + path[len(self._root) :]).lstrip(b"/")

    # -- files and links

    def _unchanged(self, frame: _Frame, name: bytes, row: bytes) -> bool:
        """Emit the file from the cache if its row is the same and its content still here."""
        assert frame.old is not None
        ahead = frame.ahead
        while ahead is None or ahead[0] < name:
            ahead = next(frame.old, None)
            if ahead is None:
                frame.old = None
                return False
        frame.ahead = ahead
        old_row, kind, size, content = ahead[1]
        if ahead[0] != name or old_row != row:
            return False
        packs = self._packs_of(content)
        if packs is None:
            return False
        self._gatherer.add(Known(Entry(name, kind, size, content, 1), packs, row))
        self._counters.files_done += 1
        self._counters.bytes_done += size
        return True

    def _packs_of(self, content: Content) -> tuple[int, ...] | None:
        reader = self._reading()
        if content.form == Form.CHUNK:
            location = reader.find(content.value)
            return None if location is None else (location.pack,)
        if content.form == Form.RECIPE:
            packs = reader.page_packs(content.value)
            return None if packs is None else tuple(packs)
        return ()

    def _symlink(self, frame: _Frame, name: bytes) -> None:
        path = frame.path + b"/" + name
        try:
            target = os.readlink(name, dir_fd=frame.descriptor)
        except OSError:
            self._vanished(path)
            return
        links = self._options.links
        if links != "keep" and source.leads_out(target, len(self._stack) - 1):
            if links == "follow":
                self._follow(frame, name, path)
            else:
                self.trouble.add(LEADS_OUT, path)
            return
        entry = Entry(name, Kind.SYMLINK, len(target), Content(Form.SYMLINK, target), 1)
        self._gatherer.add(Known(entry, (), UNTRUSTED))
        self._counters.files_done += 1

    def _follow(self, frame: _Frame, name: bytes, path: bytes) -> None:
        try:
            stat = os.stat(name, dir_fd=frame.descriptor)
        except OSError:
            self.trouble.add(UNREADABLE, path)
            return
        if stat_module.S_ISDIR(stat.st_mode):
            self._directory(frame, name, follow=True)
        elif stat_module.S_ISREG(stat.st_mode):
            self._file(name, path, frame.descriptor, stat, UNTRUSTED, follow=True)
        else:
            self.trouble.add(ODD, path)

    def _file(
        self,
        name: bytes,
        path: bytes,
        parent: int,
        stat: os.stat_result,
        row: bytes,
        *,
        follow: bool = False,
        entry_name: bytes | None = None,
    ) -> None:
        """Read a file until it is the same before and after, up to CHANGED_RETRIES times more."""
        self._counters.current = path
        self._reader_uses += 1
        if self._reader_uses >= READER_USES or stat.st_size >= limits.BATCH_BYTES:
            self._end_reading()
        if self._former is not None and path in self._options.being_written:
            self._take_former(path, entry_name or name, self._former)
            return
        try:
            descriptor = source.open_file(name, parent, follow=follow)
        except FileNotFoundError:
            self._vanished(path)
            return
        except OSError as error:
            self._unreadable(error, path)
            return
        try:
            if self.trouble.is_fatal:
                return
            if not self._files.take(descriptor, entry_name or name, stat, row):
                if self._former is None:
                    self._changing(path)
                else:
                    self._take_former(path, entry_name or name, self._former)
        except OSError as error:
            self._unreadable(error, path)
        finally:
            os.close(descriptor)

    # -- the index

    def _reading(self) -> IndexReader:
        """A snapshot of the index, renewed now and then: an old one keeps pages of the index from being used again."""
        if self._reader is None or self._reader_uses >= READER_USES:
            self._end_reading()
            self._reader_context = self._index.read()
            self._reader = self._reader_context.__enter__()
            self._reader_uses = 0
        self._reader_uses += 1
        return self._reader

    def _end_reading(self) -> None:
        if self._reader is not None:
            self._reader = None
            self._reader_context.__exit__(None, None, None)


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
