"""Packs of home as a mirror is to have them: byte for byte, under keys that were minted for the mirror.

Home's own keys can't be used there: a key that the mirror's collection has deleted once, or is deleting, is never used
again [I6]. Which pack of home lies where is told by this store's journal, and else by what it holds: the shards of the
same artifacts' newest versions there. What is in a pack here isn't fetched from home.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.ids import DIGEST_BYTES
from artstore.format.pack import encode_table, parse_tail
from artstore.format.remote import (
    PackAt,
    RemoteSet,
    ShardPack,
    decode_remote,
    decode_shard,
    encode_remote,
    encode_shard,
    set_key,
)
from artstore.store.collect.live import table_of
from artstore.store.remote.documents import MEND, read_checked, read_documents
from artstore.store.remote.known import Known, newest, read_shard
from artstore.store.remote.sent import drop_sent, forget_packs, note_sent, sent_packs
from artstore.store.remote.transfer import live_packs, read_pack, verified
from artstore.store.remote.transfers import Transfer, Transfers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from artstore.model import PackRow
    from artstore.ports import Remote
    from artstore.store.context import Context

_COPIED: Final = "copied/"
_RANDOM_BYTES: Final = 12


class PackCopier:
    """Copies packs for one attempt of a copy. `bad`: packs at the mirror that can't be relied on."""

    def __init__(
        self,
        context: Context,
        home: Remote,
        mirror: Remote,
        transfers: Transfers,
        *,
        home_id: bytes,
        mirror_id: bytes,
        bad: Collection[str],
    ) -> None:
        self._context = context
        self._home = home
        self._mirror = mirror
        self._transfers = transfers
        self._home_id = home_id
        self._mirror_id = mirror_id
        self._bad = frozenset(bad)
        self._random = secrets.token_hex(_RANDOM_BYTES)
        self._minted = 0
        self._tables: dict[str, ShardPack] = {}
        self.places: dict[str, set[str]] = {}  # of each key at home, where the mirror has it
        self.shards: dict[str, str] = {}  # of each key at the mirror, which shard tells of it
        self.sending: dict[str, str] = {}  # keys at home of what is to be sent, and its keys there
        self.damaged: dict[str, str] = {}  # keys at home, and what is wrong with them
        self._untold: dict[str, ShardPack] = {}  # by keys at home
        self._here: dict[str, PackRow] = {}  # by keys at home, packs of this machine
        self._sent: dict[str, ShardPack] = {}  # by keys there; no shard tells of them

    def plan(self, wanted: Iterable[RemoteSet], artifacts: Collection[str]) -> None:
        """Find out what of these sets of home has to be sent. `artifacts`: of whose versions the mirror may have it."""
        wanted = list(wanted)
        keys = sorted({key for told in wanted for key in (*told.data, *told.meta)})
        shards = sorted({shard for told in wanted for shard in told.shards})
        self._from_journal(keys)
        left = [key for key in keys if key not in self.places]
        if not left:
            return
        self._read_tables(shards, set(left))
        known = self._known(artifacts)
        for key in left:
            if not self._is_known(key, known):
                self._minted += 1
                self.sending[key] = f"{key[0]}/{self._random}/{self._minted:08}"
                self.places[key] = {self.sending[key]}

    @property
    def keys(self) -> set[str]:
        """All that is relied on at the mirror, for its pin."""
        return {key for keys in self.places.values() for key in keys} | set(self.shards.values())

    @property
    def has_uploads(self) -> bool:
        """Is there a pack or a shard to be sent?"""
        return bool(self.sending or self._untold)

    @property
    def size(self) -> int:
        """About how much is to be sent."""
        return sum(self._size(key) for key in self.sending)

    def send(self) -> Iterator[int]:
        """Send it, then shards that tell of it; the bytes of each pack once it is there. Damaged ones are left out."""
        transfers = [Transfer(self._size(key), partial(self._copy, key, to)) for key, to in self.sending.items()]
        for key, sent in self._transfers.run(transfers, lambda done: 0 if done[1] is None else done[1].size):
            if sent is None:
                continue
            self._untold[key] = sent
            tables = sum(len(pack.table) for pack in self._untold.values())
            if len(self._untold) >= limits.REMOTE_SHARD_PACKS_MAX or tables >= limits.REMOTE_SHARD_TABLES_BYTES_MAX:
                self._put_shard()
            yield sent.size
        self._put_shard()

    def set_of(self, told: RemoteSet) -> RemoteSet:
        """The mirror's set of a version, by home's."""
        keys = {at for key in (*told.data, *told.meta) for at in self.places[key]}
        return RemoteSet(
            secrets.token_bytes(len(told.write)),
            sorted(key for key in keys if key.startswith("p/")),
            sorted(key for key in keys if key.startswith("m/")),
            sorted({self.shards[key] for key in keys if key in self.shards}),
            told.inputs,
        )

    def forget(self, keys: set[str]) -> None:
        """These aren't at the mirror after all."""
        prefix = f"{_COPIED}{self._mirror_id.hex()}/"
        with self._context.index.write() as writer:
            forget_packs(writer, self._mirror_id, keys)
            for row in list(writer.journal_keys(prefix)):
                value = writer.journal(row)
                if value is not None and not keys.isdisjoint(_names(decode_remote(PackAt, value))):
                    writer.put_journal(row, None)

    # --- what is there

    def _from_journal(self, keys: Collection[str]) -> None:
        with self._context.index.read() as reader:
            self._sent = {pack.key: pack for pack in sent_packs(reader, self._mirror_id)}
            here = {at.key: pack for pack, at in live_packs(reader, self._home_id).items()}
            rows = {key: reader.pack_by_id(here[key]) for key in keys if key in here}
            self._here = {key: row for key, row in rows.items() if row is not None}
            there = live_packs(reader, self._mirror_id)
            for key in keys:
                value = reader.journal(self._row(key))
                at = (
                    decode_remote(PackAt, value) if value is not None else there.get(here[key]) if key in here else None
                )
                if at is None or not self._bad.isdisjoint(_names(at)):
                    continue
                if not at.shard and at.key not in self._sent:
                    continue
                self.places[key] = {at.key}
                if at.shard:
                    self.shards[at.key] = at.shard
                else:
                    self._untold[key] = self._sent[at.key]

    def _read_tables(self, shards: Iterable[str], wanted: set[str]) -> None:
        """What home's packs hold, by what is here, by its shards, by the packs themselves. What is gone or damaged is
        done without.
        """
        for key in sorted(wanted & self._here.keys()):
            row = self._here[key]
            self._tables[key] = ShardPack(key, row.size, encode_table(table_of(self._context, row)))
        for shard in shards:
            if wanted <= self._tables.keys():
                return
            try:
                read = read_checked(self._home, shard, decode_shard)
            except (Corrupt, NewerFormat):
                continue
            self._tables |= {pack.key: pack for pack in (read[0] if read is not None else ()) if pack.key in wanted}
        for key in sorted(wanted - self._tables.keys()):  # a pack tells itself, by two requests more
            pack = read_tail(self._home, key)
            if pack is not None:
                self._tables[key] = pack

    def _known(self, artifacts: Collection[str]) -> Known:
        """Where ids lie at the mirror, as far as the newest versions of these artifacts tell."""
        known = Known()
        versions = newest(self._mirror, sorted(artifacts)[: limits.REMOTE_RELATED_MAX]) if artifacts else []
        found = read_documents(self._mirror, RemoteSet, map(set_key, dict.fromkeys(versions)))
        sets = [each[0] for each in found if each is not None]
        living = {key for told in sets for key in (*told.data, *told.meta)} - self._bad
        for shard in sorted({shard for told in sets for shard in told.shards} - self._bad):
            if len(known.packs) < limits.REMOTE_SHARD_IDS_MAX:
                read_shard(self._mirror, shard, living, known)
        return known

    def _is_known(self, key: str, known: Known) -> bool:
        """Does the mirror have all that a pack of home holds?"""
        pack = self._tables.get(key)
        if pack is None:
            return False
        ids = [pack.table[at : at + DIGEST_BYTES] for at in range(0, len(pack.table), limits.TABLE_ENTRY_BYTES)]
        if not all(id in known.packs for id in ids):
            return False
        self.places[key] = {known.packs[id] for id in ids}
        self.shards |= {at: known.shards[at] for at in self.places[key]}
        return True

    # --- sending

    def _copy(self, key: str, to: str) -> tuple[str, ShardPack | None]:
        """Copy one pack, each object checked [I5]."""
        try:
            data, table = self._read(key)
        except Corrupt as error:
            self.damaged[key] = f"{self._home.url}/{key}: {error.message}; {MEND}"
            return key, None
        self._mirror.put(to, data)
        sent = ShardPack(to, len(data), table)
        with self._context.index.write() as writer:
            note_sent(writer, self._mirror_id, sent)
            writer.put_journal(self._row(key), encode_remote(PackAt(to, "")))
        return key, sent

    def _read(self, key: str) -> tuple[bytes, bytes]:
        """A pack of home, from here if it is, and its table. One that came damaged is asked for once more."""
        try:
            found = self._read_here(key)
            return found if found is not None else self._fetch(key)
        except Corrupt:
            return self._fetch(key)

    def _read_here(self, key: str) -> tuple[bytes, bytes] | None:
        row = self._here.get(key)
        if row is None:
            return None
        data, tail = read_pack(self._context, row)
        return data, encode_table(tail.entries)

    def _fetch(self, key: str) -> tuple[bytes, bytes]:
        came = self._home.stream(key)
        if came is None:
            raise Corrupt("it is missing")
        with closing(came.pieces):
            data = b"".join(came.pieces)
        return data, encode_table(verified(data, self._context.ids, "it").entries)

    def _put_shard(self) -> None:
        if not self._untold:
            return
        self._minted += 1
        shard = f"x/{self._random}/{self._minted:08}"
        packs = sorted(self._untold.values(), key=lambda pack: pack.key)
        self._mirror.put(shard, encode_shard(packs))
        with self._context.index.write() as writer:
            for key, pack in self._untold.items():
                self.shards[pack.key] = shard
                writer.put_journal(self._row(key), encode_remote(PackAt(pack.key, shard)))
            drop_sent(writer, self._mirror_id, [pack.key for pack in packs])
        self._untold = {}

    def _size(self, key: str) -> int:
        pack = self._tables.get(key)
        target = limits.PACK_BYTES_TARGET if key.startswith("p/") else limits.METAPACK_BYTES_TARGET
        return target if pack is None else pack.size

    def _row(self, key: str) -> str:
        return f"{_COPIED}{self._mirror_id.hex()}/{key}"


def read_tail(remote: Remote, key: str) -> ShardPack | None:
    """What a pack at a remote holds, by its own table; None if it is gone or damaged."""
    listed = remote.head(key)
    if listed is None:
        return None

    def read_at(offset: int, size: int) -> bytes:
        data = remote.get_range(key, offset, size)
        if data is None:
            raise Corrupt("it is missing")
        return data

    try:
        return ShardPack(key, listed.size, encode_table(parse_tail(listed.size, read_at).entries))
    except (Corrupt, NewerFormat):
        return None


def _names(at: PackAt) -> list[str]:
    return [at.key, *([at.shard] if at.shard else [])]
