"""Replaces damaged packs and shards of a remote: what they held is sent again, then the sets that named them name that.

Nothing is changed in place [I6]. The order is a push's: packs, shards, a proof that all is there, sets. Killed at any
time, each set names what it named before or what it names now, and both are no worse than before; what was sent and
isn't named yet falls to collection, and the next repair sends it again. A pack of which something can't be had stays in
the sets that need this, beside what was sent of it: another store's repair finds what is missing.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Corrupt, NewerFormat
from artstore.format.pack import encode_table, parse_tail
from artstore.format.remote import (
    WRITE_BYTES,
    RemoteSet,
    ShardPack,
    all_keys,
    decode_remote,
    decode_shard,
    encode_remote,
    set_key,
)
from artstore.model import Digest
from artstore.store.check.report import Hurt
from artstore.store.check_remote.examine import Examined, examine
from artstore.store.check_remote.needing import Needing
from artstore.store.check_remote.reading import read_each, read_one
from artstore.store.far.places import table_of_shard
from artstore.store.remote.pins import PushPin
from artstore.store.remote.presence import absent, look
from artstore.store.repair_remote.sending import Sender
from artstore.store.repair_remote.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from artstore.model import TableEntry
    from artstore.ports import Remote
    from artstore.store.check_remote.look import View
    from artstore.store.context import Context
    from artstore.store.objects import Objects
    from artstore.store.remote.presence import Look
    from artstore.store.repair_remote.report import RemoteRepairReport


@dataclass(slots=True)
class _Replacing:
    """What takes a bad pack's place. `instead`: keys that hold what it held, as far as it could be had; `lost`: ids of
    what couldn't.
    """

    instead: set[str] = field(default_factory=set[str])
    lost: set[bytes] = field(default_factory=set[bytes])


class PackRepair:
    """One repair of packs and shards. `bad`: their keys. `now`: a clock that goes on while the machine sleeps."""

    def __init__(
        self,
        context: Context,
        objects: Objects,
        remote: Remote,
        view: View,
        bad: Collection[str],
        report: RemoteRepairReport,
        now: Callable[[], float],
    ) -> None:
        self._context = context
        self._objects = objects
        self._remote = remote
        self._view = view
        self._bad = frozenset(bad)
        self._report = report
        self._now = now
        self._versions = sorted({version for key in self._bad for version in view.namers[key]})
        self._named: set[str] = set()  # by the sets of these
        self._shard_of: dict[str, str] = {}
        self._replacing: dict[str, _Replacing] = {}
        self.unknown: set[str] = set()  # bad packs of which nobody here knows what they held

    def run(self) -> None:
        """Do it, or find out what would be done. Busy if packs go as fast as they are sent."""
        if not self._versions:
            return
        for read in self._sets(self._versions):
            if read[1] is not None:
                self._named.update(all_keys(read[1]))
        damaged = self._examine()
        seen: Look | None = None
        sender = Sender(self._remote, self._context.level, send=self._report.done)
        grace = limits.REMOTE_GRACE_S
        if self._report.done:
            grace = look(self._remote, now=self._now).grace  # Busy if nobody may write there now
        pin = PushPin(self._remote, lambda: sender.keys | self._named, self._now, grace=grace)
        sender.moved = pin.renew
        if self._report.done:
            pin.put()
        self._send(damaged, sender)
        if self._report.done:
            seen = self._swap_all(sender, pin)
            after = look(self._remote, now=self._now)
            if seen is not None and after.remote_time - seen.remote_time > seen.grace / 2:
                gone = absent(self._remote, sender.keys, after)
                if gone:
                    raise Busy(f"{self._remote.url}: packs go as fast as they are sent there", hint="repair it again")
            pin.drop()
        else:
            for version, told in self._sets(self._versions):
                self._report.sets += told is not None and self._mended(version, told, sender) is not None

    # --- what is to be done

    def _sets(self, versions: Iterable[Digest]) -> Iterable[tuple[Digest, RemoteSet | None]]:
        by_key = {set_key(version): version for version in versions}
        for read in read_each(self._remote, by_key, lambda _, data: decode_remote(RemoteSet, data)):
            yield by_key[read.key], read.value

    def _examine(self) -> list[Examined]:
        """Look at each bad pack, with what shards and this store's index say that it held."""
        tables: defaultdict[str, list[Sequence[TableEntry]]] = defaultdict(list)
        for pack, _ in self._shards():
            if pack.key in self._bad:
                tables[pack.key].append(table_of_shard(pack))
        found: list[Examined] = []
        for key in sorted(self._bad & self._named):
            if key.startswith("x/"):
                continue
            each = examine(self._remote, key, tables[key], self._context.ids)
            if each.tail is not None and not tables[key]:
                self.unknown.add(key)
            found.append(each)
        return found

    def _shards(self) -> Iterable[tuple[ShardPack, str]]:
        """All that sound shards tell of packs that the sets name, and which shard tells it."""
        shards = sorted(key for key in self._named - self._bad if key.startswith("x/"))
        for read in read_each(self._remote, shards, lambda _, data: decode_shard(data)):
            for pack in read.value or ():
                if pack.key in self._named:
                    yield pack, read.key

    # --- sending

    def _send(self, damaged: list[Examined], sender: Sender) -> None:
        wanted = {id: entry for pack in damaged for id, entry in pack.wanted.items()}
        covered = self._covered(wanted)
        lacking = [entry for id, entry in wanted.items() if id not in covered]
        sources = Sources(self._context, self._objects, self._remote, damaged, self._versions)
        try:
            for entry, data in sources.find(lacking):
                sender.add(entry, data)
        finally:
            sources.close()
        self._report.notes += sources.trouble
        for told in self._untold():
            sender.tell(told)
        sender.finish()
        self._report.objects += len(sender.places)
        self._report.packs += sender.packs
        self._report.sent_bytes += sender.sent_bytes
        self._report.shards += sender.shards_made
        places = {**covered, **sender.places}
        for pack in damaged:
            ids = pack.wanted.keys()
            instead = {places[id] for id in ids if id in places}
            self._replacing[pack.key] = _Replacing(instead, set(ids - places.keys()))
        self._report.lost_objects = len({id for each in self._replacing.values() for id in each.lost})
        self._shard_of |= sender.shards

    def _covered(self, wanted: Collection[bytes]) -> dict[bytes, str]:
        """Where other packs of the same sets hold these objects, too: they needn't be sent."""
        found: dict[bytes, str] = {}
        for pack, shard in self._shards():
            self._shard_of[pack.key] = shard
            if pack.key in self._bad or pack.key not in self._view.there:
                continue
            for entry in table_of_shard(pack) if wanted else ():
                if entry.id in wanted:
                    found.setdefault(entry.id, pack.key)
        return found

    def _untold(self) -> Iterable[ShardPack]:
        """What no sound shard tells of, as the packs' own tables do. A damaged one is left to the check of data."""
        if not any(key.startswith("x/") for key in self._bad):
            return
        there = self._named & self._view.there.keys()
        for key in sorted(there - self._bad - self._shard_of.keys()):
            if key.startswith("x/"):
                continue
            size = self._view.there[key]

            def read_at(offset: int, count: int, key: str = key) -> bytes:
                data = self._remote.get_range(key, offset, count)
                if data is None:
                    raise Corrupt(f"{key} is missing")
                return data

            try:
                yield ShardPack(key, size, encode_table(parse_tail(size, read_at).entries))
            except (Corrupt, NewerFormat) as error:
                self._report.notes.append(f"{self._remote.url}/{key}: {error.message}; check --data tells more")

    # --- sets

    def _swap_all(self, sender: Sender, pin: PushPin) -> Look | None:
        """Let each set name what is sound, after a proof of it. The look of the first proof."""
        required = (self._named - self._bad - (self._view.known - self._view.there.keys())) | sender.keys
        required |= {key for each in self._replacing.values() for key in each.instead}
        first: Look | None = None
        seen: Look | None = None
        unproven: set[str] = set()
        for version in self._versions:
            pin.renew()
            for _ in range(limits.REMOTE_MOVES_MAX):
                if seen is None or not seen.is_fresh(self._now()):
                    seen = look(self._remote, now=self._now)
                    first = first or seen
                    unproven = absent(self._remote, required, seen)
                read = read_one(self._remote, set_key(version), lambda data: decode_remote(RemoteSet, data))
                made = None if read.value is None else self._mended(version, read.value, sender)
                if made is None:
                    break
                new = set(all_keys(made))
                if not unproven.isdisjoint(new):
                    why = f"{min(unproven & new)} is about to be collected, or gone"
                    self._report.notes.append(f"the set of version {version.hex()[:8]} stays for now: {why}")
                    break
                unseen = new - required - self._bad - (self._view.known - self._view.there.keys())
                if unseen:  # somebody has replaced the set meanwhile
                    required |= unseen
                    seen = None
                    continue
                if self._remote.swap(set_key(version), encode_remote(made), read.etag) is not None:
                    self._report.sets += 1
                    break
        return first

    def _mended(self, version: Digest, told: RemoteSet, sender: Sender) -> RemoteSet | None:
        """What a version's set should say; None if that is what it says."""
        packs = {*told.data, *told.meta}
        shards = {key for key in told.shards if key not in self._bad}
        for key in [key for key in packs if key in self._replacing]:
            each = self._replacing[key]
            packs |= each.instead
            if key not in self.unknown and not (each.lost and self._needs(version, each.lost)):
                packs.discard(key)
        if any(key in self._bad for key in told.shards):
            untold = [key for key in packs if key not in self._shard_of and key not in self._bad]
            if untold:  # what they hold can't be read just now
                shards = set(told.shards)
        shards |= {self._shard_of[key] for key in packs if key in self._shard_of and key not in self._bad}
        del sender
        data, meta = (sorted(key for key in packs if key.startswith(kind)) for kind in ("p/", "m/"))
        if (data, meta, sorted(shards)) == (told.data, told.meta, told.shards):
            return None
        return RemoteSet(secrets.token_bytes(WRITE_BYTES), data, meta, sorted(shards), told.inputs)

    def _needs(self, version: Digest, lost: set[bytes]) -> bool:
        """Does a version need what is lost? Of one that isn't here nobody knows: yes. It is told, with paths."""
        names = tuple(self._view.names.get(version, ()))
        with self._context.index.read() as reader:
            is_here = reader.version_set(version) is not None
        if not is_here:
            self._lose(Hurt(version, b"", names))
            return True
        paths = Needing(self._objects, lost).paths(version, most=limits.TROUBLE_PATHS_MAX)
        for path in paths:
            self._lose(Hurt(version, path, names))
        return bool(paths)

    def _lose(self, hurt: Hurt) -> None:
        if hurt not in self._report.lost and len(self._report.lost) < limits.CHECK_PROBLEMS_MAX:
            self._report.lost.append(hurt)
