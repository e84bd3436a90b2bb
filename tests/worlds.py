"""Machines, a home and mirrors in folders, each of which may be out of reach."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.format.remote import MIRROR_KEY, MirrorOf, RemoteAlias, RemoteTag, decode_remote
from artstore.model import RemotePlace
from artstore.ports import Remote
from tests.encrypting import as_seen_by
from tests.machines import noise


@dataclass
class World:
    """Machines with a home and mirrors in folders, each of which may be out of reach."""

    path: Path
    stack: ExitStack
    opened: dict[str, Store] = field(default_factory=dict[str, Store])
    made: list[Store] = field(default_factory=list[Store])

    def place(self, name: str) -> RemotePlace:
        return RemotePlace(url=f"file://{self.path / name}")

    def remote(self, name: str) -> Remote:
        inner = FolderRemote(self.place(name))
        return as_seen_by(self.made[0], inner) if self.made else inner

    def store(self, name: str, *mirrors: str) -> Store:
        """A new machine, whose home is `home`."""
        store = self.stack.enter_context(Store.init(self.path / name))
        self.made.append(store)
        store.add_remote("home", self.place("home"))
        for mirror in mirrors:
            store.add_mirror(mirror, self.place(mirror))
        return store

    def clone(self, name: str, source: str = "home", *, full: bool = True) -> Store:
        store, result = Store.clone(self.place(source), self.path / name, name=source, full=full)
        assert not result.conflicts
        return self.stack.enter_context(store)

    def commit(self, store: Store, tag: str, **files: bytes) -> bytes:
        folder = self.path / f"folder-{tag.replace('/', '-')}"
        folder.mkdir(exist_ok=True)
        for name, data in (files or {"a": noise(100_000, hash(tag) % 1000)}).items():
            (folder / name).write_bytes(data)
        store.commit(folder, tag=tag)
        return store.resolve(tag).version

    def down(self, name: str) -> None:
        """Nobody reaches it."""
        (self.path / name).rename(self.path / f"{name}-away")

    def up(self, name: str) -> None:
        (self.path / f"{name}-away").rename(self.path / name)

    def claim(self, name: str) -> tuple[bytes, int] | None:
        """Who is home, says this remote, and since which promotion."""
        found = self.remote(name).get(MIRROR_KEY)
        return None if found is None else ((told := decode_remote(MirrorOf, found.data)).home, told.epoch)

    def id(self, name: str) -> bytes:
        return bytes.fromhex(self.opened["one"].remotes()[name].id or "")

    def alias(self, name: str, alias: str) -> RemoteAlias | None:
        found = self.remote(name).get(f"aliases/{alias}")
        return None if found is None else decode_remote(RemoteAlias, found.data)

    def tags(self, name: str) -> dict[str, bytes]:
        """What tags name at a remote; b"" for tombstones."""
        remote = self.remote(name)
        keys = [each.key for each in remote.list("tags/")]
        found = {key: remote.get(key) for key in keys}
        return {
            key.removeprefix("tags/"): decode_remote(RemoteTag, each.data).version
            for key, each in found.items()
            if each is not None
        }

    def is_whole(self, name: str, source: str) -> bool:
        """Can all that a remote names be had from it alone?"""
        store = self.clone(name, source)
        return store.check(data=True).is_sound
