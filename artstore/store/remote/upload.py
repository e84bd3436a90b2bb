"""Sends the packs of a plan, several at once, then shards that tell of them.

Each pack is journalled when it is there, and again when a shard tells of it: a push that is killed sends at most the
packs again that were on their way.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.pack import encode_table
from artstore.format.remote import PackAt, ShardPack, encode_shard
from artstore.store.remote.plan import id_of
from artstore.store.remote.sent import drop_sent, note_places, note_sent
from artstore.store.remote.transfer import gather, note_pack, read_pack
from artstore.store.remote.transfers import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.model import PackId
    from artstore.planning.push import Gathered
    from artstore.ports import Remote
    from artstore.store.context import Context
    from artstore.store.remote.plan import Plan
    from artstore.store.remote.transfers import Transfers


class Uploader:
    """Does what one plan says."""

    def __init__(self, context: Context, remote: Remote, remote_id: bytes, plan: Plan, transfers: Transfers) -> None:
        self._context = context
        self._remote = remote
        self._remote_id = remote_id
        self._plan = plan
        self._transfers = transfers
        self._untold: list[ShardPack] = []
        self._pieces: list[str] = []  # keys that a shard tells of, and the journal not yet
        self._tables_bytes = 0

    def upload(self) -> Iterator[int]:
        """Send it all; the bytes of each pack once it is there."""
        for pack in self._plan.untold:
            self._tell(pack)
        for pack in self._send_all():
            self._tell(pack)
            yield pack.size
        self._put_shard()
        self._note_places()

    def _send_all(self) -> Iterator[ShardPack]:
        sending = [
            Transfer(self._plan.rows[number].size, partial(self._send, number, key))
            for number, key in self._plan.whole.items()
        ]
        sending += [
            Transfer(new.size, partial(self._send_gathered, key, new)) for key, new in self._plan.gathered.items()
        ]
        return self._transfers.run(sending, lambda sent: sent.size)

    def _send(self, number: int, key: str) -> ShardPack:
        """Send a pack as it is."""
        row = self._plan.rows[number]
        data, tail = read_pack(self._context, row)
        self._remote.put(key, data)
        sent = ShardPack(key, len(data), encode_table(tail.entries))
        with self._context.index.write() as writer:
            note_sent(writer, self._remote_id, sent)
            note_pack(writer, self._remote_id, row.id, PackAt(key, ""))
        return sent

    def _send_gathered(self, key: str, new: Gathered) -> ShardPack:
        """Make a pack of pieces, and send it."""
        data, tail = gather(self._context, self._plan.rows, new, id_of(key))
        self._remote.put(key, data)
        sent = ShardPack(key, len(data), encode_table(tail.entries))
        with self._context.index.write() as writer:
            note_sent(writer, self._remote_id, sent)
        return sent

    # --- what tells of them

    def _tell(self, pack: ShardPack) -> None:
        """Let the next shard tell of a pack, and write it when it is full."""
        self._untold.append(pack)
        self._tables_bytes += len(pack.table)
        is_full = self._tables_bytes >= limits.REMOTE_SHARD_TABLES_BYTES_MAX
        if is_full or len(self._untold) >= limits.REMOTE_SHARD_PACKS_MAX:
            self._put_shard()

    def _put_shard(self) -> None:
        """A pack that lies there as it is here is noted at once, what was gathered when all of it is told."""
        if not self._untold:
            return
        shard = self._plan.mint("x")
        self._remote.put(shard, encode_shard(sorted(self._untold, key=lambda pack: pack.key)))
        told = {pack.key for pack in self._untold}
        self._plan.shards |= dict.fromkeys(told, shard)
        whole = [(key, pack) for key, pack in self._whole() if key in told]
        with self._context.index.write() as writer:
            for key, pack in whole:
                note_pack(writer, self._remote_id, pack, PackAt(key, shard))
            drop_sent(writer, self._remote_id, [key for key, _ in whole])
        self._pieces += told.difference(key for key, _ in whole)
        self._untold, self._tables_bytes = [], 0

    def _whole(self) -> Iterator[tuple[str, PackId]]:
        """The packs that lie there as they are here, by their keys."""
        learnt = set(self._plan.learnt)
        return (
            (key, self._plan.rows[number].id)
            for number, keys in self._plan.places.items()
            if number not in learnt
            for key in keys
        )

    def _note_places(self) -> None:
        """What the remote has of packs which don't lie there as they are here."""
        if not self._plan.learnt:
            return
        with self._context.index.write() as writer:
            for number in self._plan.learnt:
                places = [PackAt(key, self._plan.shards.get(key, "")) for key in self._plan.places[number]]
                note_places(writer, self._remote_id, self._plan.rows[number].id, places)
            drop_sent(writer, self._remote_id, self._pieces)
