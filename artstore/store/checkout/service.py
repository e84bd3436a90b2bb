"""One checkout from its beginning to its end: where it goes, what is kept, who writes, what is left behind.

Written files stand under their names only when they are whole. What was finished stays when a run is cut short, and
the next run goes on from there.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Corrupt, Unsafe
from artstore.format.tree import iter_entries
from artstore.model import Entry, Form, Kind
from artstore.store.checkout.batches import Batcher, Target, Verdict, Whole
from artstore.store.checkout.entries import traverse
from artstore.store.checkout.folders import Folder, Folders
from artstore.store.checkout.leftovers import Leftovers
from artstore.store.checkout.restore import Restorer
from artstore.store.checkout.survey import Survey
from artstore.store.content import iter_content
from artstore.store.context import Counters
from artstore.store.crew import Crew, worker_count
from artstore.store.read import entry_at
from artstore.store.trouble import translate

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from artstore.store.checkout.batches import Batch
    from artstore.store.context import Context
    from artstore.store.objects import Objects


@dataclass(frozen=True, slots=True)
class CheckoutResult:
    """What a checkout did: `files` and `size` of what was asked for, `reused_files` that lay there already."""

    files: int
    size: int
    written_bytes: int
    reused_files: int
    seconds: float


def checkout(
    context: Context,
    objects: Objects,
    tree: bytes,
    dest: str | bytes | os.PathLike[str],
    *,
    subpath: bytes = b"",
    force: bool = False,
    workers: int | None = None,
    counters: Counters | None = None,
    sync: bool = False,
) -> CheckoutResult:
    """Restore a tree, or what lies at `subpath` of it, into the folder `dest`.

    A single file goes into `dest` if that is a folder, else it becomes `dest`. What lies there with the right content
    is kept; Unsafe before anything is written if a file differs and not `force`. Other files are left alone. `sync`:
    durable when it returns. NoSpace, NotPermitted, Corrupt and Ctrl-C leave finished files, and no unfinished ones.
    """
    started = monotonic()
    counters = counters or Counters()
    top = entry_at(objects, tree, subpath)
    counters.files_total, counters.bytes_total = top.files, top.size
    path, entries = _destination(context, os.fsencode(dest), top)
    with _made(path) as fresh, Folders(path, fresh=fresh) as folders, _locked(folders.top):
        run = _Run(objects, folders, top, entries, counters, force=force, workers=worker_count(workers))
        run.run()
        if sync:
            _sync(folders.top)
    return CheckoutResult(
        files=top.files,
        size=top.size,
        written_bytes=run.restorer.written_bytes,
        reused_files=run.reused_files,
        seconds=monotonic() - started,
    )


class _Run:
    """The thread that walks the tree, makes folders and hands out batches."""

    def __init__(
        self,
        objects: Objects,
        folders: Folders,
        top: Entry,
        entries: tuple[Entry, ...] | None,
        counters: Counters,
        *,
        force: bool,
        workers: int,
    ) -> None:
        self.restorer = Restorer(objects, folders, counters)
        self.reused_files = 0
        self._objects = objects
        self._folders = folders
        self._top = top
        self._entries = entries
        self._counters = counters
        self._force = force
        self._workers = workers
        self._leftovers = Leftovers(objects, folders)
        self._verdicts: Iterator[int] = iter(())
        self._surveyed: set[Folder] = set()  # of the folders entered and not left yet

    def run(self) -> None:
        if not self._folders.top.fresh:
            survey = Survey(self._objects, self._folders, force=self._force)
            survey.run(self._entries_of_top(), self._workers)
            self._verdicts = iter(survey.verdicts)
            self._surveyed.add(self._folders.top)
            if self._entries is None:
                self._leftovers.enter(self._folders.top, self._top.content.value)
        try:
            with Crew(self.restorer.run, self._workers, waiting=limits.RESTORE_TASKS_PER_WORKER) as crew:
                for batch in self._batches():
                    crew.put(batch)
        finally:
            self.restorer.clean()

    def _entries_of_top(self) -> Iterable[Entry]:
        if self._entries is not None:
            return self._entries
        return iter_entries(self._top.content.value, self._objects.load)

    def _batches(self) -> Iterator[Batch]:
        batcher = Batcher()
        walk = traverse(self._objects, self._folders.top, self._entries_of_top(), enter=self._enter, leave=self._leave)
        for folder, entry in walk:
            verdict = self._verdict(folder, entry)
            if verdict in {Verdict.SAME, Verdict.MODE}:
                self._keep(folder, entry, verdict)
            elif entry.size <= limits.RESTORE_BATCH_BYTES or entry.content.form != Form.RECIPE:
                if full := batcher.whole(Whole(folder, entry)):
                    yield full
            else:
                target = self._target(folder, entry, verdict)
                chunks = iter_content(self._objects.load, entry.content, entry.size)
                yield from batcher.target(target, chunks, () if target.seed else self.restorer.holes)
        yield batcher.rest()

    def _target(self, folder: Folder, entry: Entry, verdict: Verdict) -> Target:
        self._counters.current = folder.path(entry.name)
        if leftover := self._leftovers.claim(folder, entry):
            return Target(folder, entry, seed=leftover, owned=True)
        return Target(folder, entry, seed=b"" if verdict == Verdict.ABSENT else entry.name, owned=False)

    def _enter(self, parent: Folder, entry: Entry) -> Folder:
        verdict = self._next_verdict(parent, entry)
        replace = verdict == Verdict.DIFFERENT and not parent.fresh
        folder = self._folders.make(parent, entry.name, replace=replace)
        if verdict == Verdict.SAME:
            # Its verdicts come next, even if it was removed since and made anew.
            self._surveyed.add(folder)
        if not folder.fresh:
            if verdict != Verdict.SAME:
                raise Unsafe(f"{os.fsdecode(folder.path())!r} appeared while this ran", hint="run the command again")
            self._leftovers.enter(folder, entry.content.value)
        return folder

    def _leave(self, folder: Folder) -> None:
        self._surveyed.discard(folder)
        self._leftovers.leave(folder)

    def _verdict(self, folder: Folder, entry: Entry) -> Verdict:
        """What the survey found at an entry's place."""
        verdict = self._next_verdict(folder, entry)
        return Verdict.ABSENT if folder.fresh else verdict

    def _next_verdict(self, folder: Folder, entry: Entry) -> Verdict:
        """The survey looked into the same folders in the same order."""
        if folder not in self._surveyed:
            return Verdict.ABSENT
        verdict = next(self._verdicts, None)
        if verdict is None:
            raise Corrupt(f"the tree changed while it was read, at {os.fsdecode(folder.path(entry.name))!r}")
        return Verdict(verdict)

    def _keep(self, folder: Folder, entry: Entry, verdict: Verdict) -> None:
        self.reused_files += 1
        self._counters.files_done += 1
        self._counters.bytes_done += entry.size
        if verdict == Verdict.MODE:
            try:
                with self._folders.pin(folder) as above:
                    _set_mode(entry, above)
            except OSError as error:
                raise translate(error, "change the permissions of", folder.path(entry.name)) from error


def _destination(context: Context, dest: bytes, top: Entry) -> tuple[bytes, tuple[Entry, ...] | None]:
    """The folder that things go into, and what goes there if it isn't a tree's content."""
    entries: tuple[Entry, ...] | None = None
    if top.kind != Kind.DIR:
        name = top.name
        if not os.path.isdir(dest):
            dest, name = os.path.split(dest)
            dest = dest or b"."
            if name in {b"", b".", b".."}:
                raise Unsafe(f"{os.fsdecode(dest)!r} is no folder", hint="name a folder that exists, or a file in one")
        entries = (Entry(name, top.kind, top.size, top.content, top.files),)
    store = os.path.realpath(os.fsencode(context.path))
    if os.path.commonpath([store, os.path.realpath(dest)]) == store:
        raise Unsafe(f"{os.fsdecode(dest)!r} lies in the store itself", hint="choose another folder")
    return dest, entries


@contextmanager
def _made(path: bytes) -> Generator[bool]:
    """Make the destination if it isn't there, and remove it again if nothing came of it. Gives whether it is empty."""
    made = not os.path.lexists(path)
    try:
        if made:
            os.makedirs(path)
        with os.scandir(path) as found:
            empty = next(found, None) is None
    except OSError as error:
        raise translate(error, "make or read the folder", path) from error
    try:
        yield empty
    except BaseException:
        if made:
            with suppress(OSError):  # something was restored
                os.rmdir(path)
        raise


@contextmanager
def _locked(top: Folder) -> Generator[None]:
    """Two checkouts into one folder would take each other's temporary files for leftovers."""
    try:
        fcntl.flock(top.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(f"another checkout writes to {os.fsdecode(top.path())!r}", hint="wait for it to end") from error
    except OSError as error:
        # Some network file systems can't lock; there the user must see to it.
        if error.errno is None:
            raise
    yield


def _set_mode(entry: Entry, above: int) -> None:
    descriptor = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    try:
        mode = os.fstat(descriptor).st_mode & 0o777
        # Who may read may execute, as the umask has it for new files.
        os.fchmod(descriptor, mode | (mode & 0o444) >> 2 if entry.kind == Kind.EXEC else mode & ~0o111)
    finally:
        os.close(descriptor)


def _sync(top: Folder) -> None:
    """Everything of the destination's file system to disk: one call, whatever the number of files."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
    elif syncfs(top.descriptor) != 0:
        code = ctypes.get_errno()
        raise translate(OSError(code, os.strerror(code)), "make durable", top.path())
