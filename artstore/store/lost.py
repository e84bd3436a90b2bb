"""What a repair could not save, remembered until it is stored again: ids without a copy, and the versions they hurt.

A journal row `lost/<n>` holds two counts (u32, little-endian), then the ids and the versions, 32 bytes each. When a
lost object is stored again, its new pack has to enter the sets of these versions, or collection would take it for
garbage: `heal_sets` does that, in the transaction of whoever is about to rely on sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.ids import DIGEST_BYTES
from artstore.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore.ports import IndexReader, IndexWriter

_PREFIX = "lost/"
_COUNTS = Struct("<II")


@dataclass(frozen=True, slots=True)
class LostRecord:
    """Ids that were lost, and versions that may need them."""

    key: str
    ids: tuple[Digest, ...]
    versions: tuple[Digest, ...]


def lost_records(reader: IndexReader) -> Iterator[LostRecord]:
    """All of them; Corrupt for a row that is none."""
    for key in reader.journal_keys(_PREFIX):
        value = reader.journal(key)
        if value is not None:
            yield _decode(key, value)


def put_lost(writer: IndexWriter, ids: Iterable[bytes], versions: Iterable[bytes]) -> None:
    """Remember that these ids have no copy, and that these versions may need them. Idempotent."""
    ordered, hurt = sorted(set(ids)), sorted(set(versions))
    for record in lost_records(writer):
        if set(hurt).issubset(record.versions):
            ordered = sorted(set(ordered).difference(record.ids))
    number = max((int(key.removeprefix(_PREFIX)) for key in writer.journal_keys(_PREFIX)), default=0)
    for start in range(0, len(ordered) if hurt else 0, limits.LOST_IDS_MAX):
        number += 1
        writer.put_journal(f"{_PREFIX}{number:012d}", _encode(ordered[start : start + limits.LOST_IDS_MAX], hurt))


def heal_sets(writer: IndexWriter) -> int:
    """Put packs in which lost objects were stored again into the sets of the versions that need them.

    Forgets what is healed, and versions that are gone. Idempotent. Returns how many ids are still lost.
    """
    still = 0
    for record in list(lost_records(writer)):
        places = writer.find_many(record.ids)
        packs = {place.pack for place in places if place is not None}
        versions = [version for version in record.versions if _add_packs(writer, version, packs)]
        ids = [id for id, place in zip(record.ids, places, strict=True) if place is None] if versions else []
        if len(ids) != len(record.ids) or len(versions) != len(record.versions):
            writer.put_journal(record.key, _encode(ids, versions) if ids else None)
        still += len(ids)
    return still


def _add_packs(writer: IndexWriter, version: Digest, packs: set[int]) -> bool:
    """Whether there is such a version."""
    known = writer.version_set(version)
    if known is None:
        return False
    if not packs.issubset(known):
        writer.put_set(version, packs.union(known))
    return True


def _encode(ids: list[Digest] | list[bytes], versions: list[Digest] | list[bytes]) -> bytes:
    return _COUNTS.pack(len(ids), len(versions)) + b"".join(ids) + b"".join(versions)


def _decode(key: str, value: bytes) -> LostRecord:
    if len(value) >= _COUNTS.size:
        count, hurt = _COUNTS.unpack_from(value)
        if len(value) == _COUNTS.size + DIGEST_BYTES * (count + hurt):
            start = _COUNTS.size
            digests = [Digest(value[at : at + DIGEST_BYTES]) for at in range(start, len(value), DIGEST_BYTES)]
            return LostRecord(key, tuple(digests[:count]), tuple(digests[count:]))
    raise Corrupt(f"the index is damaged: row {key} of the journal", hint="run `artstore check --rebuild-index`")
