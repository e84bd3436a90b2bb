"""`artstore.Store`: its remotes, which its config names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from artstore import limits, wiring
from artstore.errors import BadName, Conflict
from artstore.model import RemotePlace
from artstore.store import facade

if TYPE_CHECKING:
    from artstore.store.remote.selftest import RemoteFinding


class Remotes(facade.Store):
    """What changes and tries out the remotes of a store."""

    def remotes(self) -> dict[str, RemotePlace]:
        """By name, in the order in which they were added; the first one is the store's home."""
        return wiring.remotes(self.path)

    def add_remote(self, name: str, place: RemotePlace) -> None:
        """Note a remote, once it was reached and is empty or one of artstore's. Conflict, RemoteError, NotPermitted."""
        _require_name(name)
        known = self.remotes()
        if name in known:
            raise Conflict(f"there is a remote {name} already", hint="`artstore remote list` shows it")
        for other, there in known.items():
            if there.url.rstrip("/") == place.url.rstrip("/") and there.endpoint == place.endpoint:
                raise Conflict(f"{place.url} is the remote {other} already")
        wiring.prepare_remote(self.path, place)
        wiring.put_remote(self.path, name, place, known=False)

    def remove_remote(self, name: str) -> None:
        """Forget a remote; nothing at it is touched."""
        wiring.drop_remote(self.path, name)

    def check_remote(self, name: str | None = None) -> tuple[str, list[RemoteFinding]]:
        """Try out what a remote promises, the home one if none is named; whether several may write is noted."""
        from artstore.store.remote.selftest import check_remote

        name, place = wiring.find_remote(self.path, name)
        remote = wiring.open_remote(place)
        try:
            findings = check_remote(remote)
        finally:
            remote.close()
        single = not all(finding.ok for finding in findings)
        if single != place.single_writer:
            wiring.put_remote(self.path, name, replace(place, single_writer=single), known=True)
        return name, findings


def _require_name(name: str) -> None:
    allowed = name.replace("-", "").replace("_", "").replace(".", "")
    if not allowed.isascii() or not allowed.isalnum() or name[0] in "-." or len(name) > limits.REMOTE_NAME_BYTES_MAX:
        raise BadName(f"{name!r} is no name of a remote", hint="use letters, digits, - and _: origin, nas, backup-2")
