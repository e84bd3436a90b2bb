"""What a remote has already, learnt from the shards of a few versions there: without asking for each chunk.

Which versions: the parents of what is pushed, and the newest tags of its artifacts. What this machine sent itself its
journal knows, so that those shards aren't read.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.ids import DIGEST_BYTES
from artstore.format.remote import TAGS, RemoteSet, RemoteTag, ShardPack, Stored, decode_shard, set_key
from artstore.model import Digest
from artstore.revision import artifact_of
from artstore.store.remote.documents import read_checked, read_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artstore.ports import Remote
    from artstore.store.context import Context
    from artstore.store.objects import Objects

T = TypeVar("T", bound=Stored)


@dataclass(slots=True)
class Known:
    """Where ids lie at a remote, as its shards tell. `shards`: which shard told of a pack."""

    packs: dict[bytes, str] = field(default_factory=dict[bytes, str])
    shards: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, pack: ShardPack) -> None:
        """Take in a pack's table."""
        for at in range(0, len(pack.table), limits.TABLE_ENTRY_BYTES):
            self.packs.setdefault(pack.table[at : at + DIGEST_BYTES], pack.key)


def learn(
    context: Context,
    objects: Objects,
    remote: Remote,
    versions: Iterable[Digest],
    sets: dict[Digest, tuple[RemoteSet, str]],
    own: set[str],
    bad: set[str] | frozenset[str],
) -> Known:
    """Look for what versions like these have at a remote. `own`: packs that need no looking; `bad`: not to be used."""
    known = Known()
    versions = list(versions)
    related = {version: told for version, (told, _) in sets.items()}
    names = _artifacts(context, versions)
    wanted = [Digest(parent) for version in versions for parent in objects.version(version).parents]
    wanted += newest(remote, names)
    wanted = [version for version in dict.fromkeys(wanted) if version not in related][: limits.REMOTE_RELATED_MAX]
    for version, told in zip(wanted, _read_sound(remote, RemoteSet, map(set_key, wanted)), strict=True):
        if told is not None:
            related[version] = told
    living = {key for told in related.values() for key in (*told.data, *told.meta)} - set(bad)
    shards = {
        shard for told in related.values() if not own.issuperset([*told.data, *told.meta]) for shard in told.shards
    }
    for shard in sorted(shards - set(bad)):
        if len(known.packs) < limits.REMOTE_SHARD_IDS_MAX:
            read_shard(remote, shard, living, known)
    return known


def read_shard(remote: Remote, shard: str, living: set[str], known: Known) -> None:
    """Take in a shard. A pack that no living version names proves nothing; a shard that is gone or damaged, neither."""
    try:
        found = read_checked(remote, shard, decode_shard)
    except (Corrupt, NewerFormat):  # then what it would have told is uploaded
        return
    for pack in found[0] if found is not None else ():
        if pack.key in living:
            known.shards[pack.key] = shard
            known.add(pack)


def _artifacts(context: Context, versions: Sequence[Digest]) -> list[str]:
    wanted = set(versions)
    with context.index.read() as reader:
        return sorted({artifact_of(tag.name) for tag in reader.tags() if tag.version in wanted})


def newest(remote: Remote, artifacts: Sequence[str]) -> list[Digest]:
    """Versions of the newest tags of artifacts, a few of each, as their names sort."""
    keys = [key for artifact in artifacts for key in _last(remote, f"{TAGS}{artifact}/", artifacts)]
    tags = [tag for tag in _read_sound(remote, RemoteTag, keys) if tag is not None]
    return [Digest(tag.version) for tag in sorted(tags, key=lambda tag: -tag.created) if tag.version]


def _read_sound(remote: Remote, kind: type[T], keys: Iterable[str]) -> list[T | None]:
    """Documents that can be read: what the others would have told is uploaded."""

    def read(key: str) -> T | None:
        try:
            found = read_document(remote, kind, key)
        except Corrupt:
            return None
        return None if found is None else found[0]

    with ThreadPoolExecutor(limits.REMOTE_SMALL_REQUESTS) as pool:
        return list(pool.map(read, keys))


def _last(remote: Remote, prefix: str, artifacts: Sequence[str]) -> list[str]:
    share = max(1, limits.REMOTE_RELATED_MAX // len(artifacts))
    return [found.key for found in remote.list(prefix)][-share:]
