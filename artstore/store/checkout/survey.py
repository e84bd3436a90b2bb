"""What of a version lies in the destination already: compared by content, before anything is written.

Remembers one byte for each entry that it met, in the order of the walk; the restoring walks along it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Unsafe
from artstore.model import Kind
from artstore.store.checkout.batches import Verdict
from artstore.store.checkout.entries import traverse
from artstore.store.checkout.folders import Folder, Folders
from artstore.store.content import iter_content
from artstore.store.crew import Crew
from artstore.store.trouble import translate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.model import Entry
    from artstore.store.objects import Objects

_TASK_BYTES = 16 * limits.MIB
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Question:
    """One file whose verdict goes to `index`."""

    index: int
    folder: Folder
    entry: Entry


class Survey:
    """Verdicts of everything in folders that existed, in the order of the walk."""

    def __init__(self, objects: Objects, folders: Folders, *, force: bool) -> None:
        self.verdicts = bytearray()
        self._objects = objects
        self._folders = folders
        self._force = force
        self._lock = Lock()
        self._conflicts = 0
        self._named: list[bytes] = []

    def run(self, entries: Iterable[Entry], workers: int) -> None:
        """Compare; Unsafe if something would be overwritten that differs (unless forced) or is a folder."""
        task: list[_Question] = []
        size = 0
        walk = traverse(self._objects, self._folders.top, entries, enter=self._enter)
        with Crew(self._answer, workers, waiting=limits.RESTORE_TASKS_PER_WORKER) as crew:
            for folder, entry in walk:
                task.append(_Question(self._note(Verdict.ABSENT), folder, entry))
                size += entry.size
                if size >= _TASK_BYTES or len(task) >= limits.RESTORE_BATCH_FILES_MAX:
                    crew.put(task)
                    task, size = [], 0
            crew.put(task)
        self._judge()

    def _enter(self, parent: Folder, entry: Entry) -> Folder | None:
        """The folder of that name if there is one: what isn't there has nothing to compare with."""
        path = parent.path(entry.name)
        try:
            with self._folders.pin(parent) as above:
                mode = os.stat(entry.name, dir_fd=above, follow_symlinks=False).st_mode
        except FileNotFoundError:
            self._note(Verdict.ABSENT)
            return None
        except OSError as error:
            raise translate(error, "look at", path) from error
        if stat.S_ISDIR(mode):
            self._note(Verdict.SAME)
            return Folder(parent, entry.name, fresh=False)
        self._note(Verdict.DIFFERENT)
        self._object(path, Verdict.DIFFERENT)
        return None

    def _note(self, verdict: Verdict) -> int:
        self.verdicts.append(verdict)
        return len(self.verdicts) - 1

    def _answer(self, task: list[_Question]) -> None:
        for question in task:
            folder, entry = question.folder, question.entry
            try:
                with self._folders.pin(folder) as above:
                    verdict = compare(self._objects, entry, entry.name, above)
            except OSError as error:
                raise translate(error, "read", folder.path(entry.name)) from error
            self.verdicts[question.index] = verdict
            if verdict >= Verdict.DIFFERENT:
                self._object(folder.path(entry.name), verdict)

    def _object(self, path: bytes, verdict: Verdict) -> None:
        if self._force and verdict != Verdict.FOLDER:
            return
        with self._lock:
            self._conflicts += 1
            if len(self._named) < limits.CONFLICTS_NAMED_MAX:
                self._named.append(path)

    def _judge(self) -> None:
        if not self._conflicts:
            return
        names = ", ".join(path.decode(errors="backslashreplace") for path in sorted(self._named))
        more = ", …" if self._conflicts > len(self._named) else ""
        if self._force:
            raise Unsafe(f"folders stand where files should be: {names}{more}", hint="move them away")
        what = "1 file that differs" if self._conflicts == 1 else f"{self._conflicts} files that differ"
        hint = "choose another folder, or replace them with --force"
        raise Unsafe(f"this would overwrite {what}: {names}{more}", hint=hint)


def compare(objects: Objects, entry: Entry, name: bytes, above: int) -> Verdict:
    """How what stands at `name` in the folder `above` compares with an entry; reads no further than to a difference."""
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return Verdict.ABSENT
    if stat.S_ISDIR(found.st_mode):
        return Verdict.FOLDER
    if entry.kind == Kind.SYMLINK:
        same = stat.S_ISLNK(found.st_mode) and os.readlink(name, dir_fd=above) == entry.content.value
        return Verdict.SAME if same else Verdict.DIFFERENT
    if not stat.S_ISREG(found.st_mode) or found.st_size > entry.size:
        return Verdict.DIFFERENT
    try:
        descriptor = os.open(name, _READ, dir_fd=above)
    except PermissionError:
        return Verdict.DIFFERENT
    try:
        if not begins_alike(objects, entry, descriptor, found.st_size):
            return Verdict.DIFFERENT
    finally:
        os.close(descriptor)
    if found.st_size < entry.size:
        return Verdict.PARTIAL
    executable = bool(found.st_mode & 0o111)
    return Verdict.SAME if executable == (entry.kind == Kind.EXEC) else Verdict.MODE


def begins_alike(objects: Objects, entry: Entry, descriptor: int, size: int) -> bool:
    """Whether the first `size` bytes of an open file are those of an entry's content."""
    buffer = memoryview(bytearray(min(size, limits.CHUNK_BYTES_MAX)))
    for start, id, raw in iter_content(objects.load, entry.content, entry.size):
        if start >= size:
            break
        view = buffer[: min(raw, size - start)]
        if not read_fully(descriptor, view, start):
            return False
        same = objects.ids.chunk(view) == id if len(view) == raw else bytes(view) == objects.chunk(id)[: len(view)]
        if not same:
            return False
    return True


def read_fully(descriptor: int, view: memoryview, offset: int) -> bool:
    """Fill `view` from `offset` of an open file; False if the file ends before."""
    filled = 0
    while filled < len(view):
        count = os.preadv(descriptor, [view[filled:]], offset + filled)
        if count == 0:
            return False
        filled += count
    return True
