"""Makes new packs of objects and sends them, with shards that tell of them; each under a new name [I6]."""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.format.codec import Encoder
from artstore.format.frame import header
from artstore.format.pack import encode_table, encode_tail
from artstore.format.remote import ShardPack, encode_shard
from artstore.model import ObjectKind, PackKind, TableEntry
from artstore.store.remote.plan import id_of
from artstore.store.repair_remote.sources import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.ports import Remote

_RANDOM_BYTES: Final = 12
_ROW_BYTES: Final = limits.FRAME_HEADER_BYTES + limits.TABLE_ENTRY_BYTES


@dataclass(slots=True)
class _Filling:
    """The pack of one kind that is being filled, in memory."""

    key: str
    data: io.BytesIO = field(default_factory=io.BytesIO)
    entries: list[TableEntry] = field(default_factory=list[TableEntry])


class Sender:
    """Sends what one repair has found. `places`: the key of each object that was taken in; `shards`: of each key that
    a shard of ours tells of, which one. `send`: False to find out only what would be sent. `moved`, if it is set, is
    called after each pack or shard.
    """

    def __init__(self, remote: Remote, level: int, *, send: bool) -> None:
        self._remote = remote
        self._encoder = Encoder(level)
        self._send = send
        self.moved: Callable[[], None] | None = None
        self._random = secrets.token_hex(_RANDOM_BYTES)
        self._minted = 0
        self._filling: dict[PackKind, _Filling] = {}
        self._untold: list[ShardPack] = []
        self._tables_bytes = 0
        self.places: dict[bytes, str] = {}
        self.shards: dict[str, str] = {}
        self.keys: set[str] = set()
        self.packs = 0
        self.sent_bytes = 0
        self.shards_made = 0

    def mint(self, kind: str) -> str:
        """A key that was never used."""
        self._minted += 1
        key = f"{kind}/{self._random}/{self._minted:08}"
        self.keys.add(key)
        return key

    def add(self, entry: TableEntry, data: bytes) -> None:
        """Take in an object; its pack is sent once it is full."""
        kind = PackKind.DATA if kind_of(entry) is ObjectKind.CHUNK else PackKind.META
        most = limits.PACK_BYTES_TARGET if kind is PackKind.DATA else limits.METAPACK_BYTES_TARGET
        filling = self._filling.get(kind)
        if filling is not None and (
            filling.data.tell() + len(filling.entries) * _ROW_BYTES + len(data) > most
            or len(filling.entries) >= limits.PACK_ENTRIES_MAX
        ):
            self._close(kind)
            filling = None
        if filling is None:
            filling = self._filling[kind] = _Filling(self.mint("p" if kind is PackKind.DATA else "m"))
        codec, stored = self._encoder.encode(data)
        offset = filling.data.tell()
        filling.data.write(header(entry.id, len(stored), len(data), codec, entry.flags))
        filling.data.write(stored)
        filling.entries.append(TableEntry(entry.id, offset, len(stored), len(data), codec, entry.flags))
        self.places[entry.id] = filling.key

    def tell(self, pack: ShardPack) -> None:
        """Let the next shard tell of a pack."""
        full = self._tables_bytes + len(pack.table) > limits.REMOTE_SHARD_TABLES_BYTES_MAX
        if full or len(self._untold) >= limits.REMOTE_SHARD_PACKS_MAX:
            self._put_shard()
        self._untold.append(pack)
        self._tables_bytes += len(pack.table)

    def finish(self) -> None:
        """Send what is left, packs first."""
        for kind in list(self._filling):
            self._close(kind)
        self._put_shard()

    def _close(self, kind: PackKind) -> None:
        filling = self._filling.pop(kind)
        filling.data.write(encode_tail(id_of(filling.key), kind, filling.entries))
        data = filling.data.getvalue()
        if self._send:
            self._remote.put(filling.key, data)
        self.packs += 1
        self.sent_bytes += len(data)
        self.tell(ShardPack(filling.key, len(data), encode_table(filling.entries)))
        if self.moved is not None:
            self.moved()

    def _put_shard(self) -> None:
        if not self._untold:
            return
        shard = self.mint("x")
        if self._send:
            self._remote.put(shard, encode_shard(sorted(self._untold, key=lambda pack: pack.key)))
        self.shards |= {pack.key: shard for pack in self._untold}
        self._untold, self._tables_bytes = [], 0
        self.shards_made += 1
        if self.moved is not None:
            self.moved()
