"""What the journal knows of objects that went to a remote, beside the packs which lie there as they are here.

`sent/`: a pack that was sent and that no shard tells of yet. A push which was killed leaves such rows; the next one
sends nothing of it again, and lets a shard tell of it. `pack-in/`: the packs at the remote that together hold what a
pack of ours holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.format.remote import PackAt, PackIn, ShardPack, decode_remote, encode_remote
from artstore.store.remote.transfer import note_pack, packs_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from artstore.model import PackId
    from artstore.ports import IndexReader, IndexWriter

_SENT = "sent/"
_IN = "pack-in/"


def sent_packs(reader: IndexReader, remote_id: bytes) -> Iterator[ShardPack]:
    """The packs at a remote that are still to be told of."""
    for key in list(reader.journal_keys(f"{_SENT}{remote_id.hex()}/")):
        value = reader.journal(key)
        if value is not None:
            yield decode_remote(ShardPack, value)


def note_sent(writer: IndexWriter, remote_id: bytes, pack: ShardPack) -> None:
    """Note such a pack."""
    writer.put_journal(f"{_SENT}{remote_id.hex()}/{pack.key}", encode_remote(pack))


def drop_sent(writer: IndexWriter, remote_id: bytes, keys: Iterable[str]) -> None:
    """A shard tells of these packs, or they are gone."""
    for key in keys:
        writer.put_journal(f"{_SENT}{remote_id.hex()}/{key}", None)


def places_of(reader: IndexReader, remote_id: bytes, pack: PackId) -> list[PackAt]:
    """The packs at a remote that hold what a pack of ours holds; none if that isn't known."""
    value = reader.journal(f"{_IN}{remote_id.hex()}/{pack.hex()}")
    return [] if value is None else decode_remote(PackIn, value).places


def note_places(writer: IndexWriter, remote_id: bytes, pack: PackId, places: Iterable[PackAt]) -> None:
    """Note them."""
    ordered = sorted(places, key=lambda at: at.key)
    writer.put_journal(f"{_IN}{remote_id.hex()}/{pack.hex()}", encode_remote(PackIn(ordered)))


def forget_packs(writer: IndexWriter, remote_id: bytes, keys: Collection[str]) -> None:
    """These packs and shards aren't at the remote, or not any more: nothing is to rely on them."""
    drop_sent(writer, remote_id, keys)
    for row in list(writer.journal_keys(f"{_IN}{remote_id.hex()}/")):
        value = writer.journal(row)
        if value is not None and any(at.key in keys or at.shard in keys for at in decode_remote(PackIn, value).places):
            writer.put_journal(row, None)
    for each in list(packs_at(writer, remote_id)):
        if each.at.key in keys or each.at.shard in keys:
            note_pack(writer, remote_id, each.pack, None)
