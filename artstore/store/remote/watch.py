"""Whether anything has moved at a remote: one request a look, and no listing.

Whoever writes a ref writes `hint` afterwards (DESIGN, "Push", step 7), so that its ETag tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.format.remote import HINT_KEY
from artstore.model import UNCHANGED

if TYPE_CHECKING:
    from artstore.ports import Remote


class RemoteWatch:
    """Looks at one remote, on one thread. `close` lets go of the connection."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._etag: str | None = None
        self._looked = False

    @property
    def url(self) -> str:
        """Which remote it is."""
        return self._remote.url

    def changed(self) -> bool:
        """Were names written since the last look? True at the first one. RemoteError, NotPermitted as any request."""
        found = self._remote.get(HINT_KEY) if self._etag is None else self._remote.poll(HINT_KEY, self._etag)
        if found is UNCHANGED:
            return False
        etag = None if found is None else found.etag
        is_new = not self._looked or etag != self._etag
        self._etag, self._looked = etag, True
        return is_new

    def close(self) -> None:
        """Let go of it."""
        self._remote.close()
