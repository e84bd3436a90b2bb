"""What tells of changes in one folder: the system, where it can, and else a look now and then."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from artstore import limits
from artstore_daemon.watch.inotify import NotifiedTree, Notifier, TooMany, raising_queue
from artstore_daemon.watch.looking import signatures, why_polled

Touched = Callable[[bytes], None]
Lost = Callable[[], None]


class Source(Protocol):
    """One folder. `how`: in a word; `why`: why it isn't otherwise, None if that needs no saying."""

    @property
    def how(self) -> str: ...
    @property
    def why(self) -> str | None: ...
    @property
    def folders(self) -> int:
        """How many are watched; 0 if none has to be."""
        ...

    @property
    def is_dead(self) -> bool:
        """Was the folder deleted or moved, so that nothing is heard of what is in its place?"""
        ...

    @property
    def settle_s_min(self) -> float:
        """How long nothing must have been heard, so that nothing has happened."""
        ...

    def tend(self, now: float) -> None:
        """Called now and then, on any thread, never twice at once."""
        ...

    def close(self) -> None: ...


def open_source(
    root: str, notifier: Callable[[], Notifier], *, poll_s: float | None, touched: Touched, lost: Lost
) -> Source:
    """Hear of changes below a folder: `touched` with what changed, or something in it, `lost` if nobody knows.
    FileNotFoundError.

    `notifier`: the process's one, made when it is first needed; `poll_s`: look that often instead.
    """
    if poll_s is not None:
        return Polled(root, poll_s, touched, why=None)
    why = why_polled(root)
    if why is not None:
        return Polled(root, limits.WATCH_POLL_S, touched, why=why)
    try:
        return Notified(root, notifier(), touched, lost)
    except TooMany as error:
        return Polled(root, limits.WATCH_POLL_S, touched, why=f"{error.message}: {error.hint}")


class Notified:
    """The system tells."""

    def __init__(self, root: str, notifier: Notifier, touched: Touched, lost: Lost) -> None:
        self._lost = lost
        self._overflows = 0
        self._renewed = 0
        self._why: str | None = None
        self._root = root
        self._touched = touched
        self._polled: Polled | None = None  # besides, once there are folders that can't be watched
        self._is_dead = False
        self._tree: NotifiedTree = notifier.tree(root, touched=touched, lost=self._overflowed, gone=self._end)

    @property
    def how(self) -> str:
        return "inotify" if self._polled is None else self._polled.how

    @property
    def why(self) -> str | None:
        return self._why

    @property
    def folders(self) -> int:
        return self._tree.folders

    @property
    def is_dead(self) -> bool:
        return self._is_dead

    @property
    def settle_s_min(self) -> float:
        return 0.0 if self._polled is None else self._polled.settle_s_min

    def tend(self, now: float) -> None:
        """Register again what may have been missed, and look through what can't be."""
        if self._renewed != self._overflows:
            self._renewed = self._overflows
            self._renew()
            self._lost()  # what happened until they were registered
        if self._polled is not None:
            self._polled.tend(now)

    def _renew(self) -> None:
        try:
            self._tree.renew()
        except TooMany as error:
            self._why = f"some folders aren't watched: {error.message}: {error.hint}"
            if self._polled is None:
                self._polled = Polled(self._root, limits.WATCH_POLL_S, self._touched, why=self._why)
        else:
            self._polled = None

    def close(self) -> None:
        self._tree.close()

    def _end(self) -> None:
        self._is_dead = True

    def _overflowed(self) -> None:
        self._overflows += 1
        self._why = f"events were lost {self._overflows} times; it was looked through instead: {raising_queue()}"
        self._lost()


class Polled:
    """Nobody tells: the folder is looked through every so often."""

    def __init__(self, root: str, every_s: float, touched: Touched, *, why: str | None) -> None:
        self._root = root
        self._every_s = every_s
        self._touched = touched
        self._why = why
        self._seen: dict[bytes, bytes] | None = None
        self._next = float("-inf")

    @property
    def how(self) -> str:
        return f"polled every {self._every_s:g} s"

    @property
    def why(self) -> str | None:
        return self._why

    @property
    def folders(self) -> int:
        return 0

    @property
    def is_dead(self) -> bool:
        return False

    @property
    def settle_s_min(self) -> float:
        return self._every_s + 2 * limits.WATCH_LOOK_S

    def tend(self, now: float) -> None:
        """Look, if it is time."""
        if now < self._next:
            return
        self._next = now + self._every_s
        found = signatures(self._root)
        if found is None:
            return
        if self._seen is not None:
            for name, _ in sorted(found.items() ^ self._seen.items()):
                self._touched(os.path.join(os.fsencode(self._root), name))
        self._seen = found

    def close(self) -> None:
        return
