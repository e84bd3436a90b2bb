"""Changes below folders, as Linux tells of them (inotify(7)), through watchdog's reader of its events.

watchdog's observers aren't used: they turn events into paths, pair moves and register all folders anew when the queue
of the kernel overflows, which keeps them from seeing anything for as long as it goes on. A hint needs none of that.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Final

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

from artstore import limits
from artstore.errors import Busy

_MASK: Final = Mask(
    InotifyConstants.IN_MODIFY
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
)
_UNMOUNTED: Final = 0x2000  # IN_UNMOUNT of <sys/inotify.h>, which comes unasked
_SETTINGS: Final = {
    errno.ENOSPC: ("max_user_watches", "folders", 1_048_576),
    errno.EMFILE: ("max_user_instances", "programs", 1024),
}
_QUEUE: Final = "max_queued_events"


class TooMany(Busy):
    """The system watches no more folders for this user; the hint says what raises that."""


def raising(error_number: int) -> str:
    """The command that raises a limit of inotify, by the errno that told of it."""
    name, _, value = _SETTINGS[error_number]
    return f"sudo sysctl fs.inotify.{name}={value}"


def raising_queue() -> str:
    """The command that lets more events wait to be read."""
    return f"sudo sysctl fs.inotify.{_QUEUE}=131072"


class Notifier:
    """One queue of the kernel for all folders of a process. Thread-safe; what it tells comes on a thread of its own."""

    def __init__(self) -> None:
        try:
            self._queue = InotifyFD()
        except OSError as error:
            raise _translated(error) from error
        self._queue.start()

    def tree(
        self, root: str, *, touched: Callable[[bytes], None], lost: Callable[[], None], gone: Callable[[], None]
    ) -> NotifiedTree:
        """Hear of changes below a folder: `touched` with what changed, `lost` when events were, `gone` when `root` is
        no more what it was. TooMany if it has too many folders; FileNotFoundError.
        """
        tree = NotifiedTree(self._queue, os.fsencode(root), touched=touched, lost=lost, gone=gone)
        try:
            tree.begin()
        except BaseException:
            tree.close()
            raise
        return tree

    def close(self) -> None:
        """Hear nothing any more."""
        self._queue.stop()
        self._queue.join()


class NotifiedTree:
    """The folders below one root. Implements watchdog's `WatchCallback`."""

    def __init__(
        self,
        queue: InotifyFD,
        root: bytes,
        *,
        touched: Callable[[bytes], None],
        lost: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._root = root
        self._touched = touched
        self._lost = lost
        self._gone = gone
        self._lock = Lock()
        self._paths: dict[WatchDescriptor, bytes] = {}
        self._closed = False

    @property
    def folders(self) -> int:
        """How many are watched."""
        return len(self._paths)

    def begin(self) -> None:
        """Register all folders there are now."""
        self._add(self._root)
        if not self._paths:
            raise FileNotFoundError(errno.ENOENT, "no such folder", os.fsdecode(self._root))

    def close(self) -> None:
        """Hear no more of it."""
        with self._lock:
            self._closed = True
            watched, self._paths = list(self._paths), {}
        self._forget(watched)

    def on_event(self, event: InotifyEvent) -> None:
        """Called by watchdog's thread."""
        with self._lock:
            folder = self._paths.get(event.wd)
        if folder is None:
            return
        if event.mask & _UNMOUNTED or event.is_delete_self or event.is_move_self:
            if folder == self._root:
                self._gone()
            return
        path = os.path.join(folder, event.name) if event.name else folder
        if event.mask & InotifyConstants.IN_ISDIR and event.name:
            if event.is_moved_from:
                self._remove(path)
            elif event.is_create or event.is_moved_to:
                self._add_late(path)
        self._touched(path)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Called by watchdog's thread: the folder is gone."""
        with self._lock:
            self._paths.pop(wd, None)

    def on_queue_overflow(self) -> None:
        """Called by watchdog's thread: folders may have been made that nobody watches."""
        self._lost()

    def renew(self) -> None:
        """Register what isn't: after events were lost. TooMany."""
        self._add(self._root)

    def _add_late(self, path: bytes) -> None:
        try:
            self._add(path)
        except TooMany:
            self._lost()

    def _add(self, top: bytes) -> None:
        """A folder and all below it; it is registered first and listed then, so that what is made meanwhile is seen."""
        left = [top]
        while left:
            path = left.pop()
            if len(self._paths) >= limits.WATCH_FOLDERS_MAX:
                raise TooMany(
                    f"{os.fsdecode(self._root)} has more than {limits.WATCH_FOLDERS_MAX} folders", hint="it is polled"
                )
            if not self._register(path):
                continue
            with suppress(OSError), os.scandir(path) as entries:  # gone again
                left += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]

    def _register(self, path: bytes) -> bool:
        with self._lock:
            if self._closed:
                return False
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # that it is registered already
                    number = self._queue.add_callback(path, _MASK, self, CallbackId(id(self)))
            except OSError as error:
                if error.errno in _SETTINGS:
                    raise _translated(error) from error
                return False  # gone again, or not ours to read: then a commit tells
            if number < 0:  # watchdog's way to say EACCES
                return False
            self._paths[number] = path
        return True

    def _remove(self, top: bytes) -> None:
        """A folder that was moved away, and all below it: it may come back elsewhere."""
        with self._lock:
            watched = [wd for wd, path in self._paths.items() if path == top or path.startswith(top + b"/")]
            for wd in watched:
                del self._paths[wd]
        self._forget(watched)

    def _forget(self, watched: list[WatchDescriptor]) -> None:
        with suppress(OSError):
            self._queue.remove_callbacks([(wd, CallbackId(id(self))) for wd in watched])


def _translated(error: OSError) -> TooMany:
    assert error.errno in _SETTINGS, error
    name, of, _ = _SETTINGS[error.errno]
    return TooMany(f"the system watches no more {of} (fs.inotify.{name})", hint=raising(error.errno))
