"""What the index is asked for: real stores, opened as every command opens them, filled through their port.

Each function is one process's work. `place` is the store's folder; packs are counted from 0, and those below `packs`
are in the index.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from artstore import limits, wiring
from artstore.format.remote import PackAt
from artstore.model import PackKind
from artstore.store.remote.transfer import live_packs, note_pack
from artstore.testing.sizes import index_used_bytes
from artstore_bench.scale import synthetic
from artstore_bench.scale.answers import Answer
from artstore_bench.scale.meter import Meter
from artstore_bench.scale.synthetic import ABSENT, PACK_CHUNKS, PRESENT

BATCH_IDS: Final = 128  # that a commit looks up at once: the chunks of a buffer of 8 MiB
WARM_LOOKS: Final = 200_000
COLD_LOOKS: Final = 10_000
REMOTE_ID: Final = bytes(16)
_SEED: Final = 7
_CREATED: Final = 1_800_000_000_000_000_000  # ns


def make(place: Path) -> None:
    """A new store."""
    wiring.init(str(place))


def rebuild(place: Path, first: int, end: int) -> Iterator[Answer]:
    """Enter packs, as many in one transaction as when an index is rebuilt."""
    connection = wiring.connect(str(place))
    meter = Meter()
    for group in synthetic.groups(first, end, limits.REBUILD_PACKS_PER_WRITE):
        tables = [(pack, synthetic.table(pack)) for pack in group]
        with meter.running(), connection.context.index.write() as writer:
            for pack, table in tables:
                writer.add_pack(
                    synthetic.pack_id(pack),
                    PackKind.DATA,
                    size=synthetic.PACK_BYTES,
                    created=_CREATED,
                    table=table,
                )
    yield meter.answer("rebuild", (end - first) * PACK_CHUNKS, stored=_data(place))
    connection.close()


def commit(place: Path, first: int, end: int) -> Iterator[Answer]:
    """Enter packs one by one, each in a transaction of its own that is durable, as a commit does. Then look how much
    of the index's file is in use.
    """
    connection = wiring.connect(str(place))
    meter = Meter()
    for pack in range(first, end):
        table = synthetic.table(pack)
        with meter.running(), connection.context.index.write() as writer:
            writer.add_pack(
                synthetic.pack_id(pack), PackKind.DATA, size=synthetic.PACK_BYTES, created=_CREATED, table=table
            )
    yield meter.answer("commit", (end - first) * PACK_CHUNKS, stored=_data(place))
    connection.close()
    meter = Meter()
    with meter.running():
        used = index_used_bytes(str(place))
    yield meter.answer("used", end * PACK_CHUNKS, stored=used)


def opened(place: Path, packs: int) -> Iterator[Answer]:
    """Open the store and find one chunk; what Python imports for that is there already."""
    wiring.preload(str(place))
    wanted = synthetic.sample(1, below=packs * PACK_CHUNKS, seed=_SEED)[0]
    meter = Meter()
    with meter.running():
        connection = wiring.connect(str(place))
        with connection.context.index.read() as reader:
            found = reader.find(wanted)
    assert found is not None
    yield meter.answer("open", 1)
    connection.close()


def look(place: Path, packs: int, question: str) -> Iterator[Answer]:
    """Look up chunks. `again`: those of some packs, one after the other, as a file that is known brings them; `hit`: at
    random; `miss`: which aren't there; `cold`: at random, and no page of the index is in memory before.
    """
    is_cold = question == "cold"
    count = min(COLD_LOOKS if is_cold else WARM_LOOKS, packs * PACK_CHUNKS)
    if question in {"again", "miss"}:
        wanted = synthetic.ids(0, count, stream=ABSENT if question == "miss" else PRESENT)
    else:
        wanted = synthetic.sample(count, below=packs * PACK_CHUNKS, seed=_SEED)
    if is_cold:
        forget_pages(_data(place))
    connection = wiring.connect(str(place))
    meter = Meter()
    hits = 0
    for start in range(0, count, BATCH_IDS):
        with meter.running(), connection.context.index.read() as reader:
            places = reader.find_many(wanted[start : start + BATCH_IDS])
        hits += sum(place is not None for place in places)
    assert hits == (0 if question == "miss" else count)
    yield meter.answer(question, count)
    connection.close()


def sweep(place: Path, packs: int) -> Iterator[Answer]:
    """Forget a pack, which takes one look at every row there is."""
    connection = wiring.connect(str(place))
    index = connection.context.index
    with index.write() as writer:
        number = writer.add_pack(
            synthetic.pack_id(packs, stream=ABSENT),
            PackKind.DATA,
            size=synthetic.PACK_BYTES,
            created=_CREATED,
            table=synthetic.table(packs, stream=ABSENT),
        )
    meter = Meter()
    with meter.running(), index.write() as writer:
        writer.remove_pack(number)
    yield meter.answer("sweep", (packs + 1) * PACK_CHUNKS)
    connection.close()


def journal(place: Path, first: int, packs: int) -> Iterator[Answer]:
    """Read where all packs lie at a remote, as each push does; those from `first` on are noted before."""
    connection = wiring.connect(str(place))
    index = connection.context.index
    for group in synthetic.groups(first, packs, limits.REBUILD_PACKS_PER_WRITE):
        with index.write() as writer:
            for pack in group:
                at = PackAt(synthetic.pack_key(pack), f"x/{1:024x}/{pack // limits.REMOTE_SHARD_PACKS_MAX:08}")
                note_pack(writer, REMOTE_ID, synthetic.pack_id(pack), at)
    meter = Meter()
    with meter.running(), index.read() as reader:
        known = live_packs(reader, REMOTE_ID)
    assert len(known) == packs
    yield meter.answer("journal", packs)
    connection.close()


def forget_pages(path: Path) -> None:
    """Let the system forget what it holds of a file that nobody has mapped."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _data(place: Path) -> Path:
    return place / "index.lmdb" / "data.mdb"
