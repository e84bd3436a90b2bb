"""The pin of a running push: which packs it writes or relies on, so that collection keeps its hands off them.

A pin counts as long as it is younger than the remote's grace; a push that takes longer says it again, every hour, or
more often where the grace is short.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.remote import Pin, encode_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.ports import Remote

PINS = "pins/"
_RANDOM_BYTES = 12


class PushPin:
    """One pin. `keys`: what it says now; `now`: a clock that goes on while the machine sleeps; `grace`: s."""

    def __init__(
        self, remote: Remote, keys: Callable[[], Iterable[str]], now: Callable[[], float], *, grace: int
    ) -> None:
        self._every = min(limits.REMOTE_PIN_S, grace / limits.REMOTE_PIN_PARTS)
        self._remote = remote
        self._keys = keys
        self._now = now
        self._key = PINS + secrets.token_hex(_RANDOM_BYTES)
        self._written: float | None = None

    def put(self) -> None:
        """Say it."""
        moment = self._now()  # before it is there: it is at least as young as that
        self._remote.put(self._key, encode_remote(Pin(sorted(self._keys()))))
        self._written = moment

    def renew(self) -> None:
        """Say it again if that was long ago."""
        if self._written is not None and self._now() - self._written >= self._every:
            self.put()

    def drop(self) -> None:
        """The push is over."""
        if self._written is not None:
            self._remote.delete(self._key)
